"""How many arrivals a part of a plan holds, without walking it."""

import pytest

from slotzero.perf.arrivals import Constant, OpenPlan, Poisson, Ramp, Replay, Spike, Step, instants
from slotzero.perf.planned_loop import arrivals_between

S = 1_000_000_000


@pytest.mark.parametrize(
    "plan",
    [
        Constant(rate_per_s=3_000),
        Ramp(start_per_s=0, end_per_s=800),
        Ramp(start_per_s=100, end_per_s=900, over_s=1.5),
        Step(start_per_s=100, by_per_s=300, step_s=0.7),
        Spike(base_per_s=200, peak_per_s=4_000, at_s=0.5, hold_s=0.25),
        Replay(instants_ns=tuple(range(0, 6 * S, 7_000_000)), speed=2.0),
    ],
)
def test_backlog_is_counted_exactly(plan: OpenPlan) -> None:
    planned = list(instants(plan, 2.0))
    for place in (0, 1, len(planned) // 3, len(planned) // 2, len(planned) - 1):
        assert arrivals_between(plan, 2.0, planned[place], 2 * S) == len(planned) - place
    half = sum(1 for instant in planned if instant < S)
    assert arrivals_between(plan, 2.0, planned[0], S) == half


def test_backlog_at_a_rate_far_beyond_a_loops_speed_is_exact_too() -> None:
    plan = Constant(rate_per_s=3e6)
    for place in (0, 97_291, 4_000_003):
        assert arrivals_between(plan, 3.0, round(place * S / 3e6), 3 * S) == 9_000_000 - place


def test_backlog_of_poisson_arrivals_is_their_mean_and_the_first() -> None:
    plan = Poisson(shape=Constant(rate_per_s=1_000), seed=3)
    assert arrivals_between(plan, 2.0, S, 2 * S) == 1_001
