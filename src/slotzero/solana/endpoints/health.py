"""How good an endpoint is: latency, failures and lag in one number of nanoseconds. Pure, in integers.

The score is what asking is expected to cost: the probe's latency, the chance of a failure times what a failure costs,
and the slots it is behind. Latency comes from probes alone: every endpoint gets the same question at the same pace, so
like is compared with like. (Fed by real calls, the endpoint that gets the heavy ones would look slow, lose them to the
other, recover, and so on for ever.)

Lag is judged when an endpoint speaks: its slot against the newest slot anyone had told of by then, at the same
commitment. So a lag is never overstated by when the others were asked.
"""

from collections import Counter
from typing import Final, Literal

from slotzero.solana.rpc import Commitment
from slotzero.units import BPS, DurationNs, Slot

__all__ = ["FailureKind", "Health"]

FailureKind = Literal["transport", "rate_limited", "malformed", "behind", "lacking", "refused"]
"""No answer / HTTP 429 / no JSON-RPC / the node is not as far as it should be / it has no such method, index or
history / an error that another node would give as well."""

_WEIGHT: Final = 8
"""An average moves by an eighth of the difference: half-way after five samples."""
_UNKNOWN_LATENCY_NS: Final = 100_000_000
_FAILURE_COSTS_NS: Final = 1_000_000_000
_SLOT_COSTS_NS: Final = 50_000_000
"""A slot behind is 200 ms older news; a quarter of that, so that one slot of jitter does not outweigh a near server."""
_PENALISED: Final = frozenset({"transport", "rate_limited", "malformed", "behind"})


class Health:
    """What is known of one endpoint.

    Attributes:
        latency_ns: The probes' average latency, None before the first.
        failures: By class, since the beginning.
        lag_slots: How far it was behind the newest endpoint when it last told a slot.
        slots: The newest slot it has told of, by commitment.
    """

    def __init__(self) -> None:
        self.latency_ns: DurationNs | None = None
        self.failures: Counter[FailureKind] = Counter()
        self.lag_slots = 0
        self.slots: dict[Commitment, Slot] = {}
        self._failing_bps = 0

    @property
    def score_ns(self) -> DurationNs:
        """What asking is expected to cost; the least is the best."""
        latency = _UNKNOWN_LATENCY_NS if self.latency_ns is None else self.latency_ns
        failing = self._failing_bps * _FAILURE_COSTS_NS // BPS
        return DurationNs(latency + failing + self.lag_slots * _SLOT_COSTS_NS)

    def on_probe(self, latency_ns: DurationNs) -> None:
        """Take the latency of a probe that was answered."""
        before = latency_ns if self.latency_ns is None else self.latency_ns
        self.latency_ns = DurationNs(_moved(before, latency_ns))

    def on_answer(self) -> None:
        """A call was answered."""
        self._failing_bps = _moved(self._failing_bps, 0)

    def on_failure(self, kind: FailureKind) -> None:
        """A call was not answered, or not with what was asked for."""
        self.failures[kind] += 1
        if kind in _PENALISED:
            self._failing_bps = _moved(self._failing_bps, BPS)

    def on_slot(self, commitment: Commitment, slot: Slot, newest: Slot) -> None:
        """It told of `slot`; `newest` is the newest slot anyone has told of at that commitment."""
        self.slots[commitment] = slot
        self.lag_slots = max(0, newest - slot)


def _moved(average: int, sample: int) -> int:
    return (average * (_WEIGHT - 1) + sample) // _WEIGHT
