"""What a transaction has paid for its place, read from an update of a Geyser stream.

A log subscription does not tell it: a unit price stands in the transaction's own instructions, which only such a
stream carries. Loads protobuf (31 ms, 3 MB): only who listens to one imports it.
"""

from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from msgspec import Struct

from slotzero.errors import MalformedError
from slotzero.solana.addresses import COMPUTE_BUDGET_PROGRAM
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.units import MicroLamportsPerCu, Slot

if TYPE_CHECKING:
    from slotzero.solana.geyser_proto.solana_storage_pb2 import Message

__all__ = ["LandedPrice", "read_landed_price"]

_COMPUTE_BUDGET: Final = bytes(COMPUTE_BUDGET_PROGRAM)
_SET_UNIT_PRICE: Final = 3
_SET_UNIT_PRICE_BYTES: Final = 9


class LandedPrice(Struct, frozen=True, kw_only=True):
    """The unit price of a transaction that landed. Addresses are their 32 bytes.

    Attributes:
        price: 0 where it set none.
        payer: Who paid for it.
        accounts: All addresses it names, those of lookup tables included.
        written: Those of them it locks for writing, the payer included.
    """

    slot: Slot
    price: MicroLamportsPerCu
    payer: bytes
    accounts: tuple[bytes, ...]
    written: tuple[bytes, ...]


def read_landed_price(update: bytes) -> LandedPrice | None:
    """Read what an executed transaction has paid; None when the update tells something else. *Pure.*

    It takes about as long as `updates.read_update`.

    Raises:
        MalformedError: It is no update, or its instructions do not fit its accounts.
    """
    try:
        told = geyser.SubscribeUpdate.FromString(update)
    except DecodeError as error:
        raise MalformedError(f"no Geyser update: {error}") from error
    if not told.HasField("transaction"):
        return None
    message, meta = told.transaction.transaction.transaction.message, told.transaction.transaction.meta
    keys = tuple(message.account_keys)
    if not keys:
        raise MalformedError("a transaction names its payer, this one names nobody")
    loaded = tuple(meta.loaded_writable_addresses)
    return LandedPrice(
        slot=Slot(told.transaction.slot),
        price=_unit_price(message, keys),
        payer=keys[0],
        accounts=(*keys, *loaded, *meta.loaded_readonly_addresses),
        written=(*_writable(message, keys), *loaded),
    )


def _unit_price(message: "Message", keys: tuple[bytes, ...]) -> MicroLamportsPerCu:
    for instruction in message.instructions:
        data = instruction.data
        if len(data) != _SET_UNIT_PRICE_BYTES or data[0] != _SET_UNIT_PRICE:
            continue
        if instruction.program_id_index >= len(keys):
            raise MalformedError("a transaction calls a program it does not name")
        if keys[instruction.program_id_index] == _COMPUTE_BUDGET:
            return MicroLamportsPerCu(int.from_bytes(data[1:], "little"))
    return MicroLamportsPerCu(0)


def _writable(message: "Message", keys: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return which of a message's own addresses are locked for writing: its header counts those that are not."""
    header = message.header
    signed = header.num_required_signatures
    return (
        keys[: signed - header.num_readonly_signed_accounts]
        + keys[signed : len(keys) - header.num_readonly_unsigned_accounts]
    )
