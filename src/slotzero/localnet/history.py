"""What has been executed: thin records, bounded by count; and what may not be executed again.

A record keeps the transaction's bytes and the VM's own record instead of decoded Python objects. Twenty thousand of
them are invisible to the garbage collector (`gc=False`, no containers but tuples of atoms): with decoded records a
generation-2 pass stopped the chain for up to 196 ms at 45,000.
"""

from collections import deque
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import TransactionMetadata

from slotzero.localnet.slots import BLOCKHASH_WINDOW
from slotzero.solana.svm import TransactionErr
from slotzero.units import Lamports, MonoNs, Slot

__all__ = ["DEFAULT_HISTORY", "History", "RecentSignatures", "TokenBalance", "TransactionRecord"]

DEFAULT_HISTORY: Final = 20_000


class TokenBalance(Struct, frozen=True, kw_only=True, gc=False):
    """One token account's balance, in smallest units, beside a transaction."""

    account_index: int
    mint: Pubkey
    owner: Pubkey
    token_program: Pubkey
    amount: int


class TransactionRecord(Struct, frozen=True, kw_only=True, gc=False):
    """One executed transaction.

    Attributes:
        index: Its place within the slot.
        raw: Its bytes on the wire.
        version: None for a legacy transaction.
        loaded_writable: Addresses from lookup tables; they follow the message's own keys, writable ones first.
        pre_balances: Lamports by account, in the order of the keys; `post_balances` likewise.
        mono_ns: The instant at which the VM had executed it.
    """

    signature: Signature
    slot: Slot
    index: int
    raw: bytes
    version: int | None
    err: TransactionErr | None
    fee: Lamports
    units_consumed: int
    metadata: TransactionMetadata
    loaded_writable: tuple[Pubkey, ...]
    loaded_readonly: tuple[Pubkey, ...]
    pre_balances: tuple[int, ...]
    post_balances: tuple[int, ...]
    pre_token_balances: tuple[TokenBalance, ...]
    post_token_balances: tuple[TokenBalance, ...]
    unix_timestamp: int
    mono_ns: MonoNs

    def transaction(self) -> VersionedTransaction:
        """Return the decoded transaction (0.2 us)."""
        return VersionedTransaction.from_bytes(self.raw)


class History:
    """The last transactions by signature. Full means the oldest is dropped and counted."""

    def __init__(self, capacity: int = DEFAULT_HISTORY) -> None:
        self._capacity = capacity
        self._records: dict[Signature, TransactionRecord] = {}
        # Eviction order beside the dict: its first key lies behind all the deleted ones, which a scan would have to
        # pass each time.
        self._order: deque[Signature] = deque()
        self._evicted = 0

    def __len__(self) -> int:
        """How many transactions are kept."""
        return len(self._records)

    @property
    def evicted(self) -> int:
        """How many have been dropped."""
        return self._evicted

    def add(self, record: TransactionRecord) -> None:
        """Keep a record."""
        self._records[record.signature] = record
        self._order.append(record.signature)
        if len(self._order) > self._capacity:
            del self._records[self._order.popleft()]
            self._evicted += 1

    def get(self, signature: Signature) -> TransactionRecord | None:
        """Return the record of `signature`, or None when it was never executed or has been dropped."""
        return self._records.get(signature)


class RecentSignatures:
    """The signatures whose blockhash could still be accepted: what a duplicate is told by.

    Kept apart from the history, because at 2,000 transactions a second 20,000 records are younger than the window.
    Bounded by the window: 151 slots.
    """

    def __init__(self) -> None:
        self._signatures: set[Signature] = set()
        self._slots: deque[list[Signature]] = deque()

    def open_slot(self) -> None:
        """Begin a slot; those whose blockhashes have expired are forgotten."""
        self._slots.append([])
        if len(self._slots) > BLOCKHASH_WINDOW + 1:
            self._signatures.difference_update(self._slots.popleft())

    def add(self, signature: Signature) -> None:
        """Remember an executed transaction."""
        self._slots[-1].append(signature)
        self._signatures.add(signature)

    def __contains__(self, signature: Signature) -> bool:
        """Tell whether `signature` was executed within the window."""
        return signature in self._signatures
