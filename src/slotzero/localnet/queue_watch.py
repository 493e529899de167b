"""How long what arrives waits until the chain turns to it.

Requests tell how long they have waited when they begin. What is served past the turns (a port with faults, bundles,
timers, subscriptions) waits as long as the loop is busy with other things: a timer is set every 10 ms, and how late it
comes is a sample of that. It says too little of transactions, a half to two thirds of what they wait at p99: the loop
comes round to its timers while the last of a burst still lie in their sockets.

Waits are kept as counts by length, 4.4 % apart, since the start. Who asks twice knows those in between.
"""

from bisect import bisect_left
from typing import Final

from msgspec import Struct

from slotzero.clock import Clock, add_ms, as_ms, elapsed_ns
from slotzero.units import DurationNs, LatencyMs

__all__ = ["QueueStats", "QueueWatch", "WaitStats", "Waits"]

_EVERY_MS: Final = 10
_PER_DOUBLING: Final = 16
_SHORTEST: Final = 10_000
_DOUBLINGS: Final = 23
"""From 10 us to 84 s; what waited longer is counted there."""
_BOUNDS: Final = tuple(
    DurationNs(round(_SHORTEST * 2 ** (place / _PER_DOUBLING))) for place in range(_DOUBLINGS * _PER_DOUBLING + 1)
)
_DIGITS: Final = 3


class WaitStats(Struct, frozen=True, kw_only=True, rename="camel"):
    """Waits since the start, by nearest rank and rounded up to the next bound.

    Attributes:
        counts: Pairs of a bound in milliseconds and how many waited so long, but longer than the bound before; those
            that nobody waited are left out.
    """

    taken: int
    p50_ms: LatencyMs
    p99_ms: LatencyMs
    max_ms: LatencyMs
    counts: tuple[tuple[LatencyMs, int], ...]


class QueueStats(Struct, frozen=True, kw_only=True, rename="camel"):
    """How long transactions waited, requests that only read, and whatever else is due on the loop."""

    transactions: WaitStats
    reads: WaitStats
    loop: WaitStats


class Waits:
    """Counts waits."""

    def __init__(self) -> None:
        self._counts = [0] * len(_BOUNDS)
        self._taken = 0

    def add(self, wait: DurationNs) -> None:
        """Count one. *Hot path.*"""
        self._counts[min(bisect_left(_BOUNDS, wait), len(_BOUNDS) - 1)] += 1
        self._taken += 1

    def stats(self) -> WaitStats:
        """Return what has been counted."""
        counts = tuple(
            (LatencyMs(round(as_ms(bound), _DIGITS)), count)
            for bound, count in zip(_BOUNDS, self._counts, strict=True)
            if count
        )
        return WaitStats(
            taken=self._taken,
            p50_ms=_rank(counts, self._taken, 50),
            p99_ms=_rank(counts, self._taken, 99),
            max_ms=_rank(counts, self._taken, 100),
            counts=counts,
        )


class QueueWatch:
    """Keeps the waits of a chain.

    Args:
        clock: What the loop's are measured with.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._transactions = Waits()
        self._reads = Waits()
        self._loop = Waits()

    def on_begin(self, is_transaction: bool, wait: DurationNs) -> None:  # noqa: FBT001 a callback
        """Take in that a request begins. *Hot path.*"""
        (self._transactions if is_transaction else self._reads).add(wait)

    async def run(self) -> None:
        """Sample the loop until cancelled."""
        while True:
            due = add_ms(self._clock.mono_ns(), _EVERY_MS)
            await self._clock.sleep_until(due)
            self._loop.add(elapsed_ns(due, self._clock.mono_ns()))

    def stats(self) -> QueueStats:
        """Return the figures since the start."""
        return QueueStats(transactions=self._transactions.stats(), reads=self._reads.stats(), loop=self._loop.stats())


def _rank(counts: tuple[tuple[LatencyMs, int], ...], taken: int, percent: int) -> LatencyMs:
    wanted = -(-taken * percent // 100)
    for bound, count in counts:
        wanted -= count
        if wanted <= 0:
            return bound
    return LatencyMs(0.0)
