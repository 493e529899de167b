"""What an endpoint is, and what a pool tells of it."""

from msgspec import Struct

from slotzero.secret import Secret, redacted_url
from slotzero.solana.endpoints.breaker import BreakerState, Transition
from slotzero.solana.endpoints.limits import Limits
from slotzero.units import DurationNs, Slot

__all__ = ["EndpointSpec", "EndpointStats"]


class EndpointSpec(Struct, frozen=True, kw_only=True):
    """An endpoint to be asked. Its addresses may hold keys, so they cannot be printed.

    Attributes:
        rpc: The JSON-RPC address.
        limits: How often it may be asked.
        name: What it is called in statistics; "" = its address without what is secret in it.
    """

    rpc: Secret[str]
    limits: Limits = Limits()
    name: str = ""

    @property
    def shown(self) -> str:
        """The name, or the redacted address."""
        return self.name or redacted_url(self.rpc.reveal())


class EndpointStats(Struct, frozen=True, kw_only=True):
    """One endpoint as its pool sees it.

    Attributes:
        name: Its name, without anything secret.
        state: Its breaker's.
        transitions: The breaker's newest changes of state.
        score_ns: What asking it is expected to cost; reads go to the least.
        latency_ns: The probes' average latency, None before the first.
        lag_slots: How far it was behind the newest endpoint when it last told a slot.
        slot: The newest slot it has told of, at any commitment.
        calls: Calls made, by method.
        purposes: Calls made, by purpose.
        failures: Calls that failed, by class.
        abandoned: Calls that were given up before their answer, which may have been a failure, and calls that our own
            other calls to it left no time for.
    """

    name: str
    state: BreakerState
    transitions: tuple[Transition, ...]
    score_ns: DurationNs
    latency_ns: DurationNs | None
    lag_slots: int
    slot: Slot | None
    calls: dict[str, int]
    purposes: dict[str, int]
    failures: dict[str, int]
    abandoned: int = 0
