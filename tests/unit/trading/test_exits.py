"""The exit rules: what the position would bring, and which rule fires at which lamport and instant."""

from typing import cast

import pytest
from msgspec import Struct

from slotzero.config import ExitsSettings
from slotzero.trading.exits import Holding
from slotzero.units import BasisPoints, Lamports, MonoNs, TokenAmount
from slotzero.venues.market import Market, PoolState
from slotzero.venues.records import Reserves
from trading_lab import LAUNCH, moved, pump_pool, pump_trader

RULES = ExitsSettings(take_profit_bps=2_500, stop_loss_bps=BasisPoints(2_000), max_hold_ms=8)
OPENED = 1_000_000
DEADLINE = OPENED + 8_000_000


class Quote(Struct, frozen=True):
    net: int


class PaperMarket:
    """Pays what its pool's real quote reserve says, and nothing at 0."""

    def quote_sell(self, reserves: Reserves, tokens: int) -> Quote | None:
        assert tokens == 5
        return Quote(reserves.real_quote) if reserves.real_quote else None


def holding(*, quoted: int = 1_000, tokens: int = 5, rules: ExitsSettings = RULES) -> Holding:
    return Holding(
        cast("Market", PaperMarket()),
        tokens=TokenAmount(tokens),
        quoted_lamports=Lamports(quoted),
        opened_at=MonoNs(OPENED),
        rules=rules,
    )


def worth(value: int, *, is_complete: bool = False) -> PoolState:
    return PoolState(
        reserves=Reserves(virtual_token=1, virtual_quote=1, real_token=1, real_quote=value), is_complete=is_complete
    )


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1_249, None),
        (1_250, "take_profit"),
        (10**18, "take_profit"),
        (801, None),
        (800, "stop_loss"),
        (1, "stop_loss"),
        (1_000, None),
    ],
)
def test_value_fires_its_rule_from_its_boundary_on(value: int, reason: str | None) -> None:
    valuation = holding().on_state(worth(value), MonoNs(OPENED))
    assert (valuation.value_lamports, valuation.exit) == (value, reason)


@pytest.mark.parametrize(("now", "reason"), [(DEADLINE - 1, None), (DEADLINE, "max_hold"), (DEADLINE + 1, "max_hold")])
def test_age_fires_at_its_deadline(now: int, reason: str | None) -> None:
    it = holding()
    assert it.deadline == DEADLINE
    assert it.on_state(worth(1_000), MonoNs(now)).exit == reason


def test_price_comes_before_age() -> None:
    assert holding().on_state(worth(2_000), MonoNs(DEADLINE)).exit == "take_profit"
    assert holding().on_state(worth(1), MonoNs(DEADLINE)).exit == "stop_loss"


def test_complete_curve_never_fires_whatever_it_is_worth_and_however_old() -> None:
    for value in (0, 1, 1_000, 10**18):
        assert holding().on_state(worth(value, is_complete=True), MonoNs(DEADLINE + 1)).exit is None


def test_without_a_state_only_age_fires() -> None:
    it = holding()
    assert it.value_lamports is None
    assert it.evaluate(MonoNs(DEADLINE - 1)).exit is None
    assert it.evaluate(MonoNs(DEADLINE)).exit == "max_hold"


def test_pool_that_cannot_pay_has_no_value_and_is_left_at_the_end_of_the_hold() -> None:
    it = holding()
    assert it.on_state(worth(0), MonoNs(OPENED)) == it.evaluate(MonoNs(OPENED))
    assert it.evaluate(MonoNs(OPENED)).exit is None
    assert it.value_lamports is None
    assert it.evaluate(MonoNs(DEADLINE)).exit == "max_hold"


def test_position_without_tokens_asks_the_market_nothing() -> None:
    assert holding(tokens=0).on_state(worth(1_000), MonoNs(OPENED)).value_lamports is None


def test_rules_are_applied_to_the_newest_state() -> None:
    it = holding()
    assert it.on_state(worth(2_000), MonoNs(OPENED)).exit == "take_profit"
    assert it.on_state(worth(1_000), MonoNs(OPENED)).exit is None
    assert it.evaluate(MonoNs(OPENED)).exit is None


def test_on_a_real_curve_a_fresh_buy_fires_nothing_and_rivals_move_it_either_way() -> None:
    market = pump_trader().market(pump_pool())
    tokens = market.tokens_for_budget(LAUNCH, Lamports(100_000_000))
    quote = market.quote_buy(LAUNCH, tokens)
    assert quote is not None
    after = moved(LAUNCH, quote.cost)
    it = Holding(market, tokens=tokens, quoted_lamports=quote.total, opened_at=MonoNs(OPENED), rules=ExitsSettings())

    def reason(lamports: int) -> str | None:
        state = PoolState(reserves=moved(after, lamports), is_complete=False)
        return it.on_state(state, MonoNs(OPENED)).exit

    assert reason(0) is None
    assert reason(10_000_000_000) == "take_profit"
    assert reason(-quote.cost) is None
