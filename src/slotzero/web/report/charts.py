"""The report's drawings, as SVG within the page: no script draws them, they print, and they take the page's colours.

Each chart is 420 units wide, so that its letters stay readable on a phone. What a chart shows stands in its label for
those who do not see it, and in a table near it.
"""

from collections.abc import Sequence
from typing import Final

from slotzero.perf.types import Interval, StageStats
from slotzero.web.report.axes import CHAR, FLOOR, LEFT, RIGHT, TOP, chart, legend, ticks_along, ticks_up, vertical
from slotzero.web.report.records import Distribution
from slotzero.web.report.scales import Scale, linear_ticks, log_ticks, thinned
from slotzero.web.report.text import attr, duration, number, percent, plain

__all__ = ["bullet", "bullet_axis", "cumulative", "density", "line", "split_bars", "stage_bars", "timeline"]

_BARS: Final = 44
_STRETCHES: Final = 240
_DOTS: Final = 160
_MARKS: Final = (("p50", 50.0), ("p95", 95.0), ("p99", 99.0))


def density(found: Distribution, marks: Sequence[tuple[str, float]], label: str) -> str:
    """Return how many samples took how long, as bars of equal width on a logarithmic axis."""
    x = Scale.logarithmic(found.values_ns[0], found.values_ns[-1], start=LEFT, end=RIGHT)
    counts = [0] * _BARS
    for value, count in zip(found.values_ns, found.counts, strict=True):
        counts[min(int((x.at(value) - LEFT) / (RIGHT - LEFT) * _BARS), _BARS - 1)] += count
    top = max(counts)
    y = Scale(low=0, high=top, start=FLOOR, end=TOP + 12)
    width = (RIGHT - LEFT) / _BARS
    bars = "".join(
        f'<rect class="bar" x="{LEFT + place * width + 0.6:.1f}" y="{y.at(count):.1f}" width="{width - 1.2:.1f}" '
        f'height="{FLOOR - y.at(count):.1f}"><title>{count} samples</title></rect>'
        for place, count in enumerate(counts)
        if count
    )
    return chart(label, _time_axis(x) + _count_axis(y, top) + bars + _marks(x, marks))


def cumulative(
    series: Sequence[tuple[str, Distribution]], marks: Sequence[tuple[str, float]], label: str, limit_ns: float | None
) -> str:
    """Return the share of samples that took at most so long; one line for each of one or two series."""
    low = min(found.values_ns[0] for _, found in series)
    high = max(found.values_ns[-1] for _, found in series)
    x = Scale.logarithmic(low, high, start=LEFT, end=RIGHT)
    y = Scale(low=0, high=100, start=FLOOR, end=TOP)
    parts = [_time_axis(x), _share_axis(y)]
    if limit_ns is not None and x.low < limit_ns < x.high:
        parts.append(vertical(x.at(limit_ns), "aim", "limit"))
    for place, (_, found) in enumerate(series):
        points = _steps(found, x, y)
        parts.append(f'<path class="line s{place}" d="{points}"/>')
    if len(series) > 1:
        parts.append(legend([name for name, _ in series]))
    return chart(label, "".join(parts) + _marks(x, marks))


def timeline(
    values_ns: Sequence[int], label: str, *, warmup_ns: Sequence[int] = (), limit_ns: float | None = None
) -> str:
    """Return each sample in the order of the calls; many are drawn as the band from the smallest to the largest."""
    every = [*warmup_ns, *values_ns]
    low, high = max(min(every), 1), max(every)
    x = Scale(low=-len(warmup_ns), high=max(len(values_ns), 1), start=LEFT, end=RIGHT)
    y = Scale.logarithmic(low, high, start=FLOOR, end=TOP)
    parts = [_time_axis_up(y), _order_axis(x, len(values_ns))]
    if warmup_ns:
        parts.append(
            f'<rect class="warm" x="{LEFT}" y="{TOP}" width="{x.at(0) - LEFT:.1f}" height="{FLOOR - TOP}">'
            f"<title>{len(warmup_ns)} warm-up calls, not counted</title></rect>"
        )
    if limit_ns is not None and y.low < limit_ns < y.high:
        parts.append(f'<path class="limit" d="M{LEFT} {y.at(limit_ns):.1f}H{RIGHT}"/>')
    if len(every) <= _DOTS:
        parts += [
            f'<circle class="dot{" before" if place < len(warmup_ns) else ""}" r="1.9" '
            f'cx="{x.at(place - len(warmup_ns) + 0.5):.1f}" cy="{y.at(max(value, 1)):.1f}"/>'
            for place, value in enumerate(every)
        ]
    else:
        stretches = thinned(every, _STRETCHES)
        lines = "".join(
            f"M{x.at(place - len(warmup_ns)):.1f} {y.at(max(least, 1)):.1f}V{y.at(max(most, 1)) - 0.8:.1f}"
            for place, least, most in stretches
        )
        parts.append(f'<path class="band" d="{lines}"/>')
    return chart(label, "".join(parts))


def line(points: Sequence[tuple[float, float]], label: str, unit: str) -> str:
    """Return a value over time in seconds."""
    high = max(value for _, value in points)
    low = min(0.0, *(value for _, value in points))
    span = max(at for at, _ in points)
    x = Scale(low=0, high=max(span, 1e-9), start=LEFT, end=RIGHT)
    y = Scale(low=low, high=(high - low) * 1.12 + low or 1, start=FLOOR, end=TOP)
    path = "L".join(f"{x.at(at):.1f} {y.at(value):.1f}" for at, value in points)
    parts = [ticks_up([(y.at(tick), number(tick)) for tick in linear_ticks(y.low, y.high, 4)])]
    parts.append(ticks_along([(x.at(tick), number(tick)) for tick in linear_ticks(0, x.high, 5)], "seconds"))
    parts.append(f'<text class="unit" x="{LEFT + 4}" y="{TOP + 2}">{plain(unit)}</text>')
    parts.append(f'<path class="area" d="M{x.at(points[0][0]):.1f} {FLOOR}L{path}V{FLOOR}Z"/>')
    parts.append(f'<path class="line s0" d="M{path}"/>')
    return chart(label, "".join(parts))


def stage_bars(stages: Sequence[StageStats], label: str) -> str:
    """Return the stages of the median sample below one another, from their start to their end."""
    end = max(stage.start_ms + stage.p50_ms for stage in stages) or 1.0
    height = TOP + 30 * len(stages) + 34
    x = Scale(low=0, high=end, start=12, end=RIGHT)
    parts = []
    for place, stage in enumerate(stages):
        y = TOP + 30 * place
        start, width = x.at(stage.start_ms), max(x.at(stage.start_ms + stage.p50_ms) - x.at(stage.start_ms), 2)
        text = f"{stage.name}  {duration(stage.p50_ms * 1e6)}, {percent(stage.critical_percent)} of the whole"
        parts.append(
            f'<text class="name" x="12" y="{y + 10}">{plain(text)}</text>'
            f'<rect class="{"own" if stage.is_own else "waited"}" x="{start:.1f}" y="{y + 14}" width="{width:.1f}" '
            f'height="10" rx="2"><title>{plain(stage.name)}: p95 {plain(duration(stage.p95_ms * 1e6))}</title></rect>'
        )
    floor = height - 24
    ticks = [(x.at(tick), duration(tick * 1e6)) for tick in linear_ticks(0, end, 4)]
    parts.append(ticks_along(ticks, "", floor=floor, left=12))
    return chart(label, "".join(parts), height=height)


def split_bars(rows: Sequence[tuple[str, float, float]], label: str) -> str:
    """Return own and waited time side by side in one bar for each percentile (name, own, waited, in ms)."""
    most = max(own + waited for _, own, waited in rows) or 1.0
    height = TOP + 40 * len(rows) + 6
    x = Scale(low=0, high=most, start=12, end=RIGHT)
    parts = []
    for place, (name, own, waited) in enumerate(rows):
        y = TOP + 40 * place
        middle, end = x.at(own), x.at(own + waited)
        text = f"{name}: {duration(own * 1e6)} own, {duration(waited * 1e6)} waited"
        parts.append(
            f'<text class="name" x="12" y="{y + 10}">{plain(text)}</text>'
            f'<rect class="own" x="12" y="{y + 15}" width="{max(middle - 12, 1):.1f}" height="14"/>'
            f'<rect class="waited" x="{middle:.1f}" y="{y + 15}" width="{max(end - middle, 1):.1f}" height="14"/>'
        )
    return chart(label, "".join(parts), height=height)


# One row of the overview: all components on one axis.

_BULLET_WIDTH: Final = 260
_BULLET_HEIGHT: Final = 24
_OVERVIEW: Final = Scale(low=200, high=20e9, start=6, end=_BULLET_WIDTH - 6, is_log=True)
"""From 200 ns to 20 s: what a component can reasonably take."""


def bullet(
    p50_ns: float, p95_ns: float, interval: Interval | None, aim_ns: float | None, must_ns: float | None, label: str
) -> str:
    """Return p50 to p95 as a bar with p95's interval, and the aim and the must as notches."""
    at, middle = _OVERVIEW.at, _BULLET_HEIGHT / 2
    kind = "good" if aim_ns is None or p95_ns <= aim_ns else "warn"
    if must_ns is not None and p95_ns > must_ns:
        kind = "bad"
    left, width = at(p50_ns), max(at(p95_ns) - at(p50_ns), 2)
    parts = [
        f'<path class="track" d="M6 {middle}H{_BULLET_WIDTH - 6}"/>',
        f'<rect class="{kind}" x="{left:.1f}" y="{middle - 4}" width="{width:.1f}" height="8" rx="2"/>',
    ]
    if interval is not None:
        low, high = at(max(interval.low, 1)), at(max(interval.high, 1))
        parts.append(f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} 8v8M{high:.1f} 8v8"/>')
    if aim_ns is not None:
        x = at(aim_ns)
        parts.append(f'<path class="aim" d="M{x:.1f} 3l-3.5 -3h7zM{x:.1f} 3v18"/>')
    if must_ns is not None:
        parts.append(f'<path class="must" d="M{at(must_ns):.1f} 2v20"/>')
    return (
        f'<svg class="bullet" viewBox="0 0 {_BULLET_WIDTH} {_BULLET_HEIGHT}" role="img" '
        f'aria-label="{attr(label)}">{"".join(parts)}</svg>'
    )


def bullet_axis() -> str:
    """Return the axis of `bullet`."""
    ticks = "".join(
        f'<text x="{_OVERVIEW.at(value):.1f}" y="12">{plain(duration(value))}</text>' for value in (1e3, 1e5, 1e7, 1e9)
    )
    return f'<svg class="bullet axis" viewBox="0 0 {_BULLET_WIDTH} 16" aria-hidden="true">{ticks}</svg>'


# Parts of charts


def _steps(found: Distribution, x: Scale, y: Scale) -> str:
    """Return a cumulative distribution as a path, at most one point for each third of a unit."""
    points = [f"M{x.at(found.values_ns[0]):.1f} {y.at(0):.1f}"]
    last = -1.0
    for value, running in zip(found.values_ns, found.running, strict=True):
        place = x.at(value)
        if place - last >= 1 / 3 or running == found.total:
            points.append(f"H{place:.1f}V{y.at(100 * running / found.total):.1f}")
            last = place
    return "".join([*points, f"H{RIGHT}"])


def _marks(x: Scale, marks: Sequence[tuple[str, float]]) -> str:
    """Return percentiles as thin lines, their names above where there is room beside the one before."""
    parts, free = [], 0.0
    for name, value in marks:
        place = x.at(value)
        text = name if place - len(name) * CHAR / 2 >= free else ""
        if text:
            free = place + len(name) * CHAR / 2 + 2
        parts.append(vertical(place, text, "mark", title=f"{name} {duration(value)}"))
    return "".join(parts)


def _time_axis(x: Scale) -> str:
    return ticks_along([(x.at(tick), duration(tick)) for tick in log_ticks(x.low, x.high)], "")


def _time_axis_up(y: Scale) -> str:
    return ticks_up([(y.at(tick), duration(tick)) for tick in log_ticks(y.low, y.high, 5)])


def _count_axis(y: Scale, top: int) -> str:
    ticks = [tick for tick in linear_ticks(0, top, 4) if tick == int(tick)]
    return ticks_up([(y.at(tick), number(tick)) for tick in ticks])


def _share_axis(y: Scale) -> str:
    return ticks_up([(y.at(tick), f"{tick} %") for tick in (0, 25, 50, 75, 95)])


def _order_axis(x: Scale, count: int) -> str:
    ticks = [(x.at(tick), number(tick)) for tick in linear_ticks(0, count, 5) if tick]
    return ticks_along(ticks, "calls in their order")
