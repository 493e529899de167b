"""Who can sign a transaction: a key in this process, or a service far away that holds one.

The hot path signs with `slotzero.solana.transaction.Signer`, at once and without an await. Here is the way for what is
not in a hurry (funding, sweeping, closing accounts), where the key may be elsewhere.
"""

import inspect
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.signature import Signature

from slotzero.errors import SlotzeroError
from slotzero.solana.transaction import RecentBlockhash, SignedTransaction, unsigned

__all__ = ["MessageSigner", "WrongSignatureError", "sign_with"]

_SIGNATURE_BYTES: Final = 64
_MESSAGE_AT: Final = 1 + _SIGNATURE_BYTES


class WrongSignatureError(SlotzeroError):
    """What a signer gave back is no signature of the bytes it was given. Nothing was sent."""


class MessageSigner(Protocol):
    """Signs the bytes it is given, unchanged. `Signer` is one, and so is `RemoteSigner`."""

    @property
    def pubkey(self) -> Pubkey:
        """The address it signs for."""
        ...

    def sign(self, message: bytes) -> bytes | Awaitable[bytes]:
        """Return the 64-byte signature of a transaction's `message`, or what can be awaited for it."""
        ...


async def sign_with(
    signer: MessageSigner, instructions: Sequence[Instruction], blockhash: RecentBlockhash
) -> SignedTransaction:
    """Compile a version-0 transaction paid by `signer`, have it signed, and verify the signature.

    Raises:
        ValueError: It does not fit into 1,232 bytes.
        WrongSignatureError: The signature is not one of these bytes by this address.
    """
    raw = unsigned(signer.pubkey, instructions, blockhash.hash)
    message = raw[_MESSAGE_AT:]
    answer = signer.sign(message)
    signature = await answer if inspect.isawaitable(answer) else answer
    if len(signature) != _SIGNATURE_BYTES or not Signature.from_bytes(signature).verify(signer.pubkey, message):
        raise WrongSignatureError(f"the signer of {signer.pubkey} returned something else than a signature of it")
    return SignedTransaction(
        raw=raw[:1] + signature + message,
        signature=str(Signature.from_bytes(signature)),
        last_valid_block_height=blockhash.last_valid_block_height,
    )
