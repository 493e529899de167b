"""One version's process, asked over pipes. The shell around `worker.py`. *Does I/O.*

A worker that dies, hangs or answers nonsense ends the comparison with one sentence that says whose it was, what it was
doing, and what it last wrote. However the caller leaves, both processes end: by the end of their stdin, by force after
five seconds.
"""

import contextlib
import os
import selectors
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Literal, Self

import msgspec
from msgspec import Struct

from slotzero.clock import add_ms, as_ms, elapsed_ns, mono_ns
from slotzero.errors import WorkerError

__all__ = ["HARNESS", "EventLoop", "Reply", "Side", "Worker"]

EventLoop = Literal["asyncio", "uvloop"]

HARNESS: Final = Path(__file__).with_name("worker.py")
_READY_MS: Final = 60_000
_PATIENCE_S: Final = 5.0
"""Three chains and engines are taken down in half a second where nobody else works."""
_MOST_TEXT: Final = 400
_MS_PER_S: Final = 1_000
_CHUNK: Final = 1 << 16


class Side(Struct, frozen=True, kw_only=True):
    """One version: what to start, and what to call it.

    Attributes:
        label: For people ("BASE 1a2b3c4").
        python: The interpreter.
        paths: Its sources, put before everything installed.
        root: Where the measured code must lie, or None where that is not known.
        cwd: Where its process starts; None = here.
        event_loop: What async workloads run on.
    """

    label: str
    python: str
    paths: tuple[str, ...] = ()
    root: str | None = None
    cwd: str | None = None
    event_loop: EventLoop = "asyncio"


class Reply(Struct, frozen=True):
    """What a worker answers; which field is set says what it means.

    `call_ns` comes with `ns` where calls tell their own time: how long one really lasted.
    """

    ready: bool = False
    python: str = ""
    ok: bool = False
    ns: list[int] | None = None
    call_ns: int | None = None
    missing: str | None = None
    failed: str | None = None


_decode = msgspec.json.Decoder(Reply).decode


class Worker:
    """A process of one version, from its start to its end. A context manager.

    Args:
        side: Whose.
        environment: Variables on top of ours.
    """

    def __init__(self, side: Side, environment: Mapping[str, str]) -> None:
        self._side = side
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 closed with the worker
        self._doing = "starting"
        self._pending = b""
        ours = {"PYTHONPATH": os.pathsep.join(side.paths), "SLOTZERO_WORKER_LOOP": side.event_loop}
        variables = {**os.environ, **environment, **ours}
        command = [side.python, "-P", str(HARNESS)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 an interpreter and a script of ours
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=variables, cwd=side.cwd
            )
        except OSError as error:
            self._said.close()
            raise WorkerError(f"the worker of {side.label} cannot be started: {error}") from error
        assert self._process.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process."""
        self.close()

    @property
    def label(self) -> str:
        """Whose worker it is."""
        return self._side.label

    def await_ready(self) -> None:
        """Wait until it has started. Raises WorkerError when it does not."""
        if not self.receive(_READY_MS).ready:
            raise WorkerError(f"the worker of {self.label} did not say that it was ready")

    def send(self, request: Mapping[str, object], doing: str) -> None:
        """Ask; `receive` has the answer. Two workers asked one after the other work at the same time.

        Args:
            request: As `worker.py` understands it.
            doing: What that is, for an error's sentence.
        """
        self._doing = doing
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def receive(self, timeout_ms: int) -> Reply:
        """Return the answer to what was asked.

        Raises:
            WorkerError: None came in time (the process is ended then), or the process has ended.
        """
        line = self._line(timeout_ms)
        try:
            return _decode(line)
        except msgspec.DecodeError as error:
            shown = line[:_MOST_TEXT].decode(errors="replace")
            raise WorkerError(f"the worker of {self.label} answered nonsense while {self._doing}: {shown}") from error

    def ask(self, request: Mapping[str, object], doing: str, timeout_ms: int) -> Reply:
        """Ask and return the answer. Raises WorkerError as `receive` does."""
        self.send(request, doing)
        return self.receive(timeout_ms)

    def dismiss(self) -> None:
        """Let the process end, without waiting until it has. Safe to call twice."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # what it has not read is of no interest any more
                self._process.stdin.close()

    def close(self) -> None:
        """End the process. Safe to call twice."""
        process = self._process
        self.dismiss()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None and not process.stdout.closed:
            self._selector.close()
            process.stdout.close()
            self._said.close()

    def _line(self, timeout_ms: int) -> bytes:
        assert self._process.stdout is not None
        deadline = add_ms(mono_ns(), timeout_ms)
        while b"\n" not in self._pending:
            left = as_ms(elapsed_ns(mono_ns(), deadline))
            if not left or not self._selector.select(left / _MS_PER_S):
                self._process.kill()
                seconds = timeout_ms / _MS_PER_S
                raise WorkerError(
                    f"the worker of {self.label} did not answer within {seconds:g} s while {self._doing}; "
                    f"it was ended{self._last_words()}"
                )
            chunk = os.read(self._process.stdout.fileno(), _CHUNK)
            if not chunk:
                raise self._ended()
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _ended(self) -> WorkerError:
        try:
            code = self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:  # it closed its pipes and lives on
            self._process.kill()
            code = self._process.wait()
        return WorkerError(
            f"the worker of {self.label} ended with exit code {code} while {self._doing}{self._last_words()}"
        )

    def _last_words(self) -> str:
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _MOST_TEXT))
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f"; it last wrote: {lines[-1]}" if lines else ""
