"""What the VM does not tell about a transaction: size limit, accounts, write locks, unit price, token balances."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from msgspec import Struct
from solders.account import Account
from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.transaction import SanitizeError, VersionedTransaction

from slotzero.errors import MalformedError
from slotzero.localnet.history import TokenBalance
from slotzero.solana.addresses import COMPUTE_BUDGET_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.units import MicroLamportsPerCu

__all__ = [
    "MAX_TRANSACTION_BYTES",
    "MAX_V1_TRANSACTION_BYTES",
    "AccountKeys",
    "AnyMessage",
    "account_keys",
    "parse_transaction",
    "token_balances",
    "token_rows",
    "unit_price",
    "version_of",
    "writable_indexes",
]

MAX_TRANSACTION_BYTES: Final = 1232
MAX_V1_TRANSACTION_BYTES: Final = 4096
V1_FIRST_BYTE: Final = 0x81
"""Version 1 begins with its version; in the older forms this byte counts signatures, and 129 of them do not fit."""

_LOOKUP_TABLE_HEADER: Final = 56
_KEY_BYTES: Final = 32
# A token account is 165 bytes; longer ones carry extensions behind a byte that tells it (2) from a mint (1).
# 355 bytes is a multisig.
_TOKEN_ACCOUNT_BYTES: Final = 165
_MULTISIG_BYTES: Final = 355
_TOKEN_ACCOUNT_TYPE: Final = 2
_STATE_OFFSET: Final = 108
_TOKEN_PROGRAMS: Final = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
# SetComputeUnitPrice: its number, then a u64.
_SET_UNIT_PRICE: Final = bytes([3])
_UNIT_PRICE_BYTES: Final = 9
MICRO_LAMPORTS: Final = 1_000_000
"""Micro-lamports in a lamport."""

ReadAccount: TypeAlias = Callable[[Pubkey], Account | None]
AnyMessage: TypeAlias = Message | MessageV0 | MessageV1


class AccountKeys(Struct, frozen=True, kw_only=True):
    """The accounts of a transaction: the message's own, then loaded writable ones, then loaded readable ones.

    Attributes:
        writable: The indexes of those it may write; the fee payer (0) is always first.
    """

    keys: tuple[Pubkey, ...]
    writable: tuple[int, ...]
    loaded_writable: tuple[Pubkey, ...]
    loaded_readonly: tuple[Pubkey, ...]


def parse_transaction(raw: bytes) -> VersionedTransaction:
    """Return the transaction in `raw`, checked for size and sanity. *Pure.*

    Raises:
        MalformedError: It is too large, no transaction, or its indexes do not fit together.
    """
    limit = MAX_V1_TRANSACTION_BYTES if raw[:1] == bytes([V1_FIRST_BYTE]) else MAX_TRANSACTION_BYTES
    if len(raw) > limit:
        raise MalformedError(f"base64 encoded solana_transaction too large: {len(raw)} bytes (max: {limit} bytes)")
    try:
        transaction = VersionedTransaction.from_bytes(raw)
        transaction.sanitize()
    except (ValueError, SanitizeError) as error:
        raise MalformedError(f"failed to deserialize transaction: {error}") from error
    return transaction


def version_of(transaction: VersionedTransaction) -> int | None:
    """Return a transaction's version, None for legacy. *Pure.*"""
    version = transaction.version()
    return version if isinstance(version, int) else None


def account_keys(message: AnyMessage, read: ReadAccount) -> AccountKeys:
    """Return the accounts of a message, lookup tables resolved.

    Raises:
        MalformedError: A lookup table does not exist or has no such entry.
    """
    own = message.account_keys
    writable = writable_indexes(message, len(own))
    lookups = message.address_table_lookups if isinstance(message, MessageV0) else ()
    if not lookups:
        return AccountKeys(keys=tuple(own), writable=tuple(writable), loaded_writable=(), loaded_readonly=())
    loaded_writable: list[Pubkey] = []
    loaded_readonly: list[Pubkey] = []
    for lookup in lookups:
        table = read(lookup.account_key)
        if table is None:
            raise MalformedError(f"the address lookup table {lookup.account_key} does not exist")
        loaded_writable.extend(_table_entries(table.data, lookup.writable_indexes))
        loaded_readonly.extend(_table_entries(table.data, lookup.readonly_indexes))
    writable.extend(range(len(own), len(own) + len(loaded_writable)))
    return AccountKeys(
        keys=(*own, *loaded_writable, *loaded_readonly),
        writable=tuple(writable),
        loaded_writable=tuple(loaded_writable),
        loaded_readonly=tuple(loaded_readonly),
    )


def writable_indexes(message: AnyMessage, own: int) -> list[int]:
    """Return the indexes of the writable ones among a message's `own` first accounts. *Pure.*"""
    header = message.header
    signers = header.num_required_signatures
    writable = [
        *range(signers - header.num_readonly_signed_accounts),
        *range(signers, own - header.num_readonly_unsigned_accounts),
    ]
    # A key that is called as a program loses its write lock.
    programs = {instruction.program_id_index for instruction in message.instructions}
    return [index for index in writable if index not in programs]


def unit_price(message: AnyMessage, keys: Sequence[Pubkey]) -> MicroLamportsPerCu:
    """Return what a transaction offers for each compute unit it requests; 0 when it does not say. *Pure.* *Hot path.*

    A version 1 message offers a sum; it is divided by the units it requests.

    Args:
        message: The transaction's message.
        keys: Its accounts, the message's own first.
    """
    if isinstance(message, MessageV1):
        offered, units = message.config.priority_fee, message.config.compute_unit_limit
        return MicroLamportsPerCu(offered * MICRO_LAMPORTS // units if offered and units else 0)
    for instruction in message.instructions:
        if keys[instruction.program_id_index] == COMPUTE_BUDGET_PROGRAM:
            data = bytes(instruction.data)
            if data[:1] == _SET_UNIT_PRICE and len(data) >= _UNIT_PRICE_BYTES:
                return MicroLamportsPerCu(int.from_bytes(data[1:_UNIT_PRICE_BYTES], "little"))
    return MicroLamportsPerCu(0)


def token_balances(accounts: Iterable[Account | None]) -> tuple[TokenBalance, ...]:
    """Return the balances of the token accounts among `accounts`, with their index. *Pure.* *Hot path.*"""
    return token_rows(enumerate(accounts))


def token_rows(accounts: Iterable[tuple[int, Account | None]]) -> tuple[TokenBalance, ...]:
    """Do as `token_balances` for accounts that bring their index. *Pure.* *Hot path.*"""
    rows: list[TokenBalance] = []
    for index, account in accounts:
        # The owner first: reading `data` copies it, and a program's would be tens of kilobytes.
        if account is None or account.owner not in _TOKEN_PROGRAMS:
            continue
        data = account.data
        if not _is_token_account(data):
            continue
        rows.append(
            TokenBalance(
                account_index=index,
                mint=Pubkey(data[:32]),
                owner=Pubkey(data[32:64]),
                token_program=account.owner,
                amount=int.from_bytes(data[64:72], "little"),
            )
        )
    return tuple(rows)


def _is_token_account(data: bytes) -> bool:
    size = len(data)
    if size < _TOKEN_ACCOUNT_BYTES or size == _MULTISIG_BYTES or data[_STATE_OFFSET] == 0:
        return False
    return size == _TOKEN_ACCOUNT_BYTES or data[_TOKEN_ACCOUNT_BYTES] == _TOKEN_ACCOUNT_TYPE


def _table_entries(table: bytes, indexes: Sequence[int]) -> list[Pubkey]:
    keys: list[Pubkey] = []
    for index in indexes:
        start = _LOOKUP_TABLE_HEADER + _KEY_BYTES * index
        entry = table[start : start + _KEY_BYTES]
        if len(entry) != _KEY_BYTES:
            raise MalformedError(f"an address lookup table has no entry {index}")
        keys.append(Pubkey(entry))
    return keys
