"""Instructions of the token programs that several venues need."""

from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

__all__ = ["close_token_account"]

_CLOSE_ACCOUNT: Final = b"\x09"


def close_token_account(account: Pubkey, owner: Pubkey, token_program: Pubkey) -> Instruction:
    """Build the closing of an empty token account; its rent goes back to `owner`. *Pure.*

    It fails when the account holds a single unit, so a stranger's gift of one makes a transaction fail that carries
    it: leave it out where the rest must not fail.
    """
    metas = [
        AccountMeta(account, is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=False),
    ]
    return Instruction(token_program, _CLOSE_ACCOUNT, metas)
