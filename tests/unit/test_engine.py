"""The engine on a paper node: what it takes up from an earlier run, how it ends, and that it always does."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

import slotzero.engine.engine as engine_module
from slotzero.clock import TestClock
from slotzero.config import SafetySettings
from slotzero.engine import Engine, EngineReport
from slotzero.errors import JournalError, SubscriptionError, TransportError, UsageError
from slotzero.localnet import genesis
from slotzero.secret import Secret
from slotzero.solana.addresses import COMPUTE_BUDGET_PROGRAM
from slotzero.solana.geyser import GeyserEndpoint, GeyserFeed
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.solana.geyser_proto import solana_storage_pb2 as storage
from slotzero.solana.pubsub import Connection, PubSub
from slotzero.solana.tips import tip_instruction
from slotzero.solana.transaction import compute_budget, sign
from slotzero.trading.fee_policy import FeeRules
from slotzero.trading.fees import LAMPORTS_PER_SIGNATURE
from slotzero.trading.journal import (
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSent,
    IntentSigned,
    IntentUnknown,
    JournalState,
    PositionStuck,
    SqliteJournal,
)
from slotzero.trading.limits import Limits, LimitsRules
from slotzero.trading.probe import RentFacts
from slotzero.units import ComputeUnits, Lamports, LamportsDelta, MicroLamportsPerCu, MonoNs, Slot, TokenAmount
from slotzero.venues.pumpfun.addresses import FEE_CONFIG, GLOBAL
from slotzero.venues.registry import PUMPFUN
from trading_lab import (
    BLOCKHASH,
    CHAIN,
    LAUNCH,
    QUICK,
    SIGNER,
    PaperNode,
    PaperRpc,
    PaperTransport,
    buy_event,
    curve_data,
    key,
    moved,
    pump_pool,
    sell_event,
    signed_buy,
    trade_in,
    until,
)

if TYPE_CHECKING:
    from slotzero.trading.wallets.book import WalletStanding

SETTINGS = msgspec.structs.replace(QUICK, safety=SafetySettings(gate="none"))
BASE = moved(LAUNCH, 10_000_000_000)
POOL = pump_pool(reserves=BASE)
BUY = signed_buy(POOL)
TOKENS = 10**12


AFTER_SIGNING: dict[str, list[object]] = {
    "signed": [],
    "sent": [IntentSent(intent="b")],
    "unknown": [IntentUnknown(intent="b", reason="r")],
}


class PaperPubSub(PubSub):
    """A client that is connected to a paper node as long as it runs."""

    def __init__(self, node: PaperNode, on_connection: Callable[[Connection], None]) -> None:
        super().__init__("ws://127.0.0.1:1/paper", clock=TestClock(), on_connection=on_connection)
        self._node = node
        self.fault: asyncio.Future[None] | None = None

    async def run(self) -> None:
        self.fault = asyncio.get_running_loop().create_future()
        self._connected(cast("Any", PaperTransport(self._node, self)))
        await self.fault


class Run:
    """One run of the engine on a journal that a test has filled."""

    def __init__(self, path: Path, node: PaperNode | None = None, geyser: Sequence[GeyserEndpoint] = ()) -> None:
        self.geyser = geyser
        self.path = path / "journal"
        self.clock = TestClock()
        self.node = node or PaperNode()
        born = genesis.derive(1)
        self.node.accounts[str(GLOBAL)] = genesis.global_data(born)
        self.node.accounts[str(FEE_CONFIG)] = genesis.fee_config_data(born)
        self.node.accounts[str(POOL.pool)] = curve_data(BASE)
        self.engine: Engine | None = None
        self.pubsub: PaperPubSub | None = None
        self.state = JournalState()
        self.rules = LimitsRules(open_positions=SETTINGS.trade.max_open_positions)

    async def __call__(self, meanwhile: Callable[[Engine], object] = Engine.stop) -> EngineReport:
        """Run until stopped; `meanwhile` is called once it has begun. Time flies whenever somebody sleeps."""
        book = SqliteJournal(self.path, CHAIN, clock=self.clock)
        limits = Limits(self.rules, overhead_lamports=Lamports(0))
        book.listen(limits.record)
        async with book as journal, asyncio.timeout(20):
            self.state = journal.state
            self.engine = engine = Engine(
                SETTINGS,
                rpc=PaperRpc(self.node),
                ws_urls=["ws://127.0.0.1:1"],
                geyser=self.geyser,
                journal=journal,
                signers=[SIGNER],
                venues=[PUMPFUN],
                clock=self.clock,
                limits=limits,
                rent=RentFacts(empty_account_lamports=Lamports(890_880), first_trade_lamports=Lamports(6_000_000)),
                rng=Random(1),  # noqa: S311 repeatable
            )
            self.pubsub = engine._pubsub = PaperPubSub(self.node, engine._on_connection)
            async with asyncio.TaskGroup() as tasks:
                time = tasks.create_task(self._time())
                try:
                    running = tasks.create_task(engine.run())
                    begun = meanwhile(engine)
                    if asyncio.iscoroutine(begun):
                        await begun
                    return await running
                finally:
                    time.cancel()

    async def _time(self) -> None:
        while True:
            await until(lambda: self.clock._sleepers, within_s=60)
            await self.clock.jump()

    async def has_begun(self) -> None:
        engine = self.engine
        assert engine is not None
        await until(lambda: engine.has_started and ("logsSubscribe", "-") in self._numbers())
        await asyncio.sleep(0.01)

    def _numbers(self) -> dict[tuple[str, str], int]:
        return {} if self.node.transport is None else self.node.transport.numbers

    async def left(self, *events: object) -> None:
        """What an earlier run has left behind."""
        async with SqliteJournal(self.path, CHAIN, clock=self.clock) as journal:
            for event in events:
                await journal.append(event)  # type: ignore[arg-type]
                if isinstance(event, IntentLanded):
                    self.node.tokens[str(POOL.mint)] = event.tokens_held


def bought(intent: str = "b") -> object:
    event = buy_event(intent, pool=POOL, signed=BUY)
    return msgspec.structs.replace(event, tokens=TokenAmount(TOKENS), quoted_lamports=99_000_000)


def landed(intent: str = "b") -> object:
    delta = LamportsDelta(-100_000_000)
    return IntentLanded(intent=intent, slot=Slot(9), lamports_delta=delta, tokens_held=TokenAmount(TOKENS))


def faults_of(group: BaseException) -> list[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        return [fault for inner in group.exceptions for fault in faults_of(inner)]
    return [group]


async def test_run_without_a_past_stops_when_told_and_owes_nothing(tmp_path: Path) -> None:
    report = await Run(tmp_path)()
    assert (report.recovered, report.bought, report.closed) == (0, 0, 0)
    assert (report.double_buys, report.lost_intents, report.unknown_open, report.in_flight) == (0, 0, 0, 0)
    assert report.rpc_calls.get("plan", 0) == 0


@pytest.mark.parametrize("how_far", ["signed", "sent", "unknown"])
async def test_buy_an_earlier_run_left_open_is_found_on_the_chain_and_sold_and_never_sent(
    tmp_path: Path, how_far: str
) -> None:
    run = Run(tmp_path)
    await run.left(bought(), *AFTER_SIGNING[how_far])
    run.node.confirm(run.node.record(BUY.raw, delta=-100_000_000, tokens=TOKENS))
    run.node.on_send = run.node.lands
    report = await run()
    assert [trade_in(raw).side for raw in dict.fromkeys(run.node.sent)] == ["sell"]
    (position,) = report.positions
    assert (position.state, position.reason) == ("closed", "drain")
    assert (report.recovered, report.lost_intents, report.unknown_open) == (1, 0, 0)
    assert report.expected_lamports == run.node.balance - 10_000_000_000


async def test_buy_an_earlier_run_left_open_that_can_no_longer_land_is_expired_and_never_sent(tmp_path: Path) -> None:
    run = Run(tmp_path)
    await run.left(bought(), IntentSent(intent="b"))
    run.node.height = 151
    report = await run()
    assert run.node.sent == []
    assert run.state.intents["b"].state == "expired"
    assert (report.positions, report.unknown_open) == ((), 0)


@pytest.mark.parametrize("is_stuck", [False, True])
async def test_position_an_earlier_run_left_is_held_again_and_sold_at_the_end(tmp_path: Path, is_stuck: bool) -> None:  # noqa: FBT001
    run = Run(tmp_path)
    stuck = [PositionStuck(intent="b", reason="AccountFrozen")] if is_stuck else []
    await run.left(bought(), landed(), *stuck)
    run.node.on_send = run.node.lands
    report = await run()
    assert report.positions[0].state == "closed"
    assert len(dict.fromkeys(run.node.sent)) == 1


async def test_sell_an_earlier_run_left_open_is_settled_before_another_is_signed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    sell = msgspec.structs.replace(sell_event("s", position="b", tokens=TOKENS), mint=POOL.mint)
    await run.left(bought(), landed(), sell, IntentSent(intent="s"))
    run.node.height = 151
    run.node.on_send = run.node.lands
    report = await run()
    assert [run.state.intents[name].state for name in ("b", "s")] == ["landed", "expired"]
    assert report.positions[0].state == "closed"
    assert len(dict.fromkeys(run.node.sent)) == 1


async def test_chain_that_never_answers_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "_DRAIN_S", 0.05)
    run = Run(tmp_path)
    await run.left(bought(), IntentSent(intent="b"))
    run.node.faults["getSignatureStatuses"] = [TransportError("node", "timed out")] * 10_000
    report = await run()
    assert run.state.intents["b"].state == "unknown"
    assert (report.lost_intents, report.unknown_open, report.in_flight) == (0, 1, 0)
    assert run.node.sent == []


async def test_what_was_left_takes_room_until_it_is_settled(tmp_path: Path) -> None:
    run = Run(tmp_path)
    await run.left(bought(), IntentSent(intent="b"))

    async def look(engine: Engine) -> None:
        await run.has_begun()
        sniper = engine._parts.sniper
        assert sniper.taking_up == {"b"}
        run.node.height = 151
        await until(lambda: not sniper.taking_up)
        engine.stop()

    await run(look)


async def test_restart_counts_what_earlier_runs_have_spent_and_how_often(tmp_path: Path) -> None:
    run = Run(tmp_path)
    failed = IntentFailed(intent="c", slot=Slot(9), reason="r", lamports_delta=LamportsDelta(-5_000))
    await run.left(bought(), landed(), bought("c"), failed, bought("d"), IntentExpired(intent="d"))
    seen: list[WalletStanding] = []

    async def look(engine: Engine) -> None:
        await run.has_begun()
        seen.append(engine._parts.context.book.standing(SIGNER.pubkey, run.clock.mono_ns()))  # before an hour has flown
        engine.stop()

    await run(look)
    (standing,) = seen
    assert standing.spent_hour_lamports == standing.spent_day_lamports == 100_005_000
    assert standing.uses == 2


@pytest.mark.parametrize("is_landed", [True, False])
async def test_restart_counts_a_buy_without_an_end_as_spent_until_it_is_known_what_it_cost(
    tmp_path: Path,
    is_landed: bool,  # noqa: FBT001
) -> None:
    run = Run(tmp_path)
    await run.left(bought(), IntentSent(intent="b"))
    seen: list[WalletStanding] = []

    async def look(engine: Engine) -> None:
        await run.has_begun()
        book = engine._parts.context.book
        seen.append(book.standing(SIGNER.pubkey, run.clock.mono_ns()))
        if is_landed:
            run.node.confirm(run.node.record(BUY.raw, delta=-100_000_000, tokens=TOKENS))
        else:
            run.node.height = 151
        await until(lambda: not engine._parts.sniper.taking_up)
        seen.append(book.standing(SIGNER.pubkey, run.clock.mono_ns()))
        engine.stop()

    await run(look)
    before, after = seen
    most = 110 + 6_000_000 + SETTINGS.fees.max_bid_lamports + LAMPORTS_PER_SIGNATURE
    assert (before.reserved_lamports, before.open_positions, before.uses) == (most, 1, 1)
    assert (after.reserved_lamports, after.open_positions, after.uses) == (0, int(is_landed), int(is_landed))
    assert after.spent_day_lamports == (100_000_000 if is_landed else 0)


async def test_restart_counts_what_transactions_of_the_last_hour_have_offered(tmp_path: Path) -> None:
    run = Run(tmp_path)
    budget = compute_budget(ComputeUnits(100_000), MicroLamportsPerCu(5_000_001))
    tip = tip_instruction(SIGNER.pubkey, Lamports(10_000), 3)
    signed = sign(SIGNER, [*budget, tip], BLOCKHASH)
    old = sign(SIGNER, compute_budget(ComputeUnits(200_000), MicroLamportsPerCu(9_000_000)), BLOCKHASH)
    await run.left(buy_event("old", pool=POOL, signed=old))
    await run.left(*(buy_event(intent, pool=POOL, signed=signed) for intent in ("b", "c", "d")))
    await run.left(IntentExpired(intent="c"), IntentAbandoned(intent="d", reason="r"))
    with sqlite3.connect(run.path) as connection:
        connection.execute("UPDATE events SET wall_ns = wall_ns - 3600000000000 WHERE seq = 1")
    connection.close()
    seen: list[int] = []

    async def look(engine: Engine) -> None:
        await run.has_begun()
        seen.append(engine._parts.context.fees.spent.total(run.clock.mono_ns()))
        engine.stop()

    await run(look)
    assert seen == [500_001 + 10_000]  # a rest of a lamport is paid whole


async def test_breaker_that_a_landed_sell_has_tripped_is_on_after_a_crash(tmp_path: Path) -> None:
    run, left = Run(tmp_path), tmp_path / "left"
    run.rules = LimitsRules(drawdown_lamports=Lamports(500_000_000))
    await run.left(bought(), landed())

    async def look(engine: Engine) -> None:
        await run.has_begun()
        assert not engine._limits.mark("b", Lamports(1_000_000_000))  # the highest equity was one of prices
        await engine._journal.append(sell_event("s", position="b", tokens=TOKENS))
        sold = IntentLanded(intent="s", slot=Slot(9), lamports_delta=LamportsDelta(1), tokens_held=TokenAmount(0))
        await engine._journal.append(sold)
        assert engine._limits.state.tripped
        left.mkdir()
        for file in ("journal", "journal-wal"):  # as a crash would leave it
            shutil.copy(tmp_path / file, left / file)
        engine.stop()

    await run(look)
    limits = Limits(run.rules, overhead_lamports=Lamports(0))
    book = SqliteJournal(left / "journal", CHAIN, clock=run.clock)
    book.listen(limits.record)
    async with book:
        assert "below its highest" in limits.state.tripped


async def test_report_sums_the_positions_it_no_longer_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = JournalState.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "kept", 1)
    run = Run(tmp_path)
    for name in ("b", "c", "d"):
        nothing = IntentLanded(intent=name, slot=Slot(9), lamports_delta=LamportsDelta(-7), tokens_held=TokenAmount(0))
        await run.left(bought(name), nothing)
    report = await run()
    assert [position.id for position in report.positions] == ["d"]
    assert (report.forgotten_positions, report.forgotten_pnl_lamports) == (2, -14)


async def test_journal_that_fails_ends_the_run_with_its_error_and_without_hanging(tmp_path: Path) -> None:
    run = Run(tmp_path)
    await run.left(bought(), IntentSent(intent="b"))
    run.node.confirm(run.node.record(BUY.raw, delta=-1, tokens=TOKENS))

    def fail(engine: Engine) -> None:
        journal = cast("SqliteJournal", engine._journal)
        journal._failure = JournalError("the disk is full")

    with pytest.raises(BaseExceptionGroup) as caught:
        await run(fail)
    assert {type(fault) for fault in faults_of(caught.value)} == {JournalError}


async def test_feed_that_is_never_accepted_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_WITHOUT_CONNECTION_MS", 50)
    run = Run(tmp_path)
    run.node.ignored.add("logsSubscribe")
    with pytest.raises(BaseExceptionGroup) as caught:
        await run(lambda _: None)
    assert {type(fault) for fault in faults_of(caught.value)} == {TransportError}


async def test_client_that_gives_up_ends_the_run_and_the_books_are_closed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    await run.left(bought(), IntentSent(intent="b"))

    async def lose(_: Engine) -> None:
        await run.has_begun()
        assert run.pubsub is not None
        assert run.pubsub.fault is not None
        run.pubsub.fault.set_exception(SubscriptionError("node", "logsSubscribe was refused"))

    with pytest.raises(BaseExceptionGroup) as caught:
        await run(lose)
    assert SubscriptionError in {type(fault) for fault in faults_of(caught.value)}
    assert run.state.intents["b"].state == "unknown"


async def test_geyser_stream_that_cannot_be_had_is_tried_again_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(feed: GeyserFeed) -> None:
        raise SubscriptionError(feed.endpoint, "the subscription was refused: UNIMPLEMENTED: starting")

    monkeypatch.setattr(GeyserFeed, "run", refuse)
    run = Run(tmp_path, geyser=[GeyserEndpoint(url=Secret("http://127.0.0.1:1"))])

    async def wait(engine: Engine) -> None:
        await run.has_begun()
        await until(lambda: caplog.text.count("pools come from the WebSocket alone") >= 2, within_s=10)
        engine.stop()

    await run(wait)
    assert "http://127.0.0.1:1: the subscription was refused" in caplog.text


async def test_prices_of_a_geyser_stream_reach_the_fee_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(feed: GeyserFeed) -> None:
        keys = [bytes(32), bytes(PUMPFUN.program), bytes(COMPUTE_BUDGET_PROGRAM)]
        price = storage.CompiledInstruction(program_id_index=2, data=b"\3" + (4_400_000).to_bytes(8, "little"))
        message = storage.Message(account_keys=keys, instructions=[price])
        info = geyser.SubscribeUpdateTransactionInfo(transaction=storage.Transaction(message=message))
        told = geyser.SubscribeUpdateTransaction(transaction=info, slot=5)
        update = geyser.SubscribeUpdate(transaction=told).SerializeToString()
        for _ in range(FeeRules().min_price_samples):
            feed._handler(update, MonoNs(0))
        await asyncio.Event().wait()

    monkeypatch.setattr(GeyserFeed, "run", tell)
    run = Run(tmp_path, geyser=[GeyserEndpoint(url=Secret("http://127.0.0.1:1"))])

    async def wait(engine: Engine) -> None:
        await run.has_begun()
        market = engine._parts.context.fees.market
        await until(lambda: market.landed_at("pumpfun", 75) == (4_400_000, FeeRules().min_price_samples))
        engine.stop()

    await run(wait)


async def test_connection_that_stays_lost_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)

    async def lose(engine: Engine) -> None:
        await run.has_begun()
        monkeypatch.setattr(engine_module, "_WITHOUT_CONNECTION_MS", 30)
        engine._on_connection("down")

    with pytest.raises(BaseExceptionGroup) as caught:
        await run(lose)
    assert "no connection for" in str(faults_of(caught.value)[0])


async def test_connection_that_comes_back_in_time_does_not_even_if_it_is_lost_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)

    async def flap(engine: Engine) -> None:
        await run.has_begun()
        monkeypatch.setattr(engine_module, "_WITHOUT_CONNECTION_MS", 1_000)
        for _ in range(3):  # the loop's own timer: 1,200 ms in all, and never 1,000 at a stretch
            engine._on_connection("down")
            await asyncio.sleep(0.4)
            engine._on_connection("up")
            await asyncio.sleep(0)
        engine.stop()

    await run(flap)


async def test_panic_sells_what_was_given_up_too(tmp_path: Path) -> None:
    run = Run(tmp_path)
    await run.left(bought(), landed())
    run.node.on_send = lambda raw: run.node.fails(raw, {"InstructionError": [2, {"Custom": 17}]})

    async def panic(engine: Engine) -> None:
        await run.has_begun()
        await engine.close_position("b")
        await until(lambda: run.state.positions["b"].state == "stuck")
        run.node.on_send = run.node.lands
        assert (await engine.panic("a test")).positions == ("b",)
        await until(lambda: run.state.positions["b"].state == "closed")
        engine.stop()

    await run(panic)


async def test_position_of_a_wallet_without_a_key_cannot_be_closed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    await run.left(msgspec.structs.replace(cast("IntentSigned", bought()), wallet=key(5)), landed())

    async def close(engine: Engine) -> None:
        await run.has_begun()
        with pytest.raises(UsageError, match="none of this run's"):
            await engine.close_position("b")
        assert (await engine.panic("a test")).positions == ()
        engine.stop()

    await run(close)


async def test_position_without_a_name_is_not_the_only_one_there_is(tmp_path: Path) -> None:
    run = Run(tmp_path)
    await run.left(bought(), landed())

    async def close(engine: Engine) -> None:
        await run.has_begun()
        with pytest.raises(UsageError, match="no position is named"):
            await engine.close_position("")
        engine.stop()

    await run(close)


async def test_cancelled_run_leaves_everything_to_the_journal(tmp_path: Path) -> None:
    run = Run(tmp_path)
    await run.left(bought(), IntentSent(intent="b"))
    task = asyncio.get_running_loop().create_task(run(lambda _: None))
    await until(lambda: run.engine is not None and run.engine.has_started)
    await run.has_begun()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    again = Run(tmp_path)
    async with SqliteJournal(again.path, CHAIN, clock=again.clock) as journal:
        assert journal.state.intents["b"].state == "unknown"
