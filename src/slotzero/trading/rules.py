"""The rules the trading machines follow, made of the settings. *Pure.*

A section and the record of its machine have fields of the same names; what differs is spelled out here. A test holds
their defaults against each other.
"""

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from slotzero.config import (
    ExitsSettings,
    FeesSettings,
    LimitsSettings,
    PrivacySettings,
    RugSettings,
    WalletsSettings,
)
from slotzero.trading.exit_rules import ExitRules, Rung
from slotzero.trading.fee_policy import FeeRules, UnitKey
from slotzero.trading.fees import LAMPORTS_PER_SIGNATURE
from slotzero.trading.limits import LimitsRules
from slotzero.trading.privacy import PrivacyRules
from slotzero.trading.probe import RentFacts
from slotzero.trading.rug_rules import RugRules
from slotzero.trading.wallets.book import WalletCaps
from slotzero.units import BPS, ComputeUnits, Lamports

__all__ = [
    "buy_overhead",
    "exit_rules",
    "fee_rules",
    "limits_rules",
    "privacy_rules",
    "rug_rules",
    "unit_seeds",
    "wallet_caps",
]

T = TypeVar("T", bound=Struct)
_UNIT_MARGIN: Final = ComputeUnits(15_000)
"""Deriving an address costs 1,500 units a step, and a mint may need ten more steps than all that were seen."""


def exit_rules(settings: ExitsSettings, *, slippage_bps: int) -> ExitRules:
    """Return when a position is sold.

    Args:
        settings: The `[exits]` section.
        slippage_bps: What the first attempt accepts below the quote; each further one accepts twice as much.
    """
    ladder = tuple(
        Rung(gain_bps=gain, share_bps=share)
        for gain, share in zip(settings.ladder_gains_bps, settings.ladder_shares_bps, strict=True)
    )
    return _made(
        ExitRules,
        settings,
        ladder=ladder or (Rung(gain_bps=settings.take_profit_bps, share_bps=BPS),),
        slippage_ladder_bps=tuple(_doubling(slippage_bps)),
        emergency_ladder_bps=settings.emergency_slippage_bps or (BPS,),
    )


def _doubling(first: int) -> Iterator[int]:
    step = first
    while step < BPS:
        yield step
        step = 2 * max(step, 1)
    yield BPS


def rug_rules(settings: RugSettings) -> RugRules:
    """Return what is a sign of a rug and what it leads to."""
    return _made(RugRules, settings)


def privacy_rules(settings: PrivacySettings) -> PrivacyRules:
    """Return how far what we do varies."""
    return _made(PrivacyRules, settings)


def limits_rules(settings: LimitsSettings, *, open_positions: int) -> LimitsRules:
    """Return what may be risked."""
    return _made(LimitsRules, settings, open_positions=open_positions)


def buy_overhead(settings: FeesSettings, rent: RentFacts) -> Lamports:
    """Return the most that a buy takes from its wallet beyond its own limit: rent, base fee, priority fee and tip."""
    return Lamports(rent.first_trade_lamports + settings.max_bid_lamports + LAMPORTS_PER_SIGNATURE)


def fee_rules(settings: FeesSettings) -> FeeRules:
    """Return how fees are chosen."""
    return _made(
        FeeRules,
        settings,
        default_price=settings.unit_price_microlamports_per_cu,
        min_price=settings.min_price_microlamports_per_cu,
        unit_margin_units=_UNIT_MARGIN,
    )


def unit_seeds(settings: FeesSettings, venue: str) -> dict[UnitKey, ComputeUnits]:
    """Return a venue's compute unit limits until they are learned."""
    return {
        (venue, "first_buy"): settings.buy_unit_limit,
        (venue, "buy"): settings.buy_unit_limit,
        (venue, "sell"): settings.sell_unit_limit,
        (venue, "sell_and_close"): settings.sell_unit_limit,
    }


def wallet_caps(settings: WalletsSettings) -> WalletCaps:
    """Return what one wallet may do; 0 in the settings means no cap."""
    return WalletCaps(
        max_spend_per_hour_lamports=settings.max_spend_per_hour_lamports or None,
        max_spend_per_day_lamports=settings.max_spend_per_day_lamports or None,
        max_open_positions=settings.max_open_positions or None,
        max_at_risk_lamports=settings.max_at_risk_lamports or None,
    )


def _made(record: type[T], settings: Struct, **more: object) -> T:
    """Return a record whose fields are the settings of the same names, and `more`."""
    known = msgspec.structs.asdict(settings)
    names = record.__struct_fields__
    return record(**{name: known[name] for name in names if name in known and name not in more}, **more)
