"""The alerts: seven on the figures that were asked for, and what must not go unseen beside them.

The seven speak of two sources with one rule each: the lab (`benchmark_*`, `source="lab"`) and the running bot
(`bot_*`, `source="bot"`). Records before them bring both to one name, with the labels job, instance and component.

Three guards keep a missing figure from looking like a good or a bad one. A quantile is compared only where enough
operations were counted (the p95 of five samples is their maximum). A gauge of the lab counts only for a quarter of an
hour after its run, since a gauge keeps its last value for ever. And what is silent for want of data has alerts of its
own: `SlotzeroDown`, `SlotzeroAbsent`, `SlotzeroFeedSilent`, `SlotzeroBenchmarkStale`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from slotzero.observe.buckets import component_ms
from slotzero.observe.rules import Alert, Group, Record, Severity
from slotzero.perf.types import BenchmarkResult

__all__ = ["HISTORY_JOB", "JOB", "LEAST_OPERATIONS", "REQUIRED", "Limit", "alert_groups", "measured_groups"]

JOB: Final = "slotzero"
"""The scrape job the shipped configuration uses."""
WINDOW: Final = "10m"
"""Longer than the longest `for` below: a benchmark's samples arrive all at once, and must stay in sight that long."""
LEAST_OPERATIONS: Final = 10
"""Operations within the window for a quantile or a rate to be judged."""
_FRESH_S: Final = 900
HISTORY_JOB: Final = "slotzero-history"
"""The job of stored results."""
_STALE_S: Final = 2 * 86_400
_REMEMBERED: Final = "7d"
"""How long a component that is measured no longer is missed."""
_BY: Final = "job, instance, component"
_SHOWN_WHOLE: Final = 10
_MARGIN: Final = 1.5
"""How far above what was measured a measured limit stands."""


class Limit(Struct, frozen=True, kw_only=True):
    """One of the seven: a recorded figure against a literal limit.

    Attributes:
        figure: The recorded series.
        is_above: Whether it is wrong above the limit, or below.
        what: For the summary; unit: likewise.
        description: What it means and what to look at first.
        labels: Further ones, for alerts that share a name.
    """

    name: str
    figure: str
    limit: float
    severity: Severity
    what: str
    unit: str
    description: str
    component: str = ""
    is_above: bool = True
    labels: dict[str, str] = {}


P95: Final = f"component:latency_ms:p95_{WINDOW}"
OPERATIONS: Final = f"component:operations:increase_{WINDOW}"
SUCCESS: Final = f"component:success_percent:ratio_{WINDOW}"
ATTEMPTS: Final = f"component:attempts:increase_{WINDOW}"
CPU: Final = "component:cpu_percent:last"
MEMORY: Final = "component:memory_mb:last"

REQUIRED: Final = (
    Limit(
        name="SlotzeroExecutionSlow",
        figure=P95,
        component="EXECUTION",
        limit=2_500,
        severity="critical",
        what="Buying (plan to confirmation) takes",
        unit="ms at p95",
        description="Buys land late: look at the endpoints, the fees and the slot time.",
    ),
    Limit(
        name="SlotzeroFullFlowSlow",
        figure=P95,
        component="FULL_FLOW",
        limit=6_000,
        severity="critical",
        what="From a pool's creation to our confirmed buy it takes",
        unit="ms at p95",
        description="Others buy before us: compare the components to see which one has grown.",
    ),
    Limit(
        name="SlotzeroSuccessLow",
        figure=SUCCESS,
        limit=70,
        severity="critical",
        what="The success rate is",
        unit="%",
        description="Operations fail: look at the errors by type before anything else.",
        is_above=False,
    ),
    Limit(
        name="SlotzeroCpuHigh",
        figure=CPU,
        limit=90,
        severity="critical",
        what="CPU use is",
        unit="% of one core",
        description="The event loop is near its end and every latency grows with it: look at the loop's delay.",
    ),
    Limit(
        name="SlotzeroDetectionSlow",
        figure=P95,
        component="DETECTION",
        limit=1_000,
        severity="warning",
        what="Detecting a pool takes",
        unit="ms at p95",
        description="Pools are seen late: look at the feeds' lags and the loop's delay.",
    ),
    Limit(
        name="SlotzeroHoneypotSlow",
        figure=P95,
        component="HONEYPOT",
        limit=3_000,
        severity="warning",
        what="The honeypot check takes",
        unit="ms at p95",
        description="Verdicts hold buys back: look at the RPC calls of the safety checks and at the endpoints.",
    ),
    Limit(
        name="SlotzeroMemoryHigh",
        figure=MEMORY,
        limit=800,
        severity="warning",
        what="Resident memory is",
        unit="MB",
        description="Something grows: compare with the uptime, and stop it before the kernel does.",
    ),
)
"""The seven alerts with their literal limits."""


def alert_groups() -> tuple[Group, ...]:
    """Return the shipped alerts, with the records they rest on before them."""
    return (
        Group(name="slotzero-alerts", rules=(*_records(), *(_limit_alert(limit) for limit in REQUIRED))),
        Group(name="slotzero-watch", rules=_watch()),
    )


def measured_groups(results: Sequence[BenchmarkResult]) -> tuple[Group, ...]:
    """Return warnings at what was measured: half above the upper bound of each p95, on the next bucket bound.

    They stand beside the literal limits: those say what must not be, these say that something has changed. Of several
    results of one component (event loops, files) the slowest counts.
    """
    slowest: dict[str, BenchmarkResult] = {}
    for result in results:
        component = result.component or result.name
        if component not in slowest or measured_limit(result) > measured_limit(slowest[component]):
            slowest[component] = result
    limits = [
        Limit(
            name="SlotzeroSlowerThanMeasured",
            figure=P95,
            component=component,
            limit=measured_limit(result),
            severity="warning",
            what=f"{component} takes",
            description="Slower than when it was measured: compare with the stored result before blaming the network.",
            unit=f"ms at p95, measured were {result.latency_ms.p95:.{_decimals(result.latency_ms.p95)}f} ms",
            labels={"component": component},
        )
        for component, result in slowest.items()
    ]
    return (Group(name="slotzero-measured", rules=tuple(_limit_alert(limit) for limit in limits)),)


def measured_limit(result: BenchmarkResult) -> float:
    """Return the bucket bound at or above half more than p95 could have been. *Pure.*"""
    interval = result.latency_ms.intervals.get("p95")
    wanted = _MARGIN * (result.latency_ms.p95 if interval is None else interval.high)
    bounds = component_ms(result.component or result.name)
    return next((bound for bound in bounds if bound >= wanted), bounds[-1])


def _records() -> tuple[Record, ...]:
    failed, samples = _grown("benchmark_errors_total"), _grown("benchmark_total")
    bought = f'sum by (job, instance) (increase(bot_snipes_total{{outcome="bought"}}[{WINDOW}]))'
    attempts = f'sum by (job, instance) (increase(bot_snipes_total{{outcome=~"bought|failed|unknown"}}[{WINDOW}]))'
    load = f"sum by (job, instance, scenario, le) (rate(load_test_duration_ms_bucket[{WINDOW}]))"
    fresh = f"(time() - benchmark_last_run_timestamp_seconds < {_FRESH_S})"
    whole: Mapping[str, str] = {"component": "FULL_FLOW"}
    process: Mapping[str, str] = {"component": "PROCESS"}
    of_the_bot = "and on (job, instance) bot_build_info"
    return (
        _lab(P95, f"histogram_quantile(0.95, sum by ({_BY}, le) (rate(benchmark_duration_ms_bucket[{WINDOW}])))"),
        _bot(
            P95,
            f"1000 * histogram_quantile(0.95, sum by ({_BY}, le) (rate(bot_stage_duration_seconds_bucket[{WINDOW}])))",
        ),
        _lab(OPERATIONS, f"sum by ({_BY}) (increase(benchmark_duration_ms_count[{WINDOW}]))"),
        _bot(OPERATIONS, f"sum by ({_BY}) (increase(bot_stage_duration_seconds_count[{WINDOW}]))"),
        _lab(SUCCESS, f"100 * (1 - ({failed} or 0 * {samples}) / ({samples} > 0))"),
        _bot(SUCCESS, f"100 * {bought} / ({attempts} > 0)", whole),
        _lab(ATTEMPTS, samples),
        _bot(ATTEMPTS, attempts, whole),
        _lab(f"scenario:load_test_duration_ms:p95_{WINDOW}", f"histogram_quantile(0.95, {load})"),
        _lab(CPU, f"benchmark_cpu_percent and on ({_BY}) {fresh}"),
        _bot(CPU, f"100 * rate(process_cpu_seconds_total[{WINDOW}]) {of_the_bot}", process),
        _lab(MEMORY, f"benchmark_memory_mb and on ({_BY}) {fresh}"),
        _bot(MEMORY, f"process_resident_memory_bytes / 1e6 {of_the_bot}", process),
    )


def _grown(counter: str) -> str:
    """Return by how much a counter has grown, by component.

    An error of a kind not seen before is a series that begins with its first value, and `increase` takes a beginning
    for nothing: what was not there a window ago has grown by all it is.
    """
    return f"sum by ({_BY}) (({counter} unless {counter} offset {WINDOW}) or increase({counter}[{WINDOW}]))"


def _lab(name: str, expr: str) -> Record:
    return Record(name=name, expr=expr, labels={"source": "lab"})


def _bot(name: str, expr: str, labels: Mapping[str, str] | None = None) -> Record:
    return Record(name=name, expr=expr, labels={"source": "bot", **(labels or {})})


def _limit_alert(limit: Limit) -> Alert:
    chosen = f'{limit.figure}{{component="{limit.component}"}}' if limit.component else limit.figure
    guards = {P95: OPERATIONS, SUCCESS: ATTEMPTS}
    enough = f" and on ({_BY}, source) {guards[limit.figure]} >= {LEAST_OPERATIONS}" if limit.figure in guards else ""
    is_critical = limit.severity == "critical"
    digits = f"%.{_decimals(limit.limit)}f"
    comparison = ">" if limit.is_above else "<"
    return Alert(
        name=limit.name,
        expr=f"{chosen} {comparison} {limit.limit:g}{enough}",
        severity=limit.severity,
        for_s=120 if is_critical else 300,
        keep_s=300,
        summary=(
            f'{limit.what} {{{{ $value | printf "{digits}" }}}} {limit.unit} (limit {limit.limit:g}; '
            "{{ $labels.component }}, {{ $labels.source }} {{ $labels.instance }})"
        ),
        description=limit.description,
        labels=limit.labels,
        dashboard='{{ if eq $labels.source "lab" }}performance{{ else }}live{{ end }}',
    )


def _decimals(value: float) -> int:
    """Return how many decimals show three digits of a figure below ten, which may be some microseconds."""
    return 0 if value >= _SHOWN_WHOLE or value <= 0 else 2 - math.floor(math.log10(value))


def _watch() -> tuple[Alert, ...]:
    own = f'{{job=~"{JOB}.*"}}'
    last_run = f'benchmark_last_run_timestamp_seconds{{job!="{HISTORY_JOB}"}}'
    return (
        Alert(
            name="SlotzeroDown",
            expr=f"up{own} == 0",
            severity="critical",
            for_s=60,
            keep_s=0,
            summary="{{ $labels.instance }} does not answer scrapes",
            description="The process has ended, or is too busy to answer. What it held is in its journal.",
        ),
        Alert(
            name="SlotzeroAbsent",
            expr=f'absent(up{{job="{JOB}"}})',
            severity="critical",
            for_s=300,
            keep_s=0,
            summary="Prometheus scrapes no slotzero",
            description="The scrape job is missing or finds nothing, so no other alert can fire.",
        ),
        Alert(
            name="SlotzeroFeedSilent",
            expr="increase(bot_feed_frames_total[2m]) == 0",
            severity="critical",
            for_s=60,
            keep_s=60,
            summary="{{ $labels.instance }} has read no frame for two minutes",
            description="No pool can be seen, and no exit of a position that waits for an event.",
        ),
        Alert(
            name="SlotzeroInvariantViolated",
            expr="bot_invariant_violations > 0",
            severity="critical",
            for_s=60,
            keep_s=0,
            summary="{{ $value }} x {{ $labels.kind }} on {{ $labels.instance }}",
            description="Money may be where the journal does not say: reconcile before anything else.",
        ),
        Alert(
            name="SlotzeroEndpointsDown",
            expr="max by (job, instance) (bot_endpoint_up) == 0",
            severity="critical",
            for_s=30,
            keep_s=60,
            summary="{{ $labels.instance }} has no endpoint left to ask",
            description="Every endpoint's breaker is open: nothing can be bought or sold.",
        ),
        Alert(
            name="SlotzeroVenueDrift",
            expr="sum by (job, instance, kind) (increase(bot_drift_total[15m])) > 5",
            severity="warning",
            for_s=60,
            keep_s=300,
            summary='{{ $value | printf "%.0f" }} x {{ $labels.kind }} in 15 minutes on {{ $labels.instance }}',
            description="A venue or a node no longer speaks as expected; pools may be missed.",
        ),
        Alert(
            name="SlotzeroBenchmarkStale",
            # Over a week, since the process that measured ends, and its series with it. What was backfilled is old.
            expr=f"time() - max by (job, component) (last_over_time({last_run}[{_REMEMBERED}])) > {_STALE_S}",
            severity="warning",
            for_s=300,
            keep_s=0,
            summary="{{ $labels.component }} was last measured {{ $value | humanizeDuration }} ago",
            description="The daily benchmark does not run or is not scraped, so a slowdown would go unseen.",
            dashboard="performance",
        ),
        Alert(
            name="SlotzeroWatchdog",
            expr="vector(1)",
            severity="none",
            for_s=0,
            keep_s=0,
            summary="Always firing: when it stops, alerts no longer arrive",
            description="Send it to a service that calls when it goes quiet.",
        ),
    )
