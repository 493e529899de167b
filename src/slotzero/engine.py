"""The engine: wires the stages of the sniper, owns its tasks, and starts, recovers and ends a run.

From a creation's frame to the buy's signed bytes everything is one synchronous call: decode, filter, plan, build, sign,
without an RPC call. The safety check starts at the same moment, and its gate holds back only the send. Each snipe is a
task of one task group; so are the positions found in the journal at start-up (`trading.recovery`).
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock
from slotzero.config import Settings
from slotzero.detection.detector import Detector
from slotzero.detection.records import DetectorStats
from slotzero.errors import MalformedError, TransportError
from slotzero.safety.honeypot import HoneypotChecker, first_layers
from slotzero.safety.rpc_reader import RpcReader
from slotzero.solana.account_watch import AccountUpdate, watch_account
from slotzero.solana.blockhash import BlockhashCache
from slotzero.solana.endpoints import EndpointPool, EndpointStats
from slotzero.solana.pubsub import Connection, PubSub
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import Signer
from slotzero.trace import Span, Trace
from slotzero.trading.accountant import Accountant
from slotzero.trading.context import TradingContext
from slotzero.trading.execution import OrderDesk
from slotzero.trading.journal import IntentUnknown, Journal, PositionRecord
from slotzero.trading.probe import RentFacts
from slotzero.trading.recovery import Difference, Recovery
from slotzero.trading.sniper import Refused, Sniper
from slotzero.trading.wallet import Wallet
from slotzero.units import DurationNs, Lamports, MonoNs
from slotzero.venues.market import Trader
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
        traces: The stamps of the newest of them.
        revaluations: How long the newest re-valuations of a position took.
        expected_lamports: What the wallet must hold by this chain's journal, earlier runs included.
        double_buys: Mints of which more than one buy has landed.
        lost_intents: Intents without an end that nobody is working on.
        unknown_open: Intents whose outcome the chain could not be asked for.
        differences: What the journal and the wallet did not agree on at the start.
        endpoints: Each endpoint as its pool sees it.
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
    differences: tuple[Difference, ...] = ()
    endpoints: tuple[EndpointStats, ...] = ()
    traces: tuple[Trace, ...] = ()


class _Parts(Struct, frozen=True, kw_only=True):
    """What exists once the run has started."""

    context: TradingContext
    sniper: Sniper
    traders: dict[str, Trader]
    recovery: Recovery


class Engine:
    """One run of the sniper.

    Args:
        settings: The configuration.
        rpc: The endpoint, or a pool of them, entered.
        ws_urls: Their WebSocket addresses.
        silent_after_ms: A feed without a slot for so long is dead; None = slots do not come by themselves.
        journal: The journal, entered.
        signer: The wallet's key.
        venues: What is followed and traded.
        clock: Time.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        rpc: Rpc,
        ws_urls: Sequence[str],
        journal: Journal,
        signer: Signer,
        venues: Sequence[Venue],
        clock: Clock,
        silent_after_ms: int | None = None,
    ) -> None:
        self._settings = settings
        self._rpc = rpc
        self._journal = journal
        self._signer = signer
        self._venues = tuple(venues)
        self._detector = Detector(venues)
        self._clock = clock
        self._pubsub = PubSub(
            list(ws_urls),
            clock=clock,
            on_connection=self._on_connection,
            follows_slots=True,
            silent_after_ms=silent_after_ms,
        )
        self._connection: Connection = "down"
        self._connection_changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._started: _Parts | None = None

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
            if isinstance(self._rpc, EndpointPool):
                services.append(tasks.create_task(self._rpc.run(), name="endpoints"))
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
            RpcReader(rpc),
            first_layers(max_round_trip_loss_bps=settings.safety.max_round_trip_loss_bps),
            budget_ms=settings.safety.budget_ms,
        )
        sniper = Sniper(
            context, traders=traders, checker=checker, rent=rent, stop=self._stop, until_closed=until_closed
        )
        recovery = Recovery(context, sniper, traders)
        self._started = _Parts(context=context, sniper=sniper, traders=traders, recovery=recovery)
        watch_account(self._pubsub, self._signer.pubkey, "processed", self._on_wallet)
        services.append(tasks.create_task(blockhashes.run(), name="blockhash"))
        services.append(tasks.create_task(context.desk.run(), name="orders"))
        services.append(tasks.create_task(self._watch_connection(), name="connection"))
        await recovery.start()
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
            recovered=self._parts.recovery.count,
            differences=tuple(self._parts.recovery.differences),
            in_flight=len(sniper.tasks),
            positions=tuple(state.positions.values()),
            values={intent: keeper.value_lamports for intent, keeper in sniper.keepers.items()},
            spans=tuple(sniper.spans),
            traces=tuple(sniper.traces),
            revaluations=tuple(context.revaluations),
            detector=self._detector.stats,
            rpc_calls=dict(self._rpc.calls),
            endpoints=self._rpc.stats() if isinstance(self._rpc, EndpointPool) else (),
            wallet=self._signer.pubkey,
            balance=context.wallet.balance,
            expected_lamports=state.expected_lamports,
            double_buys=sum(1 for count in landed.values() if count > 1),
            lost_intents=sum(1 for i in open_intents if i.state != "unknown" and not sniper.is_working_on(i.signed)),
            unknown_open=len(unknown),
        )
