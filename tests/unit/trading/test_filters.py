"""The filters: each reason at its boundary, and the first one that applies is told."""

from pathlib import Path

import pytest

from slotzero.config import FiltersSettings
from slotzero.errors import UsageError
from slotzero.trading.filters import Filters, Refusal, load_hook, market_cap_lamports
from slotzero.units import BasisPoints, Lamports, MonoNs
from slotzero.venues.records import NewPool, Reserves
from trading_lab import LAUNCH, key, pump_pool

SUPPLY = 10**15
CAP = SUPPLY * LAUNCH.virtual_quote // LAUNCH.virtual_token
FRAME = 950_000_000
"""When the frame of a `pump_pool` was read."""


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
            pump_pool(reserves=holding(1_001)),
            pump_pool(reserves=holding(1_000)),
            FiltersSettings(max_liquidity_lamports=Lamports(1_000)),
            "high_liquidity",
        ),
        (
            pump_pool(token_supply=SUPPLY - 2 * 10**12),
            pump_pool(),
            FiltersSettings(min_market_cap_lamports=Lamports(CAP)),
            "low_market_cap",
        ),
        (
            pump_pool(token_supply=SUPPLY + 2 * 10**12),
            pump_pool(),
            FiltersSettings(max_market_cap_lamports=Lamports(CAP)),
            "high_market_cap",
        ),
        (
            pump_pool(creator_bought=SUPPLY // 100 - 1),
            pump_pool(creator_bought=SUPPLY // 100),
            FiltersSettings(min_creator_bought_bps=BasisPoints(100)),
            "creator_bought",
        ),
        (
            pump_pool(creator=key(67)),
            pump_pool(creator=key(66)),
            FiltersSettings(allow_creators=(str(key(66)),)),
            "denied_creator",
        ),
        (
            pump_pool(name="Elon Moon"),
            pump_pool(name="Luna"),
            FiltersSettings(deny_names=("el.n", "xyz")),
            "denied_name",
        ),
        (
            pump_pool(symbol="ELON"),
            pump_pool(symbol="E1ON"),
            FiltersSettings(deny_names=("^elon$",)),
            "denied_name",
        ),
        (
            pump_pool(name="Luna", symbol="LUNA"),
            pump_pool(name="Luna", symbol="CATS"),
            FiltersSettings(require_names=("dog", "cat")),
            "denied_name",
        ),
        (pump_pool(uri=""), pump_pool(), FiltersSettings(require_uri=True), "no_uri"),
        (pump_pool(uri=""), pump_pool(), FiltersSettings(require_socials=True), "no_uri"),
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


def test_pools_priced_in_what_cannot_be_traded_are_refused_even_when_they_are_listed() -> None:
    refusal = Filters(FiltersSettings(quote_mints=("SOL", str(key(9))))).decide(pump_pool(quote_mint=key(9)))
    assert refusal is not None
    assert "only pools priced in SOL" in refusal.detail


def test_market_cap_is_the_supply_at_the_price_after_the_creation() -> None:
    assert market_cap_lamports(pump_pool()) == CAP
    empty = Reserves(virtual_token=0, virtual_quote=5, real_token=0, real_quote=0)
    assert market_cap_lamports(pump_pool(reserves=empty)) == SUPPLY * 5


def test_pool_that_was_told_of_too_long_ago_is_refused() -> None:
    filters = Filters(FiltersSettings(max_age_ms=250))
    assert filters.decide(pump_pool(), MonoNs(FRAME + 250_000_000)) is None
    refusal = filters.decide(pump_pool(), MonoNs(FRAME + 250_000_001))
    assert refusal is not None
    assert refusal.reason == "too_old"
    assert filters.decide(pump_pool()) is None, "without a time there is no age"
    assert Filters(FiltersSettings()).decide(pump_pool(), MonoNs(FRAME + 10**12)) is None


# ---- the hook ------------------------------------------------------------------------------------------------------


def test_hook_is_asked_last_and_its_word_counts() -> None:
    asked: list[NewPool] = []

    def hook(pool: NewPool) -> str | None:
        asked.append(pool)
        return "not today" if pool.symbol == "C2" else None

    filters = Filters(FiltersSettings(), hook)
    assert filters.decide(pump_pool(1)) is None
    assert filters.decide(pump_pool(2)) == Refusal(reason="hook", detail="not today")
    assert filters.decide(pump_pool(3, is_mayhem=True)) is not None
    assert [pool.symbol for pool in asked] == ["C1", "C2"], "what the settings refuse it does not see"


def test_hook_that_raises_refuses_the_pool_and_ends_nothing() -> None:
    def hook(_pool: NewPool) -> str | None:
        raise KeyError("x" * 1_000)

    refusal = Filters(FiltersSettings(), hook).decide(pump_pool())
    assert refusal is not None
    assert refusal.reason == "hook_failed"
    assert "KeyError" in refusal.detail
    assert len(refusal.detail) <= 200


def test_hook_that_says_something_else_than_a_text_refuses() -> None:
    refusal = Filters(FiltersSettings(), lambda _pool: False).decide(pump_pool())  # type: ignore[arg-type,return-value]
    assert refusal == Refusal(reason="hook", detail="False")


def test_hook_is_loaded_by_its_name() -> None:
    assert load_hook("") is None
    assert load_hook("trading_lab:pump_pool") is pump_pool  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("nowhere_at_all:f", "cannot be loaded"),
        ("trading_lab:nothing", "cannot be loaded"),
        ("trading_lab:CHAIN", "is no function"),
        ("trading_lab:until", "an async function"),
    ],
)
def test_hook_that_is_none_is_wrong_use(reference: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_hook(reference)


@pytest.mark.parametrize("text", ["def hook(:", "raise RuntimeError('of its own')", "1 / 0"])
def test_hook_whose_module_fails_is_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    name = f"failing_hook_{abs(hash(text))}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=rf"filters.hook names {name}:hook, which cannot be loaded"):
        load_hook(f"{name}:hook")
