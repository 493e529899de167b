"""Transactions: the bytes we join by hand are what solders reads, signed by the right key, within the limit."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_sign_open
from solders.compute_budget import ID as COMPUTE_BUDGET
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from slotzero.secret import Secret
from slotzero.solana.instructions import close_token_account
from slotzero.solana.transaction import (
    MAX_TRANSACTION_BYTES,
    RecentBlockhash,
    Signer,
    compute_budget,
    sign,
    unsigned,
)
from slotzero.units import BlockHeight, ComputeUnits, MicroLamportsPerCu
from trading_lab import key

SEED = bytes(range(32))
SIGNER = Signer(Secret(SEED))
BLOCKHASH = RecentBlockhash(hash=Hash(bytes(range(1, 33))), last_valid_block_height=BlockHeight(159))


def instruction(size: int = 5, accounts: int = 2, *, signers: tuple[Pubkey, ...] = ()) -> Instruction:
    metas = [AccountMeta(key(100 + number), is_signer=False, is_writable=True) for number in range(accounts)]
    metas += [AccountMeta(signer, is_signer=True, is_writable=False) for signer in signers]
    return Instruction(key(99), bytes(size), metas)


def parsed(raw: bytes) -> MessageV0:
    message = VersionedTransaction.from_bytes(raw).message
    assert isinstance(message, MessageV0)
    return message


def test_signers_address_is_that_of_its_seed() -> None:
    assert SIGNER.pubkey == Keypair.from_seed(SEED).pubkey()


def test_signed_bytes_parse_back_and_their_signature_verifies() -> None:
    signed = sign(SIGNER, [instruction(), instruction(7, 3)], BLOCKHASH)
    transaction = VersionedTransaction.from_bytes(signed.raw)
    assert bytes(transaction) == signed.raw
    assert transaction.verify_with_results() == [True]
    assert str(transaction.signatures[0]) == signed.signature
    message = parsed(signed.raw)
    assert message.account_keys[0] == SIGNER.pubkey
    assert message.recent_blockhash == BLOCKHASH.hash
    assert [bytes(ix.data) for ix in message.instructions] == [bytes(5), bytes(7)]
    assert signed.last_valid_block_height == 159


def test_same_instructions_and_blockhash_give_the_same_bytes_and_anything_else_others() -> None:
    raw = sign(SIGNER, [instruction()], BLOCKHASH).raw
    other_hash = RecentBlockhash(hash=Hash.default(), last_valid_block_height=BlockHeight(159))
    assert sign(SIGNER, [instruction()], BLOCKHASH).raw == raw
    assert sign(SIGNER, [instruction(6)], BLOCKHASH).raw != raw
    assert sign(SIGNER, [instruction()], other_hash).raw != raw


@given(st.binary(max_size=1_300))
def test_signature_of_any_message_is_what_solders_makes(message: bytes) -> None:
    signature = SIGNER.sign(message)
    assert signature == bytes(Keypair.from_seed(SEED).sign_message(message))
    assert crypto_sign_open(signature + message, bytes(SIGNER.pubkey)) == message


def size_of(data: int) -> int:
    return len(sign(SIGNER, [instruction(data)], BLOCKHASH).raw)


def test_transaction_of_1232_bytes_is_made_and_one_of_1233_is_not() -> None:
    room = 500 + MAX_TRANSACTION_BYTES - size_of(500)
    assert size_of(room) == MAX_TRANSACTION_BYTES == 1_232
    for make in (
        lambda: sign(SIGNER, [instruction(room + 1)], BLOCKHASH),
        lambda: unsigned(SIGNER.pubkey, [instruction(room + 1)], BLOCKHASH.hash),
    ):
        with pytest.raises(ValueError, match="1233 bytes does not fit into 1232"):
            make()


@pytest.mark.parametrize("others", [0, 1, 2])
def test_unsigned_transaction_has_a_zero_signature_for_each_signer(others: int) -> None:
    signers = tuple(key(7 + number) for number in range(others))
    raw = unsigned(SIGNER.pubkey, [instruction(signers=signers)], BLOCKHASH.hash, signatures=1 + others)
    transaction = VersionedTransaction.from_bytes(raw)
    assert bytes(transaction) == raw
    assert [bytes(signature) for signature in transaction.signatures] == [bytes(64)] * (1 + others)
    assert parsed(raw).header.num_required_signatures == 1 + others
    assert parsed(raw).account_keys[0] == SIGNER.pubkey


def test_compute_budget_leaves_a_price_of_nothing_out() -> None:
    (limit,) = compute_budget(ComputeUnits(160_000), MicroLamportsPerCu(0))
    assert (limit.program_id, bytes(limit.data)) == (COMPUTE_BUDGET, b"\x02" + (160_000).to_bytes(4, "little"))
    both = compute_budget(ComputeUnits(160_000), MicroLamportsPerCu(7))
    assert bytes(both[1].data) == b"\x03" + (7).to_bytes(8, "little")


def test_closing_a_token_account_sends_its_rent_to_the_owner_who_signs() -> None:
    closing = close_token_account(key(1), key(2), key(3))
    assert (closing.program_id, bytes(closing.data)) == (key(3), b"\x09")
    assert [(meta.pubkey, meta.is_signer, meta.is_writable) for meta in closing.accounts] == [
        (key(1), False, True),
        (key(2), False, True),
        (key(2), True, False),
    ]


def test_signer_shows_no_secret_and_cannot_be_copied_away() -> None:
    for text in (repr(SIGNER), str(SIGNER), f"{SIGNER}", repr(SIGNER._secret)):
        assert SEED.hex() not in text
        assert repr(SEED) not in text
    for copier in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            copier(SIGNER)
