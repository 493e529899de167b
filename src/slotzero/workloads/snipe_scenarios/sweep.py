"""Takes coins off the chain again some time after they are over: a load's own test data must not grow without end.

An hour of 55 pools a second leaves 200,000 of them, in 1.7 GB of accounts and of the indexes over them. Nobody looks at
one ten seconds after its end; what is still held then stays where it is.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, add_ms, is_due
from slotzero.errors import SlotzeroError
from slotzero.units import MonoNs
from slotzero.workloads.snipe_scenarios.line import ChainLines

__all__ = ["Sweeper"]

log = logging.getLogger(__name__)

_KEYS_PER_CALL: Final = 24
"""Four coins with three rivals each: some 0.3 ms of the chain's time."""
_MOST_WAITING: Final = 20_000
"""Coins; what is over beyond that stays on the chain."""


class _Over(Struct, frozen=True, gc=False):
    due: MonoNs
    mint: Pubkey
    accounts: Callable[[], tuple[Pubkey, ...]]


class Sweeper:
    """The coins that are over, and their removal.

    Args:
        lines: To the chain.
        clock: Time.
        after_s: How long after its end a coin goes; 0 = never.
        is_held: Tells whether the bot may still hold tokens of a coin: then it stays.
        on_swept: Told each coin that is gone.

    Attributes:
        swept: Coins that were removed.
        not_swept: Coins that stay: held, one too many, or not removed when asked for.
    """

    def __init__(
        self,
        lines: ChainLines,
        clock: Clock,
        *,
        after_s: float,
        is_held: Callable[[Pubkey], bool],
        on_swept: Callable[[Pubkey], None],
    ) -> None:
        self._lines = lines
        self._clock = clock
        self._after_ms = round(after_s * 1_000)
        self._is_held = is_held
        self._on_swept = on_swept
        self._over: deque[_Over] = deque()
        self.swept = self.not_swept = 0

    def add(self, mint: Pubkey, accounts: Callable[[], tuple[Pubkey, ...]]) -> None:
        """Take in a coin that is over.

        Args:
            mint: The coin.
            accounts: Returns what to remove; called when it is time, for the derivations take some 50 us.
        """
        if not self._after_ms:
            return
        if len(self._over) >= _MOST_WAITING:
            self.not_swept += 1
            return
        self._over.append(_Over(add_ms(self._clock.mono_ns(), self._after_ms), mint, accounts))

    async def sweep(self) -> None:
        """Remove what is due by now, a few coins in each call and one call after the other. *Does I/O.*"""
        now = self._clock.mono_ns()
        while True:
            coins, keys = self._next(now)
            if not coins:
                return
            try:
                await self._lines.ask(int, "slotzero_removeAccounts", keys)
            except SlotzeroError as error:
                self.not_swept += len(coins)
                log.info("%d coins stay on the chain: %s", len(coins), error)
            else:
                self.swept += len(coins)
                for mint in coins:
                    self._on_swept(mint)

    def _next(self, now: MonoNs) -> tuple[list[Pubkey], list[str]]:
        coins, keys = list[Pubkey](), list[str]()
        while self._over and is_due(self._over[0].due, now) and len(keys) < _KEYS_PER_CALL:
            over = self._over.popleft()
            if self._is_held(over.mint):
                self.not_swept += 1
            else:
                coins.append(over.mint)
                keys += [str(key) for key in over.accounts()]
        return coins, keys
