import pytest

from slotzero.perf.compare.stored import Incomparable, by_title, compare_stored, fallen_success
from slotzero.perf.types import (
    Interval,
    ThroughputStats,
    Verdict,
    as_sample_count,
    as_success_rate,
    as_throughput_ops,
)
from stored_results import certificate, result


def verdict_of(speed: float, *, reference_us: float = 150.0, samples: int = 500) -> Verdict:
    lines, left_out = compare_stored(
        [result(samples=samples)], [result(speed=speed, reference_us=reference_us, samples=samples, seed=2)]
    )
    assert left_out == []
    return lines[0].verdict


@pytest.mark.parametrize(
    ("speed", "expected"),
    [
        (1.0, Verdict.EQUIVALENT),
        (1.3, Verdict.REGRESSED),
        (0.7, Verdict.IMPROVED),
        (1.12, Verdict.INCONCLUSIVE),
        (1.04, Verdict.INCONCLUSIVE),
    ],
)
def test_change_of_a_stored_result_has_its_verdict(speed: float, expected: Verdict) -> None:
    assert verdict_of(speed) is expected


def test_slower_machine_is_no_slower_program() -> None:
    assert verdict_of(1.0, reference_us=210.0) is Verdict.EQUIVALENT
    assert verdict_of(1.3, reference_us=100.0) is Verdict.REGRESSED


def test_line_says_what_it_was_compared_through() -> None:
    lines, _ = compare_stored([result()], [result(reference_us=165.0)])
    assert [line.metric for line in lines] == ["median", "p75", "p90", "p95"]
    assert {line.note for line in lines} == {"the reference work took +10.0 %"}
    assert {line.launches for line in lines} == {1}
    assert lines[0].effect_percent == pytest.approx(0, abs=0.1)


def test_too_few_samples_for_an_interval_have_no_verdict() -> None:
    lines, _ = compare_stored([result(samples=20)], [result(samples=20, speed=3)])
    p95 = lines[3]
    assert (p95.metric, p95.verdict, p95.interval) == ("p95", Verdict.INCONCLUSIVE, None)


def test_own_time_is_compared_where_it_is_told_apart() -> None:
    own = result(speed=0.1).latency_ms
    base, new = result(own_ms=own), result(speed=2, own_ms=own)
    lines, _ = compare_stored([base], [new])
    assert lines[0].verdict is Verdict.EQUIVALENT
    assert lines[0].note.startswith("own time; ")


def test_what_cannot_be_compared_is_named() -> None:
    base = [
        result("gone"),
        result("silent"),
        result("other work"),
        result("elsewhere"),
        result("FILTERS"),
    ]
    new = [
        result("come"),
        result("silent", noise=None),
        result("other work", noise=certificate(150, "reference/9")),
        result("elsewhere", starts_at="chain"),
        result("FILTERS"),
    ]
    lines, left_out = compare_stored(base, new)
    assert {line.name for line in lines} == {"FILTERS"}
    assert left_out == [
        Incomparable(name="gone", reason="not in NEW"),
        Incomparable(name="come", reason="not in BASE"),
        Incomparable(name="silent", reason="one of the results carries no reference work to compare through"),
        Incomparable(name="other work", reason="the reference work differs: reference/1 and reference/9"),
        Incomparable(name="elsewhere", reason="the clock started at different instants: call and chain"),
    ]


def test_one_benchmark_on_two_loops_is_two() -> None:
    both = [result(), result(event_loop="asyncio 3.11"), result("PRIVACY")]
    assert list(by_title(both)) == ["FILTERS on uvloop", "FILTERS on asyncio", "PRIVACY"]


def rated(percent: float, low: float, high: float) -> ThroughputStats:
    return ThroughputStats(
        total_ops=as_sample_count(500),
        ops_per_s=as_throughput_ops(100),
        success_rate_percent=as_success_rate(percent),
        success_interval=Interval(low, high),
    )


@pytest.mark.parametrize(("now", "is_named"), [(rated(80, 76, 84), True), (rated(98, 96, 99), False)])
def test_fallen_success_rate_is_named(now: ThroughputStats, *, is_named: bool) -> None:
    then = rated(99, 97.5, 99.6)
    found = fallen_success([result(throughput=then), result("GONE")], [result(throughput=now), result("COME")])
    assert found == (["FILTERS succeeded in 80.0 % of samples, in 99.0 % before"] if is_named else [])
