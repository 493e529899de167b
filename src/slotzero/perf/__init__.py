"""The performance lab, for anyone's callable. It imports the spine alone."""

from slotzero.perf.arrivals import Closed, Constant, Poisson, Ramp, Replay, Spike, Step
from slotzero.perf.benchmark import BenchmarkService, benchmark_service
from slotzero.perf.load import LoadTestService, load_test_service
from slotzero.perf.load_types import LoadFailure, LoadOutcome, LoadProgress, LoadResult, LoadTestConfig
from slotzero.perf.thresholds import Threshold
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
    "Closed",
    "Constant",
    "LoadFailure",
    "LoadOutcome",
    "LoadProgress",
    "LoadResult",
    "LoadTestConfig",
    "LoadTestService",
    "Poisson",
    "Ramp",
    "Replay",
    "Spike",
    "Step",
    "Target",
    "Threshold",
    "Workload",
    "benchmark_service",
    "load_test_service",
    "workload",
]
