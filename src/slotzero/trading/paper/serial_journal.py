"""A journal for replays: the same file as ever, written in the loop's own thread.

Replayed time jumps ahead whenever the program waits, and it must not jump over a disk. Nothing of a replay has to
survive a power cut, so nothing is synchronised: two equal replays make two equal files.
"""

import asyncio
import sqlite3

from slotzero.errors import JournalError
from slotzero.trading.journal.journal import Claimed, Entry, Written
from slotzero.trading.journal.sqlite import SqliteJournal

__all__ = ["SerialJournal"]


class SerialJournal(SqliteJournal):
    """One replay's journal in one SQLite file."""

    _connection: sqlite3.Connection | None = None

    async def _open(self) -> None:
        try:
            self._lock()
            self._load()
            self._connection = self._connect()
            self._connection.execute("PRAGMA journal_mode=MEMORY")
            self._connection.execute("PRAGMA synchronous=OFF")
        except BaseException:
            self._unlock()
            raise

    async def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._unlock()

    def _enqueue(self, entry: Entry) -> None:
        outcome: Written | Claimed | JournalError = Written() if entry.claims is None else Claimed()
        assert self._connection is not None, "the journal is not open"
        try:
            self._connection.execute(
                "INSERT INTO events (chain, wall_ns, kind, body) VALUES (?, ?, ?, ?)",
                (self._chain, entry.wall_ns, entry.kind, entry.body),
            )
        except sqlite3.Error as error:
            outcome = JournalError(f"the journal {self.path} cannot be written ({error})")
        asyncio.get_running_loop().call_soon(entry.settle, outcome)
