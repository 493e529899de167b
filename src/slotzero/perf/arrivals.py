"""When operations begin: arrival plans as pure functions of their parameters. Sans-I/O.

Model: an open plan is a rate over time, r(t), made of straight pieces. Arrival number k (from 0) stands where the
integral of r reaches k, found by solving each piece's quadratic; a ramp of 0 to 100/s over 10 s so has exactly 500
arrivals, while a staircase of one-second steps has 450. A Poisson plan walks the same integral by exponential steps,
so its arrivals are memoryless at any shape. A replay repeats instants somebody recorded. In a closed plan operations
begin when their user is free; only users are planned.

A plan is split over n shards by giving shard i the arrivals i, i + n, i + 2n, ...: together the shards make the plan
itself, at the same instants, where n plans of a rate n times lower would begin in bursts of n.

Assumptions: rates are those of starts offered, not of completions. Instants count from the plan's start, in whole
nanoseconds; each is rounded once, so no error adds up along a plan.

Source of the inversion: thinning-free simulation of a nonhomogeneous process by its cumulative rate (Cinlar 1975).
"""

import math
import random
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Final, TypeAlias

from msgspec import Struct

__all__ = [
    "ArrivalPlan",
    "Closed",
    "Constant",
    "OpenPlan",
    "Piece",
    "Poisson",
    "Ramp",
    "Replay",
    "Spike",
    "Step",
    "count",
    "instants",
    "ramped",
    "user_starts",
]

_NS_PER_S: Final = 1_000_000_000


def _rate(value: float, name: str) -> None:
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is a rate in arrivals a second, finite and not negative, got {value!r}")


def _span(value: float, name: str) -> None:
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} is a span in seconds above 0, got {value!r}")


class Piece(Struct, frozen=True):
    """A straight piece of a rate: from `start_per_s` to `end_per_s` over `span_s`."""

    span_s: float
    start_per_s: float
    end_per_s: float

    @property
    def arrivals(self) -> float:
        """Return the integral of the rate: how many arrivals the piece holds, as a fraction."""
        return self.span_s * (self.start_per_s + self.end_per_s) / 2

    def at(self, arrivals: float) -> float:
        """Return the seconds after which the integral has reached `arrivals`. *Pure.*

        The form with the root in the denominator keeps its digits where start and end are nearly equal.
        """
        slope = (self.end_per_s - self.start_per_s) / self.span_s
        root = math.sqrt(max(self.start_per_s**2 + 2 * slope * arrivals, 0.0))
        below = self.start_per_s + root
        return min(2 * arrivals / below, self.span_s) if below > 0 else 0.0


class Closed(Struct, frozen=True, kw_only=True, tag="closed"):
    """`users` that each begin an operation when the one before has ended.

    Attributes:
        users: How many at once, at least 1.
        pacing_s: The least time from one start of a user to its next; 0 for none. A user that falls behind does not
            catch up, as no person would.
        jitter_s: Each start waits a random part of this, outside of every clock. Users whose operations end at one
            instant (a slot's end) would otherwise begin the next ones in one burst, and the run would measure that.
        seed: What the jitter follows from.
    """

    users: int
    pacing_s: float = 0.0
    jitter_s: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no plan."""
        if type(self.users) is not int or self.users < 1:
            raise ValueError(f"a closed plan has at least 1 user, got {self.users!r}")
        for name, value in (("pacing_s", self.pacing_s), ("jitter_s", self.jitter_s)):
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"{name} is finite and not negative, got {value!r}")


class Constant(Struct, frozen=True, kw_only=True, tag="constant"):
    """Arrivals at one rate, evenly spaced."""

    rate_per_s: float

    def __post_init__(self) -> None:
        """Refuse what is no rate."""
        _rate(self.rate_per_s, "rate_per_s")

    def pieces(self, duration_s: float) -> tuple[Piece, ...]:
        """Return the rate over `duration_s`. *Pure.*"""
        return (Piece(duration_s, self.rate_per_s, self.rate_per_s),)


class Ramp(Struct, frozen=True, kw_only=True, tag="ramp"):
    """A rate that goes from one value to another over `over_s` (the whole run when None) and stays there."""

    start_per_s: float
    end_per_s: float
    over_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no ramp."""
        _rate(self.start_per_s, "start_per_s")
        _rate(self.end_per_s, "end_per_s")
        if self.over_s is not None:
            _span(self.over_s, "over_s")

    def pieces(self, duration_s: float) -> tuple[Piece, ...]:
        """Return the rate over `duration_s`. *Pure.*"""
        over_s = duration_s if self.over_s is None else self.over_s
        ramp = Piece(over_s, self.start_per_s, self.end_per_s)
        return _cut((ramp, Piece(duration_s, self.end_per_s, self.end_per_s)), duration_s)


class Step(Struct, frozen=True, kw_only=True, tag="step"):
    """Stairs: `start_per_s`, then `by_per_s` more after each `step_s`; negative goes down, at most to 0."""

    start_per_s: float
    by_per_s: float
    step_s: float

    def __post_init__(self) -> None:
        """Refuse what is no stair."""
        _rate(self.start_per_s, "start_per_s")
        _rate(abs(self.by_per_s), "by_per_s")
        _span(self.step_s, "step_s")

    def pieces(self, duration_s: float) -> tuple[Piece, ...]:
        """Return the rate over `duration_s`. *Pure.*"""
        rates = (
            max(self.start_per_s + number * self.by_per_s, 0.0) for number in range(math.ceil(duration_s / self.step_s))
        )
        return _cut(tuple(Piece(self.step_s, rate, rate) for rate in rates), duration_s)


class Spike(Struct, frozen=True, kw_only=True, tag="spike"):
    """A rate that jumps from `base_per_s` to `peak_per_s` at `at_s` and back `hold_s` later."""

    base_per_s: float
    peak_per_s: float
    at_s: float
    hold_s: float

    def __post_init__(self) -> None:
        """Refuse what is no spike."""
        _rate(self.base_per_s, "base_per_s")
        _rate(self.peak_per_s, "peak_per_s")
        _span(self.at_s, "at_s")
        _span(self.hold_s, "hold_s")

    def pieces(self, duration_s: float) -> tuple[Piece, ...]:
        """Return the rate over `duration_s`. *Pure.*"""
        base, peak = self.base_per_s, self.peak_per_s
        whole = (Piece(self.at_s, base, base), Piece(self.hold_s, peak, peak), Piece(duration_s, base, base))
        return _cut(whole, duration_s)


class Poisson(Struct, frozen=True, kw_only=True, tag="poisson"):
    """Arrivals that do not know of each other, at the rates of another plan.

    Attributes:
        shape: Whose rate it follows.
        seed: Everything follows from it.
    """

    shape: Constant | Ramp | Step | Spike
    seed: int = 0

    def pieces(self, duration_s: float) -> tuple[Piece, ...]:
        """Return the rate over `duration_s`. *Pure.*"""
        return self.shape.pieces(duration_s)


class Replay(Struct, frozen=True, kw_only=True, tag="replay"):
    """Arrivals as they were recorded.

    Attributes:
        instants_ns: Nanoseconds since the recording's start, ascending.
        speed: 2.0 replays twice as fast.
    """

    instants_ns: tuple[int, ...]
    speed: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no recording."""
        _span(self.speed, "speed")
        if any(after < before for before, after in pairwise(self.instants_ns)):
            raise ValueError("recorded instants must be in ascending order")
        if self.instants_ns and self.instants_ns[0] < 0:
            raise ValueError("recorded instants count from the recording's start, so none is negative")


OpenPlan: TypeAlias = Constant | Ramp | Step | Spike | Poisson | Replay
ArrivalPlan: TypeAlias = Closed | OpenPlan


def ramped(plan: Constant, ramp_up_s: float) -> Constant | Ramp:
    """Return `plan` with its rate rising from 0 over the first `ramp_up_s` seconds. *Pure.*"""
    return plan if ramp_up_s <= 0 else Ramp(start_per_s=0, end_per_s=plan.rate_per_s, over_s=ramp_up_s)


def instants(plan: OpenPlan, duration_s: float, *, shard: int = 0, shards: int = 1) -> Iterator[int]:
    """Yield the arrivals of `plan` before `duration_s`, in nanoseconds since its start, ascending. *Pure.*

    Args:
        plan: Which arrivals.
        duration_s: Where the plan ends; an arrival at this very instant is not in it.
        shard: Which share to take, 0 to `shards` - 1.
        shards: How many shares there are.
    """
    if not 0 <= shard < shards:
        raise ValueError(f"a shard is 0 to shards - 1, got {shard} of {shards}")
    _span(duration_s, "duration_s")
    match plan:
        case Replay():
            end_ns = round(duration_s * _NS_PER_S)
            replayed = (round(instant / plan.speed) for instant in plan.instants_ns[shard::shards])
            yield from (instant for instant in replayed if instant < end_ns)
        case Poisson():
            yield from islice(_poisson(plan, duration_s), shard, None, shards)
        case _:
            yield from _even(plan.pieces(duration_s), shard, shards)


def count(plan: OpenPlan, duration_s: float) -> int:
    """Return how many arrivals `plan` holds before `duration_s`. *Pure.* Walks the plan where it must."""
    if isinstance(plan, Poisson | Replay):
        return sum(1 for _ in instants(plan, duration_s))
    return _whole(math.fsum(piece.arrivals for piece in plan.pieces(duration_s)))


def user_starts(users: int, ramp_up_s: float, *, shard: int = 0, shards: int = 1) -> list[int]:
    """Return when each user of a closed plan begins, in nanoseconds: evenly over the ramp-up. *Pure.*"""
    return [round(user * ramp_up_s * _NS_PER_S / users) for user in range(shard, users, shards)]


def _cut(pieces: tuple[Piece, ...], duration_s: float) -> tuple[Piece, ...]:
    """Return the first `duration_s` of `pieces`."""
    found, left = [], duration_s
    for piece in pieces:
        if left <= 0:
            break
        span = min(piece.span_s, left)
        slope = (piece.end_per_s - piece.start_per_s) / piece.span_s
        found.append(Piece(span, piece.start_per_s, piece.start_per_s + slope * span))
        left -= span
    return tuple(found)


def _whole(arrivals: float) -> int:
    """Return how many whole numbers from 0 lie below `arrivals`, forgiving the rounding of an integral."""
    nearest = round(arrivals)
    return nearest if abs(arrivals - nearest) < 1e-6 else math.ceil(arrivals)  # noqa: PLR2004 of one arrival


def _even(pieces: tuple[Piece, ...], shard: int, shards: int) -> Iterator[int]:
    before_s, before, number = 0.0, 0.0, shard
    for piece in pieces:
        end = before + piece.arrivals
        last = _whole(end)
        while number < last:
            yield round((before_s + piece.at(number - before)) * _NS_PER_S)
            number += shards
        before_s, before = before_s + piece.span_s, end


def _poisson(plan: Poisson, duration_s: float) -> Iterator[int]:
    draw = random.Random(plan.seed)  # noqa: S311 arrivals are repeatable, not secret
    before_s, before, reached = 0.0, 0.0, draw.expovariate(1.0)
    for piece in plan.pieces(duration_s):
        end = before + piece.arrivals
        while reached < end:
            yield round((before_s + piece.at(reached - before)) * _NS_PER_S)
            reached += draw.expovariate(1.0)
        before_s, before = before_s + piece.span_s, end
