"""What detection says besides the pools themselves."""

import enum

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.units import Lamports, MonoNs, Slot, TokenAmount
from slotzero.venues.records import NewPool, Reserves

__all__ = ["DetectorStats", "DropReason", "PoolTrade", "ReplayReport"]


class DropReason(enum.StrEnum):
    """Why a frame, or an event in it, gave no pool although it might have."""

    FAILED_TRANSACTION = "failed_transaction"
    """The transaction failed: what its log says did not happen."""
    FORGED_EVENT = "forged_event"
    """It looks like a creation and was not emitted by the venue's program."""
    TRUNCATED_LOG = "truncated_log"
    """The log was cut, so events may be missing."""
    INCONSISTENT_LOG = "inconsistent_log"
    """The log's invocations and returns do not match: nobody can say who emitted what."""
    MALFORMED_FRAME = "malformed_frame"
    """No JSON, or no document of a known kind."""
    FRAME_TOO_LARGE = "frame_too_large"
    MALFORMED_EVENT = "malformed_event"
    """The venue's program emitted it and it could not be read: the venue may have changed."""
    DUPLICATE = "duplicate"
    """The pool was handed on before; several feeds tell the same."""


class DetectorStats(Struct, frozen=True, kw_only=True):
    """What a detector has seen.

    Attributes:
        frames: All frames.
        prefiltered: Frames that were looked into: something in them looked like a creation.
        pools: Pools handed on.
        dropped: By reason, only reasons that occurred.
    """

    frames: int
    prefiltered: int
    pools: int
    dropped: dict[DropReason, int]


class PoolTrade(Struct, frozen=True, kw_only=True):
    """A trade somebody made, with the reserves it left.

    Attributes:
        quote_amount: What the pool received or gave, without fees, in the quote's smallest unit.
        reserves: After the trade.
    """

    venue: str
    mint: Pubkey
    user: Pubkey
    is_buy: bool
    tokens: TokenAmount
    quote_amount: Lamports
    reserves: Reserves
    signature: str
    slot: Slot
    mono_cause: MonoNs | None
    mono_frame: MonoNs


class ReplayReport(Struct, frozen=True, kw_only=True):
    """What a stored file holds.

    Attributes:
        creations: The pools, in the file's order.
        dropped: By reason, only reasons that occurred.
        frames: Documents in the file, the unreadable ones included.
    """

    creations: list[NewPool]
    dropped: dict[DropReason, int]
    frames: int
