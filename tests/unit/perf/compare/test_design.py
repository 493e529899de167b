from random import Random
from typing import Any

import pytest

from slotzero.perf.compare.design import Design, Size, turns


def draw(seed: int) -> Random:
    return Random(seed)  # noqa: S311 an order


def test_each_version_goes_first_in_half_of_the_rounds() -> None:
    made = turns(("A", "B"), 10, draw(3))
    assert len(made) == 20
    for name in ("A", "B"):
        firsts = [turn.base_first for turn in made if turn.name == name]
        assert [sum(firsts[:rounds]) for rounds in (2, 4, 6, 8, 10)] == [1, 2, 3, 4, 5]


def test_who_goes_first_in_two_rounds_is_drawn() -> None:
    firsts = [turn.base_first for turn in turns(("A",), 100, draw(3))]
    assert 10 < sum(firsts[::2]) < 40


def test_each_round_has_every_workload_once() -> None:
    made = [turn.name for turn in turns(("A", "B", "C"), 4, draw(3))]
    assert all(sorted(made[at : at + 3]) == ["A", "B", "C"] for at in range(0, 12, 3))


def test_order_is_the_seeds() -> None:
    assert turns(("A", "B"), 10, draw(3)) == turns(("A", "B"), 10, draw(3))
    assert turns(("A", "B"), 10, draw(3)) != turns(("A", "B"), 10, draw(4))


@pytest.mark.parametrize(
    ("call_ns", "calls", "loops"),
    [(240, 60, 84), (19_999, 60, 2), (20_000, 60, 1), (1_000_000, 50, 1), (9_000_000, 30, 1), (0, 60, 20_000)],
)
def test_blocks_are_cut_to_the_calls(call_ns: int, calls: int, loops: int) -> None:
    design = Design()
    assert design.size_of(call_ns, call_ns) == Size(rounds=10, calls=calls, dropped=10, loops=loops)


@pytest.mark.parametrize(
    ("call_ns", "rounds", "calls"),
    [(0, 10, 60), (240, 10, 60), (2_000_000, 10, 25), (22_000_000, 6, 12), (50_000_000, 4, 12), (10**9, 4, 12)],
)
def test_slow_calls_that_tell_their_time_are_never_grouped_and_have_fewer_rounds(
    call_ns: int, rounds: int, calls: int
) -> None:
    assert Design().told_size_of(call_ns) == Size(rounds=rounds, calls=calls, dropped=2, loops=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"looks": ()},
        {"looks": (2, 6)},
        {"looks": (6, 3)},
        {"looks": (3, 3)},
        {"looks": (3, 300)},
        {"rounds": 5},
        {"rounds": 0},
        {"dropped": 55},
        {"dropped": -1},
    ],
)
def test_what_cannot_be_balanced_or_judged_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"looks|pairs|rounds|block"):
        Design(**changes)
