"""The only place that reads a clock and the only place that subtracts instants.

Monotonic instants (`MonoNs`) measure; wall-clock instants (`WallNs`) are for people and records. CLOCK_MONOTONIC is
one clock for all processes of a machine on Linux and macOS, so an instant the embedded chain stamps can be compared
with one the bot reads.
"""

import asyncio
import heapq
import itertools
import time
from typing import Protocol

from slotzero.units import NS_PER_MS, DurationNs, LatencyMs, MonoNs, WallNs

__all__ = [
    "Clock",
    "SystemClock",
    "TestClock",
    "add_ms",
    "as_ms",
    "earlier",
    "elapsed_ns",
    "is_due",
    "later",
    "mono_ns",
    "ms",
    "wall_at",
]

mono_ns = time.monotonic_ns
"""Read the monotonic clock, as a bare function for hot paths (about 50 ns). Returns nanoseconds."""

_NS_PER_S = 1_000_000_000


def elapsed_ns(start: int, end: int) -> DurationNs:
    """Return the time from `start` to `end`, two monotonic instants; 0 when the order is reversed. *Pure.*"""
    return DurationNs(end - start if end > start else 0)


def later(instant: int, by: int) -> MonoNs:
    """Return the instant `by` nanoseconds after `instant`. *Pure.*"""
    return MonoNs(instant + by)


def earlier(instant: int, by: int) -> MonoNs:
    """Return the instant `by` nanoseconds before `instant`. *Pure.*"""
    return MonoNs(instant - by)


def add_ms(instant: int, by_ms: int) -> MonoNs:
    """Return the instant `by_ms` milliseconds after `instant`. *Pure.*"""
    return MonoNs(instant + by_ms * NS_PER_MS)


def is_due(deadline: int, now: int) -> bool:
    """Tell whether `deadline` has been reached at `now`. *Pure.*"""
    return now >= deadline


def ms(value_ms: int) -> DurationNs:
    """Return whole milliseconds as a duration in nanoseconds. *Pure.*"""
    return DurationNs(value_ms * NS_PER_MS)


def wall_at(mono: int, *, anchor_mono: int, anchor_wall: int) -> WallNs:
    """Return the wall-clock instant of a monotonic one, from a pair read together: for people only. *Pure.*"""
    return WallNs(anchor_wall + (mono - anchor_mono))


def as_ms(duration: int) -> LatencyMs:
    """Return a duration in nanoseconds as milliseconds, for statistics and display. *Pure.*"""
    return LatencyMs(duration / NS_PER_MS)


class Clock(Protocol):
    """What a shell asks for time. Machines do not take a clock: they are handed `now`."""

    def mono_ns(self) -> MonoNs:
        """Return the monotonic instant now."""
        ...

    def wall_ns(self) -> WallNs:
        """Return the wall-clock instant now."""
        ...

    async def sleep_until(self, deadline: MonoNs) -> None:
        """Return at `deadline` or after it, never before."""
        ...


class SystemClock:
    """The machine's clocks."""

    def mono_ns(self) -> MonoNs:
        """Return the monotonic instant now."""
        return MonoNs(time.monotonic_ns())

    def wall_ns(self) -> WallNs:
        """Return the wall-clock instant now."""
        return WallNs(time.time_ns())

    async def sleep_until(self, deadline: MonoNs) -> None:
        """Return at `deadline` or after it, never before.

        An event loop may fire a timer early (uvloop rounds to milliseconds: up to 1.4 ms), hence the loop here.
        *Cancellation: safe.*
        """
        while (left := deadline - time.monotonic_ns()) > 0:
            await asyncio.sleep(left / _NS_PER_S)


class TestClock:
    """A clock that stands still until it is told to go on; sleepers wake in the order of their deadlines.

    `advance` moves time by a span, `jump` moves it to the next sleeper. Both let woken tasks run.
    """

    __test__ = False  # no test class, whatever its name begins with

    def __init__(self, mono_ns: int = 1_000_000_000, wall_ns: int = 1_790_000_000_000_000_000) -> None:
        self._mono = mono_ns
        self._wall = wall_ns
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Event]] = []

    def mono_ns(self) -> MonoNs:
        """Return the monotonic instant now."""
        return MonoNs(self._mono)

    def wall_ns(self) -> WallNs:
        """Return the wall-clock instant now."""
        return WallNs(self._wall)

    async def sleep_until(self, deadline: MonoNs) -> None:
        """Return once the clock has been moved to `deadline`. *Cancellation: safe.*"""
        if deadline <= self._mono:
            await asyncio.sleep(0)
            return
        sleeper = (deadline, next(self._order), asyncio.Event())
        heapq.heappush(self._sleepers, sleeper)
        try:
            await sleeper[2].wait()
        finally:
            if sleeper in self._sleepers:  # cancelled: `jump` must not go to an instant nobody waits for
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    async def advance(self, by_ns: int) -> None:
        """Move time forward by `by_ns`, waking each sleeper at its own instant on the way.

        Tasks that were started but have not run yet go to sleep first. Raises ValueError when `by_ns` is negative.
        """
        if by_ns < 0:
            raise ValueError(f"a clock goes forward only, got {by_ns} ns")
        await _settle()
        end = self._mono + by_ns
        while self._sleepers and self._sleepers[0][0] <= end:
            await self._wake_next()
        self._set(end)
        await _settle()

    async def jump(self) -> bool:
        """Move time to the next sleeper's deadline and wake it. Returns False when nobody sleeps."""
        await _settle()
        if not self._sleepers:
            return False
        await self._wake_next()
        return True

    async def _wake_next(self) -> None:
        deadline, _, woken = heapq.heappop(self._sleepers)
        self._set(deadline)
        woken.set()
        await _settle()

    def _set(self, mono: int) -> None:
        self._wall += mono - self._mono
        self._mono = mono


async def _settle() -> None:
    """Let every task that can run do so; ten turns are more than the deepest chain of wake-ups in our tests."""
    for _ in range(10):
        await asyncio.sleep(0)
