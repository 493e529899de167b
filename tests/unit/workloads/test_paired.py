"""The workloads of a comparison run, each alone, on the parts of this version."""

import importlib
import inspect
from contextlib import AbstractAsyncContextManager

import pytest

from slotzero.trace import Component
from slotzero.workloads.comparing import workloads_for
from slotzero.workloads.paired import COMPONENTS, HOT_PATHS

ON_CHAIN = {name: target for name, target in COMPONENTS.items() if target.startswith("on_chain:")}
IN_PROCESS = {name: target for name, target in {**COMPONENTS, **HOT_PATHS}.items() if name not in ON_CHAIN}


def built(target: str) -> object:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(f"slotzero.workloads.paired.{module}"), name)()


def test_every_component_has_a_workload() -> None:
    assert set(COMPONENTS) == {component.value for component in Component}


def test_components_that_wait_for_slots_are_compared_on_a_chain_and_their_hot_paths_besides() -> None:
    assert set(ON_CHAIN) == {"EXECUTION", "FULL_FLOW", "EXIT"}
    assert set(HOT_PATHS) == {f"{name}_TO_SIGNED" for name in ON_CHAIN}


def test_hot_paths_are_compared_by_default_and_by_name() -> None:
    assert [workload.name for workload in workloads_for([], [])] == [*COMPONENTS, *HOT_PATHS]
    (one,) = workloads_for(["EXIT_TO_SIGNED"], [])
    assert (one.name, one.target, one.component) == ("EXIT_TO_SIGNED", "exit:build", "EXIT")


@pytest.mark.parametrize("target", IN_PROCESS.values(), ids=IN_PROCESS)
async def test_workload_can_be_run_again_and_again(target: str) -> None:
    fn = built(target)
    assert callable(fn)
    for _ in range(70):  # more often than there are coins and frames
        value = fn()
        if inspect.isawaitable(value):
            await value


@pytest.mark.parametrize("target", ON_CHAIN.values(), ids=ON_CHAIN)
async def test_workload_on_a_chain_tells_its_own_time_again_and_again(target: str) -> None:
    surroundings = built(target)
    assert isinstance(surroundings, AbstractAsyncContextManager)
    async with surroundings as sample:
        told = [await sample() for _ in range(5)]
    assert min(told) > 0
