"""How long what arrives waits until the chain turns to it.

Everything here shares one loop, so a request waits as long as the loop is busy with what came before. That wait cannot
be seen from within a request, which begins when it is over. A timer that is due waits in the same way: every 10 ms one
is set, and how late it comes is a sample.

Weakness: uvloop keeps timers in whole milliseconds, so a sample is 1 ms off at the most; a wait begins to matter at ten
times that.
"""

from collections import deque
from itertools import islice
from typing import Final

from msgspec import Struct

from slotzero.clock import Clock, add_ms, as_ms, elapsed_ns
from slotzero.units import DurationNs, LatencyMs

__all__ = ["QueueStats", "QueueWatch"]

_EVERY_MS: Final = 10
_SAMPLES: Final = 4_096
"""The last 40 s at least."""
_RECENT: Final = 256
_DIGITS: Final = 3


class QueueStats(Struct, frozen=True, kw_only=True, rename="camel"):
    """How long the newest samples waited, by nearest rank.

    Attributes:
        samples: How many the figures are of.
        taken: How many were taken since the start.
        recent_ms: The newest 256 of them, oldest first: who asks every second or two can have figures of a time of his
            own.
    """

    samples: int
    taken: int
    p50_ms: LatencyMs
    p99_ms: LatencyMs
    max_ms: LatencyMs
    recent_ms: tuple[float, ...]


class QueueWatch:
    """Samples the loop it runs on.

    Args:
        clock: What waits are measured with.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waits: deque[DurationNs] = deque(maxlen=_SAMPLES)
        self._taken = 0

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            due = add_ms(self._clock.mono_ns(), _EVERY_MS)
            await self._clock.sleep_until(due)
            self._waits.append(elapsed_ns(due, self._clock.mono_ns()))
            self._taken += 1

    def stats(self) -> QueueStats:
        """Return the figures of the newest samples."""
        ordered = sorted(self._waits)
        recent = islice(self._waits, max(len(ordered) - _RECENT, 0), None)
        return QueueStats(
            samples=len(ordered),
            taken=self._taken,
            p50_ms=_rank(ordered, 50),
            p99_ms=_rank(ordered, 99),
            max_ms=_rank(ordered, 100),
            recent_ms=tuple(round(as_ms(wait), _DIGITS) for wait in recent),
        )


def _rank(ordered: list[DurationNs], percent: int) -> LatencyMs:
    return as_ms(ordered[-(-len(ordered) * percent // 100) - 1] if ordered else DurationNs(0))
