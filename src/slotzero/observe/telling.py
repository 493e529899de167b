"""What a run tells of itself: metrics, the feed for watchers, traces, a log file, and the page beside it.

`told` puts them together around a run and gives the hook for the engine. Without a watcher and without files it costs
the drain of a ring ten times a second.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from slotzero import __version__
from slotzero.clock import Clock, SystemClock
from slotzero.control.feed import AskReport, LiveFeed
from slotzero.errors import UsageError
from slotzero.hook import BotEvent, Hook
from slotzero.observe.bot import BotFeed
from slotzero.observe.line_writer import LineWriter
from slotzero.observe.logs import RecordHandler, line_of_event, log_file_line
from slotzero.observe.metrics import Registry
from slotzero.observe.otlp_export import OtlpExporter
from slotzero.trace import Component
from slotzero.tracing import SnipeTrace, of_event, otlp_line
from slotzero.workloads.bot_run import state_folder
from slotzero.workloads.targets import target_of

if TYPE_CHECKING:
    from slotzero.control.feed_records import LogLine

__all__ = ["TellRequest", "told"]

_PAGE_STARTS_WITHIN_S: Final = 20
_PAGE_ENDS_WITHIN_S: Final = 5


class TellRequest(Struct, frozen=True, kw_only=True):
    """What a run is to tell, and where.

    Attributes:
        log_file: JSON lines are appended to it.
        trace_file: Each snipe as a line of OTLP/JSON is appended to it.
        otlp: A collector's address, "" = none.
        serve_port: Serve the page there; None = no page.
    """

    log_file: Path | None = None
    trace_file: Path | None = None
    otlp: str = ""
    serve_port: int | None = None


@asynccontextmanager
async def told(
    request: TellRequest,
    *,
    cluster: str,
    slot_ms: int,
    report: AskReport,
    say: Callable[[str], None] = lambda _text: None,
) -> AsyncIterator[Hook]:
    """Tell of a run while the block runs. *Does I/O.*

    Args:
        request: What is told.
        cluster: What is traded on.
        slot_ms: Its slot time, as configured.
        report: Where the engine's state comes from.
        say: Told at the end what became of the traces, where a collector was named.

    Raises:
        UsageError: A file cannot be written, or the page's port is taken.
    """
    clock = SystemClock()
    registry = Registry()
    live = LiveFeed(
        clock, cluster=cluster, slot_ms=slot_ms, metrics=lambda openmetrics: registry.render(openmetrics=openmetrics)
    )
    sinks = _Sinks(live, clock)
    feed = BotFeed(
        registry,
        targets={component: target_of(component, slot_ms) for component in Component},
        clock=clock,
        listeners=(sinks.on_event,),
    )
    async with contextlib.AsyncExitStack() as until_ended:
        if request.log_file is not None:
            sinks.lines.append(until_ended.enter_context(LineWriter(request.log_file, log_file_line)).put)
        if request.trace_file is not None:
            sinks.traces.append(until_ended.enter_context(LineWriter(request.trace_file, _trace_line)).put)
        if request.otlp:
            exporter = OtlpExporter(request.otlp)
            until_ended.callback(lambda: say(exporter.summary))  # after it has ended: it is entered later
            sinks.traces.append(until_ended.enter_context(exporter).put)
        until_ended.enter_context(_handling(RecordHandler(clock, *sinks.lines)))
        await until_ended.enter_async_context(live.serve(state_folder()))
        tasks = await until_ended.enter_async_context(asyncio.TaskGroup())
        services = [
            tasks.create_task(feed.run(lambda: report(with_exits=False)), name="metrics"),
            tasks.create_task(live.run(report), name="feed"),
        ]
        if request.serve_port is not None:
            await until_ended.enter_async_context(_page(request.serve_port))
        try:
            yield feed.hook
        finally:
            for service in services:
                service.cancel()


class _Sinks:
    """Whom an event's log line and trace go to."""

    def __init__(self, live: LiveFeed, clock: Clock) -> None:
        self._live = live
        self._clock = clock
        self.lines: list[Callable[[LogLine], None]] = [live.on_log]
        self.traces: list[Callable[[SnipeTrace], None]] = []

    def on_event(self, event: BotEvent) -> None:
        self._live.on_event(event)
        if (line := line_of_event(event, self._clock.wall_ns())) is not None:
            for take_line in self.lines:
                take_line(line)
        if self.traces and (trace := of_event(event, self._live.anchor)) is not None:
            for take_trace in self.traces:
                take_trace(trace)


def _trace_line(trace: SnipeTrace) -> bytes:
    return otlp_line(trace, version=__version__)


@contextlib.contextmanager
def _handling(handler: logging.Handler) -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("slotzero")
    before = ours.level
    root.addHandler(handler)
    ours.setLevel(handler.level)  # the terminal's handler keeps its own, higher one
    try:
        yield
    finally:
        root.removeHandler(handler)
        ours.setLevel(before)


@asynccontextmanager
async def _page(port: int) -> AsyncIterator[None]:
    """Run the page in a process of its own, so that nothing of it is this loop's work."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slotzero", "serve", "--port", str(port), "--bot", str(os.getpid())),
        "--until-stdin-closes",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the bot; the page ends with it
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_PAGE_STARTS_WITHIN_S):
            if not await process.stdout.readline():
                raise UsageError(
                    "the page could not be started, as said above; name another port or run without --serve"
                )
        yield
    finally:
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PAGE_ENDS_WITHIN_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
