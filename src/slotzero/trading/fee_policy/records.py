"""What a fee choice is asked, what it answers, and the rules it follows.

The *bid* is what is chosen freely: priority fee plus tip. The caps bound the bid; the signature's base fee is no
choice and comes on top.
"""

from typing import Final, Literal

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.trading.fees import LAMPORTS_PER_SIGNATURE, network_fee
from slotzero.trading.order import Expired, Outcome
from slotzero.units import ComputeUnits, Lamports, MicroLamportsPerCu, MonoNs

__all__ = [
    "NO_VARIATION",
    "Expectation",
    "ExpiredSend",
    "FeeChoice",
    "FeeRequest",
    "FeeRules",
    "FeeVariation",
    "Purpose",
    "TipFloor",
    "TipPercentile",
    "TransactionKind",
    "UnitKey",
    "expired_send",
]

TransactionKind = Literal["first_buy", "buy", "sell", "sell_and_close"]
"""What a transaction does, as far as it decides its compute units: a first buy also creates accounts."""
UnitKey = tuple[str, TransactionKind]
"""A venue's name and the kind of a transaction."""
Purpose = Literal["entry", "exit", "emergency"]
"""An entry may be refused; an exit never is, it goes out with what the caps leave."""
TipPercentile = Literal[25, 50, 75, 95, 99]


class FeeRules(Struct, frozen=True, kw_only=True):
    """What the choice follows. The defaults are those of the `[fees]` section.

    Attributes:
        min_price: What an entry bids at least; one that cannot afford it is refused.
        default_price: The price while too few landed prices have been seen.
        entry_percentile: Which percentile (1 to 100) of the landed prices an entry bids; likewise the others. Landed
            prices are known where a Geyser stream is followed; elsewhere all purposes start from floor or default.
        emergency_multiplier_bps: What an emergency bids of an exit's price where no percentile tells the two apart.
        floor_percentile: Which percentile of the per-slot floors is the least a bid is worth making at.
        min_price_samples: How many landed prices on an account make a percentile.
        price_window_slots: How many slots back a landed price counts.
        escalation_bps: What a price is multiplied by after an expiry, 12,500 to 20,000.
        max_bid_lamports: The most one transaction may bid.
        max_hour_lamports: The most all bids of any 60 minutes may add up to.
        exit_reserve_bps: The share of the hour's budget that entries leave to exits.
        max_share_bps: The most a bid may be of what the transaction moves.
        tip_percentile: Which percentile of the landed tips is bid where a path takes tips; the path's least while
            nobody tells of them (`on_tip_floor`), and the bot has no source that does.
        tip_max_age_ms: After which a tip floor is not believed any more.
        min_unit_samples: How many observations replace a seeded unit limit.
        unit_margin_bps: What is added to the 99th percentile of the units consumed, at least `unit_margin_units`.
        landed_bps: The chance that a send lands without an error, while too few outcomes have been seen.
        failed_bps: The chance that it lands with one, likewise.
        min_outcomes: How many outcomes replace those two.
        min_margin_bps: How far an entry's expected gain must exceed its expected fees.
    """

    min_price: MicroLamportsPerCu = MicroLamportsPerCu(1_000)
    default_price: MicroLamportsPerCu = MicroLamportsPerCu(100_000)
    entry_percentile: int = 75
    exit_percentile: int = 50
    emergency_percentile: int = 95
    emergency_multiplier_bps: int = 30_000
    floor_percentile: int = 50
    min_price_samples: int = 30
    price_window_slots: int = 150
    escalation_bps: int = 15_000
    max_bid_lamports: Lamports = Lamports(2_000_000)
    max_hour_lamports: Lamports = Lamports(100_000_000)
    exit_reserve_bps: int = 3_000
    max_share_bps: int = 500
    tip_percentile: TipPercentile = 50
    emergency_tip_percentile: TipPercentile = 95
    tip_max_age_ms: int = 60_000
    min_unit_samples: int = 50
    unit_margin_bps: int = 1_000
    unit_margin_units: ComputeUnits = ComputeUnits(0)
    landed_bps: int = 7_000
    failed_bps: int = 1_000
    min_outcomes: int = 50
    min_margin_bps: int = 0


class FeeVariation(Struct, frozen=True, kw_only=True):
    """How far this one choice departs from the rule, so that no fixed fingerprint remains (see `privacy`).

    Attributes:
        limit_bps: Added to the unit limit; never taken off, it would fail the transaction.
        price_bps: Added to the unit price, or taken off where negative; likewise the tip.
    """

    limit_bps: int
    price_bps: int
    tip_bps: int


NO_VARIATION: Final = FeeVariation(limit_bps=0, price_bps=0, tip_bps=0)


class Expectation(Struct, frozen=True, kw_only=True):
    """What an entry is hoped to bring: `gain_lamports` before fees, with the chance of `chance_bps` once it landed.

    Attributes:
        exit_fee_lamports: What selling will cost in network fees.
    """

    gain_lamports: Lamports
    chance_bps: int
    exit_fee_lamports: Lamports


class ExpiredSend(Struct, frozen=True, kw_only=True):
    """What an earlier transaction of the same intent bid, which can no longer land. Made by `expired_send`.

    Attributes:
        was_sent: Whether any endpoint may have had it. One that never left is no reason to bid more: the next one bids
            at least as much.
    """

    price: MicroLamportsPerCu
    tip_lamports: Lamports
    was_sent: bool = True


class FeeChoice(Struct, frozen=True, kw_only=True):
    """What a transaction requests and offers, and why: `reasons` has one sentence for each choice, for the trace."""

    limit: ComputeUnits
    price: MicroLamportsPerCu
    tip_lamports: Lamports
    reasons: tuple[str, ...]

    @property
    def bid_lamports(self) -> Lamports:
        """Priority fee and tip."""
        return Lamports(network_fee(self.limit, self.price) - LAMPORTS_PER_SIGNATURE + self.tip_lamports)

    @property
    def cost_lamports(self) -> Lamports:
        """What it costs when it lands: the bid and the base fee of one signature."""
        return Lamports(network_fee(self.limit, self.price) + self.tip_lamports)


class FeeRequest(Struct, frozen=True, kw_only=True):
    """A transaction that is about to be signed.

    Attributes:
        hot_accounts: The accounts it writes to and others compete for; the dearest of them sets the price.
        stake_lamports: What the buy may spend, or what the sell would bring.
        takes_tip: Whether the path it goes takes tips.
        min_tip_lamports: The least that path takes.
        expectation: None = the expected value is not checked.
        expired: The transaction before it, when that one has expired; None for a first send.
    """

    venue: str
    kind: TransactionKind
    purpose: Purpose
    hot_accounts: tuple[Pubkey, ...]
    stake_lamports: Lamports
    takes_tip: bool = False
    min_tip_lamports: Lamports = Lamports(0)
    expectation: Expectation | None = None
    expired: ExpiredSend | None = None
    variation: FeeVariation = NO_VARIATION


class TipFloor(Struct, frozen=True, kw_only=True):
    """Percentiles of the tips that landed lately, in lamports (the block engine tells them in SOL, as floats).

    Attributes:
        at: When it was read.
    """

    at: MonoNs
    p25: Lamports
    p50: Lamports
    p75: Lamports
    p95: Lamports
    p99: Lamports

    def percentile(self, wanted: TipPercentile) -> Lamports:
        """Return one of the five. *Pure.*"""
        return {25: self.p25, 50: self.p50, 75: self.p75, 95: self.p95, 99: self.p99}[wanted]


def expired_send(choice: FeeChoice, outcome: Outcome) -> ExpiredSend:
    """Return what allows the next send of the same intent to bid more, or as much when this one never left. *Pure.*

    Raises:
        ValueError: The outcome is another than expired: while the first can land, nothing is escalated, and what
            has landed with an error did not fail for its price.
    """
    match outcome:
        case Expired(was_sent=was_sent):
            return ExpiredSend(price=choice.price, tip_lamports=choice.tip_lamports, was_sent=was_sent)
        case _:
            raise ValueError(f"only an expired send lets the next one bid more, this one was {outcome}")
