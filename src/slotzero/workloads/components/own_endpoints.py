"""The components that spend nothing, on the endpoints of the user's own configuration.

They are the parts of a paper run: the real chain is read, what would be sent stays here. Coins are those that strangers
create meanwhile, so a benchmark takes as long as its samples take to happen; that waiting is in no figure. What is
measured cold asks about a coin that did not exist when the sample before it ended.

The parameter is a configuration file rather than addresses: an address may hold a token, and parameters are stored.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from solders.pubkey import Pubkey

from slotzero.clock import Clock, SystemClock
from slotzero.config import Settings, load
from slotzero.detection.detector import Detector
from slotzero.errors import TransportError
from slotzero.market.metadata import MetadataStore
from slotzero.market.price_board import Price
from slotzero.market.price_feed import Following, PriceFeed
from slotzero.perf.workload import Workload, workload
from slotzero.safety import RoundTripProbe, Verdict
from slotzero.solana.endpoints import EndpointPool
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import Rpc
from slotzero.trace import Span, Trace
from slotzero.trading.filters import Filters, Refusal
from slotzero.trading.paper import PaperPubSub, PaperRpc
from slotzero.trading.plan import plan_buy
from slotzero.trading.probe import read_rent, round_trip_probe
from slotzero.units import MonoNs
from slotzero.venues.market import Market
from slotzero.venues.records import NewPool
from slotzero.venues.registry import VENUES
from slotzero.workloads.bot_run import endpoint_specs
from slotzero.workloads.components.checks import deep_checker
from slotzero.workloads.components.feeds import NextPrice, detection_trace
from slotzero.workloads.components.world import Detected
from slotzero.workloads.paper_run import open_desk, paper_cluster

__all__ = ["detection", "filters", "honeypot", "metadata", "price_feed"]

_WITHIN_S: Final = 10
_COIN_WITHIN_S: Final = 25.0
_POOLS: Final = 8


class _Scene:
    """A chain that is read, and the feed of its new pools.

    Attributes:
        rpc: Answers as the paper bot is answered; `pubsub` likewise.
        wallet: Whose paper money a simulated trade would spend.
        group: Owns what runs beside the samples.
    """

    def __init__(
        self, settings: Settings, rpc: Rpc, pubsub: PubSub, wallet: Pubkey, group: asyncio.TaskGroup, clock: Clock
    ) -> None:
        self.settings = settings
        self.rpc = rpc
        self.pubsub = pubsub
        self.wallet = wallet
        self.group = group
        self.clock = clock
        self._detector = Detector(tuple(VENUES.values()))
        self._waiting: asyncio.Future[Detected] | None = None

    async def listen(self) -> None:
        """Follow the venues. Raises TransportError."""
        feeds = [
            self.pubsub.subscribe(
                "logsSubscribe", [{"mentions": [str(venue.program)]}, {"commitment": "processed"}], self._on_frame
            )
            for venue in VENUES.values()
        ]
        try:
            async with asyncio.timeout(_WITHIN_S):
                for feed in feeds:
                    await feed.active
        except TimeoutError:
            raise TransportError(self.pubsub.endpoint, "logsSubscribe was not answered in time") from None

    async def next_pool(self, within_s: float | None = _COIN_WITHIN_S) -> Detected:
        """Wait for the next new pool of anybody; None waits for ever. Raises TransportError when none comes."""
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(within_s):
                return await self._waiting
        except TimeoutError:
            told = f"no new pool was seen for {_COIN_WITHIN_S:.0f} s; does the endpoint tell of the venue's logs?"
            raise TransportError(self.pubsub.endpoint, told) from None

    def _on_frame(self, frame: bytes, now: MonoNs) -> None:
        pools = self._detector.on_frame(frame, now)
        if pools and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((pools[0], self.clock.mono_ns()))


@asynccontextmanager
async def _open_scene(config: str) -> AsyncIterator[_Scene]:
    settings, clock = load(Path(config)), SystemClock()
    cluster = paper_cluster(settings)
    async with (
        EndpointPool(endpoint_specs(cluster), clock=clock, timeout_ms=settings.cluster.call_timeout_ms) as upstream,
        asyncio.TaskGroup() as group,
    ):
        desk, (signer, *_) = await open_desk(settings, upstream, await upstream.get_genesis_hash(), clock=clock)
        pubsub = PaperPubSub(cluster.ws, desk=desk, clock=clock, silent_after_ms=cluster.silent_after_ms)
        rpc = PaperRpc(upstream, desk, clock=clock)
        scene = _Scene(settings, rpc, pubsub, signer.pubkey, group, clock)
        services = [group.create_task(service) for service in (upstream.run(), desk.run(), pubsub.run())]
        try:
            await scene.listen()
            yield scene
        finally:
            for service in services:
                service.cancel()
            desk.close()


@workload
async def detection(config: str = "") -> AsyncIterator[Workload]:
    """Detect the next coin. Without the chain's own instant, which mainnet does not tell, the frame is the start."""
    async with _open_scene(config) as scene:

        async def run() -> Trace:
            return detection_trace(await scene.next_pool())

        yield Workload(run=run)


@workload
async def filters(config: str = "") -> AsyncIterator[Workload]:
    """Decide about coins of strangers by the configured filters; to refuse one is no error."""
    async with _open_scene(config) as scene:
        pools = [(await scene.next_pool())[0] for _ in range(_POOLS)]
    decide, turn = Filters(scene.settings.filters).decide, itertools.cycle(pools)

    def run() -> object:
        return decide(next(turn))

    yield Workload(run=run)


@workload
async def honeypot(config: str = "") -> AsyncIterator[Workload]:
    """Judge a stranger's new coin by every layer; the round trip is simulated in the paper fork."""
    async with _open_scene(config) as scene:
        rent = await read_rent(scene.rpc)
        checker = deep_checker(scene.rpc, scene.settings)
        markets = _Markets(scene)
        await markets.prepare()
        judged: list[tuple[NewPool, RoundTripProbe]] = []

        async def setup() -> None:
            judged.clear()
            while not judged:
                pool, _ = await scene.next_pool()
                market = markets.of(pool)
                plan = plan_buy(market, pool.reserves, scene.settings.trade)
                if not isinstance(plan, Refusal):
                    judged.append((pool, round_trip_probe(market, scene.wallet, plan, rent=rent)))

        async def run() -> Verdict:
            return await checker.check(*judged[0])

        def check(verdict: object) -> str | None:
            assert isinstance(verdict, Verdict)
            return "unsure" if verdict.decision == "UNSURE" else None

        yield Workload(run=run, setup=setup, check=check)


@workload
async def metadata(config: str = "") -> AsyncIterator[Workload]:
    """Read what a stranger's new coin says of itself."""
    async with _open_scene(config) as scene:
        store = MetadataStore(scene.rpc.get_multiple_accounts, clock=scene.clock, tasks=scene.group)
        pools: list[NewPool] = []

        async def setup() -> None:
            pools[:] = [(await scene.next_pool())[0]]

        async def run() -> object:
            return await store.get(pools[0].mint)

        yield Workload(run=run, setup=setup, check=lambda found: None if found is not None else "not_found")


@workload
async def price_feed(config: str = "") -> AsyncIterator[Workload]:
    """Publish the price after a stranger's trade in one of the newest coins."""
    async with _open_scene(config) as scene:
        markets, found = _Markets(scene), NextPrice()
        await markets.prepare()
        feed = PriceFeed(scene.pubsub, clock=scene.clock)
        queue = feed.subscribe()
        followed: deque[Following] = deque()
        is_beginning = False

        def on_price(price: Price) -> None:
            if not is_beginning:  # that price comes with the pool, from no frame
                found.take(price)

        feed.listen(on_price)

        async def follow_the_newest() -> None:
            nonlocal is_beginning
            while True:
                pool, _ = await scene.next_pool(within_s=None)
                is_beginning = True
                following = feed.follow(markets.of(pool))
                is_beginning = False
                if following is not None:
                    followed.append(following)
                if len(followed) > _POOLS:
                    followed.popleft().cancel()

        async def run() -> Span:
            return await found.arm()

        def check(_span: object) -> str | None:
            return None if queue.get_nowait() is not None else "not_published"

        newest = scene.group.create_task(follow_the_newest())
        try:
            yield Workload(run=run, check=check)
        finally:
            newest.cancel()


class _Markets:
    """The markets of new pools for the paper wallet, each venue configured as the chain says."""

    def __init__(self, scene: _Scene) -> None:
        self._scene = scene
        self._traders = {name: venue.trader(scene.wallet) for name, venue in VENUES.items()}

    async def prepare(self) -> None:
        """Read the venues' settings."""
        for trader in self._traders.values():
            accounts = await self._scene.rpc.get_multiple_accounts(trader.config_accounts, "processed")
            trader.configure([None if account is None else account.data for account in accounts])

    def of(self, pool: NewPool) -> Market:
        """Return a new pool's."""
        return self._traders[pool.venue].market(pool)
