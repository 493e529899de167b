"""The coordinator's half as a dialogue: clocks compared, shards heard or not, results merged. Literal `now`."""

import msgspec
import pytest

from slotzero.perf.load_report import load_result
from slotzero.perf.load_tape import Sums, window_figures
from slotzero.perf.load_types import ClockCheck, LoadTestConfig, ProcessStats, Window
from slotzero.perf.shard import Armed, Beat, ClockReading, Snapshot, decode_message
from slotzero.perf.shard_merge import ClockProbe, Follower, check_clocks, clock_refusal, start_for
from slotzero.perf.thresholds import Threshold

MS = 1_000_000
S = 1_000_000_000
WALL = 1_790_000_000 * S
HERE = ClockCheck(offset_ms=0.0, uncertainty_ms=1.0, same_machine=True)


def probe(round_trip_ms: float, offset_ms: float, *, boot: str = "one", mono_off_ms: float = 0.0) -> ClockProbe:
    half = round(round_trip_ms * MS / 2)
    return ClockProbe(
        sent_wall_ns=WALL,
        sent_mono_ns=5 * S,
        answered_mono_ns=5 * S + 2 * half,
        reading=ClockReading(
            wall_ns=WALL + half + round(offset_ms * MS), mono_ns=5 * S + half + round(mono_off_ms * MS), boot=boot
        ),
    )


def test_offset_comes_from_the_quickest_answer() -> None:
    found = check_clocks([probe(40, 9), probe(2, 3), probe(10, -4)], "another")
    assert found == ClockCheck(offset_ms=3.0, uncertainty_ms=1.0, same_machine=False)


@pytest.mark.parametrize(
    ("boot", "mono_off_ms", "is_same"), [("one", 0, True), ("two", 0, False), ("", 0, False), ("one", 9_000, False)]
)
def test_one_monotonic_clock_is_recognised(boot: str, mono_off_ms: float, *, is_same: bool) -> None:
    assert check_clocks([probe(2, 0, boot="one", mono_off_ms=mono_off_ms)], boot).same_machine == is_same


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (ClockCheck(offset_ms=100.9, uncertainty_ms=1, same_machine=False), None),
        (ClockCheck(offset_ms=-102, uncertainty_ms=1, same_machine=False), "is -102 ms from ours"),
        (ClockCheck(offset_ms=500, uncertainty_ms=1, same_machine=True), "synchronise both"),
        (ClockCheck(offset_ms=0, uncertainty_ms=5.1, same_machine=False), "known to 5.1 ms only"),
        (ClockCheck(offset_ms=0, uncertainty_ms=50, same_machine=True), None),
    ],
)
def test_a10_clocks_that_disagree_are_refused(check: ClockCheck, words: str | None) -> None:
    refusal = clock_refusal("tcp://10.0.0.2:1", check)
    assert (refusal is None) == (words is None)
    if words is not None:
        assert words in (refusal or "")


def test_start_is_told_on_the_shards_own_clock() -> None:
    far = ClockCheck(offset_ms=12.5, uncertainty_ms=1, same_machine=False)
    assert start_for(HERE, mono_ns=9 * S, wall_ns=WALL).mono_ns == 9 * S
    told = start_for(far, mono_ns=9 * S, wall_ns=WALL)
    assert (told.mono_ns, told.wall_ns) == (None, WALL + 12_500_000)


def config(**changes: object) -> LoadTestConfig:
    made = LoadTestConfig(scenario="dialogue", target_ops=20, duration=2.0)
    return msgspec.structs.replace(made, **changes)


def follower(wanted: LoadTestConfig | None = None) -> Follower:
    made = Follower(wanted or config(), [("w0", HERE), ("w1", HERE)], snapshot_s=0.5)
    for shard in (0, 1):
        made.received(Armed(shard=shard, pid=10 + shard), 9 * S)
    made.started(10 * S, 9 * S)
    return made


def window(at_s: float, latencies_ms: list[float], errors: int = 0) -> Window:
    sums = Sums.empty()
    sums.response.fold([round(value * MS) for value in latencies_ms])
    count = len(latencies_ms)
    return Window(
        at_s=at_s, span_s=1.0, ops=count, errors=errors, started=count + errors, missed=0, in_flight=2,
        ops_per_s=float(count), **window_figures(sums.response),
    )  # fmt: skip


def snapshot(shard: int, seq: int, latencies_ms: list[float], **changes: object) -> Snapshot:
    sums = Sums.empty()
    values = [round(value * MS) for value in latencies_ms]
    sums.service.fold(values)
    sums.response.fold(values)
    sums.lateness.fold([100_000] * len(values))
    made = Snapshot(
        shard=shard,
        seq=seq,
        at_s=seq * 0.5,
        state="running",
        sums=sums.to_bytes(),
        begun=len(values),
        in_plan=len(values),
        begun_in_plan=len(values),
        planned=len(values),
        start_skew_ns=400_000,
    )
    return msgspec.structs.replace(made, **changes)


def test_messages_survive_the_wire() -> None:
    for message in (Armed(shard=1, pid=2), Beat(shard=3), snapshot(0, 1, [5.0], windows=(window(0, [5.0]),))):
        assert decode_message(msgspec.msgpack.encode(message)) == message


def test_snapshots_are_cumulative_so_a_lost_or_late_one_changes_nothing() -> None:
    run = follower()
    run.received(snapshot(0, 1, [1.0]), 11 * S)
    run.received(snapshot(0, 3, [1.0, 2.0, 3.0]), 12 * S)
    run.received(snapshot(0, 2, [1.0, 2.0]), 12 * S)
    run.received(snapshot(0, 3, [1.0, 2.0, 3.0]), 12 * S)
    assert run.merged().service.count == 3


def test_result_is_merged_exactly_from_all_shards() -> None:
    run = follower()
    first, second = [float(number) for number in range(1, 21)], [float(number) for number in range(21, 41)]
    run.received(snapshot(0, 4, first, state="finished"), 12 * S)
    run.received(snapshot(1, 4, second, state="finished"), 12 * S)
    assert run.is_ended
    result = load_result(run.measured())
    assert (result.total_ops, result.generator.planned, result.generator.verdict) == (40, 40, "ok")
    assert result.latency_ms is not None
    assert (result.latency_ms.min, result.latency_ms.max, result.latency_ms.mean) == (1.0, 40.0, 20.5)
    assert result.latency_ms.median == pytest.approx(20.0, rel=0.004)
    assert [shard.start_skew_ms for shard in result.shards] == [0.4, 0.4]


def test_a7_silent_shard_is_lost_within_three_seconds_and_keeps_its_last_snapshot() -> None:
    run = follower()
    for half in range(1, 4):
        run.received(snapshot(0, half, [5.0] * half), 10 * S + half * 500 * MS)
        run.received(snapshot(1, half, [5.0] * half), 10 * S + half * 500 * MS)
    silent_since = 10 * S + 1_500 * MS
    run.received(Beat(shard=0), 13 * S)
    assert run.look(silent_since + 1_500 * MS) == []
    assert run.look(silent_since + 1_501 * MS) == [1]
    assert run.is_waiting(0)
    run.received(snapshot(1, 9, [5.0] * 9), 14 * S)  # it goes on after all: too late
    run.received(snapshot(0, 5, [5.0] * 20, state="finished"), 14 * S)
    assert run.is_ended
    result = load_result(run.measured())
    assert (result.total_ops, result.generator.planned) == (23, 40)
    assert (result.generator.verdict, result.passed) == ("degraded", False)
    assert [shard.state for shard in result.shards] == ["finished", "lost"]
    assert result.shards[1].lost_at_s == pytest.approx(3.001)
    assert "nothing was heard of it for 1.5 s" in result.incidents[0].what


def test_beats_keep_a_shard_whose_operations_hold_its_loop() -> None:
    run = follower()
    for half in range(20):
        for shard in (0, 1):
            run.received(Beat(shard=shard), 10 * S + half * 500 * MS)
        assert run.look(10 * S + half * 500 * MS) == []


def test_shard_the_engine_has_lost_is_lost_at_once() -> None:
    run = follower()
    run.gone(1, "its worker died", 11 * S)
    assert run.is_lost(1)
    assert not run.is_waiting(1)
    assert run.incidents[0].what == "shard 1 on w1 was lost: its worker died"


def test_windows_are_merged_once_all_live_shards_have_them() -> None:
    limit = Threshold(metric="p95_ms", limit=10, scope="window", abort=True)
    run = follower(config(thresholds=(limit,)))
    run.received(snapshot(0, 2, [5.0], windows=(window(0, [5.0, 5.0]),)), 11 * S)
    assert list(run.closed_windows()) == []
    run.received(snapshot(1, 2, [5.0], windows=(window(0, [5.0]),)), 11 * S)
    [(progress, why)] = list(run.closed_windows())
    assert (progress.ops_per_s, progress.in_flight, progress.shards, why) == (3.0, 4, 2, None)
    run.received(snapshot(0, 4, [5.0], windows=(window(0, [5.0, 5.0]), window(1, [90.0]))), 12 * S)
    run.received(snapshot(1, 4, [5.0], windows=(window(0, [5.0]), window(1, [5.0]))), 12 * S)
    [(progress, why)] = list(run.closed_windows())
    assert progress.p95_ms == 90.0
    assert why is not None
    assert "p95_ms<=10 window abort was missed at 1.0 s with 90" in why


def used(cpu_percent: float, rss_mb: float) -> ProcessStats:
    return ProcessStats(
        pid=1,
        avg_cpu_percent=cpu_percent,
        peak_cpu_percent=99.0,
        peak_rss_mb=rss_mb,
        rss_growth_mb=0.0,
        peak_fds=None,
    )


def test_cpu_is_the_busiest_shards_and_memory_that_of_all() -> None:
    limits = tuple(
        Threshold(metric=metric, limit=limit, scope=scope)
        for scope in ("run", "window")
        for metric, limit in (("cpu_percent", 70), ("rss_mb", 150), ("rss_mb", 149))
    )
    run = follower(config(thresholds=limits))
    for shard, (cpu, rss) in enumerate([(60.0, 90.0), (70.0, 60.0)]):
        busy = msgspec.structs.replace(window(0, [5.0]), cpu_percent=cpu, rss_mb=rss)
        run.received(snapshot(shard, 4, [5.0], state="finished", process=used(cpu, rss), windows=(busy,)), 12 * S)
    found = load_result(run.measured()).thresholds
    assert [(limit.value, limit.met) for limit in found] == [(70.0, True), (150.0, True), (150.0, False)] * 2


def test_shard_whose_operations_are_in_no_count_makes_the_run_degraded() -> None:
    run = follower()
    run.received(snapshot(0, 4, [5.0, 6.0], state="finished"), 12 * S)
    run.received(snapshot(1, 4, [5.0], state="finished", begun=4, interrupted=1), 12 * S)
    health = load_result(run.measured()).generator
    assert (health.verdict, health.reasons[0]) == ("degraded", "2 of shard 1's operations did not end, or in no count")


def test_throughput_is_judged_in_empty_windows_of_the_plan_and_not_behind_it() -> None:
    run = follower(config(duration=2.0, thresholds=(Threshold(metric="ops_per_s", limit=1, scope="window"),)))
    for shard in (0, 1):
        windows = (window(0, [5.0]), window(1, []), window(2, []))
        run.received(snapshot(shard, 6, [5.0], state="finished", windows=windows), 13 * S)
    (found,) = load_result(run.measured()).thresholds
    assert (found.met, found.why) == (False, "missed in 1 of 2 windows")


def test_lost_shard_does_not_hold_up_the_windows_of_the_others() -> None:
    run = follower()
    run.received(snapshot(0, 2, [5.0], windows=(window(0, [5.0]),)), 11 * S)
    run.gone(1, "its worker died", 11 * S)
    assert len(list(run.closed_windows())) == 1
