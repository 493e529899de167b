"""A load run in front of a person: the event loop, Ctrl-C, the progress, the text, the file."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final, Self, TextIO

import uvloop
from msgspec.structs import replace

from slotzero.clock import elapsed_ns, mono_ns, ms
from slotzero.perf.environment import passport
from slotzero.perf.load_document import load_document
from slotzero.perf.load_types import GeneratorHealth, LoadOutcome, LoadProgress, LoadResult
from slotzero.perf.result_file import encode_document, require_writable, write_result_file
from slotzero.perf.types import LatencyStats
from slotzero.workloads.load_run import LoadPlan, run_load

__all__ = ["as_text", "load_session"]

_WIDTH: Final = 120
STDOUT: Final = Path("-")
_INTERRUPTED: Final = 130
_CLEAN_UP_S: Final = 3
_ONE_SIGNAL_MS: Final = 250
"""`timeout` sends its signal to the process and then to the group it is in: that is one wish to end, not two."""


def load_session(plan: LoadPlan, *, json: Path | None, stdout: TextIO) -> LoadOutcome:
    """Run, show, write. Returns the outcome.

    Args:
        plan: What is run.
        json: Where to write the document, "-" for stdout (then nothing else goes there), or None.
        stdout: Where the result goes; progress goes to stderr.

    Raises:
        UsageError: The file cannot be written, or the plan cannot be run.
    """
    if json is not None and json != STDOUT:
        require_writable(json)
    with _Session() as session, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(session.run(plan))
        _tell(outcome, json, stdout)
        if session.was_interrupted:
            session.leave_soon()
    return outcome


def _tell(outcome: LoadOutcome, json: Path | None, stdout: TextIO) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    if json is not None:
        loop = outcome.event_loop if isinstance(outcome, LoadResult) else ""
        document = load_document([outcome], passport(event_loop=loop or None))
        if json == STDOUT:
            stdout.write(encode_document(document).decode())
        else:
            write_result_file(json, document)
    if json != STDOUT and isinstance(outcome, LoadResult):
        stdout.write(as_text(outcome) + "\n")
    stdout.flush()


class _Session:
    """A run and the signals that end it.

    The first Ctrl-C or SIGTERM ends the run with what it has. A second one ends it without a result, within some
    seconds even if something does not let itself be cancelled; a third one ends the process, as by default. The
    handlers are the interpreter's and not the loop's, since a callable that blocks holds up the loop.
    """

    def __init__(self) -> None:
        self.was_interrupted = False
        self._ends_at_once = False
        self._first_at = 0
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):  # before asyncio.Runner looks whether Ctrl-C is its own affair
            self._handle(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if signal.SIGALRM in self._before:
            signal.alarm(0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    async def run(self, plan: LoadPlan) -> LoadOutcome:
        self._loop, self._main = asyncio.get_running_loop(), asyncio.current_task()
        try:
            outcome = await run_load(plan, on_progress=_show, stop=self._stop)
        except asyncio.CancelledError:
            if self._ends_at_once:
                raise KeyboardInterrupt from None
            raise
        if self.was_interrupted and isinstance(outcome, LoadResult) and outcome.stopped == "completed":
            return replace(outcome, stopped="interrupted", passed=False)  # what follows the load was cut short
        return outcome

    def leave_soon(self) -> None:
        """End the process in some seconds, unless it has ended by then."""
        self._handle(signal.SIGALRM, lambda *_: os._exit(_INTERRUPTED))
        signal.alarm(_CLEAN_UP_S)

    def _handle(self, number: int, handler: Callable[[int, FrameType | None], object]) -> None:
        before = signal.signal(number, handler)
        self._before.setdefault(number, before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._loop is None:
            raise KeyboardInterrupt
        if not self.was_interrupted:
            self.was_interrupted = True
            self._first_at = mono_ns()
            self._loop.call_soon_threadsafe(self._end)
        elif elapsed_ns(self._first_at, mono_ns()) >= ms(_ONE_SIGNAL_MS):
            self._ends_at_once = True
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            self.leave_soon()
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._cancel)

    def _end(self) -> None:
        line_end = "\n" if sys.stderr.isatty() else ""  # after the line of progress
        sys.stderr.write(f"{line_end}ending with what was measured so far; Ctrl-C again ends at once\n")
        self._stop.set()

    def _cancel(self) -> None:
        assert self._main is not None
        self._main.cancel()


def _show(progress: LoadProgress) -> None:
    """Show progress on a terminal, in one line that is overwritten."""
    if not sys.stderr.isatty():
        return
    p95 = "-" if progress.p95_ms is None else f"{progress.p95_ms:.1f} ms"
    line = (
        f"{progress.elapsed_s:6.0f}/{progress.duration_s:.0f} s  {progress.ops_per_s:9.1f}/s  p95 {p95:>10}  "
        f"errors {progress.errors} (total {progress.total_errors})  in flight {progress.in_flight}"
    )
    shards = f"  shards {progress.shards}" if progress.shards > 1 else ""
    sys.stderr.write(f"\r\x1b[K{line}{shards}")
    sys.stderr.flush()


def as_text(result: LoadResult) -> str:
    """Return a result as lines for a person. *Pure.*"""
    health = result.generator
    verdict = "INTERRUPTED" if result.stopped == "interrupted" else "passed" if result.passed else "NOT PASSED"
    share, missed = result.success_rate_percent, result.missed_starts
    lines = [
        f"{result.scenario}: {verdict}, generator {health.verdict}",
        f"  {result.model} model, {result.concurrency} at once, {result.duration_s:.1f} s, {result.stopped}",
        f"  {result.total_ops} operations, {result.achieved_ops_per_s:.1f}/s, success {share:.2f} %",
        f"  {result.interrupted} interrupted, {missed} arrivals missed, at most {result.peak_in_flight} in flight",
    ]
    headline = "response" if result.model == "open" else "service"
    lines += _latency_line(headline, result.latency_ms)
    if result.model == "open":
        lines += _latency_line("service", result.service_ms)
    lines += _health_lines(health)
    lines += [f"  {kind}: {count}" for kind, count in result.errors.items() if count]
    lines += [
        f"    {detail.count} x {detail.kind}/{detail.code} ({detail.origin}): {detail.example}"
        for detail in result.error_details[:5]
    ]
    lines += [
        f"  {name:<12} CPU {used.avg_cpu_percent:.1f} %, RSS {used.peak_rss_mb:.1f} MB, files {_figure(used.peak_fds)}"
        for name, used in result.resources.items()
    ]
    lines += [
        f"  {'met   ' if found.met else 'MISSED'} {found.name}{f': {found.why}' if found.why else ''}"
        for found in result.thresholds
    ]
    for name, block in result.extra.items():
        shown = "  ".join(f"{figure} {value:g}" for figure, value in block.items() if value is not None)
        lines += textwrap.wrap(f"{name}: {shown or 'none'}", _WIDTH, initial_indent="  ", subsequent_indent="      ")
    lines += [f"  because {reason}" for reason in health.reasons]
    lines += [f"  at {incident.at_s:.1f} s: {incident.what}" for incident in result.incidents]
    lines += [f"  note: {note}" for note in result.notes]
    return "\n".join(lines)


def _latency_line(name: str, stats: LatencyStats | None) -> list[str]:
    if stats is None:
        return []
    points = {"p50": stats.median, "p95": stats.p95, "p99": stats.p99, "p99.9": stats.p999, "max": stats.max}
    return [f"  {name + ' ms':<12} " + "  ".join(f"{point} {value:.2f}" for point, value in points.items())]


def _health_lines(health: GeneratorHealth) -> list[str]:
    """Return the same figures for every model: what a run has none of is a dash."""
    late = health.lateness_ms
    late_p50, late_p99 = (None, None) if late is None else (late.median, late.p99)
    times = (
        f"lateness p50 {_figure(late_p50, 2)}  p99 {_figure(late_p99, 2)}  "
        f"loop delay p50 {_figure(health.loop_delay_p50_ms, 2)}  p99 {_figure(health.loop_delay_p99_ms, 2)}  "
        f"GC longest {_figure(health.gc_max_ms, 2)}  sum {_figure(health.gc_total_ms, 2)}"
    )
    counts = (
        f"planned {_figure(health.planned)}  begun {health.started}  dropped {health.dropped}  late {health.late}  "
        f"unstarted {health.unstarted}  GC pauses {health.gc_pauses}  files {_figure(health.peak_fds)}  "
        f"steal {_figure(health.steal_percent, 1)} %"
    )
    return [f"  {'health ms':<12} {times}", f"  {'health':<12} {counts}"]


def _figure(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
