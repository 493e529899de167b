"""When a position is sold: a pure machine fed with the pool's state and the time."""

from typing import Literal

from msgspec import Struct

from slotzero.clock import add_ms, is_due
from slotzero.config import ExitsSettings
from slotzero.units import BPS, Lamports, MonoNs, TokenAmount
from slotzero.venues.market import Market, PoolState

__all__ = ["ExitReason", "Holding", "Valuation"]

ExitReason = Literal["take_profit", "stop_loss", "max_hold", "honeypot", "drain", "graduated"]
"""Why a position is sold; "honeypot" = the verdict came after the buy, "drain" = the run is ending.

"graduated" never comes from a rule: the curve has been completed, and the keeper gives the position up instead.
"""


class Valuation(Struct, frozen=True, kw_only=True):
    """What the position would bring now, venue fees taken off; None when the pool cannot pay for it."""

    value_lamports: Lamports | None
    exit: ExitReason | None


class Holding:
    """One open position as its exit rules see it.

    Args:
        market: Where it is sold.
        tokens: How many are held.
        quoted_lamports: What they were quoted at when bought: take profit and stop loss are measured from it.
        opened_at: When the buy was confirmed.
        rules: The `[exits]` section.
    """

    def __init__(
        self,
        market: Market,
        *,
        tokens: TokenAmount,
        quoted_lamports: Lamports,
        opened_at: MonoNs,
        rules: ExitsSettings,
    ) -> None:
        self.market = market
        self.tokens = tokens
        self._quoted = quoted_lamports
        self._take_profit_at = quoted_lamports * (BPS + rules.take_profit_bps) // BPS
        self._stop_loss_at = quoted_lamports * (BPS - rules.stop_loss_bps) // BPS
        self.deadline = add_ms(opened_at, rules.max_hold_ms)
        """When it is too old to be kept."""
        self.state: PoolState | None = None
        """The pool's newest state, or None before the first."""

    def on_state(self, state: PoolState, now: MonoNs) -> Valuation:
        """Value the position anew and apply the rules. *Hot path.*"""
        self.state = state
        return self.evaluate(now)

    def evaluate(self, now: MonoNs) -> Valuation:
        """Apply the rules at `now` to the newest state."""
        value = self.value_lamports
        reason: ExitReason | None = None
        if self.state is not None and self.state.is_complete:
            reason = None  # nothing trades there any more; the position is kept until it can be sold elsewhere
        elif value is not None and value >= self._take_profit_at:
            reason = "take_profit"
        elif value is not None and value <= self._stop_loss_at:
            reason = "stop_loss"
        elif is_due(self.deadline, now):
            reason = "max_hold"
        return Valuation(value_lamports=value, exit=reason)

    @property
    def value_lamports(self) -> Lamports | None:
        """What the position would bring now, venue fees taken off; None when that is not known."""
        if self.state is None or self.tokens <= 0:
            return None
        quote = self.market.quote_sell(self.state.reserves, self.tokens)
        return None if quote is None else quote.net
