"""The running bot's events and state as metrics.

The hot path appends a record to a ring (about 0.1 us); a task takes them out ten times a second and does everything
else there: histograms, counters, what others want to hear (traces, logs, the page). Once a second the same task asks
the engine for its state, and each of its own wake-ups measures how long the loop let it wait.
"""

import gc
import platform
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, assert_never

from msgspec import Struct

from slotzero import __version__
from slotzero.clock import Clock, add_ms, elapsed_ns
from slotzero.engine import EngineReport
from slotzero.hook import BotEvent, Hook, PoolJudged, PoolSeen, PositionEnded, SnipeDecided, StageTimed
from slotzero.observe.catalogue import BotMetrics
from slotzero.observe.metrics import Registry
from slotzero.perf.procfs import open_files, process_times
from slotzero.perf.types import Target
from slotzero.trace import Component, Trace
from slotzero.units import LAMPORTS_PER_SOL, MonoNs

__all__ = ["BotFeed", "BotState", "Ring"]

_NS_PER_S: Final = 1_000_000_000
_DRAIN_EVERY_MS: Final = 100
_STATE_EVERY: Final = 10
_MOST_WAITING: Final = 65_536
_ENTRY: Final = (Component.DETECTION, Component.FILTERS, Component.EXECUTION, Component.FULL_FLOW)
_DRIFT: Final = frozenset({"malformed_event", "malformed_frame", "inconsistent_log"})
"""Reasons for dropping a frame that say the other side may have changed, not that it was noise."""


class Ring:
    """Events between the hot path and the drain. Full: the newest is dropped and counted, since the drain is stuck.

    Args:
        most: How many wait at most.
    """

    __slots__ = ("_events", "_most", "dropped", "put")

    def __init__(self, most: int = _MOST_WAITING) -> None:
        self._events: deque[BotEvent] = deque()
        self._most = most
        self.dropped = 0
        self.put: Hook = self._make_put()

    def _make_put(self) -> Hook:
        # A closure: the bound method costs a third more, and this is the hot path.
        events, append, most = self._events, self._events.append, self._most

        def put(event: BotEvent) -> None:
            if len(events) < most:
                append(event)
            else:
                self.dropped += 1

        return put

    def take(self) -> list[BotEvent]:
        """Return what waits, oldest first, and forget it."""
        taken = list(self._events)
        for _ in taken:
            self._events.popleft()
        return taken


class BotState(Struct, frozen=True, kw_only=True):
    """What the engine's report does not hold and the metrics show. Totals count from the process's start.

    Attributes:
        cache: Look-ups by cache and result, beside those of accounts.
        drift: Signs of drift by kind, beside those the detector's drops tell.
    """

    cache: dict[tuple[str, Literal["hit", "miss"]], int] = {}
    drift: dict[str, int] = {}


class BotFeed:
    """Fills the bot's metrics.

    Args:
        registry: Where they are exposed.
        targets: What the components are held against.
        clock: Time.
        listeners: Handed each event after it was counted: traces, logs, the page. They run on the drain, off the hot
            path, and must not wait.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        targets: Mapping[Component, Target],
        clock: Clock,
        listeners: Sequence[Hook] = (),
    ) -> None:
        self._metrics = BotMetrics(registry)
        self._clock = clock
        self._listeners = tuple(listeners)
        self._ring = Ring()
        self._gc_began: MonoNs | None = None
        self._gc_ns = 0
        self._metrics.build.at(__version__, platform.python_version()).set(1)
        self._metrics.started.at().set(clock.wall_ns() / _NS_PER_S)
        for kind in sorted(_DRIFT):
            self._metrics.drift.at(kind)  # at zero: a burst that makes the series is no increase to Prometheus
        for component, target in targets.items():
            self._metrics.target.at(component.value).set(target.p95_ms / 1_000)

    @property
    def hook(self) -> Hook:
        """What the engine is given. *Hot path* (about 0.1 us)."""
        return self._ring.put

    async def run(self, report: Callable[[], EngineReport | None], state: Callable[[], BotState] = BotState) -> None:
        """Drain and ask until cancelled. *Cancellation: what waits is still counted.*

        Args:
            report: The engine's report, None while there is none.
            state: What else there is to show.
        """
        clock, turn = self._clock, 0
        gc.callbacks.append(self._on_gc)
        try:
            while True:
                due = add_ms(clock.mono_ns(), _DRAIN_EVERY_MS)
                await clock.sleep_until(due)
                self._metrics.loop_delay.at().observe(elapsed_ns(due, clock.mono_ns()) / _NS_PER_S)
                self.drain()
                turn += 1
                if turn % _STATE_EVERY == 0:
                    self.show(report(), state())
        finally:
            gc.callbacks.remove(self._on_gc)
            self.drain()

    def drain(self) -> None:
        """Count what waits."""
        for event in self._ring.take():
            self._count(event)
            for listener in self._listeners:
                listener(event)
        self._metrics.events_dropped.at().reach(self._ring.dropped)

    def _count(self, event: BotEvent) -> None:
        metrics = self._metrics
        match event:
            case SnipeDecided():
                self._count_snipe(event)
            case PoolJudged(decision=decision, took_ns=took):
                metrics.verdicts.at(decision).add()
                metrics.stage.at(Component.HONEYPOT.value).observe(took / _NS_PER_S)
            case PositionEnded(reason=reason, trace=trace):
                metrics.exits.at(reason).add()
                self._time(Component.EXIT, trace)
            case StageTimed(component=component, total_ns=total, own_ns=own):
                metrics.stage.at(component.value).observe(total / _NS_PER_S)
                if own is not None:
                    metrics.own.at(component.value).add(own / _NS_PER_S)
            case PoolSeen(feed=feed, is_first=is_first, lag_ns=lag):
                metrics.feed_pools.at(feed, "first" if is_first else "later").add()
                if not is_first:
                    metrics.feed_lag.at(feed).observe(lag / _NS_PER_S)
            case _:
                assert_never(event)

    def _count_snipe(self, event: SnipeDecided) -> None:
        metrics = self._metrics
        metrics.snipes.at(event.outcome).add()
        if event.outcome == "refused":
            metrics.refusals.at(event.reason).add()
        if event.slots_to_land is not None:
            metrics.landing.at().observe(event.slots_to_land)
        for component in _ENTRY:
            self._time(component, event.trace)

    def _time(self, component: Component, trace: Trace) -> None:
        span = trace.span(component)
        if span is None:
            return
        self._metrics.stage.at(component.value).observe(span.total_ns / _NS_PER_S)
        if span.own_ns is not None:
            self._metrics.own.at(component.value).add(span.own_ns / _NS_PER_S)

    def show(self, report: EngineReport | None, state: BotState) -> None:
        """Show the engine's state, and the process's."""
        self._show_process()
        for (cache, result), number in state.cache.items():
            self._metrics.cache.at(cache, result).reach(number)
        for kind, number in state.drift.items():
            self._metrics.drift.at(kind).reach(number)
        if report is not None:
            self._show_trading(report)
            self._show_network(report)

    def _show_process(self) -> None:
        metrics, times = self._metrics, process_times()
        metrics.gc_pauses.at().reach(self._gc_ns / _NS_PER_S)
        if times is not None:
            metrics.cpu.at().reach(times.cpu_s)
            metrics.memory.at().set(times.rss_bytes)
        metrics.files.at().set(open_files())

    def _show_trading(self, report: EngineReport) -> None:
        metrics, positions = self._metrics, report.positions
        metrics.in_flight.at().set(report.in_flight)
        metrics.waiting.at().set(report.admission.waiting)
        for held in ("open", "stuck", "graduated"):
            metrics.positions.at(held).set(sum(position.state == held for position in positions))
        metrics.position_value.at().set(sum(value or 0 for value in report.values.values()) / LAMPORTS_PER_SOL)
        # What is stuck has ended; what has graduated is held, and so far has only cost.
        ended = sum(position.pnl_lamports for position in positions if position.state in {"closed", "stuck"})
        metrics.pnl.at().set((report.forgotten_pnl_lamports + ended) / LAMPORTS_PER_SOL)
        metrics.balance.at().set(report.balance / LAMPORTS_PER_SOL)
        metrics.violations.at("double_buy").set(report.double_buys)
        metrics.violations.at("lost_intent").set(report.lost_intents)
        metrics.violations.at("unknown_open").set(report.unknown_open)

    def _show_network(self, report: EngineReport) -> None:
        metrics = self._metrics
        metrics.frames.at().reach(report.detector.frames)
        for reason, number in report.detector.dropped.items():
            metrics.dropped.at(reason.value).reach(number)
            if reason.value in _DRIFT:
                metrics.drift.at(reason.value).reach(number)
        reads = report.reads
        metrics.cache.at("accounts", "hit").reach(reads.cached + reads.streamed)
        metrics.cache.at("accounts", "miss").reach(reads.asked - reads.cached)
        for purpose, number in report.rpc_calls.items():
            metrics.rpc_calls.at(purpose).reach(number)
        for endpoint in report.endpoints:
            metrics.endpoint_up.at(endpoint.name).set(1 if endpoint.state == "closed" else 0)
            metrics.endpoint_lag.at(endpoint.name).set(endpoint.lag_slots)
            latency = endpoint.latency_ns
            metrics.endpoint_latency.at(endpoint.name).set(None if latency is None else latency / _NS_PER_S)
            metrics.endpoint_calls.at(endpoint.name).reach(sum(endpoint.calls.values()))
            for kind, number in endpoint.failures.items():
                metrics.endpoint_failures.at(endpoint.name, kind).reach(number)

    def _on_gc(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._gc_began = self._clock.mono_ns()
        elif self._gc_began is not None:
            self._gc_ns += elapsed_ns(self._gc_began, self._clock.mono_ns())
            self._gc_began = None
