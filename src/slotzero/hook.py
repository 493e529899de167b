"""What the bot tells of itself while it runs: one frozen record per event, and the hook that takes them.

A stage calls the hook once, where the event happens, and knows nothing of who listens: metrics, traces and logs are
made of these records later, off the hot path. A hook only stores what it is handed; it neither waits nor raises.
Whatever is a *state* (what is held, how an endpoint does) is no event: `observe` asks the engine for it now and then.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import Struct

from slotzero.trace import Component, Trace
from slotzero.units import DurationNs, LamportsDelta

__all__ = [
    "BotEvent",
    "Hook",
    "PoolJudged",
    "PoolSeen",
    "PositionEnded",
    "SnipeDecided",
    "StageTimed",
    "ignore",
]


class PoolSeen(Struct, frozen=True, kw_only=True, gc=False):
    """One feed has told of a creation: the first of the feeds, or a later one.

    Attributes:
        feed: The feed's name from the configuration, without anything secret.
        lag_ns: How much later than the first feed; 0 for the first.
    """

    feed: str
    is_first: bool
    lag_ns: DurationNs


class PoolJudged(Struct, frozen=True, kw_only=True, gc=False):
    """The honeypot's layers have come to a verdict.

    Attributes:
        took_ns: From `NewPool` to the verdict.
    """

    decision: str
    took_ns: DurationNs


class SnipeDecided(Struct, frozen=True, kw_only=True):
    """It is known what became of a pool: refused, or a buy with its outcome.

    Attributes:
        id: What the snipe is found by in logs and traces (the mint).
        reason: Why, as a word of a closed set; "" for a buy that landed.
        trace: The stamps so far. It may go on (an exit); what is read of it here ends at CONFIRMED.
        slots_to_land: Slots from the creation's to the buy's, None when nothing landed.
    """

    id: str
    outcome: Literal["refused", "bought", "failed", "unknown"]
    reason: str
    trace: Trace
    slots_to_land: int | None = None


class PositionEnded(Struct, frozen=True, kw_only=True):
    """A position is closed, or cannot be sold.

    Attributes:
        id: As of its snipe.
        reason: The exit rule that fired, as a word of a closed set.
        trace: All stamps.
    """

    id: str
    reason: str
    is_stuck: bool
    pnl_lamports: LamportsDelta
    trace: Trace


class StageTimed(Struct, frozen=True, kw_only=True, gc=False):
    """A component that is not on a snipe's line has done its work once (a re-valuation, a price, a plan's noise)."""

    component: Component
    total_ns: DurationNs
    own_ns: DurationNs | None = None


BotEvent: TypeAlias = PoolSeen | PoolJudged | SnipeDecided | PositionEnded | StageTimed
Hook: TypeAlias = Callable[[BotEvent], None]


def ignore(_event: BotEvent) -> None:
    """Take an event and do nothing: the hook of a bot nobody watches."""
