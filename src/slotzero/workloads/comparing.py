"""Comparing two versions of the sniper, or two of its result files: what `slotzero compare` does."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

import msgspec

from slotzero.errors import UsageError
from slotzero.perf.compare.checkouts import checked_out, is_revision
from slotzero.perf.compare.course import LaunchPlan
from slotzero.perf.compare.design import DEFAULT_DESIGN, Design
from slotzero.perf.compare.document import CompareDocument, Version, paired_document, stored_document
from slotzero.perf.compare.own_floor import floor_of, keep_floor, kept_floor
from slotzero.perf.compare.paired import PairedRun, Workload
from slotzero.perf.compare.stored import compare_stored, fallen_success, figures_ns, surroundings_apart
from slotzero.perf.compare.workers import EventLoop
from slotzero.perf.environment import Passport, passport
from slotzero.perf.result_file import ResultDocument, read_result_file
from slotzero.perf.types import BenchmarkFailure, BenchmarkResult, sentence
from slotzero.workloads import paired

__all__ = ["compare_files", "compare_revisions", "kind_of", "workloads_for"]

_PACKAGE: Final = str(Path(paired.__file__).parent)
_TOLD: Final = (
    "own time (own_ms) of whole snipes on a chain with manual slots, which is a process of its own; waiting for it is "
    "left out, and the p95 of a block is its slowest snipe"
)
_OURS: Final = {**paired.COMPONENTS, **paired.HOT_PATHS}


def kind_of(name: str, folder: Path) -> Literal["file", "revision"]:
    """Tell what a name on the command line is.

    Raises:
        UsageError: It is neither.
    """
    path = Path(name)
    if path.is_file():
        return "file"
    if path.is_dir() or is_revision(name, folder):
        return "revision"
    raise UsageError(f"{name} is neither a result file nor a git revision nor a folder")


def workloads_for(components: Sequence[str], targets: Sequence[str]) -> list[Workload]:
    """Return what to measure: some components, or all of them and their hot paths, or own `module:callable`s.

    Raises:
        UsageError: A name is unknown, or is no `module:callable`.
    """
    unknown = [name for name in components if name not in _OURS]
    if unknown:
        raise UsageError(f"there is no component {unknown[0]}; there are {', '.join(_OURS)}")
    if wrong := [target for target in targets if not all(target.partition(":"))]:
        raise UsageError(f"a workload is named module:callable, got {wrong[0]}")
    own = [Workload(name=target, target=target) for target in dict.fromkeys(targets)]
    names = components or ([] if own else list(_OURS))
    ours = [
        Workload(name=name, target=_OURS[name], package=_PACKAGE, component=name.removesuffix("_TO_SIGNED"))
        for name in dict.fromkeys(names)
    ]
    return ours + own


def compare_revisions(
    base: str,
    new: str,
    *,
    folder: Path,
    workloads: Sequence[Workload],
    seed: int,
    design: Design = DEFAULT_DESIGN,
    loops: tuple[EventLoop, EventLoop] = ("asyncio", "asyncio"),
    report: Callable[[str], None] = lambda _text: None,
) -> CompareDocument:
    """Check both versions out, measure them paired in time, and judge. *Does I/O.*

    Args:
        base: A revision or a folder.
        new: Likewise.
        folder: Somewhere in the repository.
        workloads: What to measure.
        seed: Of everything drawn.
        design: How much is measured.
        loops: What async workloads run on, in the base and in the new version.
        report: Told of the progress, a line each time.

    Raises:
        UsageError: There is no such revision, its environment cannot be made, or not one workload runs in both.
        WorkerError: A version's process ended, hung or failed in the middle.
    """

    def on_launch(plan: LaunchPlan) -> None:
        what = "launch" if plan.phase == "first" else "repeat"
        report(f"{what} {plan.number} of at most {plan.most}: {', '.join(plan.names)}")

    with ExitStack() as stack:
        before = stack.enter_context(checked_out(base, folder, report=report))
        after = stack.enter_context(checked_out(new, folder, report=report))
        run = PairedRun(
            before.side("BASE", loops[0]),
            after.side("NEW", loops[1]),
            workloads,
            seed=seed,
            design=design,
            on_launch=on_launch,
        )
        outcome = run.run()
    if not outcome.comparisons:
        first = outcome.missing[0]
        raise UsageError(f"nothing could be compared; {first.name} is not in {first.side}: {first.reason}")
    here = passport(event_loop=" and ".join(dict.fromkeys(loops)))
    notes = [] if loops[0] == loops[1] else [f"BASE runs on {loops[0]}, NEW on {loops[1]}"]
    if outcome.told:
        notes.append(f"{', '.join(outcome.told)}: {_TOLD}")
    document = paired_document(before, after, outcome, environment=here, design=design, seed=seed, notes=notes)
    return _with_own_floor(document, here, is_one_loop=loops[0] == loops[1])


def compare_files(base: Path, new: Path, *, allows_other_machine: bool = False) -> CompareDocument:
    """Compare two result files through the reference work. *Does I/O.*

    Raises:
        UsageError: One cannot be read or is no benchmark, they were measured on different machines or chains, or
            they have nothing in common.
    """
    documents = [(path, _benchmarks(path)) for path in (base, new)]
    (_, before), (_, after) = documents
    notes: tuple[str, ...] = ()
    differing = _differing(before.environment, after.environment)
    if surroundings := surroundings_apart(before.environment, after.environment):
        apart = "; ".join(f"{name} {one} and {other}" for name, (one, other) in surroundings.items())
        if not allows_other_machine:
            raise UsageError(
                f"{base} and {new} were measured in different surroundings ({apart}); measure both in the same, or "
                "compare them with a warning by --allow-other-machine"
            )
        notes = (f"WARNING: measured in different surroundings ({apart}); differences may be theirs",)
    if before.environment.fingerprint != after.environment.fingerprint:
        if not allows_other_machine:
            raise UsageError(
                f"{base} and {new} were measured on different machines ({differing}); their figures cannot be "
                "compared, or with a warning by --allow-other-machine"
            )
        notes += (f"WARNING: measured on different machines ({differing}); differences may be the machines'",)
    results = [[one for one in document.results if isinstance(one, BenchmarkResult)] for _, document in documents]
    comparisons, left_out = compare_stored(*results)
    failed = _failures(before, "BASE") | _failures(after, "NEW")
    left_out = [msgspec.structs.replace(one, reason=failed.get(one.name, one.reason)) for one in left_out]
    notes += tuple(f"WARNING: {fall}" for fall in fallen_success(*results))
    if not comparisons:
        why = f": {left_out[0].name}: {left_out[0].reason}" if left_out else ""
        raise UsageError(f"{base} and {new} have no benchmark in common that can be compared{why}")
    versions = [
        Version(name=str(path), commit=None, environment=document.environment.fingerprint)
        for path, document in documents
    ]
    return stored_document(
        versions[0],
        versions[1],
        comparisons,
        left_out,
        figures_ns=figures_ns(*results),
        environment=after.environment,
        notes=notes,
    )


def _benchmarks(path: Path) -> ResultDocument:
    document = read_result_file(path)
    if document.kind != "benchmark":
        raise UsageError(f"{path} is a result of kind {document.kind!r}; benchmarks are compared")
    return document


def _differing(base: Passport, new: Passport) -> str:
    found = [
        f"{name} {getattr(base, name)} and {getattr(new, name)}"
        for name in ("cpu", "cores", "cores_usable", "machine", "system", "python", "event_loop")
        if getattr(base, name) != getattr(new, name)
    ]
    return "; ".join(found) or "their fingerprints differ"


def _failures(document: ResultDocument, side: str) -> dict[str, str]:
    """Return why benchmarks of a file have no figures, by their names."""
    return {
        result.name: f"failed in {side}: {sentence(result.error)}"
        for result in document.results
        if isinstance(result, BenchmarkFailure)
    }


def _with_own_floor(document: CompareDocument, here: Passport, *, is_one_loop: bool) -> CompareDocument:
    """Keep what two copies of one version differ by, and say what is known of it."""
    assert document.noise is not None
    is_same = is_one_loop and document.base.commit is not None and document.base.commit == document.new.commit
    notes = document.notes
    if is_same:
        floor = floor_of(list(document.comparisons))
        notes = (*notes, "both are the same commit: what differs is this machine's own floor")
        if floor is not None:
            keep_floor(floor, fingerprint=here.fingerprint, ts_ms=here.ts_ms)
    else:
        floor = kept_floor(fingerprint=here.fingerprint, ts_ms=here.ts_ms)
    noise = msgspec.structs.replace(document.noise, aa_floor_percent=floor)
    return msgspec.structs.replace(document, noise=noise, notes=notes)
