"""The workloads of a comparison run, each alone, on the parts of this version."""

import importlib
import inspect

import pytest

from slotzero.trace import Component
from slotzero.workloads.paired import COMPONENTS


def test_every_component_has_a_workload() -> None:
    assert set(COMPONENTS) == {component.value for component in Component}


@pytest.mark.parametrize("target", COMPONENTS.values(), ids=COMPONENTS)
async def test_workload_can_be_run_again_and_again(target: str) -> None:
    module, _, name = target.partition(":")
    fn = getattr(importlib.import_module(f"slotzero.workloads.paired.{module}"), name)()
    for _ in range(70):  # more often than there are coins and frames
        value = fn()
        if inspect.isawaitable(value):
            await value
