"""Run the chain as a child process, so that its VM and ours do not share a GIL when latency is measured.

The child lives exactly as long as the pipe to its stdin: it ends when asked, and when this process dies, even by
SIGKILL. It has a session of its own, so a Ctrl-C in the terminal reaches us only: a bot that drains its positions
still has a chain to do it on.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import IO, Final

import msgspec

from slotzero.errors import LocalnetError
from slotzero.localnet.endpoints import DEFAULT_SLOT_MS, LocalnetEndpoints

__all__ = ["running_localnet"]

_START_TIMEOUT_S: Final = 60
"""A start takes 0.4 s; a cold disk and a busy machine have taken many times that."""
_STOP_TIMEOUT_S: Final = 5
_STDERR_TAIL_BYTES: Final = 4096


@asynccontextmanager
async def running_localnet(
    *, slot_ms: int = DEFAULT_SLOT_MS, seed: int = 7, arguments: Sequence[str] = ()
) -> AsyncIterator[LocalnetEndpoints]:
    """Start `slotzero localnet` on a free port and stop it at the end of the `async with` block.

    Args:
        slot_ms: The length of a slot; 0 opens one after each transaction.
        seed: What the genesis is derived from.
        arguments: Further arguments of the command, for example `("--launches-per-s", "2")`.

    Yields:
        Where it is to be found.

    Raises:
        LocalnetError: It did not start; the sentence is its own.
    """
    with tempfile.TemporaryFile() as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "slotzero", "localnet", "--port", "0", "--until-stdin-closes"),
            *("--slot-ms", str(slot_ms), "--seed", str(seed)),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            yield await _read_endpoints(process, stderr)
        finally:
            await _stop(process)


async def _read_endpoints(process: asyncio.subprocess.Process, stderr: IO[bytes]) -> LocalnetEndpoints:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            line = await process.stdout.readline()
    except TimeoutError as error:
        raise LocalnetError(f"the embedded chain did not start within {_START_TIMEOUT_S} s") from error
    if not line:
        await process.wait()
        raise LocalnetError(f"the embedded chain did not start: {_last_words(stderr) or 'it said nothing'}")
    try:
        return msgspec.json.decode(line, type=LocalnetEndpoints)
    except msgspec.DecodeError as error:
        raise LocalnetError(f"the embedded chain began with {line[:80]!r} instead of its endpoints") from error


async def _stop(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    for force in (process.terminate, process.kill):
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.stdout.read()
                await process.wait()
        except TimeoutError:
            force()
        else:
            return
    await process.wait()


def _last_words(stderr: IO[bytes]) -> str:
    """Return the end of what the child said, on one line."""
    size = stderr.seek(0, 2)
    stderr.seek(max(0, size - _STDERR_TAIL_BYTES))
    return " ".join(stderr.read().decode(errors="replace").split()).removeprefix("slotzero: ")
