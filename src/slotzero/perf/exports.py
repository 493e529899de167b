"""Results in the formats of other tools. *Pure.* Latencies keep the percentiles' intervals where a format has room.

::

    github-action-benchmark   an array of {name, unit, value, range, extra}: smaller is better (`customSmallerIsBetter`)
    bencher                   Bencher Metric Format: benchmark -> measure -> {value, lower_value, upper_value}, in ns
    pytest-benchmark          its JSON (5.x), in seconds: what `pytest-benchmark compare` reads

What a format has no place for is left out: a failed benchmark, own and waited time apart from the whole.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

import msgspec

from slotzero.perf.compare.stored import by_title
from slotzero.perf.environment import Passport
from slotzero.perf.histogram import Histogram
from slotzero.perf.result_file import ResultDocument
from slotzero.perf.stats import nearest_rank
from slotzero.perf.types import BenchmarkResult, LatencyStats

__all__ = ["EXPORTS", "bencher", "github_action_benchmark", "pytest_benchmark"]

_METRICS: Final = {"median": "p50", "p75": "p75", "p90": "p90", "p95": "p95", "p99": "p99"}
_MS_PER_S: Final = 1_000
_NS_PER_MS: Final = 1_000_000
_PYTEST_BENCHMARK: Final = "5.3.1"


def github_action_benchmark(document: ResultDocument, commit: str = "") -> bytes:
    """Return the latencies for github-action-benchmark's tool `customSmallerIsBetter`."""
    rows = [
        {
            "name": f"{title} {shown}",
            "unit": "ms",
            "value": float(getattr(result.latency_ms, metric)),
            "range": _range(result.latency_ms, metric),
            "extra": f"n={result.latency_ms.count}\n{_where(document.environment, commit)}",
        }
        for title, result in _measured(document).items()
        for metric, shown in _METRICS.items()
    ]
    return _text(rows)


def bencher(document: ResultDocument, commit: str = "") -> bytes:  # noqa: ARG001 Bencher is told the commit beside it
    """Return the document in Bencher Metric Format."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for title, result in _measured(document).items():
        measures = found[title] = {}
        for metric, shown in _METRICS.items():
            value = {"value": float(getattr(result.latency_ms, metric)) * _NS_PER_MS}
            if (interval := result.latency_ms.intervals.get(metric)) is not None:
                value |= {"lower_value": interval.low * _NS_PER_MS, "upper_value": interval.high * _NS_PER_MS}
            measures[f"latency-{shown}"] = value
        throughput = result.throughput
        measures["throughput"] = {"value": float(throughput.ops_per_s)}
        measures["success-rate"] = {
            "value": float(throughput.success_rate_percent),
            "lower_value": throughput.success_interval.low,
            "upper_value": throughput.success_interval.high,
        }
        if result.resources is not None:
            measures["rss"] = {"value": float(result.resources.peak_rss_mb)}
    return _text(found)


def pytest_benchmark(document: ResultDocument, commit: str = "") -> bytes:
    """Return the document as pytest-benchmark saves it. Percentiles above the quartiles are in `extra_info`."""
    where = document.environment
    at = datetime.fromtimestamp(where.ts_ms / _MS_PER_S, UTC).isoformat()
    implementation, _, version = where.python.partition(" ")
    saved = {
        "machine_info": {
            "node": "",
            "processor": where.cpu,
            "machine": where.machine,
            "python_compiler": "",
            "python_implementation": implementation,
            "python_implementation_version": version,
            "python_version": version,
            "python_build": ["", ""],
            "release": where.system.partition(" ")[2],
            "system": where.system.partition(" ")[0],
            "cpu": {"brand_raw": where.cpu, "count": where.cores},
        },
        "commit_info": {
            "id": commit or "unknown",
            "time": at,
            "author_time": at,
            "dirty": False,
            "project": "slotzero",
            "branch": "(unknown)",
        },
        "benchmarks": [_pytest_entry(title, result) for title, result in _measured(document).items()],
        "datetime": at,
        "version": _PYTEST_BENCHMARK,
    }
    return _text(saved)


EXPORTS: Final[dict[str, Callable[[ResultDocument, str], bytes]]] = {
    "github-action-benchmark": github_action_benchmark,
    "bencher": bencher,
    "pytest-benchmark": pytest_benchmark,
}
"""By the name of the format."""


def _measured(document: ResultDocument) -> dict[str, BenchmarkResult]:
    return by_title([result for result in document.results if isinstance(result, BenchmarkResult)])


def _pytest_entry(title: str, result: BenchmarkResult) -> dict[str, Any]:
    latency = result.latency_ms
    q1, q3 = _quartile(result, 25), float(latency.p75)
    figures = {
        "min": float(latency.min),
        "max": float(latency.max),
        "mean": float(latency.mean),
        "stddev": float(latency.std_dev or 0.0),
        "median": float(latency.median),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "ld15iqr": float(latency.min),
        "hd15iqr": float(latency.max),
        "total": float(latency.mean) * latency.count,
    }
    mean_s = float(latency.mean) / _MS_PER_S
    return {
        "group": result.component,
        "name": title,
        "fullname": f"slotzero::{title}",
        "params": None,
        "param": None,
        "extra_info": {
            **{shown: float(getattr(latency, metric)) / _MS_PER_S for metric, shown in _METRICS.items()},
            "success_rate_percent": float(result.throughput.success_rate_percent),
            **result.labels,
        },
        "options": {
            "disable_gc": False,
            "timer": "monotonic_ns",
            "min_rounds": int(result.samples),
            "max_time": 0.0,
            "min_time": 0.0,
            "warmup": int(result.warmup),
        },
        "stats": {
            **{name: value / _MS_PER_S for name, value in figures.items()},
            "rounds": int(latency.count),
            "iterations": 1,
            "iqr_outliers": 0,
            "stddev_outliers": 0,
            "outliers": "0;0",
            "ops": 1 / mean_s if mean_s > 0 and isfinite(1 / mean_s) else 0.0,
        },
    }


def _quartile(result: BenchmarkResult, percent: float) -> float:
    """Return a percentile in milliseconds that the figures do not name: from the samples, else the histogram."""
    if result.samples_ns:
        return nearest_rank(sorted(result.samples_ns), percent) / _NS_PER_MS
    histogram = Histogram.from_text(result.histogram)
    return histogram.percentile(percent) / _NS_PER_MS if histogram.count else float(result.latency_ms.min)


def _range(latency: LatencyStats, metric: str) -> str:
    interval = latency.intervals.get(metric)
    return "" if interval is None else f"{interval.low:.6g} .. {interval.high:.6g}"


def _where(environment: Passport, commit: str) -> str:
    said = [environment.cpu, environment.python, environment.event_loop, *([commit] if commit else [])]
    return ", ".join(said)


def _text(document: dict[str, Any] | Sequence[Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=2)
