"""One snapshot for all viewers: encoded once a tick, handed to each one's bounded queue. Full: the oldest goes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from slotzero.web.records import Performance

__all__ = ["Broadcast"]

RING: Final = 600
"""Ticks that are kept, for viewers who come anew or back."""
MOST_VIEWERS: Final = 256
_QUEUE: Final = 16
_KEEP_ALIVE_S: Final = 10


class Broadcast:
    """The ticks, and who listens.

    Args:
        boot: Tells this server's ticks from an earlier one's: the first part of each event's id.
    """

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._ring: deque[tuple[int, bytes]] = deque(maxlen=RING)
        self._points: deque[bytes] = deque(maxlen=RING)
        self._viewers: set[asyncio.Queue[bytes]] = set()
        self._is_ended = False
        self.newest: bytes = b""

    @property
    def is_full(self) -> bool:
        """Whether no more viewers are let in."""
        return len(self._viewers) >= MOST_VIEWERS

    @property
    def viewers(self) -> int:
        """How many listen."""
        return len(self._viewers)

    def tick(self, performance: Performance) -> None:
        """Hand a snapshot to everybody."""
        self.newest = msgspec.json.encode(performance)
        event = b"id: %b-%d\nevent: tick\ndata: %b\n\n" % (self._boot.encode(), performance.seq, self.newest)
        self._ring.append((performance.seq, event))
        self._points.append(_point(performance))
        for viewer in self._viewers:
            if viewer.full():
                viewer.get_nowait()
            viewer.put_nowait(event)

    def end(self) -> None:
        """Let all viewers go."""
        self._is_ended = True
        for viewer in self._viewers:
            if viewer.full():
                viewer.get_nowait()
            viewer.put_nowait(b"")

    async def listen(self, last_event_id: str) -> AsyncIterator[bytes]:
        """Yield events: what was missed since `last_event_id`, or the history as one event, then each tick.

        *Cancellation: the viewer is forgotten.*
        """
        queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE)
        missed = self._missed(last_event_id)
        first = [b"retry: 1000\n\n", *missed] if missed is not None else [b"retry: 1000\n\n", self._history()]
        self._viewers.add(queue)
        try:
            yield b"".join(first)
            while not self._is_ended:
                try:
                    async with asyncio.timeout(_KEEP_ALIVE_S):
                        event = await queue.get()
                except TimeoutError:
                    event = b": still here\n\n"
                if event:
                    yield event
        finally:
            self._viewers.discard(queue)

    def _missed(self, last_event_id: str) -> list[bytes] | None:
        """Return the events after an id; None when they are not all there."""
        boot, _, number = last_event_id.rpartition("-")
        if boot != self._boot or not number.isascii() or not number.isdigit() or len(number) > 12:  # noqa: PLR2004 longer than any server lives
            return None
        last = int(number)
        if not self._ring or not self._ring[0][0] - 1 <= last <= self._ring[-1][0]:
            return None
        return [event for seq, event in self._ring if seq > last]

    def _history(self) -> bytes:
        """Return what charts begin with, and the newest snapshot."""
        points = b"[" + b",".join(self._points) + b"]"
        newest = self._ring[-1][1] if self._ring else b""
        return b"event: history\ndata: %b\n\n" % points + newest


def _point(performance: Performance) -> bytes:
    """Return the part of a snapshot that charts are drawn of."""
    resources, counts = performance.resources, performance.counts
    return msgspec.json.encode(
        {
            "ts_ms": performance.ts_ms,
            "p": [
                [one.p50_ms, one.p95_ms, one.p99_ms, one.ops_per_s, one.own_p95_ms] for one in performance.components
            ],
            "r": [resources.memory_mb, resources.cpu_percent, resources.loop_p50_ms, resources.loop_p99_ms],
            "c": [counts.in_flight, counts.waiting, counts.held, performance.success_percent],
            "m": [performance.pnl_lamports, performance.value_lamports],
        }
    )
