"""What a transaction pays the network. *Pure.*"""

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from solders.compute_budget import ID as COMPUTE_BUDGET
from solders.transaction import VersionedTransaction

from slotzero.solana.tips import TIP_ACCOUNTS
from slotzero.units import ComputeUnits, Lamports, MicroLamportsPerCu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from solders.pubkey import Pubkey

__all__ = ["LAMPORTS_PER_SIGNATURE", "OfferedFees", "network_fee", "offered_fees"]

LAMPORTS_PER_SIGNATURE: Final = 5_000
_MICRO: Final = 1_000_000


class OfferedFees(Struct, frozen=True, kw_only=True):
    """What a transaction offers for its place beside the base fee."""

    limit: ComputeUnits
    price: MicroLamportsPerCu
    tip_lamports: Lamports

    @property
    def bid_lamports(self) -> Lamports:
        """Priority fee and tip."""
        return Lamports(self.tip_lamports - (-self.limit * self.price // _MICRO))


def offered_fees(raw: bytes) -> OfferedFees:
    """Return what a signed transaction of ours offers. About 20 us."""
    message = VersionedTransaction.from_bytes(raw).message
    keys: Sequence[Pubkey] = message.account_keys
    limit = price = tip = 0
    for instruction in message.instructions:
        data, program = bytes(instruction.data), keys[instruction.program_id_index]
        if program == COMPUTE_BUDGET and data[:1] == b"\x02":
            limit = int.from_bytes(data[1:5], "little")
        elif program == COMPUTE_BUDGET and data[:1] == b"\x03":
            price = int.from_bytes(data[1:9], "little")
        elif data[:4] == b"\x02\0\0\0" and any(keys[index] in TIP_ACCOUNTS for index in bytes(instruction.accounts)):
            tip = int.from_bytes(data[4:12], "little")
    return OfferedFees(limit=ComputeUnits(limit), price=MicroLamportsPerCu(price), tip_lamports=Lamports(tip))


def network_fee(limit: ComputeUnits, price: MicroLamportsPerCu) -> Lamports:
    """Return the fee of a transaction with one signature: charged on the *requested* compute units, rounded up."""
    return Lamports(LAMPORTS_PER_SIGNATURE - (-limit * price // _MICRO))
