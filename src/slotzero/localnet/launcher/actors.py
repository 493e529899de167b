"""The launcher's wallets and what they sign. *Pure:* instructions and a blockhash in, the bytes of a transaction out.

All keys follow from the seed, and whoever knows the seed has them: they hold the embedded chain's money, no other.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey

from slotzero.localnet.launcher.coins import CREATORS, RIVALS
from slotzero.secret import Secret
from slotzero.solana.transaction import MAX_TRANSACTION_BYTES, Signer
from slotzero.units import LAMPORTS_PER_SOL, Lamports
from slotzero.venues.pumpfun import WalletAccounts, wallet_accounts

__all__ = ["PURSE_LAMPORTS", "Actor", "Actors", "freeze_account", "mint_signer", "signed"]

PURSE_LAMPORTS: Final = Lamports(100_000 * LAMPORTS_PER_SOL)
"""What each wallet begins with. Only fees, and what rivals leave in coins with a transfer fee, do not come back: about
5 SOL for such a coin, shared by its rivals, so all of them together pay for a million."""

_FREEZE_ACCOUNT: Final = b"\x0a"


class Actor:
    """One wallet: its key and what its trades need.

    Args:
        signer: Its key.
    """

    __slots__ = ("signer", "wallet")

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self.wallet: WalletAccounts = wallet_accounts(signer.pubkey)

    @property
    def pubkey(self) -> Pubkey:
        """Its address."""
        return self.signer.pubkey


class Actors:
    """Every wallet of a launcher.

    Args:
        seed: What the keys follow from.
    """

    def __init__(self, seed: int) -> None:
        self.creators = tuple(Actor(_signer(seed, "creator", index)) for index in range(CREATORS))
        self.rivals = tuple(Actor(_signer(seed, "rival", index)) for index in range(RIVALS))
        self.addresses = frozenset(actor.pubkey for actor in (*self.creators, *self.rivals))


def mint_signer(seed: int, index: int) -> Signer:
    """Return the key of a coin's mint. *Pure.*"""
    return _signer(seed, "mint", index)


def _signer(seed: int, role: str, index: int) -> Signer:
    return Signer(Secret(hashlib.sha256(f"slotzero launcher {seed} {role} {index}".encode()).digest()))


def signed(instructions: Sequence[Instruction], blockhash: Hash, payer: Signer, *others: Signer) -> bytes:
    """Return a version-0 transaction paid by `payer`, signed by all. *Pure.* About 25 us for each signature.

    Raises:
        ValueError: It does not fit into 1,232 bytes.
    """
    message = MessageV0.try_compile(payer.pubkey, instructions, [], blockhash)
    body = to_bytes_versioned(message)
    keys = {signer.pubkey: signer for signer in (payer, *others)}
    needed = message.account_keys[: message.header.num_required_signatures]
    raw = bytes([len(needed)]) + b"".join(keys[key].sign(body) for key in needed) + body
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise ValueError(f"a transaction of {len(raw)} bytes does not fit into {MAX_TRANSACTION_BYTES}")
    return raw


def freeze_account(token_account: Pubkey, mint: Pubkey, authority: Pubkey, token_program: Pubkey) -> Instruction:
    """Build the freezing of a token account by its mint's freeze authority. *Pure.*"""
    metas = [
        AccountMeta(token_account, is_signer=False, is_writable=True),
        AccountMeta(mint, is_signer=False, is_writable=False),
        AccountMeta(authority, is_signer=True, is_writable=False),
    ]
    return Instruction(token_program, _FREEZE_ACCOUNT, metas)
