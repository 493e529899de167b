"""The verdicts of many percentiles of many workloads together. Sans-I/O.

Model: a run makes dozens of tests, so one in twenty would alarm by chance. Benjamini and Hochberg's step-up correction
(1995) raises p-values so that among the alarms at most the stated share is false; where nothing changed at all, the
chance of any alarm is at most that share.

Assumptions: the tests are independent or positively dependent, which percentiles of one workload are.

Weaknesses: it rests on p-values over blocks, which are too small where launches differ; the floor makes up for it (no
alarm in any of 200 families of 48 tests of equals). A workload added to a family makes the others slightly harder.
"""

from collections.abc import Mapping, Sequence

from slotzero.perf.compare.rule import Evidence, Rule, verdict
from slotzero.perf.types import Verdict

__all__ = ["adjusted", "judge"]


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return the p-values after Benjamini and Hochberg's correction, in the same order. *Pure.*"""
    order = sorted(range(len(p_values)), key=p_values.__getitem__, reverse=True)
    found, least = [1.0] * len(p_values), 1.0
    for above, index in enumerate(order):
        least = min(least, p_values[index] * len(p_values) / (len(p_values) - above))
        found[index] = least
    return found


def judge(
    family: Mapping[tuple[str, str], Evidence], rules: Mapping[str, Rule]
) -> dict[tuple[str, str], tuple[Verdict, float]]:
    """Return verdict and corrected p-value of each test. *Pure.*

    Args:
        family: Evidence by (workload, percentile).
        rules: By percentile.
    """
    keys = list(family)
    corrected = adjusted([family[key].p_value for key in keys])
    return {
        key: (verdict(family[key], rules[key[1]], p_value), p_value)
        for key, p_value in zip(keys, corrected, strict=True)
    }
