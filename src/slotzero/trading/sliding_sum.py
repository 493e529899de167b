"""A sum over the last hour, or day: in integers, bounded in memory, never too low.

An amount counts from its instant until exactly `span_ns` later. The newest `max_entries / 2` amounts are kept apart,
so up to that many in a window the sum is exact. Older ones are conflated by cells of time, each into the youngest of
its cell, which leaves the window less than `4 * span_ns / max_entries` later than the oldest had to: a cap that is
checked against the sum stays a cap. Each step is O(1); there is no moment at which everything is tidied up.
"""

from collections import deque
from typing import Final

from msgspec import Struct

from slotzero.clock import is_due, later

__all__ = ["Entry", "SlidingSum"]

_MAX_ENTRIES: Final = 8_192
"""Beyond 4,096 amounts in a window, an hour's may count 2 seconds too long and a day's 43."""


class Entry(Struct, kw_only=True, eq=False):
    """One amount in a window: keep it to amend the amount later, and change it through the window only.

    Attributes:
        at: When it counts from; later than at first where younger amounts were conflated into it.
        carried: What those add to it.
        into: The one this was conflated into, or None.
    """

    at: int
    amount: int
    carried: int = 0
    into: "Entry | None" = None
    is_inside: bool = True


class SlidingSum:
    """The sum of what was added less than `span_ns` ago.

    Args:
        span_ns: The window's length in nanoseconds, positive.
        max_entries: How many entries are held at most, at least 8.
    """

    def __init__(self, span_ns: int, *, max_entries: int = _MAX_ENTRIES) -> None:
        if span_ns <= 0 or max_entries < 8:  # noqa: PLR2004 three quarters and two must fit
            raise ValueError(f"a window needs a span and room for eight amounts, got {span_ns} ns and {max_entries}")
        self._span_ns = span_ns
        self._cell_ns = -(-4 * span_ns // max_entries)
        self._max_apart = max_entries // 2
        self._apart: deque[Entry] = deque()
        self._cells: deque[Entry] = deque()
        self._total = 0
        self.conflated = 0
        """How many amounts share a cell with another because too many had come."""

    def __len__(self) -> int:
        """Return how many entries are held: amounts kept apart, and cells."""
        return len(self._apart) + len(self._cells)

    def add(self, at: int, amount: int) -> Entry:
        """Count `amount` from the instant `at` on. An instant before the newest one counts as the newest.

        Raises:
            ValueError: The amount is negative.
        """
        if amount < 0:
            raise ValueError(f"a window sums what is not negative, got {amount}")
        if self._apart and at < self._apart[-1].at:  # a wall clock was set back: counted longer is counted safely
            at = self._apart[-1].at
        self._evict(at)
        entry = Entry(at=at, amount=amount)
        self._apart.append(entry)
        self._total += amount
        if len(self._apart) > self._max_apart:
            self._conflate(self._apart.popleft())
        return entry

    def amend(self, entry: Entry, amount: int) -> None:
        """Let `entry` count as `amount` from now on, at its old instant; nothing once it has left the window.

        Raises:
            ValueError: The amount is negative.
        """
        if amount < 0:
            raise ValueError(f"a window sums what is not negative, got {amount}")
        holder = entry.into or entry
        change, entry.amount = amount - entry.amount, amount
        if not holder.is_inside:
            return
        if holder is not entry:
            holder.carried += change
        self._total += change

    def total(self, now: int) -> int:
        """Return the sum at `now`. An instant earlier than one asked for before finds what is left. *Hot path.*"""
        self._evict(now)
        return self._total

    def _evict(self, now: int) -> None:
        for entries in (self._cells, self._apart):
            while entries and is_due(later(entries[0].at, self._span_ns), now):
                gone = entries.popleft()
                gone.is_inside = False
                self._total -= gone.amount + gone.carried

    def _conflate(self, entry: Entry) -> None:
        """Put an amount into the cell of its instant; a cell leaves the window with its youngest amount."""
        cells = self._cells
        if cells and cells[-1].at // self._cell_ns == entry.at // self._cell_ns:
            holder = cells[-1]
            holder.at, entry.into = entry.at, holder
            holder.carried += entry.amount
            self.conflated += 1
        else:
            cells.append(entry)
