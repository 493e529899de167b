"""Effect sizes against their definitions, and how often an interval of equals misses."""

import math
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotzero.perf.effects import _critical, cliffs_delta, shift, signed_rank

values = st.lists(st.integers(-100, 100), min_size=1, max_size=30)


@given(values, values)
def test_cliffs_delta_is_its_definition(a: list[int], b: list[int]) -> None:
    signs = [(y > x) - (y < x) for x in a for y in b]
    assert cliffs_delta(a, b) == pytest.approx(sum(signs) / len(signs))
    assert cliffs_delta(b, a) == pytest.approx(-cliffs_delta(a, b))


@given(values, values, st.integers(-50, 50))
def test_shift_is_the_median_difference_and_follows_a_shift(a: list[int], b: list[int], by: int) -> None:
    assert shift(a, b) == median(y - x for x in a for y in b)
    assert shift(a, [value + by for value in b]) == shift(a, b) + by


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=25))
def test_signed_rank_estimates_the_median_of_the_walsh_averages(differences: list[int]) -> None:
    walsh = [(x + y) / 2 for i, x in enumerate(differences) for y in differences[i:]]
    found = signed_rank(differences)
    assert found.estimate == median(walsh)
    if found.low is not None and found.high is not None:
        assert found.low <= found.estimate <= found.high


@pytest.mark.parametrize(
    ("pairs", "table"), [(5, None), (6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (15, 25), (20, 52), (30, 137), (50, 434)]
)
def test_critical_values_are_those_of_the_printed_tables(pairs: int, table: int | None) -> None:
    """Two-sided 5 %; the tables give the largest sum of ranks that is significant, one below our rank."""
    assert _critical(pairs, 0.95) == (0 if table is None else table + 1)


def test_beyond_the_exact_ranks_the_normal_ones_follow_on() -> None:
    assert 450 <= _critical(51, 0.95) <= 460


def test_too_few_pairs_have_an_estimate_and_no_interval() -> None:
    found = signed_rank([1.0, 2.0, 3.0])
    assert (found.estimate, found.low, found.high) == (2.0, None, None)


def test_an_interval_of_equals_misses_as_seldom_as_it_says() -> None:
    """A null simulation on independent, symmetric differences: at most 5 % and a little of 1,000 leave zero out."""
    draw = Random(5)  # noqa: S311 a simulation
    missed = 0
    for _ in range(1_000):
        found = signed_rank([draw.gauss(0, 1) for _ in range(12)])
        assert found.low is not None
        assert found.high is not None
        missed += not found.low <= 0 <= found.high
    assert missed <= 50 + 3 * math.sqrt(1_000 * 0.05 * 0.95)


def test_an_interval_finds_a_shift_it_should_find() -> None:
    draw = Random(6)  # noqa: S311 a simulation
    found = signed_rank([draw.gauss(1, 0.5) for _ in range(30)])
    assert found.low is not None
    assert found.low > 0


def test_nothing_has_no_effect_size() -> None:
    for empty, full in (([], [1.0]), ([1.0], [])):
        with pytest.raises(ValueError, match="at least one value"):
            cliffs_delta(empty, full)
        with pytest.raises(ValueError, match="at least one value"):
            shift(empty, full)
    with pytest.raises(ValueError, match="takes 1 to"):
        signed_rank([])


def test_more_than_memory_should_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="too many"):
        shift(range(3_000), range(3_000))
    with pytest.raises(ValueError, match="takes 1 to"):
        signed_rank(range(3_000))
