"""A bot on an embedded chain of its own, watched: prints where its metrics are, ends with its stdin.

python watched_bot.py
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec
import uvloop

from slotzero.clock import SystemClock
from slotzero.config import load
from slotzero.engine import Engine, EngineReport
from slotzero.observe.bot import BotFeed
from slotzero.observe.exporter import MetricsServer
from slotzero.observe.metrics import Registry
from slotzero.workloads.localnet_run import snipe_on_localnet
from slotzero.workloads.targets import TARGETS


async def watch(registry: Registry, folder: Path) -> None:
    settings = load(None)
    journal = msgspec.structs.replace(settings.journal, path=str(folder / "journal.sqlite3"))
    settings = msgspec.structs.replace(settings, journal=journal)
    feed = BotFeed(registry, targets=TARGETS, clock=SystemClock())
    engines: list[Engine] = []

    def report() -> EngineReport | None:
        return engines[0].report() if engines and engines[0].has_started else None

    async with asyncio.TaskGroup() as tasks:
        metrics = tasks.create_task(feed.run(report), name="metrics")
        tasks.create_task(snipe_on_localnet(settings, on_engine=engines.append, hook=feed.hook), name="bot")
        await asyncio.to_thread(sys.stdin.read)
        assert engines, "ended before it began"
        engines[0].stop()
        metrics.cancel()


def main() -> None:
    registry = Registry()
    with MetricsServer(registry) as server, tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(watch(registry, Path(folder)))


if __name__ == "__main__":
    main()
