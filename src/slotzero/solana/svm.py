"""The one wrapper around LiteSVM, the Solana VM inside this process.

The embedded chain, the round-trip simulator and paper trading stand on it. It adds no Solana rules of its own: it
fixes our settings, turns LiteSVM's result classes into one record, and offers an overlay for dry runs.

What it leaves to its owner, because LiteSVM has none of it: slots, the 150-block window of blockhashes, duplicates,
the size limit of a transaction, histories and commitments.

A VM holds the GIL while it runs (7.5-9 ms for a transaction of 1.4 million compute units) and answers a second
thread with an error: one owner thread, which is the event loop.

Known differences from mainnet (solders 0.29.0, litesvm 0.15.2): a transaction whose program cannot be loaded is not
charged (mainnet charges it since SIMD-0191); a failed durable-nonce transaction does not advance its nonce; new
accounts keep `rent_epoch` 0.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct
from solders.account import Account
from solders.clock import Clock as ClockSysvar
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.rent import Rent
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import (
    FailedTransactionMetadata,
    SimulatedTransactionInfo,
    SimulateResult,
    TransactionMetadata,
    TransactionResult,
)

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.errors import MalformedError
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.units import DurationNs, Lamports, MonoNs, Slot

__all__ = ["Execution", "Overlay", "Svm", "TransactionErr"]

TransactionErr: TypeAlias = str | dict[str, object]
"""Why a transaction failed, in the RPC's JSON form: `"AccountNotFound"`, `{"InstructionError": [0, {"Custom": 1}]}`."""

LOG_BYTES_LIMIT: Final = 10_000
"""A validator's default: longer logs are cut and end with `Log truncated`."""
SLOTS_PER_EPOCH: Final = 432_000

RENT_LAMPORTS_PER_BYTE: Final = 5_080
"""Mainnet's in October 2026, the second of five announced steps down from 6,960 (SIMD-0437), as captured there."""

_NOTHING: Final = Account(0, b"", SYSTEM_PROGRAM)


class _Failure(Struct):
    err: TransactionErr


_failure_decoder = msgspec.json.Decoder(_Failure)


class Execution(Struct, frozen=True, kw_only=True, gc=False):
    """What one run of a transaction gave.

    Attributes:
        err: None when it succeeded.
        fee: What LiteSVM computed; an account has paid it only if its balance fell.
        metadata: LiteSVM's own record: logs, inner instructions, return data. It lives outside Python's heap, so
            thousands of them cost the garbage collector nothing.
        post_accounts: The writable accounts as a *simulation* left them; empty after a real run and after a failure.
    """

    err: TransactionErr | None
    fee: Lamports
    units_consumed: int
    metadata: TransactionMetadata
    post_accounts: tuple[tuple[Pubkey, Account], ...] = ()

    def logs(self) -> list[str]:
        """Return the log lines, copied out of the VM's record (about 2 us for 20 lines)."""
        return self.metadata.logs()


class Svm:
    """A Solana VM with our settings: mainnet's features, signatures checked, no history, no blockhash check.

    LiteSVM's history evicts with a shift (487 us for each transaction at 50,000 entries against 52 without), and its
    blockhash check knows the newest hash only: both are the owner's work.
    """

    def __init__(
        self, *, log_bytes_limit: int = LOG_BYTES_LIMIT, rent_lamports_per_byte: int = RENT_LAMPORTS_PER_BYTE
    ) -> None:
        self._svm = (
            LiteSVM()
            .with_mainnet_features()
            .with_transaction_history(0)
            .with_blockhash_check(check=False)
            .with_log_bytes_limit(log_bytes_limit)
        )
        self._svm.set_rent(Rent(rent_lamports_per_byte))
        self._executions = 0
        self._busy_ns = DurationNs(0)

    @property
    def executions(self) -> int:
        """How many transactions this VM has run, simulations included."""
        return self._executions

    @property
    def busy_ns(self) -> DurationNs:
        """How long that took: what no owner of this VM can be faster than."""
        return self._busy_ns

    # Accounts ---------------------------------------------------------------------------------------------------

    def get_account(self, key: Pubkey) -> Account | None:
        """Return the account at `key`, or None when there is none (about 0.2 us)."""
        return self._svm.get_account(key)

    def set_account(self, key: Pubkey, account: Account | None) -> None:
        """Write an account past all rules; None or no lamports deletes it.

        Raises:
            MalformedError: The data is not what the address or the owner demands (a sysvar, a program).
        """
        try:
            self._svm.set_account(key, _NOTHING if account is None else account)
        except Exception as error:
            raise _refusal(error, f"the account {key} cannot be set") from error

    def add_program(self, program: Pubkey, elf: bytes) -> None:
        """Place a program at any address.

        Raises:
            MalformedError: `elf` is no program the VM can run.
        """
        try:
            self._svm.add_program(program, elf)
        except Exception as error:
            raise _refusal(error, f"the program {program} cannot be loaded") from error

    def program_accounts(self, program: Pubkey) -> list[tuple[Pubkey, Account]]:
        """Return every account `program` owns: a scan of all accounts (55 ms at 100,000)."""
        return self._svm.get_program_accounts(program)

    def rent_exempt_minimum(self, size: int) -> Lamports:
        """Return what an account of `size` bytes must hold."""
        return Lamports(self._svm.minimum_balance_for_rent_exemption(size))

    # Time -------------------------------------------------------------------------------------------------------

    def set_clock(self, slot: Slot, unix_timestamp: int, epoch_start_timestamp: int) -> None:
        """Write the Clock sysvar; the epoch follows from the slot (about 55 us: LiteSVM re-reads all sysvars)."""
        epoch = slot // SLOTS_PER_EPOCH
        self._svm.set_clock(ClockSysvar(slot, epoch_start_timestamp, epoch, epoch + 1, unix_timestamp))

    def clock(self) -> ClockSysvar:
        """Return the Clock sysvar."""
        return self._svm.get_clock()

    def set_slot_hashes(self, hashes: Sequence[tuple[int, Hash]]) -> None:
        """Write the SlotHashes sysvar, newest first (about 90 us for 512)."""
        self._svm.set_slot_hashes(hashes)

    # Transactions -----------------------------------------------------------------------------------------------

    def execute(self, transaction: VersionedTransaction) -> Execution:
        """Run a transaction and keep what it did; a failed one has at most paid its fee. *Hot path.*"""
        begun = MonoNs(mono_ns())
        result = self._svm.send_transaction(transaction)
        self._count(begun)
        return _executed(result)

    def simulate(self, transaction: VersionedTransaction, *, verify_signatures: bool = True) -> Execution:
        """Run a transaction and keep nothing."""
        begun = MonoNs(mono_ns())
        if verify_signatures:
            result = self._svm.simulate_transaction(transaction)
        else:
            self._svm.with_sigverify(sigverify=False)
            try:
                result = self._svm.simulate_transaction(transaction)
            finally:
                self._svm.with_sigverify(sigverify=True)
        self._count(begun)
        return _simulated(result)

    def _count(self, begun: MonoNs) -> None:
        self._executions += 1
        self._busy_ns = DurationNs(self._busy_ns + elapsed_ns(begun, MonoNs(mono_ns())))

    @contextmanager
    def overlay(self) -> Iterator["Overlay"]:
        """Give a place for dry runs: whatever happens in it is gone at the end of the `with` block."""
        overlay = Overlay(self)
        try:
            yield overlay
        finally:
            overlay.restore()


class Overlay:
    """A dry run of several transactions, each seeing what those before it did.

    The VM itself is changed while the overlay lives, so nothing else may use it: no `await` inside.
    (A clone does not exist in LiteSVM's Python, `os.fork` took 7.5 ms, a second VM 11 ms; this takes 0.14 ms for a
    buy and a sell.)
    """

    def __init__(self, svm: Svm) -> None:
        self._svm = svm
        self._before: dict[Pubkey, Account | None] = {}

    def get_account(self, key: Pubkey) -> Account | None:
        """Return the account as the dry run sees it."""
        return self._svm.get_account(key)

    def set_account(self, key: Pubkey, account: Account | None) -> None:
        """Write an account for the rest of the dry run. Raises what `Svm.set_account` raises."""
        if key not in self._before:
            self._before[key] = self._svm.get_account(key)
        self._svm.set_account(key, account)

    def run(self, transaction: VersionedTransaction, *, verify_signatures: bool = True) -> Execution:
        """Run a transaction; its effects stay for the rest of the dry run. A failed one changes nothing."""
        execution = self._svm.simulate(transaction, verify_signatures=verify_signatures)
        for key, account in execution.post_accounts:
            self.set_account(key, account)
        return execution

    def restore(self) -> None:
        """Put every account back to what it was. Safe to call twice."""
        while self._before:
            key, account = self._before.popitem()
            self._svm.set_account(key, account)


def _executed(result: TransactionResult) -> Execution:
    if isinstance(result, FailedTransactionMetadata):
        return _failed(result)
    return Execution(
        err=None, fee=Lamports(result.fee()), units_consumed=result.compute_units_consumed(), metadata=result
    )


def _simulated(result: SimulateResult) -> Execution:
    if isinstance(result, SimulatedTransactionInfo):
        metadata = result.meta()
        return Execution(
            err=None,
            fee=Lamports(metadata.fee()),
            units_consumed=metadata.compute_units_consumed(),
            metadata=metadata,
            post_accounts=tuple(result.post_accounts()),
        )
    return _failed(result)


def _failed(result: FailedTransactionMetadata) -> Execution:
    # `to_json` already speaks the RPC's form of an error (2 us); the typed objects of `err()` do not.
    metadata = result.meta()
    return Execution(
        err=_failure_decoder.decode(result.to_json()).err,
        fee=Lamports(metadata.fee()),
        units_consumed=metadata.compute_units_consumed(),
        metadata=metadata,
    )


def _refusal(error: Exception, what: str) -> Exception:
    """Return what to raise for LiteSVM's refusal, and any other error as it is.

    Told by its name: solders does not export the class.
    """
    return MalformedError(f"{what}: {error}") if type(error).__name__ == "LiteSVMError" else error
