"""A thousand snipes between new pool and closed at once, in one bot process. About 60 s.

Chain, bot and driver are processes of their own. Every position is held for 8 s and sold by time, so 1,000 users make
about 117 snipes a second; the chain carries the creations, the buys, the sells and nothing else (no rivals, no traps:
the bot is what is measured here, not the market). `SECONDS=20 python benchmarks/bench_thousand.py` is a shorter run.
Exit code 1 when a limit is missed.
"""

import asyncio
import os
import sys
from typing import Final

import uvloop

from environment import print_environment
from slotzero.perf.arrivals import Closed
from slotzero.perf.classify import Fault
from slotzero.perf.load import load_test_service
from slotzero.perf.load_types import LoadResult, LoadTestConfig
from slotzero.workloads.snipe_scenarios.conclusion import Limit, bot_block, chain_block, concluded
from slotzero.workloads.snipe_scenarios.scene import Stage, open_scene

USERS: Final = 1_000
HOLD_MS: Final = 8_000
RAMP_UP_S: Final = 8.5
LIMITS: Final = (
    Limit(figure="run.snipes_per_s", limit=100, is_least=True),
    Limit(figure="run.success_percent", limit=99, is_least=True),
    Limit(figure="run.most_open", limit=USERS * 0.95, is_least=True),
    Limit(figure="run.bot_rss_mb", limit=200),
    Limit(figure="bot.loop_delay_p99_ms", limit=20),
    Limit(figure="bot.overloaded", limit=0),
    Limit(figure="bot.events_lost", limit=0),
)


async def measure(seconds: float) -> LoadResult:
    """Run once and return the result, judged."""
    stage = Stage(hold_ms=HOLD_MS, climb_every=0, trap_every=0, rivals=0, in_flight=2_000)
    async with open_scene(stage) as scene:
        config = LoadTestConfig(
            scenario="A thousand at once",
            arrivals=Closed(users=USERS, jitter_s=0.2),
            duration=seconds + RAMP_UP_S,
            ramp_up=RAMP_UP_S,
            processes=scene.processes,
        )
        result = await load_test_service.run(
            scene.driver.snipe,
            config,
            classify_result=lambda value: value if isinstance(value, Fault) else None,
            probe=scene.probe,
        )
        assert isinstance(result, LoadResult)
        document = await scene.bot.finish()
        blocks = {"chain": chain_block(await scene.chain_stats())}
        if document is not None:
            blocks["bot"] = bot_block(document)
        steady = [window for window in result.timeline if RAMP_UP_S + 1 <= window.at_s < seconds + RAMP_UP_S]
        span = sum(window.span_s for window in steady)
        blocks["run"] = {
            "snipes_per_s": round(sum(window.ops for window in steady) / span, 2) if span else None,
            "success_percent": result.success_rate_percent,
            "most_open": result.peak_in_flight,
            "bot_rss_mb": result.resources["bot"].peak_rss_mb,
            "p95_ms": None if result.latency_ms is None else result.latency_ms.p95,
        }
        return concluded(result, blocks, LIMITS)


def main() -> None:
    """Print the figures and say whether they hold."""
    print_environment("A thousand snipes at once in one bot process")
    before = os.getloadavg()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(measure(float(os.environ.get("SECONDS", "40"))))
    print(f"machine's load: {before[0]:.2f} before, {os.getloadavg()[0]:.2f} after")
    for name, used in result.resources.items():
        print(f"{name:<8} CPU {used.avg_cpu_percent:6.1f} %   RSS {used.peak_rss_mb:6.1f} MB")
    for name, block in result.extra.items():
        for figure, value in block.items():
            print(f"{name + '.' + figure:<36} {'-' if value is None else f'{value:g}'}")
    for detail in result.error_details:
        print(f"{detail.count} x {detail.kind}/{detail.code}")
    for found in result.thresholds:
        print(f"{'met   ' if found.met else 'MISSED'} {found.name}{f': {found.why}' if found.why else ''}")
    sys.exit(0 if all(found.met for found in result.thresholds) else 1)


if __name__ == "__main__":
    main()
