"""When warming up is over. Sans-I/O.

Model: a callable that warms up (caches, adaptive interpreter, connections) shows a median that still moves. The last
samples are cut into three windows; the state is steady when their medians differ by no more than 5 %, or by no more
than the medians of such windows scatter anyway (two standard errors, from the interquartile range).

Assumptions: warming up ends, and shows within 150 calls.

Weaknesses: a drift of less than 5 % in 150 calls, and a change that comes later, go unseen. A search that ends
is no proof; the benchmark's own first and last samples show what it missed. Compare pyperf's warm-up search, which
tests the first value against quartiles, and Barrett et al. 2017, who found that many programs never become steady.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Final

from slotzero.perf.stats import nearest_rank

__all__ = ["NEEDED", "is_steady"]

_WINDOW: Final = 50
_TOLERANCE: Final = 0.05
_MEDIAN_ERROR: Final = 1.2533 / 1.349
"""Standard error of a median in interquartile ranges over the root of n, for a normal distribution."""
NEEDED: Final = 3 * _WINDOW
"""Samples it takes to decide."""


def is_steady(durations: Sequence[float]) -> bool:
    """Tell whether the last `NEEDED` durations, in the order they were taken, show no warming up. *Pure.*"""
    if len(durations) < NEEDED:
        return False
    last = durations[-NEEDED:]
    windows = [sorted(last[place : place + _WINDOW]) for place in range(0, NEEDED, _WINDOW)]
    medians = [nearest_rank(window, 50) for window in windows]
    spreads = [nearest_rank(window, 75) - nearest_rank(window, 25) for window in windows]
    scatter = 2 * sqrt(2) * _MEDIAN_ERROR * nearest_rank(sorted(spreads), 50) / sqrt(_WINDOW)
    return max(medians) - min(medians) <= max(_TOLERANCE * min(medians), scatter)
