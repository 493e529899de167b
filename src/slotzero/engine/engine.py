"""The engine: wires the stages of the sniper, owns its tasks, and starts, recovers and ends a run.

From a creation's frame to the buy's signed bytes everything is one synchronous call: decode, filter, plan, build, sign,
without an RPC call. The safety check starts at the same moment, and its gate holds back only the send. Each snipe is a
task of one task group; so are the positions found in the journal at start-up (`trading.recovery`).
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, add_ms
from slotzero.config import SafetySettings, Settings
from slotzero.detection.detector import Detector
from slotzero.detection.trade_router import TradeRouter
from slotzero.engine.price_feed import PriceFeed
from slotzero.engine.report import EngineReport, Panic
from slotzero.errors import MalformedError, SubscriptionError, TransportError, UsageError
from slotzero.hook import Hook, PoolSeen, ignore
from slotzero.safety.cache import VerdictCache
from slotzero.safety.catalogue import build_layers
from slotzero.safety.holders import HolderPolicy
from slotzero.safety.honeypot import Checker, HoneypotChecker
from slotzero.safety.records import CheckPolicy
from slotzero.safety.rpc_reader import RpcReader
from slotzero.solana.account_watch import AccountUpdate
from slotzero.solana.blockhash import BlockhashCache
from slotzero.solana.endpoints import EndpointPool
from slotzero.solana.jito import JitoClient
from slotzero.solana.pubsub import Connection, PubSub
from slotzero.solana.reads import AccountReads
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import Signer
from slotzero.solana.warm import WarmFacts
from slotzero.trading.accountant import Accountant
from slotzero.trading.context import TradingContext
from slotzero.trading.execution import OrderDesk
from slotzero.trading.exit_rules import DRAIN, manual_signal
from slotzero.trading.fee_policy import FeePolicy
from slotzero.trading.identities import Identities, SystemIdentities
from slotzero.trading.journal import Event, IntentUnknown, Journal
from slotzero.trading.limits import Limits, LimitsState, halt_changed
from slotzero.trading.loop_watch import LoopWatch
from slotzero.trading.privacy import Privacy
from slotzero.trading.probe import RentFacts
from slotzero.trading.recovery import Recovery
from slotzero.trading.rules import exit_rules, fee_rules, privacy_rules, rug_rules, unit_seeds, wallet_caps
from slotzero.trading.sniper import Refused, Sniper
from slotzero.trading.timings import Timings
from slotzero.trading.traders import Traders
from slotzero.trading.wallets.book import WalletBook
from slotzero.units import DurationNs, Lamports, MonoNs, WallNs
from slotzero.venues.records import NewPool
from slotzero.venues.registry import Venue

if TYPE_CHECKING:
    from slotzero.solana.geyser import GeyserEndpoint

__all__ = ["Engine"]

log = logging.getLogger(__name__)

_MAX_ALERTS: Final = 1_000
_SHELF_MS: Final = 1_000
_WATCHED: Final = 5_000
_WATCHES_A_POSITION: Final = 4
"""Pool, mint and token account of each, and room for buys under way."""
_SHELVES_AT_ONCE: Final = 8
"""Shelves laid before others get the loop: about 2 ms."""
_WITHOUT_CONNECTION_MS: Final = 10_000
_GEYSER_AGAIN_MS: Final = 5_000
_GEYSER_AGAIN_MOST_MS: Final = 80_000
_MS_PER_S: Final = 1_000
_DRAIN_S: Final = 15


class _Parts(Struct, frozen=True, kw_only=True):
    """What exists once the run has started."""

    context: TradingContext
    sniper: Sniper
    traders: Traders
    recovery: Recovery
    warm: WarmFacts


class Engine:
    """One run of the sniper.

    Args:
        settings: The configuration.
        rpc: The endpoint, or a pool of them, entered.
        ws_urls: Their WebSocket addresses.
        silent_after_ms: A feed without a slot for so long is dead; None = slots do not come by themselves.
        journal: The journal, entered.
        signers: The wallets' keys, at least one.
        venues: What is followed and traded.
        clock: Time.
        limits: What may be risked, as the journal's events have left them; it must be among the journal's listeners.
        rent: What the cluster asks for new accounts.
        geyser: Geyser streams of the same chain; what they tell first is taken from them.
        jito: The block engine buys go through, entered; None = they go to the RPC endpoints.
        hook: Is told what happens.
        rng: Where the variations for privacy come from: seeded for a run that is to be repeated, the system's own for
            real money.
        identities: Where ids and fresh addresses come from, likewise; None = the system.
        open_pubsub: Makes the client of the WebSocket addresses.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        rpc: Rpc,
        ws_urls: Sequence[str],
        journal: Journal,
        signers: Sequence[Signer],
        venues: Sequence[Venue],
        clock: Clock,
        limits: Limits,
        rent: RentFacts,
        rng: Random,
        silent_after_ms: int | None = None,
        geyser: Sequence["GeyserEndpoint"] = (),
        jito: JitoClient | None = None,
        hook: Hook = ignore,
        identities: Identities | None = None,
        open_pubsub: Callable[..., PubSub] = PubSub,
    ) -> None:
        self._settings = settings
        self._rpc = rpc
        self._journal = journal
        self._signers = {signer.pubkey: signer for signer in signers}
        self._venues = tuple(venues)
        self._detector = Detector(venues)
        self._trades = TradeRouter(venues)
        self._clock = clock
        self._limits = limits
        self._rent = rent
        self._rng = rng
        self._identities = identities or SystemIdentities()
        self._loop_watch = LoopWatch(clock)
        self._geyser_endpoints = tuple(geyser)
        self._silent_after_ms = silent_after_ms
        self._jito = jito
        self._hook = hook
        self._pubsub = open_pubsub(
            list(ws_urls),
            clock=clock,
            on_connection=self._on_connection,
            follows_slots=True,
            silent_after_ms=silent_after_ms,
        )
        self._connection: Connection = "down"
        self._connection_changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._seen_first: Counter[str] = Counter()
        journal.listen(self._on_event)
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
                await self._end_snipes()  # first: what is still at work would send after its end was written down
                await self._close_books()
                for service in services:
                    service.cancel()
        return self.report()

    async def _start(
        self, tasks: asyncio.TaskGroup, services: list[asyncio.Task[None]], until_closed: int | None
    ) -> None:
        parts = self._started = await self._wire(tasks, until_closed)
        context = parts.context
        for name, service in (
            ("blockhash", context.blockhashes.run()),
            ("orders", context.desk.run()),
            ("connection", self._watch_connection()),
            ("warm", parts.warm.run()),
            ("reads", context.reads.run()),
            ("loop watch", self._loop_watch.run()),
            ("upkeep", self._keep_up()),
        ):
            services.append(tasks.create_task(service, name=name))
        await parts.recovery.start()
        if self._geyser_endpoints:
            services.append(tasks.create_task(self._follow_geyser(), name="geyser"))
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
            for feed in feeds:
                if not feed.active.done() and feed.refusal is not None:
                    raise feed.refusal from None
            raise TransportError(self._pubsub.endpoint, "logsSubscribe was not answered in time") from None

    async def _wire(self, tasks: asyncio.TaskGroup, until_closed: int | None) -> _Parts:
        """Make the parts of the run, with everything warm that the hot path needs."""
        settings, rpc, clock, wallets = self._settings, self._rpc, self._clock, list(self._signers)
        most_watched = max(_WATCHED, _WATCHES_A_POSITION * settings.trade.max_open_positions)
        reads = AccountReads(rpc, self._pubsub, clock=clock, tasks=tasks, max_watched=most_watched)
        blockhashes = BlockhashCache(rpc, clock=clock)
        await blockhashes.refresh()
        traders = Traders(self._venues, wallets)
        for venue in self._venues:
            await self._configure(venue.name, traders, reads)
        hot = [key for venue in self._venues for key in traders.config_accounts(venue.name)]
        warm = WarmFacts(rpc, reads, clock=clock, rent_sizes=(), wallets=wallets, fee_accounts=hot)
        await warm.start()
        seeds = {key: units for v in self._venues for key, units in unit_seeds(settings.fees, v.name).items()}
        context = TradingContext(
            settings=settings,
            clock=clock,
            rpc=rpc,
            reads=reads,
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
            accountant=Accountant(rpc, self._journal, clock=clock, tasks=tasks),
            signers=self._signers,
            book=self._book(warm, reads),
            limits=self._limits,
            fees=FeePolicy(fee_rules(settings.fees), seeds),
            privacy=Privacy(privacy_rules(settings.privacy), self._rng),
            exit_rules=exit_rules(settings.exits, slippage_bps=settings.trade.exit_slippage_bps),
            rug_rules=rug_rules(settings.rug),
            identities=self._identities,
            trades=self._trades,
            tasks=tasks,
            timings=Timings(self._hook),
            send_buy=None if self._jito is None else self._jito.send_transaction,
            hook=self._hook,
            alerts=deque(maxlen=_MAX_ALERTS),
        )
        checker = VerdictCache(_checker(settings.safety, RpcReader(rpc), self._signers), tasks=tasks, clock=clock)
        sniper = Sniper(
            context, traders=traders, checker=checker, rent=self._rent, stop=self._stop, until_closed=until_closed
        )
        recovery = Recovery(context, sniper, traders)
        return _Parts(context=context, sniper=sniper, traders=traders, recovery=recovery, warm=warm)

    def _book(self, warm: WarmFacts, reads: AccountReads) -> WalletBook:
        settings = self._settings.wallets
        book = WalletBook(settings.rotation, wallet_caps(settings), buys_per_wallet=settings.buys_per_wallet)
        for wallet in self._signers:
            balance = warm.balance(wallet, self._clock.mono_ns())
            book.add(wallet, balance=balance or Lamports(0), kept=self._rent.first_trade_lamports)

            def on_update(update: AccountUpdate, _now: MonoNs, wallet: Pubkey = wallet) -> None:
                book.on_balance(wallet, update.lamports)

            reads.watch(wallet, "processed", on_update)
        return book

    async def _configure(self, venue: str, traders: Traders, reads: AccountReads) -> None:
        """Read the venue's settings once and follow their changes."""
        keys = traders.config_accounts(venue)
        accounts = await self._rpc.get_multiple_accounts(keys, "confirmed", purpose="warm")
        data = [None if account is None else account.data for account in accounts]
        traders.configure(venue, data)

        def follow(index: int) -> Callable[[AccountUpdate, MonoNs], None]:
            def on_update(update: AccountUpdate, _now: MonoNs) -> None:
                changed = [*data[:index], update.data, *data[index + 1 :]]
                try:
                    traders.configure(venue, changed)
                except MalformedError as error:
                    log.warning("a venue changed its settings to what cannot be read: %s", error)
                    return
                data[index] = update.data

            return on_update

        for index, key in enumerate(keys):
            reads.watch(key, "confirmed", follow(index))

    async def _keep_up(self) -> None:
        """Once a second: let the fee policy know the floors, and sign emergency sells anew that have grown old."""
        parts = self._parts
        while True:
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), _SHELF_MS))
            floors = parts.warm.recent_fees(self._clock.mono_ns())
            parts.context.fees.market.on_floors((fee.slot, fee.price) for fee in floors)
            laid = 0
            for keeper in list(parts.sniper.keepers.values()):
                laid += keeper.lay_shelf()
                if laid >= _SHELVES_AT_ONCE:
                    laid = 0
                    await asyncio.sleep(0)

    async def _follow_geyser(self) -> None:
        """Listen to a Geyser stream beside the WebSocket feed: whichever tells first of a pool is believed.

        It alone tells what others pay for their place.
        """
        # Here: it loads gRPC and protobuf, 33 MB that a run without such a stream need not carry.
        from slotzero.detection.landed_prices import read_landed_price  # noqa: PLC0415
        from slotzero.detection.updates import read_update  # noqa: PLC0415
        from slotzero.solana.geyser import GeyserFeed  # noqa: PLC0415

        market = self._parts.context.fees.market
        prices = PriceFeed(market, venues=self._venues, ours=self._signers, read=read_landed_price)

        def on_update(update: bytes, now: MonoNs) -> None:
            for pool in self._detector.on_update(update, now, read_update):
                self._on_pool(pool, "geyser")
            prices.on_update(update)

        delay_ms = _GEYSER_AGAIN_MS
        while True:
            feed = GeyserFeed(
                self._geyser_endpoints,
                accounts=[venue.program for venue in self._venues],
                handler=on_update,
                clock=self._clock,
                silent_after_ms=self._silent_after_ms,
            )
            try:
                await feed.run()
            except (SubscriptionError, TransportError) as error:
                # It is there to be quicker; positions are guarded without it.
                delay_ms = _GEYSER_AGAIN_MS if feed.stats().connects else min(delay_ms * 2, _GEYSER_AGAIN_MOST_MS)
                log.warning("%s: pools come from the WebSocket alone; next try in %d s", error, delay_ms // _MS_PER_S)
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), delay_ms))

    def _on_pool(self, pool: NewPool, feed: str) -> None:
        if self._hook is not ignore:
            self._hook(PoolSeen(feed=feed, is_first=True, lag_ns=DurationNs(0)))
        self._seen_first[feed] += 1
        self._parts.sniper.on_pool(pool)

    def _on_frame(self, frame: bytes, now: MonoNs) -> None:
        for pool in self._detector.on_frame(frame, now):
            self._on_pool(pool, "websocket")
        self._trades.on_frame(frame, now)

    def refusals_since(self, count: int) -> tuple[int, tuple[Refused, ...]]:
        """Return how many pools have been refused so far, and those after the first `count` that are still known."""
        sniper = self._parts.sniper
        total, known = sniper.rejected.total(), sniper.refusals
        newest = min(max(total - count, 0), len(known))
        return total, tuple(islice(known, len(known) - newest, None))

    # ---- by hand ---------------------------------------------------------------------------------------------------

    async def panic(self, reason: str) -> Panic:
        """Put the kill switch on: no buy is sent any more, and every position is sold at any price.

        It stays on over restarts until `resume`. Returns when that is on disk and the sells are under way.
        """
        self._limits.kill(reason)
        sniper = self._parts.sniper
        stuck = [
            position
            for position in self._journal.state.held_positions()
            if position.state == "stuck" and position.wallet in self._signers
        ]
        kept = dict.fromkeys([*sniper.keepers, *(position.id for position in stuck)])
        panic = Panic(positions=tuple(kept), buys_under_way=sniper.buys_under_way)
        sniper.sell_everything()
        for position in stuck:
            self._parts.recovery.take_up_again(position)
        await self._journal.append(halt_changed(self._limits))
        return panic

    async def resume(self) -> None:
        """Take the kill switch off, and reset the drawdown breaker: buying goes on."""
        self._limits.revive()
        self._limits.reset_breaker()
        await self._journal.append(halt_changed(self._limits))

    async def close_position(self, position_id: str) -> None:
        """Sell one position now; one that is stuck is tried again.

        Raises:
            UsageError: There is no such position, or several.
        """
        if not position_id:  # every id begins with it: the only position there is would be sold
            raise UsageError("no position is named; `slotzero positions` lists them")
        sniper = self._parts.sniper
        matches = [p for p in self._journal.state.held_positions() if p.id.startswith(position_id)]
        if len(matches) != 1:
            what = "no position" if not matches else f"{len(matches)} positions"
            raise UsageError(f"there is {what} whose id begins with {position_id!r}; `slotzero positions` lists them")
        if matches[0].wallet not in self._signers:
            raise UsageError(f"its wallet {matches[0].wallet} is none of this run's: start a run that has its key")
        keeper = sniper.keepers.get(matches[0].id)
        if keeper is not None:
            keeper.signal(manual_signal())
        else:
            self._parts.recovery.take_up_again(matches[0])

    # ---- the end ---------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Sell what is held and let what is open settle, for a bounded time."""
        self._stop.set()
        sniper = self._parts.sniper
        for keeper in list(sniper.keepers.values()):
            keeper.signal(DRAIN)
        if sniper.tasks:
            await asyncio.wait(sniper.tasks, timeout=_DRAIN_S)

    async def _end_snipes(self) -> None:
        """Cancel what has not ended by itself, and wait until it is gone."""
        tasks = set() if self._started is None else set(self._parts.sniper.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _close_books(self) -> None:
        """Name as unknown what has no outcome: the next start settles it with the chain."""
        reason = "the run ended before the chain had answered"
        written = [
            self._journal.append(IntentUnknown(intent=intent.signed.intent, reason=reason))
            for intent in self._journal.state.open_intents()
            if intent.state != "unknown"
        ]
        if self._limits.state != self._journal_halt():
            written.append(self._journal.append(halt_changed(self._limits)))
        for future in written:
            await future

    def _on_event(self, _event: Event, _wall_ns: WallNs) -> None:
        """Write down at once that an event has tripped the breaker: after a crash the events alone need not do so.

        What it fell from may have been a value of open positions, which no event tells.
        """
        if self._limits.state.tripped != self._journal.state.halt.tripped:
            self._journal.append(halt_changed(self._limits))

    def _journal_halt(self) -> LimitsState:
        halt = self._journal.state.halt
        return LimitsState(killed=halt.killed, tripped=halt.tripped, high_water=halt.high_water)

    # ---- what the connection says ----------------------------------------------------------------------------------

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

    def report(self, *, with_exits: bool = False) -> EngineReport:
        """Return what the run has seen and done so far. *Pure.* About 0.3 ms after thousands of snipes.

        Args:
            with_exits: Whether to say how each position's exit machine stands, 5 us each: for a person who looks.
        """
        state, sniper, context = self._journal.state, self._parts.sniper, self._parts.context
        open_intents = state.open_intents()
        unknown = [intent for intent in open_intents if intent.state == "unknown"]
        now = self._clock.mono_ns()
        wallets = tuple(context.book.standing(wallet, now) for wallet in context.book.wallets)
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
            forgotten_positions=state.forgotten_positions,
            forgotten_pnl_lamports=state.forgotten_pnl_lamports,
            values={intent: keeper.value_lamports for intent, keeper in sniper.keepers.items()},
            exits={intent: keeper.view() for intent, keeper in sniper.keepers.items()} if with_exits else {},
            troubles={intent: keeper.trouble for intent, keeper in sniper.keepers.items() if keeper.trouble},
            spans=tuple(sniper.spans),
            traces=tuple(reversed(sniper.traces)),
            timings=context.timings.as_dict(),
            alerts=tuple(context.alerts),
            detector=self._detector.stats,
            admission=sniper.admission.stats,
            limits=context.limits.view(self._clock.wall_ns()),
            loop_delay=self._loop_watch.delay(),
            reads=context.reads.stats(),
            seen_first=dict(self._seen_first),
            rpc_calls=dict(self._rpc.calls),
            endpoints=self._rpc.stats() if isinstance(self._rpc, EndpointPool) else (),
            wallet=context.book.wallets[0],
            wallets=wallets,
            balance=Lamports(sum(standing.balance for standing in wallets)),
            privacy_delays=context.privacy.costs(),
            expected_lamports=state.expected_lamports,
            double_buys=state.double_buys,
            lost_intents=sum(1 for i in open_intents if i.state != "unknown" and not sniper.is_working_on(i.signed)),
            unknown_open=len(unknown),
        )


def _checker(settings: SafetySettings, reader: RpcReader, ours: Collection[Pubkey]) -> Checker:
    """Return the honeypot check the settings ask for."""
    layers = build_layers(
        settings.layers,
        max_round_trip_loss_bps=settings.max_round_trip_loss_bps,
        holders=HolderPolicy(
            max_owner_bps=settings.max_owner_bps,
            max_top_bps=settings.max_top_bps,
            max_creator_bps=settings.max_creator_holds_bps,
        ),
        is_ours=ours.__contains__,
    )
    policy = CheckPolicy(roles=dict.fromkeys(settings.advisory_layers, "advisory"))
    return HoneypotChecker(reader, layers, budget_ms=settings.budget_ms, policy=policy)
