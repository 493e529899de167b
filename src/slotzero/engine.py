"""The engine: wires the stages of the sniper, owns its tasks, and starts, recovers and ends a run.

From a creation's frame to the buy's signed bytes everything is one synchronous call: decode, filter, plan, build, sign,
without an RPC call. The safety check starts at the same moment, and its gate holds back only the send. Each snipe is a
task of one task group; so are the positions found in the journal at start-up, which is how a crash is recovered from.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, add_ms, earlier, elapsed_ns
from slotzero.config import Settings
from slotzero.detection.detector import Detector
from slotzero.detection.records import DetectorStats
from slotzero.errors import MalformedError, TransportError
from slotzero.safety.honeypot import HoneypotChecker, RunningCheck, first_layers
from slotzero.safety.reader import AccountView, SimulationView
from slotzero.safety.records import Verdict
from slotzero.solana.account_watch import AccountUpdate, watch_account
from slotzero.solana.blockhash import BlockhashCache
from slotzero.solana.pubsub import Connection, PubSub
from slotzero.solana.rpc import RpcClient
from slotzero.solana.transaction import SignedTransaction, Signer, compute_budget, sign
from slotzero.trace import Span, Stamp, Trace
from slotzero.trading.accountant import Accountant
from slotzero.trading.context import TradingContext
from slotzero.trading.execution import OrderDesk
from slotzero.trading.fees import network_fee
from slotzero.trading.filters import Filters, Refusal
from slotzero.trading.journal import (
    Intent,
    IntentAbandoned,
    IntentSent,
    IntentSigned,
    IntentUnknown,
    Journal,
    PositionRecord,
    new_intent_id,
)
from slotzero.trading.keeper import PoolWatch, PositionKeeper
from slotzero.trading.plan import BuyPlan, plan_buy
from slotzero.trading.probe import RentFacts, round_trip_probe
from slotzero.trading.wallet import Wallet
from slotzero.units import DurationNs, Lamports, MonoNs
from slotzero.venues.market import Market, Trader
from slotzero.venues.records import NewPool

__all__ = ["Engine", "EngineReport", "Refused", "VenueDesk"]

log = logging.getLogger(__name__)

_MAX_KEPT: Final = 10_000
_MAX_CHECKS: Final = 256
"""Checks in flight; beyond it a new pool is refused as "overloaded" instead of queued: old news is worth nothing."""
_WITHOUT_CONNECTION_MS: Final = 10_000
_DRAIN_MS: Final = 15_000
_TOKEN_ACCOUNT_BYTES: Final = 170
_DEPOSIT_BYTES: Final = 137


class VenueDesk(Struct, frozen=True, kw_only=True):
    """A venue this run trades on: whose logs are followed, and how its pools are traded."""

    name: str
    program: Pubkey
    trader: Trader


class Refused(Struct, frozen=True, kw_only=True):
    """A pool that was not bought: `reason` is what is counted, `detail` the values found."""

    pool: NewPool
    reason: str
    detail: str


class EngineReport(Struct, frozen=True, kw_only=True):
    """What a run has seen and done so far.

    Attributes:
        rejected: Pools not bought, by reason.
        failed: Buys that were sent and did not land, by reason.
        held: Positions that still have tokens, stuck ones included.
        in_flight: Snipes between `NewPool` and their end.
        spans: What the stages of the newest snipes took.
        revaluations: How long the newest re-valuations of a position took.
        double_buys: Mints of which more than one buy has landed.
        lost_intents: Intents without an end that nobody is working on.
        unknown_open: Intents whose outcome the chain could not be asked for.
    """

    detected: int
    rejected: dict[str, int]
    refusals: tuple[Refused, ...]
    bought: int
    closed: int
    failed: dict[str, int]
    recovered: int
    in_flight: int
    positions: tuple[PositionRecord, ...]
    values: dict[str, Lamports | None]
    spans: tuple[Span, ...]
    revaluations: tuple[DurationNs, ...]
    detector: DetectorStats
    rpc_calls: dict[str, int]
    wallet: Pubkey
    balance: Lamports
    double_buys: int
    lost_intents: int
    unknown_open: int


class _Buy(Struct, frozen=True, kw_only=True):
    """A signed buy that waits for its gate."""

    signed: SignedTransaction
    event: IntentSigned
    reserved_lamports: int


class _Reader:
    """The chain as the safety check asks for it."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
        return await self._rpc.get_multiple_accounts(keys, "processed", purpose="safety")

    async def simulate(self, raw: bytes, watch: Sequence[Pubkey]) -> SimulationView:
        return await self._rpc.simulate(raw, watch, "processed", purpose="safety")


class Engine:
    """One run of the sniper.

    Args:
        settings: The configuration.
        rpc: The endpoint, entered.
        ws_url: Its WebSocket side.
        journal: The journal, entered.
        signer: The wallet's key.
        venues: What is followed and traded.
        detector: Decodes the venues' frames.
        clock: Time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        rpc: RpcClient,
        ws_url: str,
        journal: Journal,
        signer: Signer,
        venues: Sequence[VenueDesk],
        detector: Detector,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._rpc = rpc
        self._journal = journal
        self._signer = signer
        self._venues = {venue.name: venue for venue in venues}
        self._detector = detector
        self._clock = clock
        self._filters = Filters(settings.filters)
        self._checker = HoneypotChecker(
            _Reader(rpc),
            first_layers(max_round_trip_loss_bps=settings.safety.max_round_trip_loss_bps),
            budget_ms=settings.safety.budget_ms,
        )
        self._pubsub = PubSub(ws_url, clock=clock, on_connection=self._on_connection)
        self._connection: Connection = "down"
        self._connection_changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._stop_after: int | None = None
        self._rent = RentFacts(empty_account_lamports=Lamports(0), first_trade_lamports=Lamports(0))
        self._ctx: TradingContext | None = None
        self._keepers: dict[str, PositionKeeper] = {}
        self._working: set[str] = set()
        """Intents somebody is working on."""
        self._snipes: set[asyncio.Task[None]] = set()
        self._buying = self._checking = 0
        self._detected = self._bought = self._closed = self._recovered = 0
        self._rejected: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._refusals: deque[Refused] = deque(maxlen=_MAX_KEPT)
        self._spans: deque[Span] = deque(maxlen=_MAX_KEPT)
        self._revaluations: deque[DurationNs] = deque(maxlen=_MAX_KEPT)

    # ---- a run -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the run to end: no more buys, sell what is held, settle what is open. Safe to call at any time."""
        self._stop.set()

    async def run(self, *, until_closed: int | None = None, for_s: float | None = None) -> EngineReport:
        """Recover, snipe until told to stop, drain. *Does I/O.*

        Args:
            until_closed: Stop when so many positions have been closed; no more are opened than are still needed.
            for_s: Stop after so many seconds.

        Raises:
            SlotzeroError: (in an ExceptionGroup) The endpoint or the journal failed for good.
        """
        self._stop_after = until_closed
        async with asyncio.TaskGroup() as background:
            services = [background.create_task(self._pubsub.run(), name="pubsub")]
            try:
                await self._start(background, services)
                async with asyncio.timeout(for_s):
                    await self._stop.wait()
            except TimeoutError:
                pass
            try:
                await self._drain()
            finally:
                await self._close_books()
                for service in services:
                    service.cancel()
        return self.report()

    async def _start(self, background: asyncio.TaskGroup, services: list[asyncio.Task[None]]) -> None:
        blockhashes = BlockhashCache(self._rpc, clock=self._clock)
        desk = OrderDesk(
            rpc=self._rpc,
            pubsub=self._pubsub,
            blockhashes=blockhashes,
            clock=self._clock,
            tasks=background,
            rebroadcast_ms=self._settings.orders.rebroadcast_ms,
            poll_ms=self._settings.orders.status_poll_ms,
        )
        balance = await self._rpc.get_balance(self._signer.pubkey, "processed")
        await self._read_rent()
        wallet = Wallet(self._signer, balance=balance, kept=self._rent.first_trade_lamports)
        self._ctx = TradingContext(
            settings=self._settings,
            clock=self._clock,
            rpc=self._rpc,
            pubsub=self._pubsub,
            journal=self._journal,
            blockhashes=blockhashes,
            desk=desk,
            accountant=Accountant(self._rpc, self._journal, clock=self._clock),
            wallet=wallet,
            tasks=background,
            revaluations=self._revaluations,
        )
        await blockhashes.refresh()
        for venue in self._venues.values():
            await self._configure(venue)
        watch_account(self._pubsub, wallet.pubkey, "processed", self._on_wallet)
        services.append(background.create_task(blockhashes.run(), name="blockhash"))
        services.append(background.create_task(desk.run(), name="orders"))
        services.append(background.create_task(self._watch_connection(), name="connection"))
        self._recover()
        feeds = [
            self._pubsub.subscribe(
                "logsSubscribe", [{"mentions": [str(venue.program)]}, {"commitment": "processed"}], self._on_frame
            )
            for venue in self._venues.values()
        ]
        for feed in feeds:
            await feed.active

    async def _read_rent(self) -> None:
        empty = await self._rpc.get_minimum_balance(0)
        token = await self._rpc.get_minimum_balance(_TOKEN_ACCOUNT_BYTES)
        deposit = await self._rpc.get_minimum_balance(_DEPOSIT_BYTES)
        self._rent = RentFacts(empty_account_lamports=empty, first_trade_lamports=Lamports(empty + token + deposit))

    async def _configure(self, venue: VenueDesk) -> None:
        """Read the venue's settings once and follow their changes."""
        keys = venue.trader.config_accounts
        accounts = await self._rpc.get_multiple_accounts(keys, "confirmed", purpose="warm")
        data = [None if account is None else account.data for account in accounts]
        venue.trader.configure(data)

        def follow(index: int) -> Callable[[AccountUpdate, MonoNs], None]:
            def on_update(update: AccountUpdate, _now: MonoNs) -> None:
                changed = [*data[:index], update.data, *data[index + 1 :]]
                try:
                    venue.trader.configure(changed)
                except MalformedError as error:
                    log.warning("%s changed its settings to what cannot be read: %s", venue.name, error)
                    return
                data[index] = update.data

            return on_update

        for index, key in enumerate(keys):
            watch_account(self._pubsub, key, "confirmed", follow(index))

    # ---- from a frame to signed bytes: synchronous -----------------------------------------------------------------

    def _on_frame(self, frame: bytes, now: MonoNs) -> None:
        for pool in self._detector.on_frame(frame, now):
            self._on_pool(pool)

    def _on_pool(self, pool: NewPool) -> None:
        clock, trace = self._clock, Trace()
        if pool.mono_cause is not None:
            trace.mark(Stamp.CAUSE, pool.mono_cause)
        trace.mark(Stamp.FRAME, pool.mono_frame)
        trace.mark(Stamp.POOL, clock.mono_ns())
        self._detected += 1
        refusal = self._filters.decide(pool)
        trace.mark(Stamp.FILTERED, clock.mono_ns())
        if refusal is None and self._checking >= _MAX_CHECKS:
            refusal = Refusal(reason="overloaded", detail=f"{_MAX_CHECKS} checks are under way")
        if refusal is not None:
            self._refuse(pool, refusal, trace)
            return
        market = self._venues[pool.venue].trader.market(pool)
        plan = plan_buy(market, pool.reserves, self._settings.trade)
        trace.mark(Stamp.PLANNED, clock.mono_ns())
        if isinstance(plan, Refusal):
            self._refuse(pool, plan, trace)
            return
        buy = self._prepare(pool, market, plan, trace)
        assert self._ctx is not None
        task = self._ctx.tasks.create_task(self._snipe(pool, market, plan, buy, trace), name=f"snipe {pool.mint}")
        self._snipes.add(task)
        task.add_done_callback(self._snipes.discard)

    def _prepare(self, pool: NewPool, market: Market, plan: BuyPlan, trace: Trace) -> "_Buy | Refusal":
        """Reserve and sign; or say why not, in which case the pool is still checked, so that the reason is known."""
        context = self._ctx
        assert context is not None
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
        open_now = self._buying + len(self._keepers)
        most = self._settings.trade.max_open_positions
        if self._stop.is_set():
            return Refusal(reason="stopping", detail="the run is ending")
        if self._stop_after is not None and open_now >= self._stop_after - self._closed:
            return Refusal(reason="enough_open", detail="no more positions are needed to end the run")
        if open_now >= most:
            return Refusal(reason="max_open_positions", detail=f"{open_now} positions are open, the most is {most}")
        return None

    # ---- one snipe -------------------------------------------------------------------------------------------------

    async def _snipe(self, pool: NewPool, market: Market, plan: BuyPlan, buy: "_Buy | Refusal", trace: Trace) -> None:
        assert self._ctx is not None
        try:
            if isinstance(buy, Refusal):
                await self._look_only(pool, market, plan, buy, trace)
                return
            watch = PoolWatch(self._ctx, market)
            kept = False
            try:
                kept = await self._buy(market, plan, buy, trace, watch)
            finally:
                self._buying -= 1
                self._ctx.wallet.release(buy.reserved_lamports)
                if not kept:
                    watch.close()
            if kept:
                await self._keep(buy.event.intent, market, watch, trace)
        finally:
            self._spans.extend(trace.spans())

    async def _look_only(self, pool: NewPool, market: Market, plan: BuyPlan, refusal: Refusal, trace: Trace) -> None:
        if self._settings.safety.gate == "none":
            self._count_refusal(pool, refusal)
            return
        verdict = await self._judge(self._check(pool, market, plan), trace)
        self._count_refusal(pool, _objection(verdict) or refusal)

    async def _buy(self, market: Market, plan: BuyPlan, buy: _Buy, trace: Trace, watch: PoolWatch) -> bool:
        """Write the intent down, pass the gate, send, settle. Returns whether there is a position now."""
        context, intent = self._ctx, buy.event.intent
        assert context is not None
        self._working.add(intent)
        try:
            written = self._journal.append(buy.event)
            objection = await self._pass_gate(market, plan, trace, watch)
            await written
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
            trace.mark(Stamp.CONFIRMED, self._clock.mono_ns())
            state = await context.accountant.settle(buy.event, outcome, market)
        finally:
            self._working.discard(intent)
        if state == "landed":
            self._bought += 1
            return self._journal.state.positions[intent].state == "open"
        self._failed[self._journal.state.intents[intent].reason or state] += 1
        return False

    async def _pass_gate(self, market: Market, plan: BuyPlan, trace: Trace, watch: PoolWatch) -> Refusal | None:
        gate = self._settings.safety.gate
        if gate == "none":
            return None
        check = self._check(market.pool, market, plan)
        if gate == "all":
            return _objection(await self._judge(check, trace))
        if await check.facts() != "ALLOW":
            return _objection(await self._judge(check, trace))
        assert self._ctx is not None
        self._ctx.tasks.create_task(self._late_verdict(check, trace, watch), name="late verdict")
        return None

    async def _late_verdict(self, check: RunningCheck, trace: Trace, watch: PoolWatch) -> None:
        """Under gate "facts" the round trip is known after the send: what it denies is sold at once."""
        verdict = await self._judge(check, trace)
        if verdict.decision == "DENY":
            watch.trigger("honeypot", self._clock.mono_ns())

    def _check(self, pool: NewPool, market: Market, plan: BuyPlan) -> RunningCheck:
        assert self._ctx is not None
        probe = round_trip_probe(market, self._ctx.wallet.pubkey, plan, rent=self._rent)
        self._checking += 1
        return self._checker.start(pool, probe, self._ctx.tasks)

    async def _judge(self, check: RunningCheck, trace: Trace) -> Verdict:
        try:
            return await check.verdict()
        finally:
            self._checking -= 1
            trace.mark(Stamp.VERDICT, self._clock.mono_ns())

    async def _keep(self, intent: str, market: Market, watch: PoolWatch, trace: Trace, age_ns: int = 0) -> None:
        assert self._ctx is not None
        position = self._journal.state.positions[intent]
        opened_at = trace.at(Stamp.CONFIRMED) or earlier(self._clock.mono_ns(), age_ns)
        keeper = PositionKeeper(self._ctx, position, watch, market, opened_at=opened_at, trace=trace)
        self._keepers[intent] = keeper
        if self._stop.is_set():
            keeper.exit("drain")
        try:
            await keeper.run()
        finally:
            del self._keepers[intent]
        if position.state == "closed":
            self._closed += 1
            if self._stop_after is not None and self._closed >= self._stop_after:
                self._stop.set()

    def _refuse(self, pool: NewPool, refusal: Refusal, trace: Trace) -> None:
        self._count_refusal(pool, refusal)
        self._spans.extend(trace.spans())

    def _count_refusal(self, pool: NewPool, refusal: Refusal) -> None:
        self._rejected[refusal.reason] += 1
        self._refusals.append(Refused(pool=pool, reason=refusal.reason, detail=refusal.detail))

    # ---- recovery --------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Take up what an earlier run of this chain has left: the same code for a restart and for a crash."""
        assert self._ctx is not None
        state = self._journal.state
        unsettled = {intent.signed.position or intent.signed.intent: intent for intent in state.open_intents()}
        ids = list(dict.fromkeys([*unsettled, *(position.id for position in state.held_positions())]))
        for position_id in ids:
            pool = state.intents[position_id].signed.pool
            assert pool is not None, "a buy carries its pool"
            market = self._venues[pool.venue].trader.market(pool)
            self._recovered += 1
            task = self._ctx.tasks.create_task(
                self._take_up(position_id, unsettled.get(position_id), market), name=f"recover {pool.mint}"
            )
            self._snipes.add(task)
            task.add_done_callback(self._snipes.discard)

    async def _take_up(self, position_id: str, intent: Intent | None, market: Market) -> None:
        assert self._ctx is not None
        if intent is not None:
            signed = intent.signed
            self._working.add(signed.intent)
            try:
                transaction = SignedTransaction(
                    raw=signed.raw,
                    signature=signed.signature,
                    last_valid_block_height=signed.last_valid_block_height,
                )
                outcome = await self._ctx.desk.execute(transaction, may_send=False)
                await self._ctx.accountant.settle(signed, outcome, market)
            finally:
                self._working.discard(signed.intent)
        position = self._journal.state.positions.get(position_id)
        if position is None or position.state == "closed" or (intent is not None and intent.is_open):
            return
        if position.state == "stuck":
            position.state = "open"  # tried again at each start
        age_ns = elapsed_ns(position.opened_wall_ns, self._clock.wall_ns())
        await self._keep(position_id, market, PoolWatch(self._ctx, market), Trace(), age_ns)

    # ---- the end ---------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Sell what is held and let what is open settle, for a bounded time."""
        self._stop.set()
        for keeper in list(self._keepers.values()):
            keeper.exit("drain")
        if self._snipes:
            await asyncio.wait(self._snipes, timeout=_DRAIN_MS / 1000)
        for task in list(self._snipes):
            task.cancel()
        if self._snipes:
            await asyncio.wait(self._snipes)

    async def _close_books(self) -> None:
        """Name as unknown what has no outcome: the next start settles it with the chain."""
        for intent in self._journal.state.open_intents():
            if intent.state != "unknown":
                reason = "the run ended before the chain had answered"
                await self._journal.append(IntentUnknown(intent=intent.signed.intent, reason=reason))

    # ---- what the connection says ----------------------------------------------------------------------------------

    def _on_wallet(self, update: AccountUpdate, _now: MonoNs) -> None:
        if self._ctx is not None:
            self._ctx.wallet.balance = update.lamports

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        self._connection_changed.set()

    async def _watch_connection(self) -> None:
        """End the run when the connection stays lost: a blind bot cannot guard its positions."""
        while True:
            await self._connection_changed.wait()
            self._connection_changed.clear()
            if self._connection == "up":
                continue
            deadline = add_ms(self._clock.mono_ns(), _WITHOUT_CONNECTION_MS)
            await self._clock.sleep_until(deadline)
            if self._connection == "down":
                seconds = _WITHOUT_CONNECTION_MS // 1000
                raise TransportError(
                    self._pubsub.endpoint, f"no connection for {seconds} s; positions are in the journal"
                )

    # ---- looking inside --------------------------------------------------------------------------------------------

    def report(self) -> EngineReport:
        """Return what the run has seen and done so far."""
        state = self._journal.state
        landed = Counter(
            intent.signed.mint
            for intent in state.intents.values()
            if intent.signed.side == "buy" and intent.state == "landed"
        )
        open_intents = state.open_intents()
        return EngineReport(
            detected=self._detected,
            rejected=dict(self._rejected),
            refusals=tuple(self._refusals),
            bought=self._bought,
            closed=self._closed,
            failed=dict(self._failed),
            recovered=self._recovered,
            in_flight=len(self._snipes),
            positions=tuple(state.positions.values()),
            values={intent: keeper.value_lamports for intent, keeper in self._keepers.items()},
            spans=tuple(self._spans),
            revaluations=tuple(self._revaluations),
            detector=self._detector.stats(),
            rpc_calls=dict(self._rpc.calls),
            wallet=self._signer.pubkey,
            balance=Lamports(0) if self._ctx is None else self._ctx.wallet.balance,
            double_buys=sum(1 for count in landed.values() if count > 1),
            lost_intents=sum(1 for i in open_intents if i.state != "unknown" and i.signed.intent not in self._working),
            unknown_open=sum(1 for i in open_intents if i.state == "unknown"),
        )


def _objection(verdict: Verdict) -> Refusal | None:
    """Return why a verdict does not let a buy through, or None when it does."""
    if verdict.decision == "ALLOW":
        return None
    against = [item for item in verdict.evidence if item.decision == verdict.decision]
    detail = "; ".join(item.detail for item in against)
    return Refusal(reason=verdict.reasons[0], detail=detail)
