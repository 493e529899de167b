"""The results of past runs, and where they suggest a change. *Does I/O*: one SQLite file.

Each run keeps its document, and of each benchmark the percentiles as they were measured and the reference work's time
around them. A series is one benchmark's percentile on one kind of machine, divided by the reference; changes in it are
*advice*: they name the two commits between which it changed, and `slotzero compare` of those two decides.

The file holds at most 5,000 runs; beyond it the oldest go.
"""

import os
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec
from msgspec import Struct

from slotzero.errors import UsageError
from slotzero.perf.changepoint import change_points, newest_change
from slotzero.perf.compare.stored import by_title
from slotzero.perf.result_file import ResultDocument, decode_document, encode_document
from slotzero.perf.types import BenchmarkOutcome, BenchmarkResult, LatencyStats

__all__ = ["History", "Point", "Run", "Suspicion", "history_path"]

METRICS: Final = ("median", "p75", "p90", "p95")
_MOST_RUNS: Final = 5_000
_FORMAT: Final = 1
_TABLES: Final = """
create table if not exists runs (
    id integer primary key, ts_ms integer not null, commit_hash text not null, fingerprint text not null,
    document blob not null
);
create table if not exists points (
    run integer not null references runs(id) on delete cascade, name text not null, metric text not null,
    value_ms real not null, reference_us real not null, primary key (run, name, metric)
) without rowid;
create index if not exists points_by_series on points (name, metric, run);
"""


class Run(Struct, frozen=True, kw_only=True):
    """A stored run."""

    id: int
    ts_ms: int
    commit: str
    fingerprint: str


class Point(Struct, frozen=True, kw_only=True):
    """One run's value in a series.

    Attributes:
        value_ms: As measured.
        normalised: Over the reference work's time: comparable between runs.
    """

    run: int
    commit: str
    ts_ms: int
    value_ms: float
    normalised: float


class Suspicion(Struct, frozen=True, kw_only=True):
    """A series that seems to have changed. Not a verdict.

    Attributes:
        found_by: A "change_point" in the series, or its "newest" two runs.
        before: The commit of the last run at the old level; `after` of the first at the new one.
        change_percent: Positive for slower.
        runs_since: Runs at the new level so far.
    """

    name: str
    metric: str
    found_by: Literal["change_point", "newest"]
    before: str
    after: str
    change_percent: float
    runs_since: int


def history_path() -> Path:
    """Return where the history is kept unless somebody says otherwise: in the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "slotzero" / "history.sqlite3"


class History:
    """The stored runs. A context manager.

    Args:
        path: The file; made with its folder where there is none.

    Raises:
        UsageError: It cannot be used, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path)
            self._db.execute("pragma foreign_keys = on")
            (version,) = self._db.execute("pragma user_version").fetchone()
            if version not in (0, _FORMAT):
                self._db.close()
                raise UsageError(f"{path} is a history of format {version}, this slotzero knows {_FORMAT}")
            self._db.executescript(_TABLES)
            self._db.execute(f"pragma user_version = {_FORMAT}")
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"{path} cannot be used as a history: {error}") from error

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, document: ResultDocument, *, commit: str) -> int:
        """Store a run. Returns its number.

        Benchmarks without reference work are in the document, and in no series.

        Raises:
            UsageError: It is no benchmark, or the file cannot be written.
        """
        if document.kind != "benchmark":
            raise UsageError(f"a history is made of benchmarks, this is a result of kind {document.kind!r}")
        kept = msgspec.structs.replace(document, results=tuple(_without_samples(one) for one in document.results))
        rows = [
            (name, metric, float(getattr(_latency(result), metric)), reference)
            for name, result in by_title([one for one in document.results if isinstance(one, BenchmarkResult)]).items()
            if (reference := _reference_us(result))
            for metric in METRICS
            if float(getattr(_latency(result), metric)) > 0
        ]
        where = document.environment
        try:
            with self._db:
                run = self._db.execute(
                    "insert into runs (ts_ms, commit_hash, fingerprint, document) values (?, ?, ?, ?)",
                    (where.ts_ms, commit, where.fingerprint, zlib.compress(encode_document(kept))),
                ).lastrowid
                assert run is not None
                self._db.executemany(
                    "insert or replace into points values (?, ?, ?, ?, ?)", [(run, *row) for row in rows]
                )
                self._db.execute(
                    "delete from runs where id <= (select id from runs order by id desc limit 1 offset ?)",
                    (_MOST_RUNS,),
                )
        except sqlite3.Error as error:
            raise UsageError(f"{self._path} cannot be written: {error}") from error
        return run

    def runs(self) -> list[Run]:
        """Return the stored runs in order of storing."""
        query = "select id, ts_ms, commit_hash, fingerprint from runs order by id"
        return [
            Run(id=number, ts_ms=ts_ms, commit=commit, fingerprint=fingerprint)
            for number, ts_ms, commit, fingerprint in self._rows(query)
        ]

    def document(self, run: int) -> ResultDocument:
        """Return a stored run's document, without its raw samples. Raises UsageError when there is none."""
        rows = self._rows("select document from runs where id = ?", run)
        if not rows:
            raise UsageError(f"{self._path} has no run {run}")
        return decode_document(zlib.decompress(rows[0][0]), f"run {run} of {self._path}")

    def names(self, fingerprint: str) -> list[str]:
        """Return the benchmarks that machines of this kind have series of."""
        query = "select distinct name from points join runs on runs.id = run where fingerprint = ? order by name"
        return [name for (name,) in self._rows(query, fingerprint)]

    def lengths(self, fingerprint: str) -> dict[str, int]:
        """Return how many runs each benchmark's series has on machines of this kind."""
        query = (
            "select name, count(distinct run) from points join runs on runs.id = run "
            "where fingerprint = ? group by name order by name"
        )
        return dict(self._rows(query, fingerprint))

    def series(self, name: str, metric: str, fingerprint: str) -> list[Point]:
        """Return one benchmark's percentile over the runs on machines of one kind, in order of storing."""
        query = (
            "select run, commit_hash, ts_ms, value_ms, reference_us from points join runs on runs.id = run "
            "where name = ? and metric = ? and fingerprint = ? order by run"
        )
        return [
            Point(
                run=run,
                commit=commit,
                ts_ms=ts_ms,
                value_ms=value_ms,
                normalised=value_ms * 1_000 / reference_us,
            )
            for run, commit, ts_ms, value_ms, reference_us in self._rows(query, name, metric, fingerprint)
        ]

    def suspicions(self, fingerprint: str, metrics: Sequence[str] = METRICS) -> list[Suspicion]:
        """Return what seems to have changed on machines of one kind, the newest change of each series alone."""
        found = []
        for name in self.names(fingerprint):
            for metric in metrics:
                suspicion = _suspicion(name, metric, self.series(name, metric, fingerprint))
                if suspicion is not None:
                    found.append(suspicion)
        return found

    def _rows(self, query: str, *arguments: object) -> list[Any]:
        try:
            with closing(self._db.execute(query, arguments)) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise UsageError(f"{self._path} cannot be read: {error}") from error


def _suspicion(name: str, metric: str, points: Sequence[Point]) -> Suspicion | None:
    values = [point.normalised for point in points]
    found_by: Literal["change_point", "newest"] = "newest"
    change = newest_change(values)
    if change is None:
        changes = change_points(values)
        if not changes:
            return None
        change, found_by = changes[-1], "change_point"
    return Suspicion(
        name=name,
        metric=metric,
        found_by=found_by,
        before=points[change.index - 1].commit,
        after=points[change.index].commit,
        change_percent=change.change_percent,
        runs_since=len(points) - change.index,
    )


def _latency(result: BenchmarkResult) -> LatencyStats:
    """Own time where it is told apart: slots and networks do not move with the reference work."""
    return result.own_ms if result.own_ms is not None else result.latency_ms


def _reference_us(result: BenchmarkResult) -> float:
    return 0.0 if result.noise is None else (result.noise.reference_before_us + result.noise.reference_after_us) / 2


def _without_samples(result: BenchmarkOutcome) -> BenchmarkOutcome:
    if isinstance(result, BenchmarkResult):
        return msgspec.structs.replace(result, samples_ns=None, warmup_ns=())
    return result
