"""What every chart of the report stands in: its frame, its axes, its legend. Pure."""

from collections.abc import Sequence
from typing import Final

from slotzero.web.report.text import attr, plain

__all__ = [
    "CHAR",
    "FLOOR",
    "HEIGHT",
    "LEFT",
    "RIGHT",
    "TOP",
    "WIDTH",
    "chart",
    "legend",
    "ticks_along",
    "ticks_up",
    "vertical",
]

WIDTH: Final = 420
HEIGHT: Final = 220
LEFT: Final = 58
RIGHT: Final = 408
TOP: Final = 14
FLOOR: Final = 182
CHAR: Final = 7.2
"""Width of a letter, roughly."""


def chart(label: str, inner: str, *, height: int = HEIGHT) -> str:
    """Return a chart around its parts; `label` is what it says to those who do not see it."""
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{attr(label)}">{inner}</svg>'


def vertical(place: float, text: str, kind: str, *, title: str = "") -> str:
    """Return an upright line at a place, with a name above it."""
    label = f'<text class="{kind}-name" x="{place:.1f}" y="{TOP - 3}">{plain(text)}</text>' if text else ""
    return f'<path class="{kind}" d="M{place:.1f} {TOP}V{FLOOR}"><title>{plain(title or text)}</title></path>{label}'


def legend(names: Sequence[str]) -> str:
    """Return the names of up to three lines, above the chart."""
    return "".join(
        f'<path class="line s{place}" d="M{LEFT + 118 * place} 6h18"/>'
        f'<text class="name" x="{LEFT + 118 * place + 23}" y="10">{plain(name[:13])}</text>'
        for place, name in enumerate(names)
    )


def ticks_along(ticks: Sequence[tuple[float, str]], about: str, *, floor: float = FLOOR, left: int = LEFT) -> str:
    """Return an axis along the bottom: place and text of each tick, texts left out where they would touch."""
    parts = [f'<path class="axis" d="M{left} {floor}H{RIGHT}"/>']
    free = 0.0
    for place, text in ticks:
        half = len(text) * CHAR / 2
        centre = min(max(place, half), WIDTH - half - 1)
        parts.append(f'<path class="tick" d="M{place:.1f} {floor}v4"/>')
        if centre - half >= free:
            parts.append(f'<text class="along" x="{centre:.1f}" y="{floor + 17}">{plain(text)}</text>')
            free = centre + half + 4
    if about:
        parts.append(f'<text class="along about" x="{(left + RIGHT) / 2:.0f}" y="{floor + 33}">{plain(about)}</text>')
    return "".join(parts)


def ticks_up(ticks: Sequence[tuple[float, str]]) -> str:
    """Return the lines of an upright axis: place and text of each."""
    return "".join(
        f'<path class="grid" d="M{LEFT} {place:.1f}H{RIGHT}"/>'
        f'<text class="up" x="{LEFT - 5}" y="{place + 4:.1f}">{plain(text)}</text>'
        for place, text in ticks
    )
