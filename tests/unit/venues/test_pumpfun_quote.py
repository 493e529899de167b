"""Quotes by hand-worked figures; invariants are in the property tests, real trades in the integration tests."""

import pytest

from slotzero.solana.addresses import WSOL_MINT
from slotzero.venues.pumpfun import (
    FeeConfig,
    Fees,
    FeeTier,
    buyback_share,
    fee_rates,
    market_cap,
    quote_buy,
    quote_buy_exact_in,
    quote_sell,
    reserves_after_buy,
    reserves_after_sell,
    tokens_for_budget,
)
from slotzero.venues.pumpfun.addresses import PUMP_PROGRAM
from slotzero.venues.pumpfun.quote import USDC_MINT
from slotzero.venues.records import FeeRates, Reserves

LAUNCH = Reserves(
    virtual_token=1_073_000_000_000_000, virtual_quote=30_000_000_000, real_token=793_100_000_000_000, real_quote=0
)
RATES = FeeRates(protocol_bps=95, creator_bps=30)
SOL = 1_000_000_000


def test_whole_fresh_curve_costs_its_known_price() -> None:
    quote = quote_buy(LAUNCH, LAUNCH.real_token, RATES)
    assert quote is not None
    assert quote.cost == 85_005_359_057
    assert (quote.protocol_fee, quote.creator_fee) == (807_550_912, 255_016_078)
    assert quote.total == quote.cost + quote.protocol_fee + quote.creator_fee


def test_exact_in_gives_the_known_net() -> None:
    quote = quote_buy_exact_in(LAUNCH, 3 * SOL, RATES)
    assert quote is not None
    assert (quote.cost, quote.protocol_fee, quote.creator_fee) == (2_962_962_962, 28_148_149, 8_888_889)
    assert quote.total == 3 * SOL
    assert quote.tokens == 96_449_438_144_093


def test_buy_of_more_than_is_left_has_no_quote() -> None:
    assert quote_buy(LAUNCH, LAUNCH.real_token + 1, RATES) is None
    odd = Reserves(virtual_token=10, virtual_quote=10, real_token=10, real_quote=0)
    assert quote_buy(odd, 10, RATES) is None


def test_exact_in_past_the_end_takes_what_is_left_and_costs_less() -> None:
    quote = quote_buy_exact_in(LAUNCH, 1000 * SOL, RATES)
    assert quote == quote_buy(LAUNCH, LAUNCH.real_token, RATES)
    empty = Reserves(virtual_token=10**15, virtual_quote=10**11, real_token=0, real_quote=0)
    assert quote_buy_exact_in(empty, SOL, RATES) is None


def test_exact_in_of_next_to_nothing_has_no_quote() -> None:
    assert quote_buy_exact_in(LAUNCH, 1, RATES) is None
    assert quote_buy_exact_in(LAUNCH, 2, RATES) is None


def test_sell_takes_its_fees_out_of_what_it_brings() -> None:
    after = reserves_after_buy(LAUNCH, 10**13, 282_220_132)
    quote = quote_sell(after, 10**13, RATES)
    assert quote is not None
    assert quote.out == 282_220_131  # one less than it cost: the curve keeps the rounding
    assert (quote.protocol_fee, quote.creator_fee) == (2_681_092, 846_661)
    assert quote.net == quote.out - quote.protocol_fee - quote.creator_fee


def test_sell_the_curve_cannot_pay_has_no_quote() -> None:
    assert quote_sell(LAUNCH, 10**12, RATES) is None


def test_sell_of_dust_has_no_quote_where_fees_exceed_it() -> None:
    after = reserves_after_buy(LAUNCH, 10**13, 282_220_132)
    one_lamport = after.virtual_token // after.virtual_quote + 2
    assert quote_sell(after, one_lamport, RATES) is None
    nothing = quote_sell(after, 1, RATES)
    assert nothing is not None
    assert nothing.net == 0


@pytest.mark.parametrize("amount", [0, -1])
def test_amount_that_is_not_positive_is_a_bug(amount: int) -> None:
    for quote in (quote_buy, quote_buy_exact_in, quote_sell):
        with pytest.raises(ValueError, match="positive"):
            quote(LAUNCH, amount, RATES)


def test_budget_buys_the_most_it_can() -> None:
    tokens = tokens_for_budget(LAUNCH, SOL, RATES)
    fits, too_many = quote_buy(LAUNCH, tokens, RATES), quote_buy(LAUNCH, tokens + 1, RATES)
    assert fits is not None
    assert too_many is not None
    assert fits.total <= SOL < too_many.total
    assert tokens_for_budget(LAUNCH, 10**15, RATES) == LAUNCH.real_token
    assert tokens_for_budget(LAUNCH, 0, RATES) == 0
    assert tokens_for_budget(LAUNCH, 2, RATES) == 0
    with pytest.raises(ValueError, match="not negative"):
        tokens_for_budget(LAUNCH, -1, RATES)


def test_reserves_after_a_buy_and_its_sell_are_the_same() -> None:
    assert reserves_after_sell(reserves_after_buy(LAUNCH, 7, 5), 7, 5) == LAUNCH


def test_market_cap_of_a_launch_is_28_sol() -> None:
    assert market_cap(LAUNCH, 10**15) == 27_958_993_476


def tier(market_cap_at_least: int, protocol_bps: int) -> FeeTier:
    return FeeTier(
        market_cap_at_least=market_cap_at_least, fees=Fees(lp_bps=0, protocol_bps=protocol_bps, creator_bps=30)
    )


CONFIG = FeeConfig(
    flat=Fees(lp_bps=0, protocol_bps=1, creator_bps=2),
    tiers=(tier(20 * SOL, 95), tier(28 * SOL, 50), tier(500 * SOL, 5)),
    stable_tiers=(tier(0, 70),),
    exotic=Fees(lp_bps=0, protocol_bps=3, creator_bps=4),
)


@pytest.mark.parametrize(
    ("virtual_quote", "protocol_bps"),
    [(1 * SOL, 95), (30 * SOL, 95), (31 * SOL, 50), (600 * SOL, 5)],
)
def test_tier_is_the_last_one_reached_and_the_first_below_all(virtual_quote: int, protocol_bps: int) -> None:
    reserves = Reserves(virtual_token=LAUNCH.virtual_token, virtual_quote=virtual_quote, real_token=1, real_quote=0)
    assert fee_rates(CONFIG, reserves, 10**15).protocol_bps == protocol_bps


def test_curve_without_reserves_has_a_tier_and_no_quote() -> None:
    gone = Reserves(virtual_token=0, virtual_quote=0, real_token=0, real_quote=0)
    rates = fee_rates(CONFIG, gone, 10**15)
    assert rates.protocol_bps == 95
    assert tokens_for_budget(gone, 10**9, rates) <= 0
    assert quote_buy(gone, 1, rates) is None


def test_quote_mint_chooses_the_schedule() -> None:
    assert fee_rates(CONFIG, LAUNCH, 10**15, quote_mint=WSOL_MINT).protocol_bps == 95
    assert fee_rates(CONFIG, LAUNCH, 10**15, quote_mint=USDC_MINT).protocol_bps == 70
    assert fee_rates(CONFIG, LAUNCH, 10**15, quote_mint=PUMP_PROGRAM) == FeeRates(protocol_bps=3, creator_bps=4)
    empty = FeeConfig(flat=CONFIG.flat, tiers=(), stable_tiers=(), exotic=CONFIG.exotic)
    assert fee_rates(empty, LAUNCH, 10**15).protocol_bps == 1


def test_creators_own_rate_replaces_the_schedules() -> None:
    assert fee_rates(CONFIG, LAUNCH, 10**15, creator_fee_bps=250) == FeeRates(protocol_bps=95, creator_bps=250)
    assert fee_rates(CONFIG, LAUNCH, 10**15, creator_fee_bps=250, has_creator=False).creator_bps == 0


def test_buyback_share_is_rounded_down_and_nothing_on_mayhem_coins() -> None:
    assert buyback_share(23_223, 5_000, is_mayhem=False) == 11_611
    assert buyback_share(23_223, 5_000, is_mayhem=True) == 0
