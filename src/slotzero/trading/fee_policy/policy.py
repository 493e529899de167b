"""The choice of a transaction's fees: unit limit, unit price and tip, each with its reason.

The order is fixed: what the market asks, what an expiry adds, the variation for privacy, then the caps, which nothing
exceeds, and at last whether an entry is still worth it. An entry may be refused; an exit is never refused, because a
position that is not sold can cost everything: it goes out with whatever the caps leave, be it nothing.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, Literal

from slotzero.clock import add_ms, is_due
from slotzero.solana.rpc import TransactionRecord
from slotzero.trading.fee_policy.prices import FeeMarket
from slotzero.trading.fee_policy.records import (
    ExpiredSend,
    FeeChoice,
    FeeRequest,
    FeeRules,
    TipFloor,
    UnitKey,
)
from slotzero.trading.fee_policy.unit_table import UnitTable
from slotzero.trading.fees import LAMPORTS_PER_SIGNATURE
from slotzero.trading.filters import Refusal
from slotzero.trading.sliding_sum import Entry, SlidingSum
from slotzero.units import BPS, MAX_COMPUTE_UNITS, NS_PER_MS, ComputeUnits, Lamports, MicroLamportsPerCu, MonoNs

__all__ = ["FeePolicy", "SendOutcome"]

SendOutcome = Literal["landed", "failed", "expired"]

_HOUR_NS: Final = 3_600_000 * NS_PER_MS
_MICRO: Final = 1_000_000
_OUTCOMES: Final = 512
_EXHAUSTED_PERCENT: Final = 99
"""A failed transaction that consumed so much of its limit has run out: the last instruction counts what it asks for."""


class FeePolicy:
    """Chooses fees for one run. A machine: it is told what landed and is handed `now`.

    Args:
        rules: The `[fees]` section.
        seeds: Unit limits until they are learned.
    """

    def __init__(self, rules: FeeRules, seeds: Mapping[UnitKey, ComputeUnits]) -> None:
        self._rules = rules
        self.units = UnitTable(seeds, rules)
        self.market = FeeMarket(span_slots=rules.price_window_slots, min_samples=rules.min_price_samples)
        self.spent = SlidingSum(_HOUR_NS)
        """The bids of the last hour, those that may still land included."""
        self._tips: TipFloor | None = None
        self._outcomes: deque[SendOutcome] = deque()
        self._counts: dict[SendOutcome, int] = {"landed": 0, "failed": 0, "expired": 0}

    # ---- what it is told -------------------------------------------------------------------------------------------

    def on_tip_floor(self, tips: TipFloor) -> None:
        """Take the tips that landed lately."""
        self._tips = tips

    def on_outcome(self, outcome: SendOutcome) -> None:
        """Take what became of one of our entries; the newest 512 count."""
        if len(self._outcomes) >= _OUTCOMES:
            self._counts[self._outcomes.popleft()] -= 1
        self._outcomes.append(outcome)
        self._counts[outcome] += 1

    def learn(self, key: UnitKey, choice: FeeChoice, record: TransactionRecord) -> None:
        """Take a landed transaction of ours: what its kind consumes, and whether it ran out of units.

        The price it was let in at is not learned from: bids made of earlier bids would climb without end (`prices`).
        """
        units = record.units_consumed
        self.market.on_slot(record.slot)
        if units is None or not 0 < units <= MAX_COMPUTE_UNITS:
            return
        if record.err is None:
            self.units.observe(key, units)
        elif units >= choice.limit * _EXHAUSTED_PERCENT // 100:
            self.units.observe_exhausted(key, choice.limit)

    def charge(self, bid_lamports: int, now: MonoNs) -> Entry:
        """Count a bid against the hour. To be called before the bytes are sent, and before the next choice."""
        return self.spent.add(now, bid_lamports)

    def settle(self, entry: Entry, paid_lamports: int) -> None:
        """Correct a bid to what it cost: 0 when it expired, without the tip when it failed (a failed tip reverts)."""
        self.spent.amend(entry, paid_lamports)

    # ---- the choice ------------------------------------------------------------------------------------------------

    def choose(self, request: FeeRequest, now: MonoNs) -> FeeChoice | Refusal:
        """Choose limit, price and tip. The same past and the same request give the same choice. *Hot path.*

        The accounts it competes for are followed from then on: what others pay there decides the next choice.

        A refusal's reason is "fee_cap" (the caps leave less than a bid is worth making at) or "fee_expected_value".
        """
        limit, limit_why = self._limit(request)
        price, price_why = self._price(request)
        tip, tip_why = self._tip(request, now)
        allowed, cap_why = self._allowed(request, now)
        price, tip, fit_why = self._fit(request, limit, price, tip, allowed, cap_why)
        is_entry = request.purpose == "entry"
        if is_entry and (price < self._rules.min_price or tip < request.min_tip_lamports):
            least = f"a price of {self._rules.min_price} and a tip of {request.min_tip_lamports} lamports"
            return Refusal(
                reason="fee_cap", detail=f"{cap_why} leaves {allowed} lamports, a bid needs at least {least}"
            )
        reasons: tuple[str, ...] = (limit_why, price_why, tip_why, fit_why)
        if is_entry and request.expectation is not None:
            worth = self._worth(request, limit, price, tip)
            if isinstance(worth, Refusal):
                return worth
            reasons = (*reasons, worth)
        return FeeChoice(
            limit=limit,
            price=MicroLamportsPerCu(price),
            tip_lamports=Lamports(tip),
            reasons=tuple(filter(None, reasons)),
        )

    def _limit(self, request: FeeRequest) -> tuple[ComputeUnits, str]:
        limit, why = self.units.limit((request.venue, request.kind))
        if more := request.variation.limit_bps:
            limit = ComputeUnits(min(limit * (BPS + max(more, 0)) // BPS, MAX_COMPUTE_UNITS))
            why += f", varied to {limit}"
        return limit, why

    def _price(self, request: FeeRequest) -> tuple[int, str]:
        rules = self._rules
        price, why = self._asked(request)
        if request.expired is not None:
            raised, raised_why = self._raised(request.expired.price, request.expired)
            if raised > price:
                price, why = raised, raised_why
        why = f"price {price}: {why}"
        if request.variation.price_bps:
            price = max(_varied(price, request.variation.price_bps), int(rules.min_price))
            why += f", varied to {price}"
        return price, why

    def _asked(self, request: FeeRequest) -> tuple[int, str]:
        """Return what the market asks of this purpose: a percentile of what landed, where there is one.

        Floors and the default are the same for every purpose; of those an emergency bids a multiple.
        """
        rules = self._rules
        percent = {
            "entry": rules.entry_percentile,
            "exit": rules.exit_percentile,
            "emergency": rules.emergency_percentile,
        }[request.purpose]
        self.market.follow(request.hot_accounts)
        is_market, floor = True, self.market.floor(rules.floor_percentile)
        if (landed := self.market.landed(request.hot_accounts, percent)) is not None:
            price, why = landed[0], f"p{percent} of {landed[1]} landed prices"
        elif (landed := self.market.landed_at(request.venue, percent)) is not None:
            price, why = landed[0], f"p{percent} of {landed[1]} prices that landed on {request.venue}"
        else:
            is_market, price = False, int(rules.default_price)
            why = "the default, too few prices have landed on its accounts"
        if floor is not None and floor > price:
            is_market, price, why = False, floor, f"p{rules.floor_percentile} of the slots' floors"
        if price < rules.min_price:
            is_market, price, why = False, int(rules.min_price), "the least we bid"
        if request.purpose == "emergency" and not is_market:
            price = -(-price * rules.emergency_multiplier_bps // BPS)
            why += f", x {rules.emergency_multiplier_bps} bps in an emergency"
        return price, why

    def _raised(self, amount: int, expired: ExpiredSend) -> tuple[int, str]:
        """Return what the next one bids at least, having bid `amount`: no more where that was never sent."""
        if not expired.was_sent:
            return amount, f"{amount} was never sent"
        bps = self._rules.escalation_bps
        return -(-amount * bps // BPS), f"{amount} has expired, x {bps} bps"

    def _tip(self, request: FeeRequest, now: MonoNs) -> tuple[int, str]:
        if not request.takes_tip:
            return 0, ""
        rules, tips, least = self._rules, self._tips, int(request.min_tip_lamports)
        percent = rules.emergency_tip_percentile if request.purpose == "emergency" else rules.tip_percentile
        tip, why = least, "the least the path takes"
        if tips is None or is_due(add_ms(tips.at, rules.tip_max_age_ms), now):
            why += ", no fresh tip floor"
        elif (landed := tips.percentile(percent)) > least:
            tip, why = int(landed), f"p{percent} of the landed tips"
        if request.expired is not None:
            raised, raised_why = self._raised(request.expired.tip_lamports, request.expired)
            if raised > tip:
                tip, why = raised, raised_why
        why = f"tip {tip}: {why}"
        if request.variation.tip_bps:
            tip = max(_varied(tip, request.variation.tip_bps), least)
            why += f", varied to {tip}"
        return tip, why

    def _allowed(self, request: FeeRequest, now: MonoNs) -> tuple[int, str]:
        """Return the most this transaction may bid, and which cap says so."""
        rules = self._rules
        hour = int(rules.max_hour_lamports)
        if request.purpose == "entry":
            hour = hour * (BPS - rules.exit_reserve_bps) // BPS
        return min(
            (int(rules.max_bid_lamports), "the cap of a transaction"),
            (max(hour - self.spent.total(now), 0), "the cap of the hour"),
            (request.stake_lamports * rules.max_share_bps // BPS, f"the cap of {rules.max_share_bps} bps of the stake"),
        )

    def _fit(
        self, request: FeeRequest, limit: int, price: int, tip: int, allowed: int, cap_why: str
    ) -> tuple[int, int, str]:
        """Bring a bid under what is allowed: the tip down to the path's least, then the price; no tip at last."""
        if tip - (-limit * price // _MICRO) <= allowed:
            return price, tip, ""
        varied = allowed * (BPS - abs(request.variation.price_bps)) // BPS  # the cap itself would be a fingerprint
        tip = min(tip, int(request.min_tip_lamports)) if request.min_tip_lamports <= allowed else 0
        price = min(price, max(varied - tip, 0) * _MICRO // limit)
        return price, tip, f"{cap_why} allows {allowed} lamports: cut to price {price} and tip {tip}"

    def _worth(self, request: FeeRequest, limit: int, price: int, tip: int) -> str | Refusal:
        """Weigh an entry: what it brings when it lands against its fees, those of sends that land and fail included.

        A send that expires costs nothing. One that lands with an error costs base and priority fee; its tip reverts.
        """
        expected = request.expectation
        assert expected is not None, "the caller has looked"
        rules, seen = self._rules, len(self._outcomes)
        landed, failed = rules.landed_bps, rules.failed_bps
        if seen >= rules.min_outcomes:
            landed, failed = (self._counts[kind] * BPS // seen for kind in ("landed", "failed"))
        sent = LAMPORTS_PER_SIGNATURE - (-limit * price // _MICRO)
        gain = landed * expected.gain_lamports * expected.chance_bps // BPS
        cost = landed * (sent + tip + expected.exit_fee_lamports) + failed * sent
        if gain * BPS < cost * (BPS + rules.min_margin_bps):
            told = f"an expected gain of {gain // BPS} lamports does not pay expected fees of {-(-cost // BPS)}"
            return Refusal(
                reason="fee_expected_value", detail=f"{told}, with {landed} bps landing and {failed} failing"
            )
        return f"worth it: expected gain {gain // BPS}, expected fees {-(-cost // BPS)} lamports"


def _varied(amount: int, by_bps: int) -> int:
    return amount * (BPS + by_bps) // BPS
