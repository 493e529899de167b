import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slotzero.perf.compare.family import adjusted, judge
from slotzero.perf.compare.rule import Rule, weigh
from slotzero.perf.types import Verdict

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests make noise
CHANCES = st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=40)


def step_up(p_values: list[float], share: float) -> set[int]:
    """Benjamini and Hochberg as they wrote it: the largest k with p(k) <= k * share / m rejects the k smallest."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    fitting = [k for k, index in enumerate(order, 1) if p_values[index] * len(p_values) / k <= share]
    return set(order[: max(fitting, default=0)])


@QUIET
@given(CHANCES, st.floats(0.01, 0.5))
def test_corrected_values_reject_what_the_procedure_rejects(p_values: list[float], share: float) -> None:
    corrected = adjusted(p_values)
    expected = step_up(p_values, share)
    found = {index for index, p_value in enumerate(corrected) if p_value <= share}
    assert {p_values[index] for index in found} == {p_values[index] for index in expected}


@QUIET
@given(CHANCES)
def test_correction_never_lowers_a_value_and_keeps_the_order(p_values: list[float]) -> None:
    corrected = adjusted(p_values)
    assert all(after >= before * (1 - 1e-12) for before, after in zip(p_values, corrected, strict=True))
    assert all(value <= 1 for value in corrected)
    ranked = sorted(zip(p_values, corrected, strict=True))
    assert [after for _, after in ranked] == pytest.approx(sorted(corrected))


def test_one_clear_slowdown_stands_out_of_a_family_of_equals() -> None:
    rule = Rule()
    flat = [[0.001, -0.001, 0.002, -0.002, 0.0005, -0.0005]] * 3
    slower = [[math.log(1.1) + ratio for ratio in launch] for launch in flat]
    family = {(f"equal {n}", "median"): weigh(flat, rule) for n in range(47)}
    family["slower", "median"] = weigh(slower, rule)
    found = judge(family, {"median": rule})
    assert [key for key, (verdict, _) in found.items() if verdict is Verdict.REGRESSED] == [("slower", "median")]
