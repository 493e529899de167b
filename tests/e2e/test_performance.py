"""The thirteen components against the targets that must be met: generous ones, which only something broken misses."""

import asyncio

import pytest

from slotzero.perf import BenchmarkOptions, BenchmarkResult, BenchmarkService
from slotzero.trace import Component
from slotzero.workloads.components import COMPONENT_WORKLOADS
from slotzero.workloads.targets import target_of

SLOT_MS = 50
SPLIT = {Component.DETECTION, Component.EXECUTION, Component.FULL_FLOW, Component.EXIT}
OWN = {Component.POSITION_MONITOR, Component.RUG_DETECTION, Component.PRICE_FEED}


@pytest.mark.performance
@pytest.mark.parametrize("component", Component, ids=lambda component: component.value)
async def test_component_meets_its_target(component: Component) -> None:
    workload = COMPONENT_WORKLOADS[component]
    options = BenchmarkOptions(
        component=component, samples=12, warmup=2, timeout_ms=10_000, target=target_of(component, SLOT_MS)
    )
    parameters = {"seed": "11", **({"slot_ms": str(SLOT_MS)} if workload.has_chain else {})}
    async with asyncio.timeout(60):
        found = await BenchmarkService().run_isolated(workload.reference, options, loop="uvloop", parameters=parameters)
    assert isinstance(found, BenchmarkResult), str(found)
    assert found.target is not None
    assert found.target.passed, (found.target.checks, found.error_examples)
    assert found.samples == 12
    assert (found.own_ms is not None) == (component in SPLIT | OWN)
    expected = "chain" if component in {Component.DETECTION, Component.FULL_FLOW} else None
    assert expected is None or found.starts_at == expected
    assert found.resources is not None
    assert found.resources.peak_rss_mb < 500
