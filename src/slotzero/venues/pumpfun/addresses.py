"""Addresses of the pump.fun curve program: fixed accounts and program-derived addresses.

Source: the program's published IDL (pump-sdk 2.0.0), confirmed on captured transactions; the two undeclared accounts
of a trade are known from captured transactions alone.
"""

from typing import Final

from solders.pubkey import Pubkey

from slotzero.solana.addresses import TOKEN_2022_PROGRAM, associated_token_address

__all__ = [
    "EVENT_AUTHORITY",
    "FEE_CONFIG",
    "FEE_PROGRAM",
    "GLOBAL",
    "GLOBAL_VOLUME_ACCUMULATOR",
    "MAYHEM_GLOBAL_PARAMS",
    "MAYHEM_PROGRAM",
    "MAYHEM_SOL_VAULT",
    "MINT_AUTHORITY",
    "PUMP_PROGRAM",
    "creator_vault_address",
    "curve_address",
    "curve_v2_address",
    "mayhem_state_address",
    "mayhem_token_vault_address",
    "user_volume_accumulator_address",
]

PUMP_PROGRAM: Final = Pubkey.from_string("6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P")
FEE_PROGRAM: Final = Pubkey.from_string("pfeeUxB6jkeY1Hxd7CsFCAjcbHA9rWtchMGdZ6VojVZ")
MAYHEM_PROGRAM: Final = Pubkey.from_string("MAyhSmzXzV1pTf7LsNkrNwkWKTo4ougAJ1PPg47MD4e")

# Derived addresses without a variable part, written out so that importing costs no derivation; a test re-derives them.
GLOBAL: Final = Pubkey.from_string("4wTV1YmiEkRvAtNtsSGPtUrqRYQMe5SKy2uB4Jjaxnjf")
EVENT_AUTHORITY: Final = Pubkey.from_string("Ce6TQqeHC9p8KetsN6JsjHK7UTZk7nasjjnr7XxXp9F1")
MINT_AUTHORITY: Final = Pubkey.from_string("TSLvdd1pWpHVjahSpsvCXUbgwsL3JAcvokwaKt1eokM")
GLOBAL_VOLUME_ACCUMULATOR: Final = Pubkey.from_string("Hq2wp8uJ9jCPsYgNHex8RtqdvMPfVGoYwjvF1ATiwn2Y")
FEE_CONFIG: Final = Pubkey.from_string("8Wf5TiAheLUqBrKXeYg2JtAFFMWtKdG2BSFgqUcPVwTt")
MAYHEM_GLOBAL_PARAMS: Final = Pubkey.from_string("13ec7XdrjF3h3YcqBTFDSReRcUFwbCnJaAQspM4j6DDJ")
MAYHEM_SOL_VAULT: Final = Pubkey.from_string("BwWK17cbHxwWBKZkUYvzxLcNQ1YVyaFezduWbtm2de6s")


def curve_address(mint: Pubkey) -> Pubkey:
    """Return the bonding curve account of `mint`. *Pure.* 5-9 us, as every derivation here."""
    return Pubkey.find_program_address([b"bonding-curve", bytes(mint)], PUMP_PROGRAM)[0]


def curve_v2_address(mint: Pubkey, program: Pubkey = PUMP_PROGRAM) -> Pubkey:
    """Return the undeclared read-only account a legacy trade carries after the IDL's accounts. *Pure.*

    Args:
        mint: The coin.
        program: Whose derivation. The mayhem agent's own trades carry the one under `MAYHEM_PROGRAM`; a user's trade
            of a mayhem coin carries pump's, as any other coin does (captured 2026-08 and 2026-09).
    """
    return Pubkey.find_program_address([b"bonding-curve-v2", bytes(mint)], program)[0]


def creator_vault_address(creator: Pubkey | None) -> Pubkey:
    """Return the account that collects the creator fees of all coins of `creator`. *Pure.*

    Args:
        creator: As the curve says; None = the curve has none, and its trades name the vault of the zero key.
    """
    seed = bytes(32) if creator is None else bytes(creator)
    return Pubkey.find_program_address([b"creator-vault", seed], PUMP_PROGRAM)[0]


def user_volume_accumulator_address(user: Pubkey) -> Pubkey:
    """Return the account that counts the volume of `user` (and holds a cashback coin's rebates). *Pure.*"""
    return Pubkey.find_program_address([b"user_volume_accumulator", bytes(user)], PUMP_PROGRAM)[0]


def mayhem_state_address(mint: Pubkey) -> Pubkey:
    """Return the mayhem program's state of `mint`; create_v2 names it for every coin. *Pure.*"""
    return Pubkey.find_program_address([b"mayhem-state", bytes(mint)], MAYHEM_PROGRAM)[0]


def mayhem_token_vault_address(mint: Pubkey) -> Pubkey:
    """Return the mayhem vault's token account of `mint`; create_v2 names it for every coin. *Pure.*"""
    return associated_token_address(MAYHEM_SOL_VAULT, mint, TOKEN_2022_PROGRAM)
