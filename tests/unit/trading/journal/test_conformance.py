"""What a journal promises, whichever store keeps it: each test here runs on SQLite and on PostgreSQL."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from journal_stores import PostgresStore, SqliteStore, Store
from slotzero.errors import JournalError, JournalLockedError, Retry
from slotzero.trading.journal import (
    AlreadyClaimed,
    Claimed,
    Event,
    ExternalTransfer,
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSent,
    IntentUnknown,
    Journal,
    JournalState,
    PositionStuck,
    postgres,
)
from slotzero.trading.journal import journal as journal_module
from slotzero.units import LamportsDelta, Slot, TokenAmount
from trading_lab import CHAIN, buy_event, key, pump_pool, sell_event, until

PROCESS = Path(__file__).resolve().parents[3] / "journal_process.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PROCESS.parent)}


def landed(intent: str, delta: int = -110, tokens: int = 1_000) -> IntentLanded:
    return IntentLanded(
        intent=intent, slot=Slot(9), lamports_delta=LamportsDelta(delta), tokens_held=TokenAmount(tokens)
    )


EVENTS: list[Event] = [
    ExternalTransfer(wallet=key(1), lamports_delta=LamportsDelta(10**18), reason="funding"),
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
    buy_event("b4", pool=pump_pool(4)),
    IntentAbandoned(intent="b4", reason="honeypot"),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(postgres, "_LOCK_WITHIN_MS", 300)
    if request.param == "sqlite":
        return SqliteStore(str(tmp_path / "journal"))
    return PostgresStore(request.getfixturevalue("postgres_url"))


@asynccontextmanager
async def opened(store: Store, chain: str = CHAIN) -> AsyncIterator[Journal]:
    async with store.journal(chain) as journal:
        yield journal


async def state_in(store: Store, chain: str = CHAIN) -> JournalState:
    async with opened(store, chain) as journal:
        return journal.state


async def refusal_of(store: Store) -> str:
    with pytest.raises(JournalError) as caught:
        await state_in(store)
    assert "\n" not in str(caught.value)
    assert caught.value.retry is Retry.FATAL
    return str(caught.value)


def run(mode: str, store: Store, *arguments: object) -> object:
    command = [sys.executable, "-W", "error", str(PROCESS), mode, store.location, *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False, timeout=60)
    assert (done.stderr, done.returncode) == (b"", 0)
    return json.loads(done.stdout)


# ---- what is written is read ---------------------------------------------------------------------------------------


async def test_new_store_has_no_history(store: Store) -> None:
    state = await state_in(store)
    assert (state.intents, state.positions, state.expected_lamports) == ({}, {}, 0)


async def test_events_fold_to_the_same_state_after_reopening(store: Store) -> None:
    async with opened(store) as journal:
        for event in EVENTS:
            await journal.append(event)
        before = journal.state
    after = await state_in(store)
    assert after.intents == before.intents
    assert after.positions == before.positions
    assert after.expected_lamports == before.expected_lamports
    assert [intent.signed for intent in after.intents.values()] == [e for e in EVENTS if hasattr(e, "raw")]


async def test_appends_that_nobody_awaits_are_written_when_the_journal_closes(store: Store) -> None:
    async with opened(store) as journal:
        for number in range(1_000):
            journal.append(buy_event(f"b{number}"))
    assert list((await state_in(store)).intents) == [f"b{number}" for number in range(1_000)]


async def test_more_events_than_a_page_are_read_again(store: Store) -> None:
    async with opened(store) as journal:
        transfer = ExternalTransfer(wallet=key(1), lamports_delta=LamportsDelta(1), reason="")
        for _ in range(10_001):
            journal.append(transfer)
    assert (await state_in(store)).external_lamports == 10_001


async def test_future_resolves_only_when_a_second_connection_sees_the_event(store: Store) -> None:
    async with opened(store) as journal:
        await journal.append(buy_event("b1"))
        assert store.rows() == [("b1", "IntentSigned")]


async def test_cancelling_who_waits_does_not_cancel_the_write(store: Store) -> None:
    async with opened(store) as journal:
        journal.append(buy_event("b1")).cancel()
    assert list((await state_in(store)).intents) == ["b1"]


async def test_event_that_does_not_fit_is_refused_and_not_written(store: Store) -> None:
    async with opened(store) as journal:
        with pytest.raises(ValueError, match="does not know"):
            journal.append(IntentSent(intent="nobody"))
        await journal.append(buy_event("b1"))
    assert store.rows() == [("b1", "IntentSigned")]


async def test_event_that_cannot_be_encoded_is_not_folded_in(store: Store) -> None:
    async with opened(store) as journal:
        with pytest.raises(UnicodeEncodeError):
            journal.append(buy_event("b1", pool=pump_pool(name="\ud800")))
        with pytest.raises(UnicodeEncodeError):
            journal.claim(buy_event("b1", pool=pump_pool(name="\ud800")))
        assert journal.state.intents == {}
        assert await journal.claim(buy_event("b1")) == Claimed()


async def test_two_chains_in_one_store_do_not_see_each_other(store: Store) -> None:
    async with opened(store, "one") as journal:
        assert await journal.claim(buy_event("b1")) == Claimed()
    async with opened(store, "two") as journal:
        assert journal.state.intents == {}
        assert await journal.claim(buy_event("b1")) == Claimed()
        await journal.append(landed("b1"))
    assert (await state_in(store, "one")).intents["b1"].state == "signed"
    assert (await state_in(store, "two")).intents["b1"].state == "landed"


async def test_append_after_the_end_is_a_bug_and_does_not_hang(store: Store) -> None:
    async with opened(store) as journal:
        pass
    with pytest.raises(AssertionError, match="not open"):
        journal.append(buy_event())
    with pytest.raises(AssertionError, match="not open"):
        journal.claim(buy_event())


# ---- claims --------------------------------------------------------------------------------------------------------


async def test_claim_is_on_disk_with_its_intent_when_it_resolves(store: Store) -> None:
    async with opened(store) as journal:
        claim = journal.claim(buy_event("b1"))
        assert journal.state.intents == {}, "nobody may count on it before it is on disk"
        assert await claim == Claimed()
        assert store.rows() == [("b1", "IntentSigned")]
        assert journal.state.intents["b1"].state == "signed"
        await journal.append(IntentSent(intent="b1"))
    assert (await state_in(store)).intents["b1"].state == "sent"


async def test_mint_is_claimed_once_whatever_became_of_the_buy(store: Store) -> None:
    async with opened(store) as journal:
        await journal.claim(buy_event("b1"))
        await journal.append(IntentAbandoned(intent="b1", reason="r"))
        assert await journal.claim(buy_event("b2")) == AlreadyClaimed(by="main")
        assert list(journal.state.intents) == ["b1"]
        assert await journal.claim(buy_event("b3", pool=pump_pool(3))) == Claimed()
    async with opened(store) as journal:
        assert await journal.claim(buy_event("b4")) == AlreadyClaimed(by="main")
    assert [intent for intent, _ in store.rows()] == ["b1", "b1", "b3"]


async def test_buy_that_was_appended_without_a_claim_still_counts(store: Store) -> None:
    async with opened(store) as journal:
        await journal.append(buy_event("b1"))
        assert await journal.claim(buy_event("b2")) == AlreadyClaimed(by="main")
    async with opened(store) as journal:
        assert await journal.claim(buy_event("b2")) == AlreadyClaimed(by="main")


async def test_claim_is_known_longer_than_memory_remembers_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "KEPT_MINTS", 2)
    async with opened(store) as journal:
        for number in range(5):
            assert await journal.claim(buy_event(f"b{number}", pool=pump_pool(number))) == Claimed()
        assert await journal.claim(buy_event("again", pool=pump_pool(0))) == AlreadyClaimed(by="main")
        assert "again" not in journal.state.intents
        assert await journal.claim(buy_event("b5", pool=pump_pool(5))) == Claimed()
    async with opened(store) as journal:
        assert await journal.claim(buy_event("again", pool=pump_pool(1))) == AlreadyClaimed(by="main")
    assert list((await state_in(store)).intents) == [f"b{number}" for number in range(6)]


async def test_second_claim_while_the_first_is_under_way_is_too_late(store: Store) -> None:
    async with opened(store) as journal:
        first, second = journal.claim(buy_event("b1")), journal.claim(buy_event("b2"))
        assert (await first, await second) == (Claimed(), AlreadyClaimed(by="main"))
    assert store.rows() == [("b1", "IntentSigned")]


async def test_claim_that_nobody_awaits_is_kept_and_known(store: Store) -> None:
    async with opened(store) as journal:
        journal.claim(buy_event("b1")).cancel()
        await until(lambda: "b1" in journal.state.intents)
        journal.claim(buy_event("b2", pool=pump_pool(2)))
    assert set(journal.state.intents) == {"b1", "b2"}
    assert set((await state_in(store)).intents) == {"b1", "b2"}


async def test_only_a_new_buy_claims(store: Store) -> None:
    async with opened(store) as journal:
        await journal.claim(buy_event("b1"))
        await journal.append(landed("b1"))
        with pytest.raises(ValueError, match="only a buy"):
            journal.claim(sell_event("s1", position="b1"))
        with pytest.raises(ValueError, match="already in the journal"):
            journal.claim(buy_event("b1", pool=pump_pool(2)))


async def test_claims_and_events_keep_their_order_in_a_burst(store: Store) -> None:
    async with opened(store) as journal:
        await journal.append(buy_event("b"))
        claims = []
        for number in range(2, 600):
            claims.append(journal.claim(buy_event(f"b{number}", pool=pump_pool(number))))
            journal.append(IntentUnknown(intent="b", reason=str(number)))
        assert set(await asyncio.gather(*claims)) == {Claimed()}
        assert journal.state.intents["b"].reason == "599"
    rows = [("b", "IntentSigned")]
    for number in range(2, 600):
        rows += [(f"b{number}", "IntentSigned"), ("b", "IntentUnknown")]
    assert store.rows() == rows
    assert (await state_in(store)).intents["b"].reason == "599"


# ---- who may use it ------------------------------------------------------------------------------------------------


async def test_second_journal_in_the_same_process_is_locked_out(store: Store) -> None:
    async with opened(store) as journal:
        with pytest.raises(JournalLockedError, match="another slotzero uses the journal") as caught:
            await state_in(store)
        await journal.append(buy_event())
    assert "\n" not in str(caught.value)
    assert caught.value.retry is Retry.FATAL
    assert list((await state_in(store)).intents) == ["buy"]


def test_second_process_is_locked_out_until_the_first_ends(store: Store) -> None:
    command = [sys.executable, str(PROCESS), "hold", store.location]
    with subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(JournalLockedError):
            asyncio.run(state_in(store))
        holder.kill()
    asyncio.run(state_in(store))


async def test_cancelled_end_keeps_the_lock_until_the_last_write(store: Store) -> None:
    inside = asyncio.Event()

    async def use() -> None:
        async with opened(store) as journal:
            with store.stalled():
                for number in range(100):
                    journal.append(buy_event(f"b{number}"))
                inside.set()

    async with asyncio.TaskGroup() as tasks:
        user = tasks.create_task(use())
        await inside.wait()
        user.cancel()
    assert user.cancelled()
    assert len((await state_in(store)).intents) == 100


# ---- what cannot be read -------------------------------------------------------------------------------------------


async def test_damaged_event_is_refused_and_the_lock_is_free_again(store: Store) -> None:
    async with opened(store) as journal:
        await journal.append(buy_event())
    for body in (b"{}", b"\xff", b"[" * 100_000, b'{"kind":"intent_sent","intent":"nobody"}'):
        store.execute("UPDATE {events} SET body = ?", body)
        assert "cannot be read" in await refusal_of(store)
    store.execute("DELETE FROM {events}")
    assert (await state_in(store)).intents == {}


@pytest.mark.parametrize("change", ["UPDATE {meta} SET value = '3'", "DELETE FROM {meta}"])
async def test_newer_schema_is_refused(store: Store, change: str) -> None:
    await state_in(store)
    store.execute(change)
    assert "but this slotzero reads" in await refusal_of(store)


async def test_half_of_our_tables_are_refused(store: Store) -> None:
    await state_in(store)
    store.execute("DROP TABLE {events}")
    assert "slotzero" in await refusal_of(store)


# ---- the end of a process, the end of a store ----------------------------------------------------------------------


async def test_kill_in_the_middle_of_appends_loses_nothing_that_was_promised(store: Store) -> None:
    promised = run("kills", store, 12, 7)
    assert isinstance(promised, list)
    state = await state_in(store)
    written = store.rows()
    assert len(promised) > 12
    missing = {tuple(line.split()) for line in promised} - set(written)
    assert not missing
    assert len(set(written)) == len(written)
    for intent in state.intents.values():  # each intent's events are there from the first on, without a gap
        kinds = [kind for name, kind in written if name == intent.signed.intent]
        assert kinds == ["IntentSigned", "IntentSent", "IntentUnknown", "IntentLanded"][: len(kinds)]


async def test_slow_store_delays_the_future_and_not_the_loop(store: Store) -> None:
    async with opened(store) as journal:
        await journal.append(buy_event("b"))
        with store.stalled():
            claim = journal.claim(buy_event("b4", pool=pump_pool(4)))
            futures = [journal.append(buy_event(f"b{number}")) for number in range(3)]
            turns = 0
            for _ in range(1_000):
                await asyncio.sleep(0)
                turns += 1
            assert not claim.done()
            assert not any(future.done() for future in futures)
            assert turns == 1_000
        await asyncio.gather(*futures)
        assert await claim == Claimed()


async def test_failed_write_fails_every_future_and_none_is_reported_as_never_looked_at(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(store) as journal:
        await journal.append(buy_event("b1"))
        store.execute("ALTER TABLE {events} RENAME TO elsewhere")
        claim = journal.claim(buy_event("b2", pool=pump_pool(2)))
        futures = [journal.append(IntentSent(intent="b1")), journal.append(IntentUnknown(intent="b1", reason="r"))]
        await until(lambda: claim.done() and all(future.done() for future in futures))
        assert isinstance(claim.exception(), JournalError)
        for future in futures:
            assert isinstance(future.exception(), JournalError)
        assert "b2" not in journal.state.intents
        journal.append(IntentUnknown(intent="b1", reason="r"))  # nobody awaits this one
        with pytest.raises(JournalError, match="nothing more is sent"):
            await journal.append(buy_event("b3"))
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_after_a_failed_write_nothing_more_is_written_even_if_the_store_has_recovered(store: Store) -> None:
    async with opened(store) as journal:
        await journal.append(buy_event("b1"))
        store.execute("ALTER TABLE {events} RENAME TO elsewhere")
        with pytest.raises(JournalError):
            await journal.append(IntentSent(intent="b1"))
        schema = "slotzero." if isinstance(store, PostgresStore) else ""
        store.execute(f"ALTER TABLE {schema}elsewhere RENAME TO events")
        with pytest.raises(JournalError):
            await journal.append(landed("b1"))
    assert store.rows() == [("b1", "IntentSigned")]
    await state_in(store)  # an event without its predecessor would make it unreadable
