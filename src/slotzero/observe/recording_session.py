"""A recording in front of a person: the event loop, Ctrl-C, progress on a terminal."""

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console
from rich.logging import RichHandler

from slotzero.config import Settings, load
from slotzero.errors import UsageError
from slotzero.observe.faults import first_fault
from slotzero.observe.logs import TerminalFormatter
from slotzero.workloads.record_run import Recorder, RecordReport, record_feed

__all__ = ["record_session"]

_REDRAW_S: Final = 0.5
_BYTES_PER_MB: Final = 10**6


def record_session(
    *, config: Path | None, path: Path, for_s: float | None, frames: int | None, max_mb: int
) -> tuple[str, bool]:
    """Record until the end. Returns a sentence about it, and whether it was interrupted.

    Args:
        config: The configuration's file, or None for the defaults.
        path: The file to make.
        for_s: End after so many seconds.
        frames: End after so many frames.
        max_mb: End at so many million bytes.

    Raises:
        SlotzeroError: What went wrong.
    """
    settings = load(config)
    if path.exists():
        raise UsageError(f"{path} exists and is not overwritten; name another file")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} to make {path.name} in")
    session = _Session()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(session.run(settings, path, for_s, frames, max_mb))
    summary = "interrupted before anything was recorded" if report is None else _sentence(report)
    return summary, session.was_interrupted


class _Session:
    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._recorder: Recorder | None = None
        self._main: asyncio.Task[RecordReport] | None = None
        self.was_interrupted = False

    async def run(
        self, settings: Settings, path: Path, for_s: float | None, frames: int | None, max_mb: int
    ) -> RecordReport | None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        handler = RichHandler(console=self._console, show_path=False, show_time=False)
        handler.setFormatter(TerminalFormatter())
        logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
        try:
            async with asyncio.TaskGroup() as tasks:
                recording = record_feed(
                    settings, path, for_s=for_s, frames=frames, max_mb=max_mb, on_recorder=self._on_recorder
                )
                self._main = tasks.create_task(recording, name="record")
                drawing = tasks.create_task(self._draw(), name="progress") if sys.stderr.isatty() else None
                with contextlib.suppress(asyncio.CancelledError):
                    await self._main
                if drawing is not None:
                    drawing.cancel()
        except BaseExceptionGroup as group:
            raise first_fault(group) from group
        return None if self._main.cancelled() else self._main.result()

    def _on_recorder(self, recorder: Recorder) -> None:
        self._recorder = recorder
        if self.was_interrupted:
            recorder.stop()

    def _on_signal(self) -> None:
        if self._recorder is not None and not self.was_interrupted:
            self._recorder.stop()
        elif self._main is not None:
            self._main.cancel()
        self.was_interrupted = True

    async def _draw(self) -> None:
        with self._console.status("waiting for the feed") as status:
            while True:
                if (recorder := self._recorder) is not None:
                    size = recorder.bytes_written / _BYTES_PER_MB
                    status.update(f"{recorder.frames} frames, {recorder.pools} pools, {size:.1f} MB; Ctrl-C ends it")
                await asyncio.sleep(_REDRAW_S)


def _sentence(report: RecordReport) -> str:
    size = report.bytes_written / _BYTES_PER_MB
    missed = f", {report.gaps} gaps" if report.gaps else ""
    return (
        f"{report.path}: {report.frames} frames, {report.pools} new pools, {report.slots} slots, {report.accounts} "
        f"accounts{missed}, {size:.1f} MB before compression"
    )
