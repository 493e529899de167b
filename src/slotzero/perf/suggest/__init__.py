"""Suggestions from evidence: what to change, why, and what it would bring.

Each rule is a pure function of `Evidence`. The estimate of what a change would bring is no rule of thumb: the recorded
stages of every sample are replayed with the one in question at its target, and p95 is taken of the result.
"""

from slotzero.perf.suggest.ranking import RULES, Rule, ranked, suggest

__all__ = ["RULES", "Rule", "ranked", "suggest"]
