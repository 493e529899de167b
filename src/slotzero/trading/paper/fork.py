"""A fork of the chain, one transaction deep: the accounts of a transaction, as they stand now, in a VM of our own.

The programs are the cluster's own, cloned with everything else; the token programs and what is built into a validator
are the VM's. Nothing stays in the VM from one run to the next but programs.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct
from solders.account import Account
from solders.pubkey import Pubkey
from solders.transaction import SanitizeError, VersionedTransaction

from slotzero.errors import MalformedError
from slotzero.solana.rpc import AccountInfo
from slotzero.solana.svm import Svm, TransactionErr
from slotzero.units import Lamports, Slot

__all__ = ["Fork", "ForkRun", "parse", "program_data_key", "program_elf"]

_LOADER: Final = Pubkey.from_string("BPFLoader2111111111111111111111111111111111")
_UPGRADEABLE_LOADER: Final = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
_SYSVARS: Final = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")
_PROGRAM_BYTES: Final = 36
_PROGRAM_DATA_HEADER: Final = 45
_IS_PROGRAM: Final = b"\x02\0\0\0"
_RENT_OVERHEAD_BYTES: Final = 128


class ForkRun(Struct, frozen=True, kw_only=True):
    """What one run gave.

    Attributes:
        fee: What the network takes for it, whether it succeeds or fails.
        post: The accounts it has written, None where one has ended; empty when it failed.
    """

    err: TransactionErr | None
    fee: Lamports
    units: int
    logs: tuple[str, ...]
    post: dict[Pubkey, AccountInfo | None]


def parse(raw: bytes) -> VersionedTransaction:
    """Return the transaction in `raw`. *Pure.* Raises MalformedError."""
    try:
        transaction = VersionedTransaction.from_bytes(raw)
        transaction.sanitize()
    except (ValueError, SanitizeError) as error:
        raise MalformedError(f"this is no transaction: {error}") from error
    return transaction


def program_data_key(account: AccountInfo) -> Pubkey | None:
    """Return where a program's code is kept, if that is in another account than its own. *Pure.*"""
    data = account.data
    if account.owner == _UPGRADEABLE_LOADER and len(data) == _PROGRAM_BYTES and data.startswith(_IS_PROGRAM):
        return Pubkey.from_bytes(data[4:])
    return None


def program_elf(program: AccountInfo, program_data: AccountInfo | None) -> bytes:
    """Return a program's code. *Pure.*

    Raises:
        MalformedError: It is kept in a way this fork does not know, or its account is missing.
    """
    if program.owner == _LOADER:
        return program.data
    if program_data is None or program_data_key(program) is None:
        raise MalformedError(f"a program of the loader {program.owner} whose code was not found")
    return program_data.data[_PROGRAM_DATA_HEADER:]


class Fork:
    """A VM that is given the accounts of each transaction anew.

    Args:
        empty_account_rent: What the cluster asks for an account without data: all its rent follows from it.

    Attributes:
        programs: The code that was added.
    """

    def __init__(self, empty_account_rent: Lamports) -> None:
        self.empty_account_rent = empty_account_rent
        self.programs: dict[Pubkey, bytes] = {}
        self._svm = Svm(rent_lamports_per_byte=max(1, empty_account_rent // _RENT_OVERHEAD_BYTES))

    def has_program(self, key: Pubkey) -> bool:
        """Tell whether the VM can run `key`: it is built in, or was added."""
        account = self._svm.get_account(key)
        return account is not None and account.executable

    def add_program(self, key: Pubkey, elf: bytes) -> None:
        """Let the VM run a program. Raises MalformedError: the VM cannot."""
        self._svm.add_program(key, elf)
        self.programs[key] = elf

    def rent(self, size: int) -> Lamports:
        """Return what an account of `size` bytes must hold."""
        return self._svm.rent_exempt_minimum(size)

    def run(
        self,
        transaction: VersionedTransaction,
        accounts: Mapping[Pubkey, AccountInfo | None],
        *,
        slot: Slot,
        unix_s: int,
        is_signed: bool,
    ) -> ForkRun:
        """Run a transaction on accounts as they are given, and keep nothing. *About 0.3 ms.*

        Args:
            transaction: What to run.
            accounts: Every account it names; None where there is none. Programs are left as the VM has them.
            slot: What the clock in the VM says.
            unix_s: Likewise, in seconds.
            is_signed: Whether signatures are checked.
        """
        svm = self._svm
        svm.set_clock(slot, unix_s, unix_s)
        placed = list(_placed(accounts))
        for key, account in placed:
            svm.set_account(key, account)
        try:
            execution = svm.simulate(transaction, verify_signatures=is_signed)
        finally:
            for key, _ in placed:
                svm.set_account(key, None)
        return ForkRun(
            err=execution.err,
            fee=execution.fee,
            units=execution.units_consumed,
            logs=tuple(execution.logs()),
            post={key: _info(account) for key, account in execution.post_accounts},
        )


def _placed(accounts: Mapping[Pubkey, AccountInfo | None]) -> Iterator[tuple[Pubkey, Account | None]]:
    for key, info in accounts.items():
        if info is None:
            yield key, None
        elif not info.executable and info.owner != _SYSVARS:
            yield key, Account(info.lamports, info.data, info.owner)


def _info(account: Account) -> AccountInfo | None:
    if account.lamports == 0:
        return None
    return AccountInfo(
        lamports=Lamports(account.lamports), owner=account.owner, data=account.data, executable=account.executable
    )
