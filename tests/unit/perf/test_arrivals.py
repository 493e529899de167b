"""Arrival plans: exact tables of instants, and the shares of shards."""

from collections import deque
from collections.abc import Iterator
from itertools import pairwise

import pytest

from slotzero.perf.arrivals import (
    Closed,
    Constant,
    OpenPlan,
    Poisson,
    Ramp,
    Replay,
    Spike,
    Step,
    count,
    instants,
    ramped,
    user_starts,
)

MS = 1_000_000
S = 1_000_000_000


def in_ms(found: Iterator[int]) -> list[float]:
    return [round(instant / MS, 3) for instant in found]


def test_constant_exact_table() -> None:
    assert list(instants(Constant(rate_per_s=8), 1)) == [number * 125 * MS for number in range(8)]
    # A third of a second is rounded once for each arrival, not once and then added up.
    assert list(instants(Constant(rate_per_s=3), 2)) == [
        0, 333_333_333, 666_666_667, 1_000_000_000, 1_333_333_333, 1_666_666_667,
    ]  # fmt: skip


def test_ramp_exact_table() -> None:
    # The integral of 0 to 10/s over 2 s is 2.5 t^2: arrival k at sqrt(k / 2.5).
    assert in_ms(instants(Ramp(start_per_s=0, end_per_s=10), 2)) == [
        0.0, 632.456, 894.427, 1095.445, 1264.911, 1414.214, 1549.193, 1673.320, 1788.854, 1897.367,
    ]  # fmt: skip
    # Down again: 10 t - 2.5 t^2.
    assert in_ms(instants(Ramp(start_per_s=10, end_per_s=0), 2))[:4] == [0.0, 102.633, 211.146, 326.680]


def test_ramp_then_level_exact_table() -> None:
    plan = Ramp(start_per_s=0, end_per_s=4, over_s=1)
    assert in_ms(instants(plan, 2)) == [0.0, 707.107, 1000.0, 1250.0, 1500.0, 1750.0]
    assert in_ms(instants(plan, 0.5)) == [0.0]


def test_step_exact_table() -> None:
    assert in_ms(instants(Step(start_per_s=2, by_per_s=2, step_s=1), 2.5)) == [
        0.0, 500.0, 1000.0, 1250.0, 1500.0, 1750.0, 2000.0, 2166.667, 2333.333,
    ]  # fmt: skip
    assert in_ms(instants(Step(start_per_s=4, by_per_s=-3, step_s=1), 4)) == [0.0, 250.0, 500.0, 750.0, 1000.0]


def test_spike_exact_table() -> None:
    plan = Spike(base_per_s=1, peak_per_s=10, at_s=2, hold_s=0.5)
    assert in_ms(instants(plan, 4)) == [
        0.0, 1000.0, 2000.0, 2100.0, 2200.0, 2300.0, 2400.0, 2500.0, 3500.0,
    ]  # fmt: skip
    assert in_ms(instants(Spike(base_per_s=0, peak_per_s=4, at_s=1, hold_s=1), 3)) == [1000.0, 1250.0, 1500.0, 1750.0]


def test_poisson_exact_table() -> None:
    plan = Poisson(shape=Constant(rate_per_s=10), seed=7)
    # Sums of -ln(1 - u) / 10 over the generator's first uniform numbers.
    assert in_ms(instants(plan, 1)) == [
        39.131, 55.483, 160.733, 168.252, 245.014, 290.535, 296.51, 367.323, 371.145,
        427.999, 435.24, 444.75, 500.005, 675.365, 688.582, 713.844, 812.578,
    ]  # fmt: skip


def test_poisson_spacing_is_exponential_at_any_shape() -> None:
    found = list(instants(Poisson(shape=Ramp(start_per_s=0, end_per_s=2_000), seed=3), 10))
    # Seen on the axis of the integral (100 t^2) the spacings are exponential with mean 1.
    levels = [100 * (instant / S) ** 2 for instant in found]
    gaps = [after - before for before, after in pairwise(levels)]
    assert abs(len(found) - 10_000) < 4 * 10_000**0.5
    assert abs(sum(gaps) / len(gaps) - 1) < 0.05
    assert abs(sum(gap > 1 for gap in gaps) / len(gaps) - 0.3679) < 0.02


def test_replay_exact_table() -> None:
    recorded = Replay(instants_ns=(0, 5 * MS, 5 * MS, 900 * MS, 2_000 * MS), speed=2)
    assert list(instants(recorded, 1)) == [0, 2_500_000, 2_500_000, 450 * MS]
    assert list(instants(recorded, 1.5)) == [0, 2_500_000, 2_500_000, 450 * MS, 1_000 * MS]


def test_a4_ramp_counts_are_exact() -> None:
    found = list(instants(Ramp(start_per_s=0, end_per_s=100), 10))
    assert len(found) == 500
    assert sum(4.5 * S <= instant < 5.5 * S for instant in found) == 50
    assert sum(instant >= 9 * S for instant in found) == 95


PLANS: list[OpenPlan] = [
    Constant(rate_per_s=137),
    Ramp(start_per_s=3, end_per_s=211, over_s=1.5),
    Step(start_per_s=50, by_per_s=31, step_s=0.7),
    Spike(base_per_s=11, peak_per_s=300, at_s=0.9, hold_s=0.8),
    Poisson(shape=Ramp(start_per_s=0, end_per_s=200), seed=9),
    Replay(instants_ns=tuple(range(0, 3 * S, 7 * MS)), speed=1.3),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)
@pytest.mark.parametrize("shards", [2, 3, 7])
def test_shards_together_are_the_plan(plan: OpenPlan, shards: int) -> None:
    whole = list(instants(plan, 2.7))
    shares = [list(instants(plan, 2.7, shard=shard, shards=shards)) for shard in range(shards)]
    assert sorted(instant for share in shares for instant in share) == whole
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert count(plan, 2.7) == len(whole)
    assert whole == sorted(whole)
    assert all(0 <= instant < 2.7 * S for instant in whole)


def test_long_plan_does_not_drift() -> None:
    plan = Constant(rate_per_s=30)
    last = deque(instants(plan, 3_600 * 24, shard=29, shards=30), maxlen=1).pop()
    assert last == round((3_600 * 24 - 1 / 30) * S)


def test_ramped_constant_rises_from_zero() -> None:
    assert ramped(Constant(rate_per_s=5), 0) == Constant(rate_per_s=5)
    assert ramped(Constant(rate_per_s=5), 2) == Ramp(start_per_s=0, end_per_s=5, over_s=2)


def test_users_begin_evenly_over_the_ramp_up() -> None:
    assert user_starts(4, 2) == [0, 500 * MS, 1_000 * MS, 1_500 * MS]
    assert user_starts(4, 0) == [0, 0, 0, 0]
    assert user_starts(5, 1, shard=1, shards=2) == [200 * MS, 600 * MS]


def test_no_arrival_at_rate_zero() -> None:
    assert list(instants(Constant(rate_per_s=0), 5)) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(rate_per_s=-1),
        lambda: Constant(rate_per_s=float("nan")),
        lambda: Ramp(start_per_s=0, end_per_s=float("inf")),
        lambda: Ramp(start_per_s=0, end_per_s=1, over_s=0),
        lambda: Step(start_per_s=1, by_per_s=1, step_s=0),
        lambda: Spike(base_per_s=1, peak_per_s=2, at_s=1, hold_s=0),
        lambda: Replay(instants_ns=(5, 4)),
        lambda: Replay(instants_ns=(-1, 4)),
        lambda: Closed(users=0),
        lambda: Closed(users=1, pacing_s=-1),
        lambda: Closed(users=1, jitter_s=-1),
        lambda: list(instants(Constant(rate_per_s=1), 0)),
        lambda: list(instants(Constant(rate_per_s=1), 1, shard=2, shards=2)),
    ],
)
def test_what_is_no_plan_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r"rate|span|order|negative|user|shard"):
        make()
