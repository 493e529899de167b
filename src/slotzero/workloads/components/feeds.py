"""DETECTION and PRICE_FEED: what begins with a frame and ends in the same callback.

Each sample is caused by a real transaction of somebody else, and heard through a real connection. Its time is taken
inside the callback, as the component defines it, and returned as a span: what the waking of the sample takes is not in
it. Only detection has a part that is waited for, from the chain's execution to our reading of the frame.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.market.price_board import Price
from slotzero.market.price_feed import PriceFeed
from slotzero.perf.workload import Workload, workload
from slotzero.trace import Component, Span, Stamp, Trace
from slotzero.units import DurationNs, Lamports
from slotzero.workloads.components.trades import Trades
from slotzero.workloads.components.world import DEFAULT_SEED, DEFAULT_SLOTS, Detected, World, open_stage

__all__ = ["NextPrice", "detection", "detection_trace", "price_feed"]

_WITHIN_S: Final = 10
_HEARD_WITHIN_S: Final = 0.2
_BUY: Final = Lamports(100_000_000)


@workload
async def detection(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Detect a coin that is created at a random phase of the slot; the clock starts at the chain's own instant."""
    async with open_stage(slot_ms, seed) as stage:
        world = stage.world
        creation = b""
        seen: asyncio.Future[Detected] = asyncio.get_running_loop().create_future()

        async def setup() -> None:
            nonlocal creation, seen
            await world.refresh()
            coin = world.coin(creator_buys=_BUY)
            creation, seen = coin.creation, stage.expect(coin.mint)
            await world.random_phase()

        async def run() -> Trace:
            world.wire.send(creation)
            return detection_trace(await seen)

        yield Workload(run=run, setup=setup, teardown=world.wire.answers)


def detection_trace(detected: Detected) -> Trace:
    """Return the stamps of a pool's detection, from the chain's own instant where that is known. *Pure.*"""
    pool, at = detected
    trace = Trace()
    if pool.mono_cause is not None:
        trace.mark(Stamp.CAUSE, pool.mono_cause)
    trace.mark(Stamp.FRAME, pool.mono_frame)
    trace.mark(Stamp.POOL, at)
    return trace


class NextPrice:
    """The span of the next price that a frame has brought."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[Span] | None = None

    def arm(self) -> asyncio.Future[Span]:
        """Return what will hold it."""
        self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    def take(self, price: Price) -> None:
        """Take a price that was just published; told last of all."""
        now = mono_ns()
        if self._waiting is not None and not self._waiting.done():
            took = elapsed_ns(price.mono, now)
            self._waiting.set_result(
                Span(
                    component=Component.PRICE_FEED,
                    total_ns=took,
                    own_ns=took,
                    waited_ns=DurationNs(0),
                    starts_at="frame",
                )
            )


@workload
async def price_feed(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Publish the price after a trade of somebody else to a queue and to a function, which is told last."""
    async with open_stage(slot_ms, seed) as stage:
        world = stage.world
        pool = await stage.launched(world.coin(creator_buys=_BUY))
        market = (await world.configured(world.rival.pubkey)).market(pool)
        trades, found = Trades(world, pool.mint), NextPrice()
        feed = PriceFeed(stage.pubsub, clock=world.clock)
        queue = feed.subscribe()
        feed.listen(found.take)
        following = feed.follow(market)
        assert following is not None
        await _is_heard(world, trades, found)

        async def run() -> Span:
            waiting = found.arm()
            trades.send()
            return await waiting

        def check(_span: object) -> str | None:
            return None if queue.get_nowait() is not None else "not_published"

        yield Workload(run=run, setup=trades.prepare, teardown=world.wire.answers, check=check)


async def _is_heard(world: World, trades: Trades, found: NextPrice) -> None:
    """Trade until a price is published: before that, the subscription may not be live."""
    async with asyncio.timeout(_WITHIN_S):
        while True:
            waiting = found.arm()
            await trades.prepare()
            trades.send()
            await asyncio.wait([waiting], timeout=_HEARD_WITHIN_S)
            world.wire.answers()
            if waiting.done():
                return
