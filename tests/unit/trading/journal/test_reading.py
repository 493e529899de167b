"""Looking at a journal's file: whatever its name is, and without changing it."""

import sqlite3
from pathlib import Path

import pytest

from slotzero.clock import TestClock
from slotzero.errors import JournalError
from slotzero.trading.journal import SqliteJournal
from slotzero.trading.journal.reading import read_journal
from trading_lab import CHAIN, buy_event


async def written(path: Path) -> Path:
    async with SqliteJournal(path, CHAIN, clock=TestClock()) as journal:
        await journal.append(buy_event())
    return path


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


@pytest.mark.parametrize("name", ["journal", "bot#1", "bot?2", "100%25", "with space"])
async def test_journal_of_any_name_is_read_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    path = await written(tmp_path / name)
    before = path.read_bytes()
    assert list(read_journal(path)[CHAIN].intents) == ["buy"]
    assert path.read_bytes() == before
    assert all(each.startswith(name) for each in names_in(tmp_path))  # beside it only SQLite's own


@pytest.mark.parametrize("body", [b"{}", b"[" * 100_000, 7])
async def test_damaged_event_is_a_journal_error(tmp_path: Path, body: object) -> None:
    path = await written(tmp_path / "journal")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET body = ?", (body,))
    connection.close()
    with pytest.raises(JournalError, match="cannot be read as a journal"):
        read_journal(path)
