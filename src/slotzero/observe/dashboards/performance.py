"""The "performance" dashboard: thirteen panels on what the lab has measured, version against version."""

from collections.abc import Mapping

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import units

from slotzero.observe.dashboards.panels import (
    Panel,
    Query,
    dashed,
    graph,
    new_dashboard,
    number,
    rising,
    sinking,
    table_of,
    variable_of,
)
from slotzero.perf.types import Component, Target

__all__ = ["performance_dashboard"]

_PLACE = 'job=~"$job", instance=~"$instance"'
_CHOSEN = f'{_PLACE}, component=~"$component"'
_OF = "component, instance"
_NAMED = "{{component}} {{instance}}"
_MILLISECONDS: str = units.Milliseconds


def _quantile(q: float, chosen: str, window: str, *, by: str = _OF) -> str:
    return f"histogram_quantile({q:g}, sum by (le, {by}) (rate(benchmark_duration_ms_bucket{{{chosen}}}[{window}])))"


def _last(gauge: str, chosen: str, window: str = "$__rate_interval") -> str:
    """Return a gauge's newest value within a window: a stored run is minutes long and a step may be hours."""
    return f"last_over_time({gauge}{{{chosen}}}[{window}])"


def performance_dashboard(
    targets: Mapping[Component, Target], *, memory_mb: float, cpu_percent: float
) -> builders.Dashboard:
    """Return the dashboard.

    Args:
        targets: What the components are held against.
        memory_mb: What peak memory must stay under.
        cpu_percent: What CPU use must stay under.
    """
    slowest = max(target.p95_ms for target in targets.values())
    built = new_dashboard(
        "slotzero performance",
        "slotzero-performance",
        "What the lab has measured: each benchmark's latency, success, throughput and resources, and load tests.",
        probe="benchmark_total",
        refresh="30s",
        since="24h",
    ).with_variable(variable_of("component", "Component", f"label_values(benchmark_total{{{_PLACE}}}, component)"))
    built.with_row(builders.Row("Verdict"))
    for component, title in (
        (Component.DETECTION, "Detection p95"),
        (Component.HONEYPOT, "Honeypot p95"),
        (Component.EXECUTION, "Execution p95"),
        (Component.FULL_FLOW, "Full flow p95"),
    ):
        built.with_panel(_verdict(component, title, targets[component].p95_ms))
    built.with_panel(_compliance())
    built.with_row(builders.Row("Latency, success, throughput"))
    built.with_panel(
        dashed(
            graph(
                "Component latency p95",
                "p95 of each component; dashed is what it must stay under. Above its line: compare two versions with "
                "the variable above, then `slotzero compare` for a verdict.",
                _MILLISECONDS,
                [
                    Query(expr=_quantile(0.95, _CHOSEN, "$__rate_interval"), legend=_NAMED),
                    Query(
                        expr=f"max by (component) ({_last('benchmark_target_ms', _CHOSEN)})",
                        legend="{{component}} target",
                    ),
                ],
                thresholds=rising(slowest),
                logarithmic=True,
                width=12,
            ),
            "/ target$/",
        )
    )
    built.with_panel(
        graph(
            "Success rate by component",
            "Samples of the last run that succeeded. Below 70 % an alert fires; the errors by type say why.",
            units.Percent,
            [Query(expr=_last("benchmark_success_rate", _CHOSEN), legend=_NAMED)],
            thresholds=sinking(70, 95),
            top=100,
            width=12,
        )
    )
    built.with_panel(
        graph(
            "Full flow p50, p95, p99",
            "From a pool's creation to our confirmed buy. A p99 that leaves p50 behind is waiting: slots or network.",
            _MILLISECONDS,
            [
                Query(
                    expr=_quantile(q, f'{_PLACE}, component="FULL_FLOW"', "$__rate_interval", by="instance"),
                    legend=f"p{100 * q:g} {{{{instance}}}}",
                )
                for q in (0.5, 0.95, 0.99)
            ],
            thresholds=rising(targets[Component.FULL_FLOW].p95_ms),
            width=12,
        )
    )
    built.with_panel(
        graph(
            "Throughput by component",
            "Successful samples in a second of measured time, one after another.",
            units.OpsPerSecond,
            [Query(expr=_last("benchmark_throughput_ops", _CHOSEN), legend=_NAMED)],
            logarithmic=True,
            width=12,
        )
    )
    built.with_row(builders.Row("Resources"))
    built.with_panel(
        graph(
            "Memory (peak)",
            f"Peak resident memory of a run, 1 MB = 10^6 bytes; {memory_mb:g} MB are allowed.",
            units.Megabytes,
            [Query(expr=_last("benchmark_memory_mb", _CHOSEN), legend=_NAMED)],
            thresholds=rising(memory_mb),
            width=12,
        )
    )
    built.with_panel(
        graph(
            "CPU (peak)",
            f"The busiest sampling interval of a run, 100 % is one core; {cpu_percent:g} % are allowed.",
            units.Percent,
            [Query(expr=_last("benchmark_cpu_percent", _CHOSEN), legend=_NAMED)],
            thresholds=rising(cpu_percent),
            width=12,
        )
    )
    built.with_row(builders.Row("Load tests"))
    built.with_panel(
        graph(
            "Load-test concurrency",
            "Operations in flight.",
            units.Short,
            [Query(expr=_last("load_test_concurrency", _PLACE), legend="{{scenario}} {{instance}}")],
            width=12,
        )
    )
    built.with_panel(
        graph(
            "Load-test request rate",
            "Finished operations by what became of them. Anything but `ok` is an error of that class.",
            units.RequestsPerSecond,
            [
                Query(
                    expr=(f"sum by (scenario, status) (rate(load_test_requests_total{{{_PLACE}}}[$__rate_interval]))"),
                    legend="{{scenario}} {{status}}",
                )
            ],
            stacked=True,
            width=12,
        )
    )
    return built


def _verdict(component: Component, title: str, limit_ms: float) -> Panel:
    chosen = f'{_PLACE}, component="{component.value}"'
    return number(
        title,
        f"Over the chosen range; green below {0.8 * limit_ms:g} ms, red from {limit_ms:g} ms on.",
        _MILLISECONDS,
        Query(expr=_quantile(0.95, chosen, "$__range", by="instance"), legend="{{instance}}"),
        thresholds=rising(limit_ms),
    )


def _compliance() -> Panel:
    p95 = _quantile(0.95, _CHOSEN, "$__range")
    target = f"max by ({_OF}) ({_last('benchmark_target_ms', _CHOSEN, '$__range')})"
    used = f"100 * {p95} / on ({_OF}) {target}"
    return table_of(
        "Compliance with targets",
        "p95 over the chosen range against what it must stay under: green within, yellow from 80 %, red beyond.",
        [
            ("p95", _MILLISECONDS, Query(expr=p95, legend=_NAMED), None),
            ("Target", _MILLISECONDS, Query(expr=target, legend=_NAMED), None),
            ("Used of target", units.Percent, Query(expr=used, legend=_NAMED), rising(100)),
        ],
        labels=[("component", "Component"), ("instance", "Version or process")],
    )
