"""One snipe as a record that leaves the process: made off the hot path, from the stamps of an event. Pure."""

from hashlib import blake2b
from typing import Literal

from msgspec import Struct

from slotzero.clock import elapsed_ns, wall_at
from slotzero.hook import BotEvent, PositionEnded, SnipeDecided

__all__ = ["Anchor", "SnipeTrace", "TraceStage", "of_event", "trace_id_of"]

_TRACE_ID_BYTES = 16


class Anchor(Struct, frozen=True, kw_only=True):
    """One instant on both clocks, read together at the start."""

    mono: int
    wall: int


class TraceStage(Struct, frozen=True, kw_only=True):
    """One interval of a snipe.

    Attributes:
        kind: "own" is our CPU, "waited" the network, disk or slot, "held" the position's life, "beside" runs next to
            the line and is part of no sum.
        start_ns: From the snipe's first instant.
    """

    name: str
    kind: Literal["own", "waited", "held", "beside"]
    start_ns: int
    duration_ns: int


class SnipeTrace(Struct, frozen=True, kw_only=True):
    """What became of one pool, and where the time went.

    Attributes:
        id: The mint.
        trace_id: 32 hexadecimal digits, the same in logs and traces and over restarts.
        reason: Why it was refused or failed, or which rule closed the position; "" for a buy that landed.
        ts_ns: Wall clock at the first instant.
        own_ms: Our CPU from the first instant to the buy's end; `waited_ms` likewise. The exit is in `exit_ms`.
        slots_to_land: Slots from the creation's to the buy's.
        pnl_lamports: Of a position that has ended.
    """

    id: str
    trace_id: str
    outcome: Literal["refused", "bought", "failed", "unknown", "closed", "stuck"]
    reason: str
    ts_ns: int
    total_ms: float
    own_ms: float
    waited_ms: float
    exit_ms: float | None
    slots_to_land: int | None
    pnl_lamports: int | None
    stages: tuple[TraceStage, ...]


def trace_id_of(mint: str) -> str:
    """Return the trace id of a mint's snipe. *Pure.*"""
    return blake2b(mint.encode(), digest_size=_TRACE_ID_BYTES, person=b"slotzero").hexdigest()


def of_event(event: BotEvent, anchor: Anchor) -> SnipeTrace | None:
    """Return the trace an event tells of; None for events that end no snipe, or carry no stamps. *Pure.*"""
    if not isinstance(event, SnipeDecided | PositionEnded):
        return None
    is_end = isinstance(event, PositionEnded)
    # The stamps may have gone on since a buy was decided: what is told of it ends with the buy.
    stages = [stage for stage in event.trace.stages() if is_end or not _is_leaving(stage.name)]
    if not stages:
        return None
    first = min(stage.mono_start for stage in stages)
    made = tuple(
        TraceStage(
            name=stage.name,
            kind=stage.kind,
            start_ns=elapsed_ns(first, stage.mono_start),
            duration_ns=elapsed_ns(stage.mono_start, stage.mono_end),
        )
        for stage in stages
    )
    entry = [stage for stage in made if stage.kind in {"own", "waited"} and not _is_leaving(stage.name)]
    leaving = [stage.duration_ns for stage in made if stage.name.startswith("exit ")]
    own = sum(stage.duration_ns for stage in entry if stage.kind == "own")
    total = sum(stage.duration_ns for stage in entry)
    if isinstance(event, PositionEnded):
        outcome: Literal["refused", "bought", "failed", "unknown", "closed", "stuck"] = (
            "stuck" if event.is_stuck else "closed"
        )
    else:
        outcome = event.outcome
    return SnipeTrace(
        id=event.id,
        trace_id=trace_id_of(event.id),
        outcome=outcome,
        reason=event.reason,
        ts_ns=wall_at(first, anchor_mono=anchor.mono, anchor_wall=anchor.wall),
        total_ms=round(total / 1e6, 6),
        own_ms=round(own / 1e6, 6),
        waited_ms=round((total - own) / 1e6, 6),
        exit_ms=round(sum(leaving) / 1e6, 6) if is_end and leaving else None,
        slots_to_land=event.slots_to_land if isinstance(event, SnipeDecided) else None,
        pnl_lamports=event.pnl_lamports if isinstance(event, PositionEnded) else None,
        stages=made,
    )


def _is_leaving(name: str) -> bool:
    return name == "hold" or name.startswith("exit ")
