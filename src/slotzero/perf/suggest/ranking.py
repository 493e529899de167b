"""All rules asked, and what they say in the order in which it matters. Pure."""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from slotzero.perf.evidence import Evidence
from slotzero.perf.suggest.calls import cold_cache, repeated_calls, slow_endpoint
from slotzero.perf.suggest.holdups import blocked_loop, gc_pauses, loop_delay
from slotzero.perf.suggest.memory import leak
from slotzero.perf.suggest.outcomes import failing_calls, few_samples, noisy_machine, timeouts
from slotzero.perf.suggest.stages import hot_function, slow_stages
from slotzero.perf.types import Severity, Suggestion

__all__ = ["RULES", "Rule", "ranked", "suggest"]

Rule: TypeAlias = Callable[[Evidence], list[Suggestion]]
"""Looks at the evidence and says nothing where it lacks what it needs."""

RULES: Final[tuple[Rule, ...]] = (
    leak,
    blocked_loop,
    repeated_calls,
    cold_cache,
    slow_endpoint,
    timeouts,
    failing_calls,
    slow_stages,
    gc_pauses,
    hot_function,
    loop_delay,
    noisy_machine,
    few_samples,
)
"""In the order that decides between suggestions of one weight and one gain: causes before their symptoms."""
_ORDER: Final = {severity: place for place, severity in enumerate(reversed(Severity))}


def suggest(evidence: Evidence, rules: Iterable[Rule] = RULES) -> list[Suggestion]:
    """Return what to change, the most rewarding first. *Pure.*"""
    return ranked(found for rule in rules for found in rule(evidence))


def ranked(suggestions: Iterable[Suggestion]) -> list[Suggestion]:
    """Return suggestions by severity, and within one by the share of p95 that they would take away. *Pure.*"""
    return sorted(suggestions, key=lambda found: (_ORDER[found.severity], -_share(found)))


def _share(found: Suggestion) -> float:
    if found.p95_ms and found.impact_p95_ms is not None:
        # Rounded, so that what differs by less than the scatter of a run is decided by the order of the rules.
        return round(1 - found.impact_p95_ms / found.p95_ms, 1)
    return 1.0 if found.impact_mb_per_h else 0.0
