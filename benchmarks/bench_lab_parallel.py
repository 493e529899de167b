"""Two benchmarks at once in processes of their own, each p50 beside its single-run p50 of the same minute.

A pair of components that compute, and a pair that wait for slots. Each is measured alone, both at once, and alone
again: what the two single runs differ by is the machine's own mood, and no verdict on running two at once is finer.

    python benchmarks/bench_lab_parallel.py
"""

import asyncio
import sys
from typing import Final

import uvloop

from environment import print_environment
from slotzero.perf import BenchmarkOptions, BenchmarkResult, BenchmarkService
from slotzero.trace import Component
from slotzero.workloads.components import COMPONENT_WORKLOADS

PAIRS: Final = (
    ((Component.FEE_OPTIMIZATION, 50_000), (Component.WALLET_ROTATION, 100_000)),
    ((Component.EXECUTION, 15), (Component.EXIT, 15)),
)
SLOT_MS: Final = 200


async def main() -> None:
    """Measure and print."""
    service = BenchmarkService()
    rows: list[str] = []
    for pair in PAIRS:
        first = [await one(service, *item) for item in pair]
        both = await asyncio.gather(*(one(service, *item) for item in pair))
        last = [await one(service, *item) for item in pair]
        for (component, _), alone, beside, again in zip(pair, first, both, last, strict=True):
            (other,) = beside.shared_with
            name = f"{component.value} beside {other}"
            ratios = (
                f"at once/alone {_own(beside) / _own(alone):.2f}, alone again/alone {_own(again) / _own(alone):.2f}"
            )
            figures = f"alone {_us(alone)}  at once {_us(beside)}  alone again {_us(again)}"
            rows.append(f"  {name:<42} {figures}  own {ratios}")
    print_environment("p50 in us of two benchmarks at once, in processes of their own, and of each alone")
    print("\n".join(rows))
    sys.stdout.flush()


async def one(service: BenchmarkService, component: Component, samples: int) -> BenchmarkResult:
    """Measure one component in a process of its own."""
    workload = COMPONENT_WORKLOADS[component]
    outcome = await service.run_isolated(
        workload.reference,
        BenchmarkOptions(component=component, samples=samples),
        loop="uvloop",
        parameters={"slot_ms": str(SLOT_MS)} if workload.has_chain else {},
    )
    assert isinstance(outcome, BenchmarkResult), str(outcome)
    return outcome


def _us(result: BenchmarkResult) -> str:
    return f"{1_000 * result.latency_ms.median:10.1f}"


def _own(result: BenchmarkResult) -> float:
    """Return the median of our own time, which is what another process could make worse."""
    return (result.own_ms or result.latency_ms).median


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
