"""The journal in a PostgreSQL database, for several bots at once.

One connection, one writer: what has queued up goes out as one statement, which is one transaction and one round trip,
with `synchronous_commit` on. A lost connection ends the journal for good: it is not made again, because the lock went
with it and another process may have taken the bot's place.

The tables, in the schema `slotzero`:

* `journals` gives each (chain, bot) a number, which is also its advisory lock: one process has it, until its session
  ends. PgBouncer must pool sessions, not transactions.
* `events` has the primary key (journal, seq), which is the order of the fold. The writer numbers its events itself, so
  a second writer that got past the lock would break on the key and not mingle with the first.
* `claims` has the primary key (chain, mint). `INSERT ... ON CONFLICT DO NOTHING` waits for a rival's commit and then
  tells who was first, so no pool has two claims whatever the timing; a group claims in the order of mints, so two
  groups never wait for each other. The intent is inserted by the same statement, and only where its claim was.

Bodies are `bytea`: a coin's name may hold a NUL, which `jsonb` refuses, and a stranger must not be able to stop the
journal with a name.
"""

import asyncio
import contextlib
from collections import deque
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from slotzero.clock import Clock
from slotzero.errors import JournalError, JournalLockedError
from slotzero.secret import Secret
from slotzero.trading.journal.codec import decode_event
from slotzero.trading.journal.journal import AlreadyClaimed, Claimed, Entry, Journal, Written
from slotzero.units import WallNs

__all__ = ["HOLDERS_QUERY", "INSERT_AND_CLAIM_QUERY", "INSERT_QUERY", "PAGE_QUERY", "PostgresJournal"]

_SCHEMA_VERSION: Final = "1"
_SCHEMA: Final = """
CREATE SCHEMA IF NOT EXISTS slotzero;
CREATE TABLE slotzero.meta (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE slotzero.journals (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain text NOT NULL,
    bot text NOT NULL,
    UNIQUE (chain, bot)
);
CREATE TABLE slotzero.events (
    journal integer NOT NULL REFERENCES slotzero.journals,
    seq bigint NOT NULL,
    wall_ns bigint NOT NULL,
    kind text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (journal, seq)
);
CREATE TABLE slotzero.claims (
    chain text NOT NULL,
    mint text NOT NULL,
    journal integer NOT NULL REFERENCES slotzero.journals,
    intent text NOT NULL,
    PRIMARY KEY (chain, mint)
);
INSERT INTO slotzero.meta VALUES ('schema', '1');
"""
INSERT_QUERY: Final = """
INSERT INTO slotzero.events (journal, seq, wall_ns, kind, body)
SELECT %(journal)s, * FROM unnest(%(seqs)b::bigint[], %(walls)b::bigint[], %(kinds)b::text[], %(bodies)b::bytea[])
"""
INSERT_AND_CLAIM_QUERY: Final = """
WITH entry AS (
    SELECT *
    FROM unnest(
        %(seqs)b::bigint[], %(walls)b::bigint[], %(kinds)b::text[], %(bodies)b::bytea[],
        %(mints)b::text[], %(intents)b::text[]
    ) AS e (seq, wall_ns, kind, body, mint, intent)
), claimed AS (
    INSERT INTO slotzero.claims (chain, mint, journal, intent)
    SELECT %(chain)s, mint, %(journal)s, intent FROM entry WHERE mint IS NOT NULL ORDER BY mint
    ON CONFLICT DO NOTHING
    RETURNING mint
)
INSERT INTO slotzero.events (journal, seq, wall_ns, kind, body)
SELECT %(journal)s, seq, wall_ns, kind, body FROM entry
WHERE mint IS NULL OR mint IN (SELECT mint FROM claimed)
RETURNING seq
"""
HOLDERS_QUERY: Final = """
SELECT mint, bot FROM slotzero.claims JOIN slotzero.journals ON journals.id = claims.journal
WHERE claims.chain = %(chain)s AND mint = ANY(%(mints)s)
"""
PAGE_QUERY: Final = """
SELECT seq, wall_ns, body FROM slotzero.events
WHERE journal = %(journal)b AND seq > %(after)b ORDER BY seq LIMIT %(rows)b
"""
_PAGE_ROWS: Final = 5_000
_Conninfo = dict[str, str | int | None]
_MAX_GROUP: Final = 256
_WITHIN_S: Final = 10
"""How long a write may take. A journal that cannot be written is no reason to wait with money at stake."""
_LOCK_WITHIN_MS: Final = 3_000
"""A killed process' session ends when the server has seen its socket close, after the commit it was at."""
_LOCK_CLASS: Final = 0x510720
_CONNECTION: Final = {
    "application_name": "slotzero",
    "connect_timeout": "5",
    # A peer that has vanished (no reset, no answer) is noticed within the time a write may take.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""What a URL that does not say otherwise gets."""
_SESSION: Final = f"""
SET synchronous_commit = on;
SET statement_timeout = '{_WITHIN_S}s';
SET tcp_keepalives_idle = 5;
SET tcp_keepalives_interval = 2;
SET tcp_keepalives_count = 3;
"""
"""The last three are the server's side: the lock of a bot whose machine has vanished is free after eleven seconds."""


class PostgresJournal(Journal):
    """One bot's journal on one chain in a PostgreSQL database.

    Args:
        url: `postgresql://user@host:port/database`, or with `?host=/folder` for a local socket.
        chain: The chain's genesis hash; other chains' events in the database are left alone.
        bot: This bot's name among those that share the database.
        password: For the server; None = libpq looks for one, in PGPASSFILE and ~/.pgpass.
        clock: For the wall-clock time of each event.
    """

    def __init__(self, url: str, chain: str, *, bot: str, password: Secret[str] | None = None, clock: Clock) -> None:
        try:
            self._conninfo: Secret[_Conninfo] = Secret(conninfo_to_dict(url))
        except psycopg.Error:  # its text holds the whole address
            raise JournalError("[journal] url is no address of a PostgreSQL database") from None
        super().__init__(chain, bot=bot, location=_location(self._conninfo, bot), clock=clock)
        self._password = password
        self._connection: AsyncConnection | None = None
        self.number = self._seq = 0  # of the journal, and of the newest event
        self._entries: deque[Entry] = deque()
        self._woken = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._writer: asyncio.Task[None] | None = None
        self._failure: JournalError | None = None

    # ---- opening -----------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        try:
            connection = await self._connect()
        except (psycopg.Error, OSError) as error:
            raise JournalError(
                f"the journal {self.location} cannot be reached ({_line(error)}); "
                "start its server, or mend [journal] url"
            ) from error
        try:
            await self._take(connection)
            await self._load(connection)
        except BaseException as error:
            await _disconnect(connection)
            if isinstance(error, psycopg.errors.LockNotAvailable):
                raise JournalLockedError(
                    f"another slotzero uses the journal {self.location}; stop it, or name this one with [journal] bot"
                ) from None
            if isinstance(error, psycopg.Error | ValueError | TypeError | RecursionError):
                raise JournalError(
                    f"the journal {self.location} cannot be read ({_line(error)}); name another with [journal] url"
                ) from error
            raise
        self._connection = connection
        await self._tasks.__aenter__()
        self._writer = self._tasks.create_task(self._write_loop(connection), name="journal")

    async def _connect(self) -> AsyncConnection:
        wanted: _Conninfo = {**_CONNECTION, **self._conninfo.reveal()}
        if self._password is not None:
            wanted["password"] = self._password.reveal()
        return await AsyncConnection.connect(make_conninfo("", **wanted), autocommit=True, prepare_threshold=0)

    async def _take(self, connection: AsyncConnection) -> None:
        """Make the tables where there are none, and lock this bot's journal."""
        await connection.execute(_SESSION, prepare=False)
        async with connection.transaction():
            # Two bots that start together would both find no tables.
            await connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (_LOCK_CLASS,))
            found = await connection.execute("SELECT to_regclass('slotzero.meta'), to_regclass('slotzero.events')")
            meta, events = await found.fetchone() or (None, None)
            if meta is None and events is None:
                await connection.execute(_SCHEMA, prepare=False)
            elif meta is None or events is None:
                raise JournalError(f"{self.location} has a schema `slotzero` that is not ours; name another database")
            else:
                await self._check_version(connection)
            await connection.execute(
                "INSERT INTO slotzero.journals (chain, bot) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (self._chain, self.bot),
            )
        found = await connection.execute(
            "SELECT id FROM slotzero.journals WHERE chain = %s AND bot = %s", (self._chain, self.bot)
        )
        ((self.number,),) = await found.fetchall()
        await connection.execute(f"SET lock_timeout = {_LOCK_WITHIN_MS}")
        await connection.execute("SELECT pg_advisory_lock(%s, %s)", (_LOCK_CLASS, self.number))
        await connection.execute("SET lock_timeout = 0")

    async def _check_version(self, connection: AsyncConnection) -> None:
        found = await connection.execute("SELECT value FROM slotzero.meta WHERE key = 'schema'")
        (version,) = await found.fetchone() or ("none",)
        if version != _SCHEMA_VERSION:
            raise JournalError(
                f"the journal {self.location} has schema {version}, but this slotzero reads {_SCHEMA_VERSION}; "
                "name another with [journal] url"
            )

    async def _load(self, connection: AsyncConnection) -> None:
        while True:
            page = {"journal": self.number, "after": self._seq, "rows": _PAGE_ROWS}
            async with connection.cursor(binary=True) as cursor:
                rows = await (await cursor.execute(PAGE_QUERY, page)).fetchall()
            for seq, wall_ns, body in rows:
                self._fold(decode_event(body), WallNs(wall_ns))
                self._seq = seq
            if len(rows) < _PAGE_ROWS:
                return

    # ---- the end -----------------------------------------------------------------------------------------------

    async def _close(self) -> None:
        writer, connection = self._writer, self._connection
        assert writer is not None
        assert connection is not None
        self._writer = self._connection = None
        self._woken.set()
        was_cancelled = False
        while not writer.done():
            try:
                # Unlike awaiting it, this does not cancel the writer with us. It ends: a write has a time limit.
                await asyncio.wait([writer])
            except asyncio.CancelledError:
                was_cancelled = True
        await _disconnect(connection)
        await self._tasks.__aexit__(None, None, None)
        if was_cancelled:
            raise asyncio.CancelledError

    # ---- writing -----------------------------------------------------------------------------------------------

    def _enqueue(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._woken.set()

    async def _write_loop(self, connection: AsyncConnection) -> None:
        while self._entries or self._writer is not None:
            if not self._entries:
                self._woken.clear()
                await self._woken.wait()
                continue
            group = [self._entries.popleft() for _ in range(min(len(self._entries), _MAX_GROUP))]
            lost: dict[str, str] = {}
            if self._failure is None:
                try:
                    async with asyncio.timeout(_WITHIN_S):
                        lost = await self._write(connection, group)
                except TimeoutError:
                    self._failure = self._broken(f"no answer within {_WITHIN_S} s")
                except (psycopg.Error, OSError) as error:
                    self._failure = self._broken(_line(error))
            for entry in group:
                entry.settle(self._failure or _outcome(entry, lost))
            if self._failure is not None:
                await _disconnect(connection)

    async def _write(self, connection: AsyncConnection, group: list[Entry]) -> dict[str, str]:
        """Write a group down in one transaction. Returns the mints that were claimed before, and by whom."""
        first = self._seq + 1
        self._seq += len(group)
        values: dict[str, object] = {
            "journal": self.number,
            "seqs": list(range(first, first + len(group))),
            "walls": [entry.wall_ns for entry in group],
            "kinds": [entry.kind for entry in group],
            "bodies": [entry.body for entry in group],
        }
        if all(entry.claims is None for entry in group):
            await connection.execute(INSERT_QUERY, values)
            return {}
        values["chain"] = self._chain
        values["mints"] = [entry.claims and str(entry.claims.mint) for entry in group]
        values["intents"] = [entry.claims and entry.claims.intent for entry in group]
        found = await connection.execute(INSERT_AND_CLAIM_QUERY, values)
        written = {seq for (seq,) in await found.fetchall()}
        lost = [str(e.claims.mint) for seq, e in enumerate(group, first) if e.claims and seq not in written]
        if not lost:
            return {}
        found = await connection.execute(HOLDERS_QUERY, {"chain": self._chain, "mints": lost})
        holders: dict[str, str] = dict(await found.fetchall())
        return {mint: holders.get(mint, "nobody the database remembers") for mint in lost}

    def _broken(self, reason: str) -> JournalError:
        return JournalError(f"the journal {self.location} cannot be written ({reason}); nothing more is sent")


def _outcome(entry: Entry, lost: dict[str, str]) -> Written | Claimed | AlreadyClaimed:
    if entry.claims is None:
        return Written()
    holder = lost.get(str(entry.claims.mint))
    return Claimed() if holder is None else AlreadyClaimed(by=holder)


async def _disconnect(connection: AsyncConnection) -> None:
    with contextlib.suppress(psycopg.Error, OSError):
        await connection.close()


def _location(conninfo: Secret[_Conninfo], bot: str) -> str:
    parts = conninfo.reveal()
    host, port, database = parts.get("host", ""), parts.get("port"), parts.get("dbname", "")
    server = f"{host}:{port}" if port else host
    return f"postgresql://{server}/{database}, bot {bot}"


def _line(error: BaseException) -> str:
    """Return what a server or libpq says on one line; libpq never puts a password there."""
    return " ".join(str(error).split())
