"""A bot on an embedded chain of its own, watched: prints where its metrics are, ends with its stdin.

python watched_bot.py
"""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import uvloop

from slotzero.clock import SystemClock
from slotzero.config import load
from slotzero.engine import Engine, EngineReport
from slotzero.hook import SnipeDecided, StageTimed
from slotzero.observe.bot import BotFeed
from slotzero.observe.exporter import MetricsServer
from slotzero.observe.metrics import Registry
from slotzero.trace import Component, Trace
from slotzero.workloads.localnet_run import snipe_on_localnet
from slotzero.workloads.targets import TARGETS


class Watched:
    """The engine's report each second, with what has happened since handed to the hook."""

    def __init__(self, feed: BotFeed) -> None:
        self.feed = feed
        self.engine: Engine | None = None
        self._spans = self._bought = self._rejected = 0
        self._timed: Counter[Component] = Counter()

    def on_engine(self, engine: Engine) -> None:
        self.engine = engine

    def report(self) -> EngineReport | None:
        if self.engine is None or not self.engine.has_started:
            return None
        report = self.engine.report()
        for span in report.spans[self._spans :]:
            self.feed.hook(StageTimed(component=span.component, total_ns=span.total_ns, own_ns=span.own_ns))
        self._spans = len(report.spans)
        for component, durations in report.timings.items():
            for took in durations[self._timed[component] :]:
                self.feed.hook(StageTimed(component=component, total_ns=took, own_ns=took))
            self._timed[component] = len(durations)
        for _ in range(report.bought - self._bought):
            self.feed.hook(SnipeDecided(id="", outcome="bought", reason="", trace=Trace()))
        for _ in range(sum(report.rejected.values()) - self._rejected):
            self.feed.hook(SnipeDecided(id="", outcome="refused", reason=next(iter(report.rejected)), trace=Trace()))
        self._bought, self._rejected = report.bought, sum(report.rejected.values())
        return report


async def watch(registry: Registry, folder: Path) -> None:
    settings = load(None)
    journal = msgspec.structs.replace(settings.journal, path=str(folder / "journal.sqlite3"))
    settings = msgspec.structs.replace(settings, journal=journal)
    feed = BotFeed(registry, targets=TARGETS, clock=SystemClock())
    watched = Watched(feed)
    async with asyncio.TaskGroup() as tasks:
        metrics = tasks.create_task(feed.run(watched.report), name="metrics")
        tasks.create_task(snipe_on_localnet(settings, on_engine=watched.on_engine), name="bot")
        await asyncio.to_thread(sys.stdin.read)
        assert watched.engine is not None, "ended before it began"
        watched.engine.stop()
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
