"""One sample as a trace for Perfetto (https://ui.perfetto.dev) or chrome://tracing: stages, hold-ups, stacks. Pure."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from slotzero.clock import elapsed_ns, later
from slotzero.perf.evidence import Evidence, SampleRecord, Stage
from slotzero.perf.profile.records import Frame

__all__ = ["slowest", "trace_json"]

_Event: TypeAlias = dict[str, str | int | float | dict[str, str | int | float]]
_PID: Final = 1
_SAMPLE: Final = 1
_LOOP: Final = 90
_COLLECTOR: Final = 91
_STACKS: Final = 92
_NAMES: Final = {_LOOP: "event loop blocked", _COLLECTOR: "garbage collector", _STACKS: "innermost function"}


def slowest(evidence: Evidence) -> SampleRecord | None:
    """Return the sample that took longest, or None when there is none. *Pure.*"""
    return max(evidence.samples, key=lambda sample: sample.took_ns, default=None)


def trace_json(
    sample: SampleRecord, evidence: Evidence, *, stacks: Sequence[tuple[int, int, Frame]] = (), title: str = ""
) -> bytes:
    """Return `sample` in the Chrome trace format, times in microseconds from its start. *Pure.*

    Args:
        sample: Which one.
        evidence: Whose blocks and pauses are drawn, as far as they touch the sample.
        stacks: Instant, weight in nanoseconds and innermost function, as `InProcessSampler.timeline` gives them.
        title: The process's name in the viewer.
    """
    origin, end = sample.start, later(sample.start, sample.took_ns)
    events: list[_Event] = [_complete(title or evidence.name, _SAMPLE, 0, sample.took_ns, {})]
    lanes = {_SAMPLE: "sample"}
    for stage, lane in zip(sample.stages, _lanes(sample.stages), strict=True):
        about: dict[str, str | int | float] = {"time": "own" if stage.is_own else "waited"}
        if stage.endpoint:
            about["endpoint"] = stage.endpoint
        if stage.cache:
            about["cache"] = stage.cache
        lanes.setdefault(_SAMPLE + lane, f"sample, beside ({lane})")
        events.append(_complete(stage.name, _SAMPLE + lane, stage.start_ns, stage.took_ns, about))
    events += [
        _complete(block.where, _LOOP, _from(origin, block.start), block.took_ns, {})
        for block in evidence.blocks
        if later(block.start, block.took_ns) > origin and block.start < end
    ]
    events += [
        _complete("gc", _COLLECTOR, _from(origin, pause.start), pause.took_ns, {"generation": pause.generation})
        for pause in evidence.pauses
        if later(pause.start, pause.took_ns) > origin and pause.start < end
    ]
    events += [_complete(str(frame), _STACKS, _from(origin, at) - weight, weight, {}) for at, weight, frame in stacks]
    used = {int(event["tid"]) for event in events if isinstance(event["tid"], int)}
    names = {**lanes, **{tid: name for tid, name in _NAMES.items() if tid in used}}
    head: list[_Event] = [_meta("process_name", 0, title or evidence.name)]
    head += [_meta("thread_name", tid, name) for tid, name in sorted(names.items())]
    return msgspec.json.encode({"displayTimeUnit": "ms", "traceEvents": [*head, *events]})


def _lanes(stages: Sequence[Stage]) -> list[int]:
    """Return a row for each stage, such that in one row stages lie within one another or apart."""
    rows: list[list[tuple[int, int]]] = []
    found: list[int] = [0] * len(stages)
    for place in sorted(range(len(stages)), key=lambda place: (stages[place].start_ns, -stages[place].took_ns)):
        start = stages[place].start_ns
        end = start + stages[place].took_ns
        for row, opened in enumerate(rows):
            while opened and opened[-1][1] <= start:
                opened.pop()
            if not opened or end <= opened[-1][1]:
                opened.append((start, end))
                found[place] = row
                break
        else:
            rows.append([(start, end)])
            found[place] = len(rows) - 1
    return found


def _from(origin: int, at: int) -> int:
    return elapsed_ns(origin, at) - elapsed_ns(at, origin)


def _complete(name: str, tid: int, start_ns: int, took_ns: int, about: dict[str, str | int | float]) -> _Event:
    event: _Event = {"name": name, "ph": "X", "pid": _PID, "tid": tid, "ts": start_ns / 1_000, "dur": took_ns / 1_000}
    return {**event, "args": about} if about else event


def _meta(kind: str, tid: int, name: str) -> _Event:
    return {"name": kind, "ph": "M", "pid": _PID, "tid": tid, "args": {"name": name}}
