"""How long what the chain receives waits, over one run: the chain counts since its start, this takes the difference."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

__all__ = ["ChainQueue"]

_PERCENT: Final = 99

_Counts: TypeAlias = Mapping[str, Counter[float]]


class ChainQueue:
    """The waits of a run, by what waited. Exact but for the chain's bounds, which are 4.4 % apart and rounded up to."""

    def __init__(self) -> None:
        self._newest: _Counts = {}
        self._before: _Counts = {}

    @property
    def p99_ms(self) -> float:
        """Return how long transactions have waited at p99 since the run began, or the loop's timers if that is longer.

        A transaction that comes in a bundle or through a port with faults is not seen to wait. It waits for the loop.
        """
        return max(self._p99("transactions"), self._p99("loop"))

    @property
    def reads_p99_ms(self) -> float:
        """Return how long requests that only read have waited at p99 since the run began."""
        return self._p99("reads")

    def begin(self) -> None:
        """Begin a run: what came before is not its."""
        self._before = self._newest

    def look(self, stats: Mapping[str, Any]) -> None:
        """Take in the chain's own figures (`slotzero_stats`)."""
        self._newest = {kind: Counter(dict(waits["counts"])) for kind, waits in stats.items()}

    def _p99(self, kind: str) -> float:
        counts = self._newest.get(kind, Counter()) - self._before.get(kind, Counter())
        left = -(-counts.total() * _PERCENT // 100)
        for bound_ms in sorted(counts):
            left -= counts[bound_ms]
            if left <= 0:
                return bound_ms
        return 0.0
