"""How long the event loop keeps others waiting: a probe that asks to be called at a fixed pace and measures the delay.

Model: every `interval_ms` a timer is due; what it is late beyond the timer's own rounding was the loop being busy (or
the machine). Kept is a count for each power of two of microseconds, in constant memory, so a percentile is known to a
factor of two, its upper bound reported. The longest is exact.
"""

import asyncio
from typing import Final

from msgspec import Struct

from slotzero.clock import Clock, add_ms, as_ms, elapsed_ns
from slotzero.units import DurationNs

__all__ = ["LoopDelay", "LoopWatch"]

_BUCKETS: Final = 40
_NS_PER_US: Final = 1_000


class LoopDelay(Struct, frozen=True, kw_only=True):
    """Delays of the loop in milliseconds: percentiles are upper bounds within a factor of two, `max_ms` is exact."""

    probes: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    over_5_ms: int


class LoopWatch:
    """Probes the running loop until cancelled.

    Args:
        clock: Time.
        interval_ms: The pace.
    """

    def __init__(self, clock: Clock, *, interval_ms: int = 20) -> None:
        self._clock = clock
        self._interval_ms = interval_ms
        self._counts = [0] * _BUCKETS
        self._probes = self._over = 0
        self._max = DurationNs(0)

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            due = add_ms(self._clock.mono_ns(), self._interval_ms)
            await self._clock.sleep_until(due)
            self.on_delay(elapsed_ns(due, self._clock.mono_ns()))
            await asyncio.sleep(0)

    def on_delay(self, delay_ns: DurationNs) -> None:
        """Take one delay."""
        self._counts[min((delay_ns // _NS_PER_US).bit_length(), _BUCKETS - 1)] += 1
        self._probes += 1
        self._over += as_ms(delay_ns) > 5  # noqa: PLR2004 what is promised
        self._max = max(self._max, delay_ns)

    def delay(self) -> LoopDelay:
        """Return what was seen so far."""
        return LoopDelay(
            probes=self._probes,
            p50_ms=self._percentile(50),
            p99_ms=self._percentile(99),
            max_ms=as_ms(self._max),
            over_5_ms=self._over,
        )

    def _percentile(self, percent: int) -> float:
        wanted, seen = -(-self._probes * percent // 100), 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(as_ms(DurationNs((1 << bucket) * _NS_PER_US)), as_ms(self._max))
        return 0.0
