"""From a new pool to a closed position: the path of one snipe.

`on_pool` is synchronous from the pool to the buy's signed bytes: filter, choose the wallet, plan, choose the fees,
build, sign, without an RPC call. The safety check starts at the same moment, and its gate holds back only the send.
What awaits is a task of the run's group.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from msgspec import Struct

from slotzero.clock import earlier, elapsed_ns, later, ms
from slotzero.hook import PoolJudged, PositionEnded, SnipeDecided, ignore
from slotzero.recent import Recent
from slotzero.safety.honeypot import Check, Checker
from slotzero.safety.records import Verdict
from slotzero.solana.tips import tip_instruction
from slotzero.solana.transaction import SignedTransaction, compute_budget, sign
from slotzero.trace import Component, Span, Stamp, Trace
from slotzero.trading.admission import Admission
from slotzero.trading.context import TradingContext
from slotzero.trading.exit_rules import DRAIN, HONEYPOT, manual_signal
from slotzero.trading.fee_policy import Expectation, FeeChoice, FeeRequest, TransactionKind
from slotzero.trading.fees import LAMPORTS_PER_SIGNATURE
from slotzero.trading.filters import Filters, Refusal, load_hook
from slotzero.trading.journal import (
    KEPT_MINTS,
    AlreadyClaimed,
    IntentAbandoned,
    IntentSent,
    IntentSigned,
    IntentState,
    PositionRecord,
)
from slotzero.trading.keeper import PositionKeeper
from slotzero.trading.limits import SpendRequest
from slotzero.trading.order import Confirmed
from slotzero.trading.plan import BuyPlan, plan_buy
from slotzero.trading.pool_watch import PoolWatch
from slotzero.trading.privacy import PrivacyPlan
from slotzero.trading.probe import RentFacts, round_trip_probe
from slotzero.trading.rules import buy_overhead
from slotzero.trading.sliding_sum import Entry
from slotzero.trading.socials import socials_objection
from slotzero.trading.traders import Traders
from slotzero.trading.wallets.book import Reservation
from slotzero.units import BPS, DurationNs, Lamports, MonoNs, Slot
from slotzero.venues.market import Market
from slotzero.venues.records import NewPool

__all__ = ["Refused", "Sniper"]

_KEPT_REFUSALS: Final = 2_048
_KEPT_SPANS: Final = 10_000
_KEPT_TRACES: Final = 64
_ALREADY_BOUGHT: Final = Refusal(reason="already_bought", detail="the journal has a buy of it: a mint is bought once")


class Refused(Struct, frozen=True, kw_only=True):
    """A pool that was not bought: `reason` is what is counted, `detail` the values found."""

    pool: NewPool
    reason: str
    detail: str


class _Arrival(Struct, frozen=True, kw_only=True):
    """A pool the filters let through, with its stamps."""

    pool: NewPool
    trace: Trace


class _Buy(Struct, frozen=True, kw_only=True):
    """A signed buy that waits for its gate."""

    signed: SignedTransaction
    event: IntentSigned
    reservation: Reservation
    fees: FeeChoice
    charge: Entry
    kind: TransactionKind
    delay_ns: DurationNs


class Sniper:
    """Takes new pools in and carries each to its end.

    Args:
        context: The run.
        traders: How each venue's pools are traded.
        checker: The safety check.
        rent: What new accounts cost.
        stop: Set when the run is ending, by whoever ends it; set here when enough positions have been closed.
        until_closed: How many closed positions end the run; None = no such end.
    """

    def __init__(
        self,
        context: TradingContext,
        *,
        traders: Traders,
        checker: Checker,
        rent: RentFacts,
        stop: asyncio.Event,
        until_closed: int | None,
    ) -> None:
        settings = context.settings
        self._context = context
        self._settings = settings
        self._clock = context.clock
        self._journal = context.journal
        self._traders = traders
        self._checker = checker
        self._filters = Filters(settings.filters, load_hook(settings.filters.hook))
        self._rent = rent
        self._stop = stop
        self._until_closed = until_closed
        self._buying: dict[str, str] = {}
        """The signature of each buy under way, by its intent."""
        self._reservations: dict[str, Reservation] = {}
        state = context.journal.state
        self._bought_mints = Recent(KEPT_MINTS, state.bought_mints)
        """Whatever became of the buy: no mint is bought twice, though a feed may tell of its creation again. Of older
        ones the journal knows when they are claimed."""
        self._traded = set(state.traded)
        self.admission: Admission[_Arrival] = Admission(
            max_in_flight=settings.limits.snipes_in_flight, max_waiting=settings.limits.waiting_pools
        )
        self.tasks: set[asyncio.Task[None]] = set()
        """Every snipe under way."""
        self.working: set[str] = set()
        """Intents somebody is working on."""
        self.keepers: dict[str, PositionKeeper] = {}
        """Who watches each open position."""
        self.taking_up: set[str] = set()
        """What an earlier run has left and may still turn out to be a position; it takes room until then."""
        self.left_open: dict[str, Reservation] = {}
        """What each buy that an earlier run has left without an end may still cost its wallet, by its intent."""
        self.to_sell: set[str] = set()
        """Positions that are to be sold by hand as soon as somebody keeps them."""
        self.detected = self.bought = self.closed = 0
        self.rejected: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.refusals: deque[Refused] = deque(maxlen=_KEPT_REFUSALS)
        self.spans: deque[Span] = deque(maxlen=_KEPT_SPANS)
        self.traces: deque[Trace] = deque(maxlen=_KEPT_TRACES)

    # ---- from a frame to signed bytes: synchronous -----------------------------------------------------------------

    def on_pool(self, pool: NewPool) -> None:
        """Take a new pool. *Hot path.*"""
        clock, trace = self._clock, Trace()
        if pool.mono_cause is not None:
            trace.mark(Stamp.CAUSE, pool.mono_cause)
        trace.mark(Stamp.FRAME, pool.mono_frame)
        now = clock.mono_ns()
        trace.mark(Stamp.POOL, now)
        self.detected += 1
        refusal = self._filters.decide(pool, now)
        trace.mark(Stamp.FILTERED, clock.mono_ns())
        if refusal is not None:
            self._refuse(pool, refusal, trace)
            return
        arrival = _Arrival(pool=pool, trace=trace)
        may_begin, dropped = self.admission.enter(arrival)
        if dropped is not None:
            most = self._settings.limits.snipes_in_flight
            detail = f"{most} pools are being checked or bought, and newer ones wait"
            self._refuse(dropped.pool, Refusal(reason="overloaded", detail=detail), dropped.trace)
        if may_begin:
            self._begin(arrival)

    def _begin(self, arrival: _Arrival) -> None:
        """Plan and sign, and let a task do the rest. What is not bought is checked too: then the reason is known."""
        pool, trace, context = arrival.pool, arrival.trace, self._context
        blocked = self._no_room(pool)
        private, wallet = self._choose(is_wanted=blocked is None)
        market = self._traders.market(pool, wallet.wallet if isinstance(wallet, Reservation) else None)
        plan = plan_buy(market, pool.reserves, self._settings.trade, private.lamports)
        trace.mark(Stamp.PLANNED, self._clock.mono_ns())
        buy: _Buy | Refusal
        if isinstance(plan, Refusal):
            if isinstance(wallet, Reservation):
                context.book.release(wallet)
            self._refuse(pool, plan, trace)
            self._leave()
            return
        if blocked is not None:
            buy = blocked
        elif isinstance(wallet, Refusal):
            buy = wallet
        else:
            assert wallet is not None
            buy = self._sign(market, plan, wallet, private, trace)
        self.own(context.tasks.create_task(self._snipe(market, plan, buy, trace), name=f"snipe {pool.mint}"))

    def _no_room(self, pool: NewPool) -> Refusal | None:
        """Say why nothing can be bought now, whatever it costs."""
        if pool.mint in self._bought_mints:
            return _ALREADY_BOUGHT
        if self._stop.is_set():
            return Refusal(reason="stopping", detail="the run is ending")
        open_now = len(self._buying) + len(self.keepers) + len(self.taking_up)
        if self._until_closed is not None and open_now >= self._until_closed - self.closed:
            return Refusal(reason="enough_open", detail="no more positions are needed to end the run")
        most = self._settings.trade.max_open_positions
        if open_now >= most:
            return Refusal(reason="max_open_positions", detail=f"{open_now} positions are open, the most is {most}")
        if self._context.blockhashes.current(self._clock.mono_ns()) is None:
            return Refusal(reason="stale_blockhash", detail="the newest blockhash is too old to sign with")
        return None

    def _choose(self, *, is_wanted: bool) -> tuple[PrivacyPlan, Reservation | Refusal | None]:
        """Draw how much is spent, and reserve the most it can cost in the wallet whose turn it is."""
        clock, timings = self._clock, self._context.timings
        before = clock.mono_ns()
        private = self._context.privacy.plan("entry", self._settings.trade.buy_lamports)
        drawn = clock.mono_ns()
        timings.add(Component.PRIVACY, elapsed_ns(before, drawn))
        if not is_wanted:
            return private, None
        chosen = self._context.book.choose(self.most_cost(private.lamports), drawn)
        timings.add(Component.WALLET_ROTATION, elapsed_ns(drawn, clock.mono_ns()))
        return private, chosen

    def most_cost(self, lamports: Lamports) -> Lamports:
        """Return the most that a buy which may spend `lamports` takes from its wallet, rent and fees included."""
        return Lamports(lamports + buy_overhead(self._settings.fees, self._rent))

    def _sign(
        self, market: Market, plan: BuyPlan, reservation: Reservation, private: PrivacyPlan, trace: Trace
    ) -> _Buy | Refusal:
        """Check the limits, choose the fees, sign; or say why not, and give the reservation back."""
        context, pool, wallet = self._context, market.pool, reservation.wallet
        wall_ns = self._clock.wall_ns()
        refusal = context.limits.check(SpendRequest(wallet=wallet, lamports=plan.limit_lamports), wall_ns)
        kind: TransactionKind = "buy" if (pool.venue, wallet) in self._traded else "first_buy"
        choice = refusal or self._fees(market, plan, kind, private)
        if isinstance(choice, Refusal):
            context.book.release(reservation)
            return choice
        now = self._clock.mono_ns()
        blockhash = context.blockhashes.current(now)
        assert blockhash is not None, "_no_room has looked"
        instructions = [*compute_budget(choice.limit, choice.price), *market.buy(plan.tokens, plan.limit_lamports)]
        if choice.tip_lamports:
            instructions.append(tip_instruction(wallet, choice.tip_lamports, pool.mint.__hash__()))
        signed = sign(context.signers[wallet], instructions, blockhash)
        trace.mark(Stamp.SIGNED, self._clock.mono_ns())
        event = IntentSigned(
            intent=context.identities.intent_id(),
            side="buy",
            signature=signed.signature,
            raw=signed.raw,
            last_valid_block_height=signed.last_valid_block_height,
            mint=pool.mint,
            wallet=wallet,
            tokens=plan.tokens,
            quoted_lamports=plan.quoted_lamports,
            limit_lamports=plan.limit_lamports,
            reason="new_pool",
            pool=pool,
        )
        context.limits.record(event, wall_ns)
        self._buying[event.intent] = signed.signature
        self._bought_mints.add(pool.mint)
        return _Buy(
            signed=signed,
            event=event,
            reservation=reservation,
            fees=choice,
            charge=context.fees.charge(choice.bid_lamports, now),
            kind=kind,
            delay_ns=private.delay_ns,
        )

    def _fees(self, market: Market, plan: BuyPlan, kind: TransactionKind, private: PrivacyPlan) -> FeeChoice | Refusal:
        settings, started = self._settings.fees, self._clock.mono_ns()
        expectation = None
        if settings.expected_gain_bps:
            expectation = Expectation(
                gain_lamports=Lamports(plan.quoted_lamports * settings.expected_gain_bps // BPS),
                chance_bps=settings.expected_chance_bps,
                exit_fee_lamports=Lamports(LAMPORTS_PER_SIGNATURE),
            )
        choice = self._context.fees.choose(
            FeeRequest(
                venue=market.pool.venue,
                kind=kind,
                purpose="entry",
                hot_accounts=(market.state_account,),
                stake_lamports=plan.limit_lamports,
                takes_tip=self._context.send_buy is not None,
                min_tip_lamports=settings.min_tip_lamports if self._context.send_buy is not None else Lamports(0),
                expectation=expectation,
                variation=private.fees,
            ),
            started,
        )
        self._context.timings.add(Component.FEE_OPTIMIZATION, elapsed_ns(started, self._clock.mono_ns()))
        return choice

    def is_working_on(self, signed: IntentSigned) -> bool:
        """Tell whether somebody will see to the end of an intent: a snipe, or the keeper whose sell it is."""
        return signed.intent in self.working or signed.position in self.keepers

    def own(self, task: asyncio.Task[None]) -> None:
        """Count a task among the snipes under way."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _leave(self) -> None:
        """Give a place in flight free, to the newest pool that waits for one."""
        most_ms = self._settings.limits.max_wait_ms
        while (arrival := self.admission.leave()) is not None:
            if elapsed_ns(arrival.pool.mono_frame, self._clock.mono_ns()) <= ms(most_ms):
                self._begin(arrival)
                return
            refusal = Refusal(reason="overloaded", detail=f"it waited longer than {most_ms} ms for others to end")
            self._refuse(arrival.pool, refusal, arrival.trace)

    # ---- one snipe -------------------------------------------------------------------------------------------------

    async def _snipe(self, market: Market, plan: BuyPlan, buy: _Buy | Refusal, trace: Trace) -> None:
        try:
            if isinstance(buy, Refusal):
                try:
                    await self._look_only(market, plan, buy, trace)
                finally:
                    self._leave()
                return
            watch, state = PoolWatch(self._context, market), None
            keeping: asyncio.Task[None] | None = None

            def on_held() -> None:
                nonlocal keeping
                guard = self.guard(buy.event.intent, market, watch, trace)
                keeping = self._context.tasks.create_task(guard, name=f"keep {market.pool.mint}")
                self._leave()

            try:
                state = await self._buy(market, plan, buy, trace, watch, on_held)
            finally:
                self._settle_buy(buy, state)
                if keeping is None:
                    if not self._is_open(buy.event.intent):
                        watch.close()
                    self._leave()
                elif state != "landed":
                    keeping.cancel()
                    await asyncio.wait([keeping])
            if keeping is None:
                if self._is_open(buy.event.intent):
                    await self.keep(buy.event.intent, market, watch, trace)
            elif state == "landed":
                await keeping
                self.tell_end(buy.event.intent, trace)
        finally:
            self.spans.extend(trace.spans())
            self.traces.append(trace)

    def _is_open(self, intent: str) -> bool:
        position = self._journal.state.positions.get(intent)
        return position is not None and position.state == "open"

    def settle_reservation(self, intent: str, reservation: Reservation, state: IntentState | None) -> None:
        """Give back or commit what a buy has reserved; what is unknown stays reserved."""
        book = self._context.book
        if state in ("landed", "failed"):
            spent = Lamports(max(-self._journal.state.intents[intent].lamports_delta, 0))
            position = self._journal.state.positions.get(intent)
            is_held = position is not None and position.state != "closed"
            book.commit(reservation, spent=spent, now=self._clock.mono_ns(), is_held=is_held)
            if is_held:
                self._reservations[intent] = reservation
        elif state in ("expired", "abandoned"):
            book.release(reservation)

    def _settle_buy(self, buy: _Buy, state: IntentState | None) -> None:
        """Give back or commit what a buy has reserved, in the wallet and of the fees."""
        context = self._context
        self._buying.pop(buy.event.intent, None)
        self.settle_reservation(buy.event.intent, buy.reservation, state)
        if state in ("landed", "failed"):
            self._traded.add((buy.event.pool.venue, buy.event.wallet) if buy.event.pool else ("", buy.event.wallet))
        if state is not None and state != "unknown":
            context.fees.settle(buy.charge, buy.fees.bid_lamports if state in ("landed", "failed") else 0)
        if state == "landed" or state == "failed" or state == "expired":  # noqa: PLR1714 narrows the type
            context.fees.on_outcome(state)

    async def _look_only(self, market: Market, plan: BuyPlan, refusal: Refusal, trace: Trace) -> None:
        if self._settings.safety.gate == "none":
            self._count_refusal(market.pool, refusal, trace)
            return
        verdict = await self._judge(self._check(market, plan, None), trace)
        self._count_refusal(market.pool, _objection(verdict) or refusal, trace)

    async def _buy(
        self, market: Market, plan: BuyPlan, buy: _Buy, trace: Trace, watch: PoolWatch, on_held: Callable[[], None]
    ) -> IntentState:
        """Claim the mint for this intent, pass the gate, send, settle. Returns what became of it.

        `on_held` is called when its position is open and the transaction that opened it cannot be read yet.
        """
        context, event = self._context, buy.event
        self.working.add(event.intent)
        try:
            claim = self._journal.claim(event)
            objection = await self._pass_gate(market, plan, event, trace, watch)
            if isinstance(claimed := await claim, AlreadyClaimed):
                context.limits.record(IntentAbandoned(intent=event.intent, reason="claimed"), self._clock.wall_ns())
                self._count_refusal(market.pool, _claimed(claimed.by, self._journal.bot), trace)
                return "abandoned"
            if buy.delay_ns and objection is None:
                await self._clock.sleep_until(later(self._clock.mono_ns(), buy.delay_ns))
            objection = objection or self._too_late()
            if objection is not None:
                await self._journal.append(IntentAbandoned(intent=event.intent, reason=objection.reason))
                self._count_refusal(market.pool, objection, trace)
                return "abandoned"
            trace.mark(Stamp.GATED, self._clock.mono_ns())

            def on_sent(now: MonoNs) -> None:
                trace.mark(Stamp.SENT, now)
                self._journal.append(IntentSent(intent=event.intent))

            outcome = await context.desk.execute(buy.signed, on_sent=on_sent, send=context.send_buy)
            if isinstance(outcome, Confirmed):
                trace.mark(Stamp.CONFIRMED, self._clock.mono_ns())
            state = await context.accountant.settle(
                event,
                outcome,
                market,
                on_record=lambda record: context.fees.learn((market.pool.venue, buy.kind), buy.fees, record),
                on_held=on_held,
            )
        finally:
            self.working.discard(event.intent)
        self._count_buy(event, state, trace)
        return state

    def _count_buy(self, event: IntentSigned, state: IntentState, trace: Trace) -> None:
        """Count what became of a buy that was sent, and tell of it."""
        intent = self._journal.state.intents[event.intent]
        reason = "" if state == "landed" else intent.reason if state == "failed" else state
        if state == "landed":
            self.bought += 1
        else:
            self.failed[reason] += 1
        if self._context.hook is ignore:
            return
        slots = None if intent.slot is None or event.pool is None else intent.slot - event.pool.slot
        self._context.hook(
            SnipeDecided(
                id=str(event.mint),
                outcome="bought" if state == "landed" else "unknown" if state == "unknown" else "failed",
                reason=reason,
                trace=trace,
                slots_to_land=slots,
            )
        )

    def _too_late(self) -> Refusal | None:
        """Say why a signed buy is not sent after all."""
        if self._stop.is_set():
            return Refusal(reason="stopping", detail="the run is ending")
        if self._context.limits.is_halted:
            state = self._context.limits.state
            return Refusal(reason="halted", detail=state.killed or state.tripped)
        return None

    async def _pass_gate(
        self, market: Market, plan: BuyPlan, event: IntentSigned, trace: Trace, watch: PoolWatch
    ) -> Refusal | None:
        if not self._settings.filters.require_socials:
            return await self._safety_objection(market, plan, event, trace, watch)
        async with asyncio.TaskGroup() as both:
            socials = both.create_task(socials_objection(market.pool.uri), name=f"socials {market.pool.mint}")
            safety = both.create_task(
                self._safety_objection(market, plan, event, trace, watch), name=f"gate {market.pool.mint}"
            )
        return safety.result() or socials.result()

    async def _safety_objection(
        self, market: Market, plan: BuyPlan, event: IntentSigned, trace: Trace, watch: PoolWatch
    ) -> Refusal | None:
        gate = self._settings.safety.gate
        if gate == "none":
            return None
        check = self._check(market, plan, event)
        if gate == "all":
            return _objection(await self._judge(check, trace))
        if await check.facts() != "ALLOW":
            return _objection(await self._judge(check, trace))
        self._context.tasks.create_task(self._late_verdict(check, trace, watch), name="late verdict")
        return None

    async def _late_verdict(self, check: Check, trace: Trace, watch: PoolWatch) -> None:
        """Under gate "facts" the round trip is known after the send: what it denies is sold at once."""
        verdict = await self._judge(check, trace)
        if verdict.decision == "DENY":
            watch.signal(HONEYPOT)

    def _check(self, market: Market, plan: BuyPlan, event: IntentSigned | None) -> Check:
        payer = event.wallet if event is not None else self._context.book.wallets[0]
        probe = round_trip_probe(market, payer, plan, rent=self._rent, trader=self._context.identities.address())
        return self._checker.start(market.pool, probe, self._context.tasks)

    async def _judge(self, check: Check, trace: Trace) -> Verdict:
        verdict = await check.verdict()
        now = self._clock.mono_ns()
        trace.mark(Stamp.VERDICT, now)
        if self._context.hook is not ignore:
            took = elapsed_ns(trace.at(Stamp.POOL) or now, now)
            self._context.hook(PoolJudged(decision=verdict.decision, took_ns=took))
        return verdict

    # ---- a position ------------------------------------------------------------------------------------------------

    async def keep(self, intent: str, market: Market, watch: PoolWatch, trace: Trace, age_ns: int = 0) -> None:
        """Hold the position a settled buy has opened until it is closed or cannot be sold, and tell of its end."""
        await self.guard(intent, market, watch, trace, age_ns)
        self.tell_end(intent, trace)

    def guard(
        self, intent: str, market: Market, watch: PoolWatch, trace: Trace, age_ns: int = 0
    ) -> Coroutine[Any, Any, None]:
        """Give an open position its keeper, at once. Returns its life, which ends when the position is closed or stuck.

        Args:
            intent: The buy's.
            market: Its pool.
            watch: The watch on it; ended here.
            trace: The snipe's stamps.
            age_ns: How long it has been held already, for a position an earlier run has opened.
        """
        assert intent not in self.keepers, "a position has one keeper at a time"
        position = self._journal.state.positions[intent]
        keeper = PositionKeeper(
            self._context,
            position,
            watch,
            market,
            opened_at=trace.at(Stamp.CONFIRMED) or earlier(self._clock.mono_ns(), age_ns),
            opened_slot=self._journal.state.intents[intent].slot or Slot(0),
            trace=trace,
        )
        self.keepers[intent] = keeper
        self._adopt(position)
        if intent in self.to_sell:
            self.to_sell.discard(intent)
            watch.signal(manual_signal())
        if self._stop.is_set():
            watch.signal(DRAIN)
        if self._context.limits.state.killed:
            watch.signal(manual_signal(urgency="emergency"))
        return self._run(intent, keeper)

    async def _run(self, intent: str, keeper: PositionKeeper) -> None:
        try:
            await keeper.run()
        finally:
            del self.keepers[intent]
            keeper.ended.set()

    def tell_end(self, intent: str, trace: Trace) -> None:
        """Tell of a position that nobody guards any more, once its buy is settled: until then the result is unknown."""
        position = self._journal.state.positions[intent]
        if self._context.hook is not ignore and position.state != "open":
            self._context.hook(
                PositionEnded(
                    id=str(position.pool.mint),
                    reason=position.reason if position.state == "closed" else position.state,
                    is_stuck=position.state == "stuck",
                    pnl_lamports=position.pnl_lamports,
                    trace=trace,
                )
            )
        if position.state == "closed":
            if (reservation := self._reservations.pop(intent, None)) is not None:
                self._context.book.close(reservation)
            self.closed += 1
            if self._until_closed is not None and self.closed >= self._until_closed:
                self._stop.set()

    def _adopt(self, position: PositionRecord) -> None:
        """Let the book know of a position that no buy of this run has opened."""
        book = self._context.book
        is_known = any(position.id in known for known in (self._reservations, self._buying, self.left_open))
        if not is_known and position.wallet in book.wallets:
            cost = Lamports(max(-self._journal.state.intents[position.id].lamports_delta, 0))
            self._reservations[position.id] = book.adopt(position.wallet, at_risk=cost)

    # ---- the kill switch -------------------------------------------------------------------------------------------

    @property
    def buys_under_way(self) -> int:
        """How many buys are signed and have no end yet."""
        return len(self._buying)

    def sell_everything(self) -> None:
        """Send no buy any more, not even again, and sell every position at any price. The limits are halted already."""
        self._context.desk.stop_sending(self._buying.values())
        for arrival in self.admission.clear():
            self._refuse(arrival.pool, Refusal(reason="halted", detail="the kill switch is on"), arrival.trace)
        for keeper in list(self.keepers.values()):
            keeper.signal(manual_signal(urgency="emergency"))

    def _refuse(self, pool: NewPool, refusal: Refusal, trace: Trace) -> None:
        self._count_refusal(pool, refusal, trace)
        self.spans.extend(trace.spans())

    def _count_refusal(self, pool: NewPool, refusal: Refusal, trace: Trace) -> None:
        if self._context.hook is not ignore:
            self._context.hook(SnipeDecided(id=str(pool.mint), outcome="refused", reason=refusal.reason, trace=trace))
        self.rejected[refusal.reason] += 1
        self.refusals.append(Refused(pool=pool, reason=refusal.reason, detail=refusal.detail))


def _claimed(by: str, us: str) -> Refusal:
    """Return why a mint is not bought that was claimed before."""
    if by == us:
        return _ALREADY_BOUGHT
    return Refusal(reason="claimed_elsewhere", detail=f"the bot {by} was first: a pool is bought by one")


def _objection(verdict: Verdict) -> Refusal | None:
    """Return why a verdict does not let a buy through, or None when it does."""
    if verdict.decision == "ALLOW":
        return None
    against = [item for item in verdict.evidence if item.decision == verdict.decision]
    detail = "; ".join(item.detail for item in against)
    return Refusal(reason=verdict.reasons[0], detail=detail)
