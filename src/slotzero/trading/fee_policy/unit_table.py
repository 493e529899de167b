"""How many compute units to request: learned from what our own landed transactions consumed.

Model: the next transaction of a kind consumes about what the last few hundred did. The limit is their 99th percentile
by nearest rank plus a margin, so below 100 observations it is their maximum plus the margin. What is requested is
what the fee is charged on, and what counts against the account's share of a block.

Known failure case: only what succeeded is observed, so a limit that has become too low (a program grew) would never
hear of it. A transaction that ran out of units is therefore told separately and raises the limit at once.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping
from typing import Final

from slotzero.trading.fee_policy.records import FeeRules, UnitKey
from slotzero.units import BPS, MAX_COMPUTE_UNITS, ComputeUnits

__all__ = ["UnitTable"]

_WINDOW: Final = 512
_MAX_KEYS: Final = 256
_PERCENT: Final = 99
_EXHAUSTED_BPS: Final = 15_000
_UNSEEDED: Final = 200_000
"""The chain's own default for one instruction, for a kind nobody has seeded."""


class _Observed:
    """The newest observations of one kind, in the order they came and in ascending order."""

    __slots__ = ("arrived", "floor", "floor_left", "ordered")

    def __init__(self) -> None:
        self.arrived: deque[int] = deque()
        self.ordered: list[int] = []
        self.floor = 0
        self.floor_left = 0

    def add(self, units: int) -> None:
        if len(self.arrived) >= _WINDOW:
            del self.ordered[bisect_left(self.ordered, self.arrived.popleft())]
        self.arrived.append(units)
        insort(self.ordered, units)
        if self.floor_left:
            self.floor_left -= 1
            if not self.floor_left:
                self.floor = 0


class UnitTable:
    """Unit limits by venue and kind of transaction.

    At most 256 kinds are kept; the one that was not observed for the longest time makes room and starts from its seed
    again.

    Args:
        seeds: The limit of a kind until it has been observed often enough.
        rules: `min_unit_samples` and `unit_margin_bps` of them.
    """

    def __init__(self, seeds: Mapping[UnitKey, ComputeUnits], rules: FeeRules) -> None:
        self._seeds = dict(seeds)
        self._rules = rules
        self._observed: dict[UnitKey, _Observed] = {}
        self.evicted = 0
        """How many kinds had to make room."""

    def observe(self, key: UnitKey, units: int) -> None:
        """Learn what a transaction that landed *without an error* consumed. A failed one stops early: not for it.

        Raises:
            ValueError: No transaction can consume that much.
        """
        if not 0 < units <= MAX_COMPUTE_UNITS:
            raise ValueError(f"a transaction consumes 1 to {MAX_COMPUTE_UNITS} units, got {units}")
        self._of(key).add(units)

    def observe_exhausted(self, key: UnitKey, limit: int) -> None:
        """Learn that a transaction ran out of its `limit`: for the next 512 observations it is at least half more."""
        observed = self._of(key)
        observed.floor = max(observed.floor, min(limit * _EXHAUSTED_BPS // BPS, MAX_COMPUTE_UNITS))
        observed.floor_left = _WINDOW

    def limit(self, key: UnitKey) -> tuple[ComputeUnits, str]:
        """Return the limit to request, and why. *Hot path* (about 1 us)."""
        observed = self._observed.get(key)
        seen = 0 if observed is None else len(observed.ordered)
        if observed is None or seen < self._rules.min_unit_samples:
            limit = self._seeds.get(key, ComputeUnits(_UNSEEDED))
            why = f"limit {limit}: the seed, {seen} of {self._rules.min_unit_samples} observations"
        else:
            typical = observed.ordered[-(-_PERCENT * seen // 100) - 1]
            margin = max(-(-typical * self._rules.unit_margin_bps // BPS), int(self._rules.unit_margin_units))
            limit = ComputeUnits(typical + margin)
            why = f"limit {limit}: p99 of {seen} observations {typical} + {margin}"
        if observed is not None and observed.floor > limit:
            limit = ComputeUnits(observed.floor)
            why = f"limit {limit}: one ran out of units lately"
        if limit > MAX_COMPUTE_UNITS:
            limit = ComputeUnits(MAX_COMPUTE_UNITS)
            why += f", cut to {limit}, the most a transaction may request"
        return limit, why

    def _of(self, key: UnitKey) -> _Observed:
        observed = self._observed.pop(key, None)
        if observed is None:
            observed = _Observed()
            if len(self._observed) >= _MAX_KEYS:
                del self._observed[next(iter(self._observed))]
                self.evicted += 1
        self._observed[key] = observed  # put back at the end: the first key is the longest unobserved
        return observed
