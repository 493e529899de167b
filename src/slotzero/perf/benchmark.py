"""Measure any callable: warm up, take samples, say what they show.

::

    outcome = await benchmark_service.run(fetch_quote, BenchmarkOptions(name="quote", samples=1_000))
    if isinstance(outcome, BenchmarkResult):
        print(outcome.latency_ms.p95)

One sample is one call, awaited in the caller's task on the caller's loop, between two readings of the clock. Setup,
teardown, check and timeout are outside of them. `run` measures in this process, one benchmark at a time unless both
are marked as shared; `run_isolated` measures in a process of its own, as many at a time as are asked for.

Weakness: samples are taken one after another, so a callable that stalls is not called meanwhile, and its p99 speaks of
calls, not of users who would have come (coordinated omission). Offered load is what `slotzero load` measures.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Final, Literal, TypeAlias
from weakref import WeakKeyDictionary

from msgspec import Struct
from msgspec.structs import replace

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.perf.environment import QuietWatch, event_loop_name
from slotzero.perf.isolated import LoopName, measure_isolated
from slotzero.perf.resources import ResourceWatch
from slotzero.perf.steady import NEEDED, is_steady
from slotzero.perf.summary import (
    histogram_of,
    latency_stats,
    starts_at,
    stats_of_histogram,
    target_verdict,
    throughput_stats,
)
from slotzero.perf.timing import RAW_LIMIT, AbandonedError, Callable0, Check, SampleLoop, Tape, is_async
from slotzero.perf.types import (
    BenchmarkError,
    BenchmarkFailure,
    BenchmarkFinished,
    BenchmarkOptions,
    BenchmarkOutcome,
    BenchmarkResult,
    MixedSpans,
    NoSuccess,
    Progress,
    ResourceStats,
    SampleCount,
    SecondLook,
)
from slotzero.perf.watchdog import Watchdog

__all__ = ["BenchmarkService", "Hook", "OnProgress", "benchmark_service", "measure"]

Hook: TypeAlias = Callable[[BenchmarkFinished], None]
OnProgress: TypeAlias = Callable[[Progress], bool | None]
"""Told of progress between two samples every few milliseconds; True stops the benchmark with what it has."""

_NS_PER_S: Final = 1e9
_STEADY_STEP: Final = 50
_KEPT_WARMUP: Final = 1_000
_KEPT_SAMPLES: Final = 10_000
_SHORT_FLOORS: Final = 10
"""A median below so many clock readings is mostly the clock's own time."""


class _Turn:
    """Who measures in this process now: any number of shared benchmarks, or one that is alone."""

    def __init__(self) -> None:
        self.changed = asyncio.Condition()
        self.running: list[_Running] = []


class _Running(Struct, eq=False):
    """A benchmark under way, and whom it has met."""

    name: str
    is_shared: bool
    met: set[str]


class BenchmarkService:
    """Runs benchmarks.

    Args:
        hooks: Each is called once for each benchmark that has ended, after it; what one raises goes to the caller.
    """

    def __init__(self, *hooks: Hook) -> None:
        self._hooks = list(hooks)
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn] = WeakKeyDictionary()
        self._isolated: list[_Running] = []

    def add_hook(self, hook: Hook) -> None:
        """Have `hook` called for each benchmark that ends from now on."""
        self._hooks.append(hook)

    async def run(
        self,
        fn: Callable0,
        options: BenchmarkOptions,
        *,
        setup: Callable0 | None = None,
        teardown: Callable0 | None = None,
        check: Check | None = None,
        on_progress: OnProgress | None = None,
    ) -> BenchmarkOutcome:
        """Measure `fn` in this process. *Cancellation: ends the benchmark, without a result.*

        Args:
            fn: What is measured: called without arguments, awaited when it is a coroutine function. It may return a
                `Trace` of `options.component` or a `Span`: then that is the sample's time, split into own and waited.
            options: How.
            setup: Called before each sample, outside of the clock; awaited when it returns something to await.
            teardown: Called after each sample, failed ones included, likewise.
            check: Looks at each value returned, outside of the clock: None, or the kind of error it counts as.
            on_progress: Told how far it is; returns True to stop with what there is.
        """
        async with self._turn(options) as running:
            began = mono_ns()
            outcome = await measure(fn, options, setup=setup, teardown=teardown, check=check, on_progress=on_progress)
            if isinstance(outcome, BenchmarkResult) and options.shared:
                outcome = replace(outcome, sharing="shared", shared_with=tuple(sorted(running.met)))
        return self._finished(options, outcome, elapsed_ns(began, mono_ns()))

    async def run_isolated(
        self,
        reference: str,
        options: BenchmarkOptions,
        *,
        loop: LoopName = "asyncio",
        parameters: dict[str, str] | None = None,
        look: SecondLook | None = None,
        on_progress: OnProgress | None = None,
    ) -> BenchmarkOutcome:
        """Measure what `reference` names in a process of its own. *Does I/O.* *Cancellation: ends the process.*

        Several at once measure each other's use of the machine: two on two cores are fine, the result names them all.

        Args:
            reference: `module:callable`: a function, or a workload (see `workload`). Its setup, teardown and check are
                the workload's own.
            options: How; `shared` means nothing here.
            loop: On which event loop.
            parameters: Of the workload, by name.
            look: What to look at once more after it, or None.
            on_progress: As with `run`.
        """
        running = _Running(options.title, is_shared=True, met=set())
        self._meet(running, self._isolated)
        began = mono_ns()
        try:
            outcome = await measure_isolated(
                reference, options, loop=loop, parameters=parameters or {}, on_progress=on_progress, look=look
            )
        finally:
            self._isolated.remove(running)
        if isinstance(outcome, BenchmarkResult):
            outcome = replace(outcome, sharing="process", shared_with=tuple(sorted(running.met)))
        return self._finished(options, outcome, elapsed_ns(began, mono_ns()))

    def _finished(self, options: BenchmarkOptions, outcome: BenchmarkOutcome, took_ns: int) -> BenchmarkOutcome:
        component = options.component.value if options.component else None
        record = BenchmarkFinished(
            name=options.title,
            component=component,
            labels=options.labels,
            outcome=outcome,
            wall_s=took_ns / _NS_PER_S,
        )
        for hook in self._hooks:
            hook(record)
        return outcome

    @asynccontextmanager
    async def _turn(self, options: BenchmarkOptions) -> AsyncIterator[_Running]:
        turn = self._turns.setdefault(asyncio.get_running_loop(), _Turn())
        running = _Running(options.title, is_shared=options.shared, met=set())

        def is_free() -> bool:
            return not turn.running or (options.shared and all(other.is_shared for other in turn.running))

        async with turn.changed:
            await turn.changed.wait_for(is_free)
            self._meet(running, turn.running)
        try:
            yield running
        finally:
            turn.running.remove(running)
            async with turn.changed:
                turn.changed.notify_all()

    @staticmethod
    def _meet(running: _Running, others: list[_Running]) -> None:
        for other in others:
            other.met.add(running.name)
            running.met.add(other.name)
        others.append(running)


async def measure(
    fn: Callable0,
    options: BenchmarkOptions,
    *,
    setup: Callable0 | None = None,
    teardown: Callable0 | None = None,
    check: Check | None = None,
    on_progress: OnProgress | None = None,
    on_stuck: Callable[[int], None] | None = None,
) -> BenchmarkOutcome:
    """Measure `fn` once, whoever else measures now: what `BenchmarkService.run` does when it is its turn."""
    run = _Run(options, on_progress)
    with Watchdog(timeout_ms=options.timeout_ms, is_async=is_async(fn), on_stuck=on_stuck) as dog:
        loop = SampleLoop(
            fn,
            component=options.component,
            timeout_ms=options.timeout_ms,
            fail_fast=options.fail_fast,
            setup=setup,
            teardown=teardown,
            check=check,
            watch=dog,
            pause=run.pause,
        )
        try:
            return await run.take(loop, dog, is_async=is_async(fn))
        except AbandonedError as abandoned:
            return run.failure(abandoned)


class _Run:
    """One benchmark from its first warm-up call to its result."""

    def __init__(self, options: BenchmarkOptions, on_progress: OnProgress | None) -> None:
        self._options = options
        self._on_progress = on_progress
        self._phase: Literal["warmup", "measure"] = "warmup"
        self._aim = options.warmup
        self._was_stopped = False
        self._quiet = QuietWatch()

    def pause(self, made: int) -> bool:
        """Tell of progress. Returns whether to stop."""
        if self._on_progress is not None:
            progress = Progress(name=self._options.title, phase=self._phase, made=made, of=self._aim)
            self._was_stopped = bool(self._on_progress(progress)) or self._was_stopped
        return self._was_stopped

    async def take(self, loop: SampleLoop, dog: Watchdog, *, is_async: bool) -> BenchmarkOutcome:
        """Warm up, measure, sum up."""
        options = self._options
        warm, tape = Tape(), Tape()
        steady = await self._warm_up(loop, warm)
        self._phase, self._aim = "measure", options.samples
        gc.collect()  # what the warm-up has left behind is not the samples' to clear away
        watch = None
        if options.collect_resources:
            watch = ResourceWatch(
                interval_ms=options.resource_sample_interval_ms,
                loop=asyncio.get_running_loop() if is_async else None,
                trace_heap=options.trace_heap,
                sample=lambda: dog.sample,
            )
        with watch or nullcontext():
            if not self._was_stopped:
                keep_raw = options.samples <= RAW_LIMIT
                await loop.take(tape, options.samples, phase="measure", keep_raw=keep_raw)
        return self._outcome(warm, tape, steady=steady, resources=watch.stats() if watch is not None else None)

    async def _warm_up(self, loop: SampleLoop, warm: Tape) -> bool | None:
        options = self._options
        if options.warmup:
            await loop.take(warm, options.warmup, phase="warmup", keep_raw=True)
        if not options.steady_state:
            return None
        self._aim = options.max_warmup
        while not (steady := is_steady(warm.durations)) and warm.made < options.max_warmup:
            step = max(NEEDED - warm.made, _STEADY_STEP)
            if not await loop.take(warm, min(step, options.max_warmup - warm.made), phase="warmup", keep_raw=True):
                break
        return steady

    def _outcome(
        self,
        warm: Tape,
        tape: Tape,
        *,
        steady: bool | None,
        resources: ResourceStats | None,
    ) -> BenchmarkOutcome:
        options = self._options
        if not tape.succeeded:
            message = next(iter(tape.examples.values()), "it was stopped before the first sample")
            return self._failed(NoSuccess(errors=dict(tape.errors), message=message))
        if tape.spans and tape.spans != tape.succeeded:
            return self._failed(MixedSpans(with_span=tape.spans, without_span=tape.succeeded - tape.spans))
        is_exact = tape.histogram is None
        histogram = histogram_of(tape)
        latency = latency_stats(tape.durations) if is_exact else stats_of_histogram(histogram)
        throughput = throughput_stats(tape)
        noise = self._quiet.certificate()
        return BenchmarkResult(
            component=options.component.value if options.component else None,
            name=options.title,
            samples=SampleCount(tape.made),
            warmup=SampleCount(warm.made),
            latency_ms=latency,
            throughput=throughput,
            histogram=histogram.to_text(),
            labels=options.labels,
            steady=steady,
            errors=dict(tape.errors),
            error_examples=dict(tape.examples),
            own_ms=latency_stats(tape.own) if tape.own else None,
            waited_ms=latency_stats(tape.waited) if tape.waited else None,
            resources=resources,
            target=None if options.target is None else target_verdict(options.target, latency, throughput, resources),
            starts_at=starts_at(tape),
            event_loop=event_loop_name(),
            stopped=self._was_stopped and tape.made < options.samples,
            noise=noise,
            notes=self._notes(warm, latency.median * 1e6, noise.clock_floor_ns, steady=steady),
            warmup_ns=tuple(warm.durations[:_KEPT_WARMUP]),
            samples_ns=tuple(tape.durations) if is_exact and tape.made <= _KEPT_SAMPLES else None,
        )

    def _notes(
        self,
        warm: Tape,
        median_ns: float,
        floor_ns: int,
        *,
        steady: bool | None,
    ) -> tuple[str, ...]:
        notes = []
        if median_ns < _SHORT_FLOORS * floor_ns:
            notes.append(
                f"the median of {median_ns:.0f} ns is close to what reading the clock takes ({floor_ns} ns, not "
                "taken off): measure several operations in one call"
            )
        if steady is False:
            notes.append(f"no steady state within {warm.made} warm-up calls")
        if failed := sum(warm.errors.values()):
            kinds = ", ".join(sorted(warm.errors))
            notes.append(f"{failed} of {warm.made} warm-up calls failed ({kinds})")
        if self._options.trace_heap:
            notes.append("the Python heap was traced, which multiplies times")
        return tuple(notes)

    def failure(self, abandoned: AbandonedError) -> BenchmarkFailure:
        """Return why the benchmark could not go on."""
        return self._failed(abandoned.error)

    def _failed(self, error: BenchmarkError) -> BenchmarkFailure:
        options = self._options
        return BenchmarkFailure(
            component=options.component.value if options.component else None,
            name=options.title,
            error=error,
            labels=options.labels,
        )


benchmark_service: Final = BenchmarkService()
"""The one most programs need."""
