"""What the lab says: its units, its options, its results and its refusals, as records.

A benchmark ends in one of two ways, told apart by a tag: `BenchmarkResult`, or `BenchmarkFailure` with one of the
`BenchmarkError` records. Results are written to files as they stand here, so a field may be added, never renamed.
Every percentile is by nearest rank; an interval is two-sided with 95 % coverage and None where there are too few
samples for it; 100 % of CPU is one core; 1 MB is 10**6 bytes.
"""

import enum
import math
from typing import Final, Literal, NewType, TypeAlias, assert_never

from msgspec import Struct, field

from slotzero.perf.environment import NoiseCertificate
from slotzero.trace import Component
from slotzero.units import LatencyMs, as_latency_ms

__all__ = [
    "PERCENTILES",
    "BenchmarkError",
    "BenchmarkFailure",
    "BenchmarkFinished",
    "BenchmarkOptions",
    "BenchmarkOutcome",
    "BenchmarkResult",
    "CallableNotFound",
    "Check",
    "ChildStats",
    "Comparison",
    "Component",
    "CpuPercent",
    "GcStats",
    "HookFailed",
    "Interval",
    "LatencyMs",
    "LatencyStats",
    "LoopDelayStats",
    "MachineStats",
    "MemoryMB",
    "MixedSpans",
    "NoSuccess",
    "Profiler",
    "Progress",
    "ResourcePoint",
    "ResourceStats",
    "SampleCount",
    "SampleFailed",
    "SamplerCost",
    "SecondLook",
    "Severity",
    "StageStats",
    "Stuck",
    "SuccessRate",
    "Suggestion",
    "SurroundingsFailed",
    "Target",
    "TargetVerdict",
    "ThroughputOps",
    "ThroughputStats",
    "UnawaitedResult",
    "Verdict",
    "WorkerLost",
    "as_cpu_percent",
    "as_latency_ms",
    "as_memory_mb",
    "as_sample_count",
    "as_success_rate",
    "as_throughput_ops",
    "sentence",
]

ThroughputOps = NewType("ThroughputOps", float)
"""Operations in a second: finite and not negative."""
MemoryMB = NewType("MemoryMB", float)
"""Memory in units of 10**6 bytes: finite and not negative."""
CpuPercent = NewType("CpuPercent", float)
"""CPU time over wall time, 100 for one core kept busy: finite, not negative, above 100 with several cores."""
SuccessRate = NewType("SuccessRate", float)
"""The share of operations that succeeded, 0 to 100 percent."""
SampleCount = NewType("SampleCount", int)
"""How many samples: whole and not negative."""

PERCENTILES: Final[dict[str, float]] = {
    "median": 50,
    "p75": 75,
    "p90": 90,
    "p95": 95,
    "p99": 99,
    "p999": 99.9,
}
"""The percentiles of `LatencyStats`, by the name of their field."""


def _finite(value: float, name: str) -> float:
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be finite and not negative, got {value!r}")
    return float(value)


def as_throughput_ops(value: float) -> ThroughputOps:
    """Return `value` as operations in a second. Raises ValueError when it is negative, infinite or NaN."""
    return ThroughputOps(_finite(value, "a throughput"))


def as_memory_mb(value: float) -> MemoryMB:
    """Return `value` as megabytes (10**6 bytes). Raises ValueError when it is negative, infinite or NaN."""
    return MemoryMB(_finite(value, "an amount of memory"))


def as_cpu_percent(value: float) -> CpuPercent:
    """Return `value` as CPU percent of one core. Raises ValueError when it is negative, infinite or NaN."""
    return CpuPercent(_finite(value, "a CPU share"))


def as_success_rate(value: float) -> SuccessRate:
    """Return `value` as a success rate in percent. Raises ValueError outside 0 .. 100."""
    if not 0 <= value <= 100:  # noqa: PLR2004 percent; NaN fails too
        raise ValueError(f"a success rate is between 0 and 100 percent, got {value!r}")
    return SuccessRate(float(value))


def as_sample_count(value: int) -> SampleCount:
    """Return `value` as a number of samples. Raises ValueError when it is negative or no whole number."""
    if type(value) is not int or value < 0:
        raise ValueError(f"a number of samples is whole and not negative, got {value!r}")
    return SampleCount(value)


# What to measure --------------------------------------------------------------------------------------------------


class Target(Struct, frozen=True, kw_only=True):
    """What a benchmark is held against. The `p95_ms` must be met; the aim is what is worth reporting.

    Attributes:
        p95_ms: p95 must be at most this.
        aim_p95_ms: What we are after, or None.
        success_percent: The success rate must be above this, or None.
        ops_per_s: The throughput must be at least this, or None.
        peak_memory_mb: The measuring process must stay below this, or None; likewise its average CPU. Both are looked
            at only where resources are collected.
    """

    p95_ms: LatencyMs
    aim_p95_ms: LatencyMs | None = None
    success_percent: SuccessRate | None = None
    ops_per_s: ThroughputOps | None = None
    peak_memory_mb: MemoryMB | None = None
    avg_cpu_percent: CpuPercent | None = None


class BenchmarkOptions(Struct, frozen=True, kw_only=True):
    """How one callable is measured. Validated on construction (ValueError), since people write these by hand.

    Attributes:
        component: The component of the sniper it is, or None for any other callable.
        name: What to call it; the component's name when empty. One of the two must be given.
        warmup: Calls before the first counted one. They are kept in the result, and not counted.
        samples: Counted calls.
        timeout_ms: A sample that takes longer counts as failed by "timeout". An async callable is cancelled then, a
            sync one is interrupted when it runs in the main thread; the interruption comes up to a tenth of the
            timeout (at most a second) late.
        collect_resources: Whether a thread reads the kernel's accounting meanwhile; its own cost is published.
        resource_sample_interval_ms: How often that thread reads.
        fail_fast: Whether the first failed sample ends the benchmark with a `SampleFailed`.
        labels: Free text that travels with the result and the metrics.
        target: What the result is held against, or None.
        steady_state: Whether to go on warming up until the median stops moving, up to `max_warmup` calls.
        max_warmup: Where the search for a steady state is given up (and the result says so).
        shared: Whether other benchmarks may run in this process at the same time. When False, runs of one service
            wait for each other.
        trace_heap: Whether to trace the Python heap. It multiplies times (7x and more): not for latency figures.
    """

    component: Component | None = None
    name: str = ""
    warmup: int = 10
    samples: int = 100
    timeout_ms: int = 30_000
    collect_resources: bool = True
    resource_sample_interval_ms: int = 100
    fail_fast: bool = False
    labels: dict[str, str] = {}
    target: Target | None = None
    steady_state: bool = False
    max_warmup: int = 10_000
    shared: bool = False
    trace_heap: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if not self.name and self.component is None:
            raise ValueError("a benchmark needs a name or a component")
        for name, value, least in (
            ("warmup", self.warmup, 0),
            ("samples", self.samples, 1),
            ("timeout_ms", self.timeout_ms, 1),
            ("resource_sample_interval_ms", self.resource_sample_interval_ms, 1),
            ("max_warmup", self.max_warmup, 0),
        ):
            if type(value) is not int or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")

    @property
    def title(self) -> str:
        """Return what to call the benchmark."""
        return self.name or (self.component.value if self.component else "")


Profiler: TypeAlias = Literal["auto", "py-spy", "in-process", "none"]
"""Which sampler: "auto" is py-spy where it is permitted, and the one in this process otherwise."""


class SecondLook(Struct, frozen=True, kw_only=True):
    """A second pass over a benchmark, for a profile, its stages and suggestions; its times are not published.

    Attributes:
        samples: How many it takes.
        folder: Where its files go.
        relative_to: What their names in the result are relative to.
        targets_ns: What a stage should take at most, by its name.
        wants_memory: Whether to take some more samples for a memory profile.
    """

    samples: int
    folder: str
    relative_to: str
    profiler: Profiler = "auto"
    targets_ns: dict[str, int] = {}
    wants_memory: bool = False


# What came out ----------------------------------------------------------------------------------------------------


class Interval(Struct, frozen=True):
    """A two-sided 95 % confidence interval."""

    low: float
    high: float


class LatencyStats(Struct, frozen=True, kw_only=True):
    """A distribution of latencies.

    Attributes:
        std_dev: With n - 1; None for a single sample.
        intervals: Of each percentile by the name of its field; None where there are too few samples.
        exact: False when the figures come from a histogram (relative error at most 0.4 %).
    """

    count: SampleCount
    min: LatencyMs
    max: LatencyMs
    mean: LatencyMs
    median: LatencyMs
    p75: LatencyMs
    p90: LatencyMs
    p95: LatencyMs
    p99: LatencyMs
    p999: LatencyMs
    std_dev: LatencyMs | None
    intervals: dict[str, Interval | None] = {}
    exact: bool = True


class ThroughputStats(Struct, frozen=True, kw_only=True):
    """How many, how fast, how well.

    Attributes:
        total_ops: Samples that succeeded.
        ops_per_s: Successes in a second of timed time, failures' time included, setup and teardown left out.
        success_interval: Of the success rate (Wilson), in percent.
    """

    total_ops: SampleCount
    ops_per_s: ThroughputOps
    success_rate_percent: SuccessRate
    success_interval: Interval


class GcStats(Struct, frozen=True, kw_only=True):
    """The garbage collector's pauses while samples were taken.

    Attributes:
        by_generation: How many passes of each generation.
        samples_hit: Samples during which at least one pass ran.
    """

    pauses: int
    total_ms: LatencyMs
    max_ms: LatencyMs
    by_generation: tuple[int, int, int]
    samples_hit: int


class LoopDelayStats(Struct, frozen=True, kw_only=True):
    """How long the event loop let a ready callback wait, asked from outside once in each sampling interval."""

    probes: int
    p50_ms: LatencyMs
    p99_ms: LatencyMs
    max_ms: LatencyMs


class ChildStats(Struct, frozen=True, kw_only=True):
    """The descendants of the measured process, together.

    Attributes:
        peak_count: The most that were alive at once.
        cpu_s: What they used meanwhile, those that ended included (in the kernel's ticks of 10 ms).
    """

    peak_count: int
    peak_rss_mb: MemoryMB
    cpu_s: float


class MachineStats(Struct, frozen=True, kw_only=True):
    """The whole machine meanwhile, everybody on it included.

    Attributes:
        cpu_percent: Busy time of all cores (100 for one core).
        steal_percent: Time the hypervisor gave to others, of all cores' time (0 to 100).
        available_mb: Memory a new program could still have, at the end.
    """

    cores: int
    cpu_percent: CpuPercent
    steal_percent: float
    available_mb: MemoryMB


class SamplerCost(Struct, frozen=True, kw_only=True):
    """What the measuring of resources itself cost.

    Attributes:
        ticks: How often it read.
        cpu_us: Mean CPU time of one reading, as the kernel accounts for the thread.
        wall_us: Mean time from its first to its last read; above `cpu_us` when it waited for the interpreter.
        cpu_percent: Its share of one core; it is part of the process's own figures.
    """

    interval_ms: int
    ticks: int
    cpu_us: float
    wall_us: float
    cpu_percent: CpuPercent


class ResourcePoint(Struct, frozen=True, kw_only=True):
    """The process at one instant: since the first counted sample, and over the sampling interval that ended then."""

    at_ms: float
    rss_mb: MemoryMB
    cpu_percent: CpuPercent


class ResourceStats(Struct, frozen=True, kw_only=True):
    """What the measured process used between the first and the last counted sample, from the kernel's accounting.

    Attributes:
        rss_growth_mb: RSS at the end less RSS at the start.
        pss_mb: Proportional set size at the end (shared pages divided among their users), or None.
        python_heap_mb: The traced heap's peak; None unless it was asked for.
        heap_blocks_growth: Blocks the interpreter holds at the end less those at the start: steady growth is a leak.
        peak_cpu_percent: The busiest sampling interval.
        switches_voluntary: Context switches because the process waited; involuntary: because others ran.
        peak_fds: The most open file descriptors seen, or None.
        loop_delay: None for a callable that never gives the loop up (a sync one).
        source: "proc" (Linux) or "rusage" (elsewhere: the process alone).
        timeline: Memory and CPU over time, at most 1,000 points.
    """

    peak_rss_mb: MemoryMB
    rss_growth_mb: float
    pss_mb: MemoryMB | None
    python_heap_mb: MemoryMB | None
    heap_blocks_growth: int
    avg_cpu_percent: CpuPercent
    peak_cpu_percent: CpuPercent
    cpu_user_s: float
    cpu_system_s: float
    switches_voluntary: int
    switches_involuntary: int
    peak_fds: int | None
    peak_threads: int | None
    gc: GcStats
    loop_delay: LoopDelayStats | None
    children: ChildStats | None
    machine: MachineStats | None
    sampler: SamplerCost
    source: Literal["proc", "rusage"]
    timeline: tuple[ResourcePoint, ...] = ()


class Check(Struct, frozen=True, kw_only=True):
    """One limit and what was measured against it."""

    name: str
    limit: float
    value: float
    met: bool


class TargetVerdict(Struct, frozen=True, kw_only=True):
    """Whether the target was met.

    Attributes:
        p95_ms: The limit.
        met: By the measured p95.
        confident: By the upper bound of p95's interval; None where there are too few samples for one.
        margin_percent: How far p95 stays under the limit, in percent of the limit; negative when it is missed.
        checks: p95, and what else the target asks for (success rate, throughput).
        passed: Whether all checks are met.
    """

    p95_ms: LatencyMs
    met: bool
    confident: bool | None
    margin_percent: float
    checks: tuple[Check, ...]
    passed: bool
    aim_p95_ms: LatencyMs | None = None
    aim_met: bool | None = None
    aim_margin_percent: float | None = None


class StageStats(Struct, frozen=True, kw_only=True):
    """One stage of a benchmark's samples, from the second look (`bench --profile`).

    Attributes:
        start_ms: When it began, from the sample's start, in the median.
        critical_percent: Its share of what held up the samples' ends.
        target_ms: What it should take at most, or None.
    """

    name: str
    is_own: bool
    count: int
    start_ms: LatencyMs
    p50_ms: LatencyMs
    p95_ms: LatencyMs
    critical_percent: float
    target_ms: LatencyMs | None = None


class BenchmarkResult(Struct, frozen=True, kw_only=True, tag_field="outcome", tag="measured"):
    """One finished benchmark.

    Attributes:
        component: The component's name, or None for a callable that is none of the sniper's.
        samples: Counted calls made, failed ones included.
        warmup: Calls made before them.
        steady: Whether a steady state was reached; None when it was not asked for.
        errors: Failed samples by kind.
        error_examples: The first text of each kind.
        latency_ms: Of successes and timeouts. A timeout counts at the time it was given up, as a lower bound: leaving
            it out would make the tail look better the more samples hang. Other failures are left out.
        own_ms: Our CPU time of each sample, where the callable returned a trace that tells it apart.
        waited_ms: Network, disk and slot time, likewise.
        starts_at: Where the clock started: at the call, or where the trace says ("mixed" when samples differ).
        sharing: "alone" in its process, "shared" with the benchmarks named in `shared_with`, or in a "process" of
            its own.
        stopped: Whether it was stopped before all samples were taken.
        notes: Sentences a reader of the figures should know.
        histogram: The distribution as `Histogram.to_text` writes it.
        warmup_ns: The warm-up's durations in the order of the calls (the first 1,000).
        samples_ns: The counted durations in the order of the calls, where there are at most 10,000.
        stages: Of the second look, where there was one, in the order in which they begin.
        suggestions: What that look found to change, the most rewarding first.
        files: What it has written, by kind ("flame", "speedscope", "stacks", "trace"): names beside the result file.
    """

    component: str | None
    name: str
    samples: SampleCount
    warmup: SampleCount
    latency_ms: LatencyStats
    throughput: ThroughputStats
    histogram: str
    labels: dict[str, str] = {}
    steady: bool | None = None
    errors: dict[str, int] = {}
    error_examples: dict[str, str] = {}
    own_ms: LatencyStats | None = None
    waited_ms: LatencyStats | None = None
    resources: ResourceStats | None = None
    target: TargetVerdict | None = None
    starts_at: Literal["call", "chain", "frame", "mixed"] = "call"
    sharing: Literal["alone", "shared", "process"] = "alone"
    shared_with: tuple[str, ...] = ()
    event_loop: str = ""
    stopped: bool = False
    noise: NoiseCertificate | None = None
    notes: tuple[str, ...] = ()
    warmup_ns: tuple[int, ...] = ()
    samples_ns: tuple[int, ...] | None = None
    stages: tuple[StageStats, ...] = ()
    suggestions: "tuple[Suggestion, ...]" = ()
    files: dict[str, str] = {}


class UnawaitedResult(Struct, frozen=True, kw_only=True, tag="unawaited_result"):
    """The callable returned something that has yet to be run, so only its creation was timed."""

    returned: str


class SampleFailed(Struct, frozen=True, kw_only=True, tag="sample_failed"):
    """A sample failed and `fail_fast` was set. `sample` counts from 1 in its phase."""

    phase: Literal["warmup", "measure"]
    sample: int
    kind: str
    message: str


class HookFailed(Struct, frozen=True, kw_only=True, tag="hook_failed"):
    """The setup, teardown or check around a sample raised."""

    hook: Literal["setup", "teardown", "check"]
    kind: str
    message: str


class NoSuccess(Struct, frozen=True, kw_only=True, tag="no_success"):
    """Not one sample succeeded, so there is nothing to report a latency of."""

    errors: dict[str, int]
    message: str


class MixedSpans(Struct, frozen=True, kw_only=True, tag="mixed_spans"):
    """Some samples returned a trace and others did not: two definitions of latency in one distribution."""

    with_span: int
    without_span: int


class Stuck(Struct, frozen=True, kw_only=True, tag="stuck"):
    """A sample could be neither cancelled nor interrupted, so its process was ended (isolated benchmarks only)."""

    sample: int
    timeout_ms: int


class WorkerLost(Struct, frozen=True, kw_only=True, tag="worker_lost"):
    """The process of an isolated benchmark ended without a result."""

    exit_code: int | None
    output: str


class CallableNotFound(Struct, frozen=True, kw_only=True, tag="callable_not_found"):
    """The process of an isolated benchmark could not load `module:callable`."""

    reference: str
    message: str


class SurroundingsFailed(Struct, frozen=True, kw_only=True, tag="surroundings_failed"):
    """What a workload builds around its samples could not be built (isolated benchmarks only)."""

    reference: str
    kind: str
    message: str


BenchmarkError: TypeAlias = (
    UnawaitedResult
    | SampleFailed
    | HookFailed
    | NoSuccess
    | MixedSpans
    | Stuck
    | WorkerLost
    | CallableNotFound
    | SurroundingsFailed
)


class BenchmarkFailure(Struct, frozen=True, kw_only=True, tag_field="outcome", tag="failed"):
    """A benchmark without a result, and why."""

    component: str | None
    name: str
    error: BenchmarkError
    labels: dict[str, str] = {}

    def __str__(self) -> str:
        """Return one sentence for a person."""
        return f"{self.name}: {sentence(self.error)}"


BenchmarkOutcome: TypeAlias = BenchmarkResult | BenchmarkFailure


class Progress(Struct, frozen=True, kw_only=True):
    """How far a benchmark is: `made` calls of `of` in its phase."""

    name: str
    phase: Literal["warmup", "measure"]
    made: int
    of: int


class BenchmarkFinished(Struct, frozen=True, kw_only=True):
    """What the hook of `BenchmarkService` is handed once for each benchmark: all a metrics back end needs."""

    name: str
    component: str | None
    labels: dict[str, str]
    outcome: BenchmarkOutcome
    wall_s: float


def sentence(error: BenchmarkError) -> str:
    """Return what went wrong and what to do, for a person. *Pure.*"""
    match error:
        case UnawaitedResult(returned=returned):
            return (
                f"the callable returned {returned} that nobody runs, so only its creation would be timed; "
                "pass an `async def` function instead of one that returns what it would await"
            )
        case SampleFailed(phase=phase, sample=sample, kind=kind, message=message):
            return f"{phase} sample {sample} failed with {kind}: {message}"
        case HookFailed(hook=hook, kind=kind, message=message):
            return f"the {hook} around a sample failed with {kind}: {message}"
        case NoSuccess(errors=errors, message=message):
            counts = ", ".join(f"{count} x {kind}" for kind, count in sorted(errors.items()))
            return f"no sample succeeded ({counts}); the first said: {message}"
        case MixedSpans(with_span=some, without_span=others):
            return f"{some} samples returned a trace and {others} did not; return one from each call or from none"
        case Stuck(sample=sample, timeout_ms=timeout_ms):
            return f"sample {sample} ran over its {timeout_ms} ms and could not be interrupted; its process was ended"
        case WorkerLost(exit_code=exit_code, output=output):
            return f"its process ended with exit code {exit_code} and no result; it last wrote: {output or 'nothing'}"
        case CallableNotFound(message=message):
            return message
        case SurroundingsFailed(reference=reference, kind=kind, message=message):
            return f"what {reference} needs could not be set up, {kind}: {message}"
        case _:
            assert_never(error)


# Comparing and advising: the shapes; the engines come with `compare` and `suggest` -----------------------------------


class Verdict(enum.Enum):
    """What a comparison says of one percentile."""

    REGRESSED = "REGRESSED"
    SUSPECT = "SUSPECT"
    IMPROVED = "IMPROVED"
    EQUIVALENT = "EQUIVALENT"
    INCONCLUSIVE = "INCONCLUSIVE"


class Comparison(Struct, frozen=True, kw_only=True):
    """One percentile of one benchmark, new against base. Effects are changes in percent, positive for slower.

    Attributes:
        metric: A field of `LatencyStats` ("median", "p95").
        floor_percent: The smallest effect that counts.
        p_value: After the correction for the family of comparisons it belongs to.
        launches: Pairs of process launches it rests on.
        launches_needed: How many would decide it, when it is inconclusive.
        detectable_percent: The smallest shift this run could have seen, with a chance of 80 %.
        confirmed: Whether an independent repeat came to the same alarm; None when there was none.
        repeat_effect_percent: What the repeat measured.
        note: What a reader should know of this line, or "".
    """

    name: str
    component: str | None
    metric: str
    verdict: Verdict
    effect_percent: float
    interval: Interval | None
    floor_percent: float
    p_value: float | None
    launches: int
    launches_needed: int | None = None
    detectable_percent: float | None = None
    confirmed: bool | None = None
    repeat_effect_percent: float | None = None
    note: str = ""


class Severity(enum.Enum):
    """How much a suggestion matters."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class Suggestion(Struct, frozen=True, kw_only=True):
    """What to change, the evidence for it, and what it would bring.

    Attributes:
        rule: The rule that found it, as a short name.
        evidence: Figures of the result it rests on, by name.
        subject: What it is about: a stage, a method, an endpoint, a function; empty for the whole.
        p95_ms: p95 of the samples it was worked out on.
        impact_p95_ms: p95 as it would become, by replaying the recorded stage times; None where that does not apply.
        impact_mb_per_h: Memory that would no longer be lost in an hour, at the rate of calls measured; likewise.
        assumes: What the estimate takes for granted, in a sentence.
    """

    rule: str
    severity: Severity
    title: str
    advice: str
    evidence: dict[str, float] = field(default_factory=dict)
    subject: str = ""
    p95_ms: LatencyMs | None = None
    impact_p95_ms: LatencyMs | None = None
    impact_mb_per_h: float | None = None
    assumes: str = ""
