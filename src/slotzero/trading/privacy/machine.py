"""Small variations of what we do, so that a copier finds no fixed fingerprint in it.

Varied are when something is sent, how much is bought, what it bids and which wallet does it. What stays visible on
chain whatever is varied here is what `linkability` reports.

Timing costs speed, so entries are not delayed unless that is set, and an emergency never is: its delay is always 0.
The chosen delay is returned apart from the rest and summed up by purpose, because it is time we chose to wait, not
time the machine took.
"""

from collections.abc import Sequence
from random import Random
from typing import Final, Literal, Protocol

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import ms
from slotzero.trading.fee_policy import NO_VARIATION, FeeVariation
from slotzero.units import BPS, DurationNs, Lamports

__all__ = ["DelayCost", "Privacy", "PrivacyPlan", "PrivacyRules", "PrivatePurpose", "WalletChoice"]

PrivatePurpose = Literal["entry", "exit", "emergency", "funding"]

_PURPOSES: Final[tuple[PrivatePurpose, ...]] = ("entry", "exit", "emergency", "funding")


class PrivacyRules(Struct, frozen=True, kw_only=True):
    """How far each choice may vary. The defaults are those of the `[privacy]` section; 0 switches a variation off.

    Attributes:
        entry_jitter_ms: The most an entry is delayed; likewise the others. Delays are uniform from 0 on.
        size_noise_bps: How much less than asked for a buy may spend; it never spends more.
        limit_variation_bps: How much may be added to a unit limit.
        bid_variation_bps: How far a unit price and a tip may go up or down.
    """

    entry_jitter_ms: int = 0
    exit_jitter_ms: int = 0
    funding_jitter_ms: int = 60_000
    size_noise_bps: int = 300
    limit_variation_bps: int = 300
    bid_variation_bps: int = 1_000


class PrivacyPlan(Struct, frozen=True, kw_only=True):
    """One transaction's variations.

    Attributes:
        delay_ns: How long to wait before it is sent; not part of what choosing took.
        lamports: What to spend: at most what was asked for.
        wallet: Who does it, or None when there was nobody to choose from.
    """

    delay_ns: DurationNs
    lamports: Lamports
    fees: FeeVariation
    wallet: Pubkey | None


class DelayCost(Struct, frozen=True, kw_only=True):
    """What privacy has cost in latency, for one purpose: chosen delays, in nanoseconds."""

    purpose: PrivatePurpose
    count: int
    total_ns: DurationNs
    longest_ns: DurationNs


class WalletChoice(Protocol):
    """Chooses one of several addresses: a wallet to trade with, or one of the accounts a tip may go to."""

    def __call__(self, candidates: Sequence[Pubkey], rng: Random, /) -> Pubkey:
        """Return one of `candidates`, of which there is at least one."""
        ...


def _any(candidates: Sequence[Pubkey], rng: Random) -> Pubkey:
    return candidates[rng.randrange(len(candidates))]


class Privacy:
    """Draws variations. The same seed and the same calls give the same variations.

    Args:
        rules: The `[privacy]` section.
        rng: Where chance comes from: seeded for a run that is to be repeated, `random.SystemRandom()` for real money,
            since who knows the seed knows the variations.
        choose: How an address is chosen; None = each is as likely.
    """

    def __init__(self, rules: PrivacyRules, rng: Random, *, choose: WalletChoice | None = None) -> None:
        self._rules = rules
        self._rng = rng
        self._choose = choose or _any
        self._most_ns: Final[dict[PrivatePurpose, DurationNs]] = {
            "entry": ms(rules.entry_jitter_ms),
            "exit": ms(rules.exit_jitter_ms),
            "emergency": ms(0),
            "funding": ms(rules.funding_jitter_ms),
        }
        self._delays = {purpose: [0, 0, 0] for purpose in _PURPOSES}

    def plan(self, purpose: PrivatePurpose, lamports: Lamports, wallets: Sequence[Pubkey] = ()) -> PrivacyPlan:
        """Draw the variations of one transaction. *Hot path* (about 2 us).

        Args:
            purpose: Why it is made; only entries vary in size (an exit sells what it has to).
            lamports: The most it may spend.
            wallets: Who could do it; none = that is settled already.
        """
        return PrivacyPlan(
            delay_ns=self._delay(purpose),
            lamports=self._size(lamports) if purpose == "entry" else lamports,
            fees=self._fees(purpose),
            wallet=self._choose(wallets, self._rng) if wallets else None,
        )

    def choose(self, candidates: Sequence[Pubkey]) -> Pubkey:
        """Choose an address: a wallet, or one of the accounts a tip may go to. *Hot path.*

        Raises:
            ValueError: There is nothing to choose from.
        """
        if not candidates:
            raise ValueError("a choice needs at least one address, there was none")
        return self._choose(candidates, self._rng)

    def costs(self) -> tuple[DelayCost, ...]:
        """Return what has been spent on delays so far, by purpose."""
        return tuple(
            DelayCost(purpose=purpose, count=count, total_ns=DurationNs(total), longest_ns=DurationNs(longest))
            for purpose, (count, total, longest) in self._delays.items()
        )

    def _delay(self, purpose: PrivatePurpose) -> DurationNs:
        most = self._most_ns[purpose]
        delay = self._draw(0, most) if most else 0
        cost = self._delays[purpose]
        cost[0] += 1
        cost[1] += delay
        cost[2] = max(cost[2], delay)
        return DurationNs(delay)

    def _size(self, lamports: Lamports) -> Lamports:
        """Draw from single lamports, not from round steps: a size in whole percents would be a fingerprint again."""
        least = max(lamports * (BPS - self._rules.size_noise_bps) // BPS, min(lamports, 1))
        return Lamports(self._draw(least, lamports))

    def _fees(self, purpose: PrivatePurpose) -> FeeVariation:
        limit, bid = self._rules.limit_variation_bps, self._rules.bid_variation_bps
        if not limit and not bid:
            return NO_VARIATION
        lowest = 0 if purpose == "emergency" else -bid  # an emergency does not bid less to look different
        draw = self._draw
        return FeeVariation(limit_bps=draw(0, limit), price_bps=draw(lowest, bid), tip_bps=draw(lowest, bid))

    def _draw(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included. `randint` took 2.5 times as long here.

        Of 2**53 steps, so it is even enough for spans below 10**14, which all of ours are.
        """
        return low + int(self._rng.random() * (high - low + 1))
