"""The journal: an append-only log of intents and what became of them, and the state folded from it."""

from slotzero.trading.journal.events import (
    Event,
    ExternalTransfer,
    HaltChanged,
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSent,
    IntentSigned,
    IntentUnknown,
    PositionGraduated,
    PositionOpened,
    PositionStuck,
    Side,
    new_intent_id,
)
from slotzero.trading.journal.journal import MAIN_BOT, AlreadyClaimed, Claim, Claimed, Journal
from slotzero.trading.journal.opening import open_journal
from slotzero.trading.journal.sqlite import SqliteJournal
from slotzero.trading.journal.state import KEPT_MINTS, Intent, IntentState, JournalState, PositionRecord

__all__ = [
    "KEPT_MINTS",
    "MAIN_BOT",
    "AlreadyClaimed",
    "Claim",
    "Claimed",
    "Event",
    "ExternalTransfer",
    "HaltChanged",
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
    "PositionGraduated",
    "PositionOpened",
    "PositionRecord",
    "PositionStuck",
    "Side",
    "SqliteJournal",
    "new_intent_id",
    "open_journal",
]
