"""What a transaction pays the network. *Pure.*"""

from typing import Final

from slotzero.units import ComputeUnits, Lamports, MicroLamportsPerCu

__all__ = ["LAMPORTS_PER_SIGNATURE", "network_fee"]

LAMPORTS_PER_SIGNATURE: Final = 5_000
_MICRO: Final = 1_000_000


def network_fee(limit: ComputeUnits, price: MicroLamportsPerCu) -> Lamports:
    """Return the fee of a transaction with one signature: charged on the *requested* compute units, rounded up."""
    return Lamports(LAMPORTS_PER_SIGNATURE - (-limit * price // _MICRO))
