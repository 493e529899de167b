"""The trading machinery against a chain that keeps accounts of its own: whatever happens, no money is lost.

Driven are the real sniper, keepers, limits, wallet book, journal and recovery, on the paper node. The other side is the
simplest thing that can be: a ledger that executes what is sent to it, honestly or not at all, as the events say. After
each event the books are held against the ledger.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from solders.pubkey import Pubkey

from slotzero.clock import TestClock, ms
from slotzero.config import ExitsSettings, LimitsSettings, SafetySettings, TradeSettings
from slotzero.safety import AccountView, CheckContext, Decision, Evidence, HoneypotChecker, SimulationView
from slotzero.solana.blockhash import VALID_BLOCKS
from slotzero.trading.journal import ExternalTransfer, Intent, PositionRecord
from slotzero.trading.limits import halt_changed
from slotzero.trading.probe import RentFacts
from slotzero.trading.recovery import Recovery
from slotzero.trading.sniper import Sniper
from slotzero.units import Lamports, LamportsDelta
from slotzero.venues.records import NewPool
from trading_lab import (
    LAUNCH,
    QUICK,
    SIGNER,
    Lab,
    PaperNode,
    Trade,
    curve_data,
    mint_in,
    moved,
    pump_pool,
    pump_traders,
    signature_of,
    trade_in,
    trading_lab,
)

BUY = 100_000_000
HOUR = 4 * BUY - 1
MOST_OPEN = 3
FEE = 5_000
PURSE = 2_000_000_000
SETTINGS = msgspec.structs.replace(
    QUICK,
    safety=SafetySettings(budget_ms=60_000),
    trade=TradeSettings(max_open_positions=MOST_OPEN),
    limits=LimitsSettings(trade_lamports=Lamports(BUY), hour_lamports=Lamports(HOUR)),
    exits=ExitsSettings(max_hold_ms=5_000, retry_ms=20, max_attempts=3, max_emergency_attempts=4),
)
RENT = RentFacts(empty_account_lamports=Lamports(890_880), first_trade_lamports=Lamports(5_000_000))
BASE = moved(LAUNCH, 10_000_000_000)
FROZEN = {"InstructionError": [2, {"Custom": 17}]}
TOO_FEW = {"InstructionError": [2, {"Custom": 1}]}
COMPLETE = {"InstructionError": [2, {"Custom": 6005}]}
REFUSED = {"InstructionError": [3, {"Custom": 6002}]}

_ROUNDS = 60
PICK = st.integers(0, 11)
"""Which of those there are: what there is depends on the bot, and a draw must not."""

Verdict = Literal["ALLOW", "DENY", "UNSURE", "later"]


T = TypeVar("T")


def chosen(found: Sequence[T], pick: int) -> T | None:
    """One of those found, if there are any."""
    return found[pick % len(found)] if found else None


class NoReader:
    async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
        return [None] * len(keys)

    async def simulate(self, raw: bytes, watch: Sequence[Pubkey]) -> SimulationView:
        raise AssertionError(raw, watch)


class Oracle:
    """A safety layer that says what the events say."""

    name = "oracle"
    is_facts = True

    def __init__(self) -> None:
        self.said: dict[Pubkey, Decision] = {}
        self.waiting: dict[Pubkey, asyncio.Event] = {}

    def keys(self, pool: NewPool) -> tuple[Pubkey, ...]:
        return (pool.mint,)

    async def run(self, context: CheckContext) -> tuple[Evidence, ...]:
        mint = context.pool.mint
        if mint not in self.said:
            await self.waiting.setdefault(mint, asyncio.Event()).wait()
        return (Evidence(layer=self.name, decision=self.said[mint], reason="said", detail="said"),)

    def says(self, mint: Pubkey, decision: Decision) -> None:
        self.said[mint] = decision
        if (event := self.waiting.pop(mint, None)) is not None:
            event.set()


@dataclass
class Executed:
    """What the ledger has done with a transaction."""

    trade: Trade
    mint: str
    delta: int
    has_failed: bool


class Ledger:
    """The chain's own accounts: nothing in it asks the bot for anything."""

    def __init__(self, node: PaperNode) -> None:
        self.node = node
        self.balance = node.balance
        self.tokens: Counter[str] = Counter()
        self.frozen: set[str] = set()
        self.complete: set[str] = set()
        self.executed: dict[str, Executed] = {}
        self.hidden: dict[str, dict[str, object]] = {}
        self.sent: dict[str, bytes] = {}
        self.last_valid: dict[str, int] = {}
        node.on_send = self._receive

    def _receive(self, raw: bytes) -> None:
        signature = signature_of(raw)
        if signature not in self.sent:
            self.sent[signature] = raw
            self.last_valid[signature] = self.node.height + VALID_BLOCKS

    @property
    def pending(self) -> list[str]:
        """What may still land."""
        return [
            signature
            for signature in self.sent
            if signature not in self.executed and self.node.height <= self.last_valid[signature]
        ]

    def execute(self, signature: str, *, refuses: bool, is_heard: bool, is_readable: bool) -> None:
        """Land a transaction by the ledger's own rules; `refuses` makes it fail as a price that moved does."""
        raw = self.sent[signature]
        trade, mint = trade_in(raw), mint_in(raw)
        err = REFUSED if refuses else self._objection(trade, mint)
        delta = -FEE
        if err is None:
            sign = 1 if trade.side == "buy" else -1
            delta = -trade.limit if trade.side == "buy" else trade.limit + 1_000
            self.tokens[mint] += sign * trade.tokens
        self.balance += delta
        self.executed[signature] = Executed(trade, mint, delta, err is not None)
        self.node.slot += 1
        self.node.record(raw, err=err, delta=delta, tokens=self.tokens[mint])
        self.node.tokens[mint] = self.tokens[mint]
        if not is_readable:
            self.hidden[signature] = self.node.transactions.pop(signature)
        if is_heard:
            self.node.confirm(signature, err)
        else:
            self.node.statuses[signature] = {
                "slot": self.node.slot,
                "confirmationStatus": "confirmed",
                "err": err,
            }

    def _objection(self, trade: Trade, mint: str) -> object | None:
        if mint in self.complete:
            return COMPLETE
        if trade.side == "buy":
            return None if self.balance >= trade.limit else REFUSED
        if mint in self.frozen:
            return FROZEN
        return None if self.tokens[mint] >= trade.tokens else TOO_FEW

    def reveal(self) -> None:
        """From now on the node gives every transaction."""
        self.node.transactions |= self.hidden
        self.hidden.clear()


class EngineMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal"
        self.clock = TestClock()
        self.node = PaperNode()
        self.node.balance = PURSE
        self.ledger = Ledger(self.node)
        self.pools: dict[str, NewPool] = {}
        self.prices: dict[str, int] = {}
        self.bought_when_killed: set[str] | None = None
        self.host: asyncio.Task[None] | None = None

    # ---- a life of the bot -----------------------------------------------------------------------------------------

    def do(self, work: Coroutine[Any, Any, object]) -> None:
        async def step() -> None:
            await work
            await self._settle()

        self.runner.run(step())

    async def _begin(self) -> None:
        self.oracle = Oracle()
        self.stop = asyncio.Event()
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.host = asyncio.get_running_loop().create_task(self._live(ready), name="a life")
        await asyncio.wait([ready, self.host], return_when=asyncio.FIRST_COMPLETED)
        if self.host.done():
            self.host.result()

    async def _live(self, ready: "asyncio.Future[None]") -> None:
        self.end = asyncio.Event()
        async with trading_lab(self.path, settings=SETTINGS, clock=self.clock, node=self.node) as lab:
            self.lab: Lab = lab
            self._count_writes(lab)
            traders = pump_traders()
            self.sniper = Sniper(
                lab.context,
                traders=traders,
                checker=HoneypotChecker(NoReader(), [self.oracle], budget_ms=60_000),
                rent=RENT,
                stop=self.stop,
                until_closed=None,
            )
            if SIGNER.pubkey not in lab.journal.state.funded:
                await lab.journal.append(
                    ExternalTransfer(wallet=SIGNER.pubkey, lamports_delta=LamportsDelta(PURSE), reason="first")
                )
            await Recovery(lab.context, self.sniper, traders).start()
            ready.set_result(None)
            await self.end.wait()

    def _count_writes(self, lab: Lab) -> None:
        """Know when the journal's thread has nothing in hand."""
        enqueue, self.unwritten = lab.journal._enqueue, 0

        def counted(entry: Any) -> None:
            def settle(outcome: Any) -> None:
                self.unwritten -= 1
                entry.settle(outcome)

            self.unwritten += 1
            enqueue(msgspec.structs.replace(entry, settle=settle))

        lab.journal._enqueue = counted  # type: ignore[method-assign]

    async def _die(self) -> None:
        """As kill -9 does, but for what the journal's thread has in hand: that is written."""
        assert self.host is not None
        self.end.set()
        await asyncio.wait([self.host])
        self.host.result()

    async def _settle(self) -> None:
        """Let everything that can happen without the clock happen."""
        seen: object = None
        still = 0
        for _ in range(200):
            self.lab.context.desk._woken.set()
            await asyncio.sleep(0.0005)
            events = len(self.lab.journal.state.intents), self.lab.kinds(), len(self.node.log), len(self.sniper.tasks)
            still = still + 1 if events == seen and not self.unwritten else 0
            seen = events
            if still == 4:
                return

    # ---- what happens ----------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.do(self._begin())

    @rule(number=st.integers(0, 11), verdict=st.sampled_from(["ALLOW", "ALLOW", "ALLOW", "DENY", "UNSURE", "later"]))
    def pool_is_created_or_told_again(self, number: int, verdict: Verdict) -> None:
        async def step() -> None:
            pool = self.pools.get(str(pump_pool(number).mint)) or pump_pool(number, reserves=BASE)
            mint = str(pool.mint)
            if mint not in self.pools:
                self.pools[mint], self.prices[mint] = pool, 0
                self.node.accounts[str(pool.pool)] = curve_data(BASE)
            if verdict != "later" and pool.mint not in self.oracle.said:
                self.oracle.says(pool.mint, verdict)
            self.sniper.on_pool(pool)

        self.do(step())

    @rule(pick=PICK, decision=st.sampled_from(["ALLOW", "DENY"]))
    def verdict_comes(self, pick: int, decision: Decision) -> None:
        async def step(mint: Pubkey) -> None:
            self.oracle.says(mint, decision)

        if (mint := chosen(list(self.oracle.waiting), pick)) is not None:
            self.do(step(mint))

    @rule(pick=PICK, refuses=st.sampled_from([False, False, False, True]), is_heard=st.booleans())
    def transaction_lands(self, pick: int, refuses: bool, is_heard: bool) -> None:  # noqa: FBT001
        self._land(pick, refuses=refuses, is_heard=is_heard, is_readable=True)

    @rule(pick=PICK)
    def transaction_lands_and_the_node_does_not_give_it(self, pick: int) -> None:
        self._land(pick, refuses=False, is_heard=True, is_readable=False)
        self.do(self.clock.advance(ms(20_000)))
        self.do(self.lab.context.blockhashes.refresh())

    def _land(self, pick: int, *, refuses: bool, is_heard: bool, is_readable: bool) -> None:
        async def step(signature: str) -> None:
            self.ledger.execute(signature, refuses=refuses, is_heard=is_heard, is_readable=is_readable)
            if not is_heard:
                await self.clock.advance(ms(11))  # the poll finds it

        if (signature := chosen(self.ledger.pending, pick)) is not None:
            self.do(step(signature))

    @rule()
    def nothing_lands_any_more(self) -> None:
        self.do(self._expire())

    async def _expire(self) -> None:
        self.node.height += VALID_BLOCKS + 1
        await self.lab.context.blockhashes.refresh()
        for _ in range(4):
            await self.clock.advance(ms(11))
            await self._settle()

    @rule(pick=PICK, lamports=st.sampled_from([-9_000_000_000, -5_000_000_000, 0, 2_000_000_000, 20_000_000_000]))
    def price_moves(self, pick: int, lamports: int) -> None:
        async def step(mint: str) -> None:
            self.prices[mint] = lamports
            self._push(mint)

        if (mint := chosen(list(self.pools), pick)) is not None:
            self.do(step(mint))

    @rule(pick=PICK)
    def curve_completes(self, pick: int) -> None:
        async def step(mint: str) -> None:
            self.ledger.complete.add(mint)
            self._push(mint)

        if (mint := chosen(list(self.pools), pick)) is not None:
            self.do(step(mint))

    def _push(self, mint: str) -> None:
        self.node.slot += 1
        data = curve_data(moved(BASE, self.prices[mint]), is_complete=mint in self.ledger.complete)
        self.lab.transport.account(self.pools[mint].pool, data)

    @rule(pick=PICK)
    def tokens_are_frozen_or_thawed(self, pick: int) -> None:
        if (mint := chosen(list(self.pools), pick)) is not None:
            self.ledger.frozen ^= {mint}
            self.node.frozen = set(self.ledger.frozen)

    @rule(by_ms=st.sampled_from([5, 25, 300, 6_000]))
    def time_passes(self, by_ms: int) -> None:
        async def step() -> None:
            await self.clock.advance(ms(by_ms))
            await self.lab.context.blockhashes.refresh()

        self.do(step())

    @rule(is_rare=st.integers(0, 3))
    def person_panics(self, is_rare: int) -> None:
        async def step() -> None:  # what the engine's panic does
            self.lab.context.limits.kill("by hand")
            self.sniper.sell_everything()
            await self.lab.journal.append(halt_changed(self.lab.context.limits))

        if is_rare:  # or little would ever be bought
            return
        if self.bought_when_killed is None:
            self.bought_when_killed = self._buys_sent()
        self.do(step())

    @rule()
    def person_lets_it_go_on(self) -> None:
        async def step() -> None:
            self.lab.context.limits.revive()
            await self.lab.journal.append(halt_changed(self.lab.context.limits))

        self.bought_when_killed = None
        self.do(step())

    @rule(reveals=st.booleans())
    def bot_is_killed_and_starts_again(self, reveals: bool) -> None:  # noqa: FBT001
        async def step() -> None:
            await self._die()
            if reveals:
                self.ledger.reveal()
            await self._begin()

        self.do(step())

    # ---- what must be so -------------------------------------------------------------------------------------------

    def _buys_sent(self) -> set[str]:
        return {signature for signature, raw in self.ledger.sent.items() if trade_in(raw).side == "buy"}

    @property
    def intents(self) -> list[Intent]:
        return list(self.lab.journal.state.intents.values())

    @invariant()
    def nothing_is_bought_twice(self) -> None:
        mints = Counter(mint_in(self.ledger.sent[signature]) for signature in self._buys_sent())
        assert max(mints.values(), default=0) <= 1, "two buys of a mint were sent"

    @invariant()
    def nothing_is_sent_that_is_not_written_down(self) -> None:
        written = {intent.signed.signature for intent in self.intents}
        assert set(self.ledger.sent) <= written

    @invariant()
    def every_end_is_the_ledgers(self) -> None:
        for intent in self.intents:
            done = self.ledger.executed.get(intent.signed.signature)
            match intent.state:
                case "landed":
                    assert done is not None
                    assert not done.has_failed
                    assert intent.lamports_delta == done.delta
                case "failed":
                    assert done is not None
                    assert done.has_failed
                    assert intent.lamports_delta == done.delta
                case "expired":
                    assert done is None
                    assert self.node.height > intent.signed.last_valid_block_height
                case "abandoned":
                    assert intent.signed.signature not in self.ledger.sent
                case _:
                    assert intent.is_open

    @invariant()
    def books_and_ledger_differ_by_what_is_open_alone(self) -> None:
        untold = sum(
            done.delta
            for intent in self.intents
            if intent.is_open and (done := self.ledger.executed.get(intent.signed.signature)) is not None
        )
        assert self.lab.journal.state.expected_lamports + untold == self.ledger.balance == self.node.balance

    @invariant()
    def positions_are_what_the_ledger_holds(self) -> None:
        open_mints = {intent.signed.mint for intent in self.intents if intent.is_open}
        held: Counter[str] = Counter()
        for position in self.lab.journal.state.positions.values():
            if position.pool.mint not in open_mints:
                held[str(position.pool.mint)] += position.tokens
                self._position_is_sound(position)
        for mint, tokens in self.ledger.tokens.items():
            if Pubkey.from_string(mint) not in open_mints:
                assert held[mint] == tokens >= 0

    def _position_is_sound(self, position: PositionRecord) -> None:
        sold = sum(
            done.trade.tokens
            for done in self.ledger.executed.values()
            if done.mint == str(position.pool.mint) and done.trade.side == "sell" and not done.has_failed
        )
        assert position.bought - sold == position.tokens, "sold twice, or not at all"

    @invariant()
    def limits_are_kept_and_count_what_the_books_say(self) -> None:
        spent = sum(
            intent.signed.limit_lamports if intent.is_open else max(-intent.lamports_delta, 0)
            for intent in self.intents
            if intent.signed.side == "buy"
        )
        assert spent <= HOUR
        assert all(intent.signed.limit_lamports <= BUY for intent in self.intents if intent.signed.side == "buy")
        view = self.lab.context.limits.view(self.clock.wall_ns())
        unclaimed = [i for i in self.sniper._buying if i not in self.lab.journal.state.intents]
        assert view.hour_lamports == spent + BUY * len(unclaimed)
        assert self.ledger.balance >= 0

    @invariant()
    def no_more_is_held_than_allowed(self) -> None:
        under_way = [intent for intent in self.intents if intent.is_open and intent.signed.side == "buy"]
        assert len(under_way) + len(self.sniper.keepers) <= MOST_OPEN or self.sniper.tasks
        if not self.lab.journal.state.open_intents() and not self.sniper._buying:
            standing = self.lab.context.book.standing(SIGNER.pubkey, self.clock.mono_ns())
            assert standing.reserved_lamports == 0

    @invariant()
    def nothing_is_bought_while_the_switch_is_on(self) -> None:
        if self.bought_when_killed is not None:
            assert self._buys_sent() == self.bought_when_killed
            assert self.lab.context.limits.is_halted

    async def _all_lands(self) -> None:
        for signature in self.ledger.pending:
            self.ledger.execute(signature, refuses=False, is_heard=True, is_readable=True)
        await self._settle()
        await self.clock.advance(ms(25))
        await self.lab.context.blockhashes.refresh()

    def teardown(self) -> None:
        """Let what is open come to its end in one more life: then nothing is unknown and nothing is missing."""
        try:
            if self.host is not None:
                self.do(self._expire())
                self.bot_is_killed_and_starts_again(reveals=True)
                for _ in range(_ROUNDS):
                    if not self.lab.journal.state.open_intents():
                        break
                    self.do(self._all_lands())
                assert self.lab.journal.state.open_intents() == []
                self.every_end_is_the_ledgers()
                self.books_and_ledger_differ_by_what_is_open_alone()
                self.positions_are_what_the_ledger_holds()
                self.runner.run(self._die())
        finally:
            self.runner.close()
            self.folder.cleanup()


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
