"""Collects evidence while a callable is measured: `with EvidenceWatch(...) as watch`, then `watch.evidence(result)`.

    tape = StageTape()
    with EvidenceWatch(loop=asyncio.get_running_loop(), tape=tape) as watch:
        result = await benchmark_service.run(watch.wrap(fn), options)
    for suggestion in suggest(watch.evidence(result)):
        print(suggestion.title)

It asks the loop from a thread whether it still comes round, every 2 ms, and writes down what was running when it did
not for 10 ms. That and the stages cost some percent: a pass of its own, beside the one whose figures are published.

Weaknesses: a hold-up shorter than 10 ms is not seen, and its length is known to about 2 ms. A call that keeps the
interpreter's lock in C is seen when it lets go, still at its place.
"""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import PurePath
from types import CodeType, FrameType, TracebackType
from typing import Final, Self, cast

from slotzero.clock import earlier, elapsed_ns, is_due, later, mono_ns, ms
from slotzero.perf.evidence import Evidence, LoopBlock, MemoryPoint, Pause, SampleRecord, sample_of
from slotzero.perf.procfs import process_times
from slotzero.perf.profile.records import Profile
from slotzero.perf.stages import StageTape
from slotzero.perf.timing import Callable0, is_async
from slotzero.perf.types import BenchmarkResult
from slotzero.trace import Component, Trace
from slotzero.units import DurationNs, MonoNs

__all__ = ["EvidenceWatch"]

_LOOK_S: Final = 0.002
_BLOCKED_MS: Final = 10
_MEMORY_MS: Final = 20
_MOST_BLOCKS: Final = 10_000
_MOST_PAUSES: Final = 100_000
_MOST_POINTS: Final = 4_096
_NS_PER_S: Final = 1e9
_WAITING: Final = ("selectors.py", "asyncio/runners.py")
"""Where a loop is that waits: asyncio's in the selector, uvloop's in C under its runner."""


class EvidenceWatch:
    """Watches one benchmark while it is open.

    Args:
        loop: The loop to ask, or None for a callable that needs none.
        tape: Where the callable notes its stages; one of its own when None.
        component: Whose stages a returned `Trace` is cut into.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        tape: StageTape | None = None,
        component: Component | None = None,
    ) -> None:
        self._loop = loop
        self._tape = StageTape() if tape is None else tape
        self._component = component
        self._is_async = True
        self._codes: set[CodeType] = set()
        self._blocks: list[LoopBlock] = []
        self._pauses: list[Pause] = []
        self._memory: list[MemoryPoint] = []
        self._memory_every = ms(_MEMORY_MS)
        self._pass_began = 0
        self._thread = threading.Thread(target=self._look, name="slotzero-evidence", daemon=True)
        self._ended = threading.Event()
        self._answered = threading.Event()
        self._answer_at = 0

    def __enter__(self) -> Self:
        """Begin to watch, from the thread whose loop is asked."""
        self._watched_thread = threading.get_ident()
        self._answer_at = mono_ns()
        self._note_memory()
        gc.callbacks.append(self._on_collection)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._ended.set()
        self._answered.set()
        self._thread.join()
        gc.callbacks.remove(self._on_collection)
        self._note_memory()

    def wrap(self, fn: Callable0) -> Callable0:
        """Return a callable that does what `fn` does, as a sample of the tape."""
        self._is_async = is_async(fn)
        if not self._is_async:

            def called() -> object:
                with self._tape.sample():
                    value = fn()
                self._cut(value)
                return value

            self._codes.add(called.__code__)
            return called

        async def awaited() -> object:
            with self._tape.sample():
                value = await cast("Callable[[], asyncio.Future[object]]", fn)()
            self._cut(value)
            return value

        self._codes.add(awaited.__code__)
        return awaited

    def evidence(
        self,
        result: BenchmarkResult | None = None,
        *,
        name: str = "",
        targets_ns: Mapping[str, int] | None = None,
        profile: Profile | None = None,
        memory_limit_mb: float = 500.0,
    ) -> Evidence:
        """Return what was seen while the counted samples were taken; a result says how many those are."""
        samples = self._tape.samples
        if result is not None:
            samples = samples[-result.samples :]
        return Evidence(
            name=name or (result.name if result else ""),
            component=result.component if result else (self._component.value if self._component else None),
            is_async=self._is_async,
            samples=samples,
            blocks=tuple(block for block in self._blocks if _within(block.start, block.took_ns, samples)),
            pauses=tuple(pause for pause in self._pauses if _within(pause.start, pause.took_ns, samples)),
            memory=tuple(point for point in self._memory if _within(point.at, 0, samples)),
            profile=profile,
            result=result,
            targets_ns=dict(targets_ns or {}),
            memory_limit_mb=memory_limit_mb,
        )

    def _cut(self, value: object) -> None:
        if isinstance(value, Trace) and self._component is not None:
            sample = sample_of(value, self._component)
            if sample is not None:
                self._tape.replace_newest(sample)

    # The thread

    def _look(self) -> None:
        noted = mono_ns()
        while not self._ended.wait(_LOOK_S):
            now = mono_ns()
            if is_due(later(noted, self._memory_every), now):
                noted = now
                self._note_memory()
            if self._loop is not None:
                self._ask(self._loop)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        asked, alive = mono_ns(), self._answer_at
        self._answered.clear()
        try:
            loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # the loop has been closed under us
            self._loop = None
            return
        if self._answered.wait(ms(_BLOCKED_MS) / _NS_PER_S) or self._ended.is_set():
            return
        running = self._running()
        self._answered.wait()
        if self._ended.is_set() or running is None or len(self._blocks) >= _MOST_BLOCKS:
            return
        where, in_sample = running
        # The loop stopped at some instant between its last answer and our question: the middle is off by a millisecond.
        start = earlier(asked, elapsed_ns(alive, asked) // 2)
        took = elapsed_ns(start, self._answer_at)
        self._blocks.append(LoopBlock(start=start, took_ns=took, where=where, in_sample=in_sample))

    def _answer(self) -> None:
        self._answer_at = mono_ns()
        self._answered.set()

    def _running(self) -> tuple[str, bool] | None:
        """Return the innermost function of the watched thread, and whether the measured callable is on its stack.

        None when the loop itself waits for events: then it was the machine that did not let it run.
        """
        frame = sys._current_frames().get(self._watched_thread)  # noqa: SLF001 there is no public way to it
        if frame is None:
            return None
        code = frame.f_code
        if code.co_filename.endswith(_WAITING):
            return None
        where = f"{code.co_qualname} ({PurePath(code.co_filename).name}:{frame.f_lineno})"
        at: FrameType | None = frame
        while at is not None:
            if at.f_code in self._codes:
                return where, True
            at = at.f_back
        return where, False

    def _note_memory(self) -> None:
        times = process_times()
        if times is None:
            return
        point = MemoryPoint(at=MonoNs(mono_ns()), rss_bytes=times.rss_bytes, heap_blocks=sys.getallocatedblocks())
        self._memory.append(point)
        if len(self._memory) >= _MOST_POINTS:
            del self._memory[1::2]
            self._memory_every = DurationNs(2 * self._memory_every)

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._pass_began = mono_ns()
        elif len(self._pauses) < _MOST_PAUSES:
            start = self._pass_began
            took = elapsed_ns(start, mono_ns())
            self._pauses.append(Pause(start=MonoNs(start), took_ns=took, generation=info["generation"]))


def _within(start: int, took_ns: int, samples: tuple[SampleRecord, ...]) -> bool:
    """Tell whether a stretch touches the time from the first sample's start to the last one's end."""
    if not samples:
        return True
    last = samples[-1]
    return later(start, took_ns) >= samples[0].start and start <= later(last.start, last.took_ns)
