"""The second look at a workload that has just been measured: in the same surroundings, for profile and suggestions."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

from msgspec.structs import replace

from slotzero.clock import as_ms
from slotzero.errors import UsageError
from slotzero.perf.diagnosis import Diagnosis, diagnose, memory_profile, write_profile
from slotzero.perf.evidence import Evidence, SampleRecord
from slotzero.perf.replay import REST, critical_path
from slotzero.perf.stats import nearest_rank
from slotzero.perf.suggest import suggest
from slotzero.perf.types import BenchmarkFailure, BenchmarkOptions, BenchmarkResult, SecondLook, StageStats, sentence
from slotzero.perf.workload import Workload
from slotzero.units import LatencyMs

__all__ = ["second_look", "stage_stats"]

_KINDS: Final = {
    "flame.svg": "flame",
    "speedscope.json": "speedscope",
    "stacks.txt": "stacks",
    "slowest.trace.json": "trace",
    "memray": "memory_capture",
    "memory-peak.html": "memory_peak",
    "memory-kept.html": "memory_kept",
}
_MEMORY_SAMPLES: Final = 50


async def second_look(
    made: Workload,
    options: BenchmarkOptions,
    first: BenchmarkResult,
    look: SecondLook,
    *,
    on_stuck: Callable[[int], None] | None = None,
) -> BenchmarkResult:
    """Return the result with what the second look found; one that fails leaves a note. *Does I/O.*"""
    window = replace(options, warmup=min(options.warmup, look.samples), samples=look.samples, fail_fast=False)
    try:
        found = await diagnose(
            made.run,
            window,
            setup=made.setup,
            teardown=made.teardown,
            check=made.check,
            targets_ns=look.targets_ns,
            profiler=look.profiler,
            on_stuck=on_stuck,
        )
        if isinstance(found, BenchmarkFailure):
            return _noted(first, sentence(found.error))
        files = write_profile(Path(look.folder), found)
        if look.wants_memory:
            window = replace(window, samples=min(look.samples, _MEMORY_SAMPLES))
            drawn = await memory_profile(made.run, window, Path(look.folder), setup=made.setup, teardown=made.teardown)
            files += () if isinstance(drawn, BenchmarkFailure) else drawn
    except UsageError as error:
        return _noted(first, str(error))
    return replace(
        first,
        stages=stage_stats(found.evidence),
        suggestions=tuple(suggest(replace(found.evidence, result=first))),
        files={_KINDS[file.name.partition(".")[2]]: _name(file, look.relative_to) for file in files},
        notes=(*first.notes, *_notes(found)),
    )


def stage_stats(evidence: Evidence) -> tuple[StageStats, ...]:
    """Return the figures of each stage that is part of the samples themselves, in the order they begin. *Pure.*"""
    starts: dict[str, list[int]] = defaultdict(list)
    took: dict[str, list[int]] = defaultdict(list)
    is_own: dict[str, bool] = {}
    held: dict[str, int] = defaultdict(int)
    whole = 0
    for sample in evidence.samples:
        whole += sample.took_ns
        for stage in sample.stages:
            if stage.parent < 0:
                starts[stage.name].append(stage.start_ns)
                took[stage.name].append(stage.took_ns)
                is_own[stage.name] = stage.is_own
        for name, held_ns in critical_path(_flat(sample)).items():
            held[name] += held_ns
    found = [
        StageStats(
            name=name,
            is_own=is_own[name],
            count=len(durations),
            start_ms=as_ms(int(median(starts[name]))),
            p50_ms=as_ms(int(nearest_rank(sorted(durations), 50))),
            p95_ms=as_ms(int(nearest_rank(sorted(durations), 95))),
            critical_percent=round(100 * held[name] / max(whole, 1), 2),
            target_ms=LatencyMs(evidence.targets_ns[name] / 1e6) if name in evidence.targets_ns else None,
        )
        for name, durations in took.items()
        if name != REST
    ]
    return tuple(sorted(found, key=lambda stage: stage.start_ms))


def _flat(sample: SampleRecord) -> SampleRecord:
    """Return the sample without what is part of its stages."""
    return replace(sample, stages=tuple(stage for stage in sample.stages if stage.parent < 0))


def _notes(found: Diagnosis) -> tuple[str, ...]:
    said = found.profile.notes if found.profile is not None else ()
    return tuple(f"second look: {note}" for note in said)


def _noted(first: BenchmarkResult, why: str) -> BenchmarkResult:
    return replace(first, notes=(*first.notes, f"the second look found nothing: {why}"))


def _name(file: Path, folder: str) -> str:
    try:
        return file.resolve().relative_to(Path(folder).resolve()).as_posix()
    except ValueError:
        return str(file.resolve())
