"""Errors in bincode, compared with what the VM's own library writes for the same error."""

import json

import pytest
from solders.litesvm import LiteSVM
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata
from solders.transaction_status import InstructionErrorFieldless, TransactionErrorFieldless

from chain_world import WALLETS, World, pay
from slotzero.localnet.transaction_error import error_bincode
from slotzero.solana.svm import TransactionErr


def names(kind: type) -> list[str]:
    return [name for name in dir(kind) if name[0].isupper()]


@pytest.fixture(scope="module")
def failure() -> dict[str, object]:
    """A failed transaction in JSON, whose error can be exchanged."""
    world = World()
    signed = world.signed(pay(WALLETS[1].pubkey(), 10**18))
    svm = LiteSVM().with_sigverify(sigverify=False).with_blockhash_check(check=False)
    failed = svm.send_transaction(VersionedTransaction.from_bytes(signed))
    assert isinstance(failed, FailedTransactionMetadata)
    document = json.loads(failed.to_json())
    assert isinstance(document, dict)
    return document


INSTRUCTION_ERRORS: list[TransactionErr] = [
    {"InstructionError": [3, name]} for name in names(InstructionErrorFieldless)
]
ERRORS: list[TransactionErr] = [
    *names(TransactionErrorFieldless),
    *INSTRUCTION_ERRORS,
    {"InstructionError": [255, {"Custom": 6010}]},
    {"DuplicateInstruction": 4},
    {"InsufficientFundsForRent": {"account_index": 3}},
    {"ProgramExecutionTemporarilyRestricted": {"account_index": 3}},
]


def test_every_error_reads_as_the_library_writes_it(failure: dict[str, object]) -> None:
    assert len(ERRORS) > 80
    for err in ERRORS:
        document = failure | {"err": err}
        theirs = bytes(FailedTransactionMetadata.from_json(json.dumps(document)))
        ours = error_bincode(err)
        assert theirs[: len(ours)] == ours, err


def test_unknown_error_still_reads_as_an_error() -> None:
    assert error_bincode("SomethingNew") == error_bincode("CommitCancelled")
    assert error_bincode({"InstructionError": [1, "SomethingNew"]}) == error_bincode(
        {"InstructionError": [1, "GenericError"]}
    )
