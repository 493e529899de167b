"""Every metric there is: its name, its labels, and the cells a process starts with.

Two sets. The lab's ten carry the names, types and labels they are known by (milliseconds and megabytes, three of which
`promtool check metrics` dislikes; dashboards of others rely on them), with two gauges beside them. The bot's are in
base units. Labels are closed sets: a mint, a wallet or an error's text goes to logs and traces.

Cells whose labels are known beforehand exist from the start: a counter that first appears with its first event hides
that event from `rate`.
"""

from typing import Final

from slotzero.observe.buckets import LAG_S, LOAD_MS, LOOP_DELAY_S, SLOTS, component_ms, live_s
from slotzero.observe.metrics import Registry
from slotzero.trace import Component

__all__ = ["LOAD_STATUSES", "SNIPE_OUTCOMES", "BotMetrics", "LabMetrics"]

SNIPE_OUTCOMES: Final = ("refused", "bought", "failed", "unknown")
LOAD_STATUSES: Final = ("ok", "timeout", "rate_limit", "network", "connection", "server", "unknown")


class LabMetrics:
    """What benchmarks and load tests show: the ten metrics, their targets and when they were last measured."""

    def __init__(self, registry: Registry) -> None:
        self.duration = registry.histogram(
            "benchmark_duration_ms",
            "Duration of a benchmark's samples in milliseconds; a timeout counts at the time it was given up.",
            "component",
            bounds=lambda labels: component_ms(labels[0]),
        )
        self.success_rate = registry.gauge(
            "benchmark_success_rate", "Samples of the last run that succeeded, 0 to 100 percent.", "component"
        )
        self.throughput = registry.gauge(
            "benchmark_throughput_ops", "Successful samples in a second of the last run.", "component"
        )
        self.memory = registry.gauge(
            "benchmark_memory_mb", "Peak resident memory of the last run in units of 10^6 bytes.", "component"
        )
        self.cpu = registry.gauge(
            "benchmark_cpu_percent", "Peak CPU use of the last run in percent of one core.", "component"
        )
        self.samples = registry.counter("benchmark_total", "Samples taken, failed ones included.", "component")
        self.errors = registry.counter("benchmark_errors_total", "Samples that failed.", "component", "type")
        self.load_requests = registry.counter(
            "load_test_requests_total", "Finished operations of load tests.", "scenario", "status"
        )
        self.load_duration = registry.histogram(
            "load_test_duration_ms",
            "Duration of a load test's successful operations in milliseconds.",
            "scenario",
            bounds=lambda _: LOAD_MS,
        )
        self.load_concurrency = registry.gauge("load_test_concurrency", "Operations in flight.", "scenario")
        self.target = registry.gauge(
            "benchmark_target_ms", "What a component's p95 must stay under, in milliseconds.", "component"
        )
        self.last_run = registry.gauge(
            "benchmark_last_run_timestamp_seconds", "When a component was last measured.", "component"
        )

    def declare(self, component: str) -> None:
        """Make a component's counters before it is measured, at zero."""
        self.duration.at(component)
        self.samples.at(component)

    def declare_load(self, scenario: str) -> None:
        """Make a scenario's counters before it is run, at zero."""
        self.load_duration.at(scenario)
        for status in LOAD_STATUSES:
            self.load_requests.at(scenario, status)


class BotMetrics:
    """What the running bot shows."""

    def __init__(self, registry: Registry) -> None:
        self.stage = registry.histogram(
            "bot_stage_duration_seconds",
            "Duration of a component of a snipe, waited time included.",
            "component",
            bounds=lambda labels: live_s(labels[0]),
        )
        self.own = registry.counter(
            "bot_stage_own_seconds_total", "Time of a component that was CPU of ours.", "component"
        )
        self.target = registry.gauge("bot_target_seconds", "What a component's p95 must stay under.", "component")
        self.snipes = registry.counter("bot_snipes_total", "Pools decided on, by what became of them.", "outcome")
        self.refusals = registry.counter("bot_refusals_total", "Pools refused, by reason.", "reason")
        self.verdicts = registry.counter("bot_verdicts_total", "Verdicts on pools.", "decision")
        self.exits = registry.counter("bot_exits_total", "Positions ended, by the rule that fired.", "reason")
        self.landing = registry.histogram(
            "bot_landing_slots", "Slots from a pool's creation to our buy.", bounds=lambda _: SLOTS
        )
        self.in_flight = registry.gauge("bot_snipes_in_flight", "Snipes between their pool and their end.")
        self.waiting = registry.gauge("bot_snipes_waiting", "Pools that wait for a place among the snipes in flight.")
        self.positions = registry.gauge("bot_positions", "Positions held.", "state")
        self.position_value = registry.gauge("bot_position_value_sol", "What the open positions would bring now.")
        self.pnl = registry.gauge("bot_realised_pnl_sol", "Balance changes of all ended positions together.")
        self.balance = registry.gauge("bot_wallet_balance_sol", "What the wallet holds.")
        self.violations = registry.gauge(
            "bot_invariant_violations", "Double buys, lost intents and intents of unknown outcome now.", "kind"
        )
        self.frames = registry.counter("bot_feed_frames_total", "Frames read.")
        self.dropped = registry.counter(
            "bot_feed_dropped_total", "Frames or events that gave no pool although they might have.", "reason"
        )
        self.drift = registry.counter(
            "bot_drift_total", "Signs that a venue or a node no longer speaks as expected.", "kind"
        )
        self.feed_pools = registry.counter(
            "bot_feed_pools_total", "Pools a feed has told of, as the first feed or a later one.", "feed", "place"
        )
        self.feed_lag = registry.histogram(
            "bot_feed_lag_seconds",
            "How much later than the first a feed told of a pool.",
            "feed",
            bounds=lambda _: LAG_S,
        )
        self.endpoint_up = registry.gauge(
            "bot_endpoint_up",
            "1 while an endpoint is asked, 0 while its breaker is open or tries it with one call.",
            "endpoint",
        )
        self.endpoint_latency = registry.gauge(
            "bot_endpoint_latency_seconds", "Average latency of an endpoint's probes.", "endpoint"
        )
        self.endpoint_lag = registry.gauge(
            "bot_endpoint_lag_slots", "Slots an endpoint is behind the newest.", "endpoint"
        )
        self.endpoint_calls = registry.counter("bot_endpoint_calls_total", "Calls of an endpoint.", "endpoint")
        self.endpoint_failures = registry.counter(
            "bot_endpoint_failures_total", "Calls of an endpoint that failed.", "endpoint", "kind"
        )
        self.rpc_calls = registry.counter("bot_rpc_calls_total", "RPC calls by what they were for.", "purpose")
        self.cache = registry.counter(
            "bot_cache_lookups_total", "Look-ups in a cache, by whether it had the answer.", "cache", "result"
        )
        self.loop_delay = registry.histogram(
            "bot_event_loop_delay_seconds",
            "How long the event loop let a ready callback wait, asked ten times a second.",
            bounds=lambda _: LOOP_DELAY_S,
        )
        self.gc_pauses = registry.counter("bot_gc_pause_seconds_total", "Time in the garbage collector.")
        self.events_dropped = registry.counter(
            "bot_events_dropped_total", "Events that came faster than they were counted: figures above miss them."
        )
        self.build = registry.gauge("bot_build_info", "Always 1; the labels say what runs.", "version", "python")
        self.cpu = registry.counter("process_cpu_seconds_total", "CPU time of the process.")
        self.memory = registry.gauge("process_resident_memory_bytes", "Resident memory of the process.")
        self.files = registry.gauge("process_open_fds", "File descriptors the process has open.")
        self.started = registry.gauge("process_start_time_seconds", "When the process was started.")
        self._declare()

    def _declare(self) -> None:
        for outcome in SNIPE_OUTCOMES:
            self.snipes.at(outcome)
        for component in ON_THE_LINE:
            self.stage.at(component.value)
            self.own.at(component.value)
        for one in (self.landing, self.loop_delay, self.frames, self.events_dropped, self.gc_pauses, self.cpu):
            one.at()


ON_THE_LINE: Final = (
    Component.DETECTION,
    Component.HONEYPOT,
    Component.FILTERS,
    Component.EXECUTION,
    Component.FULL_FLOW,
    Component.POSITION_MONITOR,
    Component.EXIT,
)
"""The components every bot goes through; the others appear with their first event."""
