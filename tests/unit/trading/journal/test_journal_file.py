"""The file: what was appended is there after any end of the process, and nobody else's file is touched."""

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from slotzero.clock import TestClock
from slotzero.errors import JournalError, JournalLockedError, Retry
from slotzero.trading.journal import (
    Event,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSent,
    IntentUnknown,
    Journal,
    JournalState,
    PositionStuck,
)
from slotzero.units import LamportsDelta, Slot, TokenAmount
from trading_lab import CHAIN, buy_event, key, pump_pool, sell_event, until

PROCESS = Path(__file__).resolve().parents[3] / "journal_process.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROCESS.parent)}


def landed(intent: str, delta: int = -110, tokens: int = 1_000) -> IntentLanded:
    return IntentLanded(
        intent=intent, slot=Slot(9), lamports_delta=LamportsDelta(delta), tokens_held=TokenAmount(tokens)
    )


EVENTS: list[Event] = [
    buy_event("b1"),
    IntentSent(intent="b1"),
    landed("b1"),
    sell_event("s1", position="b1"),
    IntentFailed(intent="s1", slot=Slot(2**64 - 1), reason='{"x": "\u2028é"}', lamports_delta=LamportsDelta(-5_000)),
    sell_event("s2", position="b1"),
    IntentSent(intent="s2"),
    IntentUnknown(intent="s2", reason="no answer"),
    buy_event("b2", pool=pump_pool(2, name="\x00\u202e'\"\\", symbol="\U0001d54f", quote_mint=key(4), is_mayhem=True)),
    IntentExpired(intent="b2"),
    buy_event("b3", pool=pump_pool(3, mono_cause=None)),
    landed("b3"),
    PositionStuck(intent="b3", reason="AccountFrozen"),
]


@asynccontextmanager
async def opened(path: Path, chain: str = CHAIN) -> AsyncIterator[Journal]:
    async with Journal(path, chain, clock=TestClock()) as journal:
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


# ---- what is written is read ---------------------------------------------------------------------------------------


async def test_new_file_has_no_history(tmp_path: Path) -> None:
    state = await state_in(tmp_path / "deep" / "er" / "journal")
    assert (state.intents, state.positions) == ({}, {})


async def test_events_fold_to_the_same_state_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        for event in EVENTS:
            await journal.append(event)
        before = journal.state
    after = await state_in(path)
    assert after.intents == before.intents
    assert after.positions == before.positions
    assert [intent.signed for intent in after.intents.values()] == [e for e in EVENTS if hasattr(e, "raw")]


async def test_appends_that_nobody_awaits_are_written_when_the_journal_closes(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        for number in range(1_000):
            journal.append(buy_event(f"b{number}"))
    assert list((await state_in(path)).intents) == [f"b{number}" for number in range(1_000)]


async def test_future_resolves_only_when_a_second_connection_sees_the_event(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        await journal.append(buy_event("b1"))
        assert rows(path) == [("b1", "IntentSigned")]


async def test_cancelling_who_waits_does_not_cancel_the_write(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        future = journal.append(buy_event("b1"))
        future.cancel()
    assert list((await state_in(path)).intents) == ["b1"]


async def test_event_that_does_not_fit_is_refused_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        with pytest.raises(ValueError, match="does not know"):
            journal.append(IntentSent(intent="nobody"))
        await journal.append(buy_event("b1"))
    assert rows(path) == [("b1", "IntentSigned")]


async def test_event_that_cannot_be_encoded_is_not_folded_in(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal") as journal:
        with pytest.raises(UnicodeEncodeError):
            journal.append(buy_event("b1", pool=pump_pool(name="\ud800")))
        assert journal.state.intents == {}


async def test_two_chains_in_one_file_do_not_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path, "one") as journal:
        await journal.append(buy_event("b1"))
    async with opened(path, "two") as journal:
        assert journal.state.intents == {}
        await journal.append(buy_event("b1"))
        await journal.append(landed("b1"))
    assert (await state_in(path, "one")).intents["b1"].state == "signed"
    assert (await state_in(path, "two")).intents["b1"].state == "landed"


async def test_append_after_the_end_is_a_bug_and_does_not_hang(tmp_path: Path) -> None:
    async with opened(tmp_path / "journal") as journal:
        pass
    with pytest.raises(AssertionError, match="not open"):
        journal.append(buy_event())


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


def test_second_process_is_locked_out_until_the_first_ends(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    command = [sys.executable, str(PROCESS), "hold", str(path)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(JournalLockedError):
            asyncio.run(state_in(path))
        holder.kill()
    asyncio.run(state_in(path))


async def test_lock_is_free_again_after_a_file_that_could_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"garbage" * 1_000)
    await refusal_of(path)
    path.unlink()
    await state_in(path)


async def test_cancelled_end_keeps_the_lock_until_the_last_write(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with asyncio.TaskGroup() as tasks:
        inside = asyncio.Event()

        async def use() -> None:
            async with opened(path) as journal:
                with slow_disk(path) as disk:
                    for number in range(100):
                        journal.append(buy_event(f"b{number}"))
                    inside.set()
                    disk.rollback()

        user = tasks.create_task(use())
        await inside.wait()
        user.cancel()
    assert len((await state_in(path)).intents) == 100


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


@pytest.mark.parametrize("change", ["UPDATE meta SET value = '2'", "DELETE FROM meta"])
async def test_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path, change: str) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        await journal.append(buy_event())
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    before = path.read_bytes()
    refusal = await refusal_of(path)
    assert "but this slotzero reads 1" in refusal
    assert is_one_sentence_about(refusal, path)
    assert path.read_bytes() == before


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


async def test_kill_in_the_middle_of_appends_loses_nothing_that_was_promised(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    promised = run("kills", path, 24, 7)
    assert isinstance(promised, list)
    state = await state_in(path)
    written = rows(path)
    assert len(promised) > 24
    missing = {tuple(line.split()) for line in promised} - set(written)
    assert not missing
    assert len(set(written)) == len(written)
    for intent in state.intents.values():  # each intent's events are there from the first on, without a gap
        kinds = [kind for name, kind in written if name == intent.signed.intent]
        assert kinds == ["IntentSigned", "IntentSent", "IntentUnknown", "IntentLanded"][: len(kinds)]


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


@contextmanager
def slow_disk(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold the file's write lock until rolled back: the journal's thread waits as for a disk."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    finally:
        connection.close()


async def test_slow_disk_delays_the_future_and_not_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        with slow_disk(path) as disk:
            futures = [journal.append(buy_event(f"b{number}")) for number in range(3)]
            turns = 0
            for _ in range(1_000):
                await asyncio.sleep(0)
                turns += 1
            assert not any(future.done() for future in futures)
            assert turns == 1_000
            disk.rollback()
            await asyncio.gather(*futures)


async def test_failed_write_fails_every_future_and_none_is_reported_as_never_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "journal"
    async with opened(path) as journal:
        await journal.append(buy_event("b1"))
        with sqlite3.connect(path) as vandal:
            vandal.execute("DROP TABLE events")
        vandal.close()
        futures = [journal.append(buy_event("b2")), journal.append(IntentSent(intent="b2"))]
        await until(lambda: all(future.done() for future in futures))
        for future in futures:
            assert isinstance(future.exception(), JournalError)
        journal.append(IntentSent(intent="b2"))  # nobody awaits this one
        with pytest.raises(JournalError, match="nothing more is sent"):
            await journal.append(buy_event("b3"))
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
