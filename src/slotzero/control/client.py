"""The person's side of the control socket: find the bot that runs, and ask it."""

import contextlib
import socket
from pathlib import Path
from typing import Final, Self

import msgspec
from msgspec.structs import replace

from slotzero.control.records import MAX_LINE, Reply, Request, Status, sockets_folder
from slotzero.errors import MalformedError, SlotzeroError, UsageError

__all__ = ["ControlClient", "find_bot"]

_TIMEOUT_S: Final = 10.0


def find_bot(state: Path, pid: int | None) -> "ControlClient":
    """Return a connection to the bot that runs. *Does I/O.*

    Args:
        state: The user's folder for what programs keep.
        pid: Which process; None = the only one there is.

    Raises:
        SlotzeroError: None runs.
        UsageError: Several run and none was named, or the named one does not run.
    """
    alive: dict[int, ControlClient] = {}
    for path in sorted(sockets_folder(state).glob("*.sock")):
        if not path.stem.isdecimal() or (pid is not None and int(path.stem) != pid):
            continue
        try:
            alive[int(path.stem)] = ControlClient(path)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # its bot was killed
        except OSError as error:
            raise SlotzeroError(f"the bot's socket {path} cannot be used ({error.strerror})") from error
    if len(alive) == 1:
        return next(iter(alive.values()))
    for client in alive.values():
        client.close()
    if alive:
        raise UsageError(f"several bots run ({', '.join(map(str, alive))}); name one with --bot PID")
    if pid is not None:
        raise UsageError(f"no bot of process {pid} runs; leave --bot away to find the one that does")
    raise SlotzeroError(
        "no bot is running, so nothing is being bought; `slotzero run` takes up what an earlier one holds"
    )


class ControlClient:
    """A connection to one bot. Use it as a context manager.

    Raises:
        OSError: Nobody listens there.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_TIMEOUT_S)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the connection; safe to call twice."""
        with contextlib.suppress(OSError):
            self._file.close()
            self._socket.close()

    def ask(self, request: Request) -> Status:
        """Send a command and return how the bot stands after it. *Does I/O.*

        Raises:
            SlotzeroError: The bot refused it, or is gone.
            MalformedError: It answered with something else.
        """
        # A command line may hold bytes that are no text: no reason to refuse what is asked for in an emergency.
        request = replace(request, reason=_text(request.reason), position=_text(request.position))
        try:
            self._socket.sendall(msgspec.json.encode(request) + b"\n")
            line = self._file.readline(MAX_LINE)
        except OSError as error:
            raise SlotzeroError(f"the bot does not answer ({error}); is it still running?") from error
        if not line.endswith(b"\n"):
            raise SlotzeroError("the bot has ended meanwhile")
        try:
            reply = msgspec.json.decode(line, type=Reply)
        except msgspec.MsgspecError as error:
            raise MalformedError(f"the bot answered with something else: {error}") from error
        if isinstance(reply.error, str):
            raise SlotzeroError(reply.error)
        if not isinstance(reply.status, Status):
            raise MalformedError("the bot answered with neither a status nor an error")
        return reply.status


def _text(argument: str) -> str:
    return argument.encode(errors="replace").decode()
