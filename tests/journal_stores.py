"""The two stores of the journal as the conformance suite drives them: from inside, and as a stranger would."""

import abc
import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from slotzero.clock import TestClock
from slotzero.trading.journal import Journal, SqliteJournal
from slotzero.trading.journal.postgres import PostgresJournal
from trading_lab import CHAIN

__all__ = ["PostgresStore", "SqliteStore", "Store", "journal_at"]


def journal_at(location: str, *, chain: str = CHAIN, bot: str = "main") -> Journal:
    """The journal in the file, or at the URL."""
    if location.startswith("postgresql://"):
        return PostgresJournal(location, chain, bot=bot, clock=TestClock())
    return SqliteJournal(Path(location), chain, clock=TestClock())


class Store(abc.ABC):
    """Where one bot's journal is, and what can be done to it from outside."""

    def __init__(self, location: str) -> None:
        self.location = location

    def journal(self, chain: str = CHAIN) -> Journal:
        return journal_at(self.location, chain=chain)

    @abc.abstractmethod
    def rows(self) -> list[tuple[str, str]]:
        """What a second connection sees: each event's intent and kind, in order."""

    @abc.abstractmethod
    def execute(self, statement: str, *values: object) -> None:
        """Do as a vandal does, with `{events}` and `{meta}` for the tables' names and `?` for values."""

    @abc.abstractmethod
    def stalled(self) -> "contextlib.AbstractContextManager[None]":
        """Make every write wait, as for a slow disk."""


class SqliteStore(Store):
    def rows(self) -> list[tuple[str, str]]:
        with contextlib.closing(sqlite3.connect(self.location)) as connection:
            query = "SELECT json_extract(body, '$.intent'), kind FROM events ORDER BY seq"
            return connection.execute(query).fetchall()

    def execute(self, statement: str, *values: object) -> None:
        with contextlib.closing(sqlite3.connect(self.location, isolation_level=None)) as connection:
            connection.execute(statement.format(events="events", meta="meta"), values)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        connection = sqlite3.connect(self.location, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.close()


class PostgresStore(Store):
    def rows(self) -> list[tuple[str, str]]:
        with psycopg.connect(self.location) as connection:
            query = (
                "SELECT convert_from(body, 'UTF8')::json->>'intent', kind FROM slotzero.events ORDER BY journal, seq"
            )
            return connection.execute(query).fetchall()

    def execute(self, statement: str, *values: object) -> None:
        text = statement.format(events="slotzero.events", meta="slotzero.meta").replace("?", "%s")
        with psycopg.connect(self.location, autocommit=True) as connection:
            connection.execute(text.encode(), values)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        with psycopg.connect(self.location) as connection:
            connection.execute("LOCK TABLE slotzero.events IN SHARE MODE")
            yield
            connection.rollback()
