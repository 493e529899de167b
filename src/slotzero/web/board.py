"""What the page shows of a running bot: fed with its frames, asked for a snapshot each tick. Sans-I/O.

A component's figures are of its newest samples within the window, exact by nearest rank, at most `_MOST_SAMPLES` of
them; beyond that the oldest are left out.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from slotzero.clock import add_ms, earlier, is_due, ms
from slotzero.control.feed_records import BotView, FeedFrame, Hello, LogLine
from slotzero.control.records import PositionView
from slotzero.perf.stats import percentiles
from slotzero.perf.types import Target
from slotzero.trace import Component
from slotzero.tracing import SnipeTrace
from slotzero.units import NS_PER_MS
from slotzero.web.records import (
    ComponentFigures,
    Counts,
    Performance,
    Position,
    Resources,
    Standing,
    SystemCheck,
)
from slotzero.workloads.targets import SYSTEM_TARGETS

__all__ = ["Board"]

WINDOW_S: Final = 300
_RATE_S: Final = 10
_MOST_SAMPLES: Final = 4_096
_MOST_TRACES: Final = 600
_MOST_LOGS: Final = 1_000
_FEWEST_READS: Final = 50
"""Below so many the share says nothing: the start has to read once what is then kept."""
_CPU_READINGS: Final = 60
_FEWEST_CPU_READINGS: Final = 10
_NEAR_PERCENT: Final = 80
_WHOLE: Final = 100
_NS_PER_MS: Final = float(NS_PER_MS)
_ORDER: Final[tuple[Standing, ...]] = ("over", "near", "ok", "idle")


class _Samples:
    """One component's newest samples."""

    __slots__ = ("at", "count", "figures", "own", "total")

    def __init__(self) -> None:
        self.at: deque[int] = deque(maxlen=_MOST_SAMPLES)
        self.total: deque[int] = deque(maxlen=_MOST_SAMPLES)
        self.own: deque[int | None] = deque(maxlen=_MOST_SAMPLES)
        self.count = 0
        self.figures: tuple[float | None, float | None, float | None, float | None] | None = None
        """p50, p95, p99 and the own p95; None = they must be worked out again."""

    def add(self, at: int, total: int, own: int | None) -> None:
        self.at.append(at)
        self.total.append(total)
        self.own.append(own)
        self.count += 1
        self.figures = None

    def forget(self, before: int) -> None:
        while self.at and self.at[0] < before:
            self.at.popleft()
            self.total.popleft()
            self.own.popleft()
            self.figures = None

    def worked_out(self) -> tuple[float | None, float | None, float | None, float | None]:
        if self.figures is None:
            whole = percentiles(self.total)
            own = percentiles(value for value in self.own if value is not None)
            self.figures = (
                None if whole is None else whole.p50 / _NS_PER_MS,
                None if whole is None else whole.p95 / _NS_PER_MS,
                None if whole is None else whole.p99 / _NS_PER_MS,
                None if own is None else own.p95 / _NS_PER_MS,
            )
        return self.figures


class Board:
    """The state of one bot, or of none.

    Args:
        target_of: What a component is held against, at a slot time in milliseconds.
    """

    def __init__(self, target_of: Callable[[Component, int], Target]) -> None:
        self._target_of = target_of
        self._samples = {component: _Samples() for component in Component}
        self._snipes: OrderedDict[tuple[str, str], SnipeTrace] = OrderedDict()
        self._logs: deque[LogLine] = deque(maxlen=_MOST_LOGS)
        self._targets: dict[Component, Target] = {}
        self._peak_memory: float | None = None
        self._cpu: deque[float] = deque(maxlen=_CPU_READINGS)
        self.hello: Hello | None = None
        self.view: BotView | None = None

    def on_frame(self, frame: FeedFrame, now: int) -> None:
        """Take a frame; the first of another bot begins anew."""
        if frame.hello is not None:
            self._greet(frame.hello)
        for name, spans in frame.spans.items():
            samples = self._samples[Component(name)]
            for total, own in spans:
                samples.add(now, total, own)
        for trace in frame.snipes:
            key = (trace.id, "exit" if trace.outcome in {"closed", "stuck"} else "entry")
            self._snipes[key] = trace
            self._snipes.move_to_end(key)
        while len(self._snipes) > _MOST_TRACES:
            self._snipes.popitem(last=False)
        self._logs.extend(frame.logs)
        if frame.view is not None:
            self.view = frame.view

    def on_gone(self) -> None:
        """Take note that the bot is no longer there; what it told stays to be read."""
        self.hello = None

    def _greet(self, hello: Hello) -> None:
        self.hello = hello
        self._targets = {component: self._target_of(component, hello.slot_ms) for component in Component}
        self._samples = {component: _Samples() for component in Component}
        self._snipes.clear()
        self._logs.clear()
        self.view = None
        self._peak_memory = None
        self._cpu.clear()

    # ---- looking ---------------------------------------------------------------------------------------------------

    def performance(
        self, *, seq: int, now: int, wall_ms: int, memory_mb: float | None, cpu: float | None
    ) -> Performance:
        """Return the snapshot of a tick.

        Args:
            seq: The tick's number.
            now: A monotonic instant.
            wall_ms: The wall clock.
            memory_mb: Of the bot's process, None = not known.
            cpu: Of a core, in percent, since the reading before; None = not known.
        """
        components = tuple(self._figures(component, now) for component in Component)
        view = self.view
        if memory_mb is not None:
            self._peak_memory = max(memory_mb, self._peak_memory or 0)
        if cpu is not None:
            self._cpu.append(cpu)
        success = None
        if view is not None and (ended := view.status.bought + sum(view.status.failed.values())):
            success = _WHOLE * view.status.bought / ended
        system = self._system(success)
        standings = {one.standing for one in components} | {one.standing for one in system}
        return Performance(
            seq=seq,
            ts_ms=wall_ms,
            bot=self.hello,
            verdict=next(standing for standing in _ORDER if standing in standings),
            window_s=WINDOW_S,
            components=components,
            system=system,
            counts=self._counts(),
            resources=Resources(
                memory_mb=memory_mb,
                cpu_percent=cpu,
                loop_p50_ms=None if view is None else view.loop_p50_ms,
                loop_p99_ms=None if view is None else view.loop_p99_ms,
                loop_max_ms=None if view is None else view.loop_max_ms,
            ),
            success_percent=success,
            pnl_lamports=0 if view is None else view.pnl_lamports,
            value_lamports=0 if view is None else view.value_lamports,
            balance_lamports=0 if view is None else view.balance_lamports,
            halted="" if view is None else view.status.halted,
            invariants={}
            if view is None
            else {
                "double_buys": view.double_buys,
                "lost_intents": view.lost_intents,
                "unknown_open": view.unknown_open,
            },
            endpoints={} if view is None else view.endpoints,
        )

    def positions(self) -> tuple[Position, ...]:
        """Return the positions, held ones first."""
        view = self.view
        return () if view is None else tuple(shown(one) for one in view.status.positions)

    def snipes(self) -> list[SnipeTrace]:
        """Return the traces, oldest first."""
        return list(self._snipes.values())

    def snipe(self, mint: str) -> tuple[SnipeTrace, ...]:
        """Return one pool's traces: the buy or refusal, then the exit."""
        return tuple(self._snipes[mint, part] for part in ("entry", "exit") if (mint, part) in self._snipes)

    def logs(self) -> tuple[LogLine, ...]:
        """Return the log's newest lines, oldest first."""
        return tuple(self._logs)

    def _figures(self, component: Component, now: int) -> ComponentFigures:
        samples = self._samples[component]
        samples.forget(earlier(now, ms(WINDOW_S * 1_000)))
        p50, p95, p99, own = samples.worked_out()
        target = self._targets.get(component) or self._target_of(component, 0)
        used = None if p95 is None else _WHOLE * p95 / target.p95_ms
        recent = 0
        for at in reversed(samples.at):
            if is_due(add_ms(at, _RATE_S * 1_000), now):
                break
            recent += 1
        return ComponentFigures(
            component=component.value,
            count=samples.count,
            window_count=len(samples.total),
            p50_ms=_rounded(p50),
            p95_ms=_rounded(p95),
            p99_ms=_rounded(p99),
            own_p95_ms=_rounded(own),
            ops_per_s=recent / _RATE_S,
            target_p95_ms=target.p95_ms,
            aim_p95_ms=target.aim_p95_ms,
            used_percent=None if used is None else round(used, 2),
            aim_met=None if p95 is None or target.aim_p95_ms is None else p95 <= target.aim_p95_ms,
            standing=_standing(used),
        )

    def _system(self, success: float | None) -> tuple[SystemCheck, ...]:
        view, reads = self.view, None
        if view is not None and view.reads_asked >= _FEWEST_READS:
            reads = view.reads_without_rpc_bps / _WHOLE
        cpu = sum(self._cpu) / len(self._cpu) if len(self._cpu) >= _FEWEST_CPU_READINGS else None
        rows = (
            ("snipes landed", "%", success, SYSTEM_TARGETS.success_percent, True),
            ("reads without a call", "%", reads, SYSTEM_TARGETS.reads_without_call_percent, True),
            ("memory, peak", "MB", self._peak_memory, SYSTEM_TARGETS.peak_memory_mb, False),
            ("CPU, average", "%", cpu, SYSTEM_TARGETS.avg_cpu_percent, False),
        )
        return tuple(
            SystemCheck(
                name=name,
                unit=unit,
                value=None if value is None else round(value, 1),
                limit=limit,
                is_floor=is_floor,
                standing=_floor(value, limit)
                if is_floor
                else _standing(None if value is None else _WHOLE * value / limit),
            )
            for name, unit, value, limit, is_floor in rows
        )

    def _counts(self) -> Counts:
        view = self.view
        if view is None:
            return Counts()
        return Counts(
            detected=view.status.detected,
            bought=view.status.bought,
            closed=view.status.closed,
            held=sum(position.state != "closed" for position in view.status.positions),
            in_flight=view.in_flight,
            waiting=view.waiting,
            refused=view.status.refused,
            failed=view.status.failed,
        )


def shown(position: PositionView) -> Position:
    """Return a position as the API tells of it. *Pure.*"""
    return Position(
        id=position.id,
        mint=position.mint,
        symbol=position.symbol,
        venue=position.venue,
        wallet=position.wallet,
        state=position.state,
        reason=position.reason,
        tokens=position.tokens,
        quoted_lamports=position.quoted_lamports,
        value_lamports=position.value_lamports,
        stop_lamports=position.stop_lamports,
        pnl_lamports=position.pnl_lamports,
        opened_ms=position.opened_ms,
    )


def _standing(used_percent: float | None) -> Standing:
    if used_percent is None:
        return "idle"
    if used_percent > _WHOLE:
        return "over"
    return "near" if used_percent > _NEAR_PERCENT else "ok"


def _floor(value: float | None, limit: float) -> Standing:
    if value is None:
        return "idle"
    return "ok" if value > limit else "over"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
