"""A second look at a callable: profile, evidence and suggestions, in a pass of its own beside the timed one.

::

    found = await diagnose(fn, BenchmarkOptions(name="quote", samples=500))
    for suggestion in found.suggestions:
        print(suggestion.severity.value, suggestion.title)
    write_profile(Path("profiles"), found)

The figures that are published come from `BenchmarkService.run`. This pass is slowed down by what it looks with, so of
its own percentiles only the shares and the relations count.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from slotzero.clock import later
from slotzero.errors import UsageError
from slotzero.perf.benchmark import measure
from slotzero.perf.evidence import Evidence
from slotzero.perf.evidence_watch import EvidenceWatch
from slotzero.perf.profile.flame import flame_svg
from slotzero.perf.profile.memory import memory_flame_graph, tracking_memory
from slotzero.perf.profile.pyspy import PySpy
from slotzero.perf.profile.records import Frame, Profile, to_collapsed
from slotzero.perf.profile.sample_trace import slowest, trace_json
from slotzero.perf.profile.sampler import InProcessSampler
from slotzero.perf.profile.speedscope import speedscope_json
from slotzero.perf.profile.trim import trimmed
from slotzero.perf.stages import StageTape
from slotzero.perf.suggest import suggest
from slotzero.perf.timing import Callable0, Check
from slotzero.perf.types import BenchmarkFailure, BenchmarkOptions, BenchmarkResult, Profiler, Suggestion

__all__ = ["Diagnosis", "diagnose", "memory_profile", "write_profile"]

_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Diagnosis(Struct, frozen=True, kw_only=True):
    """What a second look found.

    Attributes:
        result: The pass's own figures; not for publishing.
        stacks: What ran during the slowest sample: instant, weight in nanoseconds, innermost function.
    """

    result: BenchmarkResult
    evidence: Evidence
    suggestions: tuple[Suggestion, ...]
    profile: Profile | None
    stacks: tuple[tuple[int, int, Frame], ...] = ()


async def diagnose(
    fn: Callable0,
    options: BenchmarkOptions,
    *,
    setup: Callable0 | None = None,
    teardown: Callable0 | None = None,
    check: Check | None = None,
    tape: StageTape | None = None,
    targets_ns: Mapping[str, int] | None = None,
    profiler: Profiler = "auto",
    on_stuck: Callable[[int], None] | None = None,
) -> Diagnosis | BenchmarkFailure:
    """Warm `fn` up, then take `options.samples` of it with everything watched.

    Args:
        fn: What is looked at, as for `BenchmarkService.run`.
        options: How; its samples are those of this pass.
        setup: Before each sample, and so on, as for `BenchmarkService.run`.
        teardown: After each.
        check: Looks at each value returned.
        tape: Where `fn` notes its stages; None for one that notes none, or returns traces.
        targets_ns: What a stage should take at most, by its name.
        profiler: Which sampler.
        on_stuck: Called in another thread with a sample that cannot be ended.
    """
    run = partial(measure, setup=setup, teardown=teardown, check=check, on_stuck=on_stuck)
    if options.warmup:
        warm = replace(options, warmup=0, samples=options.warmup, collect_resources=False)
        if isinstance(failed := await run(fn, warm), BenchmarkFailure):
            return failed
    spy, note = await _py_spy(profiler)
    sampler = InProcessSampler() if spy is None and profiler != "none" else None
    watch = EvidenceWatch(loop=asyncio.get_running_loop(), tape=tape, component=options.component)
    window = replace(options, warmup=0, steady_state=False)
    profile: Profile | None = None
    try:
        with watch, sampler or nullcontext():
            outcome = await run(watch.wrap(fn), window)
    finally:
        if spy is not None:
            profile = await spy.stop()
    if isinstance(outcome, BenchmarkFailure):
        return outcome
    evidence = watch.evidence(outcome, targets_ns=targets_ns)
    if sampler is not None and evidence.samples:
        first, last = evidence.samples[0], evidence.samples[-1]
        profile = sampler.profile(since=first.start, until=later(last.start, last.took_ns))
    if profile is not None:
        notes = (*profile.notes, *([note] if note else []))
        profile = trimmed(replace(profile, samples=len(evidence.samples), notes=notes), options.title)
        evidence = replace(evidence, profile=profile)
    worst = slowest(evidence)
    stacks = sampler.timeline(worst.start, later(worst.start, worst.took_ns)) if sampler and worst else []
    return Diagnosis(
        result=outcome,
        evidence=evidence,
        suggestions=tuple(suggest(evidence)),
        profile=profile,
        stacks=tuple(stacks),
    )


async def memory_profile(
    fn: Callable0,
    options: BenchmarkOptions,
    folder: Path,
    *,
    setup: Callable0 | None = None,
    teardown: Callable0 | None = None,
) -> tuple[Path, ...] | BenchmarkFailure:
    """Take samples with every allocation written down. Returns the capture and two drawings of it. *Does I/O.*

    Raises:
        UsageError: memray is not there, or the folder cannot be written to.
    """
    _written(folder, "", ())
    stem = _stem(options.title)
    capture = folder / f"{stem}.memray"
    window = replace(options, collect_resources=False)
    with tracking_memory(capture):
        outcome = await measure(fn, window, setup=setup, teardown=teardown)
    if isinstance(outcome, BenchmarkFailure):
        return outcome
    peak, kept = folder / f"{stem}.memory-peak.html", folder / f"{stem}.memory-kept.html"
    await memory_flame_graph(capture, peak)
    await memory_flame_graph(capture, kept, leaks=True)
    return capture, peak, kept


def write_profile(folder: Path, found: Diagnosis) -> tuple[Path, ...]:
    """Write the flame graph (SVG, speedscope, collapsed stacks) and the slowest sample's trace. *Does I/O.*

    Raises:
        UsageError: The folder cannot be written to.
    """
    title = found.evidence.name
    files: list[tuple[str, bytes]] = []
    if found.profile is not None:
        files += [
            ("flame.svg", flame_svg(found.profile, title).encode()),
            ("speedscope.json", speedscope_json(found.profile, title)),
            ("stacks.txt", to_collapsed(found.profile).encode()),
        ]
    worst = slowest(found.evidence)
    if worst is not None:
        trace = trace_json(worst, found.evidence, stacks=found.stacks, title=f"{title}, slowest sample")
        files.append(("slowest.trace.json", trace))
    return _written(folder, _stem(title), files)


def _written(folder: Path, stem: str, files: Sequence[tuple[str, bytes]]) -> tuple[Path, ...]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, data in files:
            path = folder / f"{stem}.{name}"
            path.write_bytes(data)
            paths.append(path)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror or error}") from error
    return tuple(paths)


def _stem(title: str) -> str:
    return _UNFIT.sub("-", title).strip("-.")[:80] or "benchmark"


async def _py_spy(profiler: Profiler) -> tuple[PySpy | None, str]:
    """Return a running py-spy, or None and a note why another sampler is used."""
    if profiler in {"in-process", "none"}:
        return None, ""
    started = await PySpy.start()
    if isinstance(started, PySpy):
        return started, ""
    if profiler == "py-spy":
        raise UsageError(started)
    return None, f"sampled from within the process: {started}"
