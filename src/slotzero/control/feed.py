"""The bot's side of being watched: a socket for its owner alone, over which each watcher is told what is new.

All statistics, the page and its viewers are in the watcher's process. Here, four times a second, what has happened is
encoded once for all watchers; without a watcher nothing is, and only the newest traces and log lines are kept.
"""

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from slotzero import __version__
from slotzero.clock import Clock, add_ms
from slotzero.control.feed_records import BotView, FeedAsk, FeedFrame, Hello, LogLine, MetricsText, feed_path
from slotzero.control.server import status_of
from slotzero.engine import EngineReport
from slotzero.hook import BotEvent, PoolJudged, PositionEnded, SnipeDecided, StageTimed
from slotzero.trace import Component, Trace
from slotzero.tracing import SnipeTrace, of_event
from slotzero.tracing.snipe import Anchor

__all__ = ["AskReport", "LiveFeed"]

log = logging.getLogger(__name__)

_FRAME_EVERY_MS: Final = 250
_VIEW_EVERY: Final = 4
_MOST_SPANS: Final = 4_096
_MOST_TRACES: Final = 256
_MOST_SLOW: Final = 32
_MOST_LOGS: Final = 400
_MOST_WATCHERS: Final = 8
_MOST_UNREAD: Final = 4_000_000
"""Bytes a watcher may leave unread before it is let go."""
_ENTRY: Final = (Component.DETECTION, Component.FILTERS, Component.EXECUTION, Component.FULL_FLOW)
_NS_PER_MS: Final = 1_000_000


class AskReport(Protocol):
    """Asks the engine how things are; None while there is nothing to say."""

    def __call__(self, *, with_exits: bool) -> EngineReport | None:
        """Return the report, with the state of each position's exit where that is asked for."""
        ...


class LiveFeed:
    """What has happened, for whoever watches.

    Args:
        clock: Time.
        cluster: What is traded on.
        slot_ms: Its slot time, as configured.
        metrics: Makes the text of a scrape; the argument asks for OpenMetrics.
    """

    def __init__(self, clock: Clock, *, cluster: str, slot_ms: int, metrics: Callable[[bool], bytes]) -> None:
        self._clock = clock
        self._metrics = metrics
        self.anchor: Final = Anchor(mono=clock.mono_ns(), wall=clock.wall_ns())
        self._hello = Hello(
            pid=os.getpid(),
            version=__version__,
            cluster=cluster,
            slot_ms=slot_ms,
            ts_ms=self.anchor.wall // _NS_PER_MS,
        )
        self._watchers: set[asyncio.StreamWriter] = set()
        self._spans: dict[str, list[tuple[int, int | None]]] = {}
        self._dropped = 0
        self._new_snipes: deque[SnipeTrace] = deque(maxlen=_MOST_TRACES)
        self._new_logs: deque[LogLine] = deque(maxlen=_MOST_LOGS)
        self._snipes: deque[SnipeTrace] = deque(maxlen=_MOST_TRACES)
        self._slowest: list[SnipeTrace] = []
        self._logs: deque[LogLine] = deque(maxlen=_MOST_LOGS)
        self._view: BotView | None = None

    # ---- what happens ----------------------------------------------------------------------------------------------

    def on_event(self, event: BotEvent) -> None:
        """Take an event: a listener of `BotFeed`, off the hot path."""
        match event:
            case SnipeDecided(trace=trace):
                self._time(trace, _ENTRY)
            case PositionEnded(trace=trace):
                self._time(trace, (Component.EXIT,))
            case PoolJudged(took_ns=took):
                self._span(Component.HONEYPOT, took, None)
            case StageTimed(component=component, total_ns=total, own_ns=own):
                self._span(component, total, own)
            case _:
                return
        if (trace_record := of_event(event, self.anchor)) is not None:
            self._keep(trace_record)

    def on_log(self, line: LogLine) -> None:
        """Take a line of the log."""
        self._logs.append(line)
        if self._watchers:
            self._new_logs.append(line)

    def _keep(self, trace: SnipeTrace) -> None:
        self._snipes.append(trace)
        if self._watchers:
            self._new_snipes.append(trace)
        if len(self._slowest) < _MOST_SLOW or trace.total_ms > self._slowest[-1].total_ms:
            self._slowest.append(trace)
            self._slowest.sort(key=lambda one: one.total_ms, reverse=True)
            del self._slowest[_MOST_SLOW:]

    def _time(self, trace: Trace, components: tuple[Component, ...]) -> None:
        for component in components:
            if (span := trace.span(component)) is not None:
                self._span(component, span.total_ns, span.own_ns)

    def _span(self, component: Component, total: int, own: int | None) -> None:
        if not self._watchers:
            return
        spans = self._spans.setdefault(component.value, [])
        if len(spans) < _MOST_SPANS:
            spans.append((total, own))
        else:
            self._dropped += 1

    # ---- who watches -----------------------------------------------------------------------------------------------

    async def run(self, report: AskReport) -> None:
        """Tell the watchers until cancelled.

        Args:
            report: Where the state comes from. Called only while somebody watches.
        """
        turn = 0
        while True:
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), _FRAME_EVERY_MS))
            turn += 1
            if not self._watchers:
                continue
            found = report(with_exits=True) if turn % _VIEW_EVERY == 0 else None
            self._tell(self._frame(None if found is None else view_of(found)))

    @asynccontextmanager
    async def serve(self, state: Path) -> AsyncIterator[None]:
        """Let watchers in while the block runs. *Does I/O.* Where no socket can be made it says so and goes on."""
        path = feed_path(state, self._hello.pid)
        server = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._admit, path)
            path.chmod(0o600)
        except OSError as error:
            log.warning("no socket at %s (%s): the page cannot show this run", path, error)
        try:
            yield
        finally:
            if server is not None:
                server.close()
                path.unlink(missing_ok=True)
            for watcher in tuple(self._watchers):
                watcher.close()

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            ask = msgspec.json.decode(await reader.readline(), type=FeedAsk)
            if ask.what != "frames":
                text = self._metrics(ask.what == "openmetrics").decode()
                writer.write(msgspec.json.encode(MetricsText(text=text)) + b"\n")
                await writer.drain()
            elif len(self._watchers) < _MOST_WATCHERS:
                writer.write(self._first())
                self._watchers.add(writer)
                await reader.read()  # until it leaves
        except (msgspec.MsgspecError, ConnectionError, ValueError) as error:
            log.info("a watcher left: %s", error)
        finally:
            self._watchers.discard(writer)
            writer.close()

    def _first(self) -> bytes:
        known = {(trace.id, trace.outcome): trace for trace in (*self._slowest, *self._snipes)}
        frame = FeedFrame(
            mono_ns=self._clock.mono_ns(),
            hello=self._hello,
            snipes=tuple(sorted(known.values(), key=lambda one: one.ts_ns)),
            logs=tuple(self._logs),
            view=self._view,
        )
        return msgspec.json.encode(frame) + b"\n"

    def _frame(self, view: BotView | None) -> bytes:
        if view is not None:
            self._view = view
        frame = FeedFrame(
            mono_ns=self._clock.mono_ns(),
            spans=self._spans,
            dropped=self._dropped,
            snipes=tuple(self._new_snipes),
            logs=tuple(self._new_logs),
            view=view,
        )
        self._spans, self._dropped = {}, 0
        self._new_snipes.clear()
        self._new_logs.clear()
        return msgspec.json.encode(frame) + b"\n"

    def _tell(self, line: bytes) -> None:
        for watcher in tuple(self._watchers):
            if watcher.transport.get_write_buffer_size() > _MOST_UNREAD:
                self._watchers.discard(watcher)
                watcher.transport.abort()  # it comes again when it can read
            else:
                with contextlib.suppress(ConnectionError):
                    watcher.write(line)


def view_of(report: EngineReport) -> BotView:
    """Return the state a watcher is shown. *Pure.*"""
    return BotView(
        status=status_of(report),
        in_flight=report.in_flight,
        waiting=report.admission.waiting,
        value_lamports=sum(value or 0 for value in report.values.values()),
        pnl_lamports=report.forgotten_pnl_lamports
        + sum(position.pnl_lamports for position in report.positions if position.state == "closed"),
        balance_lamports=report.balance,
        loop_p50_ms=report.loop_delay.p50_ms,
        loop_p99_ms=report.loop_delay.p99_ms,
        loop_max_ms=report.loop_delay.max_ms,
        double_buys=report.double_buys,
        lost_intents=report.lost_intents,
        unknown_open=report.unknown_open,
        reads_without_rpc_bps=report.reads.without_rpc_bps,
        reads_asked=report.reads.asked,
        frames=report.detector.frames,
        rpc_calls=sum(report.rpc_calls.values()),
        endpoints={endpoint.name: endpoint.state for endpoint in report.endpoints},
    )
