"""A sum over the last hour, or day: exact, in integers, bounded in memory.

An amount counts from its instant until exactly `span_ns` later. When the window holds `max_entries` amounts, the two
oldest are conflated into the younger of them, which then leaves the window later than it had to: a cap that is checked
against the sum stays a cap. How often that happened is counted.
"""

from collections import deque
from typing import Final, Literal

from msgspec import Struct

from slotzero.clock import is_due, later

__all__ = ["Entry", "SlidingSum"]

_MAX_ENTRIES: Final = 65_536


class Entry(Struct, kw_only=True, eq=False):
    """One amount in a window: keep it to amend the amount later, and change it through the window only.

    Attributes:
        carried: What older amounts left to it when they were conflated.
    """

    at: int
    amount: int
    carried: int = 0
    place: Literal["inside", "conflated", "outside"] = "inside"


class SlidingSum:
    """The sum of what was added less than `span_ns` ago.

    Args:
        span_ns: The window's length in nanoseconds, positive.
        max_entries: How many amounts are kept apart before the oldest are conflated, at least 2.
    """

    def __init__(self, span_ns: int, *, max_entries: int = _MAX_ENTRIES) -> None:
        if span_ns <= 0 or max_entries < 2:  # noqa: PLR2004 conflating takes two
            raise ValueError(f"a window needs a span and room for two amounts, got {span_ns} ns and {max_entries}")
        self._span_ns = span_ns
        self._max_entries = max_entries
        self._entries: deque[Entry] = deque()
        self._total = 0
        self.conflated = 0
        """How many amounts were moved to a younger one's instant because the window was full."""

    def __len__(self) -> int:
        """Return how many amounts are kept apart."""
        return len(self._entries)

    def add(self, at: int, amount: int) -> Entry:
        """Count `amount` from the instant `at` on. An instant before the newest one counts as the newest.

        Raises:
            ValueError: The amount is negative.
        """
        if amount < 0:
            raise ValueError(f"a window sums what is not negative, got {amount}")
        entries = self._entries
        if entries and at < entries[-1].at:  # a wall clock was set back: what is counted longer is counted safely
            at = entries[-1].at
        self._evict(at)
        if len(entries) >= self._max_entries:
            oldest = entries.popleft()
            oldest.place = "conflated"
            entries[0].carried += oldest.amount + oldest.carried
            self.conflated += 1
        entry = Entry(at=at, amount=amount)
        entries.append(entry)
        self._total += amount
        return entry

    def amend(self, entry: Entry, amount: int) -> None:
        """Let `entry` count as `amount` from now on, at its old instant; nothing once it has left the window.

        An entry that was conflated can be raised, but not lowered: which part of the sum is its own is not known any
        more.

        Raises:
            ValueError: The amount is negative.
        """
        if amount < 0:
            raise ValueError(f"a window sums what is not negative, got {amount}")
        change = amount - entry.amount
        if entry.place == "outside" or (entry.place == "conflated" and change < 0):
            return
        if entry.place == "conflated":
            if not self._entries:
                return
            self._entries[0].carried += change
        entry.amount = amount
        self._total += change

    def total(self, now: int) -> int:
        """Return the sum at `now`. An instant earlier than one asked for before finds what is left. *Hot path.*"""
        self._evict(now)
        return self._total

    def _evict(self, now: int) -> None:
        entries = self._entries
        while entries and is_due(later(entries[0].at, self._span_ns), now):
            gone = entries.popleft()
            gone.place = "outside"
            self._total -= gone.amount + gone.carried
