"""A benchmark in a process of its own: the process. Started by `isolated` as `python -m slotzero.perf.worker LOOP`."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, cast

import msgspec
from msgspec.structs import replace

from slotzero.clock import is_due, later, mono_ns, ms
from slotzero.errors import UsageError
from slotzero.perf.benchmark import measure
from slotzero.perf.isolated import STOP, WorkerMessage, WorkerRequest
from slotzero.perf.second_look import second_look
from slotzero.perf.timing import Callable0, kind_of, leaf_of
from slotzero.perf.types import (
    BenchmarkError,
    BenchmarkFailure,
    BenchmarkOutcome,
    BenchmarkResult,
    CallableNotFound,
    Progress,
    SecondLook,
    Stuck,
    SurroundingsFailed,
)
from slotzero.perf.workload import Workload, WorkloadFactory, load_reference

__all__ = ["main"]

_PROGRESS_EVERY_MS: Final = 100
_STUCK_EXIT: Final = 70
_ORPHANED_EXIT: Final = 71
_WRONG_USE: Final = 2
_MOST_TEXT: Final = 500


class _Parent:
    """Who has started us: told of progress, asked whether to stop.

    Its lines are read from the bare descriptor. A thread that waits within `sys.stdin` holds its lock, and the
    interpreter, which wants to close it at the end, gives up after a second with a fatal error.
    """

    def __init__(self) -> None:
        # Descriptors of our own: what the measured code or a child of its prints or reads must not come between.
        self._in, self._out = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
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
            more = os.read(self._in, 65_536)
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
    parent = _Parent()
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
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def on_gone() -> None:
        """Take the surroundings down; when that takes too long, or the loop is blocked, end all the same."""
        if task is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: all is done
                loop.call_soon_threadsafe(task.cancel)
        threading.Event().wait(5)
        os._exit(_ORPHANED_EXIT)

    parent.listen(on_gone)
    job = _Job(request, parent)
    try:
        found = load_reference(request.reference)
        surroundings = found.open(**request.parameters) if isinstance(found, WorkloadFactory) else None
    except UsageError as error:
        return job.failure(CallableNotFound(reference=request.reference, message=str(error)))
    if surroundings is None:
        return await job.measure(Workload(run=cast("Callable0", found)))
    return await job.measure_within(surroundings)


class _Job:
    """The one benchmark of this process."""

    def __init__(self, request: WorkerRequest, parent: _Parent) -> None:
        self._request = request
        self._options = request.options
        self._parent = parent

    async def measure_within(self, surroundings: AbstractAsyncContextManager[Workload]) -> BenchmarkOutcome:
        """Measure a workload. What is known already is not lost when its surroundings cannot be taken down."""
        outcome: BenchmarkOutcome | None = None
        try:
            async with surroundings as made:
                outcome = await self.measure(made)
        except Exception as error:  # noqa: BLE001 anyone's code; its reason is the result
            kind, message = kind_of(error), str(leaf_of(error))[:_MOST_TEXT]
            if outcome is None:
                return self.failure(SurroundingsFailed(reference=self._request.reference, kind=kind, message=message))
            if isinstance(outcome, BenchmarkResult):
                note = f"what it needed could not be taken down in order, {kind}: {message}"
                outcome = replace(outcome, notes=(*outcome.notes, note))
        assert outcome is not None, "a block that ends without an error has an outcome"
        return outcome

    async def measure(self, made: Workload) -> BenchmarkOutcome:
        """Measure, and add what the workload says of itself."""
        outcome = await measure(
            made.run,
            self._options,
            setup=made.setup,
            teardown=made.teardown,
            check=made.check,
            on_progress=self._parent.on_progress,
            on_stuck=self._on_stuck,
        )
        if not isinstance(outcome, BenchmarkResult):
            return outcome
        more = made.report() if made.report is not None else ()
        outcome = replace(outcome, notes=(*made.notes, *more, *outcome.notes))
        look = self._request.look
        return outcome if look is None or outcome.stopped else await self._look_again(made, outcome, look)

    async def _look_again(self, made: Workload, measured: BenchmarkResult, look: SecondLook) -> BenchmarkResult:
        """Take the second look, in the same surroundings. A sample that hangs ends the look, not the result."""

        def on_stuck(sample: int) -> None:
            note = f"the second look was given up: its sample {sample} could not be ended"
            self._parent.say(WorkerMessage(outcome=replace(measured, notes=(*measured.notes, note))))
            os._exit(_STUCK_EXIT)

        return await second_look(made, self._options, measured, look, on_stuck=on_stuck)

    def _on_stuck(self, sample: int) -> None:
        stuck = Stuck(sample=sample, timeout_ms=self._options.timeout_ms)
        self._parent.say(WorkerMessage(outcome=self.failure(stuck)))
        os._exit(_STUCK_EXIT)

    def failure(self, error: BenchmarkError) -> BenchmarkFailure:
        """Return why there is no result."""
        options = self._options
        return BenchmarkFailure(
            component=options.component.value if options.component else None,
            name=options.title,
            error=error,
            labels=options.labels,
        )


if __name__ == "__main__":
    main()
