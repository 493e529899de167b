"""Transactions of a Geyser stream, read for the detector.

Loads protobuf (31 ms, 3 MB): only who listens to such a stream imports it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from solders.pubkey import Pubkey
from solders.signature import Signature

from slotzero.detection.frames import Notification
from slotzero.errors import MalformedError
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.solana.logs import InnerCall
from slotzero.units import MonoNs, Slot

if TYPE_CHECKING:
    from slotzero.solana.geyser_proto.solana_storage_pb2 import CompiledInstruction, InnerInstruction

__all__ = ["read_update"]

_SIGNATURE_BYTES = 64


def read_update(update: bytes) -> tuple[Notification, Callable[[], Sequence[InnerCall] | None]] | None:
    """Read an executed transaction. *Pure.* *Hot path* (about 5 us).

    Returns:
        What a log notification of it would say, and how to get its instructions in the order of execution, which gives
        None where inner ones are not recorded. None when the update tells something else.

    Raises:
        MalformedError: It is no update, or a transaction without its signature.
    """
    try:
        told = geyser.SubscribeUpdate.FromString(update)
    except DecodeError as error:
        raise MalformedError(f"no Geyser update: {error}") from error
    if not told.HasField("transaction"):
        return None
    info = told.transaction.transaction
    if len(info.signature) != _SIGNATURE_BYTES:
        raise MalformedError(f"a transaction's signature has 64 bytes, not {len(info.signature)}")
    notification = Notification(
        signature=str(Signature.from_bytes(info.signature)),
        slot=Slot(told.transaction.slot),
        is_failed=info.meta.HasField("err"),
        mono_cause=MonoNs(told.mono_ns) if told.HasField("mono_ns") else None,
        lines=list(info.meta.log_messages),
    )
    return notification, partial(_executed_calls, info)


def _executed_calls(info: geyser.SubscribeUpdateTransactionInfo) -> list[InnerCall] | None:
    """Return every instruction in the order of execution; None where inner ones are not recorded.

    Raises:
        MalformedError: An index points nowhere, or an address has another length than 32 bytes.
    """
    meta, message = info.meta, info.transaction.message
    if meta.inner_instructions_none:
        return None
    try:
        keys = [
            str(Pubkey.from_bytes(key))
            for keys in (message.account_keys, meta.loaded_writable_addresses, meta.loaded_readonly_addresses)
            for key in keys
        ]
        inner = {group.index: group.instructions for group in meta.inner_instructions}
        has_heights = all(call.HasField("stack_height") for group in inner.values() for call in group)
        calls: list[InnerCall] = []
        for index, instruction in enumerate(message.instructions):
            calls.append(_call(instruction, keys, 1 if has_heights else None))
            calls += _inner(inner.get(index, ()), keys, has_heights=has_heights)
    except (ValueError, IndexError) as error:
        raise MalformedError(f"a transaction's instructions do not fit its accounts: {error}") from error
    return calls


def _inner(group: "Sequence[InnerInstruction]", keys: list[str], *, has_heights: bool) -> Iterator[InnerCall]:
    for instruction in group:
        if has_heights and instruction.stack_height < 1:
            raise MalformedError("an inner instruction has stack height 0")
        yield _call(instruction, keys, instruction.stack_height if has_heights else None)


def _call(instruction: "CompiledInstruction | InnerInstruction", keys: list[str], height: int | None) -> InnerCall:
    return InnerCall(
        program=keys[instruction.program_id_index],
        accounts=[keys[index] for index in instruction.accounts],
        data=instruction.data,
        height=height,
    )
