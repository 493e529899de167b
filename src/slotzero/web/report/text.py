"""Numbers and names as a page shows them. Pure."""

import math
from html import escape
from typing import Final

__all__ = ["DASH", "attr", "duration", "number", "percent", "plain", "signed_percent", "slug"]

DASH: Final = "\u2013"
"""What stands where there is no figure."""
_THIN: Final = "\u202f"
"""Between thousands: a space at which no line is broken."""
MINUS: Final = "\u2212"
_UNITS: Final = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))


def plain(value: object) -> str:
    """Return a value as text of a page. What cannot be printed is shown as a question mark."""
    return escape("".join(char if char.isprintable() or char == _THIN else "?" for char in str(value)))


attr = plain
"""The same between quotes: `escape` minds those too."""


def duration(value_ns: float) -> str:
    """Return a duration with three figures and a unit that suits it."""
    if value_ns <= 0:
        return "0 ns"
    for size, unit in _UNITS:
        if value_ns >= size * 0.9995:  # what rounds up to the next unit is shown in it
            return f"{_figures(value_ns / size)} {unit}"
    return f"{_figures(value_ns)} ns"


def number(value: float) -> str:
    """Return a number with about three figures, thousands apart."""
    if not math.isfinite(value):
        return DASH
    if abs(value) >= 1_000:  # noqa: PLR2004 no decimals from here on
        return f"{value:,.0f}".replace(",", _THIN)
    return _figures(value)


def percent(value: float) -> str:
    """Return a share that is in percent already."""
    return f"{_figures(value)} %"


def signed_percent(value: float) -> str:
    """Return a change in percent with its sign."""
    return f"{value:+.1f} %".replace("-", MINUS)


def slug(value: str) -> str:
    """Return a name as the address of a part of the page."""
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in value.lower()).strip("-") or "part"


def _figures(value: float) -> str:
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
