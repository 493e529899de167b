"""What each wallet has bought, kept as small as the caps that need it after a restart: sans-I/O.

A wallet's caps ask for the sums of the last hour and the last day and for the number of all its buys. A day's buys are
added up in cells of ten seconds; a cell counts from its youngest buy on, so it never leaves a window too early. Of
older ones only the number is kept.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.units import Lamports, WallNs

__all__ = ["Purchases", "SpendCell"]

_CELL_NS: Final = 10 * 10**9
_DAY_CELLS: Final = 24 * 3_600 * 10**9 // _CELL_NS


class SpendCell(Struct, kw_only=True):
    """Buys of one wallet within ten seconds.

    Attributes:
        at: When the youngest was signed.
        buys: How many they were.
    """

    at: WallNs
    spent: Lamports
    buys: int


class _Wallet:
    __slots__ = ("cells", "older")

    def __init__(self) -> None:
        self.cells: dict[int, SpendCell] = {}
        self.older = 0


class Purchases:
    """The buys that cost something, by wallet."""

    def __init__(self) -> None:
        self._wallets: dict[Pubkey, _Wallet] = {}

    def add(self, wallet: Pubkey, *, spent: Lamports, at: WallNs) -> None:
        """Count a buy that was signed at `at`; they may come in any order."""
        known = self._wallets.setdefault(wallet, _Wallet())
        cell = known.cells.get(at // _CELL_NS)
        if cell is None:
            known.cells[at // _CELL_NS] = SpendCell(at=at, spent=spent, buys=1)
            self._forget(known)
        else:
            cell.at, cell.spent, cell.buys = max(cell.at, at), Lamports(cell.spent + spent), cell.buys + 1

    def older(self, wallet: Pubkey) -> int:
        """Return how many buys are too old for any window."""
        known = self._wallets.get(wallet)
        return 0 if known is None else known.older

    def cells(self, wallet: Pubkey) -> Iterator[SpendCell]:
        """Return what was bought within a day before the newest buy, in the order of time."""
        known = self._wallets.get(wallet)
        if known is not None:
            for number in sorted(known.cells):
                yield known.cells[number]

    @staticmethod
    def _forget(known: _Wallet) -> None:
        """Drop cells that are a day older than the newest; one more than that, since a cell counts from its end."""
        oldest = next(iter(known.cells))
        while max(known.cells) - oldest > _DAY_CELLS:
            known.older += known.cells.pop(oldest).buys
            oldest = next(iter(known.cells))
