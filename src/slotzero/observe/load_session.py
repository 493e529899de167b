"""A load run in front of a person: the event loop, Ctrl-C, the progress, the text, the file."""

import asyncio
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

import uvloop

from slotzero.perf.environment import passport
from slotzero.perf.load_document import load_document
from slotzero.perf.load_types import LoadOutcome, LoadProgress, LoadResult
from slotzero.perf.result_file import encode_document, require_writable, write_result_file
from slotzero.perf.types import LatencyStats
from slotzero.workloads.load_run import LoadPlan, run_load

__all__ = ["as_text", "load_session"]

_WIDTH: Final = 120
STDOUT: Final = Path("-")


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
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcome = runner.run(_run(plan))
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    if json is not None:
        loop = outcome.event_loop if isinstance(outcome, LoadResult) else ""
        document = load_document([outcome], passport(event_loop=loop or None))
        if json == STDOUT:
            stdout.write(encode_document(document).decode())
            return outcome
        write_result_file(json, document)
    if isinstance(outcome, LoadResult):
        stdout.write(as_text(outcome) + "\n")
    return outcome


async def _run(plan: LoadPlan) -> LoadOutcome:
    with _stop_on_interrupt() as stop:
        return await run_load(plan, on_progress=_show, stop=stop)


@contextmanager
def _stop_on_interrupt() -> Iterator[asyncio.Event]:
    """Let the first Ctrl-C end the run with what it has; a second one ends at once."""
    stop, loop, task = asyncio.Event(), asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield stop
    except asyncio.CancelledError:
        if stop.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGINT)


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
    verdict = "passed" if result.passed else "NOT PASSED"
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
    if health.lateness_ms is not None:
        lines.append(f"  {'lateness ms':<12} p50 {health.lateness_ms.median:.2f}  p99 {health.lateness_ms.p99:.2f}")
    lines += [f"  {kind}: {count}" for kind, count in result.errors.items() if count]
    lines += [
        f"    {detail.count} x {detail.kind}/{detail.code} ({detail.origin}): {detail.example}"
        for detail in result.error_details[:5]
    ]
    lines += [
        f"  {name:<12} CPU {used.avg_cpu_percent:.1f} %, RSS {used.peak_rss_mb:.1f} MB"
        for name, used in result.resources.items()
    ]
    lines += [
        f"  {'met   ' if found.met else 'MISSED'} {found.name}{f': {found.why}' if found.why else ''}"
        for found in result.thresholds
    ]
    for name, block in result.extra.items():
        shown = "  ".join(f"{figure} {value:g}" for figure, value in block.items() if value is not None)
        lines += textwrap.wrap(f"{name}: {shown}", _WIDTH, initial_indent="  ", subsequent_indent="      ")
    lines += [f"  because {reason}" for reason in health.reasons]
    lines += [f"  at {incident.at_s:.1f} s: {incident.what}" for incident in result.incidents]
    lines += [f"  note: {note}" for note in result.notes]
    return "\n".join(lines)


def _latency_line(name: str, stats: LatencyStats | None) -> list[str]:
    if stats is None:
        return []
    points = {"p50": stats.median, "p95": stats.p95, "p99": stats.p99, "p99.9": stats.p999, "max": stats.max}
    return [f"  {name + ' ms':<12} " + "  ".join(f"{point} {value:.2f}" for point, value in points.items())]
