"""Well-known addresses of the cluster, and the associated token address."""

from typing import Final

from solders.pubkey import Pubkey

__all__ = [
    "ATA_PROGRAM",
    "COMPUTE_BUDGET_PROGRAM",
    "SYSTEM_PROGRAM",
    "TOKEN_2022_PROGRAM",
    "TOKEN_PROGRAM",
    "WSOL_MINT",
    "associated_token_address",
]

SYSTEM_PROGRAM: Final = Pubkey.from_string("11111111111111111111111111111111")
COMPUTE_BUDGET_PROGRAM: Final = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
TOKEN_PROGRAM: Final = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022_PROGRAM: Final = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ATA_PROGRAM: Final = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
WSOL_MINT: Final = Pubkey.from_string("So11111111111111111111111111111111111111112")


def associated_token_address(owner: Pubkey, mint: Pubkey, token_program: Pubkey) -> Pubkey:
    """Return the associated token address of `owner` for `mint`. *Pure.* *Hot path* (about 8 us).

    Args:
        owner: A wallet or a program-derived address.
        mint: The token's mint.
        token_program: The program that owns the mint; the address depends on it.
    """
    return Pubkey.find_program_address([bytes(owner), bytes(token_program), bytes(mint)], ATA_PROGRAM)[0]
