"""One endpoint of a pool: its client, its machines, its counters."""

from collections import Counter
from typing import Final

from slotzero.clock import ms
from slotzero.errors import EndpointError, MalformedError, RateLimitedError, RpcError
from slotzero.solana.endpoints.breaker import Breaker, BreakerRules, Permit
from slotzero.solana.endpoints.health import FailureKind, Health
from slotzero.solana.endpoints.limits import Limiter, MethodClass, method_class
from slotzero.solana.endpoints.records import EndpointSpec, EndpointStats
from slotzero.solana.rpc import MIN_CONTEXT_SLOT_NOT_REACHED, CrowdedError, RpcClient
from slotzero.units import MonoNs

__all__ = ["ELSEWHERE", "Endpoint", "failure_kind"]

_METHOD_NOT_FOUND: Final = -32601
_UNHEALTHY: Final = -32005
_BEHIND: Final = frozenset(
    {
        MIN_CONTEXT_SLOT_NOT_REACHED,
        _UNHEALTHY,
        -32004,  # block not available for slot
        -32014,  # block status not yet available
    }
)
_LACKING: Final = frozenset(
    {
        _METHOD_NOT_FOUND,  # an old node, or switched off on this plan
        -32010,  # key excluded from this node's index
        -32011,  # keeps no transaction history
    }
)
ELSEWHERE: Final = _BEHIND | _LACKING
"""RPC errors that speak of the node rather than of the question: another node may answer it."""

_FIRST_PAUSE_MS: Final = 500
_MOST_DOUBLINGS: Final = 4
_MAX_PAUSE_MS: Final = 600_000
"""A server may ask for a day; it is asked again after ten minutes."""
_MAX_SEND_PAUSE_MS: Final = 10_000
"""What a send may be held back for: a bot that cannot buy for longer has lost the trade anyway, and the endpoint says
429 again if it meant more."""


def failure_kind(error: EndpointError | MalformedError) -> FailureKind:
    """Return the class an error is counted in. *Pure.*"""
    match error:
        case RateLimitedError():
            return "rate_limited"
        case RpcError():
            return "behind" if error.code in _BEHIND else "lacking" if error.code in _LACKING else "refused"
        case MalformedError():
            return "malformed"
        case _:
            return "transport"


class Endpoint:
    """One endpoint; synchronous, except for what its client does.

    Args:
        number: Its place in the pool.
        name: What it is called.
        spec: What it is.
        client: Its client.
        rules: When its breaker opens.
    """

    def __init__(self, number: int, name: str, spec: EndpointSpec, client: RpcClient, rules: BreakerRules) -> None:
        self.number = number
        self.name = name
        self.client = client
        self.breaker = Breaker(rules)
        self.health = Health()
        self.limiter = Limiter(spec.limits)
        self.calls: Counter[str] = Counter()
        self.purposes: Counter[str] = Counter()
        self.abandoned = 0
        self.lacks: set[str] = set()
        """Methods it has said it does not have."""
        self.is_probed = False
        """Whether a probe is under way."""
        self.next_probe = MonoNs(0)
        self._storm: Counter[MethodClass] = Counter()
        """HTTP 429s in a row."""

    @property
    def score(self) -> int:
        """What asking it is expected to cost."""
        return self.health.score_ns

    def probe_at(self, now: MonoNs) -> MonoNs:
        """Return when it is probed next: at its pace, or when its open breaker may be tried; never in a pause."""
        due = self.breaker.probe_due
        return max(self.next_probe if due is None else due, self.limiter.earliest("read", now))

    def on_answer(self, permit: Permit, method: str, now: MonoNs) -> None:
        """A call of `method` was answered."""
        self.breaker.succeed(permit, now)
        self.health.on_answer()
        self._storm[method_class(method)] = 0

    def on_error(self, permit: Permit, method: str, error: EndpointError | MalformedError, now: MonoNs) -> None:
        """A call of `method` has failed.

        A 429 pauses the method's class for as long as the endpoint asks, at most ten minutes; sends for at most ten
        seconds. A call that had to wait behind our own (`CrowdedError`) says nothing of the endpoint: it counts as
        abandoned.
        """
        if isinstance(error, CrowdedError):
            self.breaker.release(permit)
            self.abandoned += 1
            return
        kind, failure = method_class(method), failure_kind(error)
        self.health.on_failure(failure)
        if isinstance(error, RateLimitedError):
            self.breaker.release(permit)
            pause_ms = error.retry_after_ms or _FIRST_PAUSE_MS << min(self._storm[kind], _MOST_DOUBLINGS)
            self._storm[kind] += 1
            most_ms = _MAX_SEND_PAUSE_MS if kind == "send" else _MAX_PAUSE_MS
            self.limiter.pause(kind, now, ms(min(pause_ms, most_ms)))
        elif failure in ("transport", "malformed") or (isinstance(error, RpcError) and error.code == _UNHEALTHY):
            self.breaker.fail(permit, now)
        else:
            self.breaker.succeed(permit, now)  # it has answered, if not with what was asked for
            if isinstance(error, RpcError) and error.code == _METHOD_NOT_FOUND:
                self.lacks.add(method)

    def stats(self) -> EndpointStats:
        """Return what is known of it."""
        return EndpointStats(
            name=self.name,
            state=self.breaker.state,
            transitions=tuple(self.breaker.transitions),
            score_ns=self.health.score_ns,
            latency_ns=self.health.latency_ns,
            lag_slots=self.health.lag_slots,
            slot=max(self.health.slots.values(), default=None),
            calls=dict(self.calls),
            purposes=dict(self.purposes),
            failures={str(kind): count for kind, count in self.health.failures.items()},
            abandoned=self.abandoned,
        )
