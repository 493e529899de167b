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
import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from sys import intern
from typing import Final, Literal, TypeAlias

from slotzero.clock import elapsed_ns, later, mono_ns, ms
from slotzero.perf.arrivals import Closed, OpenPlan, instants, user_starts
from slotzero.perf.environment import event_loop_name
from slotzero.perf.generator import Evidence, ProcessWatch, judge
from slotzero.perf.histogram import Histogram
from slotzero.perf.load_loops import AsyncCallable, Dispatcher, NotAsyncError, OperationEnd, Users
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
from slotzero.perf.resources import ResourceWatch
from slotzero.perf.thresholds import ThresholdWatch
from slotzero.perf.timing import Callable0, is_async
from slotzero.perf.types import HookFailed

__all__ = ["LoadRun", "LoadTestService", "OnProgress", "load_test_service"]

OnProgress: TypeAlias = Callable[[LoadProgress], None]

_NS_PER_S: Final = 1_000_000_000
_NEVER: Final = 2**63 - 1
_FOLD_S: Final = 0.1
_LEAD_MS: Final = 20
"""From arming to the first instant, so that it is not already late."""
_MOST_INCIDENTS: Final = 100
_MB: Final = 1e6
_CHAIN: Final = "chain"
_CHAIN_QUEUE: Final = "chain_queue_p99_ms"


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
            teardown: Called once after it, likewise.
            classify_result: Looks at each returned value; without it `status` and `status_code` of 400 and above are
                errors.
            probe: Further figures of the system under test, asked once a window.
            on_progress: Told of progress at the end of each window.
            stop: Set it to end the run early, with what there is.
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
        outcome = await run.to_end()
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
        self._on_progress = on_progress
        self._on_window = on_window
        self._stop = stop or asyncio.Event()
        self._is_ended = asyncio.Event()
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
        self.loop: Users | Dispatcher = _loop_of(_awaitable(fn), config, self.tape, self._ends, shard, shards)
        self._look_s = min(_FOLD_S, config.window_s)
        self._peak_in_flight = 0
        self._in_plan: int | None = None
        self._begun_in_plan = 0
        self._queue_ms: float | None = None

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
        self._watches = {name: ProcessWatch(pid) for name, pid in self.config.processes.items()}
        self._resources = ResourceWatch(loop=asyncio.get_running_loop())
        stack.enter_context(self._resources)
        self._driver = ProcessWatch(os.getpid())

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
            await self._until_end()
            self._in_plan = self.tape.succeeded
            self._begun_in_plan = self.loop.begun
            self._ended_ns = mono_ns()
            if self._stopped != "completed" or self._failure is not None:
                self.loop.stop()
            async with asyncio.TaskGroup() as group:
                drain = group.create_task(self._drain(), name="drain")
                while not drain.done():  # the timeline goes on meanwhile
                    await asyncio.wait({drain}, timeout=self._look_s)
                    self._tick(is_last=False)
        except BaseException:
            self.loop.stop()
            await self.loop.drain(0)
            raise
        self._tick(is_last=True)
        self._drained_ns = mono_ns()

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
        return self._driver.stats()

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

    async def _until_end(self) -> None:
        while not self._is_ended.is_set():
            left_ns = elapsed_ns(mono_ns(), self.end_ns)
            if not left_ns:
                return
            try:
                async with asyncio.timeout(min(left_ns / _NS_PER_S, self._look_s)):
                    await self._stop.wait()
            except TimeoutError:
                self._tick(is_last=False)
            else:
                if self._stopped == "completed":
                    self._stopped = "interrupted"
                return

    async def _drain(self) -> None:
        # Somebody who has interrupted a run does not wait for its slowest operation.
        grace_s = self.config.graceful_stop_s
        await self.loop.drain(grace_s if self._stopped == "completed" else min(grace_s, 2.0))

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
        extra = self._look(at_s + span_s)
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
            cpu_percent=self._driver.cpu_percent,
            rss_mb=self._driver.rss_mb,
            extra=extra,
            **window_figures(headline),
        )
        self._cut_at, self._cut_begun, self._cut_missed = edge, begun, missed
        self._timeline.append(window)
        if self._on_window is not None:
            self._on_window(window)
        self._judge_window(window, headline)
        if self._on_progress is not None:
            self._on_progress(self._progress(window))

    def _judge_window(self, window: Window, headline: Histogram) -> None:
        figures = run_figures(
            headline=headline,
            service=headline if self.config.model == "closed" else None,
            ops=window.ops,
            errors=window.errors,
            by_class={name: number - self._cut_errors[name] for name, number in self.tape.errors.by_class.items()},
            span_s=window.span_s,
            missed=window.missed,
            extra={**window.extra, "cpu_percent": self._driver.cpu_percent, "rss_mb": self._driver.rss_mb},
        )
        self._cut_errors = dict(self.tape.errors.by_class)
        why = self._thresholds.window(window.at_s, figures, window.ops + window.errors)
        if why is not None:
            self._abort(window.at_s + window.span_s, why)

    def _look(self, at_s: float) -> dict[str, float]:
        """Look at the driver, the watched processes and the probe."""
        self._driver.look(at_s)
        extra: dict[str, float] = {}
        for name, watch in self._watches.items():
            was_ended, was_stopped = watch.ended_at_s is not None, watch.is_stopped
            if watch.look(at_s):
                extra[intern(f"cpu_percent:{name}")] = watch.cpu_percent
                extra[intern(f"rss_mb:{name}")] = watch.rss_mb
                if watch.is_stopped and not was_stopped:
                    self._note(at_s, f"the process {name} ({watch.pid}) has been stopped by a signal")
            elif not was_ended:
                what = f"the process {name} ({watch.pid}) has ended"
                self._lost.append(f"{what} {at_s:.1f} s after the start")
                if self.config.stop_when_lost:
                    self._abort(at_s, what)
                else:
                    self._note(at_s, what)
        if self._probe is not None:
            extra.update(self._asked(self._probe, at_s))
        return extra

    def _asked(self, probe: Probe, at_s: float) -> Mapping[str, float]:
        try:
            said = probe()
        except Exception as error:  # noqa: BLE001 somebody else's probe: the run goes on without it, and says so
            self._note(at_s, f"the probe failed with {type(error).__name__}: {error}")
            self._probe = None
            return {}
        if _CHAIN_QUEUE in said:
            self._queue_ms = said[_CHAIN_QUEUE]
        # Thousands of windows hold these names: they are one string each.
        return {intern(f"probe:{name}"): value for name, value in said.items()}

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
        if self._stopped == "completed" and self._in_plan is None:
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
        chain = self._watches.get(_CHAIN)
        processes = {name: watch.stats() for name, watch in self._watches.items()}
        delay = used.loop_delay
        peak = max(self._peak_in_flight, tape.peak_in_flight)
        evidence = Evidence(
            model=self.config.model,
            cpu_percent=used.avg_cpu_percent,
            lateness=tape.sums.lateness if is_open else None,
            dispatch=tape.sums.dispatch if is_open else None,
            response=tape.sums.response if is_open else None,
            planned=loop.planned if isinstance(loop, Dispatcher) else None,
            started=loop.begun,
            most_in_flight=self.config.most_in_flight,
            peak_in_flight=peak,
            loop_delay_p99_ms=delay.p99_ms if delay else None,
            gc_max_ms=used.gc.max_ms,
            chain_cpu_percent=processes[_CHAIN].avg_cpu_percent if chain else None,
            chain_queue_p99_ms=self._queue_ms,
            lost=tuple(self._lost),
        )
        return Measured(
            config=self.config,
            sums=tape.sums,
            by_class=dict(tape.errors.by_class),
            details=tape.errors.details(),
            interrupted=tape.interrupted,
            in_plan=self._in_plan or 0,
            begun_in_plan=self._begun_in_plan,
            begun=loop.begun,
            dropped=tape.dropped,
            late=tape.late,
            unstarted=loop.unstarted if isinstance(loop, Dispatcher) else 0,
            planned=evidence.planned,
            peak_in_flight=peak,
            duration_s=elapsed_ns(self.start_ns, min(self._ended_ns, self.end_ns)) / _NS_PER_S,
            drain_s=elapsed_ns(min(self._ended_ns, self.end_ns), self._drained_ns) / _NS_PER_S,
            verdict=judge(evidence),
            driver=used,
            processes={"driver": self._driver.stats(), **processes},
            thresholds=self._thresholds,
            timeline=tuple(self._timeline.windows),
            stopped=self._stopped,
            incidents=tuple(self.incidents),
            pacer=loop.pacer if isinstance(loop, Dispatcher) else None,
            event_loop=event_loop_name(),
        )


def _loop_of(
    fn: AsyncCallable, config: LoadTestConfig, tape: LoadTape, ends: OperationEnd, shard: int, shards: int
) -> Users | Dispatcher:
    plan = config.plan
    if isinstance(plan, Closed):
        rate = config.rate_limit
        return Users(
            fn,
            tape=tape,
            ends=ends,
            starts_ns=user_starts(plan.users, config.ramp_up, shard=shard, shards=shards),
            pacing_ns=round(plan.pacing_s * _NS_PER_S),
            gap_ns=round(_NS_PER_S * shards / rate) if rate else 0,
            jitter_ns=round(plan.jitter_s * _NS_PER_S),
            seed=plan.seed * shards + shard,
        )
    return _dispatcher(fn, config, plan, tape, ends, shard, shards)


def _dispatcher(
    fn: AsyncCallable,
    config: LoadTestConfig,
    plan: OpenPlan,
    tape: LoadTape,
    ends: OperationEnd,
    shard: int,
    shards: int,
) -> Dispatcher:
    places = config.most_in_flight
    return Dispatcher(
        fn,
        tape=tape,
        ends=ends,
        instants=instants(plan, config.duration, shard=shard, shards=shards),
        most_in_flight=max(places // shards + (shard < places % shards), 1),
        most_waiting=config.max_queue if config.when_full == "queue" else 0,
        catch_up_ns=_NEVER if config.catch_up_s is None else round(config.catch_up_s * _NS_PER_S),
    )


def _awaitable(fn: Callable0) -> AsyncCallable:
    """Return `fn` as something to await. One that is no coroutine function must return something to await."""
    if is_async(fn):
        return fn  # type: ignore[return-value]  # that is what `is_async` has found

    async def call() -> object:
        value = fn()
        if inspect.isawaitable(value):
            return await value
        raise NotAsyncError(type(value).__name__)

    return call


async def _called(hook: Callable0, name: Literal["setup", "teardown"]) -> HookFailed | None:
    try:
        result = hook()
        if inspect.isawaitable(result):
            await result
    except Exception as error:  # noqa: BLE001 somebody else's hook; the failure goes to the caller as a record
        return HookFailed(hook=name, kind=type(error).__name__, message=str(error)[:500])
    return None


def _failure(config: LoadTestConfig, error: LoadError) -> LoadFailure:
    return LoadFailure(scenario=config.scenario, error=error, labels=config.labels)
