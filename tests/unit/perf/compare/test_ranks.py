from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slotzero.perf.compare.ranks import signed_rank_tail

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests make noise


def by_enumeration(differences: list[float]) -> float:
    """Try every combination of signs."""
    order = sorted(differences, key=abs)
    sizes = [abs(value) for value in order]
    ranks = [sizes.index(size) + (sizes.count(size) + 1) / 2 for size in sizes]
    seen = sum(rank for rank, value in zip(ranks, order, strict=True) if value > 0)
    signs = list(product([0, 1], repeat=len(order)))
    reached = sum(sum(rank * sign for rank, sign in zip(ranks, row, strict=True)) >= seen for row in signs)
    return reached / len(signs)


@QUIET
@given(st.lists(st.integers(-6, 6).filter(bool), min_size=1, max_size=9))
def test_tail_is_the_share_of_all_sign_patterns(values: list[int]) -> None:
    differences = [float(value) for value in values]
    assert signed_rank_tail(differences) == pytest.approx(by_enumeration(differences))


def test_all_positive_is_one_pattern_of_all() -> None:
    assert signed_rank_tail([1.0, 2.0, 3.0, 4.0, 5.0]) == 1 / 32


def test_no_difference_says_nothing() -> None:
    assert signed_rank_tail([]) == signed_rank_tail([0.0, 0.0]) == 1.0


def test_approximation_meets_the_exact_count_where_one_hands_over_to_the_other() -> None:
    differences = [float(value) if value % 3 else -float(value) for value in range(1, 51)]
    exact = signed_rank_tail(differences)
    tied = signed_rank_tail([*differences[:-1], 49.0])  # a tie makes it approximate
    assert tied == pytest.approx(exact, rel=0.1)


@QUIET
@given(st.lists(st.floats(-10, 10, allow_nan=False), min_size=1, max_size=80))
def test_tail_is_a_chance_and_falls_with_the_shift(differences: list[float]) -> None:
    tail = signed_rank_tail(differences)
    assert 0 <= tail <= 1
    # The approximation beyond 25 tied differences is a little wide in the far tail.
    assert signed_rank_tail([value + 21 for value in differences]) <= max(tail, 1e-4)
