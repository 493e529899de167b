"""Put load on any async callable, and say what the figures are worth.

::

    config = LoadTestConfig(scenario="quotes", target_ops=200, duration=30, concurrency=50)
    outcome = await load_test_service.run(fetch_quote, config)
    if isinstance(outcome, LoadResult) and outcome.passed:
        print(outcome.latency_ms.p95)

An open plan begins operations at instants fixed beforehand, and its response times count from those, so that a target
that stalls is seen to stall: with a freeze of 1 s in every 10 s at 100/s the 99th percentile is 900 ms, where a closed
loop of one user reports 10 ms. A closed plan has users that wait for their answers, and its service times say so. The
generator judges itself (see `generator`): a run in which it was the bottleneck cannot pass.

`LoadRun` is the same in parts, for shards that are armed first and started together (see `shard`).
"""

import asyncio
import gc
import inspect
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, Literal, TypeAlias

from msgspec.structs import replace

from slotzero.clock import earlier, elapsed_ns, is_due, later, mono_ns, ms
from slotzero.perf.classify import message_of
from slotzero.perf.environment import event_loop_name
from slotzero.perf.generator import Evidence, judge
from slotzero.perf.histogram import Histogram
from slotzero.perf.load_loops import Dispatcher, Users
from slotzero.perf.load_report import Measured, load_result, run_figures
from slotzero.perf.load_tape import LoadTape, Timeline, window_figures
from slotzero.perf.load_types import (
    Incident,
    LoadError,
    LoadFailure,
    LoadOutcome,
    LoadProgress,
    LoadTestConfig,
    Probe,
    ProcessStats,
    ResultClassifier,
    Window,
)
from slotzero.perf.load_watches import LoadWatches
from slotzero.perf.operation_end import OperationEnd
from slotzero.perf.planned_loop import planned_loop
from slotzero.perf.resources import ResourceWatch
from slotzero.perf.thresholds import ThresholdWatch
from slotzero.perf.timing import Callable0
from slotzero.perf.types import CpuPercent, HookFailed

__all__ = ["LoadRun", "LoadTestService", "OnProgress", "load_test_service"]

OnProgress: TypeAlias = Callable[[LoadProgress], None]

_NS_PER_S: Final = 1_000_000_000
_NEVER: Final = 2**63 - 1
_FOLD_S: Final = 0.1
_LEAD_MS: Final = 20
"""From arming to the first instant, so that it is not already late."""
_HURRIED_MS: Final = 2_000
"""How long operations under way have once somebody has interrupted the run: he does not wait for the slowest."""
_MOST_INCIDENTS: Final = 100


class LoadTestService:
    """Runs load tests.

    Args:
        hooks: Each is called with every outcome; what one raises goes to the caller.
    """

    def __init__(self, *hooks: Callable[[LoadOutcome], None]) -> None:
        self._hooks = list(hooks)

    def add_hook(self, hook: Callable[[LoadOutcome], None]) -> None:
        """Have `hook` called for each run that ends from now on."""
        self._hooks.append(hook)

    async def run(
        self,
        fn: Callable0,
        config: LoadTestConfig,
        *,
        setup: Callable0 | None = None,
        teardown: Callable0 | None = None,
        classify_result: ResultClassifier | None = None,
        probe: Probe | None = None,
        on_progress: OnProgress | None = None,
        stop: asyncio.Event | None = None,
    ) -> LoadOutcome:
        """Put the load on `fn` and return what came of it. *Cancellation: ends the run, without a result.*

        Args:
            fn: The operation: called without arguments and awaited.
            config: Which load.
            setup: Called once before the run; awaited when it returns something to await.
            teardown: Called once after it, likewise, even when the run was cancelled.
            classify_result: Looks at each returned value; without it `status` and `status_code` of 400 and above are
                errors.
            probe: Further figures of the system under test, asked once a window.
            on_progress: Told of progress at the end of each window. One that raises is an incident, and told no more.
            stop: Set it to end the run early, with what there is; operations under way have two seconds then.
        """
        outcome = await self._run(fn, config, setup, teardown, classify_result, probe, on_progress, stop)
        for hook in self._hooks:
            hook(outcome)
        return outcome

    async def _run(  # noqa: PLR0917 handed on as they are
        self,
        fn: Callable0,
        config: LoadTestConfig,
        setup: Callable0 | None,
        teardown: Callable0 | None,
        classify_result: ResultClassifier | None,
        probe: Probe | None,
        on_progress: OnProgress | None,
        stop: asyncio.Event | None,
    ) -> LoadOutcome:
        if setup is not None and (failed := await _called(setup, "setup")) is not None:
            return _failure(config, failed)
        run = LoadRun(fn, config, classify_result=classify_result, probe=probe, on_progress=on_progress, stop=stop)
        try:
            outcome = await run.to_end()
        except BaseException as error:
            if teardown is not None and (failed := await _called(teardown, "teardown")) is not None:
                error.add_note(f"the teardown failed, too, with {failed.kind}: {failed.message}")
            raise
        if teardown is not None and (failed := await _called(teardown, "teardown")) is not None:
            return _failure(config, failed)
        return outcome


load_test_service: Final = LoadTestService()
"""For whoever needs no hooks of his own."""


class LoadRun:
    """One run in its parts: `arm`, `begin` at an instant, `wait`, `outcome`.

    Args:
        fn: The operation.
        config: Which load.
        classify_result: Looks at returned values, or None.
        probe: Further figures, or None.
        on_progress: Told of progress, or None.
        on_window: Handed each window as it ends (a shard sends it on).
        stop: Ends the run early when set.
        shard: Which share of the plan to take, of `shards`.
    """

    def __init__(
        self,
        fn: Callable0,
        config: LoadTestConfig,
        *,
        classify_result: ResultClassifier | None = None,
        probe: Probe | None = None,
        on_progress: OnProgress | None = None,
        on_window: Callable[[Window], None] | None = None,
        stop: asyncio.Event | None = None,
        shard: int = 0,
        shards: int = 1,
    ) -> None:
        self.config = config
        self._probe = probe
        self._plan_end_ns: int | None = None
        self._on_progress = on_progress
        self._on_window = on_window
        self._stop = stop or asyncio.Event()
        self.tape = LoadTape(is_open=config.model == "open")
        self.incidents: list[Incident] = []
        self._timeline = Timeline()
        self._thresholds = ThresholdWatch(config.thresholds)
        self._lost: list[str] = []
        self._stopped: Literal["completed", "interrupted", "aborted"] = "completed"
        self._failure: LoadError | None = None
        self._ends = OperationEnd(
            self.tape,
            classify_value=classify_result,
            timeout_ns=_NEVER if config.timeout_s is None else round(config.timeout_s * _NS_PER_S),
            abandon=self._abandon,
        )
        self.loop: Users | Dispatcher = planned_loop(fn, config, self.tape, self._ends, shard, shards)
        self._look_s = min(_FOLD_S, config.window_s)
        self._peak_in_flight = 0
        self._in_plan = self._begun_in_plan = 0

    async def to_end(self) -> LoadOutcome:
        """Arm, begin, wait and return the outcome."""
        async with AsyncExitStack() as stack:
            self.arm(stack)
            await self.begin(later(mono_ns(), ms(_LEAD_MS)))
            await self.wait()
        return self.outcome()

    def arm(self, stack: AsyncExitStack) -> None:
        """Get ready: freeze the heap, watch resources. `stack` undoes it."""
        if self.config.freeze_gc:
            gc.collect()
            if gc.get_freeze_count() == 0:  # else somebody else has frozen, and thawing is his
                stack.callback(gc.unfreeze)
            gc.freeze()
        self._watches = LoadWatches(self.config.processes, self._probe, note=self._note, lost=self._process_lost)
        self._resources = ResourceWatch(loop=asyncio.get_running_loop())
        stack.enter_context(self._resources)

    async def begin(self, start_ns: int) -> None:
        """Let operations begin from `start_ns` of the monotonic clock."""
        self.start_ns = start_ns
        self.end_ns = later(start_ns, round(self.config.duration * _NS_PER_S))
        self._cut_at = start_ns
        self._cut_begun = self._cut_missed = 0
        self._cut_errors = dict(self.tape.errors.by_class)
        await self.loop.begin(start_ns, self.end_ns)

    async def wait(self) -> None:
        """Wait for the end of the plan or of the run, then for operations under way.

        Cancelled, it cancels those at once.
        """
        try:
            await self._until(earlier(self.start_ns, ms(_LEAD_MS)))
            self._watches.begin()
            await self._until(self.end_ns)
            self._end_plan()
            await self._drain()
        except BaseException:
            await self.loop.close()
            raise
        self._tick(is_last=True)
        self._drained_ns = mono_ns()
        for trouble in self._ends.troubles(self.loop.begun):
            self._note(self.elapsed_s, trouble)
            self._lost.append(trouble)

    def outcome(self) -> LoadOutcome:
        """Return what came of it."""
        failure = self._failure
        return _failure(self.config, failure) if failure is not None else load_result(self.measured())

    @property
    def outcome_failure(self) -> LoadError | None:
        """Return why there is no result, or None."""
        return self._failure

    def driver_stats(self) -> ProcessStats:
        """Return what this process has used since it was armed."""
        return self._watches.driver_stats()

    def stop(self) -> None:
        """End the run early."""
        self._stop.set()

    @property
    def elapsed_s(self) -> float:
        """Return seconds since the start."""
        return elapsed_ns(self.start_ns, mono_ns()) / _NS_PER_S

    @property
    def missed(self) -> int:
        """Return how many arrivals were not started."""
        return self.loop.missed if isinstance(self.loop, Dispatcher) else 0

    # While it runs

    async def _until(self, instant: int) -> None:
        """Wait for an instant, or for whoever ends the run earlier; the timeline goes on meanwhile."""
        while left_ns := elapsed_ns(mono_ns(), instant):
            try:
                async with asyncio.timeout(min(left_ns / _NS_PER_S, self._to_next_look_s())):
                    await self._stop.wait()
            except TimeoutError:
                self._tick(is_last=False)
            else:
                if self._stopped == "completed":
                    self._stopped = "interrupted"
                return

    def _to_next_look_s(self) -> float:
        # Windows end when they should, or one would hold another's operations: a rate of ten looks is 10 % off.
        window_ns = round(self.config.window_s * _NS_PER_S)
        left_ns = window_ns - elapsed_ns(self._cut_at, mono_ns()) % window_ns
        return min(left_ns / _NS_PER_S, self._look_s)

    def _end_plan(self) -> None:
        self._plan_end_ns = min(mono_ns(), self.end_ns)
        self._in_plan = self.tape.succeeded
        self._begun_in_plan = self.loop.begun
        self._watches.end_plan()
        self._tick(is_last=False)

    async def _drain(self) -> None:
        """Let operations under way end, and cancel those that take too long."""
        until = later(mono_ns(), round(self.config.graceful_stop_s * _NS_PER_S))
        is_hurried = False
        while True:
            if self._stop.is_set() and not is_hurried:
                is_hurried = True
                until = min(until, later(mono_ns(), ms(_HURRIED_MS)))
                if self._stopped == "completed":
                    self._stopped = "interrupted"
                self.loop.stop()
            left_s = elapsed_ns(mono_ns(), until) / _NS_PER_S
            if await self.loop.ended_within(min(left_s, self._look_s)):
                break
            self._tick(is_last=False)
            if is_due(until, mono_ns()):
                break
        await self.loop.close()

    def _tick(self, *, is_last: bool) -> None:
        self.tape.fold()
        in_flight = self.loop.in_flight
        self._peak_in_flight = max(self._peak_in_flight, in_flight)
        now = mono_ns()
        span_ns = elapsed_ns(self._cut_at, now)
        window_ns = round(self.config.window_s * _NS_PER_S)
        if span_ns >= window_ns or (is_last and span_ns > 0):
            # Edges stay on the grid where the loop was held up for less than a window, so that shards' windows meet.
            whole = span_ns // window_ns * window_ns
            self._end_window(now if is_last else later(self._cut_at, whole), in_flight)

    def _end_window(self, edge: int, in_flight: int) -> None:
        headline, lateness, errors = self.tape.cut()
        span_s = elapsed_ns(self._cut_at, edge) / _NS_PER_S
        at_s = elapsed_ns(self.start_ns, self._cut_at) / _NS_PER_S
        begun, missed = self.loop.begun, self.missed
        extra = self._watches.look(at_s + span_s)
        window = Window(
            at_s=round(at_s, 6),
            span_s=round(span_s, 6),
            ops=headline.count,
            errors=errors,
            started=begun - self._cut_begun,
            missed=missed - self._cut_missed,
            in_flight=in_flight,
            ops_per_s=round(headline.count / span_s, 3),
            lateness_p99_ms=round(lateness.percentile(99) / 1e6, 6) if lateness.count else None,
            cpu_percent=self._watches.cpu_percent,
            rss_mb=self._watches.rss_mb,
            extra=extra,
            **window_figures(headline),
        )
        self._cut_at, self._cut_begun, self._cut_missed = edge, begun, missed
        self._timeline.append(window)
        if self._on_window is not None:
            self._on_window(window)
        is_whole = window.span_s >= self.config.window_s
        self._judge_window(window, headline, is_in_plan=is_whole and edge <= (self._plan_end_ns or self.end_ns))
        if self._on_progress is not None:
            self._tell(self._on_progress, window)

    def _judge_window(self, window: Window, headline: Histogram, *, is_in_plan: bool) -> None:
        used = {"cpu_percent": self._watches.cpu_percent, "rss_mb": self._watches.rss_mb}
        figures = run_figures(
            headline=headline,
            service=headline if self.config.model == "closed" else None,
            ops=window.ops,
            errors=window.errors,
            by_class={name: number - self._cut_errors[name] for name, number in self.tape.errors.by_class.items()},
            span_s=window.span_s,
            missed=window.missed,
            extra={**window.extra, **used, **{f"{name}:driver": value for name, value in used.items()}},
        )
        self._cut_errors = dict(self.tape.errors.by_class)
        why = self._thresholds.window(window.at_s, figures, window.ops + window.errors, is_in_plan=is_in_plan)
        if why is not None:
            self._abort(window.at_s + window.span_s, why)

    def _process_lost(self, at_s: float, what: str) -> None:
        self._lost.append(f"{what} {at_s:.1f} s after the start")
        if self.config.stop_when_lost:
            self._abort(at_s, what)
        else:
            self._note(at_s, what)

    def _tell(self, on_progress: OnProgress, window: Window) -> None:
        try:
            on_progress(self._progress(window))
        except Exception as error:  # noqa: BLE001 somebody else's display: the run goes on without it, and says so
            what = f"on_progress failed with {type(error).__name__}: {message_of(error)}"
            self._note(window.at_s + window.span_s, what)
            self._on_progress = None

    def _progress(self, window: Window) -> LoadProgress:
        return LoadProgress(
            elapsed_s=round(window.at_s + window.span_s, 3),
            duration_s=self.config.duration,
            ops_per_s=window.ops_per_s,
            p95_ms=window.p95_ms,
            errors=window.errors,
            in_flight=window.in_flight,
            total_ops=self.tape.succeeded + self.tape.errors.total,
            total_errors=self.tape.errors.total,
            missed_starts=self.missed,
        )

    def _note(self, at_s: float, what: str) -> None:
        if len(self.incidents) < _MOST_INCIDENTS:
            self.incidents.append(Incident(at_s=round(at_s, 3), what=what))

    def _abort(self, at_s: float, why: str) -> None:
        self._note(at_s, why)
        if self._stopped == "completed" and self._plan_end_ns is None:
            self._stopped = "aborted"
            self._stop.set()

    def _abandon(self, error: LoadError) -> None:
        if self._failure is None:
            self._failure = error
        self._stop.set()

    # At the end

    def measured(self) -> Measured:
        """Return everything the run has left behind."""
        loop, tape, used = self.loop, self.tape, self._resources.stats()
        is_open = isinstance(loop, Dispatcher)
        processes = self._watches.stats()
        delay = used.loop_delay
        peak = max(self._peak_in_flight, tape.peak_in_flight)
        driver, plan_end_ns = processes["driver"], self._plan_end_ns
        assert plan_end_ns is not None, "a run is measured when it has ended"
        evidence = Evidence(
            model=self.config.model,
            cpu_percent=driver.avg_cpu_percent,
            lateness=tape.sums.lateness if is_open else None,
            dispatch=tape.sums.dispatch if is_open else None,
            response=tape.sums.response if is_open else None,
            planned=loop.planned if isinstance(loop, Dispatcher) else None,
            started=loop.begun,
            most_in_flight=self.config.most_in_flight,
            peak_in_flight=peak,
            loop_delay_p99_ms=delay.p99_ms if delay else None,
            gc_max_ms=used.gc.max_ms,
            chain_cpu_percent=self._watches.chain_cpu_percent,
            chain_queue_p99_ms=self._watches.chain_queue_ms,
            lost=tuple(self._lost),
        )
        return Measured(
            config=self.config,
            sums=tape.sums,
            by_class=dict(tape.errors.by_class),
            details=tape.errors.details(),
            interrupted=tape.interrupted,
            in_plan=self._in_plan,
            begun_in_plan=self._begun_in_plan,
            begun=loop.begun,
            dropped=tape.dropped,
            late=tape.late,
            unstarted=loop.unstarted if isinstance(loop, Dispatcher) else 0,
            planned=evidence.planned,
            peak_in_flight=peak,
            duration_s=elapsed_ns(self.start_ns, plan_end_ns) / _NS_PER_S,
            drain_s=elapsed_ns(plan_end_ns, self._drained_ns) / _NS_PER_S,
            verdict=judge(evidence),
            driver=replace(
                used,
                avg_cpu_percent=CpuPercent(driver.avg_cpu_percent),
                peak_cpu_percent=CpuPercent(max(used.peak_cpu_percent, driver.avg_cpu_percent)),
            ),
            processes=processes,
            thresholds=self._thresholds,
            timeline=tuple(self._timeline.windows),
            stopped=self._stopped,
            incidents=tuple(self.incidents),
            pacer=loop.pacer if isinstance(loop, Dispatcher) else None,
            event_loop=event_loop_name(),
        )


async def _called(hook: Callable0, name: Literal["setup", "teardown"]) -> HookFailed | None:
    try:
        result = hook()
        if inspect.isawaitable(result):
            await result
    except Exception as error:  # noqa: BLE001 somebody else's hook; the failure goes to the caller as a record
        return HookFailed(hook=name, kind=type(error).__name__, message=message_of(error)[:500])
    return None


def _failure(config: LoadTestConfig, error: LoadError) -> LoadFailure:
    return LoadFailure(scenario=config.scenario, error=error, labels=config.labels)
