"""Faults of one port, switched on and off while the chain runs, and counted where they strike.

A machine: it says what is to go wrong, the port and the methods do it. The same plan on a chain of the same seed
strikes the same requests, counted from the moment it was set.
"""

import math
from random import Random
from typing import Annotated, Final

from msgspec import Meta, Struct

from slotzero.clock import later, ms
from slotzero.units import BPS, DurationNs, MonoNs

__all__ = ["FaultCounts", "FaultPlan", "Faults", "Latency", "Portion", "RateLimit", "total"]

_Bps = Annotated[int, Meta(ge=0, le=BPS)]
_Count = Annotated[int, Meta(ge=0, le=10**9)]
_DelayMs = Annotated[int, Meta(ge=0, le=60_000)]
_DelayUs = Annotated[int, Meta(ge=0, le=60_000_000)]
_RetryAfterS = Annotated[int, Meta(ge=0, le=3_600)]

_NS_PER_US: Final = 1_000
_Z_99: Final = 2.3263
"""How many standard deviations above its median a normal variable's 99th percentile lies."""
_LONGEST: Final = 5
"""A log-normal has no end; ours is cut at five times its p99."""


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


class Latency(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A one-way delay, log-normal as network delays are, from its median and its 99th percentile.

    Attributes:
        p50_us: 0 means there is none.
        p99_us: Taken for `p50_us` when it is smaller: then every delay is `p50_us`.
    """

    p50_us: _DelayUs = 0
    p99_us: _DelayUs = 0

    def sample(self, random: Random) -> DurationNs:
        """Draw a delay."""
        if not self.p50_us:
            return DurationNs(0)
        most = max(self.p50_us, self.p99_us)
        sigma = math.log(most / self.p50_us) / _Z_99
        drawn = self.p50_us * math.exp(sigma * random.gauss(0, 1))
        return DurationNs(int(min(drawn, _LONGEST * most) * _NS_PER_US))


class FaultPlan(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What goes wrong at a port. The default is nothing.

    Attributes:
        drop_sends: Transactions and bundles that are taken (signature returned, preflight passed) and never land.
        delay_ms: How long every request waits before it is looked at. Subscriptions are not delayed by it.
        latency: The way to the port and back: a request waits for it, its answer again, and every frame of a
            subscription, whose order it keeps.
        http_429: Requests that are refused; of a Geyser port, streams.
        stall_ws: Whether subscriptions stay open and are sent nothing, not even pongs. What would have been sent is
            lost.
        refuse_connections: Whether the port is dead to everybody: what is open is cut when this is set, and every
            new connection as soon as it is made. Unlike a stopped port, which the kernel refuses for, a dead one
            counts everybody it turns away.
    """

    drop_sends: Portion = Portion()
    delay_ms: _DelayMs = 0
    latency: Latency = Latency()
    http_429: RateLimit = RateLimit()
    stall_ws: bool = False
    refuse_connections: bool = False


class FaultCounts(Struct, frozen=True, kw_only=True, rename="camel"):
    """How often each fault has struck since the chain's start, whatever the plan was.

    Attributes:
        delayed: Requests that waited.
        stalled_frames: Frames that were not sent.
        delayed_frames: Frames that waited.
        refused_connections: Connections that were cut as soon as they were made.
        cut_connections: Connections that were cut while they were open, idle ones included.
        cut_requests: Requests (of a Geyser port: streams) that were under way on them.
    """

    dropped_sends: int = 0
    delayed: int = 0
    http_429: int = 0
    stalled_frames: int = 0
    delayed_frames: int = 0
    refused_connections: int = 0
    cut_connections: int = 0
    cut_requests: int = 0


def total(*counts: FaultCounts) -> FaultCounts:
    """Return the sum of several ports' counts. *Pure.*"""
    return FaultCounts(**{name: sum(getattr(each, name) for each in counts) for name in FaultCounts.__struct_fields__})


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
        plan: What holds from the start.
    """

    def __init__(self, name: str = "", seed: int = 0, plan: FaultPlan | None = None) -> None:
        self._name = name
        self._seed = seed
        self._dropped_sends = 0
        self._delayed = 0
        self._refused = 0
        self._stalled = 0
        self._delayed_frames = 0
        self._refused_connections = 0
        self._cut_connections = 0
        self._cut_requests = 0
        self.set(plan or FaultPlan())

    def set(self, plan: FaultPlan) -> None:
        """Have `plan` hold from now on, in place of the one before."""
        self.plan = plan
        self.is_armed = plan != FaultPlan()
        """False most of the time: nothing else need be asked then."""
        self._sends = _Dice(plan.drop_sends, f"{self._seed} {self._name} sends")
        self._requests = _Dice(plan.http_429, f"{self._seed} {self._name} requests")
        self._random = Random(f"{self._seed} {self._name} latency")  # noqa: S311 repeatable on purpose

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

    def refuses_connection(self) -> bool:
        """Tell whether this connection is cut as soon as it is made, and count it."""
        self._refused_connections += self.plan.refuse_connections
        return self.plan.refuse_connections

    def cut(self, *, connections: int = 0, requests: int = 0) -> None:
        """Count connections that were cut, and the requests that were under way on them."""
        self._cut_connections += connections
        self._cut_requests += requests

    def request_delay(self) -> DurationNs:
        """Return how long this request waits before it is looked at, and count it when it does."""
        delay = DurationNs(ms(self.plan.delay_ms) + self.plan.latency.sample(self._random))
        self._delayed += delay > 0
        return delay

    def answer_delay(self) -> DurationNs:
        """Return how long an answer is under way; its request has been counted."""
        return self.plan.latency.sample(self._random)

    def frame_due(self, now: MonoNs) -> MonoNs:
        """Return when a frame put at `now` may leave, 0 for at once, and count it when it waits."""
        delay = self.plan.latency.sample(self._random)
        self._delayed_frames += delay > 0
        return later(now, delay) if delay else MonoNs(0)

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
            delayed_frames=self._delayed_frames,
            refused_connections=self._refused_connections,
            cut_connections=self._cut_connections,
            cut_requests=self._cut_requests,
        )
