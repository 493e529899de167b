"""Does a long run get worse: slopes of memory, and the tail at the end beside the tail at the start. *Pure.*

Model: the slope is Theil's (1950): the median of the slopes of all pairs of points, so a third of the points may be
outliers (a garbage collection, a neighbour) without moving it, where first-less-last moves with either end. Its
interval is Sen's (1968): the order statistics of the pairs' slopes that Kendall's S brackets with 95 % coverage. The
tail's drift is p99 of the last third of the time against that of the first, each from merged histograms, never from
averaged percentiles.

Assumptions: the trend is one line over the whole stretch, and points scatter independently around it. Memory does
neither at the start, hence `skip_s`.

Weaknesses: successive readings of memory are alike, so the interval is too narrow for a few points close together;
long runs are thinned to medians of neighbours, which takes most of that away. A step reads as a slope.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, median
from typing import Final

from msgspec import Struct

from slotzero.perf.histogram import Histogram
from slotzero.perf.load_types import Window
from slotzero.perf.stats import CONFIDENCE

__all__ = ["Drift", "Slope", "drift_of", "slope"]

_MOST_POINTS: Final = 240
_LEAST_POINTS: Final = 6
_S_PER_H: Final = 3_600.0
_NS_PER_MS: Final = 1e6


class Slope(Struct, frozen=True, kw_only=True):
    """A trend with its 95 % interval, in units of y for each unit of x."""

    value: float
    low: float
    high: float
    points: int


class Drift(Struct, frozen=True, kw_only=True):
    """How a run changed while it lasted.

    Attributes:
        rss_mb_per_h: Of the driver and each watched process ("driver", "bot", "chain"); a process with fewer than six
            windows is left out. A leak is shown when an interval's `low` is above 0, its absence when `high` is small.
        p99_first_ms: Of the first third of the time that is looked at; None without a success.
        p99_change_percent: From the first third to the last; None without successes in both.
    """

    rss_mb_per_h: dict[str, Slope]
    p99_first_ms: float | None
    p99_last_ms: float | None
    p99_change_percent: float | None


def slope(points: Sequence[tuple[float, float]]) -> Slope | None:
    """Return the trend of (x, y) points in ascending x; None for fewer than six.

    Args:
        points: Many of them are thinned to 240 medians of neighbours first.
    """
    found = _thinned(points)
    count = len(found)
    if count < _LEAST_POINTS:
        return None
    slopes = sorted(
        (later_y - y) / (later_x - x)
        for place, (x, y) in enumerate(found)
        for later_x, later_y in found[place + 1 :]
        if later_x > x
    )
    if not slopes:
        return None
    spread = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * spread
    pairs = len(slopes)
    low = max(math.floor((pairs - reach) / 2), 0)
    high = min(math.ceil((pairs + reach) / 2), pairs - 1)
    return Slope(value=median(slopes), low=slopes[low], high=slopes[high], points=count)


def drift_of(timeline: Sequence[Window], *, skip_s: float = 0.0) -> Drift:
    """Return how a run changed.

    Args:
        timeline: Its windows.
        skip_s: What is left out at the start, where caches fill and memory is still growing into its size.
    """
    windows = [window for window in timeline if window.at_s >= skip_s]
    series: dict[str, list[tuple[float, float]]] = {}
    for window in windows:
        hour = (window.at_s + window.span_s) / _S_PER_H
        if window.rss_mb is not None:
            series.setdefault("driver", []).append((hour, window.rss_mb))
        for name, value in window.extra.items():
            if name.startswith("rss_mb:"):
                series.setdefault(name.removeprefix("rss_mb:"), []).append((hour, value))
    slopes = {name: found for name, points in series.items() if (found := slope(points)) is not None}
    first, last = _thirds(windows)
    change = None if first is None or last is None else round(100 * (last - first) / first, 3) if first else None
    return Drift(rss_mb_per_h=slopes, p99_first_ms=first, p99_last_ms=last, p99_change_percent=change)


def _thirds(windows: Sequence[Window]) -> tuple[float | None, float | None]:
    if not windows:
        return None, None
    begin, end = windows[0].at_s, windows[-1].at_s + windows[-1].span_s
    third = (end - begin) / 3
    return (
        _p99([window for window in windows if window.at_s + window.span_s <= begin + third]),
        _p99([window for window in windows if window.at_s >= end - third]),
    )


def _p99(windows: Sequence[Window]) -> float | None:
    merged = Histogram()
    for window in windows:
        if window.histogram is not None:
            merged.merge(Histogram.from_bytes(window.histogram))
    return round(merged.percentile(99) / _NS_PER_MS, 6) if merged.count else None


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = -(-len(points) // _MOST_POINTS)
    if size <= 1:
        return list(points)
    groups = (points[place : place + size] for place in range(0, len(points), size))
    return [(median(x for x, _ in group), median(y for _, y in group)) for group in groups]
