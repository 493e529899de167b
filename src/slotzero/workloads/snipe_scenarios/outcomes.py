"""What became of each pool, from what the chain shows of the bot's wallet and what the bot says it refused.

A machine: trades and refusals in, ends out. A pool has ended well when the bot has sold everything it had bought of it.
A trap that is bought, at whatever time, makes one operation fail: the next one that ends.
"""

from collections import Counter
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

__all__ = ["Bought", "Ended", "PoolBook"]

_MOST_REMEMBERED: Final = 20_000


class Ended(Struct, frozen=True):
    """A pool's operation is over: `fault` is "" when it was bought and sold, else what went wrong."""

    mint: Pubkey
    fault: str = ""


class Bought(Struct, frozen=True):
    """The bot holds tokens of a pool for the first time."""

    mint: Pubkey


class _Pool:
    __slots__ = ("bought", "sold")

    def __init__(self) -> None:
        self.bought = self.sold = 0


class PoolBook:
    """The pools that are under way, and the traps that must not be bought."""

    def __init__(self) -> None:
        self._open: dict[Pubkey, _Pool] = {}
        self._traps: dict[Pubkey, bool] = {}
        """Whether it has been bought, oldest first."""
        self._strangers: dict[Pubkey, None] = {}
        """Bought, and not (or no longer) ours to know: a trap whose launch has not been answered yet, a late one, one
        that was given up before all of it was sold."""
        self._trap_buys_untold = 0
        self.traps_bought = 0
        self.late_buys = 0
        """Pools bought after their operation had been given up."""
        self._given_up: dict[Pubkey, None] = {}
        self.refused: Counter[str] = Counter()
        self.traps_refused: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        """Return how many pools have no end yet."""
        return len(self._open)

    def is_open(self, mint: Pubkey) -> bool:
        """Tell whether a pool has no end yet."""
        return mint in self._open

    def is_held(self, mint: Pubkey) -> bool:
        """Tell whether the bot may hold tokens of a pool or a trap."""
        return mint in self._open or mint in self._strangers or self._traps.get(mint, False)

    def pending(self) -> list[Pubkey]:
        """Return the pools that have not been bought yet."""
        return [mint for mint, pool in self._open.items() if not pool.bought]

    def launch(self, mint: Pubkey) -> None:
        """Take in an honest pool that is about to be created."""
        self._open[mint] = _Pool()

    def give_up(self, mint: Pubkey) -> None:
        """Forget a pool whose operation was ended from outside; does nothing when it has ended."""
        pool = self._open.pop(mint, None)
        if pool is not None:
            _remember(self._strangers if pool.bought else self._given_up, mint)

    def forget(self, mint: Pubkey) -> None:
        """Forget a pool or a trap that is on the chain no more."""
        self._traps.pop(mint, None)
        self._given_up.pop(mint, None)

    def launch_trap(self, mint: Pubkey) -> None:
        """Take in a trap that has been created."""
        self._traps[mint] = False
        if len(self._traps) > _MOST_REMEMBERED:
            del self._traps[next(iter(self._traps))]
        if mint in self._strangers:
            del self._strangers[mint]
            self._trap_bought(mint)

    def on_trade(self, mint: Pubkey, *, is_buy: bool, tokens: int) -> Bought | Ended | None:
        """Take in a trade of the bot's that the chain has confirmed."""
        pool = self._open.get(mint)
        if pool is None:
            if is_buy:
                self._foreign_buy(mint)
            return None
        if is_buy:
            is_first = not pool.bought
            pool.bought += tokens
            return Bought(mint) if is_first else None
        pool.sold += tokens
        return self._end(mint, "") if 0 < pool.bought <= pool.sold else None

    def on_failed_buy(self, mint: Pubkey) -> Ended | None:
        """Take in a transaction of the bot's that landed and failed before it held anything of the pool."""
        pool = self._open.get(mint)
        return None if pool is None or pool.bought else self._end(mint, "buy_failed")

    def on_refusal(self, mint: Pubkey, reason: str) -> Ended | None:
        """Take in that the bot has refused a pool."""
        if mint in self._open:
            self.refused[reason] += 1
            return self._end(mint, f"refused:{reason}")
        self.traps_refused[reason] += 1
        return None

    def _end(self, mint: Pubkey, fault: str) -> Ended:
        del self._open[mint]
        if not fault and self._trap_buys_untold:
            self._trap_buys_untold -= 1
            fault = "trap_bought"
        return Ended(mint, fault)

    def _foreign_buy(self, mint: Pubkey) -> None:
        if mint in self._traps:
            self._trap_bought(mint)
        elif mint in self._given_up:
            del self._given_up[mint]
            _remember(self._strangers, mint)
            self.late_buys += 1
        else:
            _remember(self._strangers, mint)

    def _trap_bought(self, mint: Pubkey) -> None:
        if not self._traps[mint]:
            self._traps[mint] = True
            self.traps_bought += 1
            self._trap_buys_untold += 1


def _remember(mints: dict[Pubkey, None], mint: Pubkey) -> None:
    mints[mint] = None
    if len(mints) > _MOST_REMEMBERED:
        del mints[next(iter(mints))]
