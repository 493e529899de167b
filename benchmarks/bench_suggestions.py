"""How well suggestions judge planted faults: each one's estimate beside what removing the fault brought. About 40 s.

Run with the test helpers on the path: PYTHONPATH=tests python benchmarks/bench_suggestions.py
"""

import statistics
import sys

from environment import print_environment
from planted_faults import FAULTS, judge_apart

ROUNDS = 3
WITHIN = 0.25


def main() -> int:
    """Print everything. Returns 1 when a fault was not named first or was misjudged by more than a quarter."""
    print_environment("Suggestions judged by planted faults: the estimate against what removing the fault brought")
    bad = 0
    for fault in FAULTS:
        errors = []
        for _ in range(ROUNDS):
            rule, judged = judge_apart(fault)
            first = judged.suggestions[0]
            unit = "MB/h" if first.impact_mb_per_h is not None else "ms p95"
            is_good = first.rule == rule and judged.error <= WITHIN
            bad += not is_good
            errors.append(judged.error)
            print(
                f"  {fault:<28} {first.rule:<15} {first.severity.value:<9} estimate {judged.estimated:10.3f}"
                f"  measured {judged.measured:10.3f} {unit:<7} off by {100 * judged.error:5.1f} %"
                f"{'' if is_good else '  MISSED'}"
            )
        print(f"  {'':<28} median error {100 * statistics.median(errors):.1f} %")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
