"""The reference of the embedded chain says what holds."""

import re
from pathlib import Path

import msgspec
import pytest

from slotzero.localnet.faults import FaultCounts, FaultPlan
from slotzero.localnet.network import NETWORKS

TEXT = (Path(__file__).resolve().parents[3] / "docs/reference/localnet.md").read_text()
PLANS = re.findall(r"`(\{[^`]*\})`", TEXT)


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_shown_can_be_set(plan: str) -> None:
    msgspec.json.decode(plan, type=FaultPlan)


def test_networks_are_as_shown() -> None:
    shown = dict(re.findall(r"^\| `(\w+)` \| `(\{.*\})` \|$", TEXT, re.MULTILINE))
    assert {name: msgspec.json.decode(plan, type=FaultPlan) for name, plan in shown.items()} == dict(NETWORKS)


def test_every_fault_and_every_count_is_named() -> None:
    for name in (*FaultPlan.__struct_encode_fields__, *FaultCounts.__struct_encode_fields__):
        assert name in TEXT, name
