"""A7 and A10 in figures: how far apart shards start, and how soon a killed and a stopped one are missed.

A Dask cluster of four processes on this machine, 2,000 operations a second together. Aim: the first operations of all
shards within 10 ms after the common instant; a lost shard noticed within 3 s, nothing of it run again.

    python benchmarks/bench_cluster.py
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

from environment import print_environment
from slotzero.perf.cluster import ClusterLoadService
from slotzero.perf.load_types import LoadResult, LoadTestConfig

SHARDS: Final = 4
RATE_PER_S: Final = 2_000.0
START_ROUNDS: Final = 3
MOST_SKEW_MS: Final = 10.0
MOST_LOSS_S: Final = 3.0
LEAD_S: Final = 1.0


async def operation() -> None:
    """Take a millisecond."""
    await asyncio.sleep(0.001)


async def run(seconds: float, signals: Mapping[int, signal.Signals]) -> LoadResult:
    """Run one distributed test, sending signals to shards two seconds after the start."""

    def armed(pids: Mapping[str, int]) -> None:
        loop = asyncio.get_running_loop()
        ordered = [pids[worker] for worker in sorted(pids)]
        for number, kind in signals.items():
            loop.call_later(LEAD_S + 2, os.kill, ordered[number], kind)
            if kind is signal.SIGSTOP:
                loop.call_later(LEAD_S + seconds, os.kill, ordered[number], signal.SIGCONT)

    config = LoadTestConfig(scenario="cluster", target_ops=RATE_PER_S, duration=seconds, graceful_stop_s=2)
    outcome = await ClusterLoadService(f"local:{SHARDS}").run(operation, config, on_armed=armed)
    assert isinstance(outcome, LoadResult), str(outcome)
    return outcome


async def main() -> int:
    """Measure and print."""
    missed = 0
    print_environment(f"distributed load: {SHARDS} shards on this machine, {RATE_PER_S:.0f}/s together")
    for _ in range(START_ROUNDS):
        result = await run(2, {})
        skews = [shard.start_skew_ms for shard in result.shards if shard.start_skew_ms is not None]
        missed += max(skews) > MOST_SKEW_MS
        late = result.generator.lateness_ms
        print(
            f"  start: first operations {min(skews):.2f} to {max(skews):.2f} ms after their instants; "
            f"{result.total_ops} operations, lateness p99 {late.p99 if late else 0:.2f} ms"
        )
    result = await run(6, {0: signal.SIGKILL, 1: signal.SIGSTOP})
    for shard in result.shards:
        if shard.state == "lost":
            after_s = (shard.lost_at_s or 0.0) - 2
            missed += after_s > MOST_LOSS_S
            print(
                f"  lost: shard {shard.shard} noticed {after_s:.2f} s after the signal ({shard.why}); "
                f"kept {shard.total_ops} operations up to {shard.last_snapshot_s:.2f} s"
            )
    p99 = result.latency_ms.p99 if result.latency_ms else 0.0
    print(
        f"  verdict {result.generator.verdict}, {result.total_ops} of {result.generator.planned} operations, "
        f"p99 {p99:.2f} ms (a share that was run again would show seconds)"
    )
    missed += result.generator.verdict != "degraded"
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
