"""Decision rules of other tools, on our own blocks: for the self-test's table. Each returns -1, 0 or +1 (slower).

They emulate how a tool decides, not the tool: its calibration, its warm-up and its way of interleaving are not here.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from statistics import NormalDist, fmean, median, variance
from typing import Final

from slotzero.perf.compare.student import t_quantile, t_tail

Launches = Sequence[Sequence[Sequence[int]]]
"""Samples in nanoseconds, by launch and block."""
Rule = Callable[[Launches, Launches], int]


def raw_mann_whitney(base: Launches, new: Launches) -> int:
    """Mann-Whitney on all samples, p < 0.05."""
    return _signed(*_rank_test(_flat(base), _flat(new)), alpha=0.05)


def asv_like(base: Launches, new: Launches) -> int:
    """Mann-Whitney on all samples, p < 0.002, and medians 10 % apart."""
    change = median(_flat(new)) / median(_flat(base))
    if 1 / 1.1 < change < 1.1:
        return 0
    return _signed(*_rank_test(_flat(base), _flat(new)), alpha=0.002)


def benchstat_like(base: Launches, new: Launches) -> int:
    """Mann-Whitney, exact, on the launches' medians, p < 0.05."""
    before, after = ([float(median(_flat([launch]))) for launch in side] for side in (base, new))
    wins = sum((b > a) + (b == a) / 2 for a in before for b in after)
    more = wins - len(before) * len(after) / 2
    return _signed(_exact_tail(len(before), len(after), wins), more, alpha=0.05)


def benchstat_like_p95(base: Launches, new: Launches) -> int:
    """The same on the launches' p95."""
    before, after = ([float(_p95(_flat([launch]))) for launch in side] for side in (base, new))
    wins = sum((b > a) + (b == a) / 2 for a in before for b in after)
    return _signed(_exact_tail(len(before), len(after), wins), wins - len(before) * len(after) / 2, alpha=0.05)


def criterion_like(base: Launches, new: Launches) -> int:
    """Welch's t on block means, p < 0.05, and the interval of the change of means wholly beyond 1 %."""
    before, after = ([fmean(block) for launch in side for block in launch] for side in (base, new))
    middle, spread, df = _welch(before, after)
    if 2 * t_tail(abs(middle) / spread, df) >= 0.05:
        return 0
    reach = t_quantile(0.975, df) * spread
    low, high = (middle - reach) / fmean(before), (middle + reach) / fmean(before)
    return 1 if low > 0.01 else -1 if high < -0.01 else 0


def fixed_5(base: Launches, new: Launches) -> int:
    """Medians more than 5 % apart."""
    return _beyond(median(_flat(new)) / median(_flat(base)), 0.05)


def fixed_10(base: Launches, new: Launches) -> int:
    """Medians more than 10 % apart."""
    return _beyond(median(_flat(new)) / median(_flat(base)), 0.10)


def fixed_10_p95(base: Launches, new: Launches) -> int:
    """p95 more than 10 % apart."""
    return _beyond(_p95(_flat(new)) / _p95(_flat(base)), 0.10)


RULES: Final[dict[str, Rule]] = {
    "raw Mann-Whitney": raw_mann_whitney,
    "asv-like (p<.002, >10 %)": asv_like,
    "benchstat-like, medians": benchstat_like,
    "benchstat-like, p95": benchstat_like_p95,
    "criterion-like": criterion_like,
    "fixed 5 %, median": fixed_5,
    "fixed 10 %, median": fixed_10,
    "fixed 10 %, p95": fixed_10_p95,
}


def _flat(launches: Launches) -> list[int]:
    return [sample for launch in launches for block in launch for sample in block]


def _p95(samples: Sequence[int]) -> int:
    return sorted(samples)[math.ceil(0.95 * len(samples)) - 1]


def _beyond(change: float, limit: float) -> int:
    return 1 if change > 1 + limit else -1 if change < 1 - limit else 0


def _signed(p_value: float, direction: float, *, alpha: float) -> int:
    return 0 if p_value >= alpha or not direction else 1 if direction > 0 else -1


def _rank_test(before: Sequence[int], after: Sequence[int]) -> tuple[float, float]:
    """Return the two-sided p-value by the normal approximation with ties, and the direction."""
    counts = Counter(before) + Counter(after)
    upto = dict(zip(sorted(counts), accumulate(counts[value] for value in sorted(counts)), strict=True))
    ranks = sum(upto[value] - (counts[value] - 1) / 2 for value in after)
    m, n = len(before), len(after)
    more = ranks - n * (n + 1) / 2 - m * n / 2
    whole = m + n
    ties = sum(count**3 - count for count in counts.values())
    spread = math.sqrt(m * n / 12 * (whole + 1 - ties / (whole * (whole - 1))))
    return (2 * (1 - NormalDist().cdf(abs(more) / spread)) if spread else 1.0), more


def _exact_tail(m: int, n: int, wins: float) -> float:
    """Return the two-sided exact chance of a U statistic as far from its middle as this."""
    table = {(i, 0): Counter({0: 1}) for i in range(m + 1)} | {(0, j): Counter({0: 1}) for j in range(n + 1)}
    for i in range(1, m + 1):
        for j in range(1, n + 1):
            found: Counter[int] = Counter()
            for total, number in table[i - 1, j].items():
                found[total + j] += number
            for total, number in table[i, j - 1].items():
                found[total] += number
            table[i, j] = found
    far = abs(wins - m * n / 2)
    all_ways = table[m, n]
    return sum(number for total, number in all_ways.items() if abs(total - m * n / 2) >= far) / all_ways.total()


def _welch(before: Sequence[float], after: Sequence[float]) -> tuple[float, float, int]:
    a, b = variance(before) / len(before), variance(after) / len(after)
    df = (a + b) ** 2 / (a * a / (len(before) - 1) + b * b / (len(after) - 1))
    return fmean(after) - fmean(before), math.sqrt(a + b), max(1, int(df))
