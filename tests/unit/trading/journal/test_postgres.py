"""PostgreSQL: several bots on one database, what is lost with a connection, and what is never said aloud."""

import asyncio
import json
import os
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from postgres_lab import GUARDED
from slotzero.clock import TestClock
from slotzero.config import JournalSettings
from slotzero.errors import JournalError, JournalLockedError, UsageError
from slotzero.trading.journal import (
    AlreadyClaimed,
    Claimed,
    IntentAbandoned,
    IntentSent,
    SqliteJournal,
    open_journal,
    postgres,
)
from slotzero.trading.journal.postgres import PostgresJournal
from trading_lab import CHAIN, buy_event, pump_pool

PROCESS = Path(__file__).resolve().parents[3] / "journal_process.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROCESS.parent)}


@asynccontextmanager
async def bot(url: str, name: str = "main", chain: str = CHAIN) -> AsyncIterator[PostgresJournal]:
    async with PostgresJournal(url, chain, bot=name, clock=TestClock()) as journal:
        yield journal


async def refusal_of(journal: PostgresJournal) -> JournalError:
    with pytest.raises(JournalError) as caught:
        async with journal:
            pass
    assert "\n" not in str(caught.value)
    return caught.value


def query(url: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def backends(url: str) -> str:
    return f"FROM pg_stat_activity WHERE application_name = 'slotzero' AND datname = '{database(url)}'"


def database(url: str) -> str:
    return url.rpartition("/test_")[1][1:] + url.rpartition("/test_")[2].partition("?")[0]


# ---- several bots --------------------------------------------------------------------------------------------------


async def test_mint_that_another_bot_has_claimed_is_its_own_for_good(postgres_url: str) -> None:
    async with bot(postgres_url, "a") as a, bot(postgres_url, "b") as b:
        assert await a.claim(buy_event("a1")) == Claimed()
        await a.append(IntentAbandoned(intent="a1", reason="honeypot"))
        assert await b.claim(buy_event("b1")) == AlreadyClaimed(by="a")
        assert b.state.intents == {}
        assert await b.claim(buy_event("b2", pool=pump_pool(2))) == Claimed()
    async with bot(postgres_url, "b") as b:
        assert list(b.state.intents) == ["b2"]
        assert await b.claim(buy_event("b3")) == AlreadyClaimed(by="a")
    assert query(postgres_url, "SELECT intent FROM slotzero.claims ORDER BY intent") == [("a1",), ("b2",)]


async def test_lost_claim_in_a_group_takes_nothing_else_with_it(postgres_url: str) -> None:
    async with bot(postgres_url, "a") as a, bot(postgres_url, "b") as b:
        await a.claim(buy_event("a2", pool=pump_pool(2)))
        await b.append(buy_event("b0", pool=pump_pool(9)))
        claims = [b.claim(buy_event(f"b{number}", pool=pump_pool(number))) for number in (1, 2, 3)]
        await b.append(IntentSent(intent="b0"))
        assert await asyncio.gather(*claims) == [Claimed(), AlreadyClaimed(by="a"), Claimed()]
        assert b.state.intents["b0"].state == "sent"
    async with bot(postgres_url, "b") as b:
        assert list(b.state.intents) == ["b0", "b1", "b3"]


async def test_two_bots_that_claim_in_opposite_orders_do_not_stop_each_other(postgres_url: str) -> None:
    async with bot(postgres_url, "a") as a, bot(postgres_url, "b") as b:
        for first in range(1, 2_000, 100):
            numbers = range(first, first + 100)
            mine = [a.claim(buy_event(f"a{n}", pool=pump_pool(n))) for n in numbers]
            theirs = [b.claim(buy_event(f"b{n}", pool=pump_pool(n))) for n in reversed(numbers)]
            got = [await asyncio.gather(*mine), list(reversed(await asyncio.gather(*theirs)))]
            assert all((x == Claimed()) != (y == Claimed()) for x, y in zip(*got, strict=True))


def test_processes_that_race_for_the_same_mints_share_them_out(postgres_url: str) -> None:
    bots = [("a", 1, 1), ("b", 300, -1), ("c", 1, 1), ("d", 300, -1)]
    started = []
    for name, first, step in bots:
        command = [sys.executable, str(PROCESS), "race", postgres_url, name, str(first), "300", str(step)]
        started.append(subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
    got = []
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in started:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        got += json.loads(out)
    assert sorted(got) == list(range(1, 301))


async def test_bots_that_start_together_on_an_empty_database_find_one_set_of_tables(postgres_url: str) -> None:
    async def start(name: str) -> None:
        async with bot(postgres_url, name) as journal:
            await journal.append(buy_event(name))

    await asyncio.gather(*(start(f"bot{number}") for number in range(8)))
    assert query(postgres_url, "SELECT count(*) FROM slotzero.events") == [(8,)]


async def test_bot_of_another_chain_has_its_own_lock_and_claims(postgres_url: str) -> None:
    async with bot(postgres_url, chain="one") as one, bot(postgres_url, chain="two") as two:
        assert await one.claim(buy_event()) == Claimed()
        assert await two.claim(buy_event()) == Claimed()


# ---- the connection ------------------------------------------------------------------------------------------------


async def test_lost_connection_ends_the_journal_for_good(postgres_url: str) -> None:
    async with bot(postgres_url) as journal:
        await journal.append(buy_event("b1"))
        query(postgres_url, f"SELECT pg_terminate_backend(pid) {backends(postgres_url)}")
        claim = journal.claim(buy_event("b2", pool=pump_pool(2)))
        with pytest.raises(JournalError, match="nothing more is sent") as caught:
            await claim
        assert "\n" not in str(caught.value)
        with pytest.raises(JournalError, match="nothing more is sent"):
            await journal.append(IntentSent(intent="b1"))
        async with bot(postgres_url) as successor:  # the lock went with the connection
            await successor.append(IntentSent(intent="b1"))
        assert "b2" not in journal.state.intents


async def test_write_that_is_not_answered_in_time_is_a_failed_one(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bot(postgres_url) as journal:
        await journal.append(buy_event("b1"))
        monkeypatch.setattr(postgres, "_WITHIN_S", 0.2)
        with psycopg.connect(postgres_url) as other:
            other.execute("LOCK TABLE slotzero.events IN SHARE MODE")
            with pytest.raises(JournalError, match=r"no answer within 0\.2 s"):
                await journal.append(IntentSent(intent="b1"))
    async with bot(postgres_url) as journal:
        assert journal.state.intents["b1"].state == "signed"


async def test_writer_that_got_past_the_lock_breaks_on_the_first_ones_numbers(postgres_url: str) -> None:
    """As after a failover to a copy that knows nothing of locks."""
    async with bot(postgres_url) as first:
        await first.append(buy_event("b1"))
        query(
            postgres_url,
            "INSERT INTO slotzero.events SELECT journal, seq + 1, wall_ns, kind, body FROM slotzero.events",
        )
        with pytest.raises(JournalError, match="duplicate key"):
            await first.append(IntentSent(intent="b1"))


async def test_commit_waits_for_the_disk_even_where_the_server_would_not(postgres_url: str) -> None:
    name = database(postgres_url)
    query(postgres_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    async with bot(postgres_url) as journal:
        assert journal._connection is not None
        cursor = await journal._connection.execute("SHOW synchronous_commit")
        assert await cursor.fetchone() == ("on",)


async def test_server_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    error = await refusal_of(PostgresJournal(f"postgresql://u@/d?host={tmp_path}", CHAIN, bot="m", clock=TestClock()))
    assert "cannot be reached" in str(error)
    error = await refusal_of(PostgresJournal("postgresql://u@127.0.0.1:1/d", CHAIN, bot="m", clock=TestClock()))
    assert "postgresql://127.0.0.1:1/d, bot m" in str(error)


async def test_database_that_cannot_be_written_is_refused(postgres_url: str) -> None:
    query(postgres_url, f"ALTER DATABASE {database(postgres_url)} SET default_transaction_read_only = on")
    error = await refusal_of(PostgresJournal(postgres_url, CHAIN, bot="m", clock=TestClock()))
    assert "read-only transaction" in str(error)


async def test_strangers_tables_are_refused_and_left_as_they_are(postgres_url: str) -> None:
    query(postgres_url, "CREATE SCHEMA slotzero")
    query(postgres_url, "CREATE TABLE slotzero.events (sold_out boolean)")
    error = await refusal_of(PostgresJournal(postgres_url, CHAIN, bot="m", clock=TestClock()))
    assert "not ours" in str(error)
    assert query(postgres_url, "SELECT * FROM slotzero.events") == []


# ---- what is never said aloud --------------------------------------------------------------------------------------


def guarded(url: str) -> str:
    return url.replace("//slotzero@", f"//{GUARDED}@")


def settings_of(url: str, tmp_path: Path, password: str) -> JournalSettings:
    file = tmp_path / "password"
    file.write_text(password + "\n")
    file.chmod(0o600)
    return JournalSettings(url=guarded(url), password_file=str(file), bot="b")


async def test_password_comes_from_its_file(postgres_url: str, tmp_path: Path) -> None:
    settings = settings_of(postgres_url, tmp_path, "correct horse")
    async with open_journal(settings, CHAIN, default=tmp_path / "j", clock=TestClock()) as journal:
        assert await journal.claim(buy_event()) == Claimed()
        assert journal.bot == "b"


async def test_password_is_in_no_error_and_no_traceback(postgres_url: str, tmp_path: Path) -> None:
    settings = settings_of(postgres_url, tmp_path, "hunter2")
    journal = open_journal(settings, CHAIN, default=tmp_path / "j", clock=TestClock())
    assert isinstance(journal, PostgresJournal)
    error = await refusal_of(journal)
    assert "password authentication failed" in str(error)
    assert "hunter2" not in "".join(traceback.format_exception(error)) + repr(vars(journal))


def test_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    settings = settings_of("postgresql://slotzero@/d?host=/tmp", tmp_path, "hunter2")
    (tmp_path / "password").chmod(0o644)
    with pytest.raises(UsageError, match="is open to other users"):
        open_journal(settings, CHAIN, default=tmp_path / "j", clock=TestClock())


def test_url_that_is_none_is_not_repeated() -> None:
    url = "postgresql://u:" + "hunter" + "2@[/d"  # in pieces: a traceback shows this line, too
    with pytest.raises(JournalError) as caught:
        PostgresJournal(url, CHAIN, bot="m", clock=TestClock())
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


# ---- which store ---------------------------------------------------------------------------------------------------


def test_path_or_nothing_is_a_file(tmp_path: Path) -> None:
    named = open_journal(JournalSettings(path=str(tmp_path / "a")), CHAIN, default=tmp_path / "b", clock=TestClock())
    default = open_journal(JournalSettings(), CHAIN, default=tmp_path / "b", clock=TestClock())
    assert isinstance(named, SqliteJournal)
    assert isinstance(default, SqliteJournal)
    assert (named.path, default.path) == (tmp_path / "a", tmp_path / "b")


def test_url_without_the_driver_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "slotzero.trading.journal.postgres")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    settings = JournalSettings(url="postgresql://db.invalid/d")
    with pytest.raises(UsageError, match=r"`\.venv/bin/python -m pip install -e '\.\[postgres\]'`$"):
        open_journal(settings, CHAIN, default=tmp_path / "j", clock=TestClock())


async def test_locked_journal_says_how_to_name_another(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_LOCK_WITHIN_MS", 100)
    async with bot(postgres_url):
        error = await refusal_of(PostgresJournal(postgres_url, CHAIN, bot="main", clock=TestClock()))
    assert isinstance(error, JournalLockedError)
    assert "[journal] bot" in str(error)
