"""The service: what counts, what is timed, what fails, and who waits for whom. Counts and relations, no timings."""

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from slotzero.clock import mono_ns
from slotzero.perf import BenchmarkFailure, BenchmarkFinished, BenchmarkOptions, BenchmarkResult, BenchmarkService
from slotzero.perf.histogram import Histogram
from slotzero.perf.types import (
    HookFailed,
    MixedSpans,
    NoSuccess,
    Progress,
    SampleFailed,
    Target,
    UnawaitedResult,
    as_cpu_percent,
    as_latency_ms,
    as_memory_mb,
    as_success_rate,
    as_throughput_ops,
    sentence,
)
from slotzero.trace import Component, Span, Stamp, Trace
from slotzero.units import DurationNs


def options(**changes: Any) -> BenchmarkOptions:
    defaults: dict[str, Any] = {"name": "measured", "samples": 20, "warmup": 2, "collect_resources": False}
    return BenchmarkOptions(**defaults | changes)


async def result_of(fn: Callable[[], object], **changes: Any) -> BenchmarkResult:
    hooks = {name: changes.pop(name) for name in ("setup", "teardown", "check", "on_progress") if name in changes}
    outcome = await BenchmarkService().run(fn, options(**changes), **hooks)
    assert isinstance(outcome, BenchmarkResult), str(outcome)
    return outcome


async def failure_of(fn: Callable[[], object], **changes: Any) -> BenchmarkFailure:
    hooks = {name: changes.pop(name) for name in ("setup", "teardown", "check") if name in changes}
    outcome = await BenchmarkService().run(fn, options(**changes), **hooks)
    assert isinstance(outcome, BenchmarkFailure), outcome
    return outcome


class Calls:
    """A callable that counts, and behaves at some calls as it is told."""

    def __init__(self, behaviour: Callable[[int], object] = lambda _number: None) -> None:
        self.count = 0
        self.behaviour = behaviour

    def __call__(self) -> object:
        self.count += 1
        return self.behaviour(self.count)

    async def waited(self) -> object:
        self.count += 1
        value = self.behaviour(self.count)
        return await value if asyncio.iscoroutine(value) else value


def fails_at(*numbers: int, error: type[Exception] = ValueError) -> Callable[[int], None]:
    def behave(number: int) -> None:
        if number in numbers:
            raise error(f"call {number}")

    return behave


# ---- what counts ---------------------------------------------------------------------------------------------------


async def test_warm_up_is_called_and_kept_and_not_counted() -> None:
    calls = Calls()
    found = await result_of(calls, warmup=7, samples=30)
    assert calls.count == 37
    assert (found.samples, found.warmup) == (30, 7)
    assert len(found.warmup_ns) == 7
    assert found.samples_ns is not None
    assert len(found.samples_ns) == 30
    assert found.latency_ms.count == 30
    assert Histogram.from_text(found.histogram).count == 30


@pytest.mark.parametrize("kind", ["function", "method", "partial", "object", "lambda"])
async def test_every_kind_of_sync_callable_is_called(kind: str) -> None:
    calls = Calls()

    def call() -> object:
        return calls()

    fn = {
        "function": call,
        "method": calls.__call__,
        "partial": functools.partial(calls.behaviour, 1),
        "object": calls,
        "lambda": lambda: calls() and None,
    }[kind]
    assert callable(fn)
    assert (await result_of(fn)).throughput.total_ops == 20


async def test_every_kind_of_async_callable_is_awaited() -> None:
    calls = Calls()

    class Asynchronous:
        async def __call__(self) -> object:
            return await calls.waited()

    async def takes(_number: int) -> object:
        return await calls.waited()

    for fn in (calls.waited, Asynchronous(), functools.partial(takes, 1)):
        before = calls.count
        await result_of(fn)
        assert calls.count == before + 22


async def test_figures_are_those_of_the_samples() -> None:
    found = await result_of(Calls(), samples=100)
    assert found.samples_ns is not None
    ordered = sorted(found.samples_ns)
    latency = found.latency_ms
    assert latency.exact
    assert (latency.min, latency.median, latency.p95, latency.max) == (
        ordered[0] / 1e6,
        ordered[49] / 1e6,
        ordered[94] / 1e6,
        ordered[-1] / 1e6,
    )
    assert latency.mean == pytest.approx(sum(ordered) / 100 / 1e6)
    p95 = latency.intervals["p95"]
    assert p95 is not None
    assert p95.low <= latency.p95 <= p95.high
    assert latency.intervals["p99"] is None, "100 samples cannot bracket p99"
    assert found.throughput.ops_per_s == pytest.approx(100 * 1e9 / sum(ordered))
    assert found.throughput.success_rate_percent == pytest.approx(100)


async def test_many_samples_are_kept_as_a_histogram_only() -> None:
    found = await result_of(Calls(), samples=10_001)
    assert found.samples_ns is None
    assert found.latency_ms.exact
    assert Histogram.from_text(found.histogram).count == 10_001


async def test_more_samples_than_memory_should_hold_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slotzero.perf.benchmark.RAW_LIMIT", 500)
    monkeypatch.setattr("slotzero.perf.timing._FOLD_AT", 100)
    found = await result_of(Calls(fails_at(5, 900)), samples=1_000, warmup=0)
    assert not found.latency_ms.exact
    assert found.latency_ms.count == 998
    assert found.throughput.total_ops == 998
    assert found.samples_ns is None


async def test_the_steady_state_is_searched_for_and_found() -> None:
    calls = Calls(lambda number: span_of(5 if number < 100 else 1))
    found = await result_of(calls, steady_state=True, warmup=0)
    assert found.steady is True
    assert found.warmup == 250
    assert calls.count == 270


async def test_a_state_that_never_gets_steady_is_said_so() -> None:
    found = await result_of(Calls(span_of), steady_state=True, max_warmup=300)
    assert found.steady is False
    assert found.warmup == 300
    assert any("no steady state within 300" in note for note in found.notes)


# ---- outside of the clock ------------------------------------------------------------------------------------------


async def test_setup_and_teardown_surround_each_sample_and_are_not_timed() -> None:
    order: list[str] = []

    async def setup() -> None:
        order.append("setup")
        await asyncio.sleep(0.003)

    found = await result_of(
        lambda: order.append("run"), setup=setup, teardown=lambda: order.append("teardown"), samples=5, warmup=1
    )
    assert order == ["setup", "run", "teardown"] * 6
    assert found.latency_ms.median < 3, "the pause of the setup is in no sample"


async def test_teardown_comes_after_a_failed_sample_too() -> None:
    torn: list[int] = []
    found = await result_of(Calls(fails_at(3)), teardown=lambda: torn.append(1), samples=5, warmup=0)
    assert len(torn) == 5
    assert found.errors == {"ValueError": 1}


async def test_a_check_decides_what_is_a_success() -> None:
    found = await result_of(
        Calls(lambda number: number), check=lambda value: "odd" if int(str(value)) % 2 else None, samples=10, warmup=0
    )
    assert found.errors == {"odd": 5}
    assert found.throughput.total_ops == 5
    assert found.latency_ms.count == 5


@pytest.mark.parametrize("hook", ["setup", "teardown", "check"])
async def test_a_hook_that_raises_ends_the_benchmark(hook: str) -> None:
    def bad(*_args: object) -> None:
        raise RuntimeError("no disk")

    failed = await failure_of(Calls(), **{hook: bad})
    assert failed.error == HookFailed(hook=hook, kind="RuntimeError", message="no disk")  # type: ignore[arg-type]
    assert hook in sentence(failed.error)


async def test_a_setup_that_hangs_ends_the_benchmark() -> None:
    failed = await failure_of(Calls(), setup=lambda: asyncio.sleep(60), timeout_ms=50)
    assert isinstance(failed.error, HookFailed)
    assert (failed.error.hook, failed.error.kind) == ("setup", "TimeoutError")


# ---- failures ------------------------------------------------------------------------------------------------------


async def test_failures_are_counted_by_kind_and_left_out_of_the_latency() -> None:
    def behave(number: int) -> None:
        if number % 5 == 0:
            raise KeyError("gone")
        if number % 7 == 0:
            raise ExceptionGroup("several", [ExceptionGroup("inner", [OSError("wire")]), ValueError("x")])

    found = await result_of(Calls(behave), samples=35, warmup=0)
    assert found.errors == {"KeyError": 7, "OSError": 4}
    assert "gone" in found.error_examples["KeyError"]
    assert found.latency_ms.count == found.throughput.total_ops == 24
    assert found.throughput.success_rate_percent == pytest.approx(100 * 24 / 35)
    interval = found.throughput.success_interval
    assert interval.low < 100 * 24 / 35 < interval.high


async def test_kinds_of_errors_are_bounded() -> None:
    def behave(number: int) -> None:
        if number > 1:
            raise type(f"Error{number}", (Exception,), {})("x" * 10_000)

    found = await result_of(Calls(behave), samples=100, warmup=0)
    assert len(found.errors) == 33
    assert found.errors["_OTHER"] == 67
    assert max(map(len, found.error_examples.values())) <= 500


async def test_fail_fast_ends_with_the_first_failure() -> None:
    calls = Calls(fails_at(6))
    failed = await failure_of(calls, fail_fast=True)
    assert failed.error == SampleFailed(phase="measure", sample=4, kind="ValueError", message="call 6")
    assert calls.count == 6
    early = await failure_of(Calls(fails_at(2)), fail_fast=True)
    assert isinstance(early.error, SampleFailed)
    assert early.error.phase == "warmup"


async def test_no_success_is_no_result() -> None:
    failed = await failure_of(Calls(fails_at(*range(100))))
    assert failed.error == NoSuccess(errors={"ValueError": 20}, message="call 3")
    assert "no sample succeeded (20 x ValueError)" in str(failed)


async def test_failed_warm_up_calls_are_told() -> None:
    found = await result_of(Calls(fails_at(1)), warmup=3)
    assert found.notes[-1] == "1 of 3 warm-up calls failed (ValueError)"


async def test_an_unawaited_coroutine_fails_hard_and_warns_of_nothing() -> None:
    async def work() -> None:
        raise AssertionError("never run")

    def forgets_to_await() -> object:
        return work()

    failed = await failure_of(forgets_to_await)
    assert isinstance(failed.error, UnawaitedResult)
    assert "work" in failed.error.returned
    assert "only its creation would be timed" in str(failed)


async def test_what_else_is_not_run_yet_fails_hard_too() -> None:
    loop = asyncio.get_running_loop()

    def generator() -> object:
        return (number for number in range(3))

    async def stream() -> AsyncIterator[int]:
        yield 1

    for fn in (loop.create_future, generator, stream):
        assert isinstance((await failure_of(fn)).error, UnawaitedResult)


async def test_a_coroutine_that_returns_one_fails_as_well() -> None:
    async def inner() -> None: ...

    async def outer() -> object:
        return inner()

    assert isinstance((await failure_of(outer)).error, UnawaitedResult)


# ---- timeouts and cancellation -------------------------------------------------------------------------------------


async def test_an_async_sample_that_hangs_is_cancelled_and_counts_as_a_timeout() -> None:
    seen: list[str] = []

    async def hang(number: int) -> None:
        if number == 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

    found = await result_of(Calls(hang).waited, timeout_ms=200, samples=4, warmup=0)
    assert seen == ["cancelled"]
    assert found.errors == {"timeout": 1}
    assert found.latency_ms.count == 4, "a timeout counts, as a lower bound"
    assert found.latency_ms.max >= 200
    assert found.throughput.total_ops == 3
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_sync_sample_that_hangs_is_interrupted() -> None:
    found = await result_of(
        Calls(lambda number: time.sleep(60 if number == 2 else 0)), timeout_ms=200, samples=4, warmup=0
    )
    assert found.errors == {"timeout": 1}
    assert found.latency_ms.max < 10_000


async def test_a_sample_that_swallows_its_cancellation_is_a_timeout_all_the_same() -> None:
    async def stubborn(number: int) -> None:
        if number == 2:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    found = await result_of(Calls(stubborn).waited, timeout_ms=200, samples=4, warmup=0)
    assert found.errors == {"timeout": 1}
    await asyncio.sleep(0)


async def test_a_sample_that_comes_back_too_late_counts_once() -> None:
    async def block(number: int) -> None:
        if number == 3:
            time.sleep(0.25)  # noqa: ASYNC251 what cannot be cancelled

    found = await result_of(Calls(block).waited, timeout_ms=200, samples=5, warmup=0, check=lambda _value: None)
    assert found.errors == {"timeout": 1}
    assert found.latency_ms.count == 5


async def test_cancelling_the_benchmark_is_no_failed_sample() -> None:
    started = asyncio.Event()

    async def sample() -> None:
        started.set()
        await asyncio.sleep(60)

    service = BenchmarkService()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(service.run(sample, options()))
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    outcome = await asyncio.wait_for(service.run(Calls(), options()), 5)
    assert isinstance(outcome, BenchmarkResult), "the service is free again"


async def test_a_callable_that_cancels_itself_is_a_failed_sample() -> None:
    async def behave(number: int) -> None:
        if number == 2:
            raise asyncio.CancelledError

    found = await result_of(Calls(behave).waited, samples=4, warmup=0)
    assert found.errors == {"CancelledError": 1}


async def test_an_interrupt_from_the_keyboard_goes_through() -> None:
    def interrupt(_number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await BenchmarkService().run(Calls(interrupt), options())


async def test_other_tasks_run_while_samples_never_suspend() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        await result_of(lambda: time.sleep(0.0005), samples=200)
        task.cancel()
    assert turns >= 10


async def test_stopping_keeps_what_there_is() -> None:
    seen: list[Progress] = []

    def on_progress(progress: Progress) -> bool:
        seen.append(progress)
        return progress.phase == "measure"

    found = await result_of(lambda: time.sleep(0.001), samples=1_000, warmup=3, on_progress=on_progress)
    assert found.stopped
    assert 0 < found.samples < 1_000
    assert seen[0] == Progress(name="measured", phase="warmup", made=3, of=3)
    assert seen[-1].of == 1_000


async def test_stopping_before_the_first_sample_is_no_result() -> None:
    failed = await BenchmarkService().run(Calls(), options(), on_progress=lambda _: True)
    assert isinstance(failed, BenchmarkFailure)
    assert failed.error == NoSuccess(errors={}, message="it was stopped before the first sample")


# ---- traces --------------------------------------------------------------------------------------------------------


def trace(own: int = 2_000, waited: int = 5_000, *, has_cause: bool = True) -> Trace:
    made, at = Trace(), mono_ns()
    if has_cause:
        made.mark(Stamp.CAUSE, at)
    made.mark(Stamp.FRAME, at + waited)
    made.mark(Stamp.POOL, at + waited + own)
    return made


async def test_a_trace_gives_the_sample_its_time_split_in_two() -> None:
    found = await result_of(trace, component=Component.DETECTION, samples=10)
    assert found.latency_ms.median == pytest.approx(0.007)
    assert found.own_ms is not None
    assert found.waited_ms is not None
    assert (found.own_ms.median, found.waited_ms.median) == pytest.approx((0.002, 0.005))
    assert found.starts_at == "chain"
    assert found.component == "DETECTION"


async def test_where_a_trace_starts_is_said() -> None:
    frame = await result_of(lambda: trace(has_cause=False), component=Component.DETECTION)
    assert frame.starts_at == "frame"
    mixed = await result_of(
        Calls(lambda number: trace(has_cause=number % 2 == 0)), component=Component.DETECTION, samples=10
    )
    assert mixed.starts_at == "mixed"
    assert (await result_of(Calls())).starts_at == "call"


async def test_a_span_is_taken_as_it_is() -> None:
    span = Span(
        component=Component.EXIT,
        total_ns=DurationNs(9_000),
        own_ns=DurationNs(1_000),
        waited_ns=DurationNs(8_000),
        starts_at="chain",
    )
    found = await result_of(lambda: span)
    assert found.latency_ms.max == pytest.approx(0.009)
    assert found.own_ms is not None


async def test_a_trace_without_the_component_is_a_failed_sample() -> None:
    found = await result_of(
        Calls(lambda number: Trace() if number == 4 else trace()), component=Component.DETECTION, samples=10, warmup=0
    )
    assert found.errors == {"incomplete_trace": 1}
    assert found.latency_ms.count == 9


async def test_a_failed_check_takes_the_span_back_and_nothing_else() -> None:
    found = await result_of(
        Calls(lambda number: trace(own=number * 1_000)),
        component=Component.DETECTION,
        samples=10,
        warmup=0,
        check=lambda value: "slow" if isinstance(value, Trace) and value.as_dict()["pool"] % 2 else None,
    )
    assert found.own_ms is not None
    assert found.own_ms.count == found.latency_ms.count == found.throughput.total_ops


async def test_a_check_after_an_incomplete_trace_counts_once() -> None:
    found = await result_of(
        Calls(lambda number: Trace() if number == 4 else trace()),
        component=Component.DETECTION,
        samples=10,
        warmup=0,
        check=lambda value: "empty" if isinstance(value, Trace) and not value.as_dict() else None,
    )
    assert found.errors == {"incomplete_trace": 1}
    assert found.latency_ms.count == 9


async def test_traces_beside_plain_values_are_refused() -> None:
    failed = await failure_of(
        Calls(lambda number: trace() if number % 2 else None), component=Component.DETECTION, samples=10, warmup=0
    )
    assert failed.error == MixedSpans(with_span=5, without_span=5)


# ---- targets -------------------------------------------------------------------------------------------------------


def span_of(total_ms: float) -> Span:
    total = DurationNs(round(total_ms * 1e6))
    return Span(component=Component.EXIT, total_ns=total, own_ns=total, waited_ns=DurationNs(0), starts_at="frame")


async def test_a_target_is_judged_with_its_margin_and_by_its_interval() -> None:
    target = Target(p95_ms=as_latency_ms(100), aim_p95_ms=as_latency_ms(20))
    met = (await result_of(lambda: span_of(25), samples=100, target=target)).target
    assert met is not None
    assert (met.met, met.confident, met.passed) == (True, True, True)
    assert met.margin_percent == pytest.approx(75)
    assert met.aim_met is False
    assert met.aim_margin_percent == pytest.approx(-25)
    few = (await result_of(lambda: span_of(25), samples=20, target=target)).target
    assert few is not None
    assert few.confident is None, "20 samples cannot bracket p95"
    missed = (await result_of(lambda: span_of(150), samples=100, target=target)).target
    assert missed is not None
    assert (missed.met, missed.confident, missed.passed) == (False, False, False)
    assert missed.margin_percent == pytest.approx(-50)


async def test_success_and_throughput_are_judged_like_p95() -> None:
    target = Target(p95_ms=as_latency_ms(100), success_percent=as_success_rate(90), ops_per_s=as_throughput_ops(50))
    good = (await result_of(lambda: span_of(10), samples=10, target=target)).target
    assert good is not None
    assert [check.name for check in good.checks] == ["p95_ms", "success_percent", "ops_per_s"]
    assert good.passed
    slow = (await result_of(lambda: span_of(30), samples=10, target=target)).target
    assert slow is not None
    assert [check.met for check in slow.checks] == [True, True, False]
    assert not slow.passed
    at_limit = await result_of(
        Calls(lambda number: span_of(10) if number > 1 else 1 / 0), samples=10, warmup=0, target=target
    )
    assert at_limit.target is not None
    assert [check.met for check in at_limit.target.checks] == [True, False, True], "exactly 90 % is not above 90 %"


async def test_memory_and_cpu_are_judged_where_they_are_collected() -> None:
    target = Target(
        p95_ms=as_latency_ms(100), peak_memory_mb=as_memory_mb(1), avg_cpu_percent=as_cpu_percent(1_000_000)
    )
    found = (await result_of(lambda: span_of(10), target=target, collect_resources=True)).target
    assert found is not None
    assert [(check.name, check.met) for check in found.checks] == [
        ("p95_ms", True),
        ("peak_memory_mb", False),
        ("avg_cpu_percent", True),
    ]
    assert not found.passed
    assert found.met
    unseen = (await result_of(lambda: span_of(10), target=target)).target
    assert unseen is not None
    assert unseen.passed


# ---- who waits for whom --------------------------------------------------------------------------------------------


async def overlap(first: bool, second: bool) -> tuple[bool, BenchmarkResult, BenchmarkResult]:  # noqa: FBT001 a table
    """Run two benchmarks at once; tell whether any samples overlapped."""
    inside = 0
    met = False

    async def sample() -> None:
        nonlocal inside, met
        inside += 1
        met = met or inside > 1
        await asyncio.sleep(0.001)
        inside -= 1

    service = BenchmarkService()
    outcomes = await asyncio.gather(
        service.run(sample, options(name="one", shared=first)),
        service.run(sample, options(name="two", shared=second)),
    )
    one, two = outcomes
    assert isinstance(one, BenchmarkResult)
    assert isinstance(two, BenchmarkResult)
    return met, one, two


async def test_two_benchmarks_of_one_service_wait_for_each_other() -> None:
    for shared in ((False, False), (True, False), (False, True)):
        met, one, _ = await overlap(*shared)
        assert not met
        assert one.shared_with == ()


async def test_shared_benchmarks_run_at_once_and_name_each_other() -> None:
    met, one, two = await overlap(first=True, second=True)
    assert met
    assert (one.sharing, one.shared_with) == ("shared", ("two",))
    assert (two.sharing, two.shared_with) == ("shared", ("one",))


def test_one_service_serves_one_loop_after_another() -> None:
    service = BenchmarkService()

    async def both() -> None:
        await asyncio.gather(*(service.run(Calls(), options(samples=3)) for _ in range(3)))

    for _ in range(2):
        asyncio.run(both())


# ---- hooks and surroundings ----------------------------------------------------------------------------------------


async def test_hooks_are_told_of_every_end() -> None:
    seen: list[BenchmarkFinished] = []
    service = BenchmarkService(seen.append)
    service.add_hook(seen.append)
    outcome = await service.run(Calls(), options(component=Component.EXIT, labels={"branch": "main"}))
    assert len(seen) == 2
    assert seen[0].outcome is outcome
    assert (seen[0].name, seen[0].component, seen[0].labels) == ("measured", "EXIT", {"branch": "main"})
    assert seen[0].wall_s > 0
    await service.run(Calls(fails_at(*range(100))), options())
    assert isinstance(seen[-1].outcome, BenchmarkFailure)


async def test_a_result_says_where_it_was_measured_and_how_quiet_it_was() -> None:
    found = await result_of(lambda: span_of(0.0001))
    assert found.event_loop.split()[0] == "asyncio"
    assert found.noise is not None
    assert found.noise.clock_floor_ns > 0
    assert found.noise.quiet == (not found.noise.reasons)
    assert any("close to what reading the clock takes" in note for note in found.notes)


async def test_resources_come_with_the_result_and_the_heap_on_request() -> None:
    kept: list[object] = []

    async def sample() -> None:
        kept.append(bytearray(100_000))
        await asyncio.sleep(0.002)

    found = await result_of(sample, samples=60, collect_resources=True, resource_sample_interval_ms=5, trace_heap=True)
    used = found.resources
    assert used is not None
    assert used.python_heap_mb is not None
    assert used.python_heap_mb >= 6
    assert used.loop_delay is not None
    assert used.sampler.ticks > 0
    assert "the Python heap was traced, which multiplies times" in found.notes
    assert (await result_of(Calls())).resources is None


@pytest.mark.parametrize(
    "wrong",
    [{"samples": 0}, {"warmup": -1}, {"timeout_ms": 0}, {"samples": 2.5}, {"samples": True}, {"name": ""}],
)
def test_options_that_cannot_be_measured_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"whole number|needs a name"):
        options(**wrong)


async def test_samples_are_awaited_in_the_callers_task() -> None:
    tasks: set[object] = set()

    async def sample() -> None:
        tasks.add(asyncio.current_task())

    await result_of(sample)
    assert tasks == {asyncio.current_task()}
