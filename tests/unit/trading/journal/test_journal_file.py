"""The SQLite file: nobody else reads it, nobody else's is touched, and a full disk is no half of a journal."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slotzero.clock import TestClock
from slotzero.errors import JournalError, JournalLockedError, Retry
from slotzero.trading.journal import (
    JournalState,
    SqliteJournal,
)
from trading_lab import CHAIN, buy_event, pump_pool

PROCESS = Path(__file__).resolve().parents[3] / "journal_process.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROCESS.parent)}


@asynccontextmanager
async def opened(path: Path, chain: str = CHAIN) -> AsyncIterator[SqliteJournal]:
    async with SqliteJournal(path, chain, clock=TestClock()) as journal:
        yield journal


async def state_in(path: Path, chain: str = CHAIN) -> JournalState:
    async with opened(path, chain) as journal:
        return journal.state


async def refusal_of(path: Path) -> str:
    with pytest.raises(JournalError) as caught:
        await state_in(path)
    return str(caught.value)


def is_one_sentence_about(text: str, path: Path) -> bool:
    return str(path) in text and "\n" not in text and "Traceback" not in text


def run(mode: str, path: Path, *arguments: object) -> object:
    command = [sys.executable, "-W", "error", str(PROCESS), mode, str(path), *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    return json.loads(done.stdout)


def rows(path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT json_extract(body, '$.intent'), kind FROM events ORDER BY seq").fetchall()
    connection.close()
    return found


# ---- who may read it, who may use it -------------------------------------------------------------------------------


async def test_files_and_folder_belong_to_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal"
    previous = os.umask(0)
    try:
        async with opened(path) as journal:
            await journal.append(buy_event())
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(previous)
    assert set(modes) == {"journal", "journal.lock", "journal-wal", "journal-shm"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_second_journal_in_the_same_process_is_locked_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        with pytest.raises(JournalLockedError, match="another slotzero uses the journal") as caught:
            await state_in(path)
        await journal.append(buy_event())
    assert is_one_sentence_about(str(caught.value), path)
    assert caught.value.retry is Retry.FATAL
    assert list((await state_in(path)).intents) == ["buy"]


async def test_link_to_a_journal_in_use_is_locked_out(tmp_path: Path) -> None:
    path, link = tmp_path / "journal", tmp_path / "link"
    async with opened(path):
        link.symlink_to(path)
        with pytest.raises(JournalLockedError):
            await state_in(link)
    assert not (tmp_path / "link.lock").exists()


async def test_journal_that_another_program_has_locked_is_not_said_to_be_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        await journal.append(buy_event())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    refusal = await refusal_of(path)
    other.close()
    assert "database is locked" in refusal
    assert "aside" not in refusal  # whoever does that forgets what is held
    assert is_one_sentence_about(refusal, path)
    assert list((await state_in(path)).intents) == ["buy"]


async def test_lock_is_free_again_after_a_file_that_could_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"garbage" * 1_000)
    await refusal_of(path)
    path.unlink()
    await state_in(path)


# ---- files that are no journals ------------------------------------------------------------------------------------


async def test_strangers_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "browser.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.execute("INSERT INTO bookmarks VALUES ('https://example.invalid')")
    connection.close()
    before = path.read_bytes()
    refusal = await refusal_of(path)
    assert "no slotzero journal" in refusal
    assert is_one_sentence_about(refusal, path)
    assert path.read_bytes() == before
    assert set(os.listdir(tmp_path)) == {"browser.sqlite", "browser.sqlite.lock"}  # noqa: PTH208 names, at once


async def test_garbage_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for garbage in (b"x", b"garbage" * 10_000, bytes(4_096), b"SQLite format 3\x00" + b"\xff" * 8_176):
        path.write_bytes(garbage)
        assert is_one_sentence_about(await refusal_of(path), path)
        assert path.read_bytes() == garbage


async def test_truncated_journal_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path, cut = tmp_path / "journal", tmp_path / "cut"
    async with opened(path) as journal:
        for number in range(200):
            journal.append(buy_event(f"b{number}"))
    whole = path.read_bytes()
    for length in (10, 99, 512, 4_096, len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:length])
        assert is_one_sentence_about(await refusal_of(cut), cut), length
        assert cut.read_bytes() == whole[:length]


async def test_damaged_event_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        await journal.append(buy_event())
    for body in (b"{}", b"\xff", b"[" * 100_000, b'{"kind":"intent_sent","intent":"nobody"}', 7):
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE events SET body = ?", (body,))
        connection.close()
        assert is_one_sentence_about(await refusal_of(path), path)


@pytest.mark.parametrize("change", ["UPDATE meta SET value = '3'", "DELETE FROM meta"])
async def test_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path, change: str) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        await journal.append(buy_event())
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    before = path.read_bytes()
    refusal = await refusal_of(path)
    assert "but this slotzero reads 2" in refusal
    assert is_one_sentence_about(refusal, path)
    assert path.read_bytes() == before


async def test_file_from_before_claims_were_a_table_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for chain, numbers in ((CHAIN, (1, 2)), ("another", (3,))):
        async with opened(path, chain) as journal:
            for number in numbers:
                await journal.claim(buy_event(f"b{number}", pool=pump_pool(number)))
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE claims")
        connection.execute("UPDATE meta SET value = '1'")
    connection.close()
    async with opened(path) as journal:
        assert list(journal.state.intents) == ["b1", "b2"]
    with sqlite3.connect(path) as connection:
        claims = connection.execute("SELECT chain, mint FROM claims").fetchall()
        assert connection.execute("SELECT value FROM meta").fetchall() == [("2",)]
    connection.close()
    mints = {(CHAIN, str(pump_pool(number).mint)) for number in (1, 2)}
    assert set(claims) == mints | {("another", str(pump_pool(3).mint))}


async def test_folder_in_the_journals_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.mkdir()
    assert is_one_sentence_about(await refusal_of(path), path)


async def test_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "journal"
    assert is_one_sentence_about(await refusal_of(path), path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_unwritable_folder_is_refused(open_folder: Path) -> None:
    folder = open_folder / "closed"
    folder.mkdir(mode=0o555)
    refusal = str(run("try", folder / "journal"))
    assert refusal.startswith("JournalError: ")
    assert is_one_sentence_about(refusal, folder / "journal")
    assert list(folder.iterdir()) == []


async def test_read_only_journal_is_refused_and_left_as_it_is(open_folder: Path) -> None:
    path = open_folder / "journal"
    async with opened(path) as journal:
        await journal.append(buy_event())
    before = path.read_bytes()
    path.chmod(0o444)
    path.with_name("journal.lock").chmod(0o666)
    os.chmod(open_folder, 0o777)  # noqa: PTH101,S103 anyone may write here, but not into the file
    refusal = str(run("try", path))
    assert refusal.startswith("JournalError: ")
    assert is_one_sentence_about(refusal, path)
    assert path.read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this machine has no /proc, a file system nobody can fill")
async def test_read_only_file_system_is_refused() -> None:
    for path in (Path("/proc/journal"), Path("/proc/slotzero/journal")):
        assert is_one_sentence_about(await refusal_of(path), path)


# ---- the end of a process, the end of a disk -----------------------------------------------------------------------


async def test_full_disk_is_a_journal_error_and_what_was_promised_is_there(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    report = run("full", path, 200_000)
    assert isinstance(report, dict)
    assert "cannot be written" in report["error"]
    assert "\n" not in report["error"]
    assert len(report["written"]) > 10
    state = await state_in(path)
    assert list(state.intents)[: len(report["written"])] == report["written"]


async def test_after_a_failed_write_nothing_more_is_written_even_if_the_disk_has_recovered(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    report = run("full", path, 200_000)
    assert isinstance(report, dict)
    assert "cannot be written" in report["after"]
    assert {kind for _, kind in rows(path)} == {"IntentSigned"}
    await state_in(path)  # an event without its predecessor would make it unreadable
