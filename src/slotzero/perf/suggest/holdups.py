"""What stops everything at once: calls that block the event loop, and the garbage collector. Pure."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Final

from slotzero.clock import as_ms
from slotzero.perf.evidence import Evidence, LoopBlock, SampleRecord
from slotzero.perf.replay import overlap_ns
from slotzero.perf.suggest.impact import Gain, gain, severity, worth_saying
from slotzero.perf.types import Severity, Suggestion

__all__ = ["blocked_loop", "gc_pauses", "loop_delay"]

_FEW: Final = 5
_LEAST_SHARE: Final = 0.01
"""A stretch that takes less of a sample than this has not touched it."""
_DELAY_MS: Final = 10.0


def blocked_loop(evidence: Evidence) -> list[Suggestion]:
    """Find calls that keep the event loop from coming round, by where they are."""
    if not evidence.is_async or not evidence.blocks:
        return []
    worst, _ = _by_place(evidence.blocks).most_common(1)[0]
    mine = [block for block in evidence.blocks if block.where == worst]
    found = _without(evidence, [(block.start, block.took_ns) for block in mine])
    if found is None or not worth_saying(found):
        return []
    inside = sum(block.in_sample for block in mine) * 2 > len(mine)
    whose = "the measured callable itself" if inside else "another task"
    advice = (
        f"{worst} kept the event loop busy, called from {whose}. Await an asynchronous version of it, or move it to a "
        "thread (`asyncio.to_thread`) or a process of its own; everything else on the loop stands still meanwhile."
    )
    if inside:
        advice += " In a thread it no longer delays others, but this callable still waits for it: do less of it here."
    return [
        Suggestion(
            rule="blocked-loop",
            severity=severity(found, evidence),
            title=f"The event loop was blocked {len(mine)} times by {worst}",
            advice=advice,
            subject=worst,
            evidence={
                "blocks": len(mine),
                "longest_ms": round(as_ms(max(block.took_ns for block in mine)), 3),
                "median_ms": round(as_ms(int(median(block.took_ns for block in mine))), 3),
                "samples_hit": _hit(evidence.samples, [(block.start, block.took_ns) for block in mine]),
                **found.figures(),
            },
            p95_ms=found.p95,
            impact_p95_ms=found.p95_after,
            assumes="the samples it hit would take what they took outside of it, and no less than the others' median",
        )
    ]


def gc_pauses(evidence: Evidence) -> list[Suggestion]:
    """Find garbage collections that show in the percentiles."""
    if not evidence.pauses:
        return []
    found = _without(evidence, [(pause.start, pause.took_ns) for pause in evidence.pauses])
    if found is None or not worth_saying(found):
        return []
    full = [pause for pause in evidence.pauses if pause.generation == 2]  # noqa: PLR2004 the oldest of three
    longest = max(pause.took_ns for pause in evidence.pauses)
    return [
        Suggestion(
            rule="gc-pauses",
            severity=severity(found, evidence),
            title=f"The garbage collector paused samples for up to {as_ms(longest):.2f} ms",
            advice=(
                "Call `gc.collect()` and `gc.freeze()` once everything long-lived is built, raise `gc.set_threshold`, "
                "and make fewer objects that hold others on the way from event to decision."
            ),
            evidence={
                "pauses": len(evidence.pauses),
                "full_passes": len(full),
                "longest_ms": round(as_ms(longest), 3),
                "total_ms": round(as_ms(sum(pause.took_ns for pause in evidence.pauses)), 3),
                **found.figures(),
            },
            p95_ms=found.p95,
            impact_p95_ms=found.p95_after,
            assumes="no pass runs inside a sample any more",
        )
    ]


def loop_delay(evidence: Evidence) -> list[Suggestion]:
    """Say that the loop answers late, where nobody has looked yet what it was doing."""
    resources = evidence.result.resources if evidence.result else None
    delay = resources.loop_delay if resources else None
    if evidence.blocks or delay is None or delay.p99_ms < _DELAY_MS:
        return []
    return [
        Suggestion(
            rule="loop-delay",
            severity=Severity.MEDIUM,
            title="Ready callbacks waited for the event loop",
            advice="Something on the loop runs without giving it up. Run `slotzero bench --profile` to see what it is.",
            evidence={
                "delay_p50_ms": round(delay.p50_ms, 3),
                "delay_p99_ms": round(delay.p99_ms, 3),
                "delay_max_ms": round(delay.max_ms, 3),
            },
        )
    ]


def _by_place(blocks: Sequence[LoopBlock]) -> Counter[str]:
    found: Counter[str] = Counter()
    for block in blocks:
        found[block.where] += block.took_ns
    return found


def _without(evidence: Evidence, stretches: Sequence[tuple[int, int]]) -> Gain | None:
    """Return what it would bring if the stretches were not there.

    What a sample waited for (an answer on its way) goes on during a stretch, so taking all of it off would make the
    sample too short: it is never made shorter than the median of the samples that none touched.
    """
    ordered = sorted(stretches)
    before: list[int] = []
    after: list[int] = []
    untouched: list[int] = []
    for sample in evidence.samples:
        lost = overlap_ns(sample.start, sample.took_ns, ordered)
        before.append(sample.took_ns)
        after.append(sample.took_ns - lost)
        if lost < _LEAST_SHARE * sample.took_ns:
            untouched.append(sample.took_ns)
    if len(untouched) >= _FEW:
        least = int(median(untouched))
        after = [new if new == old else min(old, max(new, least)) for old, new in zip(before, after, strict=True)]
    return gain(before, after)


def _hit(samples: Sequence[SampleRecord], stretches: Sequence[tuple[int, int]]) -> int:
    ordered = sorted(stretches)
    return sum(1 for sample in samples if overlap_ns(sample.start, sample.took_ns, ordered) > 0)
