"""What a run says of money: its own result, what was moved before it, and what nobody can explain."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec
import pytest

from slotzero.clock import TestClock
from slotzero.engine import Engine
from slotzero.errors import RpcError
from slotzero.localnet import genesis
from slotzero.solana.pubsub import Connection, PubSub
from slotzero.trading.journal import (
    Event,
    ExternalTransfer,
    IntentLanded,
    IntentSent,
    IntentUnknown,
    Journal,
    SqliteJournal,
)
from slotzero.units import LamportsDelta, Slot, TokenAmount
from slotzero.venues.pumpfun.addresses import FEE_CONFIG, GLOBAL
from slotzero.workloads.bot_run import MOVED_OUTSIDE, BotRun, Cluster, run_bot
from trading_lab import (
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
    until,
)

SOL = 1_000_000_000
POOL = pump_pool()
BUY = signed_buy(POOL)
TOKENS = 10**12
COST = -100_000_000
CLUSTER = Cluster(name="replay", rpc=(), ws=("ws://127.0.0.1:1",), slot_ms=None, silent_after_ms=None, seed=1)
AFTER_SIGNING: dict[str, list[Event]] = {
    "signed": [],
    "sent": [IntentSent(intent="b")],
    "unknown": [IntentUnknown(intent="b", reason="r")],
}


class PaperPubSub(PubSub):
    """A client that is connected to a paper node as long as it runs."""

    def __init__(self, node: PaperNode, on_connection: Callable[[Connection], None]) -> None:
        super().__init__("ws://127.0.0.1:1/paper", clock=TestClock(), on_connection=on_connection)
        self._node = node

    async def run(self) -> None:
        self._connected(cast("Any", PaperTransport(self._node, self)))
        await asyncio.get_running_loop().create_future()


class Desk:
    """A wallet on a paper node, and the journal of the runs that trade with it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal"
        self.clock = TestClock()
        self.node = PaperNode()
        born = genesis.derive(1)
        self.node.accounts[str(GLOBAL)] = genesis.global_data(born)
        self.node.accounts[str(FEE_CONFIG)] = genesis.fee_config_data(born)
        self.node.accounts[str(POOL.pool)] = curve_data(moved(LAUNCH, SOL))
        self.node.on_send = self.node.lands

    async def run(self, meanwhile: Callable[[], object] = lambda: None) -> BotRun:
        """One run that buys nothing, and sells what is held; `meanwhile` is called when it has begun."""

        def open_pubsub(_urls: list[str], *, on_connection: Callable[[Connection], None], **_: object) -> PubSub:
            return PaperPubSub(self.node, on_connection)

        async def note(journal: Journal) -> None:
            if SIGNER.pubkey not in journal.state.funded:
                await journal.append(came(self.node.balance))

        def on_engine(engine: Engine) -> None:
            tasks.create_task(self._stop(engine, meanwhile))

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            time = tasks.create_task(self._time())
            try:
                return await run_bot(
                    QUICK,
                    CLUSTER,
                    rpc=PaperRpc(self.node),
                    genesis=CHAIN,
                    book=self.journal(),
                    signers=[SIGNER],
                    rng=Random(1),  # noqa: S311 repeatable
                    clock=self.clock,
                    prepare=note,
                    on_engine=on_engine,
                    open_pubsub=cast("Callable[..., PubSub]", open_pubsub),
                )
            finally:
                time.cancel()

    async def _stop(self, engine: Engine, meanwhile: Callable[[], object]) -> None:
        await until(lambda: engine.has_started)
        meanwhile()
        engine.stop()

    async def _time(self) -> None:
        while True:
            await until(lambda: self.clock._sleepers, within_s=60)
            await self.clock.jump()

    def journal(self) -> SqliteJournal:
        return SqliteJournal(self.path, CHAIN, clock=self.clock)

    async def left(self, *events: Event) -> None:
        """What an earlier run has left behind, and the tokens it holds."""
        async with self.journal() as journal:
            for event in events:
                await journal.append(event)

    def buy_lands(self) -> None:
        self.node.confirm(self.node.record(BUY.raw, delta=COST, tokens=TOKENS))

    async def taken_in(self) -> list[int]:
        """What runs have written down as moved outside of trading."""
        found: list[int] = []

        def on_event(event: Event, _: object) -> None:
            if isinstance(event, ExternalTransfer) and event.reason == MOVED_OUTSIDE:
                found.append(event.lamports_delta)

        book = self.journal()
        book.listen(on_event)
        async with book:
            return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def came(lamports: int, wallet: object = SIGNER.pubkey) -> ExternalTransfer:
    return ExternalTransfer(
        wallet=wallet,  # type: ignore[arg-type] # a key
        lamports_delta=LamportsDelta(lamports),
        reason="held at the first start",
    )


def bought() -> Event:
    return msgspec.structs.replace(buy_event("b", pool=POOL, signed=BUY), tokens=TokenAmount(TOKENS))


def landed(intent: str, delta: int, tokens: int) -> IntentLanded:
    return IntentLanded(
        intent=intent, slot=Slot(9), lamports_delta=LamportsDelta(delta), tokens_held=TokenAmount(tokens)
    )


def money(run: BotRun) -> tuple[int | None, int, int]:
    """What was moved before a run, what it has brought, and what is unexplained."""
    return run.start.moved_lamports, run.pnl_lamports, run.unexplained_lamports


# ---- this run's result ---------------------------------------------------------------------------------------------


async def test_run_that_buys_nothing_has_brought_nothing_whatever_earlier_runs_have(desk: Desk) -> None:
    sold = sell_event("s", position="b", tokens=TOKENS)
    await desk.left(came(desk.node.balance - 7_000), bought(), landed("b", COST, TOKENS), sold)
    await desk.left(landed("s", 7_000 - COST, 0))
    run = await desk.run()
    assert money(run) == (0, 0, 0)
    assert (run.change_lamports, run.all_runs_lamports) == (0, 7_000)
    assert ([position.id for position in run.report.positions], run.positions) == (["b"], ())


async def test_position_of_an_earlier_run_that_is_sold_in_this_one_is_this_runs_too(desk: Desk) -> None:
    await desk.left(came(desk.node.balance - COST), bought(), landed("b", COST, TOKENS))
    desk.node.tokens[str(POOL.mint)] = TOKENS
    run = await desk.run()
    assert [(position.id, position.state) for position in run.positions] == [("b", "closed")]
    assert run.start.left_positions == {"b"}
    assert run.pnl_lamports == run.change_lamports > 0, "what the sell has brought"
    assert run.all_runs_lamports == run.pnl_lamports + COST


# ---- money that was moved ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lamports", [-1_030_686_041, 930_646_107])
async def test_money_moved_between_runs_is_told_once_and_explained(desk: Desk, lamports: int) -> None:
    assert money(await desk.run()) == (0, 0, 0)
    desk.node.balance += lamports
    assert money(await desk.run()) == (lamports, 0, 0)
    assert money(await desk.run()) == (0, 0, 0)
    assert await desk.taken_in() == [lamports]


async def test_money_moved_while_the_bot_runs_is_unexplained_and_no_profit(desk: Desk) -> None:
    def pay() -> None:
        desk.node.balance += 5 * SOL

    run = await desk.run(pay)
    assert money(run) == (0, 0, 5 * SOL)
    assert run.change_lamports == 5 * SOL


async def test_wallet_of_another_configuration_explains_and_disturbs_nothing(desk: Desk) -> None:
    await desk.left(came(3 * SOL, key(40)))
    assert money(await desk.run()) == (0, 0, 0)


# ---- a crash is no movement ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how_far", AFTER_SIGNING)
async def test_buy_that_landed_before_a_kill_is_not_taken_for_money_that_was_moved(desk: Desk, how_far: str) -> None:
    await desk.left(came(desk.node.balance), bought(), *AFTER_SIGNING[how_far])
    desk.buy_lands()
    run = await desk.run()
    assert (run.start.moved_lamports, run.unexplained_lamports) == (None, 0)
    assert run.start.left_positions == {"b"}
    assert run.pnl_lamports == run.change_lamports > 0, "the sell's, since the buy was paid before"
    assert money(await desk.run()) == (0, 0, 0)
    assert await desk.taken_in() == []


async def test_buy_that_lands_after_the_restart_is_not_taken_for_money_that_was_moved(desk: Desk) -> None:
    await desk.left(came(desk.node.balance), bought(), IntentSent(intent="b"))
    run = await desk.run(desk.buy_lands)
    assert (run.start.moved_lamports, run.unexplained_lamports) == (None, 0)
    assert money(await desk.run()) == (0, 0, 0)
    assert await desk.taken_in() == []


async def test_buy_that_never_landed_leaves_nothing_to_explain(desk: Desk) -> None:
    await desk.left(came(desk.node.balance), bought())
    desk.node.height = 151
    assert money(await desk.run()) == (None, 0, 0)
    assert money(await desk.run()) == (0, 0, 0)
    assert await desk.taken_in() == []


async def test_money_moved_while_an_order_is_open_stays_unexplained_until_orders_have_ended(desk: Desk) -> None:
    await desk.left(came(desk.node.balance), bought(), IntentSent(intent="b"))
    desk.buy_lands()
    desk.node.balance -= SOL
    run = await desk.run()
    assert (run.start.moved_lamports, run.unexplained_lamports) == (None, -SOL)
    assert money(await desk.run()) == (-SOL, 0, 0)
    assert await desk.taken_in() == [-SOL]


async def test_node_that_lags_behind_the_journal_is_not_believed(desk: Desk) -> None:
    await desk.left(came(desk.node.balance - COST), bought(), landed("b", COST, TOKENS))
    desk.node.tokens[str(POOL.mint)] = TOKENS
    desk.node.faults["getBalance"] = [RpcError("node", -32016, "Minimum context slot has not been reached", None)]
    run = await desk.run()
    first = desk.node.asked("getBalance")[0]
    assert first[1]["minContextSlot"] == 9, "the newest slot the journal has seen anything land in"
    assert (run.start.moved_lamports, run.unexplained_lamports) == (None, 0)
    assert await desk.taken_in() == []


async def test_money_on_its_way_is_told_once_it_has_come(desk: Desk) -> None:
    await desk.run()
    answer = desk.node.answer

    def not_confirmed_yet(method: str, params: list[Any]) -> object:
        if method == "getBalance" and params[1]["commitment"] == "confirmed":
            answer(method, params)
            return {"context": {"slot": desk.node.slot}, "value": desk.node.balance - SOL}
        return answer(method, params)

    desk.node.balance += SOL
    desk.node.answer = not_confirmed_yet  # type: ignore[method-assign]
    assert money(await desk.run()) == (None, 0, SOL)
    desk.node.answer = answer  # type: ignore[method-assign]
    assert money(await desk.run()) == (SOL, 0, 0)
