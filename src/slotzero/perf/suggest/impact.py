"""What a change would bring, and how much that matters. Pure."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from slotzero.clock import as_ms
from slotzero.perf.evidence import Evidence, SampleRecord
from slotzero.perf.replay import replayed_ns
from slotzero.perf.stats import nearest_rank
from slotzero.perf.types import LatencyMs, Severity

__all__ = ["FEWEST", "Gain", "gain", "matched", "replay", "severity", "worth_saying"]

FEWEST: Final = 20
"""Samples below which there is no p95 to speak of."""
_LEAST_P95: Final = 0.05
_LEAST_P99: Final = 0.20
_HIGH: Final = 0.40
_MEDIUM: Final = 0.15


class Gain(Struct, frozen=True, kw_only=True):
    """Percentiles as they were and as they would become, in milliseconds."""

    p95: LatencyMs
    p95_after: LatencyMs
    p99: LatencyMs
    p99_after: LatencyMs

    @property
    def share(self) -> float:
        """Return the part of p95 that would go, 0 to 1."""
        return (self.p95 - self.p95_after) / self.p95 if self.p95 else 0.0

    @property
    def share_p99(self) -> float:
        """Return the part of p99 that would go, 0 to 1."""
        return (self.p99 - self.p99_after) / self.p99 if self.p99 else 0.0

    def figures(self) -> dict[str, float]:
        """Return all four, as evidence."""
        return {
            "p95_ms": round(self.p95, 4),
            "p95_after_ms": round(self.p95_after, 4),
            "p99_ms": round(self.p99, 4),
            "p99_after_ms": round(self.p99_after, 4),
        }


def gain(before_ns: Sequence[float], after_ns: Sequence[float]) -> Gain | None:
    """Return what the second durations are better by, or None where there are too few for a p95. *Pure.*"""
    if len(before_ns) < FEWEST:
        return None
    old, new = sorted(before_ns), sorted(after_ns)
    return Gain(
        p95=as_ms(int(nearest_rank(old, 95))),
        p95_after=as_ms(int(nearest_rank(new, 95))),
        p99=as_ms(int(nearest_rank(old, 99))),
        p99_after=as_ms(int(nearest_rank(new, 99))),
    )


def replay(evidence: Evidence, change: Callable[[SampleRecord], Mapping[int, int]]) -> Gain | None:
    """Return what it would bring to change stages of each sample so, by replaying them all. *Pure.*"""
    return gain(
        [sample.took_ns for sample in evidence.samples],
        [replayed_ns(sample, change(sample)) for sample in evidence.samples],
    )


def worth_saying(found: Gain | None) -> bool:
    """Tell whether a gain is above what a run's own scatter makes of nothing."""
    return found is not None and (found.share >= _LEAST_P95 or found.share_p99 >= _LEAST_P99)


def severity(found: Gain, evidence: Evidence) -> Severity:
    """Return how much a gain matters: most when it makes a missed target met. *Pure.*"""
    target = evidence.result.target if evidence.result else None
    if target is not None and not target.met and found.share >= _LEAST_P95:
        return Severity.CRITICAL if found.p95_after <= target.p95_ms else Severity.HIGH
    if found.share >= _HIGH:
        return Severity.HIGH
    return Severity.MEDIUM if found.share >= _MEDIUM else Severity.LOW


def matched(value: float, among: Sequence[float], to: Sequence[float]) -> int:
    """Return the value of `to` at the place that `value` has in `among`, both ascending. *Pure.*

    So the slow half of one distribution is replaced by the slow half of the other, and its spread is kept.
    """
    place = min(bisect_left(among, value) * len(to) // max(len(among), 1), len(to) - 1)
    return int(to[place])
