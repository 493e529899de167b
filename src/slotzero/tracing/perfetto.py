"""Snipes as a file for Perfetto or chrome://tracing: a track for each, the honeypot's branch on one beside it. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from slotzero.tracing.snipe import SnipeTrace

__all__ = ["perfetto_file"]

_NS_PER_US: Final = 1_000
_COLOURS: Final = {"own": "thread_state_running", "waited": "thread_state_iowait", "held": "grey", "beside": "olive"}


def perfetto_file(traces: Sequence[SnipeTrace]) -> bytes:
    """Return the file's bytes (the Trace Event Format, in JSON)."""
    origin = min((trace.ts_ns for trace in traces), default=0)
    events: list[dict[str, object]] = [_named(0, "process_name", "slotzero")]
    for place, trace in enumerate(sorted(traces, key=lambda trace: trace.ts_ns)):
        line, beside = 2 * place + 1, 2 * place + 2
        events.append(_named(line, "thread_name", f"{trace.id[:8]} {trace.outcome} {trace.reason}".strip()))
        if any(stage.kind == "beside" for stage in trace.stages):
            events.append(_named(beside, "thread_name", f"{trace.id[:8]} beside"))
        events += [
            {
                "ph": "X",
                "pid": 1,
                "tid": beside if stage.kind == "beside" else line,
                "name": stage.name,
                "cat": stage.kind,
                "cname": _COLOURS[stage.kind],
                "ts": (trace.ts_ns - origin + stage.start_ns) / _NS_PER_US,
                "dur": stage.duration_ns / _NS_PER_US,
                "args": {"mint": trace.id, "trace_id": trace.trace_id, "kind": stage.kind},
            }
            for stage in trace.stages
        ]
    return msgspec.json.encode({"displayTimeUnit": "ns", "traceEvents": events})


def _named(thread: int, what: str, name: str) -> dict[str, object]:
    return {"ph": "M", "pid": 1, "tid": thread, "name": what, "args": {"name": name}}
