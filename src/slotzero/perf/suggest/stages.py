"""Stages above their target, and functions the CPU spends its time in. Pure."""

from collections import defaultdict
from functools import partial
from typing import Final

from slotzero.clock import as_ms
from slotzero.perf.evidence import Evidence, SampleRecord
from slotzero.perf.profile.records import own_weights
from slotzero.perf.replay import critical_path
from slotzero.perf.stats import nearest_rank
from slotzero.perf.suggest.impact import FEWEST, gain, replay, severity, worth_saying
from slotzero.perf.types import Suggestion

__all__ = ["hot_function", "slow_stages"]

_HOT_SHARE: Final = 0.30
_FEWEST_STACKS: Final = 50


def slow_stages(evidence: Evidence) -> list[Suggestion]:
    """Find stages above their target, and what the whole would take with each of them at it."""
    took: dict[str, list[int]] = defaultdict(list)
    is_own: dict[str, bool] = {}
    for sample in evidence.samples:
        for stage in sample.stages:
            if stage.name in evidence.targets_ns:
                took[stage.name].append(stage.took_ns)
                is_own[stage.name] = stage.is_own
    found = []
    for name, durations in took.items():
        goal = evidence.targets_ns[name]
        p95 = nearest_rank(sorted(durations), 95)
        if len(durations) < FEWEST or p95 <= goal:
            continue
        bettered = replay(evidence, partial(_at_most, name=name, goal=goal))
        if bettered is None or not worth_saying(bettered):
            continue
        whole = sum(sample.took_ns for sample in evidence.samples)
        held = sum(critical_path(sample).get(name, 0) for sample in evidence.samples)
        kind = "our own CPU time: profile it" if is_own[name] else "waited for: shorten the wait, or start it earlier"
        found.append(
            Suggestion(
                rule="slow-stage",
                severity=severity(bettered, evidence),
                title=f"The stage '{name}' takes {as_ms(int(p95)):.2f} ms at p95, {p95 / goal:.1f} times its target",
                advice=f"It is {kind}. It holds up {100 * held / whole:.0f} % of the whole on the critical path.",
                subject=name,
                evidence={
                    "stage_p95_ms": round(as_ms(int(p95)), 4),
                    "stage_target_ms": round(as_ms(goal), 4),
                    "critical_path_percent": round(100 * held / whole, 1),
                    **bettered.figures(),
                },
                p95_ms=bettered.p95,
                impact_p95_ms=bettered.p95_after,
                assumes="the stage takes its target where it took more, and nothing else changes",
            )
        )
    return found


def hot_function(evidence: Evidence) -> list[Suggestion]:
    """Find a function that the CPU spends much of its time in."""
    profile = evidence.profile
    if profile is None or profile.taken < _FEWEST_STACKS or not evidence.samples or not profile.total_ns:
        return []
    # Frames without a file stand for what has no function of its own: the event loop, for one.
    named = [(frame, weight) for frame, weight in own_weights(profile) if frame.file]
    if not named:
        return []
    frame, weight = named[0]
    share = weight / profile.total_ns
    if share < _HOT_SHARE:
        return []
    # Only the CPU's part of a sample gets shorter: what the profile saw of the window, spread over its samples.
    whole = sum(sample.took_ns for sample in evidence.samples)
    busy = min(profile.total_ns / max(profile.window_ns, 1), 1.0)
    took = [sample.took_ns for sample in evidence.samples]
    bettered = gain(took, [duration * (1 - busy * share) for duration in took])
    if bettered is None or not worth_saying(bettered):
        return []
    return [
        Suggestion(
            rule="hot-function",
            severity=severity(bettered, evidence),
            title=f"{100 * share:.0f} % of the CPU time is in {frame.function} itself",
            advice=f"{frame} is the widest frame of the flame graph. Call it less often, or make it do less.",
            subject=str(frame),
            evidence={
                "own_percent": round(100 * share, 1),
                "cpu_percent": round(100 * busy, 1),
                "stacks": profile.taken,
                "samples_ms": round(as_ms(whole), 3),
                **bettered.figures(),
            },
            p95_ms=bettered.p95,
            impact_p95_ms=bettered.p95_after,
            assumes="all of its own time goes, in every sample alike: the most there is to gain",
        )
    ]


def _at_most(sample: SampleRecord, *, name: str, goal: int) -> dict[int, int]:
    return {place: goal for place, stage in enumerate(sample.stages) if stage.name == name and stage.took_ns > goal}
