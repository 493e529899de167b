"""Faults of one port, switched on and off while the chain runs, and counted where they strike.

A machine: it says what is to go wrong, the port and the methods do it. The same plan on a chain of the same seed
strikes the same requests, counted from the moment it was set.
"""

from random import Random
from typing import Annotated

from msgspec import Meta, Struct

from slotzero.units import BPS

__all__ = ["FaultCounts", "FaultPlan", "Faults", "Portion", "RateLimit"]

_Bps = Annotated[int, Meta(ge=0, le=BPS)]
_Count = Annotated[int, Meta(ge=0, le=10**9)]
_DelayMs = Annotated[int, Meta(ge=0, le=60_000)]
_RetryAfterS = Annotated[int, Meta(ge=0, le=3_600)]


class Portion(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Which requests a fault strikes: the next few, then a share of the others by chance.

    Attributes:
        next: So many from now on, without exception.
        share_bps: Of those after them, in basis points.
    """

    next: _Count = 0
    share_bps: _Bps = 0


class RateLimit(Portion, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Requests answered with HTTP 429.

    Attributes:
        retry_after_s: What the answer's Retry-After says.
    """

    retry_after_s: _RetryAfterS = 1


class FaultPlan(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What goes wrong at a port. The default is nothing.

    Attributes:
        drop_sends: Transactions that are taken (signature returned, preflight passed) and never land.
        delay_ms: How long every HTTP request waits before it is looked at. WebSockets are not delayed.
        http_429: HTTP requests that are refused.
        stall_ws: Whether WebSockets stay open and are sent nothing, not even pongs. What would have been sent is lost.
    """

    drop_sends: Portion = Portion()
    delay_ms: _DelayMs = 0
    http_429: RateLimit = RateLimit()
    stall_ws: bool = False


class FaultCounts(Struct, frozen=True, kw_only=True, rename="camel"):
    """How often each fault has struck since the chain's start, whatever the plan was.

    Attributes:
        stalled_frames: Frames that were not sent.
    """

    dropped_sends: int
    delayed: int
    http_429: int
    stalled_frames: int


class _Dice:
    def __init__(self, portion: Portion, seed: str) -> None:
        self._next = portion.next
        self._share_bps = portion.share_bps
        self._random = Random(seed)  # noqa: S311 repeatable on purpose

    def strikes(self) -> bool:
        if self._next:
            self._next -= 1
            return True
        return self._share_bps > 0 and self._random.randrange(BPS) < self._share_bps


class Faults:
    """The faults of one port.

    Args:
        name: The port's; two ports of a chain do not roll the same dice.
        seed: The chain's.
    """

    def __init__(self, name: str = "", seed: int = 0) -> None:
        self._name = name
        self._seed = seed
        self._dropped_sends = 0
        self._delayed = 0
        self._refused = 0
        self._stalled = 0
        self.set(FaultPlan())

    def set(self, plan: FaultPlan) -> None:
        """Have `plan` hold from now on, in place of the one before."""
        self.plan = plan
        self.is_armed = plan != FaultPlan()
        """False most of the time: nothing else need be asked then."""
        self._sends = _Dice(plan.drop_sends, f"{self._seed} {self._name} sends")
        self._requests = _Dice(plan.http_429, f"{self._seed} {self._name} requests")

    def drops_send(self) -> bool:
        """Tell whether this transaction gets lost, and count it."""
        is_lost = self._sends.strikes()
        self._dropped_sends += is_lost
        return is_lost

    def refuses_request(self) -> bool:
        """Tell whether this request is one too many, and count it."""
        is_refused = self._requests.strikes()
        self._refused += is_refused
        return is_refused

    def delay_ms(self) -> int:
        """Return how long this request waits, and count it when it does."""
        self._delayed += self.plan.delay_ms > 0
        return self.plan.delay_ms

    def stalls_frame(self) -> bool:
        """Tell whether this frame stays unsent, and count it."""
        self._stalled += self.plan.stall_ws
        return self.plan.stall_ws

    def counts(self) -> FaultCounts:
        """Return the counters."""
        return FaultCounts(
            dropped_sends=self._dropped_sends,
            delayed=self._delayed,
            http_429=self._refused,
            stalled_frames=self._stalled,
        )
