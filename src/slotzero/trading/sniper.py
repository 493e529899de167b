"""From a new pool to a closed position: the path of one snipe.

`on_pool` is synchronous from the pool to the buy's signed bytes: filter, plan, build, sign, without an RPC call. The
safety check starts at the same moment, and its gate holds back only the send. What awaits is a task of the run's group.
"""

import asyncio
from collections import Counter, deque
from typing import Final

from msgspec import Struct

from slotzero.clock import earlier
from slotzero.safety.honeypot import HoneypotChecker, RunningCheck
from slotzero.safety.records import Verdict
from slotzero.solana.transaction import SignedTransaction, compute_budget, sign
from slotzero.trace import Span, Stamp, Trace
from slotzero.trading.context import TradingContext
from slotzero.trading.fees import network_fee
from slotzero.trading.filters import Filters, Refusal
from slotzero.trading.journal import AlreadyClaimed, IntentAbandoned, IntentSent, IntentSigned, new_intent_id
from slotzero.trading.keeper import PoolWatch, PositionKeeper
from slotzero.trading.order import Confirmed
from slotzero.trading.plan import BuyPlan, plan_buy
from slotzero.trading.probe import RentFacts, round_trip_probe
from slotzero.units import MonoNs
from slotzero.venues.market import Market, Trader
from slotzero.venues.records import NewPool

__all__ = ["Refused", "Sniper"]

_MAX_KEPT: Final = 10_000
_MAX_TRACES: Final = 64
_MAX_CHECKS: Final = 256
"""Checks in flight; beyond it a new pool is refused as "overloaded" instead of queued: old news is worth nothing."""


class Refused(Struct, frozen=True, kw_only=True):
    """A pool that was not bought: `reason` is what is counted, `detail` the values found."""

    pool: NewPool
    reason: str
    detail: str


class _Buy(Struct, frozen=True, kw_only=True):
    """A signed buy that waits for its gate."""

    signed: SignedTransaction
    event: IntentSigned
    reserved_lamports: int


class Sniper:
    """Takes new pools in and carries each to its end.

    Args:
        context: The run.
        traders: How each venue's pools are traded, by the venue's name.
        checker: The safety check.
        rent: What new accounts cost.
        stop: Set when the run is ending, by whoever ends it; set here when enough positions have been closed.
        until_closed: How many closed positions end the run; None = no such end.
    """

    def __init__(
        self,
        context: TradingContext,
        *,
        traders: dict[str, Trader],
        checker: HoneypotChecker,
        rent: RentFacts,
        stop: asyncio.Event,
        until_closed: int | None,
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._clock = context.clock
        self._journal = context.journal
        self._traders = traders
        self._checker = checker
        self._filters = Filters(context.settings.filters)
        self._rent = rent
        self._stop = stop
        self._until_closed = until_closed
        self._buying = self._checking = 0
        intents = context.journal.state.intents.values()
        self._bought_mints = {intent.signed.mint for intent in intents if intent.signed.side == "buy"}
        """Whatever became of the buy: no mint is bought twice, though a feed may tell of its creation again."""
        self.tasks: set[asyncio.Task[None]] = set()
        """Every snipe under way."""
        self.working: set[str] = set()
        """Intents somebody is working on."""
        self.keepers: dict[str, PositionKeeper] = {}
        """Who watches each open position."""
        self.taking_up: set[str] = set()
        """What an earlier run has left and may still turn out to be a position; it takes room until then."""
        self.detected = self.bought = self.closed = 0
        self.rejected: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.refusals: deque[Refused] = deque(maxlen=_MAX_KEPT)
        self.spans: deque[Span] = deque(maxlen=_MAX_KEPT)
        self.traces: deque[Trace] = deque(maxlen=_MAX_TRACES)
        """The stamps of the newest snipes that got past the filters."""

    # ---- from a frame to signed bytes: synchronous -----------------------------------------------------------------

    def on_pool(self, pool: NewPool) -> None:
        """Take a new pool. *Hot path.*"""
        clock, trace = self._clock, Trace()
        if pool.mono_cause is not None:
            trace.mark(Stamp.CAUSE, pool.mono_cause)
        trace.mark(Stamp.FRAME, pool.mono_frame)
        trace.mark(Stamp.POOL, clock.mono_ns())
        self.detected += 1
        refusal = self._filters.decide(pool)
        trace.mark(Stamp.FILTERED, clock.mono_ns())
        if refusal is None and self._checking >= _MAX_CHECKS:
            refusal = Refusal(reason="overloaded", detail=f"{_MAX_CHECKS} checks are under way")
        if refusal is not None:
            self._refuse(pool, refusal, trace)
            return
        market = self._traders[pool.venue].market(pool)
        plan = plan_buy(market, pool.reserves, self._settings.trade)
        trace.mark(Stamp.PLANNED, clock.mono_ns())
        if isinstance(plan, Refusal):
            self._refuse(pool, plan, trace)
            return
        buy = self._prepare(pool, market, plan, trace)
        self.own(self._context.tasks.create_task(self._snipe(market, plan, buy, trace), name=f"snipe {pool.mint}"))

    def _prepare(self, pool: NewPool, market: Market, plan: BuyPlan, trace: Trace) -> "_Buy | Refusal":
        """Reserve and sign; or say why not, in which case the pool is still checked, so that the reason is known."""
        context = self._context
        if pool.mint in self._bought_mints:
            return Refusal(reason="already_bought", detail="the journal has a buy of it: a mint is bought once")
        if (reason := self._no_room()) is not None:
            return reason
        blockhash = context.blockhashes.current(self._clock.mono_ns())
        if blockhash is None:
            return Refusal(reason="stale_blockhash", detail="the newest blockhash is too old to sign with")
        fees = self._settings.fees
        price = fees.unit_price_microlamports_per_cu
        reserved = plan.limit_lamports + self._rent.first_trade_lamports + network_fee(fees.buy_unit_limit, price)
        if not context.wallet.reserve(reserved):
            detail = f"a buy may cost {reserved} lamports, the wallet has {context.wallet.free} free"
            return Refusal(reason="insufficient_balance", detail=detail)
        instructions = [*compute_budget(fees.buy_unit_limit, price), *market.buy(plan.tokens, plan.limit_lamports)]
        signed = sign(context.wallet.signer, instructions, blockhash)
        trace.mark(Stamp.SIGNED, self._clock.mono_ns())
        self._buying += 1
        self._bought_mints.add(pool.mint)
        event = IntentSigned(
            intent=new_intent_id(),
            side="buy",
            signature=signed.signature,
            raw=signed.raw,
            last_valid_block_height=signed.last_valid_block_height,
            mint=pool.mint,
            wallet=context.wallet.pubkey,
            tokens=plan.tokens,
            quoted_lamports=plan.quoted_lamports,
            limit_lamports=plan.limit_lamports,
            reason="new_pool",
            pool=pool,
        )
        return _Buy(signed=signed, event=event, reserved_lamports=reserved)

    def _no_room(self) -> Refusal | None:
        open_now = self._buying + len(self.keepers) + len(self.taking_up)
        most = self._settings.trade.max_open_positions
        if self._stop.is_set():
            return Refusal(reason="stopping", detail="the run is ending")
        if self._until_closed is not None and open_now >= self._until_closed - self.closed:
            return Refusal(reason="enough_open", detail="no more positions are needed to end the run")
        if open_now >= most:
            return Refusal(reason="max_open_positions", detail=f"{open_now} positions are open, the most is {most}")
        return None

    def is_working_on(self, signed: IntentSigned) -> bool:
        """Tell whether somebody will see to the end of an intent: a snipe, or the keeper whose sell it is."""
        return signed.intent in self.working or signed.position in self.keepers

    def own(self, task: asyncio.Task[None]) -> None:
        """Count a task among the snipes under way."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # ---- one snipe -------------------------------------------------------------------------------------------------

    async def _snipe(self, market: Market, plan: BuyPlan, buy: "_Buy | Refusal", trace: Trace) -> None:
        try:
            if isinstance(buy, Refusal):
                await self._look_only(market, plan, buy, trace)
                return
            watch = PoolWatch(self._context, market)
            kept = False
            try:
                kept = await self._buy(market, plan, buy, trace, watch)
            finally:
                self._buying -= 1
                self._context.wallet.release(buy.reserved_lamports)
                if not kept:
                    watch.close()
            if kept:
                await self.keep(buy.event.intent, market, watch, trace)
        finally:
            self.spans.extend(trace.spans())
            self.traces.append(trace)

    async def _look_only(self, market: Market, plan: BuyPlan, refusal: Refusal, trace: Trace) -> None:
        if self._settings.safety.gate == "none":
            self._count_refusal(market.pool, refusal)
            return
        verdict = await self._judge(self._check(market, plan), trace)
        self._count_refusal(market.pool, _objection(verdict) or refusal)

    async def _buy(self, market: Market, plan: BuyPlan, buy: _Buy, trace: Trace, watch: PoolWatch) -> bool:
        """Claim the mint for this intent, pass the gate, send, settle. Returns whether there is a position now."""
        context, intent = self._context, buy.event.intent
        self.working.add(intent)
        try:
            claim = self._journal.claim(buy.event)
            objection = await self._pass_gate(market, plan, trace, watch)
            if isinstance(claimed := await claim, AlreadyClaimed):
                detail = f"the bot {claimed.by} was first: a pool is bought by one"
                self._count_refusal(market.pool, Refusal(reason="claimed_elsewhere", detail=detail))
                return False
            if objection is None and self._stop.is_set():
                objection = Refusal(reason="stopping", detail="the run is ending")
            if objection is not None:
                await self._journal.append(IntentAbandoned(intent=intent, reason=objection.reason))
                self._count_refusal(market.pool, objection)
                return False
            trace.mark(Stamp.GATED, self._clock.mono_ns())

            def on_sent(now: MonoNs) -> None:
                trace.mark(Stamp.SENT, now)
                self._journal.append(IntentSent(intent=intent))

            outcome = await context.desk.execute(buy.signed, on_sent=on_sent)
            if isinstance(outcome, Confirmed):
                trace.mark(Stamp.CONFIRMED, self._clock.mono_ns())
            state = await context.accountant.settle(buy.event, outcome, market)
        finally:
            self.working.discard(intent)
        if state == "landed":
            self.bought += 1
            return self._journal.state.positions[intent].state == "open"
        self.failed[self._journal.state.intents[intent].reason if state == "failed" else state] += 1
        return False

    async def _pass_gate(self, market: Market, plan: BuyPlan, trace: Trace, watch: PoolWatch) -> Refusal | None:
        gate = self._settings.safety.gate
        if gate == "none":
            return None
        check = self._check(market, plan)
        if gate == "all":
            return _objection(await self._judge(check, trace))
        if await check.facts() != "ALLOW":
            return _objection(await self._judge(check, trace))
        self._context.tasks.create_task(self._late_verdict(check, trace, watch), name="late verdict")
        return None

    async def _late_verdict(self, check: RunningCheck, trace: Trace, watch: PoolWatch) -> None:
        """Under gate "facts" the round trip is known after the send: what it denies is sold at once."""
        verdict = await self._judge(check, trace)
        if verdict.decision == "DENY":
            watch.trigger("honeypot", self._clock.mono_ns())

    def _check(self, market: Market, plan: BuyPlan) -> RunningCheck:
        probe = round_trip_probe(market, self._context.wallet.pubkey, plan, rent=self._rent)
        self._checking += 1
        return self._checker.start(market.pool, probe, self._context.tasks)

    async def _judge(self, check: RunningCheck, trace: Trace) -> Verdict:
        try:
            return await check.verdict()
        finally:
            self._checking -= 1
            trace.mark(Stamp.VERDICT, self._clock.mono_ns())

    async def keep(self, intent: str, market: Market, watch: PoolWatch, trace: Trace, age_ns: int = 0) -> None:
        """Hold the position a landed buy has opened until it is closed or cannot be sold.

        Args:
            intent: The buy's.
            market: Its pool.
            watch: The watch on it; ended here.
            trace: The snipe's stamps.
            age_ns: How long it has been held already, for a position an earlier run has opened.
        """
        position = self._journal.state.positions[intent]
        opened_at = trace.at(Stamp.CONFIRMED) or earlier(self._clock.mono_ns(), age_ns)
        keeper = PositionKeeper(self._context, position, watch, market, opened_at=opened_at, trace=trace)
        self.keepers[intent] = keeper
        if self._stop.is_set():
            keeper.exit("drain")
        try:
            await keeper.run()
        finally:
            del self.keepers[intent]
        if position.state == "closed":
            self.closed += 1
            if self._until_closed is not None and self.closed >= self._until_closed:
                self._stop.set()

    def _refuse(self, pool: NewPool, refusal: Refusal, trace: Trace) -> None:
        self._count_refusal(pool, refusal)
        self.spans.extend(trace.spans())

    def _count_refusal(self, pool: NewPool, refusal: Refusal) -> None:
        self.rejected[refusal.reason] += 1
        self.refusals.append(Refused(pool=pool, reason=refusal.reason, detail=refusal.detail))


def _objection(verdict: Verdict) -> Refusal | None:
    """Return why a verdict does not let a buy through, or None when it does."""
    if verdict.decision == "ALLOW":
        return None
    against = [item for item in verdict.evidence if item.decision == verdict.decision]
    detail = "; ".join(item.detail for item in against)
    return Refusal(reason=verdict.reasons[0], detail=detail)
