"""A5: what the load runner costs for each operation, beside the bare loop, and beside Locust.

Awaited is the closed plan: `await noop()` in its user's task. As a task is the open plan: each operation a task of its
own, its three clocks, and the pacer, offered as one burst so that nothing but the runner's own work is in it. The bare
loops do the same without measuring anything. CPU time for each operation, best of seven (a neighbour only ever adds).

    python benchmarks/bench_load_overhead.py
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

import uvloop

from environment import print_environment
from peer_environment import HOW_TO, peer_python, run_peer
from slotzero.perf.arrivals import Replay
from slotzero.perf.load import load_test_service
from slotzero.perf.load_types import LoadResult, LoadTestConfig

ROUNDS: Final = 7
TASKS: Final = 50_000
LIMITS_US: Final = {"awaited": 1.0, "as a task": 6.0}
LOOPS: Final[dict[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
Measure = Callable[[], Awaitable[float]]


async def noop() -> None:
    """Do nothing."""


async def bare_awaited() -> float:
    """Await no-ops. Returns CPU microseconds for each."""
    count = 200_000
    before = time.process_time()
    for _ in range(count):
        await noop()
    return 1e6 * (time.process_time() - before) / count


async def bare_task() -> float:
    """Make a task of each no-op, with the least that keeps it alive."""
    loop, kept = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    before = time.process_time()
    for _ in range(TASKS // 100):
        for _ in range(100):
            task = loop.create_task(noop())
            kept.add(task)
            task.add_done_callback(kept.discard)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return 1e6 * (time.process_time() - before) / TASKS


async def ours_awaited() -> float:
    """Run a closed plan of ten users."""
    return await _ours(LoadTestConfig(scenario="noop", concurrency=10, duration=0.3))


async def ours_task() -> float:
    """Run an open plan whose arrivals come in bursts of 100."""
    bursts = tuple(burst * 600_000 for burst in range(TASKS // 100) for _ in range(100))
    return await _ours(LoadTestConfig(scenario="noop", arrivals=Replay(instants_ns=bursts), duration=0.3))


async def _ours(config: LoadTestConfig) -> float:
    result = await load_test_service.run(noop, config)
    assert isinstance(result, LoadResult), str(result)
    driver = result.driver
    assert driver is not None
    used_us = 1e6 * (driver.cpu_user_s + driver.cpu_system_s)
    return used_us / result.total_ops


ROWS: Final[dict[str, tuple[Measure, Measure]]] = {
    "awaited": (bare_awaited, ours_awaited),
    "as a task": (bare_task, ours_task),
}


def best(measure: Measure, loop: Callable[[], asyncio.AbstractEventLoop]) -> float:
    """Return the best of some rounds on one loop."""

    async def rounds() -> float:
        return min([await measure() for _ in range(ROUNDS)])

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(rounds())


def main() -> int:
    """Measure and print."""
    print_environment("load runner, no-op operations: CPU us each (timed, classified, recorded, on the timeline)")
    print(f"  {'':<22}{'bare loop':>12}{'with runner':>13}{'overhead':>11}{'limit':>8}")
    missed = 0
    for loop_name, loop in LOOPS.items():
        for name, (bare, ours) in ROWS.items():
            floor, found = best(bare, loop), best(ours, loop)
            # What the runner adds: on a slow machine the bare loop's own task alone takes longer than the limit.
            limit, overhead = LIMITS_US[name], found - floor
            missed += overhead >= limit
            print(
                f"  {loop_name + ', ' + name:<22}{floor:>12.2f}{found:>13.2f}{overhead:>11.2f}{limit:>8.0f}"
                f"{'  MISSED' if overhead >= limit else ''}"
            )
    python = peer_python()
    if python is None:
        print(f"  Locust: not measured; install it beside: {HOW_TO}")
        return 1 if missed else 0
    for users in (1, 10, 100):
        row = asyncio.run(run_peer(python, "locust_overhead.py", str(users), "1.5"))
        print(f"  {f'Locust, {users} users':<22}{'':>12}{row['cpu_us']:>13.2f}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
