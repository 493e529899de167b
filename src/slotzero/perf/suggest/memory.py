"""Memory that is not given back. Sans-I/O.

Model: the slope of RSS over time by Theil and Sen (the median of the slopes between points far apart), which a single
jump cannot bend. A leak is growth that goes on: all four quarters of the time, after the first fifth (caches and
allocators fill then), take part in it.

Assumptions: calls come at an even rate. Weaknesses: RSS moves in pages and arenas, so growth under 2 MB is not judged;
a cache that has not come to its bound yet looks like a leak until it has; and where the allocator has
free memory left from earlier work, a leak fills that first and is not seen until it is used up.
"""

import itertools
from collections.abc import Sequence
from statistics import median
from typing import Final

from slotzero.clock import elapsed_ns
from slotzero.perf.evidence import Evidence, MemoryPoint
from slotzero.perf.types import Severity, Suggestion

__all__ = ["leak"]

_FEWEST: Final = 24
_QUARTERS: Final = 4
_LEAST_GROWTH_MB: Final = 2.0
_LEAST_QUARTER: Final = 0.3
"""Of the mean growth of a quarter: each has at least this much."""
_MB: Final = 1e6
_NS_PER_H: Final = 3_600e9
_HOUR: Final = 1.0
_DAY: Final = 24.0


def leak(evidence: Evidence) -> list[Suggestion]:
    """Find memory that grows for as long as calls are made."""
    points = evidence.memory[len(evidence.memory) // 5 :]
    if len(points) < _FEWEST or not _goes_on(points):
        return []
    rate = slope([(point.at, point.rss_bytes) for point in points]) / _MB * _NS_PER_H
    if rate <= 0:
        return []
    blocks = slope([(point.at, point.heap_blocks) for point in points])
    last = points[-1].rss_bytes / _MB
    hours = max(evidence.memory_limit_mb - last, 0) / rate
    span_ns = elapsed_ns(evidence.samples[0].start, evidence.samples[-1].start) if evidence.samples else 0
    per_call = rate / _NS_PER_H * span_ns / len(evidence.samples) * 1_000 if evidence.samples else 0.0
    blocks_per_call = blocks * span_ns / len(evidence.samples) if evidence.samples else 0.0
    if blocks_per_call >= 1 / 2:
        what = "The interpreter holds ever more blocks: something keeps Python objects (a list, a cache, a closure). "
    else:
        what = "The number of Python objects grows less: few large buffers are kept, or memory outside of Python. "
    severity = Severity.CRITICAL if hours < _HOUR else (Severity.HIGH if hours < _DAY else Severity.MEDIUM)
    return [
        Suggestion(
            rule="leak",
            severity=severity,
            title=f"Memory grows by {rate:,.0f} MB in an hour at this rate of calls",
            advice=(
                f"{what}Give the container that holds them a bound; `slotzero bench --profile --memory` names it. What "
                "is still filling up to its bound looks the same: a longer run tells."
            ),
            evidence={
                "mb_per_h": round(rate, 3),
                "kb_per_call": round(per_call, 3),
                "blocks_per_call": round(blocks_per_call, 3),
                "rss_mb": round(last, 3),
                "hours_to_limit": round(hours, 3),
            },
            impact_mb_per_h=round(rate, 3),
            assumes="calls go on at the rate of the measurement",
        )
    ]


def slope(points: Sequence[tuple[int, int]]) -> float:
    """Return the median slope between points half a series apart, per nanosecond. *Pure.*"""
    half = len(points) // 2
    pairs = zip(points[: len(points) - half], points[half:], strict=True)
    return median((late[1] - early[1]) / max(elapsed_ns(early[0], late[0]), 1) for early, late in pairs)


def _goes_on(points: Sequence[MemoryPoint]) -> bool:
    marks = [points[place * (len(points) - 1) // _QUARTERS].rss_bytes for place in range(_QUARTERS + 1)]
    grown = (marks[-1] - marks[0]) / _MB
    least = _LEAST_QUARTER * grown / _QUARTERS * _MB
    return grown >= _LEAST_GROWTH_MB and all(later - earlier >= least for earlier, later in itertools.pairwise(marks))
