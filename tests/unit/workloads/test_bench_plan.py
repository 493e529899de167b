"""Which components are measured, on what, and against what."""

import pytest

from slotzero.errors import UsageError
from slotzero.perf.workload import WorkloadFactory, load_reference
from slotzero.trace import Component
from slotzero.workloads.bench_run import BenchPlan, components_named
from slotzero.workloads.components import COMPONENT_WORKLOADS
from slotzero.workloads.targets import SYSTEM_TARGETS, TARGETS, target_of


def test_every_component_has_a_workload_and_a_target() -> None:
    assert set(COMPONENT_WORKLOADS) == set(TARGETS) == set(Component)
    assert len(Component) == 13


@pytest.mark.parametrize("component", Component, ids=lambda component: component.value)
def test_every_workload_can_be_loaded_and_takes_its_parameters(component: Component) -> None:
    described = COMPONENT_WORKLOADS[component]
    found = load_reference(described.reference)
    assert isinstance(found, WorkloadFactory)
    assert found.__doc__
    with pytest.raises(UsageError, match="it has: ") as caught:
        found.open(nonsense="1")
    assert ("slot_ms" in str(caught.value)) == described.has_chain
    assert "seed" in str(caught.value)


def test_names_are_taken_in_any_case_and_reported_in_one_order() -> None:
    assert components_named(["exit", "Full-Flow", "DETECTION", "exit"]) == (
        Component.DETECTION,
        Component.FULL_FLOW,
        Component.EXIT,
    )
    assert components_named([]) == tuple(Component)
    with pytest.raises(UsageError, match="there is no component 'SPEED'; components are DETECTION, "):
        components_named(["SPEED"])


def test_aims_of_what_waits_for_slots_follow_the_slot() -> None:
    assert target_of(Component.EXECUTION, 200).aim_p95_ms == pytest.approx(205)
    assert target_of(Component.FULL_FLOW, 400).aim_p95_ms == pytest.approx(820)
    assert target_of(Component.EXIT, 0).aim_p95_ms == pytest.approx(5)
    assert target_of(Component.FILTERS, 400) == target_of(Component.FILTERS, 200)


def test_every_aim_is_stricter_than_its_must() -> None:
    for target in TARGETS.values():
        assert target.aim_p95_ms is not None
        assert target.aim_p95_ms < target.p95_ms


def test_success_and_throughput_are_asked_of_those_they_make_sense_for() -> None:
    success = {c.value: float(t.success_percent) for c, t in TARGETS.items() if t.success_percent is not None}
    assert success == {"DETECTION": 95.0, "EXECUTION": 90.0, "FULL_FLOW": 85.0}
    assert {c.value: float(t.ops_per_s) for c, t in TARGETS.items() if t.ops_per_s is not None} == {"DETECTION": 20.0}
    assert SYSTEM_TARGETS.concurrent_snipes + 0 == 100


def test_memory_is_asked_of_all_and_cpu_of_the_whole_bot() -> None:
    assert {target.peak_memory_mb for target in TARGETS.values()} == {SYSTEM_TARGETS.peak_memory_mb}
    with_cpu = {component.value for component, target in TARGETS.items() if target.avg_cpu_percent is not None}
    assert with_cpu == {"EXECUTION", "FULL_FLOW", "EXIT", "RUG_DETECTION"}


def test_the_title_names_slot_time_and_network_profile() -> None:
    title = BenchPlan(samples=50, slot_ms=400, loops=("uvloop", "asyncio")).title
    assert title == "50 samples on the embedded chain, slots of 400 ms, network profile none, uvloop and asyncio"
    assert "a slot for each transaction" in BenchPlan(slot_ms=0).title
