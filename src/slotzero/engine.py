"""The engine: wires the stages of the sniper, owns its tasks, and starts, recovers and ends a run.

From a creation's frame to the buy's signed bytes everything is one synchronous call: decode, filter, plan, build, sign,
without an RPC call. The safety check starts at the same moment, and its gate holds back only the send. Each snipe is a
task of one task group; so are the positions found in the journal at start-up, which is how a crash is recovered from.
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, elapsed_ns
from slotzero.config import Settings
from slotzero.detection.detector import Detector
from slotzero.detection.records import DetectorStats
from slotzero.errors import MalformedError, TransportError
from slotzero.safety.honeypot import HoneypotChecker, first_layers
from slotzero.safety.reader import AccountView, SimulationView
from slotzero.solana.account_watch import AccountUpdate, watch_account
from slotzero.solana.blockhash import BlockhashCache
from slotzero.solana.pubsub import Connection, PubSub
from slotzero.solana.rpc import RpcClient
from slotzero.solana.transaction import SignedTransaction, Signer
from slotzero.trace import Span, Trace
from slotzero.trading.accountant import Accountant
from slotzero.trading.context import TradingContext
from slotzero.trading.execution import OrderDesk
from slotzero.trading.journal import Intent, IntentSigned, IntentUnknown, Journal, PositionRecord
from slotzero.trading.keeper import PoolWatch
from slotzero.trading.probe import RentFacts
from slotzero.trading.sniper import Refused, Sniper
from slotzero.trading.wallet import Wallet
from slotzero.units import DurationNs, Lamports, MonoNs
from slotzero.venues.market import Market, Trader
from slotzero.venues.registry import Venue

__all__ = ["Engine", "EngineReport"]

log = logging.getLogger(__name__)

_MAX_KEPT: Final = 10_000
_WITHOUT_CONNECTION_MS: Final = 10_000
_MS_PER_S: Final = 1_000
_DRAIN_S: Final = 15
_TOKEN_ACCOUNT_BYTES: Final = 170
_DEPOSIT_BYTES: Final = 137


class EngineReport(Struct, frozen=True, kw_only=True):
    """What a run has seen and done so far.

    Attributes:
        rejected: Pools not bought, by reason.
        failed: Buys that were sent and did not land, by reason.
        held: Positions that still have tokens, stuck ones included.
        in_flight: Snipes between `NewPool` and their end.
        spans: What the stages of the newest snipes took.
        revaluations: How long the newest re-valuations of a position took.
        expected_lamports: What the wallet must hold by this chain's journal, earlier runs included.
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
    expected_lamports: int
    double_buys: int
    lost_intents: int
    unknown_open: int


class _Parts(Struct, frozen=True, kw_only=True):
    """What exists once the run has started."""

    context: TradingContext
    sniper: Sniper
    traders: dict[str, Trader]


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
        venues: Sequence[Venue],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._rpc = rpc
        self._journal = journal
        self._signer = signer
        self._venues = tuple(venues)
        self._detector = Detector(venues)
        self._clock = clock
        self._pubsub = PubSub(ws_url, clock=clock, on_connection=self._on_connection)
        self._connection: Connection = "down"
        self._connection_changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._started: _Parts | None = None
        self._recovered = 0

    @property
    def _parts(self) -> _Parts:
        assert self._started is not None, "the run has not started"
        return self._started

    @property
    def has_started(self) -> bool:
        """Whether `report` has something to say."""
        return self._started is not None

    # ---- a run -----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the run to end: no more buys, sell what is held, settle what is open. Safe to call at any time."""
        self._stop.set()

    async def run(self, *, until_closed: int | None = None, for_s: float | None = None) -> EngineReport:
        """Recover, snipe until told to stop, drain. *Does I/O.*

        *Cancellation: what is held and what is under way stays in the journal, for the next start.*

        Args:
            until_closed: Stop when so many positions have been closed; no more are opened than are still needed.
            for_s: Stop after so many seconds.

        Raises:
            SlotzeroError: (in an ExceptionGroup) The endpoint or the journal failed for good.
        """
        async with asyncio.TaskGroup() as tasks:
            services = [tasks.create_task(self._pubsub.run(), name="pubsub")]
            try:
                await self._start(tasks, services, until_closed)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(for_s):
                        await self._stop.wait()
                await self._drain()
            finally:
                await self._close_books()
                for service in services:
                    service.cancel()
        return self.report()

    async def _start(
        self, tasks: asyncio.TaskGroup, services: list[asyncio.Task[None]], until_closed: int | None
    ) -> None:
        settings, rpc, clock = self._settings, self._rpc, self._clock
        balance = await rpc.get_balance(self._signer.pubkey, "processed")
        rent = await self._read_rent()
        blockhashes = BlockhashCache(rpc, clock=clock)
        await blockhashes.refresh()
        context = TradingContext(
            settings=settings,
            clock=clock,
            rpc=rpc,
            pubsub=self._pubsub,
            journal=self._journal,
            blockhashes=blockhashes,
            desk=OrderDesk(
                rpc=rpc,
                pubsub=self._pubsub,
                blockhashes=blockhashes,
                clock=clock,
                tasks=tasks,
                rebroadcast_ms=settings.orders.rebroadcast_ms,
                poll_ms=settings.orders.status_poll_ms,
            ),
            accountant=Accountant(rpc, self._journal, clock=clock),
            wallet=Wallet(self._signer, balance=balance, kept=rent.first_trade_lamports),
            tasks=tasks,
            revaluations=deque(maxlen=_MAX_KEPT),
        )
        traders = {venue.name: venue.trader(self._signer.pubkey) for venue in self._venues}
        for trader in traders.values():
            await self._configure(trader)
        checker = HoneypotChecker(
            _Reader(rpc),
            first_layers(max_round_trip_loss_bps=settings.safety.max_round_trip_loss_bps),
            budget_ms=settings.safety.budget_ms,
        )
        sniper = Sniper(
            context, traders=traders, checker=checker, rent=rent, stop=self._stop, until_closed=until_closed
        )
        self._started = _Parts(context=context, sniper=sniper, traders=traders)
        watch_account(self._pubsub, self._signer.pubkey, "processed", self._on_wallet)
        services.append(tasks.create_task(blockhashes.run(), name="blockhash"))
        services.append(tasks.create_task(context.desk.run(), name="orders"))
        services.append(tasks.create_task(self._watch_connection(), name="connection"))
        self._recover()
        feeds = [
            self._pubsub.subscribe(
                "logsSubscribe", [{"mentions": [str(venue.program)]}, {"commitment": "processed"}], self._on_frame
            )
            for venue in self._venues
        ]
        try:
            async with asyncio.timeout(_WITHOUT_CONNECTION_MS / _MS_PER_S):
                for feed in feeds:
                    await feed.active
        except TimeoutError:
            raise TransportError(self._pubsub.endpoint, "logsSubscribe was not answered in time") from None

    async def _read_rent(self) -> RentFacts:
        empty = await self._rpc.get_minimum_balance(0)
        token = await self._rpc.get_minimum_balance(_TOKEN_ACCOUNT_BYTES)
        deposit = await self._rpc.get_minimum_balance(_DEPOSIT_BYTES)
        return RentFacts(empty_account_lamports=empty, first_trade_lamports=Lamports(empty + token + deposit))

    async def _configure(self, trader: Trader) -> None:
        """Read the venue's settings once and follow their changes."""
        keys = trader.config_accounts
        accounts = await self._rpc.get_multiple_accounts(keys, "confirmed", purpose="warm")
        data = [None if account is None else account.data for account in accounts]
        trader.configure(data)

        def follow(index: int) -> Callable[[AccountUpdate, MonoNs], None]:
            def on_update(update: AccountUpdate, _now: MonoNs) -> None:
                changed = [*data[:index], update.data, *data[index + 1 :]]
                try:
                    trader.configure(changed)
                except MalformedError as error:
                    log.warning("a venue changed its settings to what cannot be read: %s", error)
                    return
                data[index] = update.data

            return on_update

        for index, key in enumerate(keys):
            watch_account(self._pubsub, key, "confirmed", follow(index))

    def _on_frame(self, frame: bytes, now: MonoNs) -> None:
        for pool in self._detector.on_frame(frame, now):
            self._parts.sniper.on_pool(pool)

    # ---- recovery --------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Take up what an earlier run of this chain has left: the same code for a restart and for a crash."""
        state, sniper, context = self._journal.state, self._parts.sniper, self._parts.context
        unsettled = {intent.signed.position or intent.signed.intent: intent for intent in state.open_intents()}
        ids = dict.fromkeys([*unsettled, *(position.id for position in state.held_positions())])
        for position_id in ids:
            pool = state.intents[position_id].signed.pool
            assert pool is not None, "a buy carries its pool"
            market = self._parts.traders[pool.venue].market(pool)
            sniper.taking_up.add(position_id)
            take_up = self._take_up(position_id, unsettled.get(position_id), market)
            sniper.own(context.tasks.create_task(take_up, name=f"recover {pool.mint}"))
            self._recovered += 1

    async def _take_up(self, position_id: str, intent: Intent | None, market: Market) -> None:
        sniper, context = self._parts.sniper, self._parts.context
        try:
            if intent is not None:
                await self._settle(intent.signed, market)
        finally:
            sniper.taking_up.discard(position_id)
        position = self._journal.state.positions.get(position_id)
        if position is None or position.state == "closed" or (intent is not None and intent.is_open):
            return
        position.state = "open"  # one that was stuck is tried again at each start
        age_ns = elapsed_ns(position.opened_wall_ns, self._clock.wall_ns())
        await sniper.keep(position_id, market, PoolWatch(context, market), Trace(), age_ns)

    async def _settle(self, signed: IntentSigned, market: Market) -> None:
        """Learn what became of an intent that an earlier run may have sent. Sends nothing."""
        sniper, context = self._parts.sniper, self._parts.context
        sniper.working.add(signed.intent)
        try:
            transaction = SignedTransaction(
                raw=signed.raw,
                signature=signed.signature,
                last_valid_block_height=signed.last_valid_block_height,
            )
            outcome = await context.desk.execute(transaction, may_send=False)
            await context.accountant.settle(signed, outcome, market)
        finally:
            sniper.working.discard(signed.intent)

    # ---- the end ---------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Sell what is held and let what is open settle, for a bounded time."""
        self._stop.set()
        sniper = self._parts.sniper
        for keeper in list(sniper.keepers.values()):
            keeper.exit("drain")
        if sniper.tasks:
            await asyncio.wait(sniper.tasks, timeout=_DRAIN_S)
        for task in list(sniper.tasks):
            task.cancel()
        if sniper.tasks:
            await asyncio.wait(sniper.tasks)

    async def _close_books(self) -> None:
        """Name as unknown what has no outcome: the next start settles it with the chain."""
        reason = "the run ended before the chain had answered"
        written = [
            self._journal.append(IntentUnknown(intent=intent.signed.intent, reason=reason))
            for intent in self._journal.state.open_intents()
            if intent.state != "unknown"
        ]
        for future in written:
            await future

    # ---- what the connection says ----------------------------------------------------------------------------------

    def _on_wallet(self, update: AccountUpdate, _now: MonoNs) -> None:
        self._parts.context.wallet.balance = update.lamports

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        self._connection_changed.set()

    async def _watch_connection(self) -> None:
        """End the run when the connection stays lost: a blind bot cannot guard its positions."""
        while True:
            await self._connection_changed.wait()
            self._connection_changed.clear()
            try:
                async with asyncio.timeout(_WITHOUT_CONNECTION_MS / _MS_PER_S):
                    while self._connection == "down":
                        await self._connection_changed.wait()
                        self._connection_changed.clear()
            except TimeoutError:
                seconds = _WITHOUT_CONNECTION_MS // _MS_PER_S
                raise TransportError(
                    self._pubsub.endpoint, f"no connection for {seconds} s; positions are in the journal"
                ) from None

    # ---- looking inside --------------------------------------------------------------------------------------------

    def report(self) -> EngineReport:
        """Return what the run has seen and done so far."""
        state, sniper, context = self._journal.state, self._parts.sniper, self._parts.context
        landed = Counter(
            intent.signed.mint
            for intent in state.intents.values()
            if intent.signed.side == "buy" and intent.state == "landed"
        )
        open_intents = state.open_intents()
        unknown = [intent for intent in open_intents if intent.state == "unknown"]
        return EngineReport(
            detected=sniper.detected,
            rejected=dict(sniper.rejected),
            refusals=tuple(sniper.refusals),
            bought=sniper.bought,
            closed=sniper.closed,
            failed=dict(sniper.failed),
            recovered=self._recovered,
            in_flight=len(sniper.tasks),
            positions=tuple(state.positions.values()),
            values={intent: keeper.value_lamports for intent, keeper in sniper.keepers.items()},
            spans=tuple(sniper.spans),
            revaluations=tuple(context.revaluations),
            detector=self._detector.stats,
            rpc_calls=dict(self._rpc.calls),
            wallet=self._signer.pubkey,
            balance=context.wallet.balance,
            expected_lamports=state.expected_lamports,
            double_buys=sum(1 for count in landed.values() if count > 1),
            lost_intents=sum(1 for i in open_intents if i.state != "unknown" and not sniper.is_working_on(i.signed)),
            unknown_open=len(unknown),
        )
