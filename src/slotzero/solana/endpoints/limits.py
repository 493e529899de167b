"""How fast an endpoint may be asked: a token bucket for each class of methods, and pauses the endpoint asks for.

Pure machines in integers. The bucket is the generic cell rate algorithm (ITU-T I.371): it keeps one instant, from which
the instant of the next call follows, so nothing has to tick. Instants are kept multiplied by the rate, which makes a
token exactly 10**9 of these units whatever the rate is. Only the instant given out is rounded, and up: less than a
nanosecond lost for each token, never early and never a token too many.

Property: of the instants `take` returns, at most rate x t + burst lie in any window of t seconds. A server that counts
in fixed seconds sees up to rate + burst in one of them: set the rate that much below what the plan allows.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from slotzero.clock import later
from slotzero.units import MonoNs

__all__ = ["Limiter", "Limits", "MethodClass", "TokenBucket", "method_class"]

MethodClass = Literal["read", "send", "heavy"]
"""What providers count apart: ordinary reads, sending, and the calls that search a node's indexes."""

_NS_PER_S: Final = 1_000_000_000
_TRIES_PER_S: Final = 1
"""What goes through a pause: often enough for a sell, and nothing a provider would call a flood."""
_BURST_PARTS: Final = 10
_CLASSES: Final[Mapping[str, MethodClass]] = {
    "sendTransaction": "send",
    "getProgramAccounts": "heavy",
    "getSignaturesForAddress": "heavy",
    "getTokenAccountsByOwner": "heavy",
    "getTokenLargestAccounts": "heavy",
}


def method_class(method: str) -> MethodClass:
    """Return the class a method is counted in. *Pure.*"""
    return _CLASSES.get(method, "read")


class Limits(Struct, frozen=True, kw_only=True):
    """How many calls of each class an endpoint takes in a second; None = as many as there are."""

    read_per_s: int | None = None
    send_per_s: int | None = None
    heavy_per_s: int | None = None

    def of(self, kind: MethodClass) -> int | None:
        """Return the limit of a class."""
        match kind:
            case "read":
                return self.read_per_s
            case "send":
                return self.send_per_s
            case "heavy":
                return self.heavy_per_s


class TokenBucket:
    """Tokens that come back at a rate, up to a burst. Its instants must not go backwards.

    Args:
        rate_per_s: Tokens in a second, at least 1.
        burst: How many may be taken at once after a rest, at least 1.
    """

    __slots__ = ("_full_at", "_rate", "_slack")

    def __init__(self, *, rate_per_s: int, burst: int) -> None:
        assert rate_per_s >= 1, "a bucket that never fills"
        assert burst >= 1, "a bucket that holds no token"
        self._rate = rate_per_s
        self._slack = (burst - 1) * _NS_PER_S
        self._full_at = 0
        """The instant times the rate at which the bucket is full again, less one token."""

    def earliest(self, now: MonoNs) -> MonoNs:
        """Return the first instant, `now` or later, at which there is a token."""
        return max(now, MonoNs(-((self._slack - self._full_at) // self._rate)))

    def take(self, now: MonoNs) -> MonoNs:
        """Take a token, perhaps of the future. Returns the instant from which it may be used: `earliest(now)`."""
        at = self.earliest(now)
        self._full_at = max(self._full_at, at * self._rate) + _NS_PER_S
        return at


class Limiter:
    """When one endpoint may be asked next, for each class of methods.

    A pause holds back everything but exits, of which one try a second goes through it: what a position loses while
    nobody tries to sell it is more than an endpoint's displeasure costs.

    Args:
        limits: Its limits. A burst is a tenth of a second's calls, at least one.
    """

    def __init__(self, limits: Limits) -> None:
        kinds: tuple[MethodClass, ...] = ("read", "send", "heavy")
        self._buckets = {
            kind: TokenBucket(rate_per_s=rate, burst=max(1, rate // _BURST_PARTS))
            for kind in kinds
            if (rate := limits.of(kind)) is not None
        }
        self._paused_until: dict[MethodClass, MonoNs] = {}
        self._tries = TokenBucket(rate_per_s=_TRIES_PER_S, burst=1)

    def earliest(self, kind: MethodClass, now: MonoNs, *, is_exit: bool = False) -> MonoNs:
        """Return the first instant, `now` or later, at which a call of `kind` may go; a sell's may be in a pause."""
        over = self.paused_until(kind, now)
        at = min(over, self._tries.earliest(now)) if is_exit else over
        bucket = self._buckets.get(kind)
        return at if bucket is None else bucket.earliest(at)

    def take(self, kind: MethodClass, now: MonoNs) -> MonoNs:
        """Use up a call of `kind`. Returns the instant at which it may go: `earliest(kind, now)`."""
        at = self.paused_until(kind, now)
        bucket = self._buckets.get(kind)
        return at if bucket is None else bucket.take(at)

    def take_try(self, kind: MethodClass, now: MonoNs) -> MonoNs | None:
        """Use up a try that the present pause leaves to exits, and a call of `kind` with it.

        Returns the instant at which it may go; None when the pause is over before there is one, or there is no pause.
        """
        at, bucket = self._tries.earliest(now), self._buckets.get(kind)
        if bucket is not None:
            at = bucket.earliest(at)
        if at >= self.paused_until(kind, now):
            return None
        self._tries.take(at)
        return at if bucket is None else bucket.take(at)

    def pause(self, kind: MethodClass, now: MonoNs, for_ns: int) -> None:
        """Let no call of `kind` go for `for_ns` from `now`; a longer pause stays."""
        self._paused_until[kind] = max(later(now, for_ns), self._paused_until.get(kind, MonoNs(0)))

    def paused_until(self, kind: MethodClass, now: MonoNs) -> MonoNs:
        """Return when the pause is over that the endpoint has asked for; `now` when there is none."""
        return max(now, self._paused_until.get(kind, now))

    def is_paused(self, kind: MethodClass, now: MonoNs) -> bool:
        """Tell whether the endpoint has asked for a pause that is not over."""
        return self._paused_until.get(kind, now) > now
