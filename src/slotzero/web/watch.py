"""The page's side of watching a bot: finds it, follows its feed, asks it for a scrape; looks again when it is gone."""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import msgspec
import psutil

from slotzero.clock import Clock
from slotzero.control.feed_records import FEED_LINE, FeedAsk, FeedFrame, MetricsText, feed_path
from slotzero.control.records import sockets_folder
from slotzero.web.board import Board

__all__ = ["Watch"]

_LOOK_AGAIN_S: Final = 0.5
_SCRAPE_WITHIN_S: Final = 2.0
_SILENT_S: Final = 10.0
"""A bot tells something four times a second; one that is silent for so long has stopped, and its figures are old."""
_BYTES_PER_MB: Final = 1e6
_CPU_EVERY: Final = 4
_decode_frame = msgspec.json.Decoder(FeedFrame).decode
_decode_metrics = msgspec.json.Decoder(MetricsText).decode


class Watch:
    """Feeds a board with what a bot tells.

    Args:
        board: What is fed.
        state: The user's folder for what programs keep.
        clock: Time.
        pid: Which bot; None = the one that began last.
        silent_s: How long a bot may say nothing before it counts as gone.
    """

    def __init__(
        self, board: Board, state: Path, *, clock: Clock, pid: int | None, silent_s: float = _SILENT_S
    ) -> None:
        self._board = board
        self._state = state
        self._clock = clock
        self._pid = pid
        self._silent_s = silent_s
        self._process: psutil.Process | None = None
        self._cpu: float | None = None
        self._turn = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            for path in self._candidates():
                if await self._follow(path):
                    break
            await asyncio.sleep(_LOOK_AGAIN_S)

    def resources(self) -> tuple[float | None, float | None]:
        """Return the bot's memory in MB and CPU in percent, None where they are not known. *Does I/O* (/proc)."""
        process = self._process
        if process is None:
            return None, None
        try:
            self._turn += 1
            if self._turn % _CPU_EVERY == 1:
                self._cpu = process.cpu_percent() if self._turn > 1 or process.cpu_percent() else None
            return process.memory_info().rss / _BYTES_PER_MB, self._cpu
        except psutil.Error:
            return None, None

    async def metrics(self, *, openmetrics: bool) -> bytes | None:
        """Return a scrape of the bot, or None where there is none."""
        hello = self._board.hello
        if hello is None:
            return None
        ask = FeedAsk(what="openmetrics" if openmetrics else "metrics")
        try:
            async with asyncio.timeout(_SCRAPE_WITHIN_S):
                path = feed_path(self._state, hello.pid)
                reader, writer = await asyncio.open_unix_connection(path, limit=FEED_LINE)
                try:
                    writer.write(msgspec.json.encode(ask) + b"\n")
                    return _decode_metrics(await reader.readline()).text.encode()
                finally:
                    writer.close()
        except (OSError, TimeoutError, msgspec.MsgspecError, ValueError):
            return None

    def _candidates(self) -> list[Path]:
        if self._pid is not None:
            return [feed_path(self._state, self._pid)]
        found = []
        for path in sockets_folder(self._state).glob("*.feed"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]

    async def _follow(self, path: Path) -> bool:
        """Follow a feed to its end. Returns whether it told anything."""
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=FEED_LINE)
        except OSError:
            return False
        told = False
        try:
            writer.write(msgspec.json.encode(FeedAsk(what="frames")) + b"\n")
            while True:
                async with asyncio.timeout(self._silent_s):
                    line = await reader.readline()
                if not line:
                    break
                self._take(_decode_frame(line))
                told = True
        except (OSError, TimeoutError, msgspec.MsgspecError, ValueError):
            pass  # gone, silent, or of another version: looked for again
        finally:
            writer.close()
            self._board.on_gone()
            self._process, self._cpu, self._turn = None, None, 0
        return told

    def _take(self, frame: FeedFrame) -> None:
        if frame.hello is not None:
            with contextlib.suppress(psutil.Error):
                self._process = psutil.Process(frame.hello.pid)
                self._process.cpu_percent()
        self._board.on_frame(frame, self._clock.mono_ns())
