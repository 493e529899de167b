"""Durable nonces: transactions whose blockhash is a value stored in an account, so that they never expire.

All variants signed over one stored value exclude each other exactly: the first that lands, *even if it fails*,
replaces the value. A real cluster looks at the nonce before it executes, and so does the chain with what is here;
LiteSVM executes the advance like any instruction, and leaves the nonce alone when the transaction fails. (It derives
the next value from the transaction's own blockhash, where a cluster takes its newest one.)

The rules, as of Agave 4.1: the first instruction advances a nonce; its account is writable and not from a lookup
table; the account is of the current version and initialized; its authority signs that instruction; and the value was
not stored in this very slot. *Pure.*
"""

import hashlib
import struct
from typing import Final

from msgspec import Struct
from solders.account import Account
from solders.hash import Hash
from solders.pubkey import Pubkey

from slotzero.localnet.execution import AnyMessage, writable_indexes
from slotzero.solana.addresses import SYSTEM_PROGRAM

__all__ = ["Nonce", "NonceUse", "nonce_advanced", "nonce_use", "stored_nonce"]

_ADVANCE: Final = (4).to_bytes(4, "little")
# Version (1 is the current one), state (1 is initialized), authority, value, lamports per signature.
_NONCE: Final = struct.Struct("<II32s32sQ")
_CURRENT: Final = 1
_INITIALIZED: Final = 1


class NonceUse(Struct, frozen=True, kw_only=True):
    """How a transaction uses a nonce: the account, and who signs the instruction that advances it."""

    account: Pubkey
    signers: tuple[Pubkey, ...]


class Nonce(Struct, frozen=True, kw_only=True):
    """What a nonce account stores: who may advance it, and what a transaction carries in place of a blockhash."""

    authority: Pubkey
    value: Hash


def nonce_use(message: AnyMessage) -> NonceUse | None:
    """Return how `message` uses a nonce, None when its first instruction advances none."""
    keys, instructions = message.account_keys, message.instructions
    if not instructions:
        return None
    first = instructions[0]
    accounts = bytes(first.accounts)
    if keys[first.program_id_index] != SYSTEM_PROGRAM or bytes(first.data[:4]) != _ADVANCE or not accounts:
        return None
    if accounts[0] not in writable_indexes(message, len(keys)):
        return None
    signers = message.header.num_required_signatures
    return NonceUse(account=keys[accounts[0]], signers=tuple(keys[index] for index in accounts if index < signers))


def stored_nonce(account: Account | None) -> Nonce | None:
    """Return what a nonce account stores, None when it is none that can be used."""
    if account is None or account.owner != SYSTEM_PROGRAM:
        return None
    data = account.data
    if len(data) != _NONCE.size:
        return None
    version, state, authority, value, _fee = _NONCE.unpack(data)
    if version != _CURRENT or state != _INITIALIZED:
        return None
    return Nonce(authority=Pubkey(authority), value=Hash(value))


def nonce_advanced(account: Account) -> Account:
    """Return a nonce account with its next value, the one LiteSVM gives after a transaction that succeeds."""
    version, state, authority, value, fee = _NONCE.unpack(account.data)
    value = hashlib.sha256(b"DURABLE_NONCE" + value).digest()
    data = _NONCE.pack(version, state, authority, value, fee)
    return Account(account.lamports, data, account.owner, account.executable, account.rent_epoch)
