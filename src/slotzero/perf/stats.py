"""Percentiles of raw samples, their confidence intervals, and shares. Sans-I/O.

Model: a percentile printed is a statement about the samples: nearest rank, the smallest observation with at least q
percent of all at or below it (Hyndman and Fan 1996, definition 1), so every percentile is a value that was measured.
Its interval is a statement about the population: the number of n independent samples below the true q-quantile is
binomial(n, q), whatever the distribution, so two order statistics bracket it with a coverage that is computed exactly
(David and Nagaraja, Order Statistics, section 7.1). Each tail gets at most half of what may be missed, so coverage is
at least as stated and, the ranks being whole, mostly above. A share's interval is Wilson's (1927).

Assumptions: the samples are independent and of one distribution. Calls made one after another are neither quite (a
warm cache, a neighbour on the machine): expect the intervals of a single run to be somewhat too narrow, and compare
versions by paired blocks, never by whether two such intervals overlap.

Weaknesses: with few samples the upper percentiles are the maximum (p99 below 100 samples, p95 below 20), and have no
interval at all: 95 % coverage takes 6 samples for the median, 72 for p95, 368 for p99 and 3,688 for p99.9. Below that
the interval is None, not a guess. Wilson's interval misses its coverage slightly near 0 and 100 percent.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from statistics import NormalDist
from typing import Final

from msgspec import Struct

__all__ = ["CONFIDENCE", "Percentiles", "nearest_rank", "percentiles", "rank", "rank_interval", "std_dev", "wilson"]

CONFIDENCE: Final = 0.95
"""The coverage of every interval the lab prints."""
_NEGLIGIBLE: Final = 1e-18
"""A binomial term this much smaller than the largest cannot move a tail of 2.5 %."""


class Percentiles(Struct, frozen=True, kw_only=True):
    """p50, p95 and p99 of `count` samples, in the samples' own unit."""

    p50: float
    p95: float
    p99: float
    count: int


def rank(count: int, percent: float) -> int:
    """Return the nearest rank, 1 to `count`, of a percentile of `count` samples. *Pure.*

    Exact for a percent as it is written in decimals (99.9 is 999/1000, not the float next to it).

    Raises:
        ValueError: There is no sample, or `percent` is not above 0 and at most 100.
    """
    if count < 1:
        raise ValueError("a percentile needs at least one sample")
    share = _share(percent)
    return max(1, -(-count * share.numerator // share.denominator))


def nearest_rank(ordered: Sequence[float], percent: float) -> float:
    """Return the percentile of samples in ascending order. *Pure.*

    Args:
        ordered: At least one sample, ascending.
        percent: Above 0, at most 100.

    Raises:
        ValueError: There is no sample, or `percent` is out of range.
    """
    return ordered[rank(len(ordered), percent) - 1]


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


def std_dev(samples: Sequence[float]) -> float | None:
    """Return the standard deviation with n - 1, or None for fewer than two samples. *Pure.*

    Two passes: exact to rounding even where the spread is tiny beside the mean.
    """
    count = len(samples)
    if count < 2:  # noqa: PLR2004 one sample has no spread
        return None
    mean = math.fsum(samples) / count
    return math.sqrt(math.fsum((sample - mean) ** 2 for sample in samples) / (count - 1))


@lru_cache(maxsize=1024)
def rank_interval(count: int, percent: float, confidence: float = CONFIDENCE) -> tuple[int, int] | None:
    """Return the ranks (from 1) of the two order statistics that bracket a percentile, or None. *Pure.*

    None means that `count` samples cannot bracket it with that confidence.

    Args:
        count: How many samples there are, at least 0.
        percent: Above 0, below 100.
        confidence: The coverage asked for, above 0 and below 1; each tail is given half of the rest.
    """
    share = float(_share(percent))
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence is above 0 and below 1, got {confidence}")
    if share >= 1 or count < 1:
        return None
    tail = (1 - confidence) / 2
    first, terms = _binomial(count, share)
    # X(low) is above the quantile when fewer than `low` samples lie below it, X(high) under it when at least `high` do.
    low = _reach(first, terms, tail)
    last = first + len(terms) - 1
    high = count + 1 - _reach(count - last, terms[::-1], tail)
    return (low, high) if low >= 1 and high <= count else None


def wilson(successes: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the bounds (0 to 1) of a share of which `successes` in `total` were seen. *Pure.*"""
    if not 0 <= successes <= total or total < 1:
        raise ValueError(f"a share needs 0 <= successes <= total and total >= 1, got {successes} of {total}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / total
    middle = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    low = 0.0 if successes == 0 else max(0.0, (middle - spread) / scale)
    high = 1.0 if successes == total else min(1.0, (middle + spread) / scale)
    return low, high


@lru_cache(maxsize=256)
def _share(percent: float) -> Fraction:
    if not 0 < percent <= 100:  # noqa: PLR2004 percent
        raise ValueError(f"a percentile is above 0 and at most 100, got {percent}")
    return Fraction(str(percent)) / 100


def _reach(first: int, terms: list[float], tail: float) -> int:
    """Return the largest k with P(fewer than k) <= tail, for probabilities of first, first + 1, ..."""
    below = first
    for total in accumulate(terms):
        if total > tail:
            break
        below += 1
    return below


def _binomial(count: int, share: float) -> tuple[int, list[float]]:
    """Return the first number with a probability that matters, and the probabilities from it on.

    Walks outward from the mode by the ratio of neighbouring terms and divides by their sum, so that neither huge
    factorials nor lost digits come in. About twenty standard deviations of terms at most.
    """
    mode = min(count, int((count + 1) * share))
    odds = share / (1 - share)

    def walk(start: int, step: int, ratio: Callable[[int], float]) -> list[float]:
        term, found, k = 1.0, [], start
        while 0 <= k + step <= count and term > _NEGLIGIBLE:
            term *= ratio(k)
            k += step
            found.append(term)
        return found

    down = walk(mode, -1, lambda k: k / ((count - k + 1) * odds))
    up = walk(mode, 1, lambda k: (count - k) / (k + 1) * odds)
    terms = [*reversed(down), 1.0, *up]
    whole = math.fsum(terms)
    return mode - len(down), [term / whole for term in terms]
