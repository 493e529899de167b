"""The programs solders' VM comes with are the ones we know: another solders must not bring others unnoticed."""

import hashlib

import pytest
from solders.pubkey import Pubkey

from slotzero.localnet.genesis import BUNDLED_PROGRAMS
from slotzero.solana.svm import Svm

UPGRADEABLE_LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
PROGRAM_DATA_HEADER = 45


def elf_of(svm: Svm, program: Pubkey) -> bytes:
    """The program's file: in its own account, or, when it can be upgraded, behind the header of another."""
    account = svm.get_account(program)
    assert account is not None
    if account.owner != UPGRADEABLE_LOADER:
        return account.data
    data = svm.get_account(Pubkey.from_bytes(account.data[4:36]))
    assert data is not None
    return data.data[PROGRAM_DATA_HEADER:]


@pytest.mark.parametrize("program", BUNDLED_PROGRAMS, ids=str)
def test_bundled_program_is_the_one_we_know(program: Pubkey) -> None:
    elf = elf_of(Svm(), program)
    assert elf.startswith(b"\x7fELF")
    assert hashlib.sha256(elf).hexdigest() == BUNDLED_PROGRAMS[program]
