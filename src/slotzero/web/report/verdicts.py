"""Verdicts of a comparison: each percentile's change with its interval, and what is to be made of it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from slotzero.perf.types import Comparison, Verdict
from slotzero.web.report.overview import chip
from slotzero.web.report.text import DASH, attr, percent, plain, signed_percent

__all__ = ["verdict_table"]

_KIND: Final = {
    Verdict.REGRESSED: ("bad", "▲ REGRESSED"),
    Verdict.SUSPECT: ("warn", "? SUSPECT"),
    Verdict.INCONCLUSIVE: ("none", "… INCONCLUSIVE"),
    Verdict.IMPROVED: ("good", "▼ IMPROVED"),
    Verdict.EQUIVALENT: ("good", "= EQUIVALENT"),
}
_NAMES: Final = {"median": "p50", "p999": "p99.9"}
_WIDTH: Final = 200
_HEIGHT: Final = 22
_LEAST_RANGE: Final = 5.0
_MOST_RANGE: Final = 100.0


def verdict_table(comparisons: Sequence[Comparison], values: Mapping[tuple[str, str], str]) -> str:
    """Return a line for each percentile.

    Args:
        comparisons: In their order; those of one benchmark follow one another.
        values: What was measured before and after, as text, by benchmark and metric; where it is known.
    """
    reach = [abs(bound) for one in comparisons for bound in _bounds(one)] or [0.0]
    scale = min(max(*reach, _LEAST_RANGE), _MOST_RANGE)
    rows, before = [], ""
    for one in comparisons:
        name = plain(one.name) if one.name != before else f'<span class="unseen">{plain(one.name)}</span>'
        before = one.name
        rows.append(_row(one, name, values.get((one.name, one.metric), DASH), scale))
    return (
        '<div class="scroll" role="group" tabindex="0" aria-label="Verdicts of the comparison"><table><thead><tr>'
        '<th scope="col">Benchmark</th><th scope="col">percentile</th><th scope="col" class="wide">before → after</th>'
        '<th scope="col">change</th><th scope="col" class="wide line-cell"><span class="unseen">drawn</span>'
        f"faster ◂ {signed_percent(0)} ▸ slower</th>"
        '<th scope="col">verdict</th><th scope="col" class="text wide">to know</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(one: Comparison, name: str, values: str, scale: float) -> str:
    kind, words = _KIND[one.verdict]
    interval = one.interval
    between = "" if interval is None else f" ({signed_percent(interval.low)} to {signed_percent(interval.high)})"
    return (
        f'<tr><th scope="row">{name}</th><td>{plain(_NAMES.get(one.metric, one.metric))}</td>'
        f'<td class="wide">{plain(values)}</td><td><strong>{signed_percent(one.effect_percent)}</strong>'
        f'<span class="wide small soft">{between}</span></td>'
        f'<td class="wide line-cell">{_drawn(one, scale)}</td><td>{chip(kind, words)}</td>'
        f'<td class="text wide small soft">{plain(_to_know(one))}</td></tr>'
    )


def _to_know(one: Comparison) -> str:
    said = [one.note] if one.note else []
    if one.verdict is Verdict.INCONCLUSIVE and one.launches_needed:
        said.append(f"about {one.launches_needed} launches would decide it")
    if one.confirmed is not None:
        said.append("an independent repeat agreed" if one.confirmed else "an independent repeat did not agree")
    if one.detectable_percent is not None:
        said.append(f"could have seen {percent(one.detectable_percent)}")
    return "; ".join(said)


def _bounds(one: Comparison) -> tuple[float, ...]:
    if one.interval is None:
        return (one.effect_percent,)
    return one.interval.low, one.interval.high, one.effect_percent


def _drawn(one: Comparison, scale: float) -> str:
    """Return the change as a point with its interval, the floor as a band around nothing."""
    middle = _HEIGHT / 2

    def at(value: float) -> float:
        return _WIDTH / 2 + min(max(value / scale, -1.0), 1.0) * (_WIDTH / 2 - 8)

    left, right = at(-one.floor_percent), at(one.floor_percent)
    parts = [
        f'<rect class="warm" x="{left:.1f}" y="2" width="{right - left:.1f}" height="{_HEIGHT - 4}"/>',
        f'<path class="axis" d="M{_WIDTH / 2} 2V{_HEIGHT - 2}"/>',
    ]
    if one.interval is not None:
        low, high = at(one.interval.low), at(one.interval.high)
        parts.append(f'<path class="whisker" d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} 7v8M{high:.1f} 7v8"/>')
    parts.append(
        f'<circle class="point {_KIND[one.verdict][0]}" cx="{at(one.effect_percent):.1f}" cy="{middle}" r="4"/>'
    )
    label = f"{one.name} {_NAMES.get(one.metric, one.metric)}: {signed_percent(one.effect_percent)}"
    return (
        f'<svg class="bullet" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{attr(label)}">'
        f"{''.join(parts)}</svg>"
    )
