"""A1: a target that freezes 1 s in every 10 s, at 100 operations a second for 40 s. Who sees it?

What is true is known beforehand. Arrival k at k / 100 s is answered at once, or at the end of the freeze it falls into,
so of 4,000 response times 3,600 are 0 and each freeze gives 100 values from 1,000 down to 10 ms: p95 is 500 ms, p99
900 ms, p99.9 990 ms, the mean 50.5 ms. An open plan must find just that; a closed one (and every tool that has nothing
else) offers less while it waits, and reports what is left.

Ours and Locust's runs go side by side in processes of their own. Exits with 1 when ours misses the truth.

    python benchmarks/bench_stall_truth.py
"""

import asyncio
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

import uvloop

from environment import print_environment
from peer_environment import HOW_TO, peer_python, run_peer
from slotzero.clock import elapsed_ns, mono_ns
from slotzero.perf.arrivals import Closed, Constant
from slotzero.perf.load import load_test_service
from slotzero.perf.load_types import LoadResult, LoadTestConfig
from slotzero.perf.pacing import PacingClock
from slotzero.perf.types import LatencyStats

DURATION_S: Final = 40.0
RATE_PER_S: Final = 100
PERIOD_NS: Final = 10_000_000_000
FREEZE_NS: Final = 1_000_000_000
LOCUST_USERS: Final = (1, 10, 100)
TRUTH: Final = {
    "p95_ms": (500, 25),
    "p99_ms": (900, 20),
    "p999_ms": (990, 20),
    "max_ms": (1_000, 30),
    "mean_ms": (50.5, 3),
}

Row = dict[str, float]


def ours(plan: Constant | Closed, places: int | None) -> tuple[Row, Row, str, float]:
    """Run one plan against the freezing target. Returns response, service, verdict and generator lateness p99."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_ours(plan, places))


async def _ours(plan: Constant | Closed, places: int | None) -> tuple[Row, Row, str, float]:
    async with PacingClock() as clock:
        began: list[int] = []

        async def operation() -> None:
            # The freezes are laid by the plan's start: the first arrival is at its instant 0.
            if not began:
                began.append(mono_ns())
            now = mono_ns()
            place = elapsed_ns(began[0], now) % PERIOD_NS
            if place >= PERIOD_NS - FREEZE_NS:
                await clock.sleep_until(now + PERIOD_NS - place)

        config = LoadTestConfig(scenario="stall", arrivals=plan, duration=DURATION_S, max_in_flight=places)
        result = await load_test_service.run(operation, config)
    assert isinstance(result, LoadResult), str(result)
    late = result.generator.lateness_ms
    return (
        _row(result.latency_ms, result.peak_in_flight),
        _row(result.service_ms, result.peak_in_flight),
        result.generator.verdict,
        late.p99 if late else 0.0,
    )


def _row(stats: LatencyStats | None, in_flight: int) -> Row:
    if stats is None:
        return {}
    return {
        "n": stats.count,
        "p50_ms": stats.median,
        "p90_ms": stats.p90,
        "p95_ms": stats.p95,
        "p99_ms": stats.p99,
        "p999_ms": stats.p999,
        "max_ms": stats.max,
        "mean_ms": stats.mean,
        "in_flight": in_flight,
    }


def truth() -> Row:
    """Return what is true, by the definition of the target."""
    values = sorted(
        max(0, arrival % 1_000 - 899) and (1_000 - arrival % 1_000) * 10
        for arrival in range(int(DURATION_S * RATE_PER_S))
    )
    ranks = {"p50_ms": 50, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99, "p999_ms": 99.9}
    found: Row = {name: values[-(-len(values) * round(at * 10) // 1_000) - 1] for name, at in ranks.items()}
    return {"n": len(values), **found, "max_ms": values[-1], "mean_ms": sum(values) / len(values)}


async def main() -> int:
    """Run all side by side and print them."""
    loop = asyncio.get_running_loop()
    python = peer_python()
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        runs = [
            loop.run_in_executor(pool, ours, Constant(rate_per_s=RATE_PER_S), None),
            loop.run_in_executor(pool, ours, Constant(rate_per_s=RATE_PER_S), 10),
            loop.run_in_executor(pool, ours, Closed(users=1, pacing_s=1 / RATE_PER_S), None),
        ]
        peers = [
            run_peer(python, "locust_stall.py", str(users), str(DURATION_S))
            for users in LOCUST_USERS
            if python is not None
        ]
        locusts = await asyncio.gather(*peers)
        unbounded, capped, closed = await asyncio.gather(*runs)
    print_environment("stall ground truth: 1 s freeze in every 10 s, 100/s for 40 s, in process; milliseconds")
    print(f"{'':<46}{'n':>6}{'p50':>8}{'p90':>8}{'p95':>8}{'p99':>8}{'p99.9':>8}{'max':>8}{'mean':>8}")
    _print("truth", truth())
    _print("ours, open: response from the intended start", unbounded[0])
    _print("ours, open, 10 places: response", capped[0])
    _print("ours, open, 10 places: service alone", capped[1])
    _print("ours, closed, 1 user paced 10 ms: service", closed[0])
    for users, row in zip(LOCUST_USERS, locusts, strict=False):
        _print(f"Locust 2.47, {users} users x {RATE_PER_S / users:g}/s", row)
    if python is None:
        print(f"Locust: not measured; install it beside: {HOW_TO}")
    print(f"verdicts: open {unbounded[2]}, 10 places {capped[2]}, closed {closed[2]}")
    print(f"open: lateness p99 {unbounded[3]:.2f} ms, most in flight {unbounded[0]['in_flight']:.0f}")
    return _judge(unbounded[0], capped, closed[0])


def _print(name: str, row: Row) -> None:
    columns = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms", "mean_ms")
    print(f"{name:<46}{row['n']:>6.0f}" + "".join(f"{row[column]:>8.1f}" for column in columns))


def _judge(found: Row, capped: tuple[Row, Row, str, float], closed: Row) -> int:
    wrong = [
        f"{name} is {found[name]:.1f}, expected {value} +- {by}"
        for name, (value, by) in TRUTH.items()
        if abs(found[name] - value) > by
    ]
    if found["n"] != DURATION_S * RATE_PER_S:
        wrong.append(f"n is {found['n']:.0f}, expected 4000")
    if abs(found["in_flight"] - 100) > 2:
        wrong.append(f"{found['in_flight']:.0f} were in flight, expected 100 +- 2")
    if capped[1]["p99_ms"] >= 450 or abs(capped[0]["p99_ms"] - 900) > 50:
        wrong.append(
            f"with 10 places p99 is {capped[1]['p99_ms']:.0f} (service) and {capped[0]['p99_ms']:.0f} (response)"
        )
    if closed["p99_ms"] >= 50:
        wrong.append(f"the closed control should look away: its p99 is {closed['p99_ms']:.1f}")
    for sentence in wrong:
        print(f"MISSED: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
