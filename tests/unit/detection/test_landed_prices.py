"""What a transaction has paid, from the bytes of a Geyser update."""

from collections.abc import Sequence

import pytest
from solders.pubkey import Pubkey

from slotzero.detection.landed_prices import LandedPrice, read_landed_price
from slotzero.errors import MalformedError
from slotzero.solana.addresses import COMPUTE_BUDGET_PROGRAM
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.solana.geyser_proto import solana_storage_pb2 as storage
from slotzero.solana.transaction import compute_budget
from slotzero.units import ComputeUnits, MicroLamportsPerCu, Slot

PAYER, READER, CURVE, PROGRAM = (bytes([number]) * 32 for number in range(1, 5))
LOADED, LOADED_READONLY = bytes([8]) * 32, bytes([9]) * 32
BUDGET = bytes(COMPUTE_BUDGET_PROGRAM)
KEYS = (PAYER, READER, CURVE, PROGRAM, BUDGET)


def calling(program: int, data: bytes) -> storage.CompiledInstruction:
    return storage.CompiledInstruction(program_id_index=program, data=data)


def set_price(price: int) -> bytes:
    return b"\3" + price.to_bytes(8, "little")


def update(instructions: Sequence[storage.CompiledInstruction], *, keys: Sequence[bytes] = KEYS) -> bytes:
    """A transaction two have signed, of whom the second is not written to; the two programs are not, either."""
    header = storage.MessageHeader(
        num_required_signatures=2, num_readonly_signed_accounts=1, num_readonly_unsigned_accounts=2
    )
    message = storage.Message(header=header, account_keys=keys, instructions=instructions)
    meta = storage.TransactionStatusMeta(
        loaded_writable_addresses=[LOADED], loaded_readonly_addresses=[LOADED_READONLY]
    )
    info = geyser.SubscribeUpdateTransactionInfo(
        signature=bytes(64), transaction=storage.Transaction(message=message), meta=meta
    )
    told = geyser.SubscribeUpdateTransaction(transaction=info, slot=77)
    return geyser.SubscribeUpdate(filters=["t"], transaction=told).SerializeToString()


def test_price_comes_with_who_paid_it_and_what_it_wrote_to() -> None:
    limit, price, swap = calling(4, b"\2" + bytes(4)), calling(4, set_price(2**40)), calling(3, b"swap")
    assert read_landed_price(update([limit, price, swap])) == LandedPrice(
        slot=Slot(77),
        price=MicroLamportsPerCu(2**40),
        payer=PAYER,
        accounts=(*KEYS, LOADED, LOADED_READONLY),
        written=(PAYER, CURVE, LOADED),
    )


@pytest.mark.parametrize("instruction", [calling(3, set_price(5)), calling(4, b"\2" + bytes(8)), calling(4, b"\3")])
def test_price_that_nobody_has_set_is_zero(instruction: storage.CompiledInstruction) -> None:
    landed = read_landed_price(update([instruction]))
    assert landed is not None
    assert landed.price == 0


def test_update_of_something_else_tells_no_price() -> None:
    slot = geyser.SubscribeUpdate(filters=["s"], slot=geyser.SubscribeUpdateSlot(slot=5))
    assert read_landed_price(slot.SerializeToString()) is None


@pytest.mark.parametrize("damaged", [b"\xff\xff", update([calling(9, set_price(5))]), update([], keys=())])
def test_damaged_update_is_malformed(damaged: bytes) -> None:
    with pytest.raises(MalformedError):
        read_landed_price(damaged)


def test_price_our_own_bytes_ask_for_is_read_back() -> None:
    _, price = compute_budget(ComputeUnits(1), MicroLamportsPerCu(123_456))
    assert price.program_id == Pubkey.from_bytes(BUDGET)
    landed = read_landed_price(update([calling(4, bytes(price.data))]))
    assert landed is not None
    assert landed.price == 123_456
