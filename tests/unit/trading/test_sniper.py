"""The sniper: what a new pool leads to, what holds a buy back, and what is left when it ends, against a paper node."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import ms
from slotzero.config import FiltersSettings, Gate, SafetySettings, Settings, TradeSettings
from slotzero.errors import JournalError
from slotzero.recent import Recent
from slotzero.safety import AccountView, CheckContext, Decision, Evidence, HoneypotChecker, SimulationView
from slotzero.solana.transaction import MAX_TRANSACTION_BYTES
from slotzero.trace import Component
from slotzero.trading.journal import IntentLanded, IntentUnknown
from slotzero.trading.probe import RentFacts
from slotzero.trading.sniper import Sniper
from slotzero.units import Lamports, LamportsDelta, Slot, TokenAmount
from slotzero.venues.records import NewPool
from trading_lab import (
    LAUNCH,
    QUICK,
    SIGNER,
    Lab,
    buy_event,
    curve_data,
    key,
    moved,
    pump_pool,
    pump_traders,
    signature_of,
    token_account,
    trade_in,
    trading_lab,
    until,
)

RENT = RentFacts(empty_account_lamports=Lamports(890_880), first_trade_lamports=Lamports(5_000_000))
BASE = moved(LAUNCH, 10_000_000_000)
RICH = 10_000_000_000
SLIPPAGE = {"InstructionError": [3, {"Custom": 6002}]}
COST = 100_000_000 + 5_000_000 + 2_000_000 + 5_000
"""The most a buy can cost: its limit, rent, the largest bid, and the signature."""
"""What a buy of the default settings may cost: its budget, the rent it may open, its fee."""


class PaperReader:
    async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
        return [None] * len(keys)

    async def simulate(self, raw: bytes, watch: Sequence[Pubkey]) -> SimulationView:
        raise AssertionError(raw, watch)


class PaperLayer:
    """A layer that answers when the test says so, or at once with `always`."""

    def __init__(self, name: str, *, is_facts: bool) -> None:
        self.name = name
        self.is_facts = is_facts
        self.always: Decision | None = None
        self.asked: list[NewPool] = []
        self._answers: dict[Pubkey, asyncio.Future[Decision]] = {}

    def keys(self, pool: NewPool) -> tuple[Pubkey, ...]:
        return (pool.mint,)

    async def run(self, context: CheckContext) -> tuple[Evidence, ...]:
        self.asked.append(context.pool)
        decision = self.always or await self._answer(context.pool)
        reason = "passed" if decision == "ALLOW" else f"{self.name}_{decision.lower()}"
        return (Evidence(layer=self.name, decision=decision, reason=reason, detail="found on paper"),)

    def _answer(self, pool: NewPool) -> asyncio.Future[Decision]:
        return self._answers.setdefault(pool.mint, asyncio.get_running_loop().create_future())

    def says(self, pool: NewPool, decision: Decision) -> None:
        self._answer(pool).set_result(decision)


class Scene(Struct, kw_only=True):
    """A sniper with its safety check in the test's hand."""

    lab: Lab
    sniper: Sniper
    stop: asyncio.Event
    facts: PaperLayer
    trip: PaperLayer

    def sees(self, number: int = 1, **changes: object) -> NewPool:
        """A pool is created in which others have bought for 10 SOL; its curve can be read."""
        pool = pump_pool(number, **{"reserves": BASE, **changes})
        self.lab.node.accounts[str(pool.pool)] = curve_data(pool.reserves)
        self.sniper.on_pool(pool)
        return pool

    def allows(self) -> None:
        self.facts.always = self.trip.always = "ALLOW"

    async def settles(self) -> None:
        """Give what must not happen the time to happen."""
        for _ in range(20):
            await asyncio.sleep(0.001)

    @property
    def buys(self) -> list[bytes]:
        return [raw for raw in dict.fromkeys(self.lab.node.sent) if trade_in(raw).side == "buy"]

    @property
    def sells(self) -> list[bytes]:
        return [raw for raw in dict.fromkeys(self.lab.node.sent) if trade_in(raw).side == "sell"]

    def price(self, pool: NewPool, lamports: int) -> None:
        assert self.lab.transport.account(pool.pool, curve_data(moved(pool.reserves, lamports)))

    @property
    def reserved(self) -> int:
        return self.lab.context.book.standing(SIGNER.pubkey, 0).reserved_lamports

    def is_at_rest(self) -> bool:
        """Nothing is watched or worked on."""
        lab = self.lab
        return (
            not self.sniper.tasks
            and not self.sniper.working
            and not self.sniper.keepers
            and not lab.transport.numbers
            and not self.sniper._buying
            and self.sniper.admission.stats.in_flight == 0
        )


@asynccontextmanager
async def scene(
    path: Path, *, gate: Gate = "all", until_closed: int | None = None, balance: int = 10_000_000_000, most: int = 3
) -> AsyncIterator[Scene]:
    settings: Settings = msgspec.structs.replace(
        QUICK, safety=SafetySettings(gate=gate, budget_ms=60_000), trade=TradeSettings(max_open_positions=most)
    )
    async with trading_lab(path / "journal", settings=settings, balance=balance) as lab:
        facts, trip = PaperLayer("facts", is_facts=True), PaperLayer("trip", is_facts=False)
        stop = asyncio.Event()
        sniper = Sniper(
            lab.context,
            traders=pump_traders(),
            checker=HoneypotChecker(PaperReader(), [facts, trip], budget_ms=60_000),
            rent=RENT,
            stop=stop,
            until_closed=until_closed,
        )
        yield Scene(lab=lab, sniper=sniper, stop=stop, facts=facts, trip=trip)


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


# ---- from the frame to signed bytes ---------------------------------------------------------------------------------


async def test_pool_is_planned_signed_and_paid_for_before_anything_is_awaited(it: Scene) -> None:
    asked = len(it.lab.node.log)
    it.sees()
    assert len(it.lab.node.log) == asked
    assert it.reserved == COST
    assert it.lab.rpc.calls["plan"] == 0
    await until(lambda: it.lab.journal.state.intents)
    (intent,) = it.lab.journal.state.intents.values()
    assert len(intent.signed.raw) <= MAX_TRANSACTION_BYTES
    assert trade_in(intent.signed.raw).limit == 100_000_000


async def test_refused_pool_is_counted_and_not_even_checked(tmp_path: Path) -> None:
    async with scene(tmp_path) as it:
        it.sees(is_mayhem=True)
        await it.settles()
        assert (it.sniper.detected, dict(it.sniper.rejected)) == (1, {"mayhem": 1})
        assert [(refused.reason, refused.pool.symbol) for refused in it.sniper.refusals] == [("mayhem", "C1")]
        assert it.facts.asked == []
        assert it.is_at_rest()


# ---- the gate ------------------------------------------------------------------------------------------------------


async def test_gate_all_holds_the_send_until_every_layer_allows(it: Scene) -> None:
    pool = it.sees()
    await until(lambda: it.lab.kinds() == ["signed"])
    it.facts.says(pool, "ALLOW")
    await it.settles()
    assert it.lab.node.sent == []
    assert it.lab.kinds() == ["signed"]
    it.trip.says(pool, "ALLOW")
    await until(lambda: it.buys)
    assert it.lab.kinds() == ["sent"]


@pytest.mark.parametrize("decision", ["DENY", "UNSURE"])
@pytest.mark.parametrize("layer", ["facts", "trip"])
async def test_gate_all_abandons_what_any_layer_does_not_allow(it: Scene, layer: str, decision: Decision) -> None:
    it.allows()
    (it.facts if layer == "facts" else it.trip).always = decision
    it.sees()
    await until(it.is_at_rest)
    assert it.lab.node.sent == []
    (intent,) = it.lab.journal.state.intents.values()
    assert (intent.state, intent.reason) == ("abandoned", f"{layer}_{decision.lower()}")
    assert dict(it.sniper.rejected) == {f"{layer}_{decision.lower()}": 1}
    assert it.sniper.refusals[0].detail == "found on paper"


async def test_gate_facts_sends_while_the_round_trip_is_still_running(tmp_path: Path) -> None:
    async with scene(tmp_path, gate="facts") as it:
        pool = it.sees()
        await it.settles()
        assert it.lab.node.sent == []
        it.facts.says(pool, "ALLOW")
        await until(lambda: it.buys)


async def test_gate_facts_abandons_what_the_facts_deny(tmp_path: Path) -> None:
    async with scene(tmp_path, gate="facts") as it:
        it.facts.always, it.trip.always = "DENY", "ALLOW"
        it.sees()
        await until(it.is_at_rest)
        assert it.lab.node.sent == []
        assert it.lab.kinds() == ["abandoned"]


@pytest.mark.parametrize("when", ["before the position", "after the position"])
async def test_gate_facts_sells_at_once_what_the_round_trip_denies_too_late(tmp_path: Path, when: str) -> None:
    async with scene(tmp_path, gate="facts") as it:
        it.facts.always = "ALLOW"
        pool = it.sees()
        await until(lambda: it.buys)
        if when == "before the position":
            it.trip.says(pool, "DENY")
            await it.settles()
            assert it.sells == []
        it.lab.node.on_send = it.lab.node.lands
        it.lab.node.lands(it.buys[0])
        if when == "after the position":
            await until(lambda: it.sniper.keepers)
            await it.settles()
            assert it.sells == []
            it.trip.says(pool, "DENY")
        await until(it.is_at_rest)
        assert len(it.sells) == 1
        (position,) = it.lab.journal.state.positions.values()
        assert (position.state, position.reason) == ("closed", "honeypot")


async def test_late_verdict_of_a_buy_that_failed_hurts_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with scene(tmp_path, gate="facts") as it:
        it.facts.always = "ALLOW"
        it.lab.node.on_send = lambda raw: it.lab.node.fails(raw, SLIPPAGE)
        pool = it.sees()
        await until(lambda: not it.sniper.tasks)
        it.trip.says(pool, "DENY")
        await until(it.is_at_rest)
        assert it.sells == []
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_gate_none_sends_at_once_and_checks_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, gate="none") as it:
        it.sees()
        await until(lambda: it.buys)
        assert it.facts.asked == it.trip.asked == []


async def test_pools_beyond_those_in_flight_wait_and_the_oldest_is_dropped_and_counted(it: Scene) -> None:
    for number in range(64 + 64 + 5):
        it.sees(number)
        await asyncio.sleep(0)
    await until(lambda: len(it.facts.asked) == 64)
    assert dict(it.sniper.rejected) == {"overloaded": 5}
    assert [refused.pool.symbol for refused in it.sniper.refusals] == [f"C{number}" for number in range(64, 69)]
    it.facts.always = it.trip.always = "DENY"
    it.facts.says(pump_pool(0), "DENY")
    it.trip.says(pump_pool(0), "DENY")
    await until(lambda: len(it.facts.asked) == 64 + 64)  # the newest that waits comes first, and each makes room
    assert it.facts.asked[64].symbol == "C132"


# ---- the journal ---------------------------------------------------------------------------------------------------


async def test_intent_is_on_disk_before_the_first_byte_is_sent(tmp_path: Path) -> None:
    async with scene(tmp_path, gate="none") as it:
        on_disk: list[tuple[str, str]] = []

        def on_send(raw: bytes) -> None:
            with sqlite3.connect(it.lab.journal.path) as other:
                query = "SELECT kind, json_extract(body, '$.signature') FROM events"
                on_disk.extend(row for row in other.execute(query) if row[1] == signature_of(raw))
            other.close()

        it.lab.node.on_send = on_send
        it.sees()
        await until(lambda: it.lab.node.sent)
        assert on_disk == [("IntentSigned", signature_of(it.buys[0]))]


async def test_nothing_is_sent_when_the_journal_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 what the group raises comes at its end
        async with scene(tmp_path, gate="none") as it:
            with sqlite3.connect(it.lab.journal.path) as vandal:
                vandal.execute("DROP TABLE events")
            vandal.close()
            it.sees()
            sent = it.lab.node.sent
            await asyncio.sleep(10)  # the group ends this
    assert caught.value.subgroup(JournalError)
    assert sent == []


# ---- what it ends in -----------------------------------------------------------------------------------------------


async def test_pool_is_bought_held_and_sold_and_its_stages_are_measured(it: Scene) -> None:
    it.allows()
    it.lab.node.on_send = it.lab.node.lands
    pool = it.sees()
    await until(lambda: it.sniper.keepers)
    assert (it.sniper.bought, it.sniper.closed) == (1, 0)
    it.price(pool, RICH)
    await until(it.is_at_rest)
    assert (it.sniper.bought, it.sniper.closed) == (1, 1)
    (position,) = it.lab.journal.state.positions.values()
    assert (position.state, position.reason) == ("closed", "take_profit")
    assert position.pnl_lamports == it.lab.node.balance - 10_000_000_000
    assert {span.component for span in it.sniper.spans} == {
        Component.DETECTION,
        Component.HONEYPOT,
        Component.FILTERS,
        Component.EXECUTION,
        Component.FULL_FLOW,
        Component.EXIT,
    }
    assert not it.stop.is_set()


async def test_buy_that_failed_is_counted_in_the_venues_words_and_leaves_nothing_behind(it: Scene) -> None:
    it.allows()
    it.lab.node.on_send = lambda raw: it.lab.node.fails(raw, SLIPPAGE)
    it.sees()
    await until(it.is_at_rest)
    assert dict(it.sniper.failed) == {"TooMuchSolRequired": 1}
    assert it.lab.kinds() == ["failed"]
    assert {span.component for span in it.sniper.spans}.isdisjoint({Component.EXECUTION, Component.FULL_FLOW})


async def test_buy_that_landed_unreadably_is_unknown_not_bought_again_and_kept_when_it_can_be_read(it: Scene) -> None:
    it.allows()
    it.lab.node.on_send = lambda raw: it.lab.node.confirm(signature_of(raw))
    it.lab.jump_when_asleep()
    it.sees()
    await until(lambda: it.lab.kinds() == ["unknown"])
    assert it.reserved == COST  # it may have been spent
    it.sees()
    await until(lambda: dict(it.sniper.rejected) == {"already_bought": 1})
    assert len(it.buys) == 1
    it.lab.node.lands(it.lab.node.sent[0])
    await until(lambda: it.sniper.keepers)
    assert (it.sniper.bought, dict(it.sniper.failed)) == (1, {})


async def held_unread(it: Scene) -> NewPool:
    """A buy is confirmed and its tokens are there, but the node does not give the transaction."""
    it.allows()
    node = it.lab.node

    def land(raw: bytes) -> None:
        if trade_in(raw).side == "sell":
            node.lands(raw)
            return
        market = pump_traders().market(pool, SIGNER.pubkey)
        node.accounts[str(market.user_tokens)] = token_account(pool.mint, trade_in(raw).tokens)
        node.confirm(signature_of(raw))

    node.on_send = land
    pool = it.sees()
    await it.lab.jump_until(lambda: it.sniper.keepers)
    return pool


async def test_position_is_guarded_and_sold_before_its_buy_can_be_read_and_told_of_after_that(it: Scene) -> None:
    pool = await held_unread(it)
    state, node = it.lab.journal.state, it.lab.node
    assert (it.reserved, it.sniper.bought, it.sniper.admission.stats.in_flight) == (COST, 0, 0)
    it.price(pool, RICH)
    await it.lab.jump_until(lambda: not it.sniper.keepers)
    (position,) = state.positions.values()
    assert (position.state, position.reason, it.sniper.closed) == ("closed", "take_profit", 0)
    node.lands(it.buys[0])
    await it.lab.jump_until(it.is_at_rest)
    assert (it.sniper.bought, it.sniper.closed, it.reserved) == (1, 1, 0)
    assert position.pnl_lamports == node.balance - 10_000_000_000 == state.expected_lamports
    assert it.lab.context.book.standing(SIGNER.pubkey, 0).open_positions == 0


async def test_buy_that_can_be_read_while_its_position_is_guarded_changes_nothing_but_its_cost(it: Scene) -> None:
    pool = await held_unread(it)
    it.lab.node.lands(it.buys[0])
    await it.lab.jump_until(lambda: it.lab.kinds() == ["landed"])
    await it.settles()
    assert (it.sniper.bought, len(it.sniper.keepers)) == (1, 1)
    assert it.lab.context.book.standing(SIGNER.pubkey, 0).open_positions == 1
    it.price(pool, RICH)
    await it.lab.jump_until(it.is_at_rest)
    assert (it.sniper.closed, it.lab.context.book.standing(SIGNER.pubkey, 0).open_positions) == (1, 0)


async def test_position_held_unread_is_left_to_the_next_run_when_this_one_is_cancelled(it: Scene) -> None:
    await held_unread(it)
    for task in list(it.sniper.tasks):
        task.cancel()
    await asyncio.wait(it.sniper.tasks)
    await until(it.is_at_rest)
    assert [position.state for position in it.lab.journal.state.held_positions()] == ["open"]
    assert len(it.lab.journal.state.open_intents()) == 1


async def test_keeper_ends_when_the_transaction_says_that_nothing_was_bought(it: Scene) -> None:
    await held_unread(it)
    it.lab.node.record(it.buys[0], err=SLIPPAGE, delta=-5_000)
    await it.lab.jump_until(it.is_at_rest)
    (position,) = it.lab.journal.state.positions.values()
    assert (position.state, position.pnl_lamports, it.lab.kinds()) == ("closed", -5_000, ["failed"])
    assert (it.sells, it.reserved) == ([], 0)


async def test_buy_that_brought_nothing_is_closed_and_watched_by_nobody(it: Scene) -> None:
    it.allows()
    it.lab.node.on_send = lambda raw: it.lab.node.confirm(it.lab.node.record(raw, delta=-COST, tokens=0))
    it.sees()
    await until(it.is_at_rest)
    assert (it.sniper.bought, it.sniper.closed) == (1, 0)
    assert it.lab.journal.state.positions.popitem()[1].reason == "nothing_received"


async def test_position_that_cannot_be_sold_does_not_count_as_closed(it: Scene) -> None:
    it.allows()
    node = it.lab.node
    node.on_send = lambda raw: (
        node.lands(raw) if trade_in(raw).side == "buy" else node.fails(raw, {"InstructionError": [2, {"Custom": 17}]})
    )
    it.lab.jump_when_asleep()
    pool = it.sees()
    await until(lambda: it.sniper.keepers)
    it.price(pool, RICH)
    await until(it.is_at_rest)
    assert it.sniper.closed == 0
    assert it.lab.journal.state.positions.popitem()[1].state == "stuck"


# ---- never twice, never too many -----------------------------------------------------------------------------------


async def test_pool_that_is_told_twice_is_bought_once(it: Scene) -> None:
    it.allows()
    it.sees()
    it.sees()
    await until(lambda: it.buys)
    await it.settles()
    assert len(it.buys) == 1
    assert dict(it.sniper.rejected) == {"already_bought": 1}


@pytest.mark.parametrize("ended", [False, True])
async def test_mint_an_earlier_run_has_tried_to_buy_is_not_bought(tmp_path: Path, ended: bool) -> None:  # noqa: FBT001
    async with trading_lab(tmp_path / "journal") as lab:
        await lab.journal.append(buy_event(pool=pump_pool(1)))
        if ended:
            await lab.journal.append(
                IntentLanded(intent="buy", slot=Slot(1), lamports_delta=LamportsDelta(-1), tokens_held=TokenAmount(0))
            )
        else:
            await lab.journal.append(IntentUnknown(intent="buy", reason="r"))
    async with scene(tmp_path) as it:
        it.allows()
        it.sees(1)
        await until(it.is_at_rest)
        assert it.lab.node.sent == []
        assert dict(it.sniper.rejected) == {"already_bought": 1}


async def test_mint_that_memory_has_forgotten_is_refused_by_the_journal(
    it: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    it.allows()
    await it.lab.journal.claim(buy_event(pool=pump_pool(1)))
    it.lab.journal._mints = Recent(1, [pump_pool(2).mint])
    monkeypatch.setattr(it.sniper, "_bought_mints", Recent(1))
    it.sees(1)
    await until(it.is_at_rest)
    assert it.lab.node.sent == []
    assert dict(it.sniper.rejected) == {"already_bought": 1}
    assert it.reserved == 0


async def test_no_more_positions_are_opened_than_allowed_counting_buys_under_way(it: Scene) -> None:
    it.allows()
    for number in range(5):
        it.sees(number)
    await until(lambda: len(it.buys) == 3)
    await until(lambda: sum(it.sniper.rejected.values()) == 2)
    assert dict(it.sniper.rejected) == {"max_open_positions": 2}
    for raw in it.buys:
        it.lab.node.lands(raw)
    await until(lambda: len(it.sniper.keepers) == 3)
    it.sees(7)
    await until(lambda: it.sniper.rejected["max_open_positions"] == 3)
    assert len(it.buys) == 3


async def test_position_that_closes_makes_room_for_the_next(tmp_path: Path) -> None:
    async with scene(tmp_path, most=1) as it:
        it.allows()
        it.lab.node.on_send = it.lab.node.lands
        pool = it.sees(1)
        await until(lambda: it.sniper.keepers)
        it.price(pool, RICH)
        await until(it.is_at_rest)
        it.sees(2)
        await until(lambda: len(it.buys) == 2)


async def test_what_an_earlier_run_has_left_takes_room(tmp_path: Path) -> None:
    async with scene(tmp_path, most=1) as it:
        it.allows()
        it.sniper.taking_up.add("b0")
        it.sees(1)
        await until(it.is_at_rest)
        assert dict(it.sniper.rejected) == {"max_open_positions": 1}
        it.sniper.taking_up.discard("b0")
        it.sees(2)
        await until(lambda: it.buys)


async def test_reason_of_a_trap_is_told_although_there_was_no_room_for_it(tmp_path: Path) -> None:
    async with scene(tmp_path, most=1) as it:
        it.facts.always, it.trip.always = "ALLOW", "DENY"
        it.sniper.taking_up.add("b0")
        it.sees(1)
        await until(it.is_at_rest)
        assert dict(it.sniper.rejected) == {"trip_deny": 1}


async def test_run_until_two_are_closed_never_opens_a_third_unless_one_fails(tmp_path: Path) -> None:
    async with scene(tmp_path, until_closed=2) as it:
        it.allows()
        pools = {pool.mint: pool for pool in (it.sees(number) for number in range(3))}
        await until(lambda: len(it.buys) == 2)
        await until(lambda: it.sniper.rejected["enough_open"] == 1)
        it.lab.node.on_send = it.lab.node.lands
        first, second = it.buys
        it.lab.node.fails(first, SLIPPAGE)
        await until(lambda: it.sniper.failed["TooMuchSolRequired"] == 1)
        third = it.sees(7)
        pools[third.mint] = third
        it.lab.node.lands(second)
        await until(lambda: len(it.sniper.keepers) == 2)
        it.sees(8)
        await until(lambda: it.sniper.rejected["enough_open"] == 2)
        for position in it.lab.journal.state.held_positions():
            assert not it.stop.is_set()
            it.price(pools[position.pool.mint], RICH)
            await until(lambda position=position: position.state == "closed")  # type: ignore[misc]
        await until(it.stop.is_set)
        assert len(it.buys) == 3


async def test_wallet_that_cannot_pay_refuses_and_reserves_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, balance=2 * COST - 1) as it:
        it.allows()
        it.sees(1)
        it.sees(2)
        await until(lambda: it.sniper.rejected)
        assert dict(it.sniper.rejected) == {"insufficient_balance": 1}
        assert it.reserved == COST


async def test_stale_blockhash_refuses_instead_of_signing(it: Scene) -> None:
    it.allows()
    await it.lab.clock.advance(ms(10_001))
    it.sees()
    await until(it.is_at_rest)
    assert dict(it.sniper.rejected) == {"stale_blockhash": 1}
    assert it.lab.journal.state.intents == {}


# ---- the end -------------------------------------------------------------------------------------------------------


async def test_nothing_is_signed_after_the_stop(it: Scene) -> None:
    it.allows()
    it.stop.set()
    it.sees()
    await until(it.is_at_rest)
    assert dict(it.sniper.rejected) == {"stopping": 1}
    assert it.lab.journal.state.intents == {}


async def test_buy_at_its_gate_when_the_stop_comes_is_abandoned_unsent(it: Scene) -> None:
    pool = it.sees()
    await until(lambda: it.lab.kinds() == ["signed"])
    it.stop.set()
    it.facts.says(pool, "ALLOW")
    it.trip.says(pool, "ALLOW")
    await until(it.is_at_rest)
    assert it.lab.node.sent == []
    (intent,) = it.lab.journal.state.intents.values()
    assert (intent.state, intent.reason) == ("abandoned", "stopping")


async def test_buy_that_lands_after_the_stop_is_sold_at_once(it: Scene) -> None:
    it.allows()
    it.sees()
    await until(lambda: it.buys)
    it.stop.set()
    it.lab.node.on_send = it.lab.node.lands
    it.lab.node.lands(it.buys[0])
    await until(it.is_at_rest)
    assert it.lab.journal.state.positions.popitem()[1].reason == "drain"


@pytest.mark.parametrize("where", ["at the gate", "after the send", "in its position"])
async def test_cancelled_snipe_leaves_its_intent_to_the_journal_and_nothing_behind(
    it: Scene, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    if where != "at the gate":
        it.allows()
    if where == "in its position":
        it.lab.node.on_send = it.lab.node.lands
    it.sees()
    reached = {
        "at the gate": lambda: it.facts.asked and it.lab.kinds() == ["signed"],
        "after the send": lambda: it.buys,
        "in its position": lambda: it.sniper.keepers,
    }
    await until(reached[where])
    await it.settles()
    for task in list(it.sniper.tasks):
        task.cancel()
    await asyncio.wait(it.sniper.tasks)
    await until(it.is_at_rest)
    state = it.lab.journal.state
    if where == "in its position":
        assert [position.state for position in state.held_positions()] == ["open"]
    else:
        assert len(state.open_intents()) == 1
    sent = len(it.lab.node.sent)
    await it.lab.clock.advance(ms(1_000))
    await it.settles()
    assert len(it.lab.node.sent) == sent
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_sell_under_way_is_somebodys_work(it: Scene) -> None:
    it.allows()
    node = it.lab.node
    node.on_send = lambda raw: node.lands(raw) if trade_in(raw).side == "buy" else None
    pool = it.sees()
    await until(lambda: it.sniper.keepers)
    it.price(pool, RICH)
    await until(lambda: it.sells)
    (intent,) = it.lab.journal.state.open_intents()
    assert intent.signed.side == "sell"
    assert it.sniper.is_working_on(intent.signed)


async def test_denied_symbols_are_those_of_the_settings(tmp_path: Path) -> None:
    async with trading_lab(
        tmp_path / "journal", settings=msgspec.structs.replace(QUICK, filters=FiltersSettings(deny_symbols=("C1",)))
    ) as lab:
        sniper = Sniper(
            lab.context,
            traders=pump_traders(),
            checker=HoneypotChecker(PaperReader(), [], budget_ms=1),
            rent=RENT,
            stop=asyncio.Event(),
            until_closed=None,
        )
        sniper.on_pool(pump_pool(1, creator=key(1)))
        assert dict(sniper.rejected) == {"denied_symbol": 1}
