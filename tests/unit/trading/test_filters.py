"""The filters: each reason at its boundary, and the first one that applies is told."""

import pytest

from slotzero.config import FiltersSettings
from slotzero.trading.filters import Filters, Refusal
from slotzero.units import BasisPoints, Lamports
from slotzero.venues.records import NewPool, Reserves
from trading_lab import LAUNCH, key, pump_pool

SUPPLY = 10**15


def holding(lamports: int) -> Reserves:
    return Reserves(
        virtual_token=LAUNCH.virtual_token, virtual_quote=1, real_token=LAUNCH.real_token, real_quote=lamports
    )


def reason(pool: NewPool, settings: FiltersSettings) -> str | None:
    refusal = Filters(settings).decide(pool)
    if refusal is None:
        return None
    assert isinstance(refusal, Refusal)
    assert refusal.detail
    return refusal.reason


def test_honest_coin_passes_the_defaults() -> None:
    assert reason(pump_pool(), FiltersSettings()) is None


@pytest.mark.parametrize(
    ("refused", "passed", "settings", "expected"),
    [
        (pump_pool(quote_mint=key(9)), pump_pool(), FiltersSettings(), "quote_mint"),
        (pump_pool(is_mayhem=True), pump_pool(), FiltersSettings(), "mayhem"),
        (pump_pool(is_cashback=True), pump_pool(), FiltersSettings(allow_cashback=False), "cashback"),
        (
            pump_pool(reserves=holding(999)),
            pump_pool(reserves=holding(1_000)),
            FiltersSettings(min_liquidity_lamports=Lamports(1_000)),
            "low_liquidity",
        ),
        (
            pump_pool(creator_fee_bps=301),
            pump_pool(creator_fee_bps=300),
            FiltersSettings(max_creator_fee_bps=BasisPoints(300)),
            "creator_fee",
        ),
        (
            pump_pool(creator_bought=SUPPLY // 5 + 1),
            pump_pool(creator_bought=SUPPLY // 5),
            FiltersSettings(max_creator_bought_bps=BasisPoints(2_000)),
            "creator_bought",
        ),
        (
            pump_pool(symbol="DoGe"),
            pump_pool(symbol="DOGE2"),
            FiltersSettings(deny_symbols=("dOgE",)),
            "denied_symbol",
        ),
        (
            pump_pool(creator=key(66)),
            pump_pool(creator=key(67)),
            FiltersSettings(deny_creators=(str(key(66)),)),
            "denied_creator",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pool_is_refused_beyond_the_boundary_and_passes_at_it(
    refused: NewPool, passed: NewPool, settings: FiltersSettings, expected: str
) -> None:
    assert reason(refused, settings) == expected
    assert reason(passed, settings) is None


@pytest.mark.parametrize(
    ("pool", "settings"),
    [
        (pump_pool(is_mayhem=True), FiltersSettings(allow_mayhem=True)),
        (pump_pool(is_cashback=True), FiltersSettings()),
        (pump_pool(creator_bought=SUPPLY), FiltersSettings(max_creator_bought_bps=BasisPoints(10_000))),
    ],
)
def test_what_is_allowed_passes(pool: NewPool, settings: FiltersSettings) -> None:
    assert reason(pool, settings) is None


def test_share_of_a_supply_of_nothing_is_too_much() -> None:
    assert reason(pump_pool(creator_bought=1, token_supply=0), FiltersSettings()) == "creator_bought"


def test_symbol_is_shown_without_what_a_terminal_acts_on() -> None:
    refusal = Filters(FiltersSettings(deny_symbols=("\x1b[2J",))).decide(pump_pool(symbol="\x1b[2J"))
    assert refusal is not None
    assert refusal.detail.isprintable()


def test_first_reason_in_a_fixed_order_is_told() -> None:
    pool = pump_pool(quote_mint=key(9), is_mayhem=True, creator_fee_bps=9_999)
    assert reason(pool, FiltersSettings()) == "quote_mint"
