"""DETECTION, POSITION_MONITOR, RUG_DETECTION, PRICE_FEED: what begins with a frame and ends in the same callback.

Each sample is caused by a real transaction of somebody else, and heard through a real connection. Its time is taken
inside the callback, as the component defines it, and returned as a span: what the waking of the sample takes is not in
it. Only detection has a part that is waited for, from the chain's execution to our reading of the frame.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from msgspec import Struct

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.detection.records import PoolTrade
from slotzero.detection.trades import decode_trades
from slotzero.market.price_feed import PriceFeed
from slotzero.perf.workload import Workload, workload
from slotzero.solana.account_watch import AccountUpdate, watch_account
from slotzero.solana.pubsub import Subscription
from slotzero.solana.transaction import compute_budget, sign
from slotzero.trace import Component, Span, Stamp, Trace
from slotzero.trading.exit_rules import ExitMachine, ExitRules, Rung, Sell, rug_signal
from slotzero.trading.filters import Refusal
from slotzero.trading.plan import plan_sell
from slotzero.trading.rug_rules import PoolObserved, RugAlert, RugRules, RugWatch
from slotzero.units import ComputeUnits, DurationNs, Lamports, MicroLamportsPerCu, MonoNs, TokenAmount
from slotzero.venues.market import Market, PoolState
from slotzero.venues.pumpfun import TradeAccounts
from slotzero.venues.records import NewPool
from slotzero.venues.registry import PUMPFUN
from slotzero.workloads.components.world import DEFAULT_SEED, DEFAULT_SLOTS, Stage, open_stage

__all__ = ["detection", "position_monitor", "price_feed", "rug_detection"]

_WITHIN_S: Final = 10
_BUY: Final = Lamports(100_000_000)
_SMALL: Final = Lamports(10_000_000)
_CREATOR_BUYS: Final = Lamports(6_000_000_000)
_HOUR_MS: Final = 3_600_000
_SELL_UNITS: Final = ComputeUnits(120_000)
_PRICE: Final = MicroLamportsPerCu(100_000)
_RULES: Final = ExitRules(
    ladder=(Rung(gain_bps=5_000, share_bps=5_000), Rung(gain_bps=10_000, share_bps=5_000)),
    stop_loss_bps=8_000,
    trail_arm_bps=500,
    trail_bps=5_000,
    break_even_at_bps=4_000,
    max_hold_ms=_HOUR_MS,
    decay_from_ms=0,
    decay_to_ms=_HOUR_MS,
    decay_stop_bps=1_500,
)
"""Every rule there is, none of which small trades fire."""


def _own(component: Component, start: int, end: int) -> Span:
    took = elapsed_ns(start, end)
    return Span(component=component, total_ns=took, own_ns=took, waited_ns=DurationNs(0), starts_at="frame")


@workload
async def detection(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Detect a coin that is created at a random phase of the slot; the clock starts at the chain's own instant."""
    async with open_stage(slot_ms, seed) as stage:
        world = stage.world
        creation = b""
        seen: asyncio.Future[tuple[NewPool, MonoNs]] = asyncio.get_running_loop().create_future()

        async def setup() -> None:
            nonlocal creation, seen
            await world.refresh()
            coin = world.coin(creator_buys=_BUY)
            creation, seen = coin.creation, stage.expect(coin.mint)
            await world.random_phase()

        async def run() -> Trace:
            world.wire.send(creation)
            pool, at = await seen
            trace = Trace()
            if pool.mono_cause is not None:
                trace.mark(Stamp.CAUSE, pool.mono_cause)
            trace.mark(Stamp.FRAME, pool.mono_frame)
            trace.mark(Stamp.POOL, at)
            return trace

        yield Workload(run=run, setup=setup, teardown=world.wire.answers)


class _Traded:
    """A coin in which somebody buys and sells the same few tokens in turn."""

    def __init__(self, stage: Stage, accounts: TradeAccounts) -> None:
        self._world = stage.world
        self._accounts = accounts
        self._tokens = stage.world.tokens_for(stage.world.launch_reserves, _SMALL)
        self._holds = False
        self._raw = b""

    async def prepare(self) -> None:
        """Sign the next trade."""
        await self._world.refresh()
        steps = self._world.selling if self._holds else self._world.buying
        self._holds = not self._holds
        self._raw = self._world.signed(steps(self._accounts, self._tokens), self._world.rival)

    def send(self) -> None:
        """Send it."""
        self._world.wire.send(self._raw)


async def _market(stage: Stage) -> tuple[NewPool, Market, _Traded]:
    world = stage.world
    pool = await stage.launched(world.coin(creator_buys=_BUY))
    trader = await world.configured(world.rival.pubkey)
    return pool, trader.market(pool), _Traded(stage, world.accounts(world.rival, pool.mint))


class _Next:
    """The span of the next frame."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[Span] | None = None

    def arm(self) -> asyncio.Future[Span]:
        self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    def take(self, span: Span) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(span)


@workload
async def position_monitor(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Re-value a position on a trade of somebody else, and apply the exit rules and the rug watch's."""
    async with open_stage(slot_ms, seed) as stage:
        pool, market, traded = await _market(stage)
        tokens = market.tokens_for_budget(pool.reserves, _BUY)
        quote = market.quote_sell(pool.reserves, tokens)
        assert quote is not None
        machine = ExitMachine(
            market, tokens=tokens, quoted_lamports=quote.net, opened_at=stage.world.clock.mono_ns(), rules=_RULES
        )
        rug = _rug_watch(stage, pool, tokens)
        found = _Next()

        def on_update(update: AccountUpdate, now: MonoNs) -> None:
            state = market.decode_state(update.data)
            alerts = rug.on_pool(PoolObserved(slot=update.slot, state=state))
            commands = machine.on_state(state, now)
            machine.next_deadline()
            end = mono_ns()
            assert not alerts
            assert not commands
            found.take(_own(Component.POSITION_MONITOR, now, end))

        await _active(watch_account(stage.pubsub, market.state_account, "processed", on_update))
        yield _on_trades(stage, traded, found)


@workload
async def price_feed(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Publish the price after a trade of somebody else to a queue and to a function, which is told last."""
    async with open_stage(slot_ms, seed) as stage:
        _, market, traded = await _market(stage)
        feed = PriceFeed(stage.pubsub, clock=stage.world.clock)
        queue, found = feed.subscribe(), _Next()
        feed.listen(lambda price: found.take(_own(Component.PRICE_FEED, price.mono, mono_ns())))
        following = feed.follow(market)
        assert following is not None
        first = found.arm()
        await traded.prepare()
        traded.send()  # until a price is published, the subscription may not be live
        async with asyncio.timeout(_WITHIN_S):
            await first
        stage.world.wire.answers()

        def check(_span: object) -> str | None:
            return None if queue.get_nowait() is not None else "not_published"

        yield _on_trades(stage, traded, found, check)


def _on_trades(
    stage: Stage, traded: _Traded, found: _Next, check: Callable[[object], str | None] | None = None
) -> Workload:
    async def run() -> Span:
        waiting = found.arm()
        traded.send()
        return await waiting

    return Workload(run=run, setup=traded.prepare, teardown=stage.world.wire.answers, check=check)


# ---- rugs ----------------------------------------------------------------------------------------------------------


class _Rug(Struct, kw_only=True):
    """A position in a coin whose creator is about to sell all it has."""

    stage: Stage
    pool: NewPool
    market: Market
    machine: ExitMachine
    watch: RugWatch
    dump: bytes = b""
    state: PoolState
    subscription: Subscription | None = None
    found: asyncio.Future[object]

    def on_update(self, update: AccountUpdate, now: MonoNs) -> None:
        """Take the pool's account."""
        self.state = self.market.decode_state(update.data)
        self.on_alerts(self.watch.on_pool(PoolObserved(slot=update.slot, state=self.state)), now)

    def on_trade(self, trade: PoolTrade) -> None:
        """Take a trade in the pool."""
        self.state = PoolState(reserves=trade.reserves, is_complete=False)
        self.on_alerts(self.watch.on_trade(trade), trade.mono_frame)

    def on_alerts(self, alerts: list[RugAlert], now: MonoNs) -> None:
        """Sign the emergency sell that the first alert asks for."""
        for alert in alerts:
            for command in self.machine.on_signal(rug_signal(alert), now):
                if isinstance(command, Sell) and not self.found.done():
                    self.found.set_result(self._sell(command, now))

    def _sell(self, command: Sell, now: MonoNs) -> object:
        plan = plan_sell(self.market, self.state.reserves, command.tokens, command.slippage_bps)
        blockhash = self.stage.blockhashes.current(now)
        if isinstance(plan, Refusal) or blockhash is None:
            return "not_signed"
        budget = compute_budget(_SELL_UNITS, _PRICE)
        sell = self.market.sell(plan.tokens, plan.limit_lamports, closes_account=command.is_all)
        sign(self.stage.world.rival.signer, [*budget, *sell], blockhash)
        return _own(Component.RUG_DETECTION, now, mono_ns())


@workload
async def rug_detection(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Sign the emergency exit of a real position when the creator sells 19 % of the supply at once."""
    async with open_stage(slot_ms, seed) as stage:
        world = stage.world
        trader = await world.configured(world.rival.pubkey)
        watched: list[_Rug] = []

        def on_logs(frame: bytes, now: MonoNs) -> None:
            for trade in decode_trades(frame, PUMPFUN, now):
                for rug in watched:
                    if rug.pool.mint == trade.mint:
                        rug.on_trade(trade)

        mentions = {"mentions": [str(PUMPFUN.program)]}
        await _active(stage.pubsub.subscribe("logsSubscribe", [mentions, {"commitment": "processed"}], on_logs))

        async def setup() -> None:
            watched.clear()
            await world.refresh()
            rug = await _held(stage, trader.market)
            watched.append(rug)
            await world.random_phase()

        async def run() -> object:
            (rug,) = watched
            world.wire.send(rug.dump)
            return await rug.found

        def teardown() -> None:
            world.wire.answers()
            for rug in watched:
                if rug.subscription is not None:
                    rug.subscription.cancel()

        yield Workload(
            run=run,
            setup=setup,
            teardown=teardown,
            check=lambda found: found if isinstance(found, str) else None,
            notes=("the clock starts at whichever frame told first, the program's log or the pool's account",),
        )


async def _held(stage: Stage, market_of: Callable[[NewPool], Market]) -> _Rug:
    """Create a coin with a large creator's share, buy into it, and watch it."""
    world = stage.world
    coin = world.coin(creator_buys=_CREATOR_BUYS)
    pool = await stage.launched(coin)
    market = market_of(pool)
    tokens = TokenAmount(world.tokens_for(pool.reserves, _BUY))
    quote = market.quote_sell(pool.reserves, tokens)
    assert quote is not None
    machine = ExitMachine(
        market, tokens=tokens, quoted_lamports=quote.net, opened_at=world.clock.mono_ns(), rules=_RULES
    )
    rug = _Rug(
        stage=stage,
        pool=pool,
        market=market,
        machine=machine,
        watch=_rug_watch(stage, pool, tokens),
        state=PoolState(reserves=pool.reserves, is_complete=False),
        found=asyncio.get_running_loop().create_future(),
    )
    bought = asyncio.Event()

    def on_update(update: AccountUpdate, now: MonoNs) -> None:
        bought.set()
        rug.on_update(update, now)

    rug.subscription = watch_account(stage.pubsub, market.state_account, "processed", on_update)
    await _active(rug.subscription)
    world.wire.send(world.signed(world.buying(world.accounts(world.rival, pool.mint), tokens), world.rival))
    async with asyncio.timeout(_WITHIN_S):
        await bought.wait()
    world.wire.answers()
    sold = world.selling(coin.creator, pool.creator_bought)
    rug.dump = world.signed(sold, world.creator)
    return rug


def _rug_watch(stage: Stage, pool: NewPool, tokens: TokenAmount) -> RugWatch:
    watch = RugWatch(
        RugRules(),
        wallet=stage.world.rival.pubkey,
        creator=pool.creator,
        mint=None,
        tokens=tokens,
        opened_slot=pool.slot,
    )
    watch.on_pool(PoolObserved(slot=pool.slot, state=PoolState(reserves=pool.reserves, is_complete=False)))
    return watch


async def _active(subscription: Subscription) -> None:
    async with asyncio.timeout(_WITHIN_S):
        await subscription.active
