"""One wallet's key: 32 secret bytes that can be overwritten, and the address they stand for.

What overwriting is worth in Python: the bytes held here are zeroed by `wipe`. Copies that libraries make on the way
(the string that was read, the `bytes` that libsodium is handed and hands back, those inside a `Signer`) are immutable;
they are given back to the allocator and stay in memory until something else is written there. Swap is not locked
either. Wiping shortens the time a key is in memory; it is no guarantee that none is left.
"""

from typing import Final, NoReturn

from nacl.bindings import crypto_sign_seed_keypair
from nacl.utils import random
from solders.pubkey import Pubkey

from slotzero.secret import Secret
from slotzero.solana.transaction import Signer

__all__ = ["SECRET_KEY_BYTES", "SEED_BYTES", "WalletKey", "wipe"]

SEED_BYTES: Final = 32
SECRET_KEY_BYTES: Final = 64
"""A seed and the public key that follows from it, as Solana's tools write them."""


def wipe(buffer: bytearray) -> None:
    """Overwrite `buffer` with zeros, in place."""
    buffer[:] = bytes(len(buffer))


class WalletKey:
    """A wallet's secret half and its address. It cannot be printed, pickled or copied.

    Args:
        seed: The 32 secret bytes. The key takes them over: `wipe` zeroes this very buffer.

    Raises:
        ValueError: It has another length, or has been wiped.
    """

    __slots__ = ("_seed", "address")

    def __init__(self, seed: Secret[bytearray]) -> None:
        if len(seed.reveal()) != SEED_BYTES:
            raise ValueError(f"a seed must have {SEED_BYTES} bytes, it had {len(seed.reveal())}")
        if not any(seed.reveal()):
            raise ValueError("a seed must not be all zeros, as a wiped one is")
        self._seed = seed
        self.address = Pubkey.from_bytes(crypto_sign_seed_keypair(bytes(seed.reveal()))[0])

    @classmethod
    def generate(cls) -> "WalletKey":
        """Return a new key from the operating system's randomness."""
        return cls(Secret(bytearray(random(SEED_BYTES))))

    @property
    def seed(self) -> Secret[bytearray]:
        """The secret bytes, all zeros once wiped. Keep no copy."""
        return self._seed

    @property
    def is_wiped(self) -> bool:
        """Whether the secret half is gone."""
        return not any(self._seed.reveal())

    def signer(self) -> Signer:
        """Return what signs with this key; it outlives `wipe`, since libsodium needs a copy of its own.

        Raises:
            ValueError: The key has been wiped.
        """
        if self.is_wiped:
            raise ValueError("a wiped key cannot sign")
        return Signer(Secret(bytes(self._seed.reveal())))

    def copy(self) -> "WalletKey":
        """Return the same key in a buffer of its own."""
        return WalletKey(Secret(bytearray(self._seed.reveal())))

    def wipe(self) -> None:
        """Overwrite the secret bytes held here."""
        wipe(self._seed.reveal())

    def __repr__(self) -> str:
        """Return the address alone."""
        return f"WalletKey({self.address})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse pickling and copying."""
        raise TypeError("a WalletKey cannot be pickled or copied")
