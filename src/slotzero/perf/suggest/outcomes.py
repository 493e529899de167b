"""Samples that failed, and figures that are not to be leaned on. Pure."""

from statistics import median
from typing import Final

from slotzero.perf.evidence import Evidence
from slotzero.perf.stats import rank_interval
from slotzero.perf.suggest.impact import gain, severity, worth_saying
from slotzero.perf.timing import TIMEOUT
from slotzero.perf.types import Severity, Suggestion

__all__ = ["failing_calls", "few_samples", "noisy_machine", "timeouts"]

_LEAST_SHARE: Final = 0.02
_MUCH: Final = 0.10
_SAMPLES_FOR_P95: Final = 72
_ADVICE: Final = (
    (
        ("ratelimited", "rate_limit", "429"),
        (
            "The server turns calls away for coming too fast: set a limit below its own (`endpoints[].max_per_s`), "
            "answer reads from a cache or a stream, or add an endpoint."
        ),
    ),
    (
        ("timeout", "timedout", "deadline"),
        "Answers come too late: ask a second endpoint when the first is overdue, or give up sooner and try again.",
    ),
    (
        ("connection", "transport", "refused", "reset", "oserror", "network"),
        "The connection fails: keep it open between calls, and have a second endpoint to turn to.",
    ),
    (("rpcerror", "rpc_error"), "The server refuses what is asked: its text says why; trying again will not help."),
)


def timeouts(evidence: Evidence) -> list[Suggestion]:
    """Find timeouts that make the tail."""
    result = evidence.result
    late = result.errors.get(TIMEOUT, 0) if result else 0
    if result is None or result.samples_ns is None or late < _LEAST_SHARE * result.samples:
        return []
    ordered = sorted(result.samples_ns)
    in_time = ordered[: len(ordered) - late]
    if not in_time:
        return []
    found = gain(ordered, [*in_time, *[median(in_time)] * late])
    if found is None or not worth_saying(found):
        return []
    return [
        Suggestion(
            rule="timeouts",
            severity=max(severity(found, evidence), Severity.MEDIUM, key=_weight),
            title=f"{100 * late / result.samples:.0f} % of samples ran into their timeout",
            advice=_advice_for(TIMEOUT),
            evidence={"timeouts": late, "samples": result.samples, **found.figures()},
            p95_ms=found.p95,
            impact_p95_ms=found.p95_after,
            assumes="what timed out would take the median of the rest",
        )
    ]


def failing_calls(evidence: Evidence) -> list[Suggestion]:
    """Find the kind of error that most failed samples share."""
    result = evidence.result
    errors = {kind: count for kind, count in result.errors.items() if kind != TIMEOUT} if result else {}
    if result is None or not errors:
        return []
    kind, count = max(errors.items(), key=lambda pair: pair[1])
    share = count / max(result.samples, 1)
    if share < _LEAST_SHARE:
        return []
    rate = result.throughput.success_rate_percent
    return [
        Suggestion(
            rule="failing-calls",
            severity=Severity.HIGH if share >= _MUCH else Severity.MEDIUM,
            title=f"{100 * share:.0f} % of samples failed with {kind}",
            advice=f"{_advice_for(kind)} The first said: {result.error_examples.get(kind, 'nothing')}",
            subject=kind,
            evidence={
                "failed": count,
                "samples": result.samples,
                "success_percent": round(rate, 2),
                "success_percent_after": round(min(rate + 100 * share, 100), 2),
            },
            assumes="these samples would succeed",
        )
    ]


def noisy_machine(evidence: Evidence) -> list[Suggestion]:
    """Say that the machine was not quiet."""
    noise = evidence.result.noise if evidence.result else None
    if noise is None or noise.quiet:
        return []
    return [
        Suggestion(
            rule="noisy-machine",
            severity=Severity.LOW,
            title="The machine was busy with something else while this was measured",
            advice=f"Measure again when it is quiet: {'; '.join(noise.reasons)}.",
            evidence={
                "reference_drift_percent": noise.reference_drift_percent,
                "reference_spread_percent": noise.reference_spread_percent,
            },
        )
    ]


def few_samples(evidence: Evidence) -> list[Suggestion]:
    """Say that there are too few samples for an interval of p95."""
    result = evidence.result
    if result is None or rank_interval(result.latency_ms.count, 95) is not None:
        return []
    return [
        Suggestion(
            rule="few-samples",
            severity=Severity.LOW,
            title=f"{result.latency_ms.count} samples are too few to say how sure p95 is",
            advice=f"Take at least {_SAMPLES_FOR_P95} (`--samples`); p99 takes 368.",
            evidence={"samples": result.latency_ms.count, "needed": _SAMPLES_FOR_P95},
        )
    ]


def _advice_for(kind: str) -> str:
    plain = kind.lower()
    for words, advice in _ADVICE:
        if any(word in plain for word in words):
            return advice
    return "Look at the text of the first one; a sample that fails says nothing of the speed of those that succeed."


def _weight(severity: Severity) -> int:
    return list(Severity).index(severity)
