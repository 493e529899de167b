"""The newest state of one pool, from its account's changes, from before the buy is sent."""

import logging
from collections.abc import Callable

from slotzero.errors import EndpointError, MalformedError
from slotzero.solana.account_watch import AccountUpdate
from slotzero.trading.context import TradingContext
from slotzero.trading.exit_rules import ExitSignal
from slotzero.units import MonoNs, Slot
from slotzero.venues.market import Market, PoolState

__all__ = ["PoolWatch"]

log = logging.getLogger(__name__)

OnState = Callable[[PoolState, Slot, MonoNs], None]


class PoolWatch:
    """Follows the account that holds a pool's state.

    Args:
        context: The run.
        market: Which pool.
    """

    def __init__(self, context: TradingContext, market: Market) -> None:
        self._context = context
        self._market = market
        self.state: PoolState | None = None
        self.slot = Slot(0)
        self.on_state: OnState | None = None
        """Called with each new state and the instant its frame was read."""
        self._on_signal: Callable[[ExitSignal], None] | None = None
        self._early: list[ExitSignal] = []
        """What was said of the position before there was anybody to keep it."""
        self._watch = context.reads.watch(market.state_account, "processed", self._on_update)

    def signal(self, signal: ExitSignal) -> None:
        """Say something of the position, to who keeps it or will keep it."""
        if self._on_signal is None:
            self._early.append(signal)
        else:
            self._on_signal(signal)

    def serve(self, on_state: OnState, on_signal: Callable[[ExitSignal], None]) -> None:
        """Tell `on_state` each new state from now on, and `on_signal` what is said and has been said."""
        self.on_state, self._on_signal = on_state, on_signal
        for signal in self._early:
            on_signal(signal)
        self._early.clear()

    def close(self) -> None:
        """End the subscription; what is said afterwards is for nobody."""
        self.on_state, self._on_signal = None, _nobody
        self._watch.cancel()

    async def read(self) -> None:
        """Read the state instead of waiting for its next change; an older one than is known counts for nothing.

        An endpoint that fails or lags leaves the state as it is. *Does I/O.*
        """
        try:
            reply = await self._context.rpc.accounts_at([self._market.state_account], "processed")
            (account,) = reply.value
            if account is not None and (self.state is None or reply.slot > self.slot):
                self._take(account.data, reply.slot, self._context.clock.mono_ns())
        except (EndpointError, MalformedError) as error:
            log.warning("the state of %s was not read: %s", self._market.pool.mint, error)

    def _on_update(self, update: AccountUpdate, now: MonoNs) -> None:
        if update.slot < self.slot:
            return  # overtaken by a read
        try:
            self._take(update.data, update.slot, now)
        except MalformedError as error:
            log.warning("the state of %s cannot be read: %s", self._market.pool.mint, error)

    def _take(self, data: bytes, slot: Slot, now: MonoNs) -> None:
        self.state, self.slot = self._market.decode_state(data), slot
        if self.on_state is not None:
            self.on_state(self.state, slot, now)


def _nobody(_signal: ExitSignal) -> None:
    pass
