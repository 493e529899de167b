"""Evidence made by hand, for rules and replays: instants in milliseconds, so that a test reads like a story."""

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from slotzero.perf.evidence import Evidence, LoopBlock, MemoryPoint, Pause, SampleRecord, Stage
from slotzero.perf.histogram import Histogram
from slotzero.perf.summary import latency_stats, target_verdict, throughput_stats
from slotzero.perf.timing import Tape
from slotzero.perf.types import BenchmarkResult, SampleCount, Target, as_latency_ms
from slotzero.units import DurationNs, MonoNs

__all__ = ["block", "evidence", "memory", "pause", "result", "sample", "samples_in_a_row", "stage"]

_MS = 1_000_000
_MB = 1_000_000


def stage(
    name: str,
    start: float,
    took: float,
    *,
    own: bool = True,
    parent: int = -1,
    endpoint: str = "",
    cache: Literal["", "hit", "miss"] = "",
) -> Stage:
    return Stage(
        name=name,
        start_ns=DurationNs(round(start * _MS)),
        took_ns=DurationNs(round(took * _MS)),
        is_own=own,
        parent=parent,
        endpoint=endpoint,
        cache=cache,
    )


def sample(took: float, *stages: Stage, start: float = 0.0) -> SampleRecord:
    return SampleRecord(start=MonoNs(round(start * _MS)), took_ns=DurationNs(round(took * _MS)), stages=stages)


def samples_in_a_row(samples: Sequence[SampleRecord]) -> tuple[SampleRecord, ...]:
    """Put samples one after the other in time."""
    at, found = 0, []
    for one in samples:
        found.append(replace(one, start=MonoNs(at)))
        at += one.took_ns
    return tuple(found)


def block(start: float, took: float, where: str = "poll (feed.py:7)", *, in_sample: bool = False) -> LoopBlock:
    return LoopBlock(
        start=MonoNs(round(start * _MS)), took_ns=DurationNs(round(took * _MS)), where=where, in_sample=in_sample
    )


def pause(start: float, took: float, generation: int = 2) -> Pause:
    return Pause(start=MonoNs(round(start * _MS)), took_ns=DurationNs(round(took * _MS)), generation=generation)


def memory(megabytes: Sequence[float], *, every: float = 20.0, blocks: int = 0) -> tuple[MemoryPoint, ...]:
    return tuple(
        MemoryPoint(at=MonoNs(round(place * every * _MS)), rss_bytes=round(size * _MB), heap_blocks=blocks * place)
        for place, size in enumerate(megabytes)
    )


def result(
    durations_ms: Sequence[float],
    *,
    name: str = "made by hand",
    target_ms: float | None = None,
    errors: dict[str, int] | None = None,
) -> BenchmarkResult:
    """Return a result as the service makes one; errors other than timeouts come on top of the durations."""
    tape = Tape()
    tape.durations.extend(round(duration * _MS) for duration in durations_ms)
    for kind, count in (errors or {}).items():
        for _ in range(count):
            tape.count_error(kind, f"{kind} said so")
            if kind != "timeout":
                tape.failed.append(_MS)
    latency, throughput = latency_stats(tape.durations), throughput_stats(tape)
    histogram = Histogram()
    histogram.fold(tape.durations)
    target = None if target_ms is None else Target(p95_ms=as_latency_ms(target_ms))
    return BenchmarkResult(
        component=None,
        name=name,
        samples=SampleCount(tape.made),
        warmup=SampleCount(0),
        latency_ms=latency,
        throughput=throughput,
        histogram=histogram.to_text(),
        errors=dict(tape.errors),
        error_examples=dict(tape.examples),
        target=None if target is None else target_verdict(target, latency, throughput),
        samples_ns=tuple(tape.durations),
    )


def evidence(samples: Sequence[SampleRecord] = (), **fields: object) -> Evidence:
    return replace(Evidence(name="made by hand", samples=tuple(samples)), **fields)
