"""Parameters of the RPC: what clients may send, and the error that tells them when they sent something else.

Clients built on solders send explicit nulls for every option they leave out, hence `| None` everywhere.
"""

import binascii
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from slotzero.errors import MalformedError
from slotzero.localnet.chain import Chain
from slotzero.localnet.commitments import Commitment, slot_at
from slotzero.localnet.execution import MAX_V1_TRANSACTION_BYTES
from slotzero.solana.base58 import base58_decode
from slotzero.units import U64_MAX, Slot

__all__ = [
    "AccountConfig",
    "CommitmentConfig",
    "DataSlice",
    "Params",
    "RpcFault",
    "TransactionEncoding",
    "base64_bytes",
    "checked_context_slot",
    "commitment_in",
    "config_at",
    "decode_wire_transaction",
    "hash_at",
    "integer_at",
    "invalid",
    "list_at",
    "pubkey_at",
    "pubkey_from",
    "signature_from",
    "string_at",
]

Params: TypeAlias = list[object]
TransactionEncoding: TypeAlias = Literal["base58", "base64"]

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
BLOCK_CLEANED_UP: Final = -32001
PREFLIGHT_FAILURE: Final = -32002
SIGNATURE_FAILURE: Final = -32003
BLOCK_NOT_AVAILABLE: Final = -32004
VERSION_UNSUPPORTED: Final = -32015
MIN_CONTEXT_SLOT: Final = -32016
CURSOR_NOT_FOUND: Final = -32020
"""Since Agave 4.0 for a `before` or `until` the node does not hold; older nodes answered with an empty list."""

# 4096 bytes are at most 5,594 letters of base58.
_MAX_BASE58_CHARS: Final = MAX_V1_TRANSACTION_BYTES * 14 // 10
_MAX_BASE64_CHARS: Final = 4 * (MAX_V1_TRANSACTION_BYTES // 3 + 1)

T = TypeVar("T")


class RpcFault(Exception):  # noqa: N818 a JSON-RPC error object on its way to the client, not a fault of this program
    """An error object to answer with.

    Attributes:
        code: Its JSON-RPC number.
        message: A sentence for the client.
        data: What goes into `data`, or None.
    """

    def __init__(self, code: int, message: str, data: object = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"{code}: {message}")


class DataSlice(Struct, frozen=True, kw_only=True):
    """The part of an account's data that is wanted."""

    offset: int
    length: int


class CommitmentConfig(Struct, frozen=True, kw_only=True, rename="camel"):
    """The options most methods share."""

    commitment: Commitment | None = None
    min_context_slot: int | None = None


class AccountConfig(CommitmentConfig, frozen=True, kw_only=True, rename="camel"):
    """The options of an account read."""

    encoding: str | None = None
    data_slice: DataSlice | None = None


def invalid(message: str) -> RpcFault:
    """Return the error for a parameter that cannot be used."""
    return RpcFault(INVALID_PARAMS, f"Invalid params: {message}")


def config_at(params: Params, index: int, kind: type[T]) -> T:
    """Return the options object at `index`; all defaults where it is absent or null."""
    value = params[index] if index < len(params) else None
    try:
        return msgspec.convert({} if value is None else value, kind)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error


def string_at(params: Params, index: int, name: str) -> str:
    """Return the string at `index`."""
    value = params[index] if index < len(params) else None
    if not isinstance(value, str):
        raise invalid(f"expected {name} as a string, got {_kind(value)}")
    return value


def integer_at(params: Params, index: int, name: str, *, most: int = U64_MAX, default: int | None = None) -> int:
    """Return the whole number at `index`, between 0 and `most`."""
    value = params[index] if index < len(params) else None
    if value is None and default is not None:
        return default
    if type(value) is not int:
        raise invalid(f"expected {name} as a whole number, got {_kind(value)}")
    if not 0 <= value <= most:
        raise invalid(f"{name} must be between 0 and {most}, got {value}")
    return value


def list_at(params: Params, index: int, name: str, *, most: int) -> list[object]:
    """Return the list at `index`, of at most `most` items."""
    value = params[index] if index < len(params) else None
    if not isinstance(value, list):
        raise invalid(f"expected {name} as a list, got {_kind(value)}")
    if len(value) > most:
        raise RpcFault(INVALID_PARAMS, f"Too many inputs provided; max {most}")
    return value


def pubkey_from(value: object) -> Pubkey:
    """Return the address `value` spells."""
    if not isinstance(value, str):
        raise invalid(f"expected an address as a string, got {_kind(value)}")
    try:
        return Pubkey.from_string(value)
    except ValueError as error:
        raise RpcFault(INVALID_PARAMS, f"Invalid param: {error}: {value[:64]!r}") from error


def pubkey_at(params: Params, index: int) -> Pubkey:
    """Return the address at `index`."""
    return pubkey_from(params[index] if index < len(params) else None)


def signature_from(value: object) -> Signature:
    """Return the signature `value` spells."""
    if not isinstance(value, str):
        raise invalid(f"expected a signature as a string, got {_kind(value)}")
    try:
        return Signature.from_string(value)
    except ValueError as error:
        raise RpcFault(INVALID_PARAMS, f"Invalid param: {error}: {value[:100]!r}") from error


def hash_at(params: Params, index: int) -> Hash:
    """Return the hash at `index`."""
    text = string_at(params, index, "a blockhash")
    try:
        return Hash.from_string(text)
    except ValueError as error:
        raise RpcFault(INVALID_PARAMS, f"Invalid param: {error}: {text[:64]!r}") from error


def commitment_in(config: CommitmentConfig) -> Commitment:
    """Return the commitment asked for; `finalized` when none is, as on mainnet."""
    return config.commitment or "finalized"


def checked_context_slot(chain: Chain, config: CommitmentConfig) -> Slot:
    """Return the slot a read answers for.

    Raises:
        RpcFault: It is older than the client's `minContextSlot`.
    """
    slot = slot_at(commitment_in(config), chain.slot)
    if config.min_context_slot is not None and slot < config.min_context_slot:
        raise RpcFault(MIN_CONTEXT_SLOT, "Minimum context slot has not been reached", {"contextSlot": slot})
    return slot


def base64_bytes(text: str) -> bytes:
    """Return what base64 text stands for."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise RpcFault(INVALID_PARAMS, f"invalid base64 encoding: {error}") from error


def decode_wire_transaction(text: str, encoding: TransactionEncoding | None) -> bytes:
    """Return the bytes of a transaction sent as text; base58 when nothing is said, as on mainnet."""
    if encoding == "base64":
        if len(text) > _MAX_BASE64_CHARS:
            raise RpcFault(
                INVALID_PARAMS,
                f"base64 encoded solana_transaction too large: {len(text)} bytes (max: encoded/raw "
                f"{_MAX_BASE64_CHARS}/{MAX_V1_TRANSACTION_BYTES})",
            )
        return base64_bytes(text)
    try:
        return base58_decode(text, _MAX_BASE58_CHARS)
    except MalformedError as error:
        raise RpcFault(INVALID_PARAMS, f"invalid base58 encoding: {error}") from error


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"
