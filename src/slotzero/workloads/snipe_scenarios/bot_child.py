"""The bot as a child process: started as anybody would start it, asked over its control socket, ended by Ctrl-C."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from slotzero.clock import Clock, add_ms, is_due
from slotzero.control.records import Reply, Request, sockets_folder
from slotzero.errors import SlotzeroError, UsageError

__all__ = ["BotChild", "running_bot"]

_READY_MS: Final = 60_000
_LOOK_MS: Final = 50
_POLL_MS: Final = 100
_ANSWER_S: Final = 20.0
_FINISH_S: Final = 60.0
"""A drain takes 15 s at the most; a busy machine has taken some more."""
_MAX_SOCKET_FOLDER: Final = 90
"""Of the 103 bytes that macOS allows (Linux 107), less a slash, a process id and `.sock`."""
_STDERR_TAIL: Final = 4_096


@asynccontextmanager
async def running_bot(folder: Path, config: str, *, clock: Clock) -> AsyncIterator["BotChild"]:
    """Start `slotzero run` with a configuration and keep everything it writes below `folder`. It ends with the block.

    It has a session of its own: Ctrl-C on the driver's terminal is not for it.

    Raises:
        UsageError: The folder's path is too long for a socket in it.
    """
    path = folder / "slotzero.toml"
    path.write_text(config)
    socket = sockets_folder(folder / "slotzero")
    if len(bytes(socket)) > _MAX_SOCKET_FOLDER:
        raise UsageError(f"a socket's path cannot be as long as {socket} would make it; set TMPDIR to a shorter one")
    with tempfile.TemporaryFile() as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "slotzero", "run", "--config", str(path), "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            env={**os.environ, "XDG_STATE_HOME": str(folder), "NO_COLOR": "1"},
        )
        child = BotChild(process, stderr, socket / f"{process.pid}.sock", clock)
        try:
            yield child
        finally:
            await child.kill()


class BotChild:
    """A bot that runs as a child of ours.

    Attributes:
        ended_how: What became of it when it was asked to `finish`.
    """

    def __init__(self, process: asyncio.subprocess.Process, stderr: IO[bytes], socket: Path, clock: Clock) -> None:
        self._process = process
        self._stderr = stderr
        self._socket = socket
        self._clock = clock
        self.ended_how = "it was not asked to end"

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Tell whether it has ended."""
        return self._process.returncode is not None

    def last_words(self) -> str:
        """Return the end of what it wrote to stderr, on one line."""
        size = self._stderr.seek(0, 2)
        self._stderr.seek(max(0, size - _STDERR_TAIL))
        return " ".join(self._stderr.read().decode(errors="replace").split())

    async def ready(self) -> None:
        """Wait until it answers. *Does I/O.*

        Raises:
            SlotzeroError: It ended, or did not answer in time.
        """
        deadline = add_ms(self._clock.mono_ns(), _READY_MS)
        while not is_due(deadline, self._clock.mono_ns()):
            if self.has_ended:
                raise SlotzeroError(f"the bot did not start: {self.last_words() or 'it said nothing'}")
            try:
                await self._ask_once(Request(command="refusals"))
            except (OSError, SlotzeroError):
                await self._clock.sleep_until(add_ms(self._clock.mono_ns(), _LOOK_MS))
            else:
                return
        raise SlotzeroError(f"the bot did not answer within {_READY_MS // 1000} s: {self.last_words()}")

    async def follow_refusals(self, tell: Callable[[str, str], None]) -> None:
        """Tell mint and reason of each refusal, until cancelled or the bot is gone."""
        known = 0
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket, limit=1 << 24)
        except OSError:
            return
        try:
            while True:
                reply = await _exchange(reader, writer, Request(command="refusals", since=known))
                if isinstance(reply.refusals, msgspec.UnsetType):
                    return
                known = reply.refusals.count
                for mint, reason in reply.refusals.newest:
                    tell(mint, reason)
                await self._clock.sleep_until(add_ms(self._clock.mono_ns(), _POLL_MS))
        except (OSError, SlotzeroError):
            return  # gone; who watches the process says so
        finally:
            writer.close()

    async def finish(self) -> dict[str, Any] | None:  # a document as any reader sees it
        """Have it sell what it holds and end. Returns its run document; None when it left none."""
        if self.has_ended:
            self.ended_how = f"it had ended, with exit code {self._process.returncode}"
            return None
        self._process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(_FINISH_S):
                output, _ = await self._process.communicate()
        except TimeoutError:
            self.ended_how = f"it did not end within {_FINISH_S:.0f} s"
            return None
        self.ended_how = f"exit code {self._process.returncode}"
        try:
            return msgspec.json.decode(output, type=dict[str, Any])
        except msgspec.MsgspecError:
            return None

    async def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def _ask_once(self, request: Request) -> Reply:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            reply = await _exchange(reader, writer, request)
        finally:
            writer.close()
        if isinstance(reply.error, str):
            raise SlotzeroError(reply.error)
        return reply


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request) -> Reply:
    writer.write(msgspec.json.encode(request) + b"\n")
    try:
        async with asyncio.timeout(_ANSWER_S):
            line = await reader.readline()
        return msgspec.json.decode(line, type=Reply)
    except (TimeoutError, ValueError, msgspec.MsgspecError) as error:
        raise SlotzeroError(f"the bot does not answer: {error}") from error
