"""A benchmark in a process of its own: the side that starts it. The other side is `worker`.

The two speak JSON lines: the request and "stop" go to the worker's stdin, progress and the outcome come back on its
stdout. Whatever the measured code prints goes elsewhere, and its last words are kept for the case that it dies. The
worker ends with its stdin, so it outlives us by an instant even when we are killed; it has a session of its own, so a
Ctrl-C in the terminal reaches us alone and the worker can hand over what it has.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from typing import IO, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from slotzero.perf.types import BenchmarkFailure, BenchmarkOptions, BenchmarkResult, Progress, SecondLook, WorkerLost

__all__ = ["STOP", "LoopName", "WorkerMessage", "WorkerRequest", "measure_isolated"]

LoopName: TypeAlias = Literal["asyncio", "uvloop"]
"""On which event loop a worker measures."""

STOP: Final = b"stop\n"
_LINE_LIMIT: Final = 64_000_000
"""A result with 10,000 samples and its histogram is about 0.2 MB."""
_TAIL_BYTES: Final = 2_000
_END_TIMEOUT_S: Final = 10


class WorkerRequest(Struct, frozen=True, kw_only=True):
    """What a worker is to measure. `path` is where it looks for modules."""

    reference: str
    options: BenchmarkOptions
    path: list[str]
    parameters: dict[str, str] = {}
    look: SecondLook | None = None


class WorkerMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker says: how far it is, or how it ended."""

    progress: Progress | None = None
    outcome: BenchmarkResult | BenchmarkFailure | None = None


_decode = msgspec.json.Decoder(WorkerMessage).decode


async def measure_isolated(
    reference: str,
    options: BenchmarkOptions,
    *,
    loop: LoopName,
    parameters: dict[str, str],
    on_progress: Callable[[Progress], bool | None] | None,
    look: SecondLook | None = None,
) -> BenchmarkResult | BenchmarkFailure:
    """Start a worker, hand it the request, wait for the outcome. *Cancellation: ends the worker.*"""
    request = WorkerRequest(reference=reference, options=options, path=sys.path, parameters=parameters, look=look)
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "slotzero.perf.worker", loop),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            start_new_session=True,
            limit=_LINE_LIMIT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(request) + b"\n")
            outcome = await _listen(process, on_progress)
        finally:
            await _end(process)
        if outcome is not None:
            return outcome
        return BenchmarkFailure(
            component=options.component.value if options.component else None,
            name=options.title,
            error=WorkerLost(exit_code=process.returncode, output=_last_words(said)),
            labels=options.labels,
        )


async def _listen(
    process: asyncio.subprocess.Process, on_progress: Callable[[Progress], bool | None] | None
) -> BenchmarkResult | BenchmarkFailure | None:
    assert process.stdin is not None
    assert process.stdout is not None
    has_stopped = False
    while line := await process.stdout.readline():
        try:
            message = _decode(line)
        except msgspec.MsgspecError:
            return None  # it was cut off in the middle of a line, or is no worker of ours
        if message.outcome is not None:
            return message.outcome
        if message.progress is not None and on_progress is not None:
            wants_stop = bool(on_progress(message.progress))
            if wants_stop and not has_stopped:
                process.stdin.write(STOP)
                has_stopped = True
    return None


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its stdin, which ends it once its surroundings are taken down."""
    assert process.stdin is not None
    process.stdin.close()
    for force in (process.terminate, process.kill):
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            force()
        else:
            return
    await process.wait()


def _last_words(said: IO[bytes]) -> str:
    """Return the end of what the process said, on one line."""
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _TAIL_BYTES))
    return " ".join(said.read().decode(errors="replace").split())
