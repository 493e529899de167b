"""From a tape of samples to the figures of a result. Sans-I/O: the same tape gives the same figures."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

from slotzero.clock import as_ms
from slotzero.perf.histogram import Histogram
from slotzero.perf.stats import nearest_rank, rank_interval, std_dev, wilson
from slotzero.perf.timing import Tape
from slotzero.perf.types import (
    PERCENTILES,
    Check,
    Interval,
    LatencyMs,
    LatencyStats,
    ResourceStats,
    SampleCount,
    SuccessRate,
    Target,
    TargetVerdict,
    ThroughputOps,
    ThroughputStats,
)

__all__ = ["histogram_of", "latency_stats", "starts_at", "stats_of_histogram", "target_verdict", "throughput_stats"]

_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000


def latency_stats(durations_ns: Sequence[int]) -> LatencyStats:
    """Return the exact figures of some durations, in any order. *Pure.*

    Raises:
        ValueError: There is none.
    """
    ordered = sorted(durations_ns)
    count = len(ordered)
    if not count:
        raise ValueError("figures need at least one duration")
    spread = std_dev(ordered)
    points = {name: as_ms(int(nearest_rank(ordered, percent))) for name, percent in PERCENTILES.items()}
    return LatencyStats(
        count=SampleCount(count),
        min=as_ms(ordered[0]),
        max=as_ms(ordered[-1]),
        mean=LatencyMs(sum(ordered) / count / _NS_PER_MS),
        std_dev=None if spread is None else LatencyMs(spread / _NS_PER_MS),
        intervals=_intervals(count, lambda rank: ordered[rank - 1]),
        median=points["median"],
        p75=points["p75"],
        p90=points["p90"],
        p95=points["p95"],
        p99=points["p99"],
        p999=points["p999"],
    )


def stats_of_histogram(histogram: Histogram) -> LatencyStats:
    """Return the figures of a histogram (percentiles within 0.4 % of what was measured). *Pure.*

    Raises:
        ValueError: It is empty.
    """
    spread = histogram.std_dev_ns
    points = {name: LatencyMs(histogram.percentile(percent) / _NS_PER_MS) for name, percent in PERCENTILES.items()}
    return LatencyStats(
        count=SampleCount(histogram.count),
        min=as_ms(histogram.min_ns),
        max=as_ms(histogram.max_ns),
        mean=LatencyMs(histogram.mean_ns / _NS_PER_MS),
        std_dev=None if spread is None else LatencyMs(spread / _NS_PER_MS),
        intervals=_intervals(histogram.count, histogram.at_rank),
        exact=False,
        median=points["median"],
        p75=points["p75"],
        p90=points["p90"],
        p95=points["p95"],
        p99=points["p99"],
        p999=points["p999"],
    )


def histogram_of(tape: Tape) -> Histogram:
    """Return the distribution of a tape, what was folded away before included."""
    made = Histogram()
    if tape.histogram is not None:
        made.merge(tape.histogram)
    made.fold(tape.durations)
    return made


def throughput_stats(tape: Tape) -> ThroughputStats:
    """Return how many samples succeeded, and how many would in a second of timed time."""
    folded = tape.histogram.sum_ns if tape.histogram is not None else 0
    timed_ns = folded + sum(tape.durations) + sum(tape.failed)
    low, high = wilson(tape.succeeded, tape.made)
    return ThroughputStats(
        total_ops=SampleCount(tape.succeeded),
        ops_per_s=ThroughputOps(tape.succeeded * _NS_PER_S / max(timed_ns, 1)),
        success_rate_percent=SuccessRate(100 * tape.succeeded / tape.made),
        success_interval=Interval(100 * low, 100 * high),
    )


def starts_at(tape: Tape) -> Literal["call", "chain", "frame", "mixed"]:
    """Return where the clocks of a tape's samples started."""
    if not tape.spans:
        return "call"
    (first, *others) = tape.starts
    return "mixed" if others else first


def target_verdict(
    target: Target, latency: LatencyStats, throughput: ThroughputStats, resources: ResourceStats | None = None
) -> TargetVerdict:
    """Hold figures against a target. *Pure.*

    p95 and throughput may reach their limits; a success rate must be above its own, memory and CPU below theirs.
    """
    p95, interval = latency.p95, latency.intervals.get("p95")
    checks = [Check(name="p95_ms", limit=target.p95_ms, value=p95, met=p95 <= target.p95_ms)]
    if target.success_percent is not None:
        rate = throughput.success_rate_percent
        is_met = rate > target.success_percent
        checks.append(Check(name="success_percent", limit=target.success_percent, value=rate, met=is_met))
    if target.ops_per_s is not None:
        ops = throughput.ops_per_s
        checks.append(Check(name="ops_per_s", limit=target.ops_per_s, value=ops, met=ops >= target.ops_per_s))
    if resources is not None:
        checks += [
            Check(name=name, limit=limit, value=value, met=value < limit)
            for name, limit, value in (
                ("peak_memory_mb", target.peak_memory_mb, resources.peak_rss_mb),
                ("avg_cpu_percent", target.avg_cpu_percent, resources.avg_cpu_percent),
            )
            if limit is not None
        ]
    aim = target.aim_p95_ms
    return TargetVerdict(
        p95_ms=target.p95_ms,
        met=p95 <= target.p95_ms,
        confident=None if interval is None else interval.high <= target.p95_ms,
        margin_percent=_margin(target.p95_ms, p95),
        checks=tuple(checks),
        passed=all(check.met for check in checks),
        aim_p95_ms=aim,
        aim_met=None if aim is None else p95 <= aim,
        aim_margin_percent=None if aim is None else _margin(aim, p95),
    )


def _margin(limit: float, value: float) -> float:
    return 100 * (limit - value) / limit


def _intervals(count: int, at_rank: Callable[[int], float]) -> dict[str, Interval | None]:
    found: dict[str, Interval | None] = {}
    for name, percent in PERCENTILES.items():
        ranks = rank_interval(count, percent)
        found[name] = None
        if ranks is not None:
            low, high = ranks
            found[name] = Interval(at_rank(low) / _NS_PER_MS, at_rank(high) / _NS_PER_MS)
    return found
