"""The bootstrap: repeatable, near the truth, and honest about what it cannot do."""

import math
from random import Random
from statistics import fmean, median

import pytest

from slotzero.perf.resampling import bootstrap_interval


def draws(count: int, seed: int = 1) -> list[float]:
    draw = Random(seed)  # noqa: S311 a sample
    return [draw.gauss(10, 2) for _ in range(count)]


def test_the_same_seed_gives_the_same_interval() -> None:
    samples = draws(50)
    first = bootstrap_interval(samples, median, seed=3, rounds=200)
    assert first == bootstrap_interval(samples, median, seed=3, rounds=200)
    assert first != bootstrap_interval(samples, median, seed=4, rounds=200)


def test_the_interval_of_a_mean_is_near_the_known_one() -> None:
    samples = draws(200)
    found = bootstrap_interval(samples, fmean, seed=1)
    assert found is not None
    low, high = found
    assert low < fmean(samples) < high
    assert high - low == pytest.approx(2 * 1.96 * 2 / math.sqrt(200), rel=0.25)


def test_blocks_of_neighbours_widen_the_interval_of_a_drifting_run() -> None:
    walk = [math.sin(place / 20) for place in range(400)]
    single = bootstrap_interval(walk, fmean, seed=1, rounds=300)
    blocks = bootstrap_interval(walk, fmean, seed=1, rounds=300, block=30)
    assert single is not None
    assert blocks is not None
    assert blocks[1] - blocks[0] > 2 * (single[1] - single[0])


def test_a_resample_has_as_many_values_as_there_were() -> None:
    seen: set[int] = set()

    def length(values: object) -> float:
        seen.add(len(values))  # type: ignore[arg-type]  # a list of floats
        return 0.0

    bootstrap_interval(draws(103), length, seed=1, rounds=100, block=10)
    assert seen == {103}


def test_an_interval_misses_no_more_often_than_the_module_says() -> None:
    """A null simulation: nominal 95 % of the mean covers about 92 % at n = 20."""
    covered = 0
    for seed in range(300):
        found = bootstrap_interval(draws(20, seed), fmean, seed=seed, rounds=200)
        assert found is not None
        covered += found[0] <= 10 <= found[1]
    assert covered >= 0.92 * 300 - 3 * math.sqrt(300 * 0.92 * 0.08)


def test_too_few_blocks_have_no_interval() -> None:
    assert bootstrap_interval(draws(9), fmean, seed=1) is None
    assert bootstrap_interval(draws(99), fmean, seed=1, block=10) is None
    assert bootstrap_interval(draws(100), fmean, seed=1, rounds=100, block=10) is not None


@pytest.mark.parametrize("wrong", [{"rounds": 99}, {"block": 0}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="rounds >= 100"):
        bootstrap_interval(draws(50), fmean, seed=1, **wrong)  # type: ignore[arg-type]  # one of several types
