"""What a report is made of. Pure."""

from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct

from slotzero.errors import MalformedError
from slotzero.perf.histogram import Histogram
from slotzero.perf.result_file import ResultDocument
from slotzero.perf.types import BenchmarkResult

__all__ = ["Distribution", "ReportPart", "distribution_of", "distribution_of_histogram"]


class ReportPart(Struct, frozen=True, kw_only=True):
    """One result file and what to call it on the page.

    Attributes:
        links: Files that belong to it, by the name of the benchmark: a label and the address relative to the page.
    """

    name: str
    document: ResultDocument
    links: dict[str, tuple[tuple[str, str], ...]] = {}


class Distribution(Struct, frozen=True, kw_only=True):
    """Durations in ascending order with how often each was seen, as far as they are known.

    Attributes:
        values_ns: Ascending, each above 0.
        counts: As many.
        running: Samples at or below each value.
    """

    values_ns: tuple[float, ...]
    counts: tuple[int, ...]
    running: tuple[int, ...]

    @property
    def total(self) -> int:
        """Return how many samples there are."""
        return self.running[-1] if self.running else 0


def distribution_of(result: BenchmarkResult) -> Distribution:
    """Return a result's distribution: of its samples where they are kept, else of its histogram. *Pure.*"""
    if result.samples_ns is not None:
        return _made([(max(value, 1), 1) for value in sorted(result.samples_ns)])
    try:
        return distribution_of_histogram(Histogram.from_text(result.histogram))
    except MalformedError:
        return _made([])


def distribution_of_histogram(histogram: Histogram) -> Distribution:
    """Return what a histogram holds, each bucket at its middle. *Pure.*"""
    return _made([(max((low + above - 1) / 2, 1), count) for low, above, count in histogram.buckets()])


def _made(pairs: Sequence[tuple[float, int]]) -> Distribution:
    counts = tuple(count for _, count in pairs)
    return Distribution(values_ns=tuple(value for value, _ in pairs), counts=counts, running=tuple(accumulate(counts)))
