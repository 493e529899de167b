"""The wrapper around LiteSVM: one result record, an overlay that leaves nothing behind."""

import pytest
from solders.account import Account
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from slotzero.errors import MalformedError
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.solana.svm import Svm

SOL = 1_000_000_000
PAYER = Keypair.from_seed(bytes(31) + b"\x01")
MIDDLE = Keypair.from_seed(bytes(31) + b"\x02")
TO = Keypair.from_seed(bytes(31) + b"\x03").pubkey()


def payment(lamports: int, payer: Keypair = PAYER, to: Pubkey = TO) -> VersionedTransaction:
    step = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports))
    return VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [step], [], Hash.default()), [payer])


@pytest.fixture
def svm() -> Svm:
    machine = Svm()
    machine.set_account(PAYER.pubkey(), Account(10 * SOL, b"", SYSTEM_PROGRAM))
    return machine


def lamports(svm: Svm, key: Pubkey) -> int:
    account = svm.get_account(key)
    return 0 if account is None else account.lamports


def test_execution_keeps_and_simulation_does_not(svm: Svm) -> None:
    simulated = svm.simulate(payment(SOL))
    assert (simulated.err, simulated.fee) == (None, 5000)
    assert dict(simulated.post_accounts)[TO].lamports == SOL
    assert lamports(svm, TO) == 0
    assert svm.execute(payment(SOL)).err is None
    assert lamports(svm, TO) == SOL
    assert svm.executions == 2
    assert svm.busy_ns > 0


def test_failure_is_a_record_in_the_form_of_the_rpc(svm: Svm) -> None:
    failed = svm.execute(payment(100 * SOL))
    assert failed.err == {"InstructionError": [0, {"Custom": 1}]}
    assert failed.units_consumed > 0
    assert any("insufficient lamports" in line for line in failed.logs())


def test_signatures_are_checked_unless_a_simulation_says_otherwise(svm: Svm) -> None:
    forged = VersionedTransaction.populate(payment(SOL).message, [Signature.default()])
    assert svm.simulate(forged).err == "SignatureFailure"
    assert svm.simulate(forged, verify_signatures=False).err is None
    assert svm.execute(forged).err == "SignatureFailure"


def test_overlay_chains_transactions_and_restores_everything(svm: Svm) -> None:
    with svm.overlay() as overlay:
        overlay.set_account(PAYER.pubkey(), Account(5 * SOL, b"", SYSTEM_PROGRAM))
        assert overlay.run(payment(3 * SOL, to=MIDDLE.pubkey())).err is None
        assert overlay.run(payment(2 * SOL, payer=MIDDLE)).err is None
        assert overlay.run(payment(2 * SOL, payer=MIDDLE)).err is not None
        middle = overlay.get_account(MIDDLE.pubkey())
        assert middle is not None
        assert middle.lamports == SOL - 5000
    assert lamports(svm, PAYER.pubkey()) == 10 * SOL
    assert svm.get_account(MIDDLE.pubkey()) is None
    assert svm.get_account(TO) is None


def test_overlay_restores_after_an_exception(svm: Svm) -> None:
    def fail_within() -> None:
        with svm.overlay() as overlay:
            overlay.run(payment(SOL))
            raise KeyError

    with pytest.raises(KeyError):
        fail_within()
    assert lamports(svm, TO) == 0


def test_rent_and_clock_are_set(svm: Svm) -> None:
    assert svm.rent_exempt_minimum(165) == (128 + 165) * 5080
    assert Svm(rent_lamports_per_byte=6960).rent_exempt_minimum(0) == 890_880


def test_account_and_program_the_vm_refuses_are_malformed(svm: Svm) -> None:
    with pytest.raises(MalformedError, match="cannot be set"):
        svm.set_account(TO, Account(1, b"", MIDDLE.pubkey(), executable=True))
    with pytest.raises(MalformedError, match="cannot be loaded"):
        svm.add_program(TO, b"no program")
