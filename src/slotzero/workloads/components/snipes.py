"""EXECUTION, FULL_FLOW and EXIT: whole snipes of the real engine, with its journal, on a chain whose slots take time.

The engine runs as `slotzero run` starts it, joined to a chain of ours on which nobody else launches coins. A sample
creates one coin at a random phase of the slot, lets the engine live through it, and takes the component's span from
the snipe's own stamps, so the sample is the sniper's time and not that of whoever watches it.
"""

import asyncio
import gc
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from slotzero.config import ClusterSettings, JournalSettings, Settings
from slotzero.engine import Engine, EngineReport
from slotzero.perf.workload import Workload, workload
from slotzero.trace import Component, Trace
from slotzero.units import Lamports
from slotzero.workloads.components.world import DEFAULT_SEED, DEFAULT_SLOTS, Coin, World, open_world
from slotzero.workloads.localnet_run import snipe_on_localnet

__all__ = ["execution", "exit_position", "full_flow"]

_LOOK_EVERY_S: Final = 0.01
_START_WITHIN_S: Final = 30
_HOUR_MS: Final = 3_600_000
_CREATOR_BUYS: Final = Lamports(100_000_000)
_REFUSED_BUYS: Final = Lamports(12_000_000_000)
_HEARD_WITHIN_S: Final = 0.1
_LIFT: Final = Lamports(8_000_000_000)
"""What somebody else buys to lift a young coin by half and more: beyond any take-profit of the default settings."""


class _Snipes:
    """The engine, and what has become of its snipes."""

    def __init__(self, world: World, engine: Engine) -> None:
        self.world = world
        self._engine = engine

    @property
    def report(self) -> EngineReport:
        """The engine's own report."""
        return self._engine.report()

    async def trace(self, component: Component, ended_before: int) -> Trace | str:
        """Wait until one more snipe has ended. Returns its stamps, or that it did not go through `component`."""
        while _ended(self.report) == ended_before:  # noqa: ASYNC110 the engine tells nobody
            await asyncio.sleep(_LOOK_EVERY_S)
        report = self.report
        for trace in report.traces:
            if trace.span(component) is not None:
                return trace
        return "no_span"

    async def is_held(self, before: EngineReport) -> bool:
        """Wait until one more coin is held, or was refused. Returns which."""
        while (report := self.report).bought == before.bought:
            if _ended(report) != _ended(before):
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True


def _ended(report: EngineReport) -> int:
    return report.closed + sum(report.failed.values()) + sum(report.rejected.values())


def _reasons(report: EngineReport) -> dict[str, int]:
    return {**report.rejected, **report.failed}


@asynccontextmanager
async def _sniping(slot_ms: str, seed: str, max_hold_ms: int) -> AsyncIterator[_Snipes]:
    """Run the engine on a chain, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="slotzero-bench-") as folder:
        async with open_world(slot_ms, seed) as world, asyncio.TaskGroup() as group:
            defaults = Settings()
            settings = replace(
                defaults,
                cluster=ClusterSettings(rpc_url=world.endpoints.rpc, ws_url=world.endpoints.ws, silent_after_ms=0),
                localnet=replace(defaults.localnet, slot_ms=int(slot_ms)),
                exits=replace(defaults.exits, max_hold_ms=max_hold_ms),
                journal=JournalSettings(path=str(Path(folder) / "journal.sqlite3")),
            )
            engines: list[Engine] = []
            gc.collect()
            gc.freeze()  # as the session of `slotzero run` does
            run = group.create_task(snipe_on_localnet(settings, on_engine=engines.append))
            async with asyncio.timeout(_START_WITHIN_S):
                while not engines or not engines[0].has_started:  # noqa: ASYNC110 the engine tells nobody
                    await asyncio.sleep(_LOOK_EVERY_S)
            with _stopped(engines[0]):
                snipes = _Snipes(world, engines[0])
                await _listens(snipes)
                yield snipes
            await run


async def _listens(snipes: _Snipes) -> None:
    """Wait until the engine hears of creations: by coins that its filters refuse for the creator's large share."""
    world = snipes.world
    async with asyncio.timeout(_START_WITHIN_S):
        while not snipes.report.detected:
            await world.refresh()
            world.wire.send(world.coin(creator_buys=_REFUSED_BUYS).creation)
            await asyncio.sleep(_HEARD_WITHIN_S)
            world.wire.answers()


@contextmanager
def _stopped(engine: Engine) -> Iterator[None]:
    try:
        yield
    finally:
        engine.stop()


def _bought(snipes: _Snipes, component: Component) -> Workload:
    """Return the workload of buys: each position is sold as soon as it is there, which is not part of the sample."""
    world = snipes.world
    coins: list[Coin] = []
    ended = 0

    async def setup() -> None:
        nonlocal ended
        await world.refresh()
        coins[:] = [world.coin(creator_buys=_CREATOR_BUYS)]
        ended = _ended(snipes.report)
        await world.random_phase()

    async def run() -> Trace | str:
        before = _reasons(snipes.report)
        world.wire.send(coins[0].creation)
        found = await snipes.trace(component, ended)
        return _why(before, snipes.report) or found

    return Workload(run=run, setup=setup, teardown=world.wire.answers, check=_kind)


def _why(before: dict[str, int], report: EngineReport) -> str | None:
    """Return the reason of the snipe that was refused or failed since, or None."""
    return next((reason for reason, count in _reasons(report).items() if count > before.get(reason, 0)), None)


def _kind(found: object) -> str | None:
    return found if isinstance(found, str) else None


@workload
async def execution(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """From the plan to the confirmed buy."""
    async with _sniping(slot_ms, seed, max_hold_ms=1) as snipes:
        yield _bought(snipes, Component.EXECUTION)


@workload
async def full_flow(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """From the creation executed in the chain to the confirmed buy."""
    async with _sniping(slot_ms, seed, max_hold_ms=1) as snipes:
        yield _bought(snipes, Component.FULL_FLOW)


async def _held_coin(snipes: _Snipes) -> Coin | None:
    """Create a coin and wait until the engine holds it; None when it was refused."""
    world = snipes.world
    await world.refresh()
    coin, before = world.coin(creator_buys=_CREATOR_BUYS), snipes.report
    world.wire.send(coin.creation)
    is_held = await snipes.is_held(before)
    world.wire.answers()
    return coin if is_held else None


@workload
async def exit_position(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """From the frame of somebody's buy that fires the take-profit rule to the confirmed sell."""
    async with _sniping(slot_ms, seed, max_hold_ms=_HOUR_MS) as snipes:
        world = snipes.world
        lift = b""
        ended = 0

        async def setup() -> None:
            nonlocal lift, ended
            coin = None
            while coin is None:  # a busy machine's check may come too late for one; the time for a setup is limited
                coin = await _held_coin(snipes)
            await world.refresh()
            tokens = world.tokens_for(world.launch_reserves, _LIFT)
            buying = world.buying(world.accounts(world.rival, coin.mint), tokens)
            lift, ended = world.signed(buying, world.rival), _ended(snipes.report)
            await world.random_phase()

        async def run() -> Trace | str:
            world.wire.send(lift)
            return await snipes.trace(Component.EXIT, ended)

        yield Workload(run=run, setup=setup, teardown=world.wire.answers, check=_kind)
