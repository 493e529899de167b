"""Benchmarks in front of a person: the event loop, Ctrl-C, the progress, the tables, the files."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Final, TextIO

import uvloop
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from slotzero.errors import UsageError
from slotzero.observe.bench_table import milliseconds, print_benchmarks
from slotzero.perf.result_file import (
    ResultDocument,
    baseline_path,
    encode_document,
    require_writable,
    write_result_file,
)
from slotzero.perf.types import BenchmarkOutcome, BenchmarkResult, Progress
from slotzero.workloads.bench_run import BenchPlan, is_good, run_benchmarks

__all__ = ["BenchEnd", "bench_session"]

_REDRAW_S: Final = 0.25
STDOUT: Final = Path("-")


class BenchEnd:
    """How a session has ended: `is_good` when every target was met, `was_interrupted` by Ctrl-C."""

    def __init__(self, *, is_good: bool, was_interrupted: bool) -> None:
        self.is_good = is_good
        self.was_interrupted = was_interrupted


def bench_session(plan: BenchPlan, *, baseline: str | None, json: Path | None, stdout: TextIO) -> BenchEnd:
    """Measure, show, write.

    Args:
        plan: What is measured.
        baseline: The name to keep the document under, or None.
        json: Where to write the document, "-" for stdout (then the tables go to stderr), or None.
        stdout: Where the result goes; progress goes to stderr.

    Raises:
        UsageError: A file cannot be written. What can be known of that is found out before measuring.
    """
    kept = None if baseline is None else _place_of(baseline)
    if json is not None and json != STDOUT:
        require_writable(json)
    session = _Session()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        document = runner.run(session.run(plan))
    if document is None:
        return BenchEnd(is_good=False, was_interrupted=True)
    _show(document, to_stdout=json != STDOUT, stdout=stdout)
    if json == STDOUT:
        stdout.write(encode_document(document).decode())
    elif json is not None:
        write_result_file(json, document)
    if kept is not None and not document.stopped:
        write_result_file(kept, document)
        session.console.print(f"kept as the baseline {baseline}: {kept}", soft_wrap=True)
    return BenchEnd(is_good=all(map(is_good, document.results)), was_interrupted=session.wants_stop)


def _place_of(baseline: str) -> Path:
    """Return where a baseline can be kept, with its folder made."""
    place = baseline_path(baseline)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the baseline cannot be kept in {place.parent} ({error.strerror}); "
            "set XDG_STATE_HOME to a folder that you may write in"
        ) from error
    require_writable(place)
    return place


def _show(document: ResultDocument, *, to_stdout: bool, stdout: TextIO) -> None:
    console = Console(file=stdout) if to_stdout else Console(stderr=True)
    if not console.is_terminal:
        console = Console(file=console.file, width=160)  # a table in a file is not cut to a terminal that is not there
    print_benchmarks(console, document)


class _Session:
    """Watches the run: progress in, Ctrl-C out."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self.wants_stop = False
        self._progress: dict[str, Progress] = {}
        self._main: asyncio.Task[ResultDocument] | None = None

    async def run(self, plan: BenchPlan) -> ResultDocument | None:
        """Measure; None when it was interrupted twice."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        async with asyncio.TaskGroup() as tasks:
            self._main = tasks.create_task(run_benchmarks(plan, self), name="benchmarks")
            drawing = tasks.create_task(self._draw(), name="progress") if self.console.is_terminal else None
            with contextlib.suppress(asyncio.CancelledError):
                await self._main
            if drawing is not None:
                drawing.cancel()
        return None if self._main.cancelled() else self._main.result()

    def on_progress(self, progress: Progress) -> None:
        """Take how far a benchmark is."""
        self._progress[progress.name] = progress

    def on_outcome(self, outcome: BenchmarkOutcome) -> None:
        """Take a benchmark that has ended."""
        self._progress.pop(outcome.name, None)
        if not self.console.is_terminal:
            return
        told = "failed"
        if isinstance(outcome, BenchmarkResult):
            told = f"p50 {milliseconds(outcome.latency_ms.median)}  p95 {milliseconds(outcome.latency_ms.p95)} ms"
        self.console.print(Text(f"{outcome.name:<17} {told}", style="dim"))

    def _on_signal(self) -> None:
        """First: end with the samples taken so far. Second: end at once."""
        if self.wants_stop:
            assert self._main is not None
            self._main.cancel()
        else:
            self.console.print("ending with the samples taken so far; Ctrl-C again ends at once")
        self.wants_stop = True

    async def _draw(self) -> None:
        with Live(console=self.console, transient=True, auto_refresh=False) as live:
            while True:
                live.update(self._view(), refresh=True)
                await asyncio.sleep(_REDRAW_S)

    def _view(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for progress in self._progress.values():
            phase = "warming up" if progress.phase == "warmup" else "measuring"
            table.add_row(Text(progress.name, style="bold"), phase, f"{progress.made} of {progress.of}")
        return table
