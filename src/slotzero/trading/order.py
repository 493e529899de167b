"""One order after it was signed: a pure machine that says when to send, when to ask, and what became of it.

The machine never signs. It sends the same bytes again until the chain has answered or the blockhash has expired; the
signature de-duplicates them. Success and failure count only once *confirmed*: a processed block can be dropped.

When the block height has passed the last valid one, the order is not yet expired: it may have landed just before. It
is asked for once more with history, twice in a row, and only two "not known" in a row at a height past the limit make
it `Expired`. No answer is never taken for a "not known".

An expiry of which no send ever left says nothing of the price that was bid: `Expired.was_sent` tells the two apart.
What the machine has asked to be sent counts as sent until the shell says that it has not left.
"""

from typing import Final, Literal

from msgspec import Struct

from slotzero.clock import is_due, later
from slotzero.solana.rpc import SignatureStatus
from slotzero.units import BlockHeight, DurationNs, MonoNs, Slot

__all__ = ["AskStatus", "Command", "Confirmed", "Expired", "Failed", "Order", "Outcome", "Send"]

_LAST_LOOKS: Final = 2


class Confirmed(Struct, frozen=True, tag=True):
    """It landed without an error."""

    slot: Slot


class Failed(Struct, frozen=True, tag=True):
    """It landed with an error, which cost its fee. `err` is the chain's error as JSON."""

    slot: Slot
    err: object


class Expired(Struct, frozen=True, tag=True):
    """It did not land and no longer can.

    Attributes:
        was_sent: Whether an endpoint may have taken its bytes. False = none has: every send was put off, here or by
            HTTP 429, so its price was never tried and the same intent may be signed again as if it had not been.
    """

    was_sent: bool = True


Outcome = Confirmed | Failed | Expired


class Send(Struct, frozen=True, tag=True):
    """Hand the bytes to an endpoint (again)."""


class AskStatus(Struct, frozen=True, tag=True):
    """Ask for the signature's status; `history` looks beyond the node's recent cache."""

    history: bool


Command = Send | AskStatus


class Order:
    """The machine of one signed transaction.

    Args:
        last_valid_block_height: The last height at which it can land.
        rebroadcast_ns: How often the bytes are sent again.
        poll_ns: How often its status is asked for beside the subscription.
        may_send: False for an order found in the journal that is only to be settled.
    """

    def __init__(
        self,
        last_valid_block_height: BlockHeight,
        *,
        rebroadcast_ns: DurationNs,
        poll_ns: DurationNs,
        may_send: bool = True,
    ) -> None:
        self._last_valid = last_valid_block_height
        self._rebroadcast_ns = rebroadcast_ns
        self._poll_ns = poll_ns
        self._may_send = may_send
        self._next_send: MonoNs | None = None
        self._next_poll: MonoNs | None = None
        self._last_asks = 0
        """How often it was asked for since the limit was passed: an answer to an earlier question is no last look."""
        self._unknown_looks = 0
        self._height = BlockHeight(0)
        self.outcome: Outcome | None = None
        self.sends = 0
        self._unsent = 0
        """How many of them have not left."""

    @property
    def is_past_limit(self) -> bool:
        """Whether the chain has passed the last block it could land in."""
        return self._height > self._last_valid

    def start(self, now: MonoNs) -> list[Command]:
        """Begin: send at once (or ask at once, when it is only to be settled)."""
        self._next_poll = later(now, self._poll_ns)
        if not self._may_send:
            return [AskStatus(history=True)]
        self._next_send = later(now, self._rebroadcast_ns)
        self.sends = 1
        return [Send()]

    @property
    def may_send(self) -> bool:
        """Whether its bytes may be sent, for the first time or again."""
        return self._may_send

    def stop_sending(self) -> None:
        """Send no more; what has been sent may still land, and is asked about."""
        self._may_send, self._next_send = False, None

    def next_deadline(self) -> MonoNs | None:
        """Return when `on_time` next has something to do, or None when it never has again."""
        if self.outcome is not None:
            return None
        if self._next_send is None or self.is_past_limit:
            return self._next_poll
        return self._next_send if self._next_poll is None else min(self._next_send, self._next_poll)

    def on_time(self, now: MonoNs, height: BlockHeight) -> list[Command]:
        """Say what is due at `now`, the newest confirmed block height being `height`."""
        if self.outcome is not None:
            return []
        self._height = max(self._height, height)
        commands: list[Command] = []
        if self._next_poll is not None and is_due(self._next_poll, now):
            self._next_poll = later(now, self._poll_ns)
            self._last_asks += self.is_past_limit
            commands.append(AskStatus(history=self.is_past_limit or not self._may_send))
        if self._next_send is not None and is_due(self._next_send, now) and not self.is_past_limit:
            self._next_send = later(now, self._rebroadcast_ns)
            self.sends += 1
            commands.append(Send())
        return commands

    def on_not_sent(self) -> None:
        """Take back one `Send`: no endpoint has the bytes by it. Not to be called where that is only likely."""
        self._unsent += 1

    def on_notified(self, slot: Slot, err: object) -> None:
        """Take the signature subscription's word, which comes at commitment *confirmed*."""
        self._land(slot, err)

    def on_status(self, status: SignatureStatus | None, *, asked: Literal["recent", "history"]) -> None:
        """Take an answer about its status. Not to be called when there was no answer."""
        if self.outcome is not None:
            return
        if status is None:
            if asked == "history" and self._unknown_looks < self._last_asks:
                self._unknown_looks += 1
                if self._unknown_looks >= _LAST_LOOKS:
                    # One that is only settled was sent by an earlier run.
                    self.outcome = Expired(was_sent=not self.sends or self.sends > self._unsent)
            return
        self._unknown_looks = 0
        if status.confirmation != "processed":
            self._land(status.slot, status.err)

    def _land(self, slot: Slot, err: object) -> None:
        if self.outcome is None:
            self.outcome = Confirmed(slot) if err is None else Failed(slot, err)
