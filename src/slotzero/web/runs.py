"""Stored runs: result files in the runs folder, and the saved baselines. *Does I/O*, all of it bounded.

A run's id is its file's name without ".json"; only names of a plain form are looked up, so no request reaches a file
outside of the two folders. Links are not followed.
"""

import re
from collections import OrderedDict
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from slotzero.errors import SlotzeroError, UsageError
from slotzero.perf.environment import Passport
from slotzero.perf.load_document import load_outcomes
from slotzero.perf.load_types import LoadOutcome, LoadResult, Window
from slotzero.perf.result_file import ResultDocument, read_result_file
from slotzero.perf.types import BenchmarkResult, sentence
from slotzero.web.records import (
    Comparing,
    Curve,
    Difference,
    LoadPoint,
    LoadRun,
    RunDetail,
    RunEntry,
    RunFigures,
    Runs,
)
from slotzero.web.report import ReportPart, render_report
from slotzero.web.report.records import distribution_of
from slotzero.workloads.comparing import compare_files

__all__ = ["RUN_ID", "NoSuchRunError", "RunStore"]

RUN_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_is_id = re.compile(RUN_ID).fullmatch
_MOST_RUNS: Final = 500
_MOST_CACHED: Final = 8
"""Whole documents: the list keeps what it shows of a run, and nothing else of it."""
_MOST_BYTES: Final = 64_000_000
_CURVE_POINTS: Final = 160
_NS_PER_MS: Final = 1e6
_WHOLE: Final = 100


class NoSuchRunError(UsageError):
    """No stored run has that id."""


class _Version(NamedTuple):
    """A file as it was written once."""

    path: Path
    written_ns: int
    size: int


class _Stored(Struct, frozen=True, kw_only=True):
    path: Path
    size: int
    document: ResultDocument
    loads: tuple[LoadOutcome, ...]


class RunStore:
    """Result files in some folders. The first folder that has a name wins.

    Args:
        folders: Where they are; a folder may be missing.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._cache: OrderedDict[_Version, _Stored] = OrderedDict()
        self._listed: dict[_Version, RunEntry] = {}
        """What the list shows of each file: only a file that is new is read for it."""

    def list(self) -> Runs:
        """Return the 500 runs that were written last, newest first."""
        unreadable = {}
        versions = [(_version(path), name) for name, path in self._files().items()]
        newest = sorted(versions, key=lambda one: (one[0].written_ns, one[1]), reverse=True)[:_MOST_RUNS]
        listed: dict[_Version, RunEntry] = {}
        for version, name in newest:
            if _is_id(name) is None:
                unreadable[name] = "name it with letters, digits, '.', '_' and '-' alone, at most 100, to see it here"
                continue
            try:
                listed[version] = self._listed.get(version) or _entry(name, _stored_in(version.path))
            except SlotzeroError as error:
                unreadable[name] = str(error).replace(str(version.path), name)
        self._listed = listed
        runs = listed.values()
        return Runs(runs=tuple(sorted(runs, key=lambda run: run.ts_ms, reverse=True)), unreadable=unreadable)

    def detail(self, run: str) -> RunDetail:
        """Return one run.

        Raises:
            UsageError: There is none, or it cannot be read.
        """
        stored = self._stored(run)
        return RunDetail(
            entry=_entry(run, stored),
            environment=_facts(stored.document.environment),
            benchmarks=tuple(_figures(one) for one in _results(stored.document)),
            loads=tuple(_load(one) for one in stored.loads if isinstance(one, LoadResult)),
            failures={
                **{
                    one.name: sentence(one.error)
                    for one in stored.document.results
                    if not isinstance(one, BenchmarkResult)
                },
                **{one.scenario: str(one) for one in stored.loads if not isinstance(one, LoadResult)},
            },
        )

    def compare(self, base: str, new: str) -> Comparing:
        """Return two runs beside one another.

        Raises:
            UsageError: One is not there, or holds no benchmarks.
        """
        stored = {name: self._stored(name) for name in (base, new)}
        for name, one in stored.items():
            if one.document.kind != "benchmark":
                raise UsageError(f"run {name} holds load runs; only benchmarks are compared")
        before = {one.name: one for one in _results(stored[base].document)}
        after = {one.name: one for one in _results(stored[new].document)}
        verdicts, refusal = None, ""
        try:
            verdicts = compare_files(stored[base].path, stored[new].path, allows_other_machine=True)
            verdicts = msgspec.structs.replace(
                verdicts,
                base=msgspec.structs.replace(verdicts.base, name=base),
                new=msgspec.structs.replace(verdicts.new, name=new),
            )
        except UsageError as error:
            refusal = str(error).replace(str(stored[base].path), base).replace(str(stored[new].path), new)
        ours, theirs = (_facts(stored[name].document.environment) for name in (base, new))
        return Comparing(
            base=_entry(base, stored[base]),
            new=_entry(new, stored[new]),
            base_figures={name: _figures(result) for name, result in before.items()},
            new_figures={name: _figures(result) for name, result in after.items()},
            verdicts=verdicts,
            refusal=refusal,
            curves={name: (_curve(before[name]), _curve(after[name])) for name in before if name in after},
            differences=tuple(
                Difference(name=name, base=ours.get(name, "not told"), new=theirs.get(name, "not told"))
                for name in dict.fromkeys([*ours, *theirs])
                if ours.get(name) != theirs.get(name)
            ),
        )

    def report(self, *runs: str) -> str:
        """Return one or two runs as one self-contained page.

        Raises:
            UsageError: One is not there, or cannot be read.
        """
        return render_report([ReportPart(name=run, document=self._stored(run).document) for run in runs])

    def bytes_of(self, run: str) -> bytes:
        """Return the result file itself.

        Raises:
            UsageError: There is none.
        """
        return self._stored(run).path.read_bytes()

    # ---- files -----------------------------------------------------------------------------------------------------

    def _files(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in self._folders:
            try:
                paths = sorted(folder.glob("*.json"), reverse=True)
            except OSError:
                continue
            for path in paths:
                if not path.is_symlink() and path.is_file():
                    found.setdefault(path.stem, path)
        return found

    def _stored(self, run: str) -> _Stored:
        path = self._files().get(run)
        if path is None:
            raise NoSuchRunError(f"there is no stored run {run}; /api/v1/runs lists them")
        try:
            return self._read(path)
        except SlotzeroError as error:
            raise UsageError(str(error).replace(str(path), run)) from error

    def _read(self, path: Path) -> _Stored:
        version = _version(path)
        found = self._cache.get(version)  # once: another thread may drop it
        if found is None:
            found = self._cache[version] = _stored_in(path)
            while len(self._cache) > _MOST_CACHED:
                self._cache.popitem(last=False)
        return found


def _version(path: Path) -> _Version:
    """Return which file this is by now; one that cannot be looked at is the oldest. *Does I/O.*"""
    try:
        status = path.stat()
    except OSError:
        return _Version(path, 0, 0)
    return _Version(path, status.st_mtime_ns, status.st_size)


def _stored_in(path: Path) -> _Stored:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    if size > _MOST_BYTES:
        raise UsageError(f"{path} is larger than {_MOST_BYTES // 10**6} MB; `slotzero report` reads it")
    document = read_result_file(path)
    loads = load_outcomes(document, str(path)) if document.kind == "load" else ()
    return _Stored(path=path, size=size, document=document, loads=loads)


# ---- what is shown of them -----------------------------------------------------------------------------------------


def _results(document: ResultDocument) -> list[BenchmarkResult]:
    return [one for one in document.results if isinstance(one, BenchmarkResult)]


def _entry(name: str, stored: _Stored) -> RunEntry:
    document, environment = stored.document, stored.document.environment
    judged = [one.target.passed for one in _results(document) if one.target is not None]
    loads = [one.passed for one in stored.loads if isinstance(one, LoadResult)]
    kind: Literal["benchmark", "load"] = document.kind
    ended = len(_results(document)) + len(loads)
    return RunEntry(
        id=name,
        kind=kind,
        title=document.title,
        ts_ms=environment.ts_ms,
        slotzero=environment.slotzero,
        python=environment.python,
        cpu=environment.cpu,
        fingerprint=environment.fingerprint,
        results=ended,
        judged=len(judged) + len(loads),
        passed=sum(judged) + sum(loads),
        failed=len(document.results) + len(stored.loads) - ended,
        bytes=stored.size,
    )


def _facts(found: Passport) -> dict[str, str]:
    return {
        "slotzero": found.slotzero,
        "Python": found.python,
        "event loop": found.event_loop,
        "CPU": found.cpu,
        "cores (usable)": f"{found.cores} ({found.cores_usable})",
        "system": f"{found.system}, {found.machine}",
        "memory": "unknown" if found.memory_mb is None else f"{found.memory_mb:.0f} MB",
        "frequency governor": found.governor or "unknown",
        "clock source": found.clock_source or "unknown",
        "load of the last minute": "unknown" if found.load_1m is None else f"{found.load_1m:.2f}",
        "fingerprint": found.fingerprint,
        **{f"library {name}": version for name, version in found.libraries.items()},
        **found.extra,
    }


def _figures(result: BenchmarkResult) -> RunFigures:
    latency, target = result.latency_ms, result.target
    return RunFigures(
        name=result.name,
        component=result.component,
        count=latency.count,
        p50_ms=latency.median,
        p95_ms=latency.p95,
        p99_ms=latency.p99,
        own_p95_ms=None if result.own_ms is None else result.own_ms.p95,
        intervals={name: latency.intervals.get(name) for name in ("median", "p95", "p99")},
        success_percent=result.throughput.success_rate_percent,
        target_p95_ms=None if target is None else target.p95_ms,
        passed=None if target is None else target.passed,
    )


def _curve(result: BenchmarkResult) -> Curve:
    found = distribution_of(result)
    if not found.total:
        return Curve(ms=(), percent=())
    step = max(1, len(found.values_ns) // _CURVE_POINTS)
    places = [*range(0, len(found.values_ns), step)]
    if places[-1] != len(found.values_ns) - 1:
        places.append(len(found.values_ns) - 1)
    return Curve(
        ms=tuple(found.values_ns[place] / _NS_PER_MS for place in places),
        percent=tuple(_WHOLE * found.running[place] / found.total for place in places),
    )


def _load(result: LoadResult) -> LoadRun:
    latency = result.latency_ms
    return LoadRun(
        scenario=result.scenario,
        model=result.model,
        concurrency=result.concurrency,
        total_ops=result.total_ops,
        success_percent=result.success_rate_percent,
        ops_per_s=result.achieved_ops_per_s,
        p50_ms=None if latency is None else latency.median,
        p95_ms=None if latency is None else latency.p95,
        p99_ms=None if latency is None else latency.p99,
        passed=result.passed,
        generator=result.generator.verdict,
        missed_starts=result.missed_starts,
        errors=result.errors,
        thresholds={one.name: one.met for one in result.thresholds},
        timeline=tuple(_point(window) for window in _whole_windows(result.timeline)),
    )


def _whole_windows(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    """Return the windows without a last one that is but a rest: its rates say nothing."""
    is_rest = len(windows) > 1 and windows[-1].span_s < windows[0].span_s / 2
    return windows[:-1] if is_rest else windows


def _point(window: Window) -> LoadPoint:
    return LoadPoint(
        at_s=window.at_s,
        ops_per_s=window.ops_per_s,
        errors=window.errors,
        in_flight=window.in_flight,
        p50_ms=window.p50_ms,
        p95_ms=window.p95_ms,
        p99_ms=window.p99_ms,
        cpu_percent=window.cpu_percent,
        rss_mb=window.rss_mb,
    )
