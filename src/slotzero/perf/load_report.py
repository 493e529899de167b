"""From what a run left behind to its result. *Pure.*"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from slotzero.perf.histogram import Histogram
from slotzero.perf.load_tape import Sums, latency_stats
from slotzero.perf.load_types import (
    ErrorDetail,
    GeneratorHealth,
    Incident,
    LoadResult,
    LoadTestConfig,
    ProcessStats,
    ShardReport,
    Verdict,
    Window,
)
from slotzero.perf.stats import wilson
from slotzero.perf.thresholds import Figures, ThresholdWatch
from slotzero.perf.types import Interval, ResourceStats

__all__ = ["Measured", "load_result", "run_figures"]

_NS_PER_MS: Final = 1e6
_BY_NAME: Final = {"p50_ms": 50, "p75_ms": 75, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99, "p999_ms": 99.9}


class Measured(Struct, frozen=True, kw_only=True):
    """Everything a run left behind.

    Attributes:
        in_plan: Successes when the plan ended, and `begun_in_plan` operations begun by then.
        begun: Operations begun in all.
        planned: Arrivals of an open plan, None for a closed one.
        verdict: With its reasons.
        driver: Of the driving process; None when there are several.
        processes: By name: the driver and those watched, or nothing but the shards.
    """

    config: LoadTestConfig
    sums: Sums
    by_class: dict[str, int]
    details: tuple[ErrorDetail, ...]
    interrupted: int
    in_plan: int
    begun_in_plan: int
    begun: int
    dropped: int
    late: int
    unstarted: int
    planned: int | None
    peak_in_flight: int
    duration_s: float
    drain_s: float
    verdict: tuple[Verdict, tuple[str, ...]]
    driver: ResourceStats | None
    processes: dict[str, ProcessStats]
    thresholds: ThresholdWatch
    timeline: tuple[Window, ...]
    stopped: Literal["completed", "interrupted", "aborted"]
    incidents: tuple[Incident, ...]
    pacer: str | None
    event_loop: str
    shards: tuple[ShardReport, ...] = ()
    health: GeneratorHealth | None = None


def load_result(found: Measured) -> LoadResult:
    """Return the result of a run. *Pure.*"""
    config, sums = found.config, found.sums
    is_open = config.model == "open"
    headline = sums.response if is_open else sums.service
    succeeded, failed = sums.service.count, sum(found.by_class.values())
    total, missed = succeeded + failed, found.dropped + found.late + found.unstarted
    span_s = max(found.duration_s, 1e-9)
    processes = found.processes
    extra = {f"{name}:{process}": value for process, stats in processes.items() for name, value in _of(stats).items()}
    extra |= _drivers(found)
    figures = run_figures(
        headline=headline,
        service=sums.service,
        ops=succeeded,
        errors=failed,
        by_class=found.by_class,
        span_s=span_s,
        missed=missed,
        extra=extra,
        in_plan=found.in_plan,
    )
    thresholds = found.thresholds.results(figures, total)
    health = found.health or _health(found)
    share = wilson(succeeded, total) if total else None
    p95 = figures.get("p95_ms")
    return LoadResult(
        scenario=config.scenario,
        model=config.model,
        concurrency=config.most_in_flight,
        duration_s=round(found.duration_s, 6),
        drain_s=round(found.drain_s, 6),
        total_ops=total,
        success_rate_percent=round(100 * succeeded / total, 4) if total else 0.0,
        success_interval=None if share is None else Interval(100 * share[0], 100 * share[1]),
        latency_ms=latency_stats(headline),
        service_ms=latency_stats(sums.service),
        response_ms=latency_stats(sums.response),
        error_ms=latency_stats(sums.error),
        achieved_ops_per_s=round(found.in_plan / span_s, 3),
        offered_ops_per_s=round(found.begun_in_plan / span_s, 3),
        errors=found.by_class,
        error_details=found.details,
        interrupted=found.interrupted,
        peak_in_flight=found.peak_in_flight,
        missed_starts=missed,
        needed_in_flight=None if p95 is None else round(found.begun_in_plan / span_s * p95 / 1_000, 2),
        resources=processes,
        thresholds=thresholds,
        generator=health,
        passed=(
            succeeded > 0  # a run without a success has shown nothing
            and health.verdict == "ok"
            and all(result.met for result in thresholds)
            and found.stopped == "completed"
        ),
        timeline=found.timeline,
        histogram=headline.to_text() if headline.count else None,
        service_histogram=sums.service.to_text() if is_open and sums.service.count else None,
        driver=found.driver,
        stopped=found.stopped,
        incidents=found.incidents,
        shards=found.shards,
        event_loop=found.event_loop,
        labels=config.labels,
        notes=_notes(found),
    )


def run_figures(
    *,
    headline: Histogram,
    service: Histogram | None,
    ops: int,
    errors: int,
    by_class: Mapping[str, int],
    span_s: float,
    missed: int,
    extra: Mapping[str, float],
    in_plan: int | None = None,
) -> Figures:
    """Return the figures thresholds are judged by. *Pure.* What there is no data for is left out."""
    total = ops + errors
    found: dict[str, float] = {
        **extra,
        **{f"errors.{name}": number for name, number in by_class.items()},
        "errors": errors,
        "missed_starts": missed,
        "total_ops": total,
        "ops_per_s": (ops if in_plan is None else in_plan) / span_s,
    }
    if total:
        found["success_percent"] = 100 * ops / total
        found["error_percent"] = 100 * errors / total
    for prefix, histogram in (("", headline), ("service_", service)):
        if histogram is not None and histogram.count:
            found |= {f"{prefix}{name}": histogram.percentile(at) / _NS_PER_MS for name, at in _BY_NAME.items()}
            found[f"{prefix}mean_ms"] = histogram.mean_ns / _NS_PER_MS
            found[f"{prefix}max_ms"] = histogram.max_ns / _NS_PER_MS
    return found


def _drivers(found: Measured) -> dict[str, float]:
    """Return what those who drove used: of several the CPU of the busiest (each has a core), and the memory of all."""
    processes = found.processes
    drivers = list(processes.values()) if found.shards else [processes["driver"]] if "driver" in processes else []
    if not drivers:
        return {}
    return {
        "cpu_percent": max(stats.avg_cpu_percent for stats in drivers),
        "rss_mb": sum(stats.peak_rss_mb for stats in drivers),
    }


def _of(stats: ProcessStats) -> dict[str, float]:
    return {"cpu_percent": stats.avg_cpu_percent, "rss_mb": stats.peak_rss_mb}


def _health(found: Measured) -> GeneratorHealth:
    verdict, reasons = found.verdict
    driver = found.driver
    delay = driver.loop_delay if driver else None
    machine = driver.machine if driver else None
    return GeneratorHealth(
        verdict=verdict,
        reasons=reasons,
        lateness_ms=latency_stats(found.sums.lateness),
        dispatch_ms=latency_stats(found.sums.dispatch),
        cpu_percent=driver.avg_cpu_percent if driver else 0.0,
        loop_delay_p50_ms=delay.p50_ms if delay else None,
        loop_delay_p99_ms=delay.p99_ms if delay else None,
        gc_pauses=driver.gc.pauses if driver else 0,
        gc_max_ms=driver.gc.max_ms if driver else 0.0,
        gc_total_ms=driver.gc.total_ms if driver else 0.0,
        planned=found.planned,
        started=found.begun,
        dropped=found.dropped,
        late=found.late,
        unstarted=found.unstarted,
        peak_fds=driver.peak_fds if driver else None,
        steal_percent=machine.steal_percent if machine else None,
        pacer=found.pacer,
    )


def _notes(found: Measured) -> tuple[str, ...]:
    """Return what a reader of the figures should know."""
    notes = []
    if found.config.model == "closed":
        notes.append(
            "closed: latencies are service times; users wait while the target stalls, so it is asked less then"
        )
    if found.interrupted:
        notes.append(f"{found.interrupted} operations were interrupted by the end of the run and count nowhere")
    own = [detail for detail in found.details if detail.origin == "generator"]
    if own:
        codes = ", ".join(detail.code for detail in own)
        notes.append(f"{sum(detail.count for detail in own)} failures were the generator's own: {codes}")
    if found.sums.service.count == 0:
        notes.append("not one operation succeeded")
    return tuple(notes)
