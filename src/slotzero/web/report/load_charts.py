"""Drawings of a load run: figures over the run's time. Pure."""

from collections.abc import Sequence
from typing import Final

from slotzero.web.report.axes import FLOOR, LEFT, RIGHT, TOP, chart, legend, ticks_along, ticks_up
from slotzero.web.report.scales import Scale, linear_ticks, log_ticks
from slotzero.web.report.text import duration, number, plain

__all__ = ["Series", "latency_over_time", "over_time"]

Series = tuple[str, Sequence[tuple[float, float]]]
"""A line's name and its points: seconds since the start, and the value."""
_MOST_POINTS: Final = 600


def over_time(series: Sequence[Series], label: str, unit: str) -> str:
    """Return one or more lines over time, from 0."""
    kept = [(name, _thinned(points)) for name, points in series if points]
    high = max((value for _, points in kept for _, value in points), default=1.0)
    x = _seconds([points for _, points in kept])
    y = Scale(low=0, high=high * 1.08 or 1.0, start=FLOOR, end=TOP)
    ticks = ticks_up([(y.at(tick), number(tick)) for tick in linear_ticks(0, y.high, 4)])
    return _drawn(kept, x, y, ticks, label, unit)


def latency_over_time(series: Sequence[Series], label: str) -> str:
    """Return percentiles over time, in nanoseconds on a logarithmic axis."""
    kept = [(name, _thinned(points)) for name, points in series if points]
    values = [max(value, 1.0) for _, points in kept for _, value in points] or [1.0]
    x = _seconds([points for _, points in kept])
    y = Scale.logarithmic(min(values), max(values), start=FLOOR, end=TOP)
    ticks = ticks_up([(y.at(tick), duration(tick)) for tick in log_ticks(y.low, y.high, 5)])
    return _drawn(kept, x, y, ticks, label, "")


def _drawn(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]], x: Scale, y: Scale, ticks: str, label: str, unit: str
) -> str:
    parts = [ticks, ticks_along([(x.at(tick), number(tick)) for tick in linear_ticks(0, x.high, 5)], "seconds")]
    for place, (_, points) in enumerate(series):
        path = "L".join(f"{x.at(at):.1f} {y.at(value):.1f}" for at, value in points)
        parts.append(f'<path class="line s{place}" d="M{path}"/>')
    if len(series) > 1:
        parts.append(legend([name for name, _ in series]))
    elif unit:
        parts.append(f'<text class="unit" x="{LEFT + 4}" y="{TOP + 2}">{plain(unit)}</text>')
    return chart(label, "".join(parts))


def _seconds(series: Sequence[Sequence[tuple[float, float]]]) -> Scale:
    last = max((points[-1][0] for points in series), default=1.0)
    return Scale(low=0, high=max(last, 1e-9), start=LEFT, end=RIGHT)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most some hundred points, of each stretch the highest: no spike is lost."""
    size = -(-len(points) // _MOST_POINTS)
    stretches = (points[place : place + size] for place in range(0, len(points), max(size, 1)))
    return [max(stretch, key=lambda point: point[1]) for stretch in stretches]
