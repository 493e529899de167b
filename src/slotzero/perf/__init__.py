"""The performance lab, for anyone's callable. It imports the spine alone."""

from slotzero.perf.benchmark import BenchmarkService, benchmark_service
from slotzero.perf.types import (
    BenchmarkFailure,
    BenchmarkFinished,
    BenchmarkOptions,
    BenchmarkOutcome,
    BenchmarkResult,
    Target,
)
from slotzero.perf.workload import Workload, workload

__all__ = [
    "BenchmarkFailure",
    "BenchmarkFinished",
    "BenchmarkOptions",
    "BenchmarkOutcome",
    "BenchmarkResult",
    "BenchmarkService",
    "Target",
    "Workload",
    "benchmark_service",
    "workload",
]
