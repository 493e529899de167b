"""How long what the chain receives waits, over one run: its samples as they come, in a histogram of ours."""

from collections.abc import Mapping
from typing import Any, Final

from slotzero.perf.histogram import Histogram

__all__ = ["ChainQueue"]

_NS_PER_MS: Final = 1_000_000


class ChainQueue:
    """The waits of a run. Look at least every two seconds: the chain tells its newest 256 samples, 100 a second."""

    def __init__(self) -> None:
        self._waits = Histogram()
        self._taken: int | None = None

    @property
    def p99_ms(self) -> float:
        """Return the wait at p99 since the run began; 0 before the first sample."""
        return self._waits.percentile(99) / _NS_PER_MS if self._waits.count else 0.0

    def begin(self) -> None:
        """Begin a run: what came before is not its."""
        self._waits = Histogram()

    def look(self, stats: Mapping[str, Any]) -> None:
        """Take in the samples that are new in the chain's own figures (`slotzero_stats`)."""
        recent: list[float] = stats["recentMs"]
        taken: int = stats["taken"]
        new = len(recent) if self._taken is None else min(taken - self._taken, len(recent))
        self._taken = taken
        self._waits.fold([round(wait_ms * _NS_PER_MS) for wait_ms in recent[len(recent) - new :]])
