"""Compare two result files, measured at different times. Sans-I/O. Weaker than a paired comparison, and says so.

Model: between two moments a machine's speed wanders by tens of percent, so a stored percentile means little by itself.
Each result carries what the lab's fixed reference work took around it; a percentile divided by that is compared. Such
quotients of equal programs still scatter: the spread of history points was 2.4 % here (24 % without the division), and
19 of 20 differences of equals stayed within 6 %, all within 10 %. So the floor is 10 %, and the interval joins both
percentiles' own intervals with that scatter, as if all were normal on the logarithm's scale.

Assumptions: both were measured on machines of one fingerprint, with one version of the reference work, which moves with
the clock rate and the caches as the benchmark does.

Weaknesses: one run each, so nothing is known of how launches differ; what waits for a disk or a network does not move
with the reference. An alarm here is a reason to compare the two revisions paired, which decides.
"""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, TypeAlias

from msgspec import Struct

from slotzero.perf.compare.family import judge
from slotzero.perf.compare.rule import Evidence, Rule, as_percent
from slotzero.perf.environment import Passport
from slotzero.perf.stats import CONFIDENCE
from slotzero.perf.types import BenchmarkResult, Comparison, Interval, LatencyStats

__all__ = [
    "STORED_RULE",
    "FiguresNs",
    "Incomparable",
    "by_title",
    "compare_stored",
    "fallen_success",
    "figures_ns",
    "surroundings_apart",
]

FiguresNs: TypeAlias = dict[str, dict[str, float]]
"""By benchmark, its percentiles by their names, in nanoseconds."""

STORED_RULE: Final = Rule(floor_percent=10.0, margin_percent=10.0)
_SCATTER: Final = 0.024
"""Of a percentile over the reference work, as a standard deviation of its logarithm."""
_METRICS: Final = ("median", "p75", "p90", "p95")
_SURROUNDINGS: Final = ("cluster", "endpoint", "slot_ms", "network")
"""Of a passport's additions, those that figures depend on: what is waited for there is not the program's time."""


class Incomparable(Struct, frozen=True, kw_only=True):
    """A benchmark that stands in one file only, or cannot be put in relation to the reference work."""

    name: str
    reason: str


def surroundings_apart(base: Passport, new: Passport) -> dict[str, tuple[str, str]]:
    """Return by name what differs of where two results were measured, beside the machine, and both tell. *Pure.*"""
    return {
        name: (base.extra[name], new.extra[name])
        for name in _SURROUNDINGS
        if name in base.extra and name in new.extra and base.extra[name] != new.extra[name]
    }


def compare_stored(
    base: list[BenchmarkResult], new: list[BenchmarkResult]
) -> tuple[list[Comparison], list[Incomparable]]:
    """Return a line for each percentile of each benchmark in both files, and what has none. *Pure.*"""
    before, after = by_title(base), by_title(new)
    evidence: dict[tuple[str, str], Evidence] = {}
    notes: dict[str, str] = {}
    left_out = [Incomparable(name=name, reason="not in NEW") for name in before if name not in after]
    for name, result in after.items():
        old = before.get(name)
        reason = "not in BASE" if old is None else _obstacle(old, result)
        if old is None or reason:
            left_out.append(Incomparable(name=name, reason=reason))
            continue
        speed = _reference_us(result) / _reference_us(old)
        theirs, ours = _compared(old, result)
        what = "" if ours is result.latency_ms else "own time; "
        notes[name] = f"{what}the reference work took {as_percent(math.log(speed)):+.1f} %"
        for metric in _METRICS:
            evidence[name, metric] = _evidence(theirs, ours, metric, math.log(speed))
    judged = judge(evidence, dict.fromkeys(_METRICS, STORED_RULE))
    lines = []
    for (name, metric), (verdict, p_value) in judged.items():
        found = evidence[name, metric]
        lines.append(
            Comparison(
                name=name,
                component=after[name].component,
                metric=metric,
                verdict=verdict,
                effect_percent=round(as_percent(found.effect), 3),
                interval=None
                if found.low is None or found.high is None
                else Interval(round(as_percent(found.low), 3), round(as_percent(found.high), 3)),
                floor_percent=STORED_RULE.floor_percent,
                p_value=p_value,
                launches=1,
                detectable_percent=None if found.detectable is None else round(as_percent(found.detectable), 3),
                note=notes[name],
            )
        )
    return lines, left_out


def figures_ns(base: list[BenchmarkResult], new: list[BenchmarkResult]) -> tuple[FiguresNs, FiguresNs]:
    """Return the percentiles of what is in both files as they were measured: the old ones, the new ones. *Pure.*

    They have not been divided by the reference work: a change of the machine's speed is in them.
    """
    before, after = by_title(base), by_title(new)
    compared = {name: _compared(before[name], result) for name, result in after.items() if name in before}
    old, ours = (
        {
            name: {metric: round(1e6 * float(getattr(both[side], metric)), 1) for metric in _METRICS}
            for name, both in compared.items()
        }
        for side in (0, 1)
    )
    return old, ours


def by_title(results: Sequence[BenchmarkResult]) -> dict[str, BenchmarkResult]:
    """Return results by what tells them apart: their name, and the event loop where one was measured on several."""
    names = Counter(result.name for result in results)
    return {
        result.name if names[result.name] == 1 else f"{result.name} on {result.event_loop.split()[0]}": result
        for result in results
    }


def fallen_success(base: Sequence[BenchmarkResult], new: Sequence[BenchmarkResult]) -> list[str]:
    """Return whose success rate has surely fallen (its interval lies wholly below the old one), a sentence each."""
    before = by_title(base)
    found = []
    for name, result in by_title(new).items():
        if (old := before.get(name)) is None:
            continue
        then, now = old.throughput, result.throughput
        if now.success_interval.high < then.success_interval.low:
            found.append(
                f"{name} succeeded in {now.success_rate_percent:.1f} % of samples, "
                f"in {then.success_rate_percent:.1f} % before"
            )
    return found


def _compared(base: BenchmarkResult, new: BenchmarkResult) -> tuple[LatencyStats, LatencyStats]:
    """Own time where both tell it apart."""
    if base.own_ms is not None and new.own_ms is not None:
        return base.own_ms, new.own_ms
    return base.latency_ms, new.latency_ms


def _obstacle(base: BenchmarkResult, new: BenchmarkResult) -> str:
    if base.noise is None or new.noise is None:
        return "one of the results carries no reference work to compare through"
    if base.noise.reference != new.noise.reference:
        return f"the reference work differs: {base.noise.reference} and {new.noise.reference}"
    if base.starts_at != new.starts_at:
        return f"the clock started at different instants: {base.starts_at} and {new.starts_at}"
    if min(_reference_us(base), _reference_us(new)) <= 0:
        return "the reference work is said to have taken no time"
    if min(base.latency_ms.median, new.latency_ms.median) <= 0:
        return "a median of 0 cannot be put in relation"
    return ""


def _reference_us(result: BenchmarkResult) -> float:
    assert result.noise is not None
    return (result.noise.reference_before_us + result.noise.reference_after_us) / 2


def _evidence(base: LatencyStats, new: LatencyStats, metric: str, speed: float) -> Evidence:
    before, after = float(getattr(base, metric)), float(getattr(new, metric))
    effect = math.log(after / before) - speed if before > 0 and after > 0 else 0.0
    normal = NormalDist()
    z = normal.inv_cdf((1 + CONFIDENCE) / 2)
    spreads = [_spread(stats.intervals.get(metric), z) for stats in (base, new)]
    low = high = detectable = None
    p_value = 1.0
    if None not in spreads:
        scatter = math.sqrt(math.fsum(spread * spread for spread in spreads if spread is not None) + 2 * _SCATTER**2)
        low, high = effect - z * scatter, effect + z * scatter
        detectable = STORED_RULE.floor + (z + normal.inv_cdf(0.8)) * scatter
        p_value = min(1.0, 2 * normal.cdf((STORED_RULE.floor - abs(effect)) / scatter))
    return Evidence(
        effect=effect,
        low=low,
        high=high,
        launch_low=low,
        launch_high=high,
        p_value=p_value,
        launches=1,
        detectable=detectable,
        launches_needed=None,
    )


def _spread(interval: Interval | None, z: float) -> float | None:
    """Return the standard deviation of a percentile's logarithm that its interval speaks of."""
    if interval is None or interval.low <= 0:
        return None
    return (math.log(interval.high) - math.log(interval.low)) / (2 * z)
