"""What the chain tells its listeners: one frozen record for each thing that happened."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct
from solders.account import Account
from solders.pubkey import Pubkey

from slotzero.localnet.history import TransactionRecord
from slotzero.units import MonoNs, Slot

__all__ = ["AccountSet", "AccountWrite", "ChainEvent", "Listener", "SlotOpened", "TransactionExecuted"]


class AccountWrite(Struct, frozen=True, kw_only=True):
    """An account as a write left it; None when the write ended it."""

    key: Pubkey
    account: Account | None


class TransactionExecuted(Struct, frozen=True, kw_only=True):
    """A transaction was executed and is part of the open slot, whether it succeeded or failed.

    Attributes:
        account_keys: All its accounts, those from lookup tables included.
        written: The accounts it wrote: every writable one, or only the fee payer when it failed.
    """

    record: TransactionRecord
    account_keys: tuple[Pubkey, ...]
    written: tuple[AccountWrite, ...]


class AccountSet(Struct, frozen=True, kw_only=True):
    """The admin call wrote an account."""

    slot: Slot
    write: AccountWrite
    mono_ns: MonoNs


class SlotOpened(Struct, frozen=True, kw_only=True):
    """A slot opened; its parent has ended and is confirmed, `root` is finalized."""

    slot: Slot
    parent: Slot
    root: Slot
    mono_ns: MonoNs


ChainEvent: TypeAlias = TransactionExecuted | AccountSet | SlotOpened
Listener: TypeAlias = Callable[[ChainEvent], None]
"""Called at once and in order, inside the call that caused the event. It may read the chain, not write it."""
