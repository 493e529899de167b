"""From a configuration to the loop that carries it out. *Pure.*"""

import inspect
import math
from bisect import bisect_left
from typing import Final

from slotzero.perf.arrivals import Closed, OpenPlan, Piece, Poisson, Replay, instants, user_starts
from slotzero.perf.load_loops import AsyncCallable, Dispatcher, Users
from slotzero.perf.load_tape import LoadTape
from slotzero.perf.load_types import LoadTestConfig
from slotzero.perf.operation_end import NotAsyncError, OperationEnd
from slotzero.perf.timing import Callable0, is_async

__all__ = ["arrivals_between", "planned_loop"]

_NS_PER_S: Final = 1_000_000_000
_NEVER: Final = 2**63 - 1
_ROUNDING: Final = 0.01
"""Of one arrival: what an integral may be off, since instants are whole nanoseconds."""


def planned_loop(
    fn: Callable0, config: LoadTestConfig, tape: LoadTape, ends: OperationEnd, shard: int, shards: int
) -> Users | Dispatcher:
    """Return the loop for one share of a run."""
    plan = config.plan
    if not isinstance(plan, Closed):
        return _dispatcher(_awaitable(fn), config, plan, tape, ends, shard, shards)
    rate = config.rate_limit
    return Users(
        _awaitable(fn),
        tape=tape,
        ends=ends,
        starts_ns=user_starts(plan.users, config.ramp_up, shard=shard, shards=shards),
        pacing_ns=round(plan.pacing_s * _NS_PER_S),
        gap_ns=round(_NS_PER_S * shards / rate) if rate else 0,
        jitter_ns=round(plan.jitter_s * _NS_PER_S),
        seed=plan.seed * shards + shard,
    )


def _dispatcher(
    fn: AsyncCallable,
    config: LoadTestConfig,
    plan: OpenPlan,
    tape: LoadTape,
    ends: OperationEnd,
    shard: int,
    shards: int,
) -> Dispatcher:
    return Dispatcher(
        fn,
        tape=tape,
        ends=ends,
        instants=instants(plan, config.duration, shard=shard, shards=shards),
        most_in_flight=max(_part(config.most_in_flight, shard, shards), 1),
        most_waiting=_part(config.max_queue, shard, shards) if config.when_full == "queue" else 0,
        catch_up_ns=_NEVER if config.catch_up_s is None else round(config.catch_up_s * _NS_PER_S),
        arrivals=lambda first_ns, end_ns: -(-arrivals_between(plan, config.duration, first_ns, end_ns) // shards),
    )


def _part(total: int, shard: int, shards: int) -> int:
    """Return a shard's part of `total`; the parts differ by 1 at most and make the whole."""
    return total // shards + (shard < total % shards)


def arrivals_between(plan: OpenPlan, duration_s: float, first_ns: int, end_ns: int) -> int:
    """Return how many arrivals there are from the one at `first_ns`, which counts, to before `end_ns`. *Pure.*

    Does not walk the plan, which takes a microsecond for each. Exact but for Poisson: of its arrivals after the first
    it is the mean.
    """
    if isinstance(plan, Replay):
        first, end = (round(at_ns * plan.speed) for at_ns in (first_ns, end_ns))
        return bisect_left(plan.instants_ns, end) - bisect_left(plan.instants_ns, first)
    pieces = plan.pieces(duration_s)
    mean = _integral(pieces, end_ns / _NS_PER_S) - _integral(pieces, first_ns / _NS_PER_S)
    if isinstance(plan, Poisson):
        return 1 + round(mean)
    return max(math.ceil(mean - _ROUNDING), 1)


def _integral(pieces: tuple[Piece, ...], until_s: float) -> float:
    arrivals, left_s = 0.0, until_s
    for piece in pieces:
        span_s = min(piece.span_s, left_s)
        slope = (piece.end_per_s - piece.start_per_s) / piece.span_s
        arrivals += Piece(span_s, piece.start_per_s, piece.start_per_s + slope * span_s).arrivals
        left_s -= span_s
    return arrivals


def _awaitable(fn: Callable0) -> AsyncCallable:
    """Return `fn` as something to await. One that is no coroutine function must return something to await."""
    if is_async(fn):
        return fn  # type: ignore[return-value]  # that is what `is_async` has found

    async def call() -> object:
        value = fn()
        if inspect.isawaitable(value):
            return await value
        raise NotAsyncError(type(value).__name__)

    return call
