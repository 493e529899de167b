"""What others paid lately for a place beside us: percentiles of unit prices by account.

Two sources say different things. A Geyser stream shows whole transactions, and so the prices of those that landed on an
account, which is the market; a log subscription shows no prices, so a run without such a stream has none.
`getRecentPrioritizationFees` shows the *lowest* landed price of each slot for transactions that lock all the accounts
asked for; the median of those floors is not the market, it is only what no bid should be below. A fresh curve has no
history of its own, so what landed on its venue stands in for it.

Our own transactions are left out. They are few, and percentiles of bids that were made of percentiles climb by
themselves: each emergency and each variation upwards would become the next one's market.

Assumptions: prices of the last `span_slots` slots predict the next one's. Known failure cases: a launch that is hotter
than anything before it; a rival that pays a hundred times the market to appear in everybody's percentile (the caps,
not the percentile, bound what that costs us).
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Final

from solders.pubkey import Pubkey

__all__ = ["FeeMarket", "PriceWindow"]

_MAX_SAMPLES: Final = 1_024
_MAX_ACCOUNTS: Final = 256
_MAX_FLOORS: Final = 150


class PriceWindow:
    """The prices of the newest slots, at most 1,024 of them; the oldest slot's give way.

    Args:
        span_slots: A price counts while its slot is less than so many behind the newest, positive.
    """

    __slots__ = ("_by_slot", "_ordered", "_span")

    def __init__(self, span_slots: int) -> None:
        self._span = span_slots
        self._by_slot: list[tuple[int, int]] = []
        self._ordered: list[int] = []

    def __len__(self) -> int:
        """Return how many prices there are."""
        return len(self._ordered)

    def add(self, slot: int, price: int) -> None:
        """Count a price in. Slots may come in any order."""
        heapq.heappush(self._by_slot, (slot, price))
        insort(self._ordered, price)
        if len(self._ordered) > _MAX_SAMPLES:
            self._drop_oldest()

    def percentile(self, percent: int, newest_slot: int) -> int | None:
        """Return a percentile (nearest rank) of what still counts at `newest_slot`, or None when nothing does."""
        while self._by_slot and self._by_slot[0][0] + self._span <= newest_slot:
            self._drop_oldest()
        if not self._ordered:
            return None
        return self._ordered[max(-(-percent * len(self._ordered) // 100), 1) - 1]

    def _drop_oldest(self) -> None:
        _, price = heapq.heappop(self._by_slot)
        del self._ordered[bisect_left(self._ordered, price)]


class FeeMarket:
    """Landed prices by account and by venue, and the floors of the slots.

    At most 256 accounts are followed; the one that saw no price and was not asked to be followed for the longest time
    makes room. Venues are those the program knows.

    Args:
        span_slots: How far back a price counts.
        min_samples: How many prices an account needs before it has a say.
    """

    def __init__(self, *, span_slots: int, min_samples: int) -> None:
        self._span = span_slots
        self._min_samples = min_samples
        self._windows: dict[bytes, PriceWindow] = {}
        self._venues: dict[str, PriceWindow] = {}
        self._floors: list[int] = []
        self.newest_slot = 0
        self.evicted = 0
        """How many accounts had to make room."""

    def on_landed(self, account: Pubkey, slot: int, price: int) -> None:
        """Take the unit price of another's transaction that landed and wrote to `account`."""
        self._follow(bytes(account)).add(slot, price)
        self.on_slot(slot)

    def follow(self, accounts: Iterable[Pubkey]) -> None:
        """Have `on_transaction` count the prices of these accounts from now on. *Hot path.*"""
        for account in accounts:
            self._follow(bytes(account))

    def on_transaction(self, venue: str, slot: int, price: int, written: Iterable[bytes]) -> None:
        """Take the unit price of another's transaction that landed on a venue.

        Args:
            venue: The venue's name.
            slot: Where it landed.
            price: In micro-lamports per compute unit.
            written: The addresses it wrote to; of these the followed ones count it.
        """
        window = self._venues.get(venue)
        if window is None:
            window = self._venues[venue] = PriceWindow(self._span)
        window.add(slot, price)
        for key in written:
            if key in self._windows:
                self._follow(key).add(slot, price)
        self.on_slot(slot)

    def _follow(self, key: bytes) -> PriceWindow:
        """Return an account's window, new where it has none, as the last that makes room."""
        window = self._windows.pop(key, None)
        if window is None:
            window = PriceWindow(self._span)
            if len(self._windows) >= _MAX_ACCOUNTS:
                del self._windows[next(iter(self._windows))]
                self.evicted += 1
        self._windows[key] = window
        return window

    def on_floors(self, samples: Iterable[tuple[int, int]]) -> None:
        """Take an answer of getRecentPrioritizationFees, pairs of slot and price; it replaces the one before."""
        newest = heapq.nlargest(_MAX_FLOORS, samples)
        self._floors = sorted(price for _, price in newest)
        if newest:
            self.on_slot(newest[0][0])

    def on_slot(self, slot: int) -> None:
        """Take the newest slot: prices age by it even when none lands."""
        self.newest_slot = max(self.newest_slot, slot)

    def landed(self, accounts: Iterable[Pubkey], percent: int) -> tuple[int, int] | None:
        """Return the highest percentile among `accounts` and the number of prices behind it. *Hot path.*

        None when no account has enough prices.
        """
        found: tuple[int, int] | None = None
        for account in accounts:
            said = self._said(self._windows.get(bytes(account)), percent)
            if said is not None and (found is None or said[0] > found[0]):
                found = said
        return found

    def landed_at(self, venue: str, percent: int) -> tuple[int, int] | None:
        """Return the percentile of what landed on a venue and the number of prices behind it; None when too few."""
        return self._said(self._venues.get(venue), percent)

    def _said(self, window: PriceWindow | None, percent: int) -> tuple[int, int] | None:
        if window is None:
            return None
        price = window.percentile(percent, self.newest_slot)
        return None if price is None or len(window) < self._min_samples else (price, len(window))

    def floor(self, percent: int) -> int | None:
        """Return a percentile of the slots' floors, or None before the first answer."""
        if not self._floors:
            return None
        return self._floors[max(-(-percent * len(self._floors) // 100), 1) - 1]
