"""Stored results as Prometheus history: OpenMetrics with timestamps, for `promtool tsdb create-blocks-from`.

Each result file stands at its own time. Its counters are at what they were before, and then higher by what it
measured; they stay in sight for a few minutes, so that `rate` sees the step and a gauge is found. All series carry
`job="slotzero-history"` and the version that was measured as `instance` (and as `version`), which is how a dashboard
sets one version beside another: they are two instances.

Pure, but for what the caller reads.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

import msgspec

from slotzero.errors import UsageError
from slotzero.observe.alerts import HISTORY_JOB
from slotzero.observe.buckets import LOAD_MS, component_ms
from slotzero.observe.catalogue import LabMetrics
from slotzero.observe.lab import OK, folded
from slotzero.observe.metrics import Registry
from slotzero.perf.environment import Passport
from slotzero.perf.histogram import Histogram
from slotzero.perf.load_types import LoadOutcome, LoadResult
from slotzero.perf.result_file import ResultDocument
from slotzero.perf.types import BenchmarkResult, Component
from slotzero.workloads.targets import TARGETS

__all__ = ["HISTORY_JOB", "history", "version_of"]

_STEP_S: Final = 15
_BEFORE_STEPS: Final = 4
_AFTER_STEPS: Final = 20
_decode_load = msgspec.json.Decoder(LoadOutcome).decode

_Labels: TypeAlias = tuple[tuple[str, str], ...]
_Key: TypeAlias = tuple[str, _Labels]
"""A sample's name and its labels, beside those of the run."""
_Points: TypeAlias = dict[str, dict[_Labels, list[str]]]
"""Lines by metric and by labels without `le`: OpenMetrics wants each such group together, in the order of time."""
_OF_A_HISTOGRAM: Final = ("_bucket", "_sum", "_count")


def history(documents: Sequence[tuple[str, ResultDocument]]) -> Iterator[str]:
    """Return the lines of an OpenMetrics text with every result of the documents.

    Args:
        documents: Each with what its version is called; "" = as `version_of` its environment says.

    Raises:
        UsageError: A load result cannot be read, or two documents of one version are of the same time.
    """
    runs: dict[str, list[tuple[int, ResultDocument]]] = defaultdict(list)
    for name, document in documents:
        runs[name or version_of(document.environment)].append((document.environment.ts_ms // 1_000, document))
    points: _Points = defaultdict(lambda: defaultdict(list))
    for version, of_version in sorted(runs.items()):
        where = (("job", HISTORY_JOB), ("instance", version), ("version", version))
        _of_one_version(sorted(of_version, key=lambda run: run[0]), where, points)
    registry = Registry()
    LabMetrics(registry)
    for family in registry.families():
        if groups := points.get(family.name):
            metric = family.name.removesuffix("_total")
            yield f"# HELP {metric} {family.text}"
            yield f"# TYPE {metric} {family.kind}"
            for lines in groups.values():
                yield from lines
    yield "# EOF"


def version_of(environment: Passport) -> str:
    """Return what a result's version is called: the release, and the revision where the environment tells one."""
    revision = environment.extra.get("revision", "")
    return f"{environment.slotzero}@{revision[:12]}" if revision else environment.slotzero


def _of_one_version(runs: list[tuple[int, ResultDocument]], where: _Labels, points: _Points) -> None:
    totals: dict[_Key, float] = defaultdict(float)
    until = 0
    for ts_s, document in runs:
        if ts_s - _STEP_S * _BEFORE_STEPS <= until:
            raise UsageError(
                f"two results of version {where[1][1]} are less than {_STEP_S * (_AFTER_STEPS + _BEFORE_STEPS)} s "
                "apart, so their figures would run into each other; leave one out, or name them apart (NAME=FILE)"
            )
        until = ts_s + _STEP_S * _AFTER_STEPS
        grown, gauges = _measured(document, ts_s)
        before = {key: totals[key] for key in grown}
        for key, value in grown.items():
            totals[key] += value
        after = {key: totals[key] for key in grown} | gauges
        for step in range(-_BEFORE_STEPS, _AFTER_STEPS + 1):
            for key, value in (before if step < 0 else after).items():
                name, labels = key
                shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in (*where, *labels))
                group = (*where, *(pair for pair in labels if pair[0] != "le"))
                points[_metric(name)][group].append(f"{name}{{{shown}}} {value!r} {ts_s + step * _STEP_S}")


def _measured(document: ResultDocument, ts_s: int) -> tuple[dict[_Key, float], dict[_Key, float]]:
    """Return by how much a document's counters grow, and its gauges."""
    grown: dict[_Key, float] = defaultdict(float)
    gauges: dict[_Key, float] = {}
    for result in document.results:
        if isinstance(result, BenchmarkResult):
            _benchmark(result, ts_s, grown, gauges)
    for raw in document.other:
        try:
            outcome = _decode_load(raw)
        except msgspec.MsgspecError as error:
            raise UsageError(f"a load result cannot be read: {error}; measure again with `slotzero load`") from error
        if isinstance(outcome, LoadResult):
            _load(outcome, grown, gauges)
    return grown, gauges


def _benchmark(result: BenchmarkResult, ts_s: int, grown: dict[_Key, float], gauges: dict[_Key, float]) -> None:
    name = result.component or result.name
    labels = (("component", name),)
    _histogram("benchmark_duration_ms", labels, result.histogram, component_ms(name), grown)
    grown["benchmark_total", labels] += result.samples
    for kind, number in result.errors.items():
        grown["benchmark_errors_total", (*labels, ("type", kind))] += number
    gauges["benchmark_success_rate", labels] = result.throughput.success_rate_percent
    gauges["benchmark_throughput_ops", labels] = result.throughput.ops_per_s
    gauges["benchmark_last_run_timestamp_seconds", labels] = ts_s
    if result.resources is not None:
        gauges["benchmark_memory_mb", labels] = result.resources.peak_rss_mb
        gauges["benchmark_cpu_percent", labels] = result.resources.peak_cpu_percent
    if result.target is not None:
        gauges["benchmark_target_ms", labels] = result.target.p95_ms
    elif result.component in {component.value for component in Component}:
        gauges["benchmark_target_ms", labels] = TARGETS[Component(result.component)].p95_ms


def _load(result: LoadResult, grown: dict[_Key, float], gauges: dict[_Key, float]) -> None:
    labels = (("scenario", result.scenario),)
    grown["load_test_requests_total", (*labels, ("status", OK))] += result.total_ops - sum(result.errors.values())
    for status, number in result.errors.items():
        grown["load_test_requests_total", (*labels, ("status", status))] += number
    gauges["load_test_concurrency", labels] = result.peak_in_flight
    if result.histogram is not None:
        _histogram("load_test_duration_ms", labels, result.histogram, LOAD_MS, grown)


def _histogram(name: str, labels: _Labels, text: str, bounds: tuple[float, ...], grown: dict[_Key, float]) -> None:
    counts, total_ms = folded(Histogram.from_text(text), bounds)
    summed = list(accumulate(counts))
    for bound, count in zip([*map(repr, bounds), "+Inf"], summed, strict=True):
        grown[f"{name}_bucket", (*labels, ("le", bound))] += count
    grown[f"{name}_sum", labels] += total_ms
    grown[f"{name}_count", labels] += summed[-1]


def _metric(sample: str) -> str:
    """Return the metric a sample's name belongs to."""
    for suffix in _OF_A_HISTOGRAM:
        if sample.endswith(suffix):
            return sample.removesuffix(suffix)
    return sample


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
