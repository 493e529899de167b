"""What a load run is asked and what it says, as records.

Three clocks stand behind every operation: when the plan *intended* it to begin, when it *started*, when it
*finished*. Lateness is intended to started, service time is started to finished, response time is intended to
finished. The headline `latency_ms` is the response time of an open plan and the service time of a closed one, which
has no intended instants; `model` says which, and the two are never mixed.

Results are written to files as they stand here, so a field may be added, never renamed. Percentiles are by nearest
rank out of histograms (0.4 % at most from the value measured); 100 % of CPU is one core; 1 MB is 10**6 bytes.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias, assert_never

from msgspec import Struct

from slotzero.perf.arrivals import ArrivalPlan, Closed, Constant, OpenPlan, ramped
from slotzero.perf.classify import ErrorClass, Fault
from slotzero.perf.thresholds import Threshold, ThresholdResult
from slotzero.perf.types import (
    CallableNotFound,
    HookFailed,
    Interval,
    LatencyStats,
    ResourceStats,
    UnawaitedResult,
    sentence,
)

__all__ = [
    "ERROR_CLASSES",
    "ClockCheck",
    "ClusterFailed",
    "ErrorDetail",
    "GeneratorHealth",
    "Incident",
    "LoadError",
    "LoadFailure",
    "LoadOutcome",
    "LoadProgress",
    "LoadResult",
    "LoadTestConfig",
    "NotAsync",
    "Probe",
    "ProcessStats",
    "ResultClassifier",
    "ShardReport",
    "Verdict",
    "Window",
    "load_sentence",
]

ERROR_CLASSES: Final = tuple(kind.value for kind in ErrorClass)
DEFAULT_MAX_IN_FLIGHT: Final = 10_000
"""An open plan without a bound destroys the target and then the generator."""

Verdict: TypeAlias = Literal["ok", "generator_limited", "chain_limited", "degraded"]
"""What the figures are worth. Only "ok" can pass: the others say what else than the target was measured."""

Probe: TypeAlias = Callable[[], Mapping[str, float]]
"""Further figures of the system under test, asked once a window; finite numbers. "chain_queue_p99_ms" is the chain's
receive-to-execute queue over the run so far; the verdict looks at the last one."""
ResultClassifier: TypeAlias = Callable[[object], Fault | None]
"""Looks at what an operation returned: None when it is a success, else the failure it is."""


class LoadTestConfig(Struct, frozen=True, kw_only=True):
    """What load to put on a callable. Validated on construction (ValueError), since people write these by hand.

    Attributes:
        scenario: What to call it.
        concurrency: Users of a closed plan (1 when None); for an open plan the most operations in flight.
        duration: Seconds in which operations begin.
        ramp_up: Seconds over which users begin one after another, or the rate rises from 0.
        target_ops: Operations a second to begin, at instants planned beforehand: an open plan of constant rate.
        arrivals: Any other plan, instead of the two above.
        max_in_flight: The most operations at once of an open plan; `concurrency`, else 10,000, when None.
        when_full: What becomes of an arrival then: "queue" lets it wait (and its response time tells), "drop" counts it
            as missed.
        max_queue: Arrivals that may wait; further ones are missed.
        catch_up_s: Arrivals later than this are missed instead of started, so that a generator that was stopped does
            not fire its backlog at once. None starts all of them, late, and says so.
        rate_limit: The most starts a second over all users of a closed plan, evenly spaced; None for no limit.
        timeout_s: Operations that take longer are cancelled and count as timeouts; None for no limit.
        graceful_stop_s: How long operations in flight may go on at the end. What is cancelled then was interrupted:
            it is neither a success nor an error.
        window_s: The length of the timeline's windows. Beyond 8,640 of them neighbours are merged, the oldest first, so
            that memory stays constant.
        thresholds: What the result is held against.
        freeze_gc: Whether objects that exist at the start are taken out of the garbage collector's sight: a full
            pass over a million of them holds everything up for 160 ms.
        processes: Ids of other processes to watch, by name. "chain" is the one `chain_limited` is judged by.
        stop_when_lost: Whether the run ends early when one of those ends.
        labels: Free text that travels with the result.
    """

    scenario: str
    concurrency: int | None = None
    duration: float = 30.0
    ramp_up: float = 0.0
    target_ops: float | None = None
    arrivals: ArrivalPlan | None = None
    max_in_flight: int | None = None
    when_full: Literal["queue", "drop"] = "queue"
    max_queue: int = 100_000
    catch_up_s: float | None = None
    rate_limit: float | None = None
    timeout_s: float | None = 30.0
    graceful_stop_s: float = 30.0
    window_s: float = 1.0
    thresholds: tuple[Threshold, ...] = ()
    freeze_gc: bool = True
    processes: dict[str, int] = {}
    stop_when_lost: bool = True
    labels: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        self._check_numbers()
        self._check_words()
        self._check_plan()
        self._check_thresholds()

    def _check_numbers(self) -> None:
        for name, value in (("duration", self.duration), ("window_s", self.window_s)):
            if not _is_finite(value) or value <= 0:
                raise ValueError(f"{name} is a span in seconds above 0, got {value!r}")
        for name, optional in (
            ("target_ops", self.target_ops),
            ("rate_limit", self.rate_limit),
            ("timeout_s", self.timeout_s),
            ("catch_up_s", self.catch_up_s),
        ):
            if optional is not None and (not _is_finite(optional) or optional <= 0):
                raise ValueError(f"{name} is above 0 or None, got {optional!r}")
        for name, count in (("concurrency", self.concurrency), ("max_in_flight", self.max_in_flight)):
            if count is not None and (type(count) is not int or count < 1):
                raise ValueError(f"{name} is a whole number of at least 1 or None, got {count!r}")
        if not _is_finite(self.ramp_up) or not 0 <= self.ramp_up <= self.duration:
            raise ValueError(f"ramp_up is 0 to the duration of {self.duration} s, got {self.ramp_up!r}")
        if not _is_finite(self.graceful_stop_s) or self.graceful_stop_s < 0:
            raise ValueError(f"graceful_stop_s is finite and not negative, got {self.graceful_stop_s!r}")
        if type(self.max_queue) is not int or self.max_queue < 0:
            raise ValueError(f"max_queue is a whole number and not negative, got {self.max_queue!r}")

    def _check_words(self) -> None:
        if not _is_text(self.scenario):
            raise ValueError(f"scenario is a text, got {self.scenario!r}")
        if self.when_full not in {"queue", "drop"}:
            raise ValueError(f'when_full is "queue" or "drop", got {self.when_full!r}')
        for name, text in self.labels.items():
            if not _is_text(name) or not _is_text(text):
                raise ValueError(f"labels are texts by name, got {text!r} for {name!r}")

    def _check_plan(self) -> None:
        if self.arrivals is not None and self.target_ops is not None:
            raise ValueError("give either arrivals or target_ops, not both")
        if isinstance(self.arrivals, Closed) and self.concurrency not in {None, self.arrivals.users}:
            raise ValueError("a closed plan says how many users there are: leave concurrency out")
        if not isinstance(self.plan, Closed) and self.rate_limit is not None:
            raise ValueError("an open plan has its rate in the plan: rate_limit is for closed ones")
        if self.ramp_up and self.arrivals is not None and not isinstance(self.arrivals, Closed | Constant):
            raise ValueError("ramp_up is for closed plans and constant rates; other plans have a shape of their own")

    def _check_thresholds(self) -> None:
        for threshold in self.thresholds:
            if type(threshold) is not Threshold:
                raise ValueError(f"thresholds are Threshold records (see parse_threshold), got {threshold!r}")
            if self.model == "open" and threshold.scope == "window" and threshold.metric.startswith("service_"):
                raise ValueError(
                    f"{threshold.name} cannot be judged: windows of an open plan hold response times only; "
                    f"limit {threshold.metric.removeprefix('service_')} there, or {threshold.metric} over the whole run"
                )

    @property
    def plan(self) -> ArrivalPlan:
        """Return the arrivals as one plan, ramp-up included for open ones."""
        plan = self.arrivals
        if plan is None:
            if self.target_ops is None:
                return Closed(users=self.concurrency or 1)
            plan = Constant(rate_per_s=self.target_ops)
        return ramped(plan, self.ramp_up) if isinstance(plan, Constant) else plan

    @property
    def open_plan(self) -> OpenPlan | None:
        """Return the plan when it is an open one."""
        plan = self.plan
        return None if isinstance(plan, Closed) else plan

    @property
    def model(self) -> Literal["closed", "open"]:
        """Return which of the two models it is."""
        return "closed" if isinstance(self.plan, Closed) else "open"

    @property
    def most_in_flight(self) -> int:
        """Return how many operations there are at once, at the most."""
        plan = self.plan
        if isinstance(plan, Closed):
            return plan.users
        return self.max_in_flight or self.concurrency or DEFAULT_MAX_IN_FLIGHT


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


# While it runs ------------------------------------------------------------------------------------------------------


class LoadProgress(Struct, frozen=True, kw_only=True):
    """How a run is doing, once a window. Rate, p95 and errors are those of the window just ended."""

    elapsed_s: float
    duration_s: float
    ops_per_s: float
    p95_ms: float | None
    errors: int
    in_flight: int
    total_ops: int
    total_errors: int
    missed_starts: int
    shards: int = 1


# What came out ------------------------------------------------------------------------------------------------------


class Window(Struct, frozen=True, kw_only=True):
    """A stretch of the timeline. Operations belong to the window they finished in.

    Attributes:
        at_s: When it began, in seconds since the start, and `span_s` how long it was in fact.
        ops: Successes; `errors` failures.
        started: Operations begun, and `missed` arrivals that were not.
        in_flight: Operations under way at its end.
        p50_ms: And further percentiles of the headline latency; None without a success.
        lateness_p99_ms: Of an open plan's starts.
        cpu_percent: The driver's.
        rss_mb: The driver's.
        extra: "cpu_percent:NAME", "rss_mb:NAME" of watched processes and what the probe said as "probe:NAME".
        histogram: The headline latency, as `Histogram.to_bytes` writes it; None without a success.
    """

    at_s: float
    span_s: float
    ops: int
    errors: int
    started: int
    missed: int
    in_flight: int
    ops_per_s: float
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    lateness_p99_ms: float | None = None
    cpu_percent: float | None = None
    rss_mb: float | None = None
    extra: dict[str, float] = {}
    histogram: bytes | None = None


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """One kind of failure and how often it came.

    Attributes:
        code: The sub-code; see `classify`.
        example: The first one's text.
    """

    kind: str
    code: str
    origin: str
    count: int
    example: str


class Incident(Struct, frozen=True, kw_only=True):
    """Something that happened to the run itself."""

    at_s: float
    what: str


class ProcessStats(Struct, frozen=True, kw_only=True):
    """What a watched process used during the run.

    Attributes:
        avg_cpu_percent: From the plan's start to its end; the other figures are of the whole run.
        ended_at_s: When it was found gone, or None while it lives.
    """

    pid: int
    avg_cpu_percent: float
    peak_cpu_percent: float
    peak_rss_mb: float
    rss_growth_mb: float
    peak_fds: int | None
    ended_at_s: float | None = None


class GeneratorHealth(Struct, frozen=True, kw_only=True):
    """Whether the generator did what it was asked, and what else than the target was measured if not.

    Attributes:
        verdict: What the figures are worth.
        reasons: One sentence for each thing that speaks against them.
        lateness_ms: From the intended to the real start of an open plan's operations; None for a closed plan.
        dispatch_ms: Its part that is the generator's own: until the arrival was handled, without any wait for a place
            in flight.
        cpu_percent: Of the driving process, from the plan's start to its end.
        loop_delay_p50_ms: How long the loop let a ready callback wait, and the 99th percentile.
        gc_pauses: Passes of the garbage collector, their longest and their sum.
        planned: Arrivals the plan held until the run ended (None for a closed plan), and how many were started.
        dropped: Missed because no place was free; `late` because they were beyond `catch_up_s`; `unstarted` because
            the run ended while they waited.
        steal_percent: Time the hypervisor gave to others.
        pacer: What woke it.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    lateness_ms: LatencyStats | None
    cpu_percent: float
    dispatch_ms: LatencyStats | None = None
    loop_delay_p50_ms: float | None = None
    loop_delay_p99_ms: float | None = None
    gc_pauses: int = 0
    gc_max_ms: float = 0.0
    gc_total_ms: float = 0.0
    planned: int | None = None
    started: int = 0
    dropped: int = 0
    late: int = 0
    unstarted: int = 0
    peak_fds: int | None = None
    steal_percent: float | None = None
    pacer: str | None = None


class ClockCheck(Struct, frozen=True, kw_only=True):
    """How a shard's clock stands to the coordinator's.

    Attributes:
        offset_ms: The shard's wall clock less ours.
        uncertainty_ms: Half of the quickest round trip: the offset is known no better.
        same_machine: Whether both read one monotonic clock; then the start needs no offset.
    """

    offset_ms: float
    uncertainty_ms: float
    same_machine: bool


class ShardReport(Struct, frozen=True, kw_only=True):
    """One shard of a distributed run.

    Attributes:
        state: "finished", or "lost" when nothing was heard of it any more, "failed" when it ended with an error.
        lost_at_s: When that was noticed, in seconds since the start.
        snapshots: How many it sent, and `last_snapshot_s` when the last one was made: figures end there.
        start_skew_ms: How long after the common instant its first operation began.
    """

    shard: int
    worker: str
    state: Literal["finished", "lost", "failed"]
    total_ops: int
    errors: int
    missed_starts: int
    snapshots: int
    last_snapshot_s: float
    clock: ClockCheck
    start_skew_ms: float | None = None
    lost_at_s: float | None = None
    why: str = ""


class LoadResult(Struct, frozen=True, kw_only=True, tag_field="outcome", tag="measured"):
    """One finished load run.

    Attributes:
        model: "open" figures are response times from intended starts, "closed" ones are service times.
        concurrency: Users, or the most operations in flight that an open plan was allowed.
        duration_s: How long operations were begun, `drain_s` how long the rest took to end.
        total_ops: Operations that ended: successes and failures. `interrupted` ones, cancelled by the run's own end,
            are in neither.
        latency_ms: The headline, of successes; None without one.
        response_ms: From the intended start; None for a closed plan.
        error_ms: How long failures took, timeouts at the time they were given up.
        achieved_ops_per_s: Successes that ended before the run's end, in a second of it.
        offered_ops_per_s: Starts in a second.
        passed: Whether the run was completed, its verdict is "ok" and all thresholds are met.
        errors: Failures by class; `error_details` by sub-code and origin.
        stopped: "completed", "interrupted" by somebody, "aborted" by a threshold or a lost process (see `incidents`).
        histogram: The headline as `Histogram.to_text` writes it; `service_histogram` of the service time.
        resources: Of the driver and of each watched process, by name.
        driver: The driver's in full, its average CPU of the plan's time; None for a distributed run, where `shards`
            has them.
        extra: Further figures of what was loaded, in named blocks, from whoever knows it.
        needed_in_flight: Rate times p95 (Little's law): places in flight the offered rate took.
    """

    scenario: str
    model: Literal["closed", "open"]
    concurrency: int
    duration_s: float
    drain_s: float
    total_ops: int
    success_rate_percent: float
    success_interval: Interval | None
    latency_ms: LatencyStats | None
    service_ms: LatencyStats | None
    response_ms: LatencyStats | None
    error_ms: LatencyStats | None
    achieved_ops_per_s: float
    offered_ops_per_s: float
    errors: dict[str, int]
    error_details: tuple[ErrorDetail, ...]
    interrupted: int
    peak_in_flight: int
    missed_starts: int
    needed_in_flight: float | None
    resources: dict[str, ProcessStats]
    thresholds: tuple[ThresholdResult, ...]
    generator: GeneratorHealth
    passed: bool
    timeline: tuple[Window, ...]
    histogram: str | None = None
    service_histogram: str | None = None
    driver: ResourceStats | None = None
    stopped: Literal["completed", "interrupted", "aborted"] = "completed"
    incidents: tuple[Incident, ...] = ()
    shards: tuple[ShardReport, ...] = ()
    event_loop: str = ""
    labels: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    extra: dict[str, dict[str, float | None]] = {}


class ClusterFailed(Struct, frozen=True, kw_only=True, tag="cluster_failed"):
    """A distributed run could not begin."""

    message: str


class NotAsync(Struct, frozen=True, kw_only=True, tag="not_async"):
    """The callable is not async: it returned a value of the type named instead of something to await."""

    returned: str


LoadError: TypeAlias = NotAsync | UnawaitedResult | HookFailed | CallableNotFound | ClusterFailed


class LoadFailure(Struct, frozen=True, kw_only=True, tag_field="outcome", tag="failed"):
    """A load run without a result, and why."""

    scenario: str
    error: LoadError
    labels: dict[str, str] = {}

    def __str__(self) -> str:
        """Return one sentence for a person."""
        return f"{self.scenario}: {load_sentence(self.error)}"


LoadOutcome: TypeAlias = LoadResult | LoadFailure


def load_sentence(error: LoadError) -> str:
    """Return what went wrong and what to do, for a person. *Pure.*"""
    match error:
        case ClusterFailed(message=message):
            return message
        case NotAsync(returned=returned):
            return (
                f"the callable returned {returned} instead of something to await; pass an `async def` function "
                "(a blocking call would hold up all operations: run it with `asyncio.to_thread`)"
            )
        case UnawaitedResult() | HookFailed() | CallableNotFound():
            return sentence(error)
        case _:
            assert_never(error)
