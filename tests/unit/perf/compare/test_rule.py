import math
from random import Random

import pytest

from slotzero.perf.compare.rule import DEFAULT_RULES, Evidence, Ratios, Rule, as_percent, verdict, weigh
from slotzero.perf.types import Verdict

RULE = Rule()


def ratios(change: float, *, launches: int = 6, block: float = 0.01, launch: float = 0.0, seed: int = 1) -> Ratios:
    """Ratios of a known change, with so much scatter of blocks and of launches."""
    draw = Random(seed)  # noqa: S311 a simulation
    middles = [math.log1p(change) + draw.gauss(0, launch) for _ in range(launches)]
    return [[draw.gauss(middle, block) for _ in range(10)] for middle in middles]


def judged(evidence: Evidence) -> Verdict:
    return verdict(evidence, RULE, evidence.p_value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (0.05, Verdict.REGRESSED),
        (-0.05, Verdict.IMPROVED),
        (0.0, Verdict.EQUIVALENT),
        (0.008, Verdict.EQUIVALENT),
    ],
)
def test_clear_case_has_its_verdict(change: float, expected: Verdict) -> None:
    evidence = weigh(ratios(change), RULE)
    assert judged(evidence) is expected
    assert as_percent(evidence.effect) == pytest.approx(100 * change, abs=0.5)


def test_slowdown_the_launches_do_not_agree_on_is_suspect() -> None:
    spoilt = [*ratios(0.06, launches=5), *ratios(-0.12, launches=1)]
    evidence = weigh(spoilt, RULE)
    assert evidence.low is not None
    assert evidence.low > RULE.floor
    assert judged(evidence) is Verdict.SUSPECT


def test_slowdown_that_does_not_survive_its_family_is_suspect() -> None:
    evidence = weigh(ratios(0.05), RULE)
    assert verdict(evidence, RULE, 0.06) is Verdict.SUSPECT


def test_speedup_that_does_not_survive_its_family_is_no_improvement() -> None:
    assert verdict(weigh(ratios(-0.05), RULE), RULE, 0.06) is Verdict.INCONCLUSIVE


def test_wide_scatter_is_inconclusive_and_says_what_it_takes() -> None:
    evidence = weigh(ratios(0.02, launches=3, block=0.08), RULE)
    assert judged(evidence) is Verdict.INCONCLUSIVE
    assert evidence.launches_needed is not None
    assert evidence.launches_needed > 3
    assert evidence.detectable is not None
    assert evidence.detectable > 0.02


def test_launches_needed_are_enough_when_it_goes_on_like_this() -> None:
    few = weigh(ratios(0.02, launches=3, block=0.05), RULE)
    assert judged(few) is Verdict.INCONCLUSIVE
    assert few.launches_needed is not None
    many = weigh(ratios(0.03, launches=2 * few.launches_needed, block=0.05), RULE)
    assert judged(many) is Verdict.REGRESSED


def test_more_than_200_launches_are_none() -> None:
    hopeless = [[0.0171, 0.0199, 0.3, -0.26, 0.018, 0.0185] for _ in range(3)]
    assert weigh(hopeless, RULE).launches_needed is None


def test_one_launch_has_no_verdict() -> None:
    evidence = weigh(ratios(0.5, launches=1), RULE)
    assert (evidence.launch_low, evidence.detectable) == (None, None)
    assert judged(evidence) is Verdict.INCONCLUSIVE


def test_detectable_shrinks_with_launches() -> None:
    found = [weigh(ratios(0, launches=launches, launch=0.01), RULE).detectable for launches in (3, 6, 12)]
    assert found == sorted(found, key=lambda value: -(value or 0))


def test_detectable_shift_is_found_four_times_in_five() -> None:
    detectable = weigh(ratios(0, block=0.04, launch=0.01), RULE).detectable
    assert detectable is not None
    change = math.expm1(detectable)
    found = [judged(weigh(ratios(change, block=0.04, launch=0.01, seed=seed), RULE)) for seed in range(100)]
    assert found.count(Verdict.REGRESSED) >= 70


@pytest.mark.parametrize("nothing", [[], [[]], [[0.1], []]])
def test_no_blocks_are_refused(nothing: Ratios) -> None:
    with pytest.raises(ValueError, match="needs launches"):
        weigh(nothing, RULE)


def test_faster_and_slower_are_mirrors() -> None:
    up, down = weigh(ratios(0.03), RULE), weigh([[-ratio for ratio in launch] for launch in ratios(0.03)], RULE)
    assert up.low is not None
    assert down.high is not None
    assert (up.effect, up.low, up.p_value) == pytest.approx((-down.effect, -down.high, down.p_value))


def test_p95_asks_for_more_than_the_median() -> None:
    assert DEFAULT_RULES["p95"].floor > DEFAULT_RULES["median"].floor
