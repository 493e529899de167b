"""The lab's records as metrics: a finished benchmark, a load test under way."""

from collections.abc import Iterable, Mapping

from slotzero.clock import Clock
from slotzero.observe.catalogue import LabMetrics
from slotzero.observe.metrics import Histogram as Cell
from slotzero.observe.metrics import Registry
from slotzero.observe.records import LoadProgress
from slotzero.perf.histogram import Histogram
from slotzero.perf.types import (
    BenchmarkFailure,
    BenchmarkFinished,
    BenchmarkResult,
    Component,
    NoSuccess,
    SampleFailed,
    Target,
)
from slotzero.units import NS_PER_MS

__all__ = ["LabFeed", "folded"]

_NS_PER_S = 1_000_000_000


class LabFeed:
    """Fills the lab's metrics.

    Args:
        registry: Where they are exposed.
        targets: What the components are held against.
        clock: For when a component was last measured.
    """

    def __init__(self, registry: Registry, *, targets: Mapping[Component, Target], clock: Clock) -> None:
        self._metrics = LabMetrics(registry)
        self._clock = clock
        for component, target in targets.items():
            self._metrics.target.at(component.value).set(target.p95_ms)

    def expect(self, *, components: Iterable[str] = (), scenarios: Iterable[str] = ()) -> None:
        """Show at zero what is about to be measured, so that `rate` sees its first increase."""
        for component in components:
            self._metrics.declare(component)
        for scenario in scenarios:
            self._metrics.declare_load(scenario)

    def on_benchmark(self, finished: BenchmarkFinished) -> None:
        """Take a finished benchmark: the hook of the benchmark service."""
        label = finished.component or finished.name
        self._metrics.declare(label)
        self._metrics.last_run.at(label).set(self._clock.wall_ns() / _NS_PER_S)
        match finished.outcome:
            case BenchmarkResult() as result:
                self._on_result(label, result)
            case BenchmarkFailure(error=NoSuccess(errors=errors)):
                self._metrics.success_rate.at(label).set(0)
                self._count(label, sum(errors.values()), errors)
            case BenchmarkFailure(error=SampleFailed(kind=kind)):
                self._count(label, 1, {kind: 1})
            case BenchmarkFailure(error=error):
                self._count(label, 1, {type(error).__name__: 1})

    def _on_result(self, label: str, result: BenchmarkResult) -> None:
        metrics, throughput, resources = self._metrics, result.throughput, result.resources
        counts, total_ms = folded(Histogram.from_text(result.histogram), metrics.duration.at(label).bounds)
        metrics.duration.at(label).merge(counts, total_ms)
        metrics.success_rate.at(label).set(throughput.success_rate_percent)
        metrics.throughput.at(label).set(throughput.ops_per_s)
        if resources is not None:
            metrics.memory.at(label).set(resources.peak_rss_mb)
            metrics.cpu.at(label).set(resources.peak_cpu_percent)
        if result.target is not None:
            metrics.target.at(label).set(result.target.p95_ms)
        self._count(label, result.samples, result.errors)

    def _count(self, label: str, samples: int, errors: Mapping[str, int]) -> None:
        self._metrics.samples.at(label).add(samples)
        for kind, number in errors.items():
            self._metrics.errors.at(label, kind).add(number)

    def on_load(self, progress: LoadProgress) -> None:
        """Take how far a load test has come: the hook of the load test service."""
        metrics, scenario = self._metrics, progress.scenario
        metrics.declare_load(scenario)
        metrics.load_concurrency.at(scenario).set(progress.in_flight)
        for status, number in progress.finished.items():
            metrics.load_requests.at(scenario, status).reach(number)
        cell: Cell = metrics.load_duration.at(scenario)
        cell.replace(*folded(progress.durations, cell.bounds))


def folded(durations: Histogram, bounds_ms: tuple[float, ...]) -> tuple[list[int], float]:
    """Return the counts of `durations` in wider buckets, and their sum in milliseconds. *Pure.*

    A fine bucket goes where its middle belongs, so a count next to a bound may be off by the fine histogram's 0.4 %.
    """
    cell = Cell(bounds_ms)
    for low, above, number in durations.buckets():
        cell.count((low + above - 1) / 2 / NS_PER_MS, number)
    return cell.counts, durations.sum_ns / NS_PER_MS
