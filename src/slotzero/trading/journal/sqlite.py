"""The journal: every intent and what became of it, as an append-only log of events with a state folded from it.

Nothing is sent before its intent is on disk, so a crash at any instant leaves a signature to ask the chain about.
Start-up and crash recovery are the same code: fold the events, then settle with the chain whatever is still open.

SQLite in WAL mode with `synchronous=FULL`: a commit survives a power cut. One thread owns the connection and commits
what has queued up as one group, so a slow disk delays a send but never stops the event loop. A lock file keeps a
second process out. A file that belongs to several chains (an embedded chain is a new one at each start) keeps them
apart: events carry the chain's genesis hash, and only this chain's are folded.

What is on disk is always a prefix of what was appended: after one failed write every later one fails too, even where
the disk has recovered. An event whose predecessor is missing would make the file unreadable for the next start.
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
from types import TracebackType
from typing import Final, Self

import msgspec
from solders.pubkey import Pubkey

from slotzero.clock import Clock
from slotzero.errors import JournalError, JournalLockedError
from slotzero.trading.journal.events import Event
from slotzero.trading.journal.state import JournalState
from slotzero.units import WallNs

__all__ = ["Journal"]

_SCHEMA_VERSION: Final = "1"
_SCHEMA: Final = """
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
INSERT INTO meta VALUES ('schema', '1');
COMMIT;
"""
_MAGIC: Final = b"SQLite format 3\x00"
_MAX_GROUP: Final = 256


def _enc_hook(value: object) -> object:
    if isinstance(value, Pubkey):
        return str(value)
    raise NotImplementedError(f"the journal cannot hold a {type(value).__name__}")


def _dec_hook(kind: type, value: object) -> object:
    if kind is Pubkey and isinstance(value, str):
        return Pubkey.from_string(value)
    raise NotImplementedError(f"the journal cannot read a {kind.__name__}")


_encode = msgspec.json.Encoder(enc_hook=_enc_hook).encode
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event, dec_hook=_dec_hook)

_Job = tuple[tuple[str, int, str, bytes], asyncio.Future[None]]


class Journal:
    """One chain's journal in one SQLite file. Use it as an async context manager.

    Args:
        path: The file; it and its folder are made, readable by the owner alone.
        chain: The chain's genesis hash; events of other chains in the file are kept and left alone.
        clock: For the wall-clock time of each event.
    """

    def __init__(self, path: Path, chain: str, *, clock: Clock) -> None:
        self.path = path
        self._chain = chain
        self._clock = clock
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock_file: int | None = None
        self._failure: JournalError | None = None
        self.state = JournalState()

    async def __aenter__(self) -> Self:
        """Lock and open the file, fold this chain's events, start the writer.

        Raises:
            JournalLockedError: Another process holds it.
            JournalError: It is no journal, is damaged, or cannot be written.
        """
        try:
            self._lock()
            self._load()
        except BaseException:
            self._unlock()
            raise
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_loop, args=(loop,), name="journal", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is queued, close the file, release the lock. *Cancellation: all the same.*"""
        thread, self._thread = self._thread, None
        try:
            if thread is not None:
                self._queue.put(None)
                await asyncio.to_thread(thread.join)
        finally:
            if thread is not None:
                thread.join()  # cancelled above: the lock must not be free while the thread still writes
            self._unlock()

    def append(self, event: Event) -> asyncio.Future[None]:
        """Fold `event` in and queue it. The future resolves when it is on disk.

        Await it before doing what the event announces. *Cancellation: the event is written all the same.*

        Raises:
            JournalError: (from the future) It could not be written; nothing more may be sent.
            ValueError: It does not fit the state.
        """
        assert self._thread is not None, "the journal is not open"
        wall_ns = self._clock.wall_ns()
        body = _encode(event)  # first: what cannot be encoded must not be folded in
        self.state.apply(event, wall_ns)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put(((self._chain, wall_ns, type(event).__name__, body), written))
        return written

    # ---- opening -----------------------------------------------------------------------------------------------

    def _lock(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock_path = self.path.with_name(self.path.name + ".lock")
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
            with open(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as file:
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
                for wall_ns, event in self._read(connection):
                    self.state.apply(event, wall_ns)
            finally:
                connection.close()
        except (sqlite3.Error, ValueError, TypeError, RecursionError) as error:
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
        (version,) = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone() or ("none",)
        if version != _SCHEMA_VERSION:
            raise JournalError(
                f"the journal {self.path} has schema {version}, but this slotzero reads {_SCHEMA_VERSION}; "
                "name another with [journal] path"
            )
        return False

    def _read(self, connection: sqlite3.Connection) -> Iterator[tuple[WallNs, Event]]:
        rows = connection.execute("SELECT wall_ns, body FROM events WHERE chain = ? ORDER BY seq", (self._chain,))
        for wall_ns, body in rows:
            yield WallNs(wall_ns), _decoder.decode(body)

    # ---- writing (in its own thread) ---------------------------------------------------------------------------

    def _write_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        connection: sqlite3.Connection | None = None
        is_open = True
        while is_open:
            jobs: list[_Job] = []
            job = self._queue.get()
            while True:
                if job is None:
                    is_open = False
                    break
                jobs.append(job)
                if len(jobs) >= _MAX_GROUP or self._queue.empty():
                    break
                job = self._queue.get()
            if jobs and self._failure is None:
                try:
                    connection = connection or self._open_for_writing()
                    connection.execute("BEGIN")
                    connection.executemany(
                        "INSERT INTO events (chain, wall_ns, kind, body) VALUES (?, ?, ?, ?)", [row for row, _ in jobs]
                    )
                    connection.execute("COMMIT")
                except Exception as error:  # noqa: BLE001 the thread's edge: whoever awaits a write must hear of its end
                    self._failure = JournalError(
                        f"the journal {self.path} cannot be written ({error}); nothing more is sent"
                    )
            with contextlib.suppress(RuntimeError):  # the loop was closed without leaving our context: nobody waits
                loop.call_soon_threadsafe(_resolve, [written for _, written in jobs], self._failure)
        if connection is not None:
            connection.close()


def _resolve(written: list[asyncio.Future[None]], failure: JournalError | None) -> None:
    for future in written:
        if future.done():
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
            future.exception()  # looked at here: the next write that is awaited fails as well
