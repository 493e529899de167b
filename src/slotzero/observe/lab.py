"""The lab's records as metrics: a finished benchmark, a load test under way and when it has ended.

`LabFeed.on_benchmark` and `LabFeed.on_load` are hooks for `BenchmarkService` and `LoadTestService`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from slotzero.clock import Clock
from slotzero.observe.catalogue import LabMetrics
from slotzero.observe.metrics import Histogram as Cell
from slotzero.observe.metrics import Registry
from slotzero.perf.histogram import Histogram
from slotzero.perf.load_types import LoadFailure, LoadOutcome, LoadProgress
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

_NS_PER_S: Final = 1_000_000_000
OK: Final = "ok"
"""The status of an operation that succeeded."""


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
        self._ended_ok: Counter[str] = Counter()
        """Successes of the load runs that have ended, by scenario: progress counts from a run's own start."""
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

    def on_load_progress(self, scenario: str, progress: LoadProgress) -> None:
        """Show how far a load test has come; its errors by class and its durations come when it ends."""
        metrics = self._metrics
        metrics.declare_load(scenario)
        metrics.load_concurrency.at(scenario).set(progress.in_flight)
        succeeded = progress.total_ops - progress.total_errors
        metrics.load_requests.at(scenario, OK).reach(self._ended_ok[scenario] + succeeded)

    def on_load(self, outcome: LoadOutcome) -> None:
        """Take a load test that has ended: the hook of the load test service."""
        metrics, scenario = self._metrics, outcome.scenario
        metrics.declare_load(scenario)
        metrics.load_concurrency.at(scenario).set(0)
        if isinstance(outcome, LoadFailure):
            return
        self._ended_ok[scenario] += outcome.total_ops - sum(outcome.errors.values())
        metrics.load_requests.at(scenario, OK).reach(self._ended_ok[scenario])
        for status, number in outcome.errors.items():
            metrics.load_requests.at(scenario, status).add(number)
        if outcome.histogram is not None:
            cell = metrics.load_duration.at(scenario)
            cell.merge(*folded(Histogram.from_text(outcome.histogram), cell.bounds))


def folded(durations: Histogram, bounds_ms: tuple[float, ...]) -> tuple[list[int], float]:
    """Return the counts of `durations` in wider buckets, and their sum in milliseconds. *Pure.*

    A fine bucket goes where its middle belongs, so a count next to a bound may be off by the fine histogram's 0.4 %.
    """
    cell = Cell(bounds_ms)
    for low, above, number in durations.buckets():
        cell.count((low + above - 1) / 2 / NS_PER_MS, number)
    return cell.counts, durations.sum_ns / NS_PER_MS
