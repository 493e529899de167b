"""What a trade on a pump.fun curve costs or brings, to the unit.

The curve is a constant product over virtual reserves. With V, T the virtual quote and token reserves before it:

* a buy of t tokens costs floor(V*t / (T-t)) + 1;
* a sell of t tokens brings floor(t*V / (T+t));
* each fee is its basis points of that amount, rounded up on its own; a buyer pays them on top, a seller out of it.

Source: the published formulas, and every captured trade from 2024-08 to 2026-10 except the mayhem agent's own trades,
which follow no published formula. On a cashback coin the rebate takes the place of the creator fee at the same rate.

A trade the program would refuse for what the curve holds is an expected outcome: the quote is None. An amount that is
not positive is a bug of the caller: ValueError.
"""

from typing import Final

from solders.pubkey import Pubkey

from slotzero.solana.addresses import WSOL_MINT
from slotzero.units import BPS, Lamports, TokenAmount
from slotzero.venues.pumpfun.accounts import FeeConfig, Fees, FeeTier
from slotzero.venues.records import BuyQuote, FeeRates, Reserves, SellQuote

__all__ = [
    "USDC_MINT",
    "buyback_share",
    "fee_rates",
    "market_cap",
    "quote_buy",
    "quote_buy_exact_in",
    "quote_sell",
    "reserves_after_buy",
    "reserves_after_sell",
    "tokens_for_budget",
]

USDC_MINT: Final = Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")


def quote_buy(reserves: Reserves, tokens: int, rates: FeeRates) -> BuyQuote | None:
    """Return what buying exactly `tokens` costs, or None when the curve has fewer left. *Pure.* *Hot path.*

    `total` is what `max_sol_cost` is compared with. Creating accounts and filling a creator vault up to its rent come
    on top and outside that limit.

    Raises:
        ValueError: `tokens` is not positive.
    """
    if tokens <= 0:
        raise ValueError(f"a buy takes a positive number of tokens, got {tokens}")
    if tokens > reserves.real_token or tokens >= reserves.virtual_token:
        return None
    return _bought(tokens, reserves.virtual_quote * tokens // (reserves.virtual_token - tokens) + 1, rates)


def quote_buy_exact_in(reserves: Reserves, quote_in: int, rates: FeeRates) -> BuyQuote | None:
    """Return what spending `quote_in` (fees included) buys, or None when that is nothing. *Pure.* *Hot path.*

    `total` never exceeds `quote_in`; it is less when the curve has fewer tokens left than the amount would buy.

    Raises:
        ValueError: `quote_in` is not positive.
    """
    if quote_in <= 0:
        raise ValueError(f"a buy spends a positive amount, got {quote_in}")
    net = quote_in * BPS // (BPS + rates.protocol_bps + rates.creator_bps)
    excess = net + _fee(net, rates.protocol_bps) + _fee(net, rates.creator_bps) - quote_in
    if excess > 0:  # both fees are rounded up: by 2 at most
        net -= excess
    if net <= 1:
        return None
    tokens = (net - 1) * reserves.virtual_token // (reserves.virtual_quote + net - 1)
    if tokens > reserves.real_token:
        return quote_buy(reserves, reserves.real_token, rates) if reserves.real_token else None
    return _bought(tokens, net, rates) if tokens else None


def quote_sell(reserves: Reserves, tokens: int, rates: FeeRates) -> SellQuote | None:
    """Return what selling `tokens` brings. *Pure.* *Hot path.*

    `net` is what `min_sol_output` is compared with. None when the curve does not hold that much, or when the fees,
    rounded up, exceed what a few tokens bring.

    Raises:
        ValueError: `tokens` is not positive.
    """
    if tokens <= 0:
        raise ValueError(f"a sell takes a positive number of tokens, got {tokens}")
    out = tokens * reserves.virtual_quote // (reserves.virtual_token + tokens)
    protocol_fee, creator_fee = _fee(out, rates.protocol_bps), _fee(out, rates.creator_bps)
    net = out - protocol_fee - creator_fee
    if out > reserves.real_quote or net < 0:
        return None
    return SellQuote(
        tokens=TokenAmount(tokens),
        out=Lamports(out),
        protocol_fee=Lamports(protocol_fee),
        creator_fee=Lamports(creator_fee),
        net=Lamports(net),
    )


def tokens_for_budget(reserves: Reserves, budget: int, rates: FeeRates) -> TokenAmount:
    """Return the most tokens whose total cost, fees included, is at most `budget`; 0 when none. *Pure.* *Hot path.*

    Raises:
        ValueError: `budget` is negative.
    """
    if budget < 0:
        raise ValueError(f"a budget is not negative, got {budget}")
    # The largest cost that leaves room for its fees: the exact fraction bounds it from above, rounding costs 2 at most.
    cost = budget * BPS // (BPS + rates.protocol_bps + rates.creator_bps)
    while cost > 0 and cost + _fee(cost, rates.protocol_bps) + _fee(cost, rates.creator_bps) > budget:
        cost -= 1
    if cost <= 0:
        return TokenAmount(0)
    # floor(V*t/(T-t)) + 1 <= cost  <=>  V*t < cost*(T-t)  <=>  t < cost*T/(V+cost)
    tokens = (cost * reserves.virtual_token - 1) // (reserves.virtual_quote + cost)
    return TokenAmount(min(tokens, reserves.real_token, reserves.virtual_token - 1))


def market_cap(reserves: Reserves, token_supply: int) -> int:
    """Return the market cap in the quote's smallest unit, as the fee program computes it. *Pure.*

    A curve that has moved to another venue has no reserves left: 0.
    """
    if not reserves.virtual_token:
        return 0
    return reserves.virtual_quote * token_supply // reserves.virtual_token


def fee_rates(
    config: FeeConfig,
    reserves: Reserves,
    token_supply: int,
    *,
    creator_fee_bps: int = 0,
    has_creator: bool = True,
    quote_mint: Pubkey | None = None,
) -> FeeRates:
    """Return the fees of the next trade on a curve. *Pure.* *Hot path.*

    Args:
        config: The curve program's FeeConfig.
        reserves: Before the trade.
        token_supply: The curve's own figure; a mayhem coin's stays 1e15 although twice that is minted.
        creator_fee_bps: The curve's; when not 0 it replaces the schedule's creator rate.
        has_creator: False on a 2024 curve, which charges no creator fee.
        quote_mint: The curve's; None means SOL.
    """
    fees = config.exotic
    if quote_mint is None or quote_mint == WSOL_MINT:
        fees = _tier_fees(config, config.tiers, reserves, token_supply)
    elif quote_mint == USDC_MINT:
        fees = _tier_fees(config, config.stable_tiers, reserves, token_supply)
    creator_bps = (creator_fee_bps or fees.creator_bps) if has_creator else 0
    return FeeRates(protocol_bps=fees.protocol_bps, creator_bps=creator_bps)


def buyback_share(protocol_fee: int, buyback_bps: int, *, is_mayhem: bool) -> int:
    """Return what of a trade's protocol fee goes to the buyback receiver. *Pure.*"""
    return 0 if is_mayhem else protocol_fee * buyback_bps // BPS


def reserves_after_buy(reserves: Reserves, tokens: int, cost: int) -> Reserves:
    """Return the reserves after a buy of `tokens` at `cost` (without fees). *Pure.*"""
    return Reserves(
        virtual_token=reserves.virtual_token - tokens,
        virtual_quote=reserves.virtual_quote + cost,
        real_token=reserves.real_token - tokens,
        real_quote=reserves.real_quote + cost,
    )


def reserves_after_sell(reserves: Reserves, tokens: int, out: int) -> Reserves:
    """Return the reserves after a sell of `tokens` for `out` (before fees). *Pure.*"""
    return reserves_after_buy(reserves, -tokens, -out)


def _fee(amount: int, bps: int) -> int:
    return -(-amount * bps // BPS)


def _bought(tokens: int, cost: int, rates: FeeRates) -> BuyQuote:
    protocol_fee, creator_fee = _fee(cost, rates.protocol_bps), _fee(cost, rates.creator_bps)
    return BuyQuote(
        tokens=TokenAmount(tokens),
        cost=Lamports(cost),
        protocol_fee=Lamports(protocol_fee),
        creator_fee=Lamports(creator_fee),
        total=Lamports(cost + protocol_fee + creator_fee),
    )


def _tier_fees(config: FeeConfig, tiers: tuple[FeeTier, ...], reserves: Reserves, token_supply: int) -> Fees:
    if not tiers:
        return config.flat
    if len(tiers) > 1:  # today's curve schedule has one tier: no market cap needed
        cap = market_cap(reserves, token_supply)
        for tier in reversed(tiers):
            if cap >= tier.market_cap_at_least:
                return tier.fees
    return tiers[0].fees
