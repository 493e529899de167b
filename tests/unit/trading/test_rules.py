"""The sections of the configuration and the records of the machines they configure: same names, same defaults."""

import pytest
from msgspec import Struct
from msgspec.structs import asdict

from slotzero.config import (
    ExitsSettings,
    FeesSettings,
    LimitsSettings,
    PrivacySettings,
    RugSettings,
    TradeSettings,
    WalletsSettings,
)
from slotzero.trading.exit_rules import ExitRules, Rung, rule_problems
from slotzero.trading.fee_policy import FeeRules
from slotzero.trading.fees import network_fee
from slotzero.trading.limits import LimitsRules
from slotzero.trading.privacy import PrivacyRules
from slotzero.trading.probe import RentFacts
from slotzero.trading.rug_rules import RugRules
from slotzero.trading.rules import (
    buy_overhead,
    exit_rules,
    fee_rules,
    limits_rules,
    privacy_rules,
    rug_rules,
    unit_seeds,
    wallet_caps,
)
from slotzero.trading.wallets.book import WalletCaps
from slotzero.units import BasisPoints, ComputeUnits, Lamports, MicroLamportsPerCu

TRADE = TradeSettings()
NOT_IN_RULES = {
    # Spelled out in the rules under other names, or told to somebody else.
    ExitsSettings: {"take_profit_bps", "ladder_gains_bps", "ladder_shares_bps", "emergency_slippage_bps"},
    FeesSettings: {
        "unit_price_microlamports_per_cu",
        "min_price_microlamports_per_cu",
        "buy_unit_limit",
        "sell_unit_limit",
        "expected_gain_bps",
        "expected_chance_bps",
        "min_tip_lamports",
    },
    LimitsSettings: {"snipes_in_flight", "waiting_pools", "max_wait_ms"},
    RugSettings: set[str](),
    PrivacySettings: set[str](),
}


@pytest.mark.parametrize(
    ("made", "record"),
    [
        (exit_rules(ExitsSettings(), slippage_bps=TRADE.exit_slippage_bps), ExitRules()),
        (fee_rules(FeesSettings()), FeeRules(unit_margin_units=ComputeUnits(15_000))),  # a margin is no setting
        (rug_rules(RugSettings()), RugRules()),
        (privacy_rules(PrivacySettings()), PrivacyRules()),
        (limits_rules(LimitsSettings(), open_positions=TRADE.max_open_positions), LimitsRules()),
        (wallet_caps(WalletsSettings()), WalletCaps()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_defaults_of_a_section_are_those_of_its_machine(made: Struct, record: Struct) -> None:
    assert asdict(made) == asdict(record)


@pytest.mark.parametrize(
    ("section", "record"),
    [
        (ExitsSettings, ExitRules),
        (FeesSettings, FeeRules),
        (RugSettings, RugRules),
        (PrivacySettings, PrivacyRules),
        (LimitsSettings, LimitsRules),
    ],
)
def test_no_setting_of_a_section_is_lost_on_the_way(section: type[Struct], record: type[Struct]) -> None:
    assert set(section.__struct_fields__) - set(record.__struct_fields__) == NOT_IN_RULES[section]


def test_settings_that_differ_reach_the_machine() -> None:
    exits = exit_rules(
        ExitsSettings(stop_loss_bps=BasisPoints(7), trail_bps=8, max_hold_ms=9, max_emergency_attempts=3),
        slippage_bps=4_000,
    )
    assert (exits.stop_loss_bps, exits.trail_bps, exits.max_hold_ms, exits.max_emergency_attempts) == (7, 8, 9, 3)
    assert rug_rules(RugSettings(frozen="exit_now", window_slots=3)) == RugRules(frozen="exit_now", window_slots=3)
    assert limits_rules(LimitsSettings(day_lamports=Lamports(5)), open_positions=8) == LimitsRules(
        day_lamports=Lamports(5), open_positions=8
    )


def test_take_profit_is_a_ladder_of_one_step_unless_there_is_a_longer_one() -> None:
    assert exit_rules(ExitsSettings(take_profit_bps=70), slippage_bps=0).ladder == (
        Rung(gain_bps=70, share_bps=10_000),
    )
    steps = exit_rules(
        ExitsSettings(ladder_gains_bps=(100, 900), ladder_shares_bps=(2_500, 7_500)), slippage_bps=0
    ).ladder
    assert steps == (Rung(gain_bps=100, share_bps=2_500), Rung(gain_bps=900, share_bps=7_500))


@pytest.mark.parametrize(
    ("first", "ladder"),
    [(1_500, (1_500, 3_000, 6_000, 10_000)), (10_000, (10_000,)), (0, (0, 2, 4, 8)), (9_999, (9_999, 10_000))],
)
def test_each_attempt_accepts_twice_as_much_and_the_last_any_price(first: int, ladder: tuple[int, ...]) -> None:
    made = exit_rules(ExitsSettings(), slippage_bps=first)
    assert made.slippage_ladder_bps[: len(ladder)] == ladder
    assert made.slippage_ladder_bps[-1] == 10_000
    assert rule_problems(made) == []


def test_emergency_without_a_ladder_sells_at_any_price() -> None:
    assert exit_rules(ExitsSettings(emergency_slippage_bps=()), slippage_bps=0).emergency_ladder_bps == (10_000,)


def test_unit_limits_are_those_of_the_side_until_they_are_learned() -> None:
    seeds = unit_seeds(FeesSettings(buy_unit_limit=ComputeUnits(5), sell_unit_limit=ComputeUnits(6)), "v")
    assert {kind: limit for (_, kind), limit in seeds.items()} == {
        "first_buy": 5,
        "buy": 5,
        "sell": 6,
        "sell_and_close": 6,
    }


def test_cap_of_zero_is_no_cap() -> None:
    caps = wallet_caps(WalletsSettings(max_open_positions=2, max_at_risk_lamports=Lamports(0)))
    assert (caps.max_open_positions, caps.max_at_risk_lamports) == (2, None)


def test_overhead_of_a_buy_covers_rent_and_all_that_the_network_takes_at_the_highest_bid() -> None:
    rent = RentFacts(empty_account_lamports=Lamports(890_880), first_trade_lamports=Lamports(6_000_000))
    highest = network_fee(ComputeUnits(100_000), MicroLamportsPerCu(20_000_000))  # a bid of 2,000,000 lamports
    fees = FeesSettings(max_bid_lamports=Lamports(2_000_000))
    assert buy_overhead(fees, rent) == rent.first_trade_lamports + highest
