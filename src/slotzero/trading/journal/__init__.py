"""The journal: an append-only log of intents and what became of them, and the state folded from it."""

from slotzero.trading.journal.events import (
    Event,
    ExternalTransfer,
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSent,
    IntentSigned,
    IntentUnknown,
    PositionStuck,
    Side,
    new_intent_id,
)
from slotzero.trading.journal.sqlite import Journal
from slotzero.trading.journal.state import Intent, IntentState, JournalState, PositionRecord

__all__ = [
    "Event",
    "ExternalTransfer",
    "Intent",
    "IntentAbandoned",
    "IntentExpired",
    "IntentFailed",
    "IntentLanded",
    "IntentSent",
    "IntentSigned",
    "IntentState",
    "IntentUnknown",
    "Journal",
    "JournalState",
    "PositionRecord",
    "PositionStuck",
    "Side",
    "new_intent_id",
]
