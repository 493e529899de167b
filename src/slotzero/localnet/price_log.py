"""What landed at which compute unit price, by slot and write-locked account: the source of getRecentPrioritizationFees.

Real nodes document the minimum among transactions that locked *all* the accounts asked for and compute an
approximation of it (the highest of the accounts' own minimums). Here it is what the documentation says.

A slot holds one entry for each account that was locked in it, about 0.15 KB: 4 MB for the whole window at 385
transactions a second of a create-buy-sell mix, 17 MB at 2,000. Asking for the busiest account takes 0.6 ms.
"""

import struct
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from solders.pubkey import Pubkey

from slotzero.units import MicroLamportsPerCu, Slot

__all__ = ["PRICE_SLOTS", "PriceLog"]

PRICE_SLOTS: Final = 150
"""Slots that are remembered besides the open one, as on mainnet."""
_NUMBER: Final = struct.Struct("=I")
_TWO_NUMBERS: Final = struct.Struct("=II")


class PriceLog:
    """The prices of the last 150 slots and of the open one. Full means the oldest slot is dropped."""

    def __init__(self) -> None:
        self._slots: deque[_SlotPrices] = deque(maxlen=PRICE_SLOTS + 1)

    def open_slot(self, slot: Slot) -> None:
        """Begin a slot."""
        self._slots.append(_SlotPrices(slot))

    def add(self, price: MicroLamportsPerCu, locked: Iterable[Pubkey]) -> None:
        """Remember a transaction of the open slot and the accounts it write-locked. *Hot path.*"""
        self._slots[-1].add(price, locked)

    def lowest(self, keys: Sequence[Pubkey]) -> list[tuple[Slot, MicroLamportsPerCu]]:
        """Return for each slot that has ended, oldest first, the lowest price at which a transaction locked all `keys`.

        Zero stands for none, as on a real node; no keys stand for any transaction.
        """
        return [(prices.slot, prices.lowest(keys)) for prices in list(self._slots)[:-1]]


class _SlotPrices:
    """One slot. Transactions are numbered within it; an account knows the numbers of those that locked it.

    Most accounts are locked once a slot: they hold the bare number. None of it is followed by the garbage collector.
    """

    __slots__ = ("_by_key", "_prices", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self._prices: list[MicroLamportsPerCu] = []
        self._by_key: dict[Pubkey, int | bytearray] = {}

    def add(self, price: MicroLamportsPerCu, locked: Iterable[Pubkey]) -> None:
        number = len(self._prices)
        self._prices.append(price)
        by_key = self._by_key
        for key in locked:
            known = by_key.get(key)
            if known is None:
                by_key[key] = number
            elif isinstance(known, int):
                by_key[key] = bytearray(_TWO_NUMBERS.pack(known, number))
            else:
                known += _NUMBER.pack(number)

    def lowest(self, keys: Sequence[Pubkey]) -> MicroLamportsPerCu:
        if not keys:
            return min(self._prices, default=MicroLamportsPerCu(0))
        numbers: Collection[int] | None = None
        for key in keys:
            known = self._by_key.get(key)
            if known is None:
                return MicroLamportsPerCu(0)
            of_key = [known] if isinstance(known, int) else memoryview(known).cast("I").tolist()
            numbers = of_key if numbers is None else set(numbers).intersection(of_key)
        assert numbers is not None
        return min((self._prices[number] for number in numbers), default=MicroLamportsPerCu(0))
