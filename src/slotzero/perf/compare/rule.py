"""The verdict on one percentile of one workload, from the ratios of paired blocks. Sans-I/O.

Model: an observation is the logarithm of how much longer the new version's block took than the base's beside it, at one
percentile. Their shift is estimated by Hodges and Lehmann's median of Walsh averages, with the interval that inverts
Wilcoxon's signed-rank test. The replicate above it is the launch, whose median ratios give an interval of their own: a
t interval below 12 launches, the signed-rank interval from 12 on, which a launch spoilt by a neighbour does not widen
(at 6 launches it would ask all six to agree). A verdict asks three things of a slowdown: that the block interval lies
wholly beyond a *floor* (what is smaller is nobody's business, and below it the ratio of two copies of the same program
wanders), that the launches' interval agrees in sign, and that the test survives the correction for the family it
belongs to (`family`).

    REGRESSED     slower beyond the floor, launches agree, survives the family
    SUSPECT       slower beyond the floor by its blocks alone
    IMPROVED      the mirror of REGRESSED
    EQUIVALENT    the block interval lies within plus and minus the margin
    INCONCLUSIVE  none of these yet

Source: the design follows what was measured on this project's machines with a workload of known slowdowns: on paired
blocks this rule alarmed in 0 of 270 comparisons of equals at the median and found 91 % of +5 % with 3,000 samples a
side, where a Mann-Whitney test on the raw samples alarmed in half of the comparisons of equals
(`benchmarks/selftest.py` measures it anew). Looking several times on the way costs little because of the floor; looks
before the last ask for 99 % instead of 95 % all the same.

Assumptions: those of `design`, and that launches are independent of each other.

Weaknesses: with 3 launches a t interval is wide (4.3 standard errors), so small slowdowns need more. Slowdowns between
floor and margin can be called either. A change of a percentile above p95 is not judged: 50 calls to a block hold none.
The margin of equivalence is judged by blocks alone, which ignores that launches differ (2 % here): it says what these
launches showed.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, median, stdev
from typing import Final

import msgspec
from msgspec import Struct

from slotzero.perf.compare.ranks import signed_rank_tail
from slotzero.perf.compare.student import t_quantile
from slotzero.perf.effects import signed_rank
from slotzero.perf.stats import CONFIDENCE
from slotzero.perf.types import Verdict

__all__ = ["DEFAULT_RULES", "EARLY_CONFIDENCE", "Evidence", "Ratios", "Rule", "as_percent", "verdict", "weigh"]

Ratios = Sequence[Sequence[float]]
"""Logarithms of block ratios (new over base), by launch."""
EARLY_CONFIDENCE: Final = 0.99
"""Of the looks before the last."""
_POWER: Final = 0.8
_MOST_LAUNCHES: Final = 200
_ROBUST_FROM: Final = 12
"""In a simulation with one launch in five spoilt, +10 % at p95 was found in 95 of 100 comparisons of 24 launches, by a
t interval in 76, with 3 false alarms either way. At 6 launches the t interval finds more: 381 of 400 at +5 %, not 329.
"""


class Rule(Struct, frozen=True, kw_only=True):
    """What counts at one percentile.

    Attributes:
        floor_percent: The smallest change that counts.
        margin_percent: Two versions are equivalent when their difference is surely within this.
        false_share: The share of false alarms among the alarms of a family that is put up with (Benjamini-Hochberg).
    """

    floor_percent: float = 1.0
    margin_percent: float = 2.0
    false_share: float = 0.05

    @property
    def floor(self) -> float:
        """Return the floor as a logarithm of a ratio."""
        return math.log1p(self.floor_percent / 100)

    @property
    def margin(self) -> float:
        """Return the margin as a logarithm of a ratio."""
        return math.log1p(self.margin_percent / 100)


DEFAULT_RULES: Final[dict[str, Rule]] = {
    "median": Rule(),
    "p75": Rule(),
    "p90": Rule(),
    "p95": Rule(floor_percent=2.0, margin_percent=4.0),
}
"""By the name of the percentile's field in `LatencyStats`."""


class Evidence(Struct, frozen=True, kw_only=True):
    """What the ratios say, as logarithms of ratios.

    Attributes:
        low, high: Of the interval of `effect` over blocks; None with fewer than 6 blocks.
        launch_low, launch_high: Of the interval of the launches' medians; None with fewer than 2 launches.
        p_value: Of a shift beyond plus or minus the floor, two-sided; not corrected for any family.
        launches: How many it rests on.
        detectable: The smallest slowdown that would have been found with 80 % chance.
        launches_needed: How many launches would decide it if it goes on like this; None when more than 200.
    """

    effect: float
    low: float | None
    high: float | None
    launch_low: float | None
    launch_high: float | None
    p_value: float
    launches: int
    detectable: float | None
    launches_needed: int | None


def as_percent(log_ratio: float) -> float:
    """Return a logarithm of a ratio as a change in percent. *Pure.*"""
    return 100 * math.expm1(log_ratio)


def weigh(ratios: Ratios, rule: Rule, confidence: float = CONFIDENCE) -> Evidence:
    """Return what the ratios of all launches so far say. *Pure.*

    Raises:
        ValueError: There is no launch, or one without blocks.
    """
    if not ratios or not all(ratios):
        raise ValueError("a comparison needs launches, and blocks in each of them")
    blocks = [ratio for launch in ratios for ratio in launch]
    found = signed_rank(blocks, confidence)
    middles = [median(launch) for launch in ratios]
    evidence = Evidence(
        effect=found.estimate,
        low=found.low,
        high=found.high,
        launch_low=None,
        launch_high=None,
        p_value=beyond(blocks, rule.floor),
        launches=len(middles),
        detectable=None,
        launches_needed=None,
    )
    if found.low is None or found.high is None or len(middles) == 1:
        return evidence
    launch_low, launch_high = _launches_interval(middles)
    halves = (found.high - found.low) / 2, (launch_high - launch_low) / 2
    return msgspec.structs.replace(
        evidence,
        launch_low=launch_low,
        launch_high=launch_high,
        detectable=_detectable(*halves, rule, confidence),
        launches_needed=_needed(evidence, *halves, rule),
    )


def beyond(blocks: Sequence[float], floor: float) -> float:
    """Return the two-sided chance of such ratios if the shift were within plus or minus `floor`. *Pure.*"""
    up = signed_rank_tail([ratio - floor for ratio in blocks])
    down = signed_rank_tail([-ratio - floor for ratio in blocks])
    return min(1.0, 2 * min(up, down))


def verdict(evidence: Evidence, rule: Rule, adjusted: float) -> Verdict:
    """Return the verdict. *Pure.*

    Args:
        evidence: Of one percentile of one workload.
        rule: What counts.
        adjusted: The evidence's p-value after the correction for its family.
    """
    low, high = evidence.low, evidence.high
    if low is None or high is None or evidence.launch_low is None or evidence.launch_high is None:
        return Verdict.INCONCLUSIVE
    survives = adjusted <= rule.false_share
    if low > rule.floor:
        return Verdict.REGRESSED if survives and evidence.launch_low > 0 else Verdict.SUSPECT
    if high < -rule.floor and survives and evidence.launch_high < 0:
        return Verdict.IMPROVED
    if -rule.margin < low and high < rule.margin:
        return Verdict.EQUIVALENT
    return Verdict.INCONCLUSIVE


def _launches_interval(middles: Sequence[float]) -> tuple[float, float]:
    """Return the interval of the launches' medians, of which there are two at least.

    Always 95 %, at every look: at 3 launches 99 % would be ten standard errors, and this interval only has to agree.
    """
    if len(middles) >= _ROBUST_FROM:
        found = signed_rank(middles)
        assert found.low is not None
        assert found.high is not None
        return found.low, found.high
    reach = t_quantile((1 + CONFIDENCE) / 2, len(middles) - 1) * stdev(middles) / math.sqrt(len(middles))
    middle = fmean(middles)
    return middle - reach, middle + reach


def _detectable(half: float, launch_half: float, rule: Rule, confidence: float) -> float:
    """Both hurdles must be taken with 80 % chance: the blocks' beyond the floor, and the launches' beyond 0."""
    normal = NormalDist()
    power = normal.inv_cdf(_POWER)
    blocks = rule.floor + half * (1 + power / normal.inv_cdf((1 + confidence) / 2))
    return max(blocks, launch_half * (1 + power / normal.inv_cdf((1 + CONFIDENCE) / 2)))


def _needed(evidence: Evidence, half: float, launch_half: float, rule: Rule) -> int | None:
    """Return how many launches decide it if estimate and scatter stay: intervals shrink with the root of launches."""
    size, made = abs(evidence.effect), evidence.launches
    for launches in range(made + 1, _MOST_LAUNCHES + 1):
        shrunk = math.sqrt(made / launches)
        is_apart = size - half * shrunk > rule.floor
        agrees = launch_half * shrunk * _t(launches) / _t(made) < size
        if (is_apart and agrees) or size + half * shrunk < rule.margin:
            return launches
    return None


def _t(launches: int) -> float:
    """Return how much wider than a normal one the interval of so many launches is, but for a constant."""
    return t_quantile((1 + CONFIDENCE) / 2, min(launches, _ROBUST_FROM) - 1)
