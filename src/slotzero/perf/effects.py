"""How large a difference is. Sans-I/O.

Model: `cliffs_delta` is the chance that a value of b exceeds one of a, less the chance of the reverse (Cliff 1993):
-1 to 1, whatever the distribution. `shift` is the Hodges-Lehmann estimate (1963) of how far b lies to the right of a:
the median of all differences. `signed_rank` is its paired form: the median of the Walsh averages of the differences,
with the interval that inverts Wilcoxon's signed-rank test, exact up to 50 pairs (Hollander and Wolfe, section 3.2).

Assumptions: pairs are independent of each other, and their differences symmetric about the shift. On logarithms of
paired times the shift is a ratio, and symmetry is what random order within a pair brings about.

Weaknesses: calls within one process launch are not independent. On raw samples instead of block statistics the paired
interval missed in a third of the comparisons of equals; without a floor on the effect, a twelfth to a fifth of block
comparisons did. A verdict takes block ratios, a floor and the launch as the replicate. Ties make the exact ranks
slightly conservative. All differences are held at once, so `shift` refuses more than four million.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist, median
from typing import Final

from msgspec import Struct

from slotzero.perf.stats import CONFIDENCE

__all__ = ["Effect", "cliffs_delta", "shift", "signed_rank"]

_MOST_DIFFERENCES: Final = 4_000_000
_EXACT_PAIRS: Final = 50


class Effect(Struct, frozen=True, kw_only=True):
    """An estimate and its interval; the bounds are None where there are too few pairs for one."""

    estimate: float
    low: float | None
    high: float | None


def cliffs_delta(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the chance that b exceeds a less the chance that a exceeds b, -1 to 1. *Pure.*

    Raises:
        ValueError: One of them is empty.
    """
    _both(a, b)
    ordered = sorted(a)
    above = sum(bisect_left(ordered, value) for value in b)
    below = sum(len(ordered) - bisect_right(ordered, value) for value in b)
    return (above - below) / (len(a) * len(b))


def shift(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the Hodges-Lehmann estimate of how far b lies above a. *Pure.*

    Raises:
        ValueError: One of them is empty, or there are more than four million pairs (take block statistics).
    """
    _both(a, b)
    if len(a) * len(b) > _MOST_DIFFERENCES:
        raise ValueError(f"{len(a)} x {len(b)} differences are too many: compare block statistics, not raw samples")
    return median(right - left for left in a for right in b)


def signed_rank(differences: Sequence[float], confidence: float = CONFIDENCE) -> Effect:
    """Return the median of the Walsh averages of paired differences with its signed-rank interval. *Pure.*

    Raises:
        ValueError: There is no difference, or more than about 2,800 (their averages would be four million).
    """
    count = len(differences)
    averages = count * (count + 1) // 2
    if not 0 < averages <= _MOST_DIFFERENCES:
        raise ValueError(f"a signed rank takes 1 to 2,800 differences, got {count}")
    walsh = sorted((left + right) / 2 for i, left in enumerate(differences) for right in differences[i:])
    cut = _critical(count, confidence)
    bounds = (walsh[cut - 1], walsh[-cut]) if cut >= 1 else (None, None)
    return Effect(estimate=median(walsh), low=bounds[0], high=bounds[1])


@lru_cache(maxsize=512)
def _critical(count: int, confidence: float) -> int:
    """Return k such that the k-th smallest and largest Walsh averages bound the shift; 0 when none do."""
    tail = (1 - confidence) / 2
    if count > _EXACT_PAIRS:
        mean = count * (count + 1) / 4
        spread = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
        return max(0, math.floor(mean + NormalDist().inv_cdf(tail) * spread))
    ways = [1]  # ways[s]: sets of ranks 1..i with sum s
    for place in range(1, count + 1):
        ways = [
            (ways[total] if total < len(ways) else 0) + (ways[total - place] if total >= place else 0)
            for total in range(len(ways) + place)
        ]
    limit, below = tail * 2**count, 0
    for total, number in enumerate(ways):
        below += number
        if below > limit:
            return total
    return 0


def _both(a: Sequence[float], b: Sequence[float]) -> None:
    if not a or not b:
        raise ValueError("two groups need at least one value each")
