"""What holds of every quote, whatever the reserves: the curve never loses, limits are exact, rounding is one way."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from slotzero.venues.pumpfun import (
    quote_buy,
    quote_buy_exact_in,
    quote_sell,
    reserves_after_buy,
    reserves_after_sell,
    tokens_for_budget,
)
from slotzero.venues.records import FeeRates, Reserves

RATES = st.builds(FeeRates, protocol_bps=st.integers(0, 500), creator_bps=st.integers(0, 500))
LAUNCH_QUOTE, LAUNCH_TOKEN, UNSOLD = 30_000_000_000, 1_073_000_000_000_000, 279_900_000_000_000


@st.composite
def curves(draw: st.DrawFn) -> Reserves:
    """A curve as trades leave it: from a launch of any size, part of its tokens sold."""
    scale = draw(st.integers(1, 1_000_000))
    virtual_token = draw(st.integers(UNSOLD + 1, LAUNCH_TOKEN))
    virtual_quote = LAUNCH_QUOTE * scale // 1_000 * LAUNCH_TOKEN // virtual_token + 1
    return Reserves(
        virtual_token=virtual_token,
        virtual_quote=virtual_quote,
        real_token=virtual_token - UNSOLD,
        real_quote=max(virtual_quote - LAUNCH_QUOTE * scale // 1_000, 0),
    )


def product(reserves: Reserves) -> int:
    return reserves.virtual_quote * reserves.virtual_token


def fee(amount: int, bps: int) -> int:
    return -(-amount * bps // 10_000)


@given(reserves=curves(), rates=RATES, share=st.integers(1, 10**9))
def test_buy_never_shrinks_the_product_and_never_overcharges_by_more_than_a_unit(
    reserves: Reserves, rates: FeeRates, share: int
) -> None:
    tokens = max(reserves.real_token * share // 10**9, 1)
    quote = quote_buy(reserves, tokens, rates)
    assert quote is not None
    assert product(reserves_after_buy(reserves, tokens, quote.cost)) >= product(reserves)
    exact = Fraction(reserves.virtual_quote * tokens, reserves.virtual_token - tokens)
    assert exact < quote.cost <= exact + 1
    assert (quote.protocol_fee, quote.creator_fee) == (
        fee(quote.cost, rates.protocol_bps),
        fee(quote.cost, rates.creator_bps),
    )
    assert quote.total == quote.cost + quote.protocol_fee + quote.creator_fee


@given(reserves=curves(), rates=RATES, tokens=st.integers(1, 10**15))
def test_sell_never_shrinks_the_product_and_pays_at_most_the_exact_amount(
    reserves: Reserves, rates: FeeRates, tokens: int
) -> None:
    quote = quote_sell(reserves, tokens, rates)
    if quote is None:
        out = tokens * reserves.virtual_quote // (reserves.virtual_token + tokens)
        assert out > reserves.real_quote or fee(out, rates.protocol_bps) + fee(out, rates.creator_bps) > out
        return
    assert product(reserves_after_sell(reserves, tokens, quote.out)) >= product(reserves)
    assert 0 <= quote.net == quote.out - quote.protocol_fee - quote.creator_fee


@given(reserves=curves(), rates=RATES, share=st.integers(1, 10**9))
def test_buying_and_selling_back_never_gains(reserves: Reserves, rates: FeeRates, share: int) -> None:
    tokens = max(reserves.real_token * share // 10**9, 1)
    bought = quote_buy(reserves, tokens, rates)
    assert bought is not None
    sold = quote_sell(reserves_after_buy(reserves, tokens, bought.cost), tokens, rates)
    assert sold is None or sold.net < bought.total


@given(reserves=curves(), rates=RATES, budget=st.integers(0, 10**13))
def test_budget_buys_the_most_that_fits(reserves: Reserves, rates: FeeRates, budget: int) -> None:
    tokens = tokens_for_budget(reserves, budget, rates)
    if tokens:
        fits = quote_buy(reserves, tokens, rates)
        assert fits is not None
        assert fits.total <= budget
    more = quote_buy(reserves, tokens + 1, rates)
    assert more is None or more.total > budget
    assert (more is None) is (tokens == reserves.real_token)


@given(reserves=curves(), rates=RATES, quote_in=st.integers(1, 10**13))
def test_exact_in_never_costs_more_than_it_was_given(reserves: Reserves, rates: FeeRates, quote_in: int) -> None:
    quote = quote_buy_exact_in(reserves, quote_in, rates)
    if quote is None:
        return
    assert quote.total <= quote_in
    assert 0 < quote.tokens <= reserves.real_token
    assert product(reserves_after_buy(reserves, quote.tokens, quote.cost)) >= product(reserves)
    if quote.tokens < reserves.real_token:
        assert quote_in - quote.total <= 2  # what rounding both fees up can leave over
        by_amount = quote_buy(reserves, quote.tokens, rates)
        assert by_amount is not None
        assert by_amount.cost <= quote.cost


@given(reserves=curves(), rates=RATES, tokens=st.integers(1, 10**15))
def test_more_tokens_never_cost_less(reserves: Reserves, rates: FeeRates, tokens: int) -> None:
    fewer, more = quote_buy(reserves, tokens, rates), quote_buy(reserves, tokens + 1, rates)
    assert fewer is not None or more is None
    if fewer is not None and more is not None:
        assert fewer.total <= more.total
