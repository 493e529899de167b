"""Percentiles of raw samples. Sans-I/O.

Model: the samples are all observations of one run; a percentile is a statement about them alone, not about a
population. Definition: nearest rank, the smallest observation with at least q percent of all at or below it (Hyndman
and Fan 1996, definition 1), so every percentile printed is a value that was measured.

Weakness: with few samples the upper percentiles are the maximum (p99 below 100 samples, p95 below 20). The count
stands beside every percentile for that reason.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

__all__ = ["Percentiles", "nearest_rank", "percentiles"]


class Percentiles(Struct, frozen=True, kw_only=True):
    """p50, p95 and p99 of `count` samples, in the samples' own unit."""

    p50: float
    p95: float
    p99: float
    count: int


def nearest_rank(ordered: Sequence[float], percent: float) -> float:
    """Return the percentile of samples in ascending order. *Pure.*

    Args:
        ordered: At least one sample, ascending.
        percent: Above 0, at most 100.

    Raises:
        ValueError: There is no sample, or `percent` is out of range.
    """
    if not ordered:
        raise ValueError("a percentile needs at least one sample")
    if not 0 < percent <= 100:  # noqa: PLR2004 percent
        raise ValueError(f"a percentile is above 0 and at most 100, got {percent}")
    rank = -int(-len(ordered) * percent // 100)  # the ceiling, exact for whole percents
    return ordered[max(rank, 1) - 1]


def percentiles(samples: Iterable[float]) -> Percentiles | None:
    """Return p50, p95 and p99 of `samples`, or None when there are none. *Pure.*"""
    ordered = sorted(samples)
    if not ordered:
        return None
    return Percentiles(
        p50=nearest_rank(ordered, 50),
        p95=nearest_rank(ordered, 95),
        p99=nearest_rank(ordered, 99),
        count=len(ordered),
    )
