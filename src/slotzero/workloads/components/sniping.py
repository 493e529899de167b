"""The real engine on a chain of ours, for the workloads that need whole snipes or open positions.

The engine runs as `slotzero run` starts it, with its journal, joined to a chain on which nobody else launches coins.
What it measures of itself (the stamps of each snipe, the timings of its keepers) is read from its report, so a sample
is the sniper's time and not that of whoever watches it.
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
from slotzero.trace import Component, Span, Trace
from slotzero.units import DurationNs, Lamports
from slotzero.workloads.components.world import Coin, World, open_world
from slotzero.workloads.localnet_run import snipe_on_localnet

__all__ = ["CREATOR_BUYS", "LOOK_EVERY_S", "Snipes", "count_ended", "held_coin", "reasons_of", "sniping"]

LOOK_EVERY_S: Final = 0.01
_START_WITHIN_S: Final = 30
_BUDGET_MS: Final = 2_000
_HOUR_BIDS: Final = Lamports(100_000_000_000)
CREATOR_BUYS: Final = Lamports(100_000_000)
_REFUSED_BUYS: Final = Lamports(12_000_000_000)
_HEARD_WITHIN_S: Final = 0.1


class Snipes:
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
        await self.has_ended(ended_before)
        report = self.report
        for trace in report.traces:
            if trace.span(component) is not None:
                return trace
        return "no_span"

    async def timing(self, component: Component, before: tuple[DurationNs, ...]) -> Span:
        """Wait until the engine has timed a component once more than `before`; all of it is our own time."""
        while (timed := self.timings(component)) == before:  # noqa: ASYNC110 the engine tells nobody
            await asyncio.sleep(LOOK_EVERY_S)
        took = timed[-1]
        return Span(component=component, total_ns=took, own_ns=took, waited_ns=DurationNs(0), starts_at="frame")

    def timings(self, component: Component) -> tuple[DurationNs, ...]:
        """Return the newest durations of a component."""
        return self.report.timings.get(component, ())

    async def has_ended(self, ended_before: int) -> None:
        """Wait until one more snipe has ended."""
        while count_ended(self.report) == ended_before:  # noqa: ASYNC110 the engine tells nobody
            await asyncio.sleep(LOOK_EVERY_S)

    async def is_held(self, before: EngineReport) -> bool:
        """Wait until one more coin is held, or was refused. Returns which."""
        while (report := self.report).bought == before.bought:
            if count_ended(report) != count_ended(before):
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True


def count_ended(report: EngineReport) -> int:
    """Return how many snipes have come to an end, whichever. *Pure.*"""
    return report.closed + sum(report.failed.values()) + sum(report.rejected.values())


def reasons_of(report: EngineReport) -> dict[str, int]:
    """Return why snipes have not become positions, and how often. *Pure.*"""
    return {**report.rejected, **report.failed}


@asynccontextmanager
async def sniping(slot_ms: str, seed: str, max_hold_ms: int) -> AsyncIterator[Snipes]:
    """Run the engine on a chain, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="slotzero-bench-") as folder:
        async with open_world(slot_ms, seed) as world, asyncio.TaskGroup() as group:
            defaults = Settings()
            settings = replace(
                defaults,
                cluster=ClusterSettings(rpc_url=world.endpoints.rpc, ws_url=world.endpoints.ws, silent_after_ms=0),
                localnet=replace(defaults.localnet, slot_ms=int(slot_ms)),
                exits=replace(defaults.exits, max_hold_ms=max_hold_ms),
                # A slow check shall show as latency, not as a refusal; and no hour of bids shall end a long run.
                safety=replace(defaults.safety, budget_ms=_BUDGET_MS),
                fees=replace(defaults.fees, max_hour_lamports=_HOUR_BIDS),
                journal=JournalSettings(path=str(Path(folder) / "journal.sqlite3")),
            )
            engines: list[Engine] = []
            gc.collect()
            gc.freeze()  # as the session of `slotzero run` does
            run = group.create_task(snipe_on_localnet(settings, on_engine=engines.append))
            async with asyncio.timeout(_START_WITHIN_S):
                while not engines or not engines[0].has_started:  # noqa: ASYNC110 the engine tells nobody
                    await asyncio.sleep(LOOK_EVERY_S)
            with _stopped(engines[0]):
                snipes = Snipes(world, engines[0])
                await _listens(snipes)
                yield snipes
            await run


async def _listens(snipes: Snipes) -> None:
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


async def held_coin(snipes: Snipes, creator_buys: Lamports = CREATOR_BUYS) -> Coin:
    """Create coins until the engine holds one: a busy machine's check may come too late. Limit the time yourself."""
    world = snipes.world
    while True:
        await world.refresh()
        coin, before = world.coin(creator_buys=creator_buys), snipes.report
        world.wire.send(coin.creation)
        is_held = await snipes.is_held(before)
        world.wire.answers()
        if is_held:
            return coin
