"""What has been executed: thin records, bounded by count; and what may not be executed again.

A record keeps the transaction's bytes and the VM's own record instead of decoded Python objects. Twenty thousand of
them are invisible to the garbage collector (`gc=False`, no containers but tuples of atoms): with decoded records a
generation-2 pass stopped the chain for up to 196 ms at 45,000.

The index by address is made likewise: transactions are numbered, and an address has a bytearray of the numbers of
those that mention it, oldest first. A bytearray is no container to the collector, grows at its end and shrinks at its
front in constant time, which is all that adding and evicting need. It takes 8 bytes for each mention and about 0.2 KB
for each address: 20,000 transactions of a create-buy-sell mix mention 47,000 addresses 360,000 times in 11 MB.
"""

import struct
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
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
_MOST_DROPS: Final = 128
_NUMBER: Final = struct.Struct("=Q")


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
        number: Its place among all executed ones, from 0.
        index: Its place within the slot.
        raw: Its bytes on the wire.
        version: None for a legacy transaction.
        loaded_writable: Addresses from lookup tables; they follow the message's own keys, writable ones first.
        pre_balances: Lamports by account, in the order of the keys; `post_balances` likewise.
        mono_ns: The instant at which the VM had executed it.
    """

    signature: Signature
    number: int
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

    def account_keys(self) -> tuple[Pubkey, ...]:
        """Return the addresses it mentions: its own, then those from lookup tables (about 1 us)."""
        return (*self.transaction().message.account_keys, *self.loaded_writable, *self.loaded_readonly)


class History:
    """The last transactions by signature and by the addresses they mention. Full: the oldest are dropped and counted.

    They are dropped some at a time, which takes 14 us each in place of 40: alone, whatever there is to know about one
    has left the processor's caches.

    Args:
        capacity: How many are kept at least; at most as many as are dropped at a time (a 64th, up to 128) are added.
    """

    def __init__(self, capacity: int = DEFAULT_HISTORY) -> None:
        self._drops = max(1, min(capacity // 64, _MOST_DROPS))
        self._capacity = capacity + self._drops - 1
        self._records: dict[Signature, TransactionRecord] = {}
        # A ring: number n stands at n % capacity. (Deleting the first key of a dict again and again would have to pass
        # all the keys deleted before.)
        self._ring: list[TransactionRecord] = []
        self._mentions: dict[Pubkey, bytearray] = {}
        self._evicted = 0

    def __len__(self) -> int:
        """How many transactions are kept."""
        return len(self._records)

    @property
    def evicted(self) -> int:
        """How many have been dropped."""
        return self._evicted

    @property
    def addresses(self) -> int:
        """How many addresses the kept transactions mention."""
        return len(self._mentions)

    def add(self, record: TransactionRecord, keys: Iterable[Pubkey]) -> None:
        """Keep the next record and the addresses it mentions, looked-up ones included. *Hot path.*"""
        number = record.number
        if len(self._records) == self._capacity:
            for oldest in range(number - self._capacity, number - self._capacity + self._drops):
                self._evict(self._at(oldest))
        if len(self._ring) < self._capacity:
            assert number == len(self._ring), "records are numbered without gaps"
            self._ring.append(record)
        else:
            self._ring[number % self._capacity] = record
        self._records[record.signature] = record
        packed = _NUMBER.pack(number)
        mentions = self._mentions
        for key in keys:
            numbers = mentions.get(key)
            if numbers is None:
                mentions[key] = bytearray(packed)
            else:
                numbers += packed

    def get(self, signature: Signature) -> TransactionRecord | None:
        """Return the record of `signature`, or None when it was never executed or has been dropped."""
        return self._records.get(signature)

    def mentioning(
        self,
        key: Pubkey,
        *,
        up_to: Slot,
        limit: int,
        before: TransactionRecord | None = None,
        until: TransactionRecord | None = None,
    ) -> list[TransactionRecord]:
        """Return the newest kept transactions that mention `key`, newest first.

        Args:
            key: An address in any role: signer, program, looked up.
            up_to: The newest slot to show.
            limit: How many at most.
            before: Only those older than this one, which need not mention `key`.
            until: Only those newer than this one, likewise.
        """
        packed = self._mentions.get(key)
        if packed is None:
            return []
        with memoryview(packed).cast("Q") as numbers:
            end = bisect_right(numbers, up_to, key=lambda number: self._at(number).slot)
            if before is not None:
                end = min(end, bisect_left(numbers, before.number))
            start = 0 if until is None else bisect_right(numbers, until.number)
            wanted = numbers[max(start, end - limit) : end].tolist()
        return [self._at(number) for number in reversed(wanted)]

    def _at(self, number: int) -> TransactionRecord:
        return self._ring[number % self._capacity]

    def _evict(self, record: TransactionRecord) -> None:
        del self._records[record.signature]
        self._evicted += 1
        mentions = self._mentions
        for key in record.account_keys():
            numbers = mentions[key]
            if len(numbers) == _NUMBER.size:
                del mentions[key]
            else:
                del numbers[: _NUMBER.size]  # its first number: this is the oldest transaction there is


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
