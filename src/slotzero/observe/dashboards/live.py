"""The "live" dashboard: the running bot, from its verdict down to its event loop."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import units

from slotzero.observe.dashboards.panels import Panel, Query, graph, new_dashboard, number, rising, sinking
from slotzero.perf.types import Component, Target

__all__ = ["live_dashboard"]

_PLACE: Final = 'job=~"$job", instance=~"$instance"'
_RATE: Final = "$__rate_interval"
_SOL: Final = "suffix: SOL"
_BUYS: Final = 'outcome=~"bought|failed|unknown"'

_Panels: TypeAlias = Sequence[Panel]


def _rate(metric: str, by: str, more: str = "") -> str:
    chosen = f"{_PLACE}, {more}" if more else _PLACE
    return f"sum by ({by}) (rate({metric}{{{chosen}}}[{_RATE}]))"


def _quantile(q: float, metric: str, by: str, *, more: str = "", window: str = _RATE) -> str:
    chosen = f"{_PLACE}, {more}" if more else _PLACE
    return f"histogram_quantile({q:g}, sum by (le, {by}) (rate({metric}_bucket{{{chosen}}}[{window}])))"


def _gauge(metric: str, by: str) -> str:
    return f"max by ({by}) ({metric}{{{_PLACE}}})"


def live_dashboard(targets: Mapping[Component, Target], *, memory_mb: float, cpu_percent: float) -> builders.Dashboard:
    """Return the dashboard.

    Args:
        targets: What the components are held against.
        memory_mb: What memory must stay under.
        cpu_percent: What CPU use must stay under.
    """
    built = new_dashboard(
        "slotzero live",
        "slotzero-live",
        "The running bot: what it sees, buys and holds, how long that takes, and what it stands on.",
        probe="bot_build_info",
        refresh="5s",
        since="15m",
    )
    full_flow_s = targets[Component.FULL_FLOW].p95_ms / 1_000
    for title, panels in (
        ("Verdict", _verdict(full_flow_s)),
        ("Stages", _stages(full_flow_s)),
        ("Trading", _trading()),
        ("Feeds", _feeds()),
        ("Endpoints and caches", _network()),
        ("Process", _process(memory_mb, cpu_percent)),
    ):
        built.with_row(builders.Row(title))
        for panel in panels:
            built.with_panel(panel)
    return built


def _verdict(full_flow_s: float) -> _Panels:
    bought = f'sum by (instance) (increase(bot_snipes_total{{{_PLACE}, outcome="bought"}}[$__range]))'
    tried = f"sum by (instance) (increase(bot_snipes_total{{{_PLACE}, {_BUYS}}}[$__range]))"
    p95 = _quantile(0.95, "bot_stage_duration_seconds", "instance", more='component="FULL_FLOW"', window="$__range")
    named = "{{instance}}"
    return [
        number(
            "Full flow p95",
            "From a pool's creation to our confirmed buy.",
            units.Seconds,
            Query(expr=p95, legend=named),
            thresholds=rising(full_flow_s),
        ),
        number(
            "Buys that land",
            "Of all that were sent; refused pools do not count.",
            units.Percent,
            Query(expr=f"100 * {bought} / ({tried} > 0)", legend=named),
            thresholds=sinking(70, 90),
        ),
        number(
            "Profit of ended positions",
            "Balance changes of all of them together, fees included.",
            _SOL,
            Query(expr=_gauge("bot_realised_pnl_sol", "instance"), legend=named),
            width=4,
        ),
        number(
            "Wallet",
            "What it holds now.",
            _SOL,
            Query(expr=_gauge("bot_wallet_balance_sol", "instance"), legend=named),
            width=4,
        ),
        number(
            "Invariants broken",
            "Double buys, lost intents and unknown outcomes now. Anything but 0: see the runbook.",
            units.Short,
            Query(expr=f"sum by (instance) (bot_invariant_violations{{{_PLACE}}})", legend=named),
            thresholds=((None, "green"), (1, "red")),
            width=4,
        ),
    ]


def _stages(full_flow_s: float) -> _Panels:
    own = _rate("bot_stage_own_seconds_total", "component")
    operations = _rate("bot_stage_duration_seconds_count", "component")
    mean = f"{_rate('bot_stage_duration_seconds_sum', 'component')} / {operations}"
    allowed = f"max by (component) (bot_target_seconds{{{_PLACE}}})"
    return [
        graph(
            "Stage p95",
            "p95 of each component, waits included. Find the one that grew; then see if it computes or waits.",
            units.Seconds,
            [
                Query(
                    expr=_quantile(0.95, "bot_stage_duration_seconds", "component, instance"),
                    legend="{{component}} {{instance}}",
                )
            ],
            thresholds=rising(full_flow_s),
            logarithmic=True,
            width=12,
        ),
        graph(
            "Own time per operation",
            "CPU of ours in a component, on average: what is left of it is network, disk and slot.",
            units.Seconds,
            [Query(expr=f"{own} / {operations}", legend="{{component}}")],
            logarithmic=True,
            width=6,
        ),
        graph(
            "Used of target",
            "Mean duration against what p95 must stay under: 100 % is the limit.",
            units.Percent,
            [Query(expr=f"100 * {mean} / on (component) {allowed}", legend="{{component}}")],
            thresholds=rising(100),
            width=6,
        ),
    ]


def _trading() -> _Panels:
    per_minute = "60 * "
    return [
        graph(
            "Pools by outcome",
            "In a minute.",
            units.OpsPerMinute,
            [Query(expr=per_minute + _rate("bot_snipes_total", "outcome"), legend="{{outcome}}")],
            stacked=True,
        ),
        graph(
            "Refusals by reason",
            "In a minute. A reason that takes over is a filter set too tight, or a new kind of trap.",
            units.OpsPerMinute,
            [Query(expr=per_minute + _rate("bot_refusals_total", "reason"), legend="{{reason}}")],
            stacked=True,
        ),
        graph(
            "Verdicts",
            "In a minute. UNKNOWN means that a layer could not be asked in time.",
            units.OpsPerMinute,
            [Query(expr=per_minute + _rate("bot_verdicts_total", "decision"), legend="{{decision}}")],
            stacked=True,
        ),
        graph(
            "Positions and snipes under way",
            "Stuck positions cannot be sold: see the runbook of invariants.",
            units.Short,
            [
                Query(expr=f"sum by (state) (bot_positions{{{_PLACE}}})", legend="{{state}}"),
                Query(expr=f"sum by (instance) (bot_snipes_in_flight{{{_PLACE}}})", legend="in flight {{instance}}"),
                Query(expr=f"sum by (instance) (bot_snipes_waiting{{{_PLACE}}})", legend="waiting {{instance}}"),
            ],
        ),
        graph(
            "Value of open positions",
            "What they would bring now.",
            _SOL,
            [Query(expr=_gauge("bot_position_value_sol", "instance"), legend="{{instance}}")],
        ),
        graph(
            "Exits by rule",
            "In a minute. Many `rug` and `stop_loss`: the filters let the wrong pools through.",
            units.OpsPerMinute,
            [Query(expr=per_minute + _rate("bot_exits_total", "reason"), legend="{{reason}}")],
            stacked=True,
        ),
        graph(
            "Slots from creation to our buy",
            "How far behind the creation we land: the number rivals compete on.",
            units.Short,
            [
                Query(expr=_quantile(q, "bot_landing_slots", "instance"), legend=f"p{100 * q:g} {{{{instance}}}}")
                for q in (0.5, 0.95)
            ],
            width=24,
        ),
    ]


def _feeds() -> _Panels:
    return [
        graph(
            "Frames",
            "In a second. None for two minutes: an alert.",
            units.OpsPerSecond,
            [Query(expr=_rate("bot_feed_frames_total", "instance"), legend="{{instance}}")],
        ),
        graph(
            "Who is first",
            "Pools a feed told of before all others, and after them. One that is never first is of no use.",
            units.OpsPerMinute,
            [Query(expr="60 * " + _rate("bot_feed_pools_total", "feed, place"), legend="{{feed}} {{place}}")],
            stacked=True,
        ),
        graph(
            "Lag behind the first feed, p95",
            "Of the pools it was not first with.",
            units.Seconds,
            [Query(expr=_quantile(0.95, "bot_feed_lag_seconds", "feed"), legend="{{feed}}")],
        ),
        graph(
            "Dropped frames and events",
            "In a minute. Duplicates and failed transactions are normal.",
            units.OpsPerMinute,
            [Query(expr="60 * " + _rate("bot_feed_dropped_total", "reason"), legend="{{reason}}")],
            stacked=True,
            width=12,
        ),
        graph(
            "Signs of drift",
            "In a minute: what a venue or a node says is no longer what we read. Update before trading on.",
            units.OpsPerMinute,
            [Query(expr="60 * " + _rate("bot_drift_total", "kind"), legend="{{kind}}")],
            stacked=True,
            width=12,
        ),
    ]


def _network() -> _Panels:
    hits = _rate("bot_cache_lookups_total", "cache", 'result="hit"')
    return [
        graph(
            "Endpoint latency",
            "Average of the probes, all endpoints asked alike.",
            units.Seconds,
            [Query(expr=_gauge("bot_endpoint_latency_seconds", "endpoint"), legend="{{endpoint}}")],
        ),
        graph(
            "Endpoint lag",
            "Slots behind the newest.",
            units.Short,
            [Query(expr=_gauge("bot_endpoint_lag_slots", "endpoint"), legend="{{endpoint}}")],
        ),
        graph(
            "Endpoints in use",
            "1 while it is asked, 0 while its breaker is open.",
            units.Short,
            [Query(expr=_gauge("bot_endpoint_up", "endpoint"), legend="{{endpoint}}")],
            top=1,
        ),
        graph(
            "Calls by endpoint",
            "In a second.",
            units.RequestsPerSecond,
            [Query(expr=_rate("bot_endpoint_calls_total", "endpoint"), legend="{{endpoint}}")],
            stacked=True,
        ),
        graph(
            "Failed calls",
            "In a second, by endpoint and class.",
            units.RequestsPerSecond,
            [Query(expr=_rate("bot_endpoint_failures_total", "endpoint, kind"), legend="{{endpoint}} {{kind}}")],
            stacked=True,
        ),
        graph(
            "RPC calls by purpose",
            "In a second. `plan` must stay at 0: nothing is asked between a frame and signed bytes.",
            units.RequestsPerSecond,
            [Query(expr=_rate("bot_rpc_calls_total", "purpose"), legend="{{purpose}}")],
            stacked=True,
        ),
        graph(
            "Cache hits",
            "Share of the look-ups a cache had the answer to.",
            units.Percent,
            [Query(expr=f"100 * {hits} / {_rate('bot_cache_lookups_total', 'cache')}", legend="{{cache}}")],
            top=100,
            width=24,
        ),
    ]


def _process(memory_mb: float, cpu_percent: float) -> _Panels:
    named = "{{instance}}"
    return [
        graph(
            "Event loop delay",
            "How long a ready callback waited. Every latency above grows with it.",
            units.Seconds,
            [
                Query(expr=_quantile(q, "bot_event_loop_delay_seconds", "instance"), legend=f"p{100 * q:g} {named}")
                for q in (0.5, 0.99)
            ],
            thresholds=rising(0.02),
        ),
        graph(
            "Garbage collection",
            "Share of the time.",
            units.PercentUnit,
            [Query(expr=_rate("bot_gc_pause_seconds_total", "instance"), legend=named)],
            thresholds=rising(0.02),
        ),
        graph(
            "CPU",
            "100 % is one core.",
            units.Percent,
            [Query(expr="100 * " + _rate("process_cpu_seconds_total", "instance"), legend=named)],
            thresholds=rising(cpu_percent),
        ),
        graph(
            "Memory",
            "Resident.",
            units.BytesSI,
            [Query(expr=_gauge("process_resident_memory_bytes", "instance"), legend=named)],
            thresholds=rising(memory_mb * 1e6),
        ),
        graph(
            "Open files",
            "Connections included. One that only rises is a leak.",
            units.Short,
            [Query(expr=_gauge("process_open_fds", "instance"), legend=named)],
        ),
        graph(
            "Events dropped",
            "Came faster than they were counted: the figures above miss them.",
            units.OpsPerSecond,
            [Query(expr=_rate("bot_events_dropped_total", "instance"), legend=named)],
        ),
        number(
            "Runs since",
            "When the process was started.",
            "dateTimeFromNow",
            Query(expr=f"1000 * {_gauge('process_start_time_seconds', 'instance')}", legend=named),
            width=24,
        ),
    ]
