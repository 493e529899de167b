"""How much to buy or sell, and at what limit. *Pure:* no RPC call, no clock, no randomness."""

from msgspec import Struct

from slotzero.config import TradeSettings
from slotzero.trading.filters import Refusal
from slotzero.units import BPS, Lamports, TokenAmount
from slotzero.venues.market import Market
from slotzero.venues.records import Reserves

__all__ = ["BuyPlan", "SellPlan", "plan_buy", "plan_sell"]


class BuyPlan(Struct, frozen=True, kw_only=True):
    """Buy exactly `tokens` for at most `limit_lamports`; quoted at `quoted_lamports`, venue fees included."""

    tokens: TokenAmount
    quoted_lamports: Lamports
    limit_lamports: Lamports


class SellPlan(Struct, frozen=True, kw_only=True):
    """Sell exactly `tokens` for at least `limit_lamports`; quoted at `quoted_lamports`, venue fees taken off."""

    tokens: TokenAmount
    quoted_lamports: Lamports
    limit_lamports: Lamports


def plan_buy(
    market: Market, reserves: Reserves, settings: TradeSettings, budget: Lamports | None = None
) -> BuyPlan | Refusal:
    """Size a buy so that even at its slippage limit it spends no more than its budget. *Hot path.*

    The slippage is taken off the budget before the tokens are counted, not put on top of it.

    Args:
        market: Where.
        reserves: The pool's now.
        settings: The `[trade]` section.
        budget: The most to spend, venue fees included; None = `buy_lamports`.
    """
    if budget is None:
        budget = settings.buy_lamports
    expected = Lamports(budget * BPS // (BPS + settings.buy_slippage_bps))
    tokens = market.tokens_for_budget(reserves, expected)
    quote = market.quote_buy(reserves, tokens) if tokens > 0 else None
    if quote is None:
        return Refusal(reason="nothing_to_buy", detail=f"{expected} lamports buy not a single unit of the token")
    return BuyPlan(tokens=tokens, quoted_lamports=quote.total, limit_lamports=budget)


def plan_sell(market: Market, reserves: Reserves, tokens: TokenAmount, slippage_bps: int) -> SellPlan | Refusal:
    """Price a sell of `tokens` from the pool's current reserves. *Hot path.*

    Args:
        market: Where.
        reserves: The pool's now, not the entry's.
        tokens: How many.
        slippage_bps: How much less than quoted is accepted; 10,000 = any price.
    """
    quote = market.quote_sell(reserves, tokens) if tokens > 0 else None
    if quote is None:
        return Refusal(reason="nothing_to_sell", detail=f"the pool cannot pay for {tokens} units")
    limit = Lamports(quote.net * (BPS - slippage_bps) // BPS)
    return SellPlan(tokens=tokens, quoted_lamports=quote.net, limit_lamports=limit)
