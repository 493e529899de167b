"""Where a value stands on an axis, and where the axis has its ticks. Pure."""

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

__all__ = ["Scale", "linear_ticks", "log_ticks", "thinned"]

_STEPS: Final = (1, 2, 5, 10)
_LEAST_SPAN: Final = 1.2
"""A logarithmic axis spans at least this factor to both sides of a lone value."""


class Scale(Struct, frozen=True, kw_only=True):
    """Values from `low` to `high` onto places from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def at(self, value: float) -> float:
        """Return the place of a value; one beyond the ends is put at the end."""
        low, high, value = self._bent(self.low), self._bent(self.high), self._bent(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def _bent(self, value: float) -> float:
        return math.log(max(value, 1e-9)) if self.is_log else value

    @classmethod
    def logarithmic(cls, low: float, high: float, *, start: float, end: float) -> "Scale":
        """Return a logarithmic scale with some room around its values, which are above 0."""
        room = max((high / low) ** 0.04, 1.0)
        if high / low < _LEAST_SPAN:
            room = _LEAST_SPAN
        return cls(low=low / room, high=high * room, start=start, end=end, is_log=True)


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values of a logarithmic axis: decades, or 1-2-5 steps where there are few of those."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        found = [value for value in found if low <= value <= high]
        if len(found) <= most:
            break
    else:
        found = found[:: math.ceil(len(found) / most)]
    return found if len(found) > 1 else linear_ticks(low, high, most - 2)


def linear_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round values of a linear axis."""
    if high <= low:
        return [low]
    rough = (high - low) / max(most, 1)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in _STEPS if factor * size >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    found: list[float] = []
    while (first + len(found)) * step <= high * (1 + 1e-9):
        found.append((first + len(found)) * step)
    return found


def thinned(values: Sequence[float], most: int) -> list[tuple[int, float, float]]:
    """Return a series in at most `most` stretches: where each begins, its smallest and its largest value.

    So no spike is lost, however many values share a pixel.
    """
    size = max(1, math.ceil(len(values) / most))
    return [
        (place, min(values[place : place + size]), max(values[place : place + size]))
        for place in range(0, len(values), size)
    ]
