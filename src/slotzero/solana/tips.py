"""Tips to the block engine, and the names of bundles. *Pure.*

Source: Jito's documentation of low-latency sending. The eight accounts are constant; a tip to any of them counts, and
picking one at random keeps bundles from waiting for one another's write lock. A tip account must be named by the
message itself, never through a lookup table. Put the tip into the transaction it is for: alone it can be taken without
it when a fork drops the rest.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from slotzero.units import Lamports

__all__ = ["MAX_BUNDLE", "MIN_TIP", "TIP_ACCOUNTS", "bundle_id", "tip_instruction"]

TIP_ACCOUNTS: Final = tuple(
    Pubkey.from_string(text)
    for text in (
        "96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5",
        "HFqU5x63VTqvQss8hp11i4wVV8bD44PvwucfZ2bU7gRe",
        "Cw8CFyM9FkoMi7K7Crf6HNQqf4uEMzpKw6QNghXLvLkY",
        "ADaUMid9yfUytqMBgopwjb2DTLSokTSzL1zt6iGPaS49",
        "DfXygSm4jCyNCybVYYK6DwvWqjKee8pbDmJGcLWNDXjh",
        "ADuUkR4vqLUMWXxW9gh6D6L8pMSawimctcNZ5pGwDcEt",
        "DttWaMuVvTiduZRnguLF7jNxTgiMBZ1hyAumKUiL2KRL",
        "3AVi9Tg9Uo68tJfuvoKvqKNWKkC5wPdSSdeBnizKZ6jT",
    )
)
MIN_TIP: Final = Lamports(1_000)
MAX_BUNDLE: Final = 5
"""Transactions in a bundle."""


def tip_instruction(payer: Pubkey, lamports: Lamports, choice: int) -> Instruction:
    """Return the transfer that tips.

    Args:
        payer: Who tips; must sign.
        lamports: At least `MIN_TIP`.
        choice: Selects the account; any whole number, best a random one.
    """
    to = TIP_ACCOUNTS[choice % len(TIP_ACCOUNTS)]
    return transfer(TransferParams(from_pubkey=payer, to_pubkey=to, lamports=lamports))


def bundle_id(signatures: Sequence[str]) -> str:
    """Return a bundle's name: the SHA-256 of its transactions' first signatures, in base58 and joined by commas."""
    return hashlib.sha256(",".join(signatures).encode()).hexdigest()
