"""Comparing two versions: paired in time where both can be run, through the reference work where only results are left.

The pure parts are `design` (what is measured in which order), `rule` (the verdict on one percentile), `family` (on many
together), `course` (what comes next, early stops, the repeat) and `stored` (two results). The shells are `workers` and
`paired` (processes asked for blocks) and `checkouts` (revisions with their environments); `worker` is the script those
processes run.
"""

from slotzero.perf.compare.course import Course, LaunchPlan
from slotzero.perf.compare.design import DEFAULT_DESIGN, Design
from slotzero.perf.compare.paired import Missing, PairedOutcome, PairedRun, Workload
from slotzero.perf.compare.rule import DEFAULT_RULES, Rule
from slotzero.perf.compare.stored import compare_stored
from slotzero.perf.compare.workers import Side

__all__ = [
    "DEFAULT_DESIGN",
    "DEFAULT_RULES",
    "Course",
    "Design",
    "LaunchPlan",
    "Missing",
    "PairedOutcome",
    "PairedRun",
    "Rule",
    "Side",
    "Workload",
    "compare_stored",
]
