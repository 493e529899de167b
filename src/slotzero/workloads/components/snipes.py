"""EXECUTION, FULL_FLOW and EXIT: whole snipes of the real engine, on a chain whose slots take time.

A sample creates one coin at a random phase of the slot, lets the engine live through it, and takes the component's span
from the snipe's own stamps.
"""

from collections.abc import AsyncIterator
from typing import Final

from slotzero.engine import EngineReport
from slotzero.perf.workload import Workload, workload
from slotzero.trace import Component, Trace
from slotzero.units import Lamports
from slotzero.workloads.components.sniping import CREATOR_BUYS, Snipes, count_ended, held_coin, reasons_of, sniping
from slotzero.workloads.components.world import DEFAULT_SEED, DEFAULT_SLOTS, Coin

__all__ = ["execution", "exit_position", "full_flow"]

_HOUR_MS: Final = 3_600_000
_LIFT: Final = Lamports(8_000_000_000)
"""What somebody else buys to lift a young coin by half and more: beyond any take-profit of the default settings."""


def _bought(snipes: Snipes, component: Component) -> Workload:
    """Return the workload of buys: each position is sold as soon as it is there, which is not part of the sample."""
    world = snipes.world
    coins: list[Coin] = []
    ended = 0

    async def setup() -> None:
        nonlocal ended
        await world.refresh()
        coins[:] = [world.coin(creator_buys=CREATOR_BUYS)]
        ended = count_ended(snipes.report)
        await world.random_phase()

    async def run() -> Trace | str:
        before = reasons_of(snipes.report)
        world.wire.send(coins[0].creation)
        found = await snipes.trace(component, ended)
        return _why(before, snipes.report) or found

    return Workload(run=run, setup=setup, teardown=world.wire.answers, check=_kind)


def _why(before: dict[str, int], report: EngineReport) -> str | None:
    """Return the reason of the snipe that was refused or failed since, or None."""
    return next((reason for reason, count in reasons_of(report).items() if count > before.get(reason, 0)), None)


def _kind(found: object) -> str | None:
    return found if isinstance(found, str) else None


@workload
async def execution(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """From the plan to the confirmed buy."""
    async with sniping(slot_ms, seed, max_hold_ms=1) as snipes:
        yield _bought(snipes, Component.EXECUTION)


@workload
async def full_flow(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """From the creation executed in the chain to the confirmed buy."""
    async with sniping(slot_ms, seed, max_hold_ms=1) as snipes:
        yield _bought(snipes, Component.FULL_FLOW)


@workload
async def exit_position(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """From the frame of somebody's buy that fires the take-profit rule to the confirmed sell."""
    async with sniping(slot_ms, seed, max_hold_ms=_HOUR_MS) as snipes:
        world = snipes.world
        lift = b""
        ended = 0

        async def setup() -> None:
            nonlocal lift, ended
            coin = await held_coin(snipes)
            await world.refresh()
            tokens = world.tokens_for(world.launch_reserves, _LIFT)
            buying = world.buying(world.accounts(world.rival, coin.mint), tokens)
            lift, ended = world.signed(buying, world.rival), count_ended(snipes.report)
            await world.random_phase()

        async def run() -> Trace | str:
            world.wire.send(lift)
            return await snipes.trace(Component.EXIT, ended)

        yield Workload(run=run, setup=setup, teardown=world.wire.answers, check=_kind)
