"""A circuit breaker: stops asking an endpoint that does not answer, and finds out when it is back.

::

    closed ──(most of the newest calls failed)──► open ──(its time is over)──► half_open
       ▲                                           ▲                            │   │
       └───────────────(the probe is answered)─────┼────────────────────────────┘   │
                                                   └──(it fails: wait twice as long)┘

Pure: every method takes `now`. A 429 is no failure: who answers it is alive and has asked for patience, which is a
matter of `limits`. An answer to a call that began in an earlier state changes nothing.
"""

from collections import deque
from typing import Literal

from msgspec import Struct

from slotzero.clock import elapsed_ns, is_due, later, ms
from slotzero.units import DurationNs, MonoNs

__all__ = ["Breaker", "BreakerRules", "BreakerState", "Permit", "Transition"]

BreakerState = Literal["closed", "open", "half_open"]

_MAX_TRANSITIONS = 64


class BreakerRules(Struct, frozen=True, kw_only=True):
    """When a breaker opens and for how long.

    Attributes:
        failures: It opens when so many of the newest 2 x failures - 1 calls (so most of them) have failed ...
        window_ns: ... within this time.
        open_ns: How long it stays open at first; twice as long after each probe that fails.
        max_open_ns: But never longer than this.
    """

    failures: int = 5
    window_ns: DurationNs = ms(10_000)
    open_ns: DurationNs = ms(1_000)
    max_open_ns: DurationNs = ms(30_000)


class Transition(Struct, frozen=True, kw_only=True):
    """A change of state."""

    at: MonoNs
    state: BreakerState


class Permit(Struct, frozen=True, kw_only=True):
    """Leave to make one call; hand it back with the call's outcome."""

    era: int


class Breaker:
    """The breaker of one endpoint.

    Args:
        rules: When it opens and for how long.
    """

    def __init__(self, rules: BreakerRules | None = None) -> None:
        self._rules = rules or BreakerRules()
        self._outcomes: deque[tuple[MonoNs, bool]] = deque(maxlen=2 * self._rules.failures - 1)
        self._era = 0
        self._state: BreakerState = "closed"
        self._open_ns = self._rules.open_ns
        self._opens_until = MonoNs(0)
        self._is_probing = False
        self.transitions: deque[Transition] = deque(maxlen=_MAX_TRANSITIONS)
        """The newest changes of state; older ones are forgotten."""

    @property
    def state(self) -> BreakerState:
        """The state; it becomes `half_open` with the probe, not by time alone."""
        return self._state

    @property
    def probe_due(self) -> MonoNs | None:
        """When a probe may go, or None: closed, or one is under way."""
        if self._state == "closed" or self._is_probing:
            return None
        return self._opens_until

    def admits(self, now: MonoNs) -> bool:
        """Tell whether `start` would give leave at `now`."""
        return self._state == "closed" or (not self._is_probing and is_due(self._opens_until, now))

    def start(self, now: MonoNs) -> Permit | None:
        """Ask for leave to make a call; in an open breaker whose time is over the call becomes the probe."""
        if not self.admits(now):
            return None
        if self._state == "open":
            self._enter("half_open", now)
        self._is_probing = self._state == "half_open"
        return Permit(era=self._era)

    def succeed(self, permit: Permit, now: MonoNs) -> None:
        """The call was answered."""
        if permit.era != self._era:
            return
        if self._state == "half_open":
            self._outcomes.clear()
            self._open_ns = self._rules.open_ns
            self._enter("closed", now)
        self._outcomes.append((now, True))

    def fail(self, permit: Permit, now: MonoNs) -> None:
        """The call was not answered."""
        if permit.era != self._era:
            return
        if self._state == "half_open":
            self._open_ns = DurationNs(min(2 * self._open_ns, self._rules.max_open_ns))
            self._open(now)
            return
        self._outcomes.append((now, False))
        recent = sum(1 for at, is_good in self._outcomes if not is_good and self._is_recent(at, now))
        if recent >= self._rules.failures:
            self._open(now)

    def release(self, permit: Permit) -> None:
        """Nothing was learnt: the call was cancelled, or put off by a 429."""
        if permit.era == self._era:
            self._is_probing = False

    def _is_recent(self, at: MonoNs, now: MonoNs) -> bool:
        return elapsed_ns(at, now) <= self._rules.window_ns

    def _open(self, now: MonoNs) -> None:
        self._outcomes.clear()
        self._opens_until = later(now, self._open_ns)
        self._enter("open", now)

    def _enter(self, state: BreakerState, now: MonoNs) -> None:
        self._state = state
        self._era += 1
        self._is_probing = False
        self.transitions.append(Transition(at=now, state=state))
