"""Percentiles by nearest rank, against the definition itself."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotzero.perf.stats import Percentiles, nearest_rank, percentiles

samples = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200)
percents = st.one_of(st.integers(1, 100), st.sampled_from([99.9, 99.99, 0.1, 12.5, 33.3]))


def by_definition(values: list[float], percent: float) -> float:
    """The smallest observation with at least q percent of all at or below it; q as it is written in decimals."""
    share = Fraction(str(percent)) / 100
    return next(v for v in sorted(values) if sum(w <= v for w in values) >= share * len(values))


@given(samples, percents)
def test_nearest_rank_is_the_definition(values: list[float], percent: float) -> None:
    assert nearest_rank(sorted(values), percent) == by_definition(values, percent)


@given(samples, percents)
def test_nearest_rank_is_a_value_that_was_observed(values: list[float], percent: float) -> None:
    assert nearest_rank(sorted(values), percent) in values


@given(samples, percents, percents)
def test_nearest_rank_rises_with_the_percent(values: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    ordered = sorted(values)
    assert nearest_rank(ordered, low) <= nearest_rank(ordered, high)
    assert nearest_rank(ordered, 100) == ordered[-1]


@pytest.mark.parametrize(
    ("count", "percent", "rank"),
    [
        (1, 50, 1),
        (2, 50, 1),
        (3, 50, 2),
        (100, 95, 95),
        (101, 95, 96),
        (99, 99, 99),
        (100, 99, 99),
        (1_000, 99.9, 999),
        (1_001, 99.9, 1_000),
        (7_000, 99.9, 6_993),
        (19, 95, 19),
        (20, 95, 19),
        (10, 0.001, 1),
    ],
)
def test_rank_of_known_cases(count: int, percent: float, rank: int) -> None:
    assert nearest_rank(range(1, count + 1), percent) == rank


def test_rank_at_999_per_mille_is_exact_for_any_count() -> None:
    for count in range(1, 5_000):
        assert nearest_rank(range(1, count + 1), 99.9) == math.ceil(Fraction(999, 1_000) * count)


@pytest.mark.parametrize("percent", [0, -1, 100.1, 1_000, math.nan])
def test_percent_out_of_range_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="at most 100"):
        nearest_rank([1.0], percent)


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        nearest_rank([], 50)


def test_percentiles_sort_their_samples_and_count_them() -> None:
    assert percentiles(float(n) for n in range(200, 0, -1)) == Percentiles(p50=100, p95=190, p99=198, count=200)
    assert percentiles([3.0]) == Percentiles(p50=3, p95=3, p99=3, count=1)
    assert percentiles([]) is None
