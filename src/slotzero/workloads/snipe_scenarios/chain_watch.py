"""What the chain says of itself, over one run: it counts since its start, this takes the difference."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from slotzero.clock import Clock, as_ms, elapsed_ns
from slotzero.units import MonoNs

__all__ = ["ChainWatch"]

_PERCENT: Final = 99

_Counts: TypeAlias = Mapping[str, Counter[float]]
_Vm: TypeAlias = tuple[MonoNs, float]
"""When the chain was heard, and how many milliseconds its VM had executed by then."""


class ChainWatch:
    """The waits of a run, by what waited, and how busy the VM was.

    Waits are exact but for the chain's bounds, which are 4.4 % apart and rounded up to.

    Args:
        clock: For the instants at which the chain is heard.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest: _Counts = {}
        self._before: _Counts = {}
        self._vm: _Vm | None = None
        self._vm_before: _Vm | None = None

    @property
    def queue_p99_ms(self) -> float:
        """Return how long transactions have waited at p99 since the run began, or the loop's timers if that is longer.

        A transaction that comes in a bundle or through a port with faults is not seen to wait. It waits for the loop.
        """
        return max(self._p99("transactions"), self._p99("loop"))

    @property
    def reads_p99_ms(self) -> float:
        """Return how long requests that only read have waited at p99 since the run began."""
        return self._p99("reads")

    @property
    def vm_percent(self) -> float:
        """Return what share of the time since the run began the VM has executed."""
        if self._vm is None or self._vm_before is None or self._vm[0] <= self._vm_before[0]:
            return 0.0
        return 100 * (self._vm[1] - self._vm_before[1]) / as_ms(elapsed_ns(self._vm_before[0], self._vm[0]))

    def begin(self) -> None:
        """Begin a run: what came before is not its."""
        self._before = self._newest
        self._vm_before = self._vm

    def look(self, stats: Mapping[str, Any]) -> None:
        """Take in the chain's own figures (`slotzero_stats`)."""
        self._newest = {kind: Counter(dict(waits["counts"])) for kind, waits in stats["queue"].items()}
        self._vm = (self._clock.mono_ns(), stats["transactions"]["vmMs"])

    def _p99(self, kind: str) -> float:
        counts = self._newest.get(kind, Counter()) - self._before.get(kind, Counter())
        left = -(-counts.total() * _PERCENT // 100)
        for bound_ms in sorted(counts):
            left -= counts[bound_ms]
            if left <= 0:
                return bound_ms
        return 0.0
