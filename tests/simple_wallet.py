"""The one wallet of a run: its signer, its balance as the chain last said, and what orders have reserved of it."""

from slotzero.solana.transaction import Signer
from slotzero.units import Lamports

__all__ = ["Wallet"]


class Wallet:
    """A signer and the part of its balance that is free.

    An order reserves the most it can cost before it is signed and gives it back when it has ended; the balance follows
    the chain. For a moment after landing an amount may be counted twice, which errs on the safe side.

    Args:
        signer: The key.
        balance: Its lamports now.
        kept: What must stay behind: rent of the wallet itself and the fees of selling what is held.
    """

    def __init__(self, signer: Signer, *, balance: Lamports, kept: Lamports) -> None:
        self.signer = signer
        self.pubkey = signer.pubkey
        self.balance = balance
        self._kept = kept
        self._reserved = 0

    @property
    def free(self) -> int:
        """What a new order may cost; can be negative."""
        return self.balance - self._reserved - self._kept

    def reserve(self, lamports: int) -> bool:
        """Set `lamports` aside, or return False when there is not that much. *Hot path.*"""
        if lamports > self.free:
            return False
        self._reserved += lamports
        return True

    def release(self, lamports: int) -> None:
        """Give a reservation back."""
        assert lamports <= self._reserved, "more is given back than was reserved"
        self._reserved -= lamports
