"""Executed transactions as JSON documents: what getTransaction answers and blockSubscribe sends.

Encodings json, jsonParsed, base64 and base58; legacy, version 0 and version 1.
"""

import binascii
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct
from solders.transaction import VersionedTransaction

from slotzero.detection.frames import Notification
from slotzero.errors import MalformedError
from slotzero.solana.base58 import base58_decode
from slotzero.solana.logs import InnerCall
from slotzero.units import Slot

__all__ = ["TransactionDocument", "executed_calls", "log_notification"]

_MOST_DATA_CHARS: Final = 16_384  # base58 of 10 kB, the most data an inner instruction can carry


class _Key(Struct, gc=False):
    pubkey: str


class _Instruction(Struct, gc=False, rename="camel"):
    """An instruction in any of three shapes: compiled (indexes), partially decoded (addresses), parsed (no data)."""

    program_id_index: int | None = None
    program_id: str | None = None
    accounts: list[int | str] = []
    data: str = ""
    stack_height: int | None = None


class _InnerInstructions(Struct, gc=False):
    index: int
    instructions: list[_Instruction]


class _Loaded(Struct, gc=False):
    writable: list[str]
    readonly: list[str]


class _Meta(Struct, gc=False, rename="camel"):
    err: dict[str, msgspec.Raw] | str | None
    log_messages: list[str] | None = None
    inner_instructions: list[_InnerInstructions] | None = None
    loaded_addresses: _Loaded | None = None


class _Message(Struct, gc=False, rename="camel"):
    account_keys: list[str | _Key]
    instructions: list[_Instruction]


class _Transaction(Struct, gc=False):
    signatures: list[str]
    message: _Message


class TransactionDocument(Struct, gc=False):
    """One executed transaction as a node tells it; `slot` is missing in an item of a block."""

    transaction: _Transaction | list[str] | str
    meta: _Meta | None
    slot: int = 0


class _Contents(Struct, gc=False):
    """A transaction's own part, whatever its encoding: signature, all addresses, instructions."""

    signature: str
    keys: list[str]
    instructions: list[_Instruction]


def log_notification(document: TransactionDocument, slot: int | None = None) -> Notification:
    """Return what a log notification of the transaction would have said. *Pure.*

    Args:
        document: The transaction.
        slot: Its slot where the document does not say.

    Raises:
        MalformedError: It has no record of its execution, or its bytes are no transaction.
    """
    meta = _meta(document)
    return Notification(
        signature=_contents(document).signature,
        slot=Slot(document.slot if slot is None else slot),
        is_failed=meta.err is not None,
        mono_cause=None,
        lines=meta.log_messages or [],
    )


def executed_calls(document: TransactionDocument) -> list[InnerCall] | None:
    """Return every instruction in the order of execution; None where inner ones are not recorded. *Pure.*

    Raises:
        MalformedError: It has no record of its execution, an index points nowhere, or data is no base58.
    """
    meta = _meta(document)
    if not meta.inner_instructions:
        return None
    contents = _contents(document)
    inner = {group.index: group.instructions for group in meta.inner_instructions}
    has_heights = all(call.stack_height is not None for group in inner.values() for call in group)
    calls: list[InnerCall] = []
    for index, instruction in enumerate(contents.instructions):
        calls.append(_call(instruction, contents.keys, 1 if has_heights else None))
        calls += _inner_calls(inner.get(index, []), contents.keys, has_heights=has_heights)
    return calls


def _inner_calls(instructions: list[_Instruction], keys: list[str], *, has_heights: bool) -> Iterator[InnerCall]:
    for instruction in instructions:
        height = instruction.stack_height if has_heights else None
        if height is not None and height < 1:
            raise MalformedError(f"an inner instruction has stack height {height}")
        yield _call(instruction, keys, height)


def _call(instruction: _Instruction, keys: list[str], height: int | None) -> InnerCall:
    program = instruction.program_id
    if program is None:
        program = _key(keys, instruction.program_id_index)
    accounts = [account if isinstance(account, str) else _key(keys, account) for account in instruction.accounts]
    data = base58_decode(instruction.data, _MOST_DATA_CHARS)
    return InnerCall(program=program, accounts=accounts, data=data, height=height)


def _key(keys: list[str], index: int | None) -> str:
    if index is None or not 0 <= index < len(keys):
        raise MalformedError(f"an instruction names account {index} of {len(keys)}")
    return keys[index]


def _meta(document: TransactionDocument) -> _Meta:
    if document.meta is None:
        raise MalformedError("the transaction comes without a record of its execution (meta is null)")
    return document.meta


def _contents(document: TransactionDocument) -> _Contents:
    transaction = document.transaction
    if not isinstance(transaction, _Transaction):
        return _wire_contents(_wire_bytes(transaction), document.meta)
    if not transaction.signatures:
        raise MalformedError("the transaction has no signature")
    message = transaction.message
    keys = [key if isinstance(key, str) else key.pubkey for key in message.account_keys]
    if not any(isinstance(key, _Key) for key in message.account_keys):  # the parsed form lists loaded addresses itself
        keys += _loaded(document.meta)
    return _Contents(signature=transaction.signatures[0], keys=keys, instructions=message.instructions)


def _loaded(meta: _Meta | None) -> list[str]:
    if meta is None or meta.loaded_addresses is None:
        return []
    return meta.loaded_addresses.writable + meta.loaded_addresses.readonly


def _wire_bytes(transaction: list[str] | str) -> bytes:
    match transaction:
        case [text, "base64"]:
            try:
                return binascii.a2b_base64(text, strict_mode=True)
            except binascii.Error as error:
                raise MalformedError(f"the transaction is no base64: {error}") from error
        case str(text) | [text, "base58"]:
            return base58_decode(text, _MOST_DATA_CHARS)
        case _:
            raise MalformedError("the transaction is in an encoding other than json, jsonParsed, base64 and base58")


def _wire_contents(wire: bytes, meta: _Meta | None) -> _Contents:
    try:
        transaction = VersionedTransaction.from_bytes(wire)
    except ValueError as error:
        raise MalformedError(f"the bytes are no transaction: {error}") from error
    if not transaction.signatures:
        raise MalformedError("the transaction has no signature")
    message = transaction.message
    keys = [str(key) for key in message.account_keys]
    instructions = [
        # The data stays out: an event is never an instruction of the transaction itself.
        _Instruction(program_id_index=call.program_id_index, accounts=list(call.accounts))
        for call in message.instructions
    ]
    return _Contents(signature=str(transaction.signatures[0]), keys=keys + _loaded(meta), instructions=instructions)
