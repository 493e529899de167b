from itertools import combinations
from math import exp
from random import Random

import pytest

from slotzero.perf.changepoint import FEWEST, WINDOW, _chance, change_points, newest_change


def series(seed: int, levels: list[tuple[int, float]], *, scatter: float = 0.024, spikes: bool = False) -> list[float]:
    """Stretches of a level each, with the scatter that points over the reference work have."""
    draw = Random(seed)  # noqa: S311 a simulation
    values = [level * exp(draw.gauss(0, scatter)) for count, level in levels for _ in range(count)]
    if spikes:
        values = [value * (1.3 if draw.random() < 0.05 else 1) for value in values]
    return values


def test_step_of_20_percent_in_60_runs_is_found_within_2_runs() -> None:
    for seed in range(50):
        values = series(seed, [(40, 1.0), (20, 1.2)])
        (change,) = [one for one in change_points(values) if abs(one.change_percent) > 10]
        assert abs(change.index - 40) <= 2
        assert change.change_percent == pytest.approx(20, abs=5)


def test_step_is_suspected_by_its_second_run() -> None:
    for seed in range(50):
        change = newest_change(series(seed, [(40, 1.0), (2, 1.2)]))
        assert change is not None
        assert change.index == 40


def test_flat_runs_show_nothing_however_often_they_are_looked_at() -> None:
    found = 0
    for seed in range(50):
        values = series(seed, [(60, 1.0)])
        found += sum(newest_change(values[:runs]) is not None for runs in range(1, 61))
        found += bool(change_points(values))
    assert found == 0


def test_flat_noisy_runs_with_spikes_show_next_to_nothing() -> None:
    found = [bool(change_points(series(seed, [(60, 1.0)], scatter=0.05, spikes=True))) for seed in range(100)]
    assert sum(found) <= 3


def test_change_of_few_runs_goes_unseen_however_large_it_is() -> None:
    values = series(1, [(8, 1.0), (8, 4.0)])
    assert newest_change(values) is None
    assert change_points(values) == []


def test_newest_runs_are_judged_from_the_fewest_on() -> None:
    values = series(1, [(20, 1.0), (2, 4.0)])
    assert len(values) == FEWEST
    assert newest_change(values) is not None
    assert newest_change(values[1:]) is None


def test_single_spike_is_no_change() -> None:
    values = [*series(1, [(40, 1.0)]), 1.5]
    assert newest_change(values) is None
    assert change_points(values) == []


def test_up_and_down_again_are_two_changes() -> None:
    found = change_points(series(3, [(30, 1.0), (20, 1.3), (30, 1.0)]))
    assert [change.index for change in found] == pytest.approx([30, 50], abs=2)
    assert [change.change_percent for change in found] == pytest.approx([30, -23], abs=4)


def test_three_runs_after_a_step_are_enough() -> None:
    found = [change_points(series(seed, [(57, 1.0), (3, 1.2)])) for seed in range(20)]
    assert sum(len(one) == 1 and abs(one[0].index - 57) <= 2 for one in found) >= 19


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 5, [2.0] * 60])
def test_short_or_constant_series_have_no_change(values: list[float]) -> None:
    assert change_points(values) == []
    assert newest_change(values) is None


def test_only_the_newest_runs_are_searched() -> None:
    assert change_points(series(1, [(30, 1.0), (WINDOW, 2.0)])) == []
    (change,) = change_points(series(1, [(40, 1.0), (WINDOW - 20, 2.0)]))
    assert change.index == 40


def test_faster_is_found_like_slower() -> None:
    change = newest_change(series(2, [(40, 1.0), (2, 0.8)]))
    assert change is not None
    assert change.change_percent == pytest.approx(-20, abs=4)


@pytest.mark.parametrize(("few", "many"), [(3, 4), (2, 6), (4, 4)])
def test_exact_chance_is_the_share_of_all_orders(few: int, many: int) -> None:
    values = [float(number) for number in range(few + many)]
    for picked in combinations(values, few):
        left, right = list(picked), [value for value in values if value not in picked]
        far = abs(sum(b > a for a in left for b in right) - few * many / 2)
        orders = [
            abs(sum(b > a for a in other for b in values if b not in other) - few * many / 2)
            for other in combinations(values, few)
        ]
        expected = sum(other >= far for other in orders) / len(orders)
        assert _chance(left, right) == pytest.approx(expected)
