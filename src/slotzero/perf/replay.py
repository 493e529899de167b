"""What a sample would have taken, had some of its stages taken another time. Sans-I/O.

Model: a sample is a tree of stages. Among the parts of one stage, a part is taken to have waited for every part that
had ended when it began, and for nothing else; the gaps between them are work of the parent's own that stays as long as
it was. So parts in sequence move up when one of them gets shorter, and a part that ran beside a longer one changes
nothing: what a replay gives is the effect on the end of the whole, not a sum of times.

Assumptions: the order is the program's wish, not chance. Durations of different stages do not depend on each other.

Weaknesses: a part of another branch that happened to end earlier is taken for a cause, which can overrate the effect
of a stage beside the critical path. Queueing is not modelled: a stage that got quicker leaves a shared resource
sooner, and others would gain from that too. Compare the causal profiling of Coz (Curtsinger and Berger 2015), which
finds the effect by slowing everything else down, and needs runs of its own for it.
"""

import heapq
from collections.abc import Iterable, Mapping

from slotzero.clock import elapsed_ns
from slotzero.perf.evidence import SampleRecord, Stage
from slotzero.units import DurationNs

__all__ = ["REST", "critical_path", "overlap_ns", "replayed_ns"]

REST = "between stages"
"""The name of a sample's time that is in none of its stages."""


def replayed_ns(sample: SampleRecord, changes: Mapping[int, int]) -> DurationNs:
    """Return what `sample` would take with the stages at `changes` (by place) taking so many nanoseconds. *Pure.*"""
    if not changes:
        return sample.took_ns
    parts: dict[int, list[int]] = {}
    for place, stage in enumerate(sample.stages):
        parts.setdefault(stage.parent, []).append(place)
    taken: dict[int, int] = {}
    # A stage is never before the one it is part of: backwards, all parts are known when their whole is reached.
    for place in range(len(sample.stages) - 1, -1, -1):
        stage = sample.stages[place]
        new = changes.get(place)
        if new is None:
            new = _whole(sample, stage.start_ns, stage.took_ns, parts.get(place, ()), taken)
        taken[place] = new
    return DurationNs(_whole(sample, 0, sample.took_ns, parts.get(-1, ()), taken))


def _whole(sample: SampleRecord, start: int, took: int, parts: Iterable[int], taken: Mapping[int, int]) -> int:
    """Return what a stage takes whose parts take `taken`."""
    ended: list[tuple[int, int]] = []  # (old end, new end) of parts, from the stage's start
    before_old = before_new = last_old = last_new = 0
    for place in sorted(parts, key=lambda place: sample.stages[place].start_ns):
        part = sample.stages[place]
        begun = part.start_ns - start
        while ended and ended[0][0] <= begun:
            old, new = heapq.heappop(ended)
            before_old, before_new = max(before_old, old), max(before_new, new)
        new_end = before_new + max(begun - before_old, 0) + taken[place]
        old_end = begun + part.took_ns
        heapq.heappush(ended, (old_end, new_end))
        if old_end <= took:  # a part that outlives its whole is not waited for
            last_old, last_new = max(last_old, old_end), max(last_new, new_end)
    return last_new + took - last_old


def critical_path(sample: SampleRecord) -> dict[str, int]:
    """Return how long each stage held up the end of `sample`, by name, in nanoseconds; they add up to the whole.

    *Pure.* Walks back from the end: the part that ended last was what was waited for, and then the one that had ended
    before it began. Time in no stage is under `REST`.
    """
    parts: dict[int, list[Stage]] = {}
    places: dict[int, list[int]] = {}
    for place, stage in enumerate(sample.stages):
        parts.setdefault(stage.parent, []).append(stage)
        places.setdefault(stage.parent, []).append(place)
    found: dict[str, int] = {}
    todo = [(-1, REST, 0, int(sample.took_ns))]
    while todo:
        parent, name, start, end = todo.pop()
        own = _own_time(parts, places, parent, start, end, todo)
        if own:
            found[name] = found.get(name, 0) + own
    return found


def _own_time(
    parts: Mapping[int, list[Stage]],
    places: Mapping[int, list[int]],
    parent: int,
    start: int,
    end: int,
    todo: list[tuple[int, str, int, int]],
) -> int:
    """Return the time of a stage, cut to `start` and `end`, that none of its parts held up; put those on `todo`."""
    latest = sorted(
        zip(parts.get(parent, ()), places.get(parent, ()), strict=True),
        key=lambda pair: pair[0].start_ns + pair[0].took_ns,
    )
    own, at = 0, end
    while latest and at > start:
        stage, place = latest.pop()
        # What outlives the part before it is cut to where that began: it was under way, whether waited for or not.
        begun, stage_end = max(stage.start_ns, start), min(stage.start_ns + stage.took_ns, at)
        if begun >= stage_end:
            continue
        own += at - stage_end
        todo.append((place, stage.name, begun, stage_end))
        at = begun
    return own + max(at - start, 0)


def overlap_ns(start: int, took_ns: int, stretches: Iterable[tuple[int, int]]) -> DurationNs:
    """Return how much of `took_ns` from the instant `start` lies in `stretches` (start, length), none counted twice.

    *Pure.* The stretches are in the order of their starts.
    """
    end, total, until = start + took_ns, 0, start
    for begun, length in stretches:
        low, high = max(begun, until), min(begun + length, end)
        total += elapsed_ns(low, high)
        until = max(until, high)
    return DurationNs(total)
