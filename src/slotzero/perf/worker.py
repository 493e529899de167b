"""A benchmark in a process of its own: the process. Started by `isolated` as `python -m slotzero.perf.worker LOOP`."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from slotzero.clock import is_due, later, mono_ns, ms
from slotzero.errors import UsageError
from slotzero.perf.benchmark import measure
from slotzero.perf.isolated import STOP, WorkerMessage, WorkerRequest
from slotzero.perf.types import (
    BenchmarkFailure,
    BenchmarkOptions,
    BenchmarkOutcome,
    BenchmarkResult,
    CallableNotFound,
    Progress,
    Stuck,
)
from slotzero.perf.workload import Workload, WorkloadFactory, load_reference

__all__ = ["main"]

_PROGRESS_EVERY_MS: Final = 100
_STUCK_EXIT: Final = 70
_ORPHANED_EXIT: Final = 71
_WRONG_USE: Final = 2


class _Parent:
    """Who has started us: told of progress, asked whether to stop.

    Its lines are read from the bare descriptor. A thread that waits within `sys.stdin` holds its lock, and the
    interpreter, which wants to close it at the end, gives up after a second with a fatal error.
    """

    def __init__(self, out: int) -> None:
        self._out = out
        self._read = bytearray()
        self._lock = threading.Lock()
        self._next_at = 0
        self.wants_stop = False
        self.has_ended = False

    def listen(self, on_gone: Callable[[], None]) -> None:
        """Read stdin in a thread, to its end."""

        def read() -> None:
            while line := self.line():
                self.wants_stop = self.wants_stop or line == STOP
            on_gone()

        threading.Thread(target=read, name="slotzero-parent", daemon=True).start()

    def line(self) -> bytes:
        """Return the next line, empty when there will be none."""
        while b"\n" not in self._read:
            more = os.read(0, 65_536)
            if not more:
                return b""
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return bytes(line) + b"\n"

    def on_progress(self, progress: Progress) -> bool:
        """Pass progress on, ten times a second at most."""
        now = mono_ns()
        if is_due(self._next_at, now) or progress.made >= progress.of:
            self._next_at = later(now, ms(_PROGRESS_EVERY_MS))
            self.say(WorkerMessage(progress=progress))
        return self.wants_stop

    def say(self, message: WorkerMessage) -> None:
        """Write one line; nothing after the outcome."""
        with self._lock:
            if self.has_ended:
                return
            self.has_ended = message.outcome is not None
            left = memoryview(msgspec.json.encode(message) + b"\n")
            while left:
                left = left[os.write(self._out, left) :]


def main() -> None:
    """Measure what stdin asks for."""
    if len(sys.argv) != 2 or sys.argv[1] not in {"asyncio", "uvloop"}:  # noqa: PLR2004 the program and one word
        sys.stderr.write("this is the worker of an isolated benchmark, started by slotzero.perf itself\n")
        sys.exit(_WRONG_USE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What the measured code prints must not come between our lines.
    parent = _Parent(os.dup(1))
    os.dup2(2, 1)
    request = msgspec.json.decode(parent.line(), type=WorkerRequest)
    sys.path[:] = request.path
    with asyncio.Runner(loop_factory=_loop_factory(sys.argv[1])) as runner:
        parent.say(WorkerMessage(outcome=runner.run(_measure(request, parent))))


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name == "asyncio":
        return None
    import uvloop  # noqa: PLC0415 only where it is asked for

    return uvloop.new_event_loop


async def _measure(request: WorkerRequest, parent: _Parent) -> BenchmarkOutcome:
    options = request.options
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def on_gone() -> None:
        """Take the surroundings down; when that takes too long, or the loop is blocked, end all the same."""
        if task is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: all is done
                loop.call_soon_threadsafe(task.cancel)
        threading.Event().wait(5)
        os._exit(_ORPHANED_EXIT)

    parent.listen(on_gone)
    try:
        found = load_reference(request.reference)
    except UsageError as error:
        return _failure(options, CallableNotFound(reference=request.reference, message=str(error)))

    def on_stuck(sample: int) -> None:
        stuck = Stuck(sample=sample, timeout_ms=options.timeout_ms)
        parent.say(WorkerMessage(outcome=_failure(options, stuck)))
        os._exit(_STUCK_EXIT)

    async def take(made: Workload) -> BenchmarkOutcome:
        outcome = await measure(
            made.run,
            options,
            setup=made.setup,
            teardown=made.teardown,
            check=made.check,
            on_progress=parent.on_progress,
            on_stuck=on_stuck,
        )
        if isinstance(outcome, BenchmarkResult):
            more = made.report() if made.report is not None else ()
            return replace(outcome, notes=(*made.notes, *more, *outcome.notes))
        return outcome

    if not isinstance(found, WorkloadFactory):
        return await take(Workload(run=found))
    try:
        surroundings = found.open(**request.parameters)
    except UsageError as error:
        return _failure(options, CallableNotFound(reference=request.reference, message=str(error)))
    async with surroundings as made:
        return await take(made)


def _failure(options: BenchmarkOptions, error: CallableNotFound | Stuck) -> BenchmarkFailure:
    return BenchmarkFailure(
        component=options.component.value if options.component else None,
        name=options.title,
        error=error,
        labels=options.labels,
    )


if __name__ == "__main__":
    main()
