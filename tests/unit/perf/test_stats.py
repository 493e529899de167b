"""Percentiles by nearest rank, against the definition itself."""

import math
import statistics
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotzero.perf.stats import Percentiles, nearest_rank, percentiles, rank_interval, std_dev, wilson

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


# ---- intervals -----------------------------------------------------------------------------------------------------


def coverage(count: int, percent: float, low: int, high: int) -> Fraction:
    """The exact chance that the quantile lies between two order statistics: low <= number below it < high."""
    share = Fraction(str(percent)) / 100
    return sum(
        (math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(low, high)), start=Fraction(0)
    )


@pytest.mark.parametrize("percent", [5, 50, 75, 90, 95, 99])
@pytest.mark.parametrize("count", [1, 5, 6, 20, 71, 72, 100, 367, 368, 500])
def test_rank_interval_covers_what_it_says_and_is_the_narrowest_that_does(count: int, percent: float) -> None:
    found = rank_interval(count, percent)
    tail = Fraction(25, 1_000)
    if found is None:
        share = Fraction(str(percent)) / 100
        assert share**count > tail or (1 - share) ** count > tail
        return
    low, high = found
    assert 1 <= low <= high <= count
    assert coverage(count, percent, 0, low) <= tail
    assert coverage(count, percent, high, count + 1) <= tail
    assert coverage(count, percent, 0, low + 1) > tail
    assert coverage(count, percent, high - 1, count + 1) > tail


@pytest.mark.parametrize(("percent", "least"), [(50, 6), (95, 72), (99, 368), (99.9, 3_688)])
def test_rank_interval_needs_as_many_samples_as_the_module_says(percent: float, least: int) -> None:
    assert rank_interval(least - 1, percent) is None
    assert rank_interval(least, percent) is not None


def test_rank_interval_misses_as_seldom_as_it_says() -> None:
    """A null simulation: of 2,000 intervals of independent samples at most 5 % and a little miss the true median."""
    draw = Random(11)  # noqa: S311 a simulation
    found = rank_interval(41, 50)
    assert found is not None
    low, high = found
    missed = 0
    for _ in range(2_000):
        ordered = sorted(draw.expovariate(1) for _ in range(41))
        missed += not ordered[low - 1] <= math.log(2) <= ordered[high - 1]
    assert missed <= 0.05 * 2_000 + 3 * math.sqrt(2_000 * 0.05 * 0.95)


def test_rank_interval_of_nothing_and_of_all_is_none() -> None:
    assert rank_interval(0, 50) is None
    assert rank_interval(1_000, 100) is None


@pytest.mark.parametrize("confidence", [0, 1, -0.5, 2])
def test_a_confidence_out_of_range_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="a confidence is above 0"):
        rank_interval(100, 50, confidence)


def test_rank_interval_of_a_million_is_quick_and_tight() -> None:
    found = rank_interval(1_000_000, 99)
    assert found is not None
    low, high = found
    assert 989_700 < low < 990_000 < high < 990_300


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (98, 100, 0.9300, 0.9945)],
)
def test_wilson_of_known_cases(successes: int, total: int, low: float, high: float) -> None:
    assert wilson(successes, total) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 1_000), st.data())
def test_wilson_holds_the_share_and_mirrors(total: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, total))
    low, high = wilson(successes, total)
    assert 0 <= low <= successes / total <= high <= 1
    mirrored = wilson(total - successes, total)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))


@pytest.mark.parametrize(("successes", "total"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_of_impossible_counts_is_refused(successes: int, total: int) -> None:
    with pytest.raises(ValueError, match="a share needs"):
        wilson(successes, total)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=50))
def test_std_dev_is_that_of_the_standard_library(values: list[int]) -> None:
    assert std_dev(values) == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_std_dev_of_one_is_none() -> None:
    assert std_dev([]) is None
    assert std_dev([3.0]) is None


def test_std_dev_is_exact_beside_a_large_mean() -> None:
    assert std_dev([1e9 + 1, 1e9 + 2, 1e9 + 3]) == pytest.approx(1)
