"""What the loops of a load run leave behind, and the timeline made of it, in memory that does not grow with the run.

The loops append durations to arrays; `fold` moves them into histograms ten times a second, in small portions, since
sorting ten thousand at once would hold the loop for milliseconds. A window of the timeline keeps its headline as a
compact histogram (about 1 kB), so windows merge exactly: over shards, and among themselves where a run is so long that
it would have more than `MOST_WINDOWS` of them.
"""

from array import array
from typing import Final, TypedDict

from msgspec import Struct

from slotzero.perf.classify import Fault
from slotzero.perf.histogram import Histogram
from slotzero.perf.load_types import ERROR_CLASSES, ErrorDetail, Window
from slotzero.perf.summary import stats_of_histogram
from slotzero.perf.types import LatencyStats

__all__ = [
    "MOST_WINDOWS",
    "ErrorTally",
    "LoadTape",
    "Sums",
    "Timeline",
    "WindowFigures",
    "latency_stats",
    "merge_windows",
    "merged_details",
    "window_figures",
]

MOST_WINDOWS: Final = 8_640
"""A day of windows of ten seconds."""
_MOST_DETAILS: Final = 64
_MOST_TEXT: Final = 300
_FOLD_AT: Final = 65_536
_NS_PER_MS: Final = 1e6


class WindowFigures(TypedDict, total=False):
    """The fields of `Window` that its headline fills in."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    histogram: bytes


class ErrorTally:
    """Failures by class and by what exactly they were. Kinds beyond the bound share one row."""

    def __init__(self) -> None:
        self.by_class: dict[str, int] = dict.fromkeys(ERROR_CLASSES, 0)
        self._details: dict[Fault, int] = {}
        self._examples: dict[Fault, str] = {}

    def add(self, fault: Fault, text: str) -> None:
        """Count one failure."""
        self.by_class[fault.kind.value] += 1
        if fault not in self._details and len(self._details) >= _MOST_DETAILS:
            fault = Fault(fault.kind, "_OTHER", fault.origin)
        self._details[fault] = self._details.get(fault, 0) + 1
        self._examples.setdefault(fault, text[:_MOST_TEXT])

    @property
    def total(self) -> int:
        """Return how many failures there were."""
        return sum(self.by_class.values())

    def details(self) -> tuple[ErrorDetail, ...]:
        """Return the kinds, the most frequent first."""
        ordered = sorted(self._details.items(), key=lambda item: (-item[1], item[0].kind, item[0].code))
        return tuple(
            ErrorDetail(
                kind=fault.kind.value,
                code=fault.code,
                origin=fault.origin,
                count=number,
                example=self._examples[fault],
            )
            for fault, number in ordered
        )


def merged_details(parts: list[tuple[ErrorDetail, ...]]) -> tuple[ErrorDetail, ...]:
    """Return the failures of several shards as one list. *Pure.*"""
    found: dict[tuple[str, str, str], ErrorDetail] = {}
    for detail in (detail for part in parts for detail in part):
        key = (detail.kind, detail.code, detail.origin)
        before = found.get(key)
        number = detail.count + (before.count if before else 0)
        found[key] = ErrorDetail(
            kind=detail.kind,
            code=detail.code,
            origin=detail.origin,
            count=number,
            example=before.example if before else detail.example,
        )
    return tuple(sorted(found.values(), key=lambda detail: (-detail.count, detail.kind, detail.code)))


class Sums(Struct, kw_only=True):
    """The distributions of a run. For a closed plan `response`, `lateness` and `dispatch` stay empty."""

    service: Histogram
    response: Histogram
    lateness: Histogram
    dispatch: Histogram
    error: Histogram

    @classmethod
    def empty(cls) -> "Sums":
        """Return distributions without a sample."""
        return cls(
            service=Histogram(), response=Histogram(), lateness=Histogram(), dispatch=Histogram(), error=Histogram()
        )

    def merge(self, other: "Sums") -> None:
        """Add all of `other`, exactly."""
        for name in self.__struct_fields__:
            getattr(self, name).merge(getattr(other, name))

    def to_bytes(self) -> dict[str, bytes]:
        """Return them in compact form."""
        return {name: getattr(self, name).to_bytes() for name in self.__struct_fields__}

    @classmethod
    def from_bytes(cls, parts: dict[str, bytes]) -> "Sums":
        """Return what `to_bytes` wrote. Raises MalformedError for bytes that are no histogram."""
        return cls(**{name: Histogram.from_bytes(parts[name]) for name in cls.__struct_fields__})


class LoadTape:
    """Where the loops write to.

    Attributes:
        service: Durations of successes since the last fold; `response` and `lateness` beside them for an open plan,
            `dispatch` of every arrival handled, `failed` of failures.
        sums: All that was folded.
        errors: Failures by kind.
        started: Operations begun; only an open plan counts them, a closed one derives them.
        dropped: Arrivals missed because no place was free, `late` because they came too late.
        interrupted: Operations cancelled by the run's own end.
        peak_in_flight: The most operations seen at once.
    """

    __slots__ = (
        "_is_open",
        "_window",
        "_window_errors",
        "_window_lateness",
        "dispatch",
        "dropped",
        "errors",
        "failed",
        "interrupted",
        "late",
        "lateness",
        "peak_in_flight",
        "response",
        "service",
        "started",
        "sums",
    )

    def __init__(self, *, is_open: bool) -> None:
        self._is_open = is_open
        self.service = array("q")
        self.response = array("q")
        self.lateness = array("q")
        self.dispatch = array("q")
        self.failed = array("q")
        self.sums = Sums.empty()
        self.errors = ErrorTally()
        self.started = self.dropped = self.late = self.interrupted = self.peak_in_flight = 0
        self._window = Histogram()
        self._window_lateness = Histogram()
        self._window_errors = 0

    @property
    def succeeded(self) -> int:
        """Return how many operations succeeded."""
        return self.sums.service.count + len(self.service)

    @property
    def headline(self) -> Histogram:
        """Return the distribution that is reported first."""
        return self.sums.response if self._is_open else self.sums.service

    @property
    def is_full(self) -> bool:
        """Tell whether it is time to fold, however short the time since the last."""
        return len(self.service) >= _FOLD_AT

    def take_back(self) -> int:
        """Remove the operation recorded last from the successes. Returns its service time."""
        if self._is_open:
            self.response.pop()
        return self.service.pop()

    def fail(self, fault: Fault, text: str, took: int) -> None:
        """Count a failed operation."""
        self.failed.append(took)
        self.errors.add(fault, text)

    def fold(self) -> None:
        """Move what was recorded since the last call into the histograms."""
        sums = self.sums
        ordered = sorted(self.service)
        sums.service.fold_ordered(ordered)
        if self._is_open:
            ordered = sorted(self.response)
            sums.response.fold_ordered(ordered)
            late = sorted(self.lateness)
            sums.lateness.fold_ordered(late)
            self._window_lateness.fold_ordered(late)
            sums.dispatch.fold(self.dispatch)
        self._window.fold_ordered(ordered)
        sums.error.fold(self.failed)
        self._window_errors += len(self.failed)
        for used in (self.service, self.response, self.lateness, self.dispatch, self.failed):
            del used[:]

    def cut(self) -> tuple[Histogram, Histogram, int]:
        """Fold, then return headline, lateness and failures since the last cut, and begin a new window."""
        self.fold()
        found = self._window, self._window_lateness, self._window_errors
        self._window, self._window_lateness, self._window_errors = Histogram(), Histogram(), 0
        return found


class Timeline:
    """The windows of a run, at most `most` of them.

    Beyond that each new window merges one pair of neighbours, going through the timeline from its start again and
    again, so that the oldest windows are the longest, the newest keep their length, and nothing is lost but detail.
    """

    def __init__(self, most: int = MOST_WINDOWS) -> None:
        self.windows: list[Window] = []
        self._most = most
        self._place = 0

    def append(self, window: Window) -> None:
        """Add a window that follows on the last one."""
        self.windows.append(window)
        if len(self.windows) > self._most:
            if self._place + 2 > len(self.windows) - 1:
                self._place = 0
            place = self._place
            first, second = self.windows[place : place + 2]
            self.windows[place : place + 2] = [merge_windows(first, second)]
            self._place += 1


def merge_windows(first: Window, second: Window, *, beside: bool = False) -> Window:
    """Return two windows as one. *Pure.*

    Args:
        first: The earlier one.
        second: The one after it, or one of another shard.
        beside: Whether they lie beside each other (two shards at the same time) instead of one after the other.
    """
    headline = Histogram()
    for part in (first, second):
        if part.histogram is not None:
            headline.merge(Histogram.from_bytes(part.histogram))
    span_s = max(first.span_s, second.span_s) if beside else first.span_s + second.span_s
    busiest = _sum if beside else _larger
    ops = first.ops + second.ops
    return Window(
        at_s=first.at_s,
        span_s=span_s,
        ops=ops,
        errors=first.errors + second.errors,
        started=first.started + second.started,
        missed=first.missed + second.missed,
        in_flight=first.in_flight + second.in_flight if beside else second.in_flight,
        ops_per_s=round(ops / span_s, 3) if span_s else 0.0,
        lateness_p99_ms=_larger(first.lateness_p99_ms, second.lateness_p99_ms),
        cpu_percent=busiest(first.cpu_percent, second.cpu_percent),
        rss_mb=busiest(first.rss_mb, second.rss_mb),
        extra={
            name: max(first.extra.get(name, 0.0), second.extra.get(name, 0.0))
            for name in {**first.extra, **second.extra}
        },
        **window_figures(headline),
    )


def window_figures(headline: Histogram) -> WindowFigures:
    """Return the percentiles of a window as the fields of `Window`. *Pure.*"""
    if not headline.count:
        return {}
    return {
        "p50_ms": _ms(headline.percentile(50)),
        "p95_ms": _ms(headline.percentile(95)),
        "p99_ms": _ms(headline.percentile(99)),
        "max_ms": _ms(headline.max_ns),
        "histogram": headline.to_bytes(),
    }


def latency_stats(found: Histogram) -> LatencyStats | None:
    """Return a distribution's figures with the intervals of its percentiles; None when it is empty. *Pure.*"""
    return stats_of_histogram(found) if found.count else None


def _ms(value: float) -> float:
    return round(value / _NS_PER_MS, 6)


def _larger(first: float | None, second: float | None) -> float | None:
    found = [value for value in (first, second) if value is not None]
    return max(found) if found else None


def _sum(first: float | None, second: float | None) -> float | None:
    found = [value for value in (first, second) if value is not None]
    return sum(found) if found else None
