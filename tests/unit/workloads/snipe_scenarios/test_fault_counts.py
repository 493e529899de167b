"""What the chain did to its clients, beside what the bot noticed of it."""

import pytest

from slotzero.workloads.snipe_scenarios.catalogue import endpoint_failures, faults_block

INJECTED = {"http429": 100, "cutConnections": 5, "refusedConnections": 2}


@pytest.mark.parametrize(
    ("seen", "abandoned", "unexplained"),
    [(100, 0, 0), (97, 3, 0), (97, 40, 0), (97, 2, 1), (101, 50, 1), (0, 0, 100)],
)
def test_refusals_nobody_waited_for_are_explained_and_no_others(seen: int, abandoned: int, unexplained: int) -> None:
    block = faults_block(INJECTED, {"rate_limited": seen, "abandoned": abandoned})
    assert (block["seen_rate_limited"], block["unexplained_rate_limited"]) == (seen, unexplained)


@pytest.mark.parametrize(("seen", "unexplained"), [(0, 0), (7, 0), (9, 2)])
def test_cut_connections_may_have_been_idle(seen: int, unexplained: int) -> None:
    assert faults_block(INJECTED, {"transport": seen})["unexplained_transport"] == unexplained


def test_failures_of_all_endpoints_are_added_up_by_class() -> None:
    endpoints = [
        {"failures": {"rate_limited": 2, "timeout": 1}, "abandoned": 3},
        {"failures": {"rate_limited": 5}, "abandoned": 0},
    ]
    assert endpoint_failures({"endpoints": endpoints}) == {"rate_limited": 7, "timeout": 1, "abandoned": 3}
