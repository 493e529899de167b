"""Each rule provoked, and each left silent by evidence that looks alike."""

import pytest

from evidence_lab import block, evidence, memory, pause, result, sample, samples_in_a_row, stage
from slotzero.perf.environment import NoiseCertificate
from slotzero.perf.evidence import SampleRecord
from slotzero.perf.profile.records import Frame, Profile, Stack
from slotzero.perf.suggest import RULES, suggest
from slotzero.perf.suggest.calls import cold_cache, repeated_calls, slow_endpoint
from slotzero.perf.suggest.holdups import blocked_loop, gc_pauses, loop_delay
from slotzero.perf.suggest.memory import leak
from slotzero.perf.suggest.outcomes import failing_calls, few_samples, noisy_machine, timeouts
from slotzero.perf.suggest.stages import hot_function, slow_stages
from slotzero.perf.types import (
    GcStats,
    LoopDelayStats,
    MemoryMB,
    ResourceStats,
    SamplerCost,
    Severity,
    Suggestion,
    as_cpu_percent,
    as_latency_ms,
)


def _p95(one: Suggestion) -> tuple[float, float]:
    """Return p95 as measured and as it would become."""
    assert one.p95_ms is not None
    assert one.impact_p95_ms is not None
    return float(one.p95_ms), float(one.impact_p95_ms)


def test_no_evidence_gives_no_suggestion() -> None:
    assert suggest(evidence()) == []
    assert suggest(evidence(samples_in_a_row([sample(1)] * 100))) == []


# leak


def test_memory_that_goes_on_growing_is_a_leak_with_its_rate() -> None:
    found = leak(evidence(samples_in_a_row([sample(10)] * 200), memory=memory([100 + n * 0.2 for n in range(100)])))

    (one,) = found
    assert one.impact_mb_per_h == pytest.approx(36_000, rel=0.01)  # 0.2 MB in 20 ms
    assert one.evidence["kb_per_call"] == pytest.approx(100, rel=0.01)
    assert one.severity is Severity.CRITICAL


def test_memory_that_grows_by_a_megabyte_in_a_minute_is_less_pressing() -> None:
    slow = memory([100 + n / 3_000 for n in range(9_000)])

    (one,) = leak(evidence(memory=slow))

    assert one.impact_mb_per_h == pytest.approx(60, rel=0.01)
    assert one.severity is Severity.HIGH  # 500 MB in 6.6 hours


@pytest.mark.parametrize(
    "sizes",
    [
        [100.0] * 100,
        [100 + min(n, 40) * 0.2 for n in range(100)],  # a cache fills, and is full
        [100 + (30 if n > 60 else 0) for n in range(100)],  # one jump
        [100 + n % 10 * 0.3 for n in range(100)],  # comes and goes
        [100 + n * 0.2 for n in range(12)],  # too short a time
    ],
)
def test_memory_that_settles_is_no_leak(sizes: list[float]) -> None:
    assert leak(evidence(memory=memory(sizes))) == []


# blocked-loop


def _hit_by_blocks() -> tuple[SampleRecord, ...]:
    return samples_in_a_row([sample(22 if n % 10 == 0 else 2) for n in range(100)])


def test_blocked_loop_is_named_with_what_p95_would_be_without() -> None:
    samples = _hit_by_blocks()
    blocks = tuple(block(one.start / 1e6 + 1, 20) for one in samples if one.took_ns > 10_000_000)

    (one,) = blocked_loop(evidence(samples, blocks=blocks))

    assert one.subject == "poll (feed.py:7)"
    assert _p95(one) == (22, 2)
    assert one.evidence["samples_hit"] == 10
    assert "another task" in one.advice


def test_blocked_sample_is_not_made_shorter_than_one_that_was_never_blocked() -> None:
    samples = _hit_by_blocks()
    blocks = tuple(block(one.start / 1e6, 22) for one in samples if one.took_ns > 10_000_000)

    (one,) = blocked_loop(evidence(samples, blocks=blocks))

    assert _p95(one)[1] == 2


def test_callable_that_blocks_by_itself_is_told_so() -> None:
    samples = samples_in_a_row([sample(20)] * 40)
    blocks = tuple(block(one.start / 1e6 + 1, 15, in_sample=True) for one in samples)

    (one,) = blocked_loop(evidence(samples, blocks=blocks))

    assert _p95(one)[1] == 5
    assert "the measured callable itself" in one.advice


def test_block_between_samples_or_of_a_sync_callable_is_no_suggestion() -> None:
    samples = _hit_by_blocks()
    touching = tuple(block(one.start / 1e6, 20) for one in samples)

    assert blocked_loop(evidence(samples, blocks=(block(9_000, 30),))) == []
    assert blocked_loop(evidence(samples, blocks=touching, is_async=False)) == []


# gc-pauses


def test_gc_pauses_inside_samples_are_named() -> None:
    samples = _hit_by_blocks()
    pauses = tuple(pause(one.start / 1e6 + 1, 20) for one in samples if one.took_ns > 10_000_000)

    (one,) = gc_pauses(evidence(samples, pauses=pauses))

    assert _p95(one) == (22, 2)
    assert one.evidence["full_passes"] == 10


def test_short_gc_pauses_are_no_suggestion() -> None:
    samples = _hit_by_blocks()

    assert gc_pauses(evidence(samples, pauses=tuple(pause(one.start / 1e6, 0.01, 0) for one in samples))) == []


# loop-delay


def _resources(delay_ms: float) -> ResourceStats:
    nothing = MemoryMB(0.0)
    return ResourceStats(
        peak_rss_mb=nothing,
        rss_growth_mb=0,
        pss_mb=None,
        python_heap_mb=None,
        heap_blocks_growth=0,
        avg_cpu_percent=as_cpu_percent(1),
        peak_cpu_percent=as_cpu_percent(1),
        cpu_user_s=0,
        cpu_system_s=0,
        switches_voluntary=0,
        switches_involuntary=0,
        peak_fds=None,
        peak_threads=None,
        gc=GcStats(
            pauses=0, total_ms=as_latency_ms(0), max_ms=as_latency_ms(0), by_generation=(0, 0, 0), samples_hit=0
        ),
        loop_delay=LoopDelayStats(
            probes=9, p50_ms=as_latency_ms(0.1), p99_ms=as_latency_ms(delay_ms), max_ms=as_latency_ms(delay_ms)
        ),
        children=None,
        machine=None,
        sampler=SamplerCost(interval_ms=100, ticks=9, cpu_us=1, wall_us=1, cpu_percent=as_cpu_percent(0)),
        source="proc",
    )


def test_loop_delay_without_blocks_asks_for_a_closer_look() -> None:
    (one,) = loop_delay(evidence(result=_with(resources=_resources(25))))

    assert one.impact_p95_ms is None
    assert "--profile" in one.advice


def test_loop_delay_that_is_short_or_explained_is_no_suggestion() -> None:
    assert loop_delay(evidence(result=_with(resources=_resources(2)))) == []
    assert loop_delay(evidence(result=_with(resources=_resources(25)), blocks=(block(0, 25),))) == []


def _with(**fields: object) -> object:
    from msgspec.structs import replace  # noqa: PLC0415

    return replace(result([1.0] * 100), **fields)


# cold-cache


def _looked_up(misses: int, hits: int) -> list[SampleRecord]:
    return [
        *[sample(9, stage("metadata", 1, 8, own=False, cache="miss"))] * misses,
        *[sample(2, stage("metadata", 1, 1, own=False, cache="hit"))] * hits,
    ]


def test_cold_cache_misses_replayed_as_hits() -> None:
    (one,) = cold_cache(evidence(_looked_up(60, 40)))

    assert one.subject == "metadata"
    assert _p95(one) == (9, 2)
    assert one.evidence["hit_percent"] == 40


def test_cache_that_never_hit_is_held_against_its_target() -> None:
    (one,) = cold_cache(evidence(_looked_up(60, 0), targets_ns={"metadata": 500_000}))

    assert _p95(one)[1] == 1.5


def test_warm_cache_is_no_suggestion() -> None:
    assert cold_cache(evidence(_looked_up(10, 90))) == []
    assert cold_cache(evidence([sample(9, stage("metadata", 1, 8))] * 100)) == []


# repeated-calls


def test_calls_in_a_row_replayed_as_one() -> None:
    rows = [stage("getAccountInfo", n * 2, 2, own=False, endpoint="node") for n in range(8)]

    (one,) = repeated_calls(evidence([sample(17, *rows)] * 50))

    assert _p95(one) == (17, 3)
    assert one.evidence["in_a_row"] == 8


def test_calls_at_once_or_few_are_no_suggestion() -> None:
    at_once = [stage("getAccountInfo", 1, 2, own=False, endpoint="node")] * 8
    few = [stage("getAccountInfo", n * 2, 2, own=False, endpoint="node") for n in range(3)]

    assert repeated_calls(evidence([sample(4, *at_once)] * 50)) == []
    assert repeated_calls(evidence([sample(7, *few)] * 50)) == []


# slow-endpoint


def _asked(far: float, near: float) -> list[SampleRecord]:
    return [
        sample(far + 1, stage("getSlot", 0.5, far, own=False, endpoint="far")),
        sample(near + 1, stage("getSlot", 0.5, near, own=False, endpoint="near")),
    ] * 50


def test_slow_endpoint_replayed_at_the_quickest_ones_times() -> None:
    (one,) = slow_endpoint(evidence(_asked(20, 4)))

    assert one.subject == "far"
    assert _p95(one) == (21, 5)


def test_endpoints_alike_or_alone_are_no_suggestion() -> None:
    assert slow_endpoint(evidence(_asked(4.5, 4))) == []
    assert slow_endpoint(evidence([sample(21, stage("getSlot", 0, 20, own=False, endpoint="far"))] * 100)) == []


# slow-stage


def test_stage_above_its_target_replayed_at_it() -> None:
    (one,) = slow_stages(evidence([sample(10, stage("filters", 0, 7))] * 50, targets_ns={"filters": 1_000_000}))

    assert one.subject == "filters"
    assert _p95(one) == (10, 4)
    assert one.evidence["critical_path_percent"] == 70


def test_stage_under_its_target_or_beside_the_critical_path_is_no_suggestion() -> None:
    goal = {"filters": 1_000_000}

    assert slow_stages(evidence([sample(10, stage("filters", 0, 1))] * 50, targets_ns=goal)) == []
    beside = sample(10, stage("filters", 0, 7), stage("verdict", 0, 10, own=False))
    assert slow_stages(evidence([beside] * 50, targets_ns=goal)) == []


# hot-function


def _profile(hot: int, rest: int) -> Profile:
    main = Frame("main", "app.py", 1)
    return Profile(
        stacks=(
            Stack((main, Frame("parse", "app.py", 9)), hot * 1_000_000),
            *(Stack((main, Frame(f"other{n}", "app.py", n)), rest * 100_000) for n in range(10)),
        ),
        source="in-process",
        window_ns=100_000_000,
        interval_us=1_000,
        taken=100,
    )


def test_function_that_takes_most_of_the_cpu_is_named_with_the_most_there_is_to_gain() -> None:
    (one,) = hot_function(evidence([sample(1)] * 100, profile=_profile(60, 40)))

    assert one.subject == "parse (app.py:9)"
    assert _p95(one)[1] == 0.4


def test_cpu_time_spread_evenly_is_no_suggestion() -> None:
    assert hot_function(evidence([sample(1)] * 100, profile=_profile(10, 90))) == []


def test_hot_function_of_a_callable_that_waits_is_no_suggestion() -> None:
    mostly_waits = _profile(3, 0)

    assert hot_function(evidence([sample(1)] * 100, profile=mostly_waits)) == []


# outcomes


def test_timeouts_that_make_the_tail_are_named() -> None:
    (one,) = timeouts(evidence(result=result([10] * 90 + [1_000] * 10, errors={"timeout": 10})))

    assert _p95(one) == (1_000, 10)
    assert one.severity is Severity.HIGH


def test_a_single_timeout_is_no_suggestion() -> None:
    assert timeouts(evidence(result=result([10] * 199 + [1_000], errors={"timeout": 1}))) == []


@pytest.mark.parametrize(
    ("kind", "word"),
    [("RateLimitedError", "limit"), ("TransportError", "connection"), ("RpcError", "refuses"), ("Strange", "text")],
)
def test_failed_samples_get_advice_by_their_kind(kind: str, word: str) -> None:
    (one,) = failing_calls(evidence(result=result([10] * 80, errors={kind: 20})))

    assert one.subject == kind
    assert word in one.advice
    assert one.evidence["success_percent_after"] == 100


def test_rare_failures_are_no_suggestion() -> None:
    assert failing_calls(evidence(result=result([10] * 199, errors={"RpcError": 1}))) == []


def _noise(*, quiet: bool) -> NoiseCertificate:
    return NoiseCertificate(
        reference="reference/1",
        reference_before_us=50,
        reference_after_us=80,
        reference_drift_percent=60,
        reference_spread_percent=30,
        clock_floor_ns=60,
        load_1m=3.0,
        cpu_pressure_percent=40.0,
        steal_percent=0.0,
        quiet=quiet,
        reasons=() if quiet else ("the reference work scattered by 30 %",),
    )


def test_noise_is_said_and_quiet_is_not() -> None:
    (one,) = noisy_machine(evidence(result=_with(noise=_noise(quiet=False))))

    assert "scattered by 30 %" in one.advice
    assert noisy_machine(evidence(result=_with(noise=_noise(quiet=True)))) == []


def test_too_few_samples_for_an_interval_are_said() -> None:
    assert [one.rule for one in few_samples(evidence(result=result([1.0] * 50)))] == ["few-samples"]
    assert few_samples(evidence(result=result([1.0] * 200))) == []


# the order


def test_what_makes_a_missed_target_met_comes_first_and_what_is_rewarding_before_what_is_not() -> None:
    big = stage("verdict", 0, 50, own=False)
    small = stage("sign", 50, 20)
    targets = {"verdict": 5_000_000, "sign": 1_000_000}
    samples = [sample(100, big, small)] * 100

    plain = suggest(evidence(samples, targets_ns=targets))
    missed = suggest(evidence(samples, targets_ns=targets, result=result([100] * 100, target_ms=60)))

    assert [(one.subject, one.severity) for one in plain] == [("verdict", Severity.HIGH), ("sign", Severity.MEDIUM)]
    assert [(one.subject, one.severity) for one in missed] == [("verdict", Severity.CRITICAL), ("sign", Severity.HIGH)]


def test_every_rule_is_asked() -> None:
    assert len(RULES) == len(set(RULES)) == 13
