"""The events of the journal: what was intended, what was sent, and what became of it."""

import uuid
from typing import Literal

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.units import BlockHeight, Lamports, LamportsDelta, Slot, TokenAmount
from slotzero.venues.records import NewPool

__all__ = [
    "Event",
    "ExternalTransfer",
    "HaltChanged",
    "IntentAbandoned",
    "IntentExpired",
    "IntentFailed",
    "IntentLanded",
    "IntentSent",
    "IntentSigned",
    "IntentUnknown",
    "PositionGraduated",
    "PositionOpened",
    "PositionStuck",
    "Side",
    "new_intent_id",
]

Side = Literal["buy", "sell"]


def new_intent_id() -> str:
    """Return a new intent's id: unique without asking anyone."""
    return uuid.uuid4().hex


class _Event(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every event says: which intent it is about (a position carries its buy's intent)."""

    intent: str


class ExternalTransfer(Struct, frozen=True, kw_only=True, tag_field="kind", tag="external_transfer"):
    """Money that came into a wallet or left it by no intent of ours: its funding, what it held at the first start."""

    wallet: Pubkey
    lamports_delta: LamportsDelta
    reason: str


class IntentSigned(_Event, frozen=True, kw_only=True, tag="intent_signed"):
    """A transaction exists that could land. Written before it is sent.

    Attributes:
        raw: The signed bytes: the only ones that may ever be sent for this intent.
        position: For a sell, the position it exits.
        reason: Why: "new_pool" for a buy, the exit rule for a sell.
        quoted_lamports: What the trade was quoted at when it was signed.
        limit_lamports: The most a buy may cost, the least a sell must bring.
        pool: For a buy, everything needed to hold and sell the position later.
    """

    side: Side
    signature: str
    raw: bytes
    last_valid_block_height: BlockHeight
    mint: Pubkey
    wallet: Pubkey
    tokens: TokenAmount
    quoted_lamports: Lamports
    limit_lamports: Lamports
    reason: str
    position: str | None = None
    pool: NewPool | None = None


class IntentSent(_Event, frozen=True, kw_only=True, tag="intent_sent"):
    """The bytes were handed to an endpoint. What became of them is not known yet."""


class IntentLanded(_Event, frozen=True, kw_only=True, tag="intent_landed"):
    """Confirmed without an error.

    Attributes:
        lamports_delta: The change of the wallet's balance in this transaction, fees and rent included.
        tokens_held: The wallet's balance of the mint after it.
    """

    slot: Slot
    lamports_delta: LamportsDelta
    tokens_held: TokenAmount


class IntentFailed(_Event, frozen=True, kw_only=True, tag="intent_failed"):
    """Confirmed with an error: it cost its fee and changed nothing else."""

    slot: Slot
    reason: str
    lamports_delta: LamportsDelta


class IntentExpired(_Event, frozen=True, kw_only=True, tag="intent_expired"):
    """It did not land and no longer can."""


class IntentAbandoned(_Event, frozen=True, kw_only=True, tag="intent_abandoned"):
    """It was never sent: the safety gate stayed closed."""

    reason: str


class IntentUnknown(_Event, frozen=True, kw_only=True, tag="intent_unknown"):
    """It was sent and the chain could not be asked. The next start settles it."""

    reason: str


class PositionOpened(_Event, frozen=True, kw_only=True, tag="position_opened"):
    """A buy is confirmed and its tokens are in the wallet, but the node does not give its transaction yet.

    Only written where that takes long: the position is guarded from here on and counts as bought at its quote. What it
    cost is told by the buy's `IntentLanded`, which may come after the position is closed.

    Attributes:
        slot: The one the buy landed in.
        tokens_held: What the wallet's token account holds.
    """

    slot: Slot
    tokens_held: TokenAmount


class PositionStuck(_Event, frozen=True, kw_only=True, tag="position_stuck"):
    """Every attempt to sell failed; the position is kept and shown, and tried again at the next start."""

    reason: str


class PositionGraduated(_Event, frozen=True, kw_only=True, tag="position_graduated"):
    """Its pool is complete: what is held trades at another venue now. It is kept and shown, not lost."""


class HaltChanged(Struct, frozen=True, kw_only=True, tag_field="kind", tag="halt_changed"):
    """Buying was stopped or let go on, or the highest equity was written down; the newest counts.

    Attributes:
        killed: Why the kill switch is on; "" = it is off.
        tripped: Why the drawdown breaker has tripped; "" = it has not.
        high_water: The highest equity so far, against which a drawdown is measured.
    """

    killed: str
    tripped: str
    high_water: LamportsDelta


Event = (
    ExternalTransfer
    | HaltChanged
    | IntentSigned
    | IntentSent
    | IntentLanded
    | IntentFailed
    | IntentExpired
    | IntentAbandoned
    | IntentUnknown
    | PositionGraduated
    | PositionOpened
    | PositionStuck
)
