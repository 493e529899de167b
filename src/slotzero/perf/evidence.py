"""What advice rests on: the stages of each sample, what held the loop up, memory over time, and the profile.

Instants are of the monotonic clock. Everything here is a record; `evidence_watch` collects it, `suggest` reads it.
"""

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from slotzero.clock import elapsed_ns
from slotzero.perf.profile.records import Profile
from slotzero.perf.types import BenchmarkResult
from slotzero.trace import COMPONENTS, Component, Stamp, Trace
from slotzero.units import DurationNs, MonoNs

__all__ = ["Evidence", "LoopBlock", "MemoryPoint", "Pause", "SampleRecord", "Stage", "sample_of"]


class Stage(Struct, frozen=True, kw_only=True):
    """One stretch of a sample.

    Attributes:
        start_ns: From the sample's start.
        is_own: Whether our CPU was busy with it; otherwise it waited for network, disk, a slot.
        parent: The place of the stage it is part of, or -1 for a part of the sample itself.
        endpoint: The server it asked; a stage with one is a call, and `name` its method.
        cache: "hit" or "miss" where it was a look-up, else empty.
    """

    name: str
    start_ns: DurationNs
    took_ns: DurationNs
    is_own: bool = True
    parent: int = -1
    endpoint: str = ""
    cache: Literal["", "hit", "miss"] = ""


class SampleRecord(Struct, frozen=True, kw_only=True):
    """One sample and its stages, a stage never before the one it is part of."""

    start: MonoNs
    took_ns: DurationNs
    stages: tuple[Stage, ...] = ()


class LoopBlock(Struct, frozen=True, kw_only=True):
    """The event loop did not come round for a while.

    Attributes:
        where: The innermost frame then, as "function (file:line)".
        in_sample: Whether the measured callable itself was running, not some other task.
    """

    start: MonoNs
    took_ns: DurationNs
    where: str
    in_sample: bool


class Pause(Struct, frozen=True, kw_only=True):
    """One pass of the garbage collector."""

    start: MonoNs
    took_ns: DurationNs
    generation: int


class MemoryPoint(Struct, frozen=True, kw_only=True):
    """The process's memory at one instant. `heap_blocks` are the blocks the interpreter holds."""

    at: MonoNs
    rss_bytes: int
    heap_blocks: int


class Evidence(Struct, frozen=True, kw_only=True):
    """All that is known of one benchmark. Any part may be missing: rules that need it then stay silent.

    Attributes:
        is_async: Whether the measured callable is a coroutine function; a sync one blocks its loop by nature.
        samples: The counted samples, in the order of the calls.
        pauses: Of the collector, while samples were taken.
        targets_ns: What a stage, by its name, should take at most.
        memory_limit_mb: What the process may use.
    """

    name: str
    component: str | None = None
    is_async: bool = True
    samples: tuple[SampleRecord, ...] = ()
    blocks: tuple[LoopBlock, ...] = ()
    pauses: tuple[Pause, ...] = ()
    memory: tuple[MemoryPoint, ...] = ()
    profile: Profile | None = None
    result: BenchmarkResult | None = None
    targets_ns: dict[str, int] = {}
    memory_limit_mb: float = 500.0


_NAMES: Final[dict[Stamp, tuple[str, bool]]] = {
    Stamp.FRAME: ("frame under way", False),
    Stamp.POOL: ("detection", True),
    Stamp.FILTERED: ("filters", True),
    Stamp.PLANNED: ("plan", True),
    Stamp.SIGNED: ("sign", True),
    Stamp.GATED: ("gate", False),
    Stamp.SENT: ("send", True),
    Stamp.CONFIRMED: ("confirmation", False),
    Stamp.TRIGGERED: ("position held", False),
    Stamp.EXIT_SIGNED: ("exit sign", True),
    Stamp.EXIT_SENT: ("exit send", False),
    Stamp.EXIT_CONFIRMED: ("exit confirmation", False),
}
_LINE: Final[Sequence[Stamp]] = tuple(stamp for stamp in Stamp if stamp is not Stamp.VERDICT)


def sample_of(trace: Trace, component: Component) -> SampleRecord | None:
    """Return one component's stretch of a snipe as a sample with its stages, or None when it was not gone through.

    The honeypot's verdict becomes a stage beside the line, and the gate begins where the later of signature and
    verdict ends: so a replay with a quicker verdict opens the gate sooner, by as much as it waited for it.
    """
    span = trace.span(component)
    if span is None:
        return None
    first, last = COMPONENTS[component]
    start = trace.at(first)
    if start is None:
        first, start = Stamp.FRAME, trace.at(Stamp.FRAME)
    if start is None:
        return None
    verdict, pool = trace.at(Stamp.VERDICT), trace.at(Stamp.POOL)
    stages: list[Stage] = []
    if first < Stamp.GATED <= last and verdict is not None and pool is not None and verdict > start:
        stages.append(_stage("honeypot", is_own=False, origin=start, start=max(pool, start), end=verdict))
    before = start
    for stamp in _LINE:
        at = trace.at(stamp)
        if at is None or not first < stamp <= last:
            continue
        name, is_own = _NAMES[stamp]
        begun = before
        if stamp is Stamp.GATED and verdict is not None and before < verdict <= at:
            begun = verdict
        stages.append(_stage(name, is_own=is_own, origin=start, start=begun, end=at))
        before = at
    return SampleRecord(start=start, took_ns=span.total_ns, stages=tuple(stages))


def _stage(name: str, *, is_own: bool, origin: int, start: int, end: int) -> Stage:
    return Stage(name=name, start_ns=elapsed_ns(origin, start), took_ns=elapsed_ns(start, end), is_own=is_own)
