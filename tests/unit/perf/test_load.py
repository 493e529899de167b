"""`LoadTestService`: the two models, their clocks, limits, endings and verdicts."""

import asyncio
import contextlib
import gc
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest

from slotzero.clock import mono_ns
from slotzero.perf import load, load_loops
from slotzero.perf.arrivals import Closed, Constant, Ramp, Replay, Spike
from slotzero.perf.classify import ErrorClass, Fault
from slotzero.perf.load import LoadTestService, load_test_service
from slotzero.perf.load_types import LoadFailure, LoadOutcome, LoadProgress, LoadResult, LoadTestConfig
from slotzero.perf.operation_end import OperationEnd
from slotzero.perf.thresholds import Threshold

MS = 1_000_000


def config(**changes: object) -> LoadTestConfig:
    made = LoadTestConfig(
        scenario="test", duration=0.15, graceful_stop_s=5, window_s=0.05, timeout_s=10, freeze_gc=False
    )
    return msgspec.structs.replace(made, **changes)


async def measured(fn: Callable[[], object], wanted: LoadTestConfig, **more: object) -> LoadResult:
    outcome: LoadOutcome = await load_test_service.run(fn, wanted, **more)  # type: ignore[arg-type]  # handed on
    assert isinstance(outcome, LoadResult), str(outcome)
    return outcome


class Gate:
    """A target that lets nobody through for some time after its first call."""

    def __init__(self, shut_s: float) -> None:
        self.opened = asyncio.Event()
        self.shut_s = shut_s
        self.inside = self.most = self.calls = 0

    def open(self, when: object) -> None:
        if when:
            self.opened.set()

    async def __call__(self) -> None:
        if not self.calls:
            asyncio.get_running_loop().call_later(self.shut_s, self.opened.set)
        self.calls += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.opened.wait()
        finally:
            self.inside -= 1


def child(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program])


async def quick() -> None:
    await asyncio.sleep(0)


# ---- the closed model ----------------------------------------------------------------------------------------------


async def test_closed_plan_keeps_as_many_in_flight_as_there_are_users() -> None:
    gate = Gate(0.1)
    result = await measured(gate, config(concurrency=7))
    assert (result.model, result.concurrency, result.peak_in_flight, gate.most) == ("closed", 7, 7, 7)
    assert result.total_ops == gate.calls
    assert result.response_ms is None
    assert result.generator.lateness_ms is None
    assert result.latency_ms == result.service_ms
    assert result.latency_ms is not None
    assert result.latency_ms.count == result.total_ops


async def test_paced_user_begins_at_most_once_a_pacing() -> None:
    starts: list[int] = []

    async def operation() -> None:
        starts.append(mono_ns())

    await measured(operation, config(arrivals=Closed(users=1, pacing_s=0.01)))
    assert 1 <= len(starts) <= 16


async def test_rate_limit_spaces_the_starts_of_all_users() -> None:
    starts: list[int] = []

    async def operation() -> None:
        starts.append(mono_ns())

    result = await measured(operation, config(concurrency=5, rate_limit=200))
    assert 1 <= len(starts) <= 35
    assert result.total_ops == len(starts)


async def test_jitter_is_outside_of_every_clock() -> None:
    starts: list[int] = []

    async def operation() -> None:
        starts.append(mono_ns())

    result = await measured(operation, config(arrivals=Closed(users=20, jitter_s=0.1, seed=3)))
    assert starts[-1] - starts[0] > 20 * MS
    assert 20 <= result.total_ops <= 200  # without a wait it would be thousands
    assert result.latency_ms is not None
    assert result.latency_ms.median < 10


async def test_users_of_a_ramp_up_all_come() -> None:
    users, all_there = 0, asyncio.Event()

    async def operation() -> None:
        nonlocal users
        users += 1
        if users == 4:
            all_there.set()
        await all_there.wait()
        await asyncio.sleep(0.1)  # windows see it

    result = await measured(operation, config(concurrency=4, ramp_up=0.1, window_s=0.02, duration=1.0))
    assert all_there.is_set()
    assert result.peak_in_flight == 4


async def test_operations_that_never_suspend_let_the_loop_turn() -> None:
    async def operation() -> None:
        pass

    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        result = await measured(operation, config(concurrency=3))
        task.cancel()
    assert turns >= 1
    assert result.total_ops > 1_000


# ---- the open model ------------------------------------------------------------------------------------------------


async def test_open_plan_starts_every_arrival_and_counts_from_its_instant() -> None:
    result = await measured(quick, config(target_ops=1_000, concurrency=50))
    assert (result.model, result.generator.planned, result.generator.started) == ("open", 150, 150)
    assert (result.total_ops, result.missed_starts) == (150, 0)
    assert result.response_ms is not None
    assert result.service_ms is not None
    assert result.generator.lateness_ms is not None
    assert result.latency_ms == result.response_ms
    assert result.response_ms.mean == pytest.approx(result.service_ms.mean + result.generator.lateness_ms.mean)
    assert result.generator.lateness_ms.min >= 0
    assert sum(window.ops for window in result.timeline) == 150


@pytest.mark.parametrize(
    ("plan", "planned"),
    [
        (Ramp(start_per_s=0, end_per_s=800), 60),
        (Spike(base_per_s=200, peak_per_s=2_000, at_s=0.05, hold_s=0.05), 120),
        (Replay(instants_ns=(0, 0, 50 * MS, 140 * MS, 150 * MS)), 4),
    ],
)
async def test_every_shape_starts_its_arrivals(plan: Ramp | Spike | Replay, planned: int) -> None:
    result = await measured(quick, config(arrivals=plan))
    assert (result.generator.planned, result.total_ops) == (planned, planned)


async def test_stalled_target_is_asked_on_and_its_stall_counts() -> None:
    gate = Gate(0.1)
    result = await measured(gate, config(target_ops=200))
    assert (result.total_ops, gate.calls) == (30, 30)
    assert gate.most >= 2
    assert result.response_ms is not None
    assert result.response_ms.max >= 95


async def test_queue_when_full_keeps_arrivals_and_their_instants() -> None:
    gate = Gate(0.1)
    result = await measured(gate, config(target_ops=200, max_in_flight=3))
    assert (result.total_ops, gate.most, result.peak_in_flight, result.missed_starts) == (30, 3, 3, 0)
    assert result.service_ms is not None
    assert result.response_ms is not None
    assert result.response_ms.p75 > result.service_ms.p75
    assert result.generator.verdict == "generator_limited"
    assert "all 3 places in flight were taken" in result.generator.reasons[0]


async def test_queue_is_bounded() -> None:
    gate = Gate(60)
    result = await measured(
        gate,
        config(target_ops=200, max_in_flight=3, max_queue=5),
        on_progress=lambda said: gate.open(said.elapsed_s >= 0.2),
    )
    assert (result.total_ops, result.generator.dropped, result.missed_starts) == (8, 22, 22)


async def test_drop_when_full_counts_what_was_missed() -> None:
    gate = Gate(60)
    result = await measured(
        gate,
        config(target_ops=200, max_in_flight=3, when_full="drop"),
        on_progress=lambda said: gate.open(said.elapsed_s >= 0.2),
    )
    assert (result.total_ops, result.generator.dropped, result.missed_starts) == (3, 27, 27)
    assert not result.passed
    assert "3 of 30 planned operations were started" in " ".join(result.generator.reasons)


async def test_arrivals_beyond_the_catch_up_are_missed_not_fired_at_once() -> None:
    held = False

    async def operation() -> None:
        nonlocal held
        if not held:
            held = True
            deadline = mono_ns() + 100 * MS
            while mono_ns() < deadline:  # it holds the loop, as a stopped process would
                pass

    result = await measured(operation, config(target_ops=400, catch_up_s=0.02))
    assert result.generator.late >= 20
    assert result.total_ops + result.generator.late == 60
    assert result.generator.verdict == "generator_limited"


async def test_a1_closed_user_looks_away_while_the_target_stalls() -> None:
    # A tenth of the time the target is frozen. Both runs at once see the same freezes.
    began = mono_ns()

    async def operation() -> None:
        place = (mono_ns() - began) % (500 * MS)
        if place >= 450 * MS:
            await asyncio.sleep((500 * MS - place) / 1e9)

    opened, closed = await asyncio.gather(
        measured(operation, config(target_ops=400, duration=1)),
        measured(operation, config(arrivals=Closed(users=1, pacing_s=0.0025), duration=1)),
    )
    assert opened.response_ms is not None
    assert closed.service_ms is not None
    assert opened.total_ops == 400 > closed.total_ops
    assert opened.response_ms.p95 > 4 * closed.service_ms.p95
    assert "users wait while the target stalls" in " ".join(closed.notes)


# ---- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("open_rate", [None, 200.0])
async def test_failures_are_classified_and_kept_apart_from_successes(open_rate: float | None) -> None:
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        number = calls
        await asyncio.sleep(0.001)
        match number % 4:
            case 0:
                raise ConnectionRefusedError(111, "refused")
            case 1:
                raise ExceptionGroup("both", [TimeoutError(), ValueError()])

    result = await measured(operation, config(target_ops=open_rate))
    assert result.total_ops == calls
    assert result.errors["connection"] == calls // 4
    assert result.errors["timeout"] == (calls + 3) // 4
    assert set(result.errors) == {"timeout", "rate_limit", "network", "connection", "server", "unknown"}
    assert result.latency_ms is not None
    assert result.error_ms is not None
    assert result.latency_ms.count + result.error_ms.count == calls
    assert {(detail.kind, detail.code) for detail in result.error_details} == {
        ("connection", "refused"),
        ("timeout", "timeout"),
    }
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@pytest.mark.parametrize("open_rate", [None, 100.0])
async def test_operation_over_its_timeout_is_cancelled_and_counts_as_timeout(open_rate: float | None) -> None:
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        if calls % 2 == 1:
            await asyncio.Event().wait()
        await asyncio.sleep(0.001)

    result = await measured(operation, config(concurrency=4, target_ops=open_rate, timeout_s=0.25, max_in_flight=50))
    assert result.errors["timeout"] == (calls + 1) // 2
    assert result.total_ops == calls
    assert result.interrupted == 0
    assert result.error_ms is not None
    assert result.error_ms.min >= 250
    assert result.error_details[0].code == "operation"


@pytest.mark.parametrize("open_rate", [None, 100.0])
async def test_operation_that_swallows_its_cancellation_still_counts_as_timeout(open_rate: float | None) -> None:
    async def operation() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    result = await measured(operation, config(target_ops=open_rate, timeout_s=0.05))
    assert result.errors["timeout"] == result.total_ops > 0
    assert result.latency_ms is None


class Response:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@pytest.mark.parametrize("open_rate", [None, 300.0])
async def test_returned_429_is_an_error(open_rate: float | None) -> None:
    statuses = [200, 429, 200, 503, 404, 200]
    calls = 0

    async def operation() -> Response:
        nonlocal calls
        await asyncio.sleep(0.001)
        calls += 1
        return Response(statuses[(calls - 1) % 6])

    result = await measured(operation, config(target_ops=open_rate))
    assert result.errors["rate_limit"] == (calls + 4) // 6
    assert result.errors["server"] == (calls + 2) // 6
    assert {detail.code for detail in result.error_details} == {"status:429", "status:503", "status:404"}
    assert result.latency_ms is not None
    assert result.error_ms is not None
    assert result.latency_ms.count + result.error_ms.count == calls


async def test_own_classifier_decides_about_returned_values() -> None:
    async def operation() -> str:
        await asyncio.sleep(0.001)
        return "slow down"

    def classify(value: object) -> Fault | None:
        return Fault(ErrorClass.RATE_LIMIT, "said so") if value == "slow down" else None

    result = await measured(operation, config(), classify_result=classify)
    assert result.errors["rate_limit"] == result.total_ops > 0
    assert result.success_rate_percent == 0
    assert not result.passed


async def test_error_kinds_are_bounded() -> None:
    number = 0

    async def operation() -> None:
        nonlocal number
        number += 1
        await asyncio.sleep(0)
        raise type(f"Odd{number}Error", (Exception,), {})

    result = await measured(operation, config(duration=0.1))
    assert result.errors["unknown"] == result.total_ops > 65
    assert len(result.error_details) == 65
    assert result.error_details[0].code == "_OTHER"


class Panic(BaseException):
    """What an extension written in Rust raises when it panics."""


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("open_rate", [None, 200.0])
@pytest.mark.parametrize("error", [Panic("overflow"), SystemExit(0), KeyboardInterrupt(), MuteError()])
async def test_no_error_of_an_operation_ends_its_user(open_rate: float | None, error: BaseException) -> None:
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        is_bad = calls % 3 == 0
        await asyncio.sleep(0.001)
        if is_bad:
            raise error

    result = await measured(operation, config(concurrency=2, target_ops=open_rate, max_in_flight=50, duration=0.4))
    assert calls > 6
    assert result.total_ops == calls
    assert result.errors["unknown"] == calls // 3
    assert result.error_details[0].code == type(error).__name__
    assert result.incidents == ()


@pytest.mark.parametrize("open_rate", [None, 50.0])
async def test_task_that_breaks_all_the_same_is_never_called_a_pass(
    open_rate: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(OperationEnd, "failed", fail)
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ValueError
        await asyncio.sleep(0.001)

    result = await measured(operation, config(concurrency=3, target_ops=open_rate))
    assert (result.generator.verdict, result.passed) == ("degraded", False)
    assert "ended with an error of their own (RuntimeError: a fault of ours)" in result.incidents[0].what


async def test_user_whose_task_somebody_cancels_is_missed() -> None:
    async def operation() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_soon(task.cancel)  # it comes when the operation has long ended

    result = await measured(operation, config(arrivals=Closed(users=2, pacing_s=0.02)))
    assert (result.generator.verdict, result.passed) == ("degraded", False)
    assert "a user's task was cancelled from outside" in result.incidents[0].what


# ---- endings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("open_rate", [None, 100.0])
async def test_operations_cut_off_by_the_end_are_interrupted_not_failed(open_rate: float | None) -> None:
    async def operation() -> None:
        await asyncio.Event().wait()

    result = await measured(operation, config(concurrency=3, target_ops=open_rate, graceful_stop_s=0.05, duration=0.1))
    assert (result.interrupted, result.total_ops, sum(result.errors.values())) == (3, 0, 0)
    assert not result.passed
    assert "interrupted" in " ".join(result.notes)


@pytest.mark.parametrize("open_rate", [None, 100.0])
async def test_operations_under_way_may_end_in_the_graceful_stop(open_rate: float | None) -> None:
    async def operation() -> None:
        await asyncio.sleep(0.15)

    result = await measured(operation, config(target_ops=open_rate, duration=0.1))
    assert result.interrupted == 0
    assert result.total_ops == (1 if open_rate is None else 10)
    assert result.drain_s > 0


@pytest.mark.parametrize("open_rate", [None, 100.0])
async def test_stop_ends_the_run_early_with_what_it_has(open_rate: float | None) -> None:
    stop = asyncio.Event()
    result = await measured(
        quick, config(duration=60, target_ops=open_rate), stop=stop, on_progress=lambda _: stop.set()
    )
    assert (result.stopped, result.passed) == ("interrupted", False)
    assert result.duration_s < 30
    assert result.total_ops > 0
    if open_rate is not None:
        assert result.generator.planned == result.total_ops + result.missed_starts


@pytest.mark.parametrize("open_rate", [None, 100.0])
async def test_stop_ends_the_wait_for_the_last_operations_too(
    open_rate: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "_HURRIED_MS", 50)
    stop = asyncio.Event()
    result = await measured(
        asyncio.Event().wait,
        config(concurrency=3, target_ops=open_rate, duration=0.1, graceful_stop_s=600, timeout_s=None),
        stop=stop,
        on_progress=lambda said: stop.set() if said.elapsed_s > 0.15 else None,
    )
    assert (result.stopped, result.interrupted, result.duration_s) == ("interrupted", 3, 0.1)
    assert result.drain_s < 60


@pytest.mark.parametrize("open_rate", [None, 100.0])
def test_operations_that_swallow_their_cancellation_are_left_behind(
    open_rate: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_loops, "SETTLE_S", 0.2)

    async def operation() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    wanted = config(concurrency=3, target_ops=open_rate, duration=0.1, graceful_stop_s=0.05)
    with asyncio.Runner() as runner:  # whose end does not wait for them either
        result = runner.run(measured(operation, wanted))
    assert (result.interrupted, result.total_ops, result.passed) == (3, 0, False)
    assert result.generator.verdict == "degraded"
    assert "3 operations did not end when they were cancelled" in result.incidents[0].what
    assert result.generator.reasons[0] == result.incidents[0].what


async def test_plan_beyond_the_dispatchers_speed_lets_the_loop_turn_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_loops, "_CATCH_UP_MS", 20)
    monkeypatch.setattr(load_loops, "_MOST_AT_ONCE", 200)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with asyncio.TaskGroup() as group:
        turning = group.create_task(turn())
        result = await measured(quick, config(target_ops=20_000_000, duration=0.2, max_queue=10, graceful_stop_s=600))
        turning.cancel()
    health = result.generator
    assert health.planned == 4_000_000
    assert health.started + result.missed_starts == health.planned
    assert health.unstarted > 0
    assert health.dispatch_ms is not None
    assert turns > health.dispatch_ms.count / 200 - 5
    assert health.verdict == "generator_limited"


async def test_cancelled_run_leaves_no_task_behind() -> None:
    gate = Gate(60)
    task = asyncio.get_running_loop().create_task(load_test_service.run(gate, config(target_ops=100, duration=60)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gate.inside == 0
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_callable_that_is_not_async_is_a_typed_failure() -> None:
    outcome = await load_test_service.run(lambda: 3, config())
    assert isinstance(outcome, LoadFailure)
    assert "async def" in str(outcome)


async def test_callable_that_returns_what_nobody_runs_is_a_typed_failure() -> None:
    async def operation() -> object:
        return quick()

    outcome = await load_test_service.run(operation, config())
    assert isinstance(outcome, LoadFailure)
    assert "a coroutine (quick)" in str(outcome)


@pytest.mark.parametrize("hook", ["setup", "teardown"])
async def test_hook_that_fails_is_a_typed_failure(hook: str) -> None:
    async def fail() -> None:
        raise OSError("no database")

    outcome = await load_test_service.run(quick, config(duration=0.05), **{hook: fail})  # type: ignore[arg-type]
    assert isinstance(outcome, LoadFailure)
    assert str(outcome) == f"test: the {hook} around a sample failed with OSError: no database"


async def test_cancelled_run_is_torn_down() -> None:
    called: list[str] = []
    running = load_test_service.run(
        Gate(60), config(duration=60), setup=lambda: called.append("setup"), teardown=lambda: called.append("teardown")
    )
    task = asyncio.get_running_loop().create_task(running)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert called == ["setup", "teardown"]


async def test_teardown_that_fails_after_a_cancelled_run_is_a_note_on_the_cancellation() -> None:
    def fail() -> None:
        raise OSError("no database")

    task = asyncio.get_running_loop().create_task(load_test_service.run(Gate(60), config(duration=60), teardown=fail))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.__notes__ == ["the teardown failed, too, with OSError: no database"]


async def test_progress_that_cannot_be_shown_is_an_incident_and_told_no_more() -> None:
    told = 0

    def show(_: LoadProgress) -> None:
        nonlocal told
        told += 1
        raise RuntimeError("no terminal")

    result = await measured(quick, config(target_ops=50), on_progress=show)
    assert told == 1
    assert [incident.what for incident in result.incidents] == ["on_progress failed with RuntimeError: no terminal"]
    assert len(result.timeline) > 1


async def test_hooks_of_the_service_are_handed_the_outcome() -> None:
    seen: list[LoadOutcome] = []
    service = LoadTestService(seen.append)
    outcome = await service.run(quick, config(duration=0.05))
    assert seen == [outcome]


# ---- thresholds and verdicts ---------------------------------------------------------------------------------------


async def test_threshold_in_a_window_aborts_the_run_and_says_why() -> None:
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.001)
        if calls > 20:
            raise ConnectionResetError

    limit = Threshold(metric="success_percent", limit=90, scope="window", windows=2, abort=True)
    result = await measured(operation, config(duration=60, target_ops=100, thresholds=(limit,)))
    assert result.stopped == "aborted"
    assert result.duration_s < 30
    assert not result.passed
    assert not result.thresholds[0].met
    assert result.thresholds[0].bad_windows >= 2
    assert "success_percent>=90 window abort was missed" in result.incidents[0].what


async def test_target_that_hangs_altogether_misses_a_throughput_in_windows() -> None:
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        await (asyncio.sleep(0.001) if calls <= 20 else asyncio.Event().wait())

    limit = Threshold(metric="ops_per_s", limit=1, scope="window", abort=True)
    result = await measured(
        operation, config(concurrency=4, duration=60, graceful_stop_s=0.05, thresholds=(limit,), timeout_s=None)
    )
    assert (result.stopped, result.thresholds[0].value) == ("aborted", 0.0)
    assert result.duration_s < 30


async def test_throughput_is_not_judged_while_the_last_operations_end() -> None:
    limit = Threshold(metric="total_ops", limit=10**6, scope="window", grace_s=0.15)  # the plan's end
    result = await measured(Gate(0.3), config(concurrency=2, thresholds=(limit,)))
    assert any(window.ops for window in result.timeline if window.at_s >= 0.15)
    assert (result.thresholds[0].value, result.thresholds[0].bad_windows) == (None, 0)


async def test_probe_is_held_against_a_limit_over_the_run_by_its_last_word() -> None:
    said = iter((9.0, *(3.0 for _ in range(1_000))))
    limit = Threshold(metric="probe:depth", limit=5)
    result = await measured(quick, config(target_ops=50, thresholds=(limit,)), probe=lambda: {"depth": next(said)})
    assert [(found.value, found.met) for found in result.thresholds] == [(3.0, True)]


async def test_drivers_memory_is_held_against_a_limit_by_its_name_in_windows() -> None:
    limit = Threshold(metric="rss_mb:driver", limit=10**6, scope="window")
    result = await measured(quick, config(target_ops=50, thresholds=(limit,)))
    assert result.thresholds[0].met


async def test_last_operation_does_not_dilute_the_drivers_cpu() -> None:
    calls = 0

    async def operation() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(2)
            return
        sum(range(20_000))
        await asyncio.sleep(0)

    result = await measured(operation, config(concurrency=2, duration=0.5))
    assert result.driver is not None
    used_s = result.driver.cpu_user_s + result.driver.cpu_system_s
    diluted = 100 * used_s / (result.duration_s + result.drain_s)
    assert result.generator.cpu_percent > 1.3 * diluted
    assert result.resources["driver"].avg_cpu_percent == result.generator.cpu_percent


async def test_thresholds_of_the_whole_run_decide_whether_it_passed() -> None:
    met = Threshold(metric="success_percent", limit=99)
    missed = Threshold(metric="total_ops", limit=10**9)
    result = await measured(quick, config(target_ops=50, thresholds=(met, missed)))
    assert [(found.name, found.met) for found in result.thresholds] == [
        ("success_percent>=99", True),
        ("total_ops>=1e+09", False),
    ]
    assert not result.passed


async def test_threshold_without_data_is_missed() -> None:
    async def operation() -> None:
        raise ValueError

    limit = Threshold(metric="p95_ms", limit=10**9)
    result = await measured(operation, config(target_ops=50, thresholds=(limit,)))
    assert (result.thresholds[0].met, result.thresholds[0].value) == (False, None)
    assert result.thresholds[0].why == "there is no data"


async def test_a6_overloaded_generator_is_never_called_a_pass() -> None:
    result = await measured(quick, config(target_ops=2_000_000, max_queue=1_000, duration=0.1, graceful_stop_s=1))
    assert result.generator.verdict == "generator_limited"
    assert not result.passed
    assert result.generator.reasons


async def test_chain_at_its_limit_is_never_called_a_pass() -> None:
    result = await measured(quick, config(target_ops=50), probe=lambda: {"chain_queue_p99_ms": 25.0})
    assert "what the chain received waited 25.0 ms" in " ".join(result.generator.reasons)
    assert not result.passed
    assert result.timeline[0].extra["probe:chain_queue_p99_ms"] == 25


async def test_busy_chain_process_limits_the_verdict_and_is_in_the_resources() -> None:
    burner = child("while True: pass")
    try:
        result = await measured(
            quick, config(target_ops=20, duration=0.3, processes={"chain": burner.pid, "bot": os.getpid()})
        )
    finally:
        burner.kill()
        burner.wait()
    assert set(result.resources) == {"driver", "chain", "bot"}
    assert result.resources["chain"].avg_cpu_percent > 10
    assert result.resources["chain"].peak_rss_mb > 1
    assert "rss_mb:chain" in result.timeline[0].extra


async def test_watched_process_that_dies_ends_the_run_degraded() -> None:
    process = child("import time; time.sleep(60)")
    result = await measured(
        quick,
        config(target_ops=50, duration=60, processes={"bot": process.pid}),
        on_progress=lambda _: process.kill(),
    )
    process.wait()
    assert (result.generator.verdict, result.stopped, result.passed) == ("degraded", "aborted", False)
    assert f"the process bot ({process.pid}) has ended" in result.incidents[0].what
    assert result.resources["bot"].ended_at_s is not None
    assert result.total_ops > 0


async def test_watched_process_that_is_stopped_is_an_incident() -> None:
    process = child("import time; time.sleep(60)")
    try:
        result = await measured(
            quick,
            config(target_ops=50, processes={"bot": process.pid}),
            on_progress=lambda _: process.send_signal(signal.SIGSTOP),
        )
    finally:
        process.kill()
        process.wait()
    assert "has been stopped by a signal" in result.incidents[0].what


async def test_probe_that_fails_is_an_incident_and_asked_no_more() -> None:
    asked = 0

    def probe() -> dict[str, float]:
        nonlocal asked
        asked += 1
        raise OSError("gone")

    result = await measured(quick, config(target_ops=50), probe=probe)
    assert asked == 1
    assert "the probe failed with OSError: gone" in result.incidents[0].what


# ---- the rest ------------------------------------------------------------------------------------------------------


async def test_progress_tells_rate_p95_errors_and_in_flight() -> None:
    seen: list[LoadProgress] = []
    result = await measured(quick, config(target_ops=100), on_progress=seen.append)
    assert seen
    assert seen[-1].total_ops == result.total_ops
    assert any(said.p95_ms is not None for said in seen)
    assert seen[0].duration_s == 0.15


async def test_heap_is_frozen_for_the_run_and_thawed_again() -> None:
    before = gc.get_freeze_count()
    gc.unfreeze()  # another test's setting must not decide this one
    frozen: list[int] = []

    async def operation() -> None:
        frozen.append(gc.get_freeze_count())
        await asyncio.sleep(0.01)

    try:
        await measured(operation, config(duration=0.3, freeze_gc=True))
        assert frozen[0] > 1_000
        assert gc.get_freeze_count() == 0
        await measured(operation, config(duration=0.3, freeze_gc=False))
        assert frozen[-1] == 0
    finally:
        if before:
            gc.freeze()


async def test_heap_that_somebody_else_froze_stays_frozen() -> None:
    gc.freeze()
    before = gc.get_freeze_count()
    await measured(quick, config(duration=0.05, freeze_gc=True))
    assert gc.get_freeze_count() >= before
    gc.unfreeze()


async def test_result_survives_its_json() -> None:
    result = await measured(quick, config(target_ops=100, thresholds=(Threshold(metric="p95_ms", limit=5_000),)))
    text = msgspec.json.encode(result)
    assert msgspec.json.decode(text, type=LoadOutcome) == result
    document = msgspec.json.decode(text)
    contract = {
        "scenario", "model", "concurrency", "total_ops", "success_rate_percent", "latency_ms", "service_ms",
        "achieved_ops_per_s", "errors", "resources", "thresholds", "generator", "missed_starts", "timeline",
    }  # fmt: skip
    assert contract <= set(document)
    assert {"name", "limit", "value", "met"} <= set(document["thresholds"][0])
    assert {"verdict", "reasons", "lateness_ms", "cpu_percent"} <= set(document["generator"])


async def test_result_with_a_probe_that_says_nan_survives_its_json() -> None:
    result = await measured(quick, config(target_ops=100), probe=lambda: {"depth": math.nan})
    assert msgspec.json.decode(msgspec.json.encode(result), type=LoadOutcome) == result
    assert "the probe said nan for depth" in result.incidents[0].what


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"duration": 0}, "duration is a span"),
        ({"duration": "5"}, "duration is a span"),
        ({"scenario": 5}, "scenario is a text"),
        ({"labels": {"a": 1}}, "labels are texts"),
        ({"when_full": "qeue"}, 'when_full is "queue" or "drop"'),
        ({"max_queue": 1.5}, "max_queue is a whole number"),
        ({"ramp_up": math.nan}, "ramp_up is 0 to the duration"),
        ({"graceful_stop_s": math.nan}, "graceful_stop_s is finite"),
        ({"graceful_stop_s": math.inf}, "graceful_stop_s is finite"),
        ({"thresholds": ("p95_ms<=4",)}, "see parse_threshold"),
        (
            {"target_ops": 1.0, "thresholds": (Threshold(metric="service_p95_ms", limit=1, scope="window"),)},
            "limit p95_ms there, or service_p95_ms over the whole run",
        ),
        ({"target_ops": -1.0}, "target_ops is above 0"),
        ({"concurrency": 0}, "concurrency is a whole number"),
        ({"ramp_up": 31.0}, "ramp_up is 0 to the duration"),
        ({"target_ops": 1.0, "arrivals": Constant(rate_per_s=1)}, "either arrivals or target_ops"),
        ({"concurrency": 3, "arrivals": Closed(users=2)}, "leave concurrency out"),
        ({"target_ops": 1.0, "rate_limit": 1.0}, "rate_limit is for closed ones"),
        ({"arrivals": Ramp(start_per_s=0, end_per_s=1), "ramp_up": 1.0}, "a shape of their own"),
        ({"graceful_stop_s": -1.0}, "not negative"),
    ],
)
def test_configuration_that_cannot_be_run_is_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LoadTestConfig(**{"scenario": "x", **changes})  # type: ignore[arg-type]  # wrong on purpose
