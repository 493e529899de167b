"""POSITION_MONITOR and RUG_DETECTION: what the keeper of a real position does in a frame's own callback.

The position is the engine's, bought on the chain; the frames are caused by real trades of somebody else. The times are
the keeper's own, from the frame it was handed to the rules applied, or to the emergency sell signed.
"""

from collections.abc import AsyncIterator
from typing import Final

from slotzero.perf.workload import Workload, workload
from slotzero.trace import Component, Span
from slotzero.units import DurationNs, Lamports
from slotzero.workloads.components.sniping import Snipes, count_ended, held_coin, sniping
from slotzero.workloads.components.trades import Trades
from slotzero.workloads.components.world import DEFAULT_SEED, DEFAULT_SLOTS

__all__ = ["position_monitor", "rug_detection"]

_HOUR_MS: Final = 3_600_000
_DUMPED: Final = Lamports(6_000_000_000)
"""What the creator buys with the creation and later sells at once: 17 % of the supply, nearly all the pool holds."""


class _Timed:
    """The next timing of a component."""

    def __init__(self, snipes: Snipes, component: Component) -> None:
        self._snipes = snipes
        self._component = component
        self._before: tuple[DurationNs, ...] = ()

    def arm(self) -> None:
        """What comes from now on counts."""
        self._before = self._snipes.timings(self._component)

    async def next(self) -> Span:
        """Wait for it."""
        return await self._snipes.timing(self._component, self._before)


@workload
async def position_monitor(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Value a position anew on a trade of somebody else, and apply the exit rules and the rug watch's."""
    async with sniping(slot_ms, seed, max_hold_ms=_HOUR_MS) as snipes:
        world, timed = snipes.world, _Timed(snipes, Component.POSITION_MONITOR)
        coin = await held_coin(snipes)
        trades = Trades(world, coin.mint)

        async def setup() -> None:
            await trades.prepare()
            timed.arm()

        async def run() -> Span:
            trades.send()
            return await timed.next()

        yield Workload(run=run, setup=setup, teardown=world.wire.answers)


@workload
async def rug_detection(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Sign the emergency sell of a position whose creator sells all it has, at a random phase of the slot."""
    async with sniping(slot_ms, seed, max_hold_ms=_HOUR_MS) as snipes:
        world, timed = snipes.world, _Timed(snipes, Component.RUG_DETECTION)
        dump = b""
        ended = 0

        async def setup() -> None:
            nonlocal dump, ended
            coin = await held_coin(snipes, _DUMPED)
            await world.refresh()
            held = world.tokens_for(world.launch_reserves, _DUMPED)
            dump = world.signed(world.selling(coin.creator, held), world.creator)
            await world.random_phase()
            ended = count_ended(snipes.report)
            timed.arm()

        async def run() -> Span:
            world.wire.send(dump)
            return await timed.next()

        async def teardown() -> None:
            world.wire.answers()
            await snipes.has_ended(ended)

        yield Workload(run=run, setup=setup, teardown=teardown)
