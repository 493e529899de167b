"""What a part of a run is given: its arrivals, counted without walking the plan, and its share of what is limited."""

import asyncio

import pytest

from slotzero.clock import later, mono_ns
from slotzero.perf.arrivals import Constant, OpenPlan, Poisson, Ramp, Replay, Spike, Step, instants
from slotzero.perf.load_loops import Dispatcher
from slotzero.perf.load_tape import LoadTape
from slotzero.perf.load_types import LoadError, LoadTestConfig
from slotzero.perf.operation_end import OperationEnd
from slotzero.perf.planned_loop import arrivals_between, planned_loop

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


async def test_shards_share_places_in_flight_and_in_the_queue() -> None:
    config = LoadTestConfig(scenario="full", arrivals=Replay(instants_ns=(0,) * 30), max_in_flight=3, max_queue=10)
    tapes = [LoadTape(is_open=True) for _ in range(3)]
    loops = [
        planned_loop(asyncio.Event().wait, config, tape, _ends(tape), shard, 3) for shard, tape in enumerate(tapes)
    ]
    start = mono_ns()
    for loop in loops:
        await loop.begin(start, later(start, S))
    for _ in range(1_000):
        if sum(loop.planned for loop in loops if isinstance(loop, Dispatcher)) == 30:
            break
        await asyncio.sleep(0.001)
    assert [(loop.in_flight, tape.dropped) for loop, tape in zip(loops, tapes, strict=True)] == [(1, 5), (1, 6), (1, 6)]
    for loop in loops:
        await loop.close()


def _ends(tape: LoadTape) -> OperationEnd:
    abandoned: list[LoadError] = []
    return OperationEnd(tape, classify_value=None, timeout_ns=S, abandon=abandoned.append)
