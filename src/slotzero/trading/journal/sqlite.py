"""The journal in one SQLite file, for one bot.

WAL mode with `synchronous=FULL`: a commit survives a power cut. One thread owns the connection and commits what has
queued up as one group, so a slow disk delays a send but never stops the event loop. A lock file keeps a second process
out. A file that belongs to several chains (an embedded chain is a new one at each start) keeps them apart: events carry
the chain's genesis hash, and only this chain's are folded.

Claims are a table of their own: a buy's intent and its claim are written in one transaction, or neither.
"""

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from slotzero.clock import Clock
from slotzero.errors import JournalError, JournalLockedError
from slotzero.trading.journal.codec import decode_event
from slotzero.trading.journal.events import Event, IntentSigned
from slotzero.trading.journal.journal import MAIN_BOT, AlreadyClaimed, Claimed, Entry, Journal, Written
from slotzero.units import WallNs

__all__ = ["SqliteJournal"]

_SCHEMA_VERSION: Final = "2"
_CLAIMS: Final = "CREATE TABLE claims (chain TEXT, mint TEXT, PRIMARY KEY (chain, mint)) WITHOUT ROWID;"
_SCHEMA: Final = (
    """
BEGIN;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    chain TEXT NOT NULL,
    wall_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX events_by_chain ON events (chain, seq);
INSERT INTO meta VALUES ('schema', '2');
"""
    + _CLAIMS
    + "COMMIT;"
)
_INSERT: Final = "INSERT INTO events (chain, wall_ns, kind, body) VALUES "
_ROW: Final = "(?, ?, ?, ?)"
_CLAIM: Final = "INSERT OR IGNORE INTO claims VALUES (?, ?)"
_BEFORE_CLAIMS: Final = "1"
_MAGIC: Final = b"SQLite format 3\x00"
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Errors that say nothing against what stands in the file."""
_MAX_GROUP: Final = 240
"""Of four values each: SQLite before 3.32 takes at most 999 of them in a statement."""


class SqliteJournal(Journal):
    """One chain's journal in one SQLite file.

    Args:
        path: The file; it and its folder are made, readable by the owner alone.
        chain: The chain's genesis hash; events of other chains in the file are kept and left alone.
        clock: For the wall-clock time of each event.
    """

    def __init__(self, path: Path, chain: str, *, clock: Clock) -> None:
        super().__init__(chain, bot=MAIN_BOT, location=str(path), clock=clock)
        self.path = path
        self._entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock_file: int | None = None
        self._failure: JournalError | None = None

    async def _open(self) -> None:
        try:
            self._lock()
            self._load()
        except BaseException:
            self._unlock()
            raise
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_loop, args=(loop,), name="journal", daemon=True)
        self._thread.start()

    async def _close(self) -> None:
        thread, self._thread = self._thread, None
        try:
            if thread is not None:
                self._entries.put(None)
                await asyncio.to_thread(thread.join)
        finally:
            if thread is not None:
                thread.join()  # cancelled above: the lock must not be free while the thread still writes
            self._unlock()

    def _enqueue(self, entry: Entry) -> None:
        self._entries.put(entry)

    # ---- opening -----------------------------------------------------------------------------------------------

    def _lock(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = self.path.resolve()  # a link to the same file is another name, and must not be another lock
            lock_path = file.with_name(file.name + ".lock")
            self._lock_file = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalLockedError(
                f"another slotzero uses the journal {self.path}; stop it, or name another with [journal] path"
            ) from None
        except OSError as error:
            raise JournalError(
                f"the journal {self.path} cannot be made: {error.strerror}; name another place with [journal] path"
            ) from error

    def _unlock(self) -> None:
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)

    def _open_for_writing(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _load(self) -> None:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with self.path.open("rb") as file:
                beginning = file.read(len(_MAGIC))
        except OSError as error:
            raise JournalError(
                f"the journal {self.path} cannot be opened: {error.strerror}; name another with [journal] path"
            ) from error
        if beginning not in (b"", _MAGIC):  # SQLite itself would take a file of one byte for an empty one
            raise JournalError(f"{self.path} is no slotzero journal; name another file with [journal] path")
        try:
            connection = self._connect()
            try:
                is_new = self._is_new(connection)
                # Only now: these write into the file, and a stranger's file is left as it is.
                connection.execute("PRAGMA journal_mode=WAL")
                if is_new:
                    connection.executescript(_SCHEMA)
                elif _version(connection) == _BEFORE_CLAIMS:
                    _add_claims(connection)
                for wall_ns, event in self._read(connection):
                    self._fold(event, wall_ns)
            finally:
                connection.close()
        except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
            if isinstance(error, sqlite3.Error) and _is_passing(error):  # a new journal would know of no position
                raise JournalError(
                    f"the journal {self.path} cannot be used now ({error}); end what else has it open, or make room "
                    "on its disk, and start again"
                ) from error
            raise JournalError(
                f"the journal {self.path} cannot be read ({error}); keep it aside and name another with [journal] path"
            ) from error

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        """Tell whether the file is empty, having made sure that otherwise it is a journal of ours."""
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if not tables:
            return True
        if not {"meta", "events"} <= tables:
            raise JournalError(f"{self.path} is a database, but no slotzero journal; name another with [journal] path")
        version = _version(connection)
        if version not in (_SCHEMA_VERSION, _BEFORE_CLAIMS):
            raise JournalError(
                f"the journal {self.path} has schema {version}, but this slotzero reads {_SCHEMA_VERSION}; "
                "name another with [journal] path"
            )
        return False

    def _read(self, connection: sqlite3.Connection) -> Iterator[tuple[WallNs, Event]]:
        rows = connection.execute("SELECT wall_ns, body FROM events WHERE chain = ? ORDER BY seq", (self._chain,))
        for wall_ns, body in rows:
            yield WallNs(wall_ns), decode_event(body)

    # ---- writing (in its own thread) ---------------------------------------------------------------------------

    def _write_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        connection: sqlite3.Connection | None = None
        is_open = True
        while is_open:
            entries: list[Entry] = []
            entry = self._entries.get()
            while True:
                if entry is None:
                    is_open = False
                    break
                entries.append(entry)
                if len(entries) >= _MAX_GROUP or self._entries.empty():
                    break
                entry = self._entries.get()
            taken: list[Entry] = []
            if entries and self._failure is None:
                try:
                    connection = connection or self._open_for_writing()
                    taken = self._write(connection, entries)
                except Exception as error:  # noqa: BLE001 the thread's edge: whoever awaits a write must hear of its end
                    self._failure = JournalError(
                        f"the journal {self.path} cannot be written ({error}); nothing more is sent"
                    )
                    if connection is not None:
                        connection.close()  # its transaction would keep everybody else out
                        connection = None
            with contextlib.suppress(RuntimeError):  # the loop was closed without leaving our context: nobody waits
                loop.call_soon_threadsafe(self._settle, entries, taken, self._failure)
        if connection is not None:
            connection.close()

    def _write(self, connection: sqlite3.Connection, entries: list[Entry]) -> list[Entry]:
        """Write a group down in one transaction. Returns those whose mint was claimed before, which are left out."""
        if all(entry.claims is None for entry in entries):
            self._insert(connection, entries)  # by itself a transaction
            return []
        connection.execute("BEGIN")
        taken = [entry for entry in entries if entry.claims is not None and not self._claim(connection, entry.claims)]
        if written := [entry for entry in entries if entry not in taken]:
            self._insert(connection, written)
        connection.execute("COMMIT")
        return taken

    def _insert(self, connection: sqlite3.Connection, entries: list[Entry]) -> None:
        # One statement: after each this thread waits until the loop's lets go of the interpreter, up to 5 ms.
        rows = ", ".join([_ROW] * len(entries))
        values = [value for entry in entries for value in (self._chain, entry.wall_ns, entry.kind, entry.body)]
        connection.execute(_INSERT + rows, values)

    def _claim(self, connection: sqlite3.Connection, event: IntentSigned) -> bool:
        return connection.execute(_CLAIM, (self._chain, str(event.mint))).rowcount == 1

    def _settle(self, entries: list[Entry], taken: list[Entry], failure: JournalError | None) -> None:
        for entry in entries:
            if failure is not None:
                entry.settle(failure)
            elif entry.claims is None:
                entry.settle(Written())
            else:
                entry.settle(AlreadyClaimed(by=self.bot) if entry in taken else Claimed())


def _is_passing(error: sqlite3.Error) -> bool:
    """Tell whether an error is of the disk or of another program, not of the file's content."""
    code = getattr(error, "sqlite_errorcode", None)  # not there where the binding itself has raised it
    return isinstance(code, int) and code & 0xFF in _PASSING


def _version(connection: sqlite3.Connection) -> str:
    (version,) = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() or ("none",)
    return str(version)


def _add_claims(connection: sqlite3.Connection) -> None:
    """Bring a file of the schema before up to date: what was bought on each of its chains is claimed."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_CLAIMS)
    for chain, body in connection.execute("SELECT chain, body FROM events WHERE kind = ?", (IntentSigned.__name__,)):
        event = decode_event(body)
        if isinstance(event, IntentSigned) and event.side == "buy":
            connection.execute(_CLAIM, (chain, str(event.mint)))
    connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (_SCHEMA_VERSION,))
    connection.execute("COMMIT")
