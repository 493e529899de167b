"""Sizing: whatever the reserves, a buy never costs more than its budget; a sell asks for at most its quote."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from slotzero.config import TradeSettings
from slotzero.trading.filters import Refusal
from slotzero.trading.plan import BuyPlan, SellPlan, plan_buy, plan_sell
from slotzero.units import BasisPoints, Lamports, TokenAmount
from slotzero.venues.records import Reserves
from trading_lab import LAUNCH, moved, pump_pool, pump_trader

MARKET = pump_trader().market(pump_pool())
all_reserves = st.builds(
    lambda token, quote, left, paid: Reserves(
        virtual_token=token, virtual_quote=quote, real_token=min(left, token), real_quote=min(paid, quote)
    ),
    st.integers(1, 2 * 10**15),
    st.integers(1, 10**13),
    st.integers(0, 10**15),
    st.integers(0, 10**13),
)


def trade(buy: int = 100_000_000, slippage: int = 500) -> TradeSettings:
    return TradeSettings(buy_lamports=Lamports(buy), buy_slippage_bps=BasisPoints(slippage))


def test_buy_leaves_its_slippage_below_the_budget() -> None:
    plan = plan_buy(MARKET, LAUNCH, trade(105_000_000, 500))
    assert isinstance(plan, BuyPlan)
    assert plan.limit_lamports == 105_000_000
    assert 99_999_000 < plan.quoted_lamports <= 100_000_000


def test_buy_without_slippage_spends_its_budget() -> None:
    plan = plan_buy(MARKET, LAUNCH, trade(100_000_000, 0))
    assert isinstance(plan, BuyPlan)
    assert plan.quoted_lamports <= plan.limit_lamports == 100_000_000


def test_empty_curve_has_nothing_to_buy() -> None:
    empty = Reserves(virtual_token=10**14, virtual_quote=10**12, real_token=0, real_quote=10**11)
    plan = plan_buy(MARKET, empty, trade())
    assert isinstance(plan, Refusal)
    assert plan.reason == "nothing_to_buy"


@given(all_reserves, st.integers(1_000_000, 10**11), st.integers(0, 9_999))
def test_buy_never_costs_more_than_its_budget_and_its_slippage_is_inside(
    reserves: Reserves, budget: int, slippage: int
) -> None:
    plan = plan_buy(MARKET, reserves, trade(budget, slippage))
    assume(isinstance(plan, BuyPlan))
    assert isinstance(plan, BuyPlan)
    assert plan.limit_lamports == budget
    quote = MARKET.quote_buy(reserves, plan.tokens)
    assert quote is not None
    assert quote.total == plan.quoted_lamports
    # Even when the price has moved by the whole slippage, the same tokens cost no more than the budget.
    assert plan.quoted_lamports * (10_000 + slippage) <= budget * 10_000
    assert 0 < plan.tokens <= reserves.real_token


@given(all_reserves, st.integers(1, 10**14), st.integers(0, 10_000))
def test_sell_asks_for_no_more_than_its_quote_and_loses_no_more_than_its_slippage(
    reserves: Reserves, tokens: int, slippage: int
) -> None:
    plan = plan_sell(MARKET, reserves, TokenAmount(tokens), slippage)
    quote = MARKET.quote_sell(reserves, TokenAmount(tokens))
    if quote is None:
        assert isinstance(plan, Refusal)
        return
    assert isinstance(plan, SellPlan)
    assert (plan.tokens, plan.quoted_lamports) == (tokens, quote.net)
    assert 0 <= plan.limit_lamports <= quote.net
    assert quote.net * (10_000 - slippage) - 10_000 < plan.limit_lamports * 10_000


@pytest.mark.parametrize(("slippage", "share"), [(0, 10_000), (1_500, 8_500), (10_000, 0)])
def test_sell_limit_is_the_quote_less_the_slippage(slippage: int, share: int) -> None:
    plan = plan_sell(MARKET, moved(LAUNCH, 10**9), TokenAmount(10**12), slippage)
    assert isinstance(plan, SellPlan)
    assert plan.limit_lamports == plan.quoted_lamports * share // 10_000


@pytest.mark.parametrize("tokens", [0, 10**15])
def test_nothing_to_sell_or_a_pool_that_cannot_pay_is_refused(tokens: int) -> None:
    plan = plan_sell(MARKET, LAUNCH, TokenAmount(tokens), 0)
    assert isinstance(plan, Refusal)
    assert plan.reason == "nothing_to_sell"
