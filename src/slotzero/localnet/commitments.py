"""Commitments, all from one undo log.

The VM holds the *processed* state. A slot's log entry keeps what each account was before that slot first wrote it;
reading the state as of an older slot is finding the first entry after it that knows the key. The same entries, taken
back newest first, are what a fork needs.
"""

from collections import deque
from typing import Final, Literal, TypeAlias

from solders.account import Account
from solders.pubkey import Pubkey

from slotzero.units import Slot

__all__ = ["CONFIRMED_DEPTH", "FINALIZED_DEPTH", "Commitment", "UndoLog", "commitment_of", "slot_at"]

Commitment: TypeAlias = Literal["processed", "confirmed", "finalized"]

CONFIRMED_DEPTH: Final = 1
"""A slot is confirmed when it has ended, that is when the next one is open."""
FINALIZED_DEPTH: Final = 32
UNDO_SLOTS: Final = FINALIZED_DEPTH + 1
"""The open slot and the 32 before it."""

_DEPTHS: Final[dict[Commitment, int]] = {
    "processed": 0,
    "confirmed": CONFIRMED_DEPTH,
    "finalized": FINALIZED_DEPTH,
}


def slot_at(commitment: Commitment, open_slot: Slot) -> Slot:
    """Return the newest slot that has `commitment` while `open_slot` is open; 0 is the genesis. *Pure.*"""
    return Slot(max(0, open_slot - _DEPTHS[commitment]))


def commitment_of(slot: Slot, open_slot: Slot) -> Commitment:
    """Return the commitment of `slot` while `open_slot` is open. *Pure.*"""
    depth = open_slot - slot
    if depth >= FINALIZED_DEPTH:
        return "finalized"
    return "confirmed" if depth >= CONFIRMED_DEPTH else "processed"


class UndoLog:
    """What accounts were before each of the last 33 slots wrote them.

    Full means the oldest slot's entry is dropped: it is finalized and cannot be asked for any more.
    """

    def __init__(self) -> None:
        self._slots: deque[tuple[Slot, dict[Pubkey, Account | None]]] = deque(maxlen=UNDO_SLOTS)

    def open_slot(self, slot: Slot) -> None:
        """Begin the entry of a new slot."""
        self._slots.append((slot, {}))

    def note(self, key: Pubkey, before: Account | None) -> None:
        """Remember what `key` was before the open slot wrote it; only the first call in a slot counts."""
        self._slots[-1][1].setdefault(key, before)

    def account_at(self, key: Pubkey, slot: Slot, current: Account | None) -> Account | None:
        """Return what `key` was at the end of `slot`, given what it is now. Looks at the slots since then only."""
        account = current
        for entry_slot, before in reversed(self._slots):
            if entry_slot <= slot:
                break
            if key in before:
                account = before[key]
        return account
