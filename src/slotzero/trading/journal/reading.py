"""Reading a journal's file without taking it: for looking at what was traded while a bot may be writing."""

import contextlib
import sqlite3
from pathlib import Path

from slotzero.errors import JournalError
from slotzero.trading.journal.codec import decode_event
from slotzero.trading.journal.state import JournalState
from slotzero.units import WallNs

__all__ = ["read_journal"]


def read_journal(path: Path) -> dict[str, JournalState]:
    """Return the state of each chain in a journal's file, by genesis hash. *Does I/O;* writes nothing.

    Raises:
        JournalError: There is no such file, or it is none of a journal.
    """
    if not path.exists():
        raise JournalError(f"there is no journal at {path}; a run writes one")
    states: dict[str, JournalState] = {}
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            for chain, wall_ns, body in connection.execute("SELECT chain, wall_ns, body FROM events ORDER BY seq"):
                states.setdefault(chain, JournalState(kept=None)).apply(decode_event(body), WallNs(wall_ns))
    except (sqlite3.DatabaseError, ValueError, TypeError, RecursionError) as error:
        raise JournalError(f"{path} cannot be read as a journal: {error}") from error
    return states
