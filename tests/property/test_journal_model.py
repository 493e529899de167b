"""The journal against a simple model: any sequence of events, fitting or not, folded, written, and read again."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from slotzero.clock import TestClock
from slotzero.trading.journal import (
    Event,
    ExternalTransfer,
    HaltChanged,
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSent,
    IntentSigned,
    IntentUnknown,
    JournalState,
    PositionGraduated,
    PositionOpened,
    PositionStuck,
    SqliteJournal,
)
from slotzero.units import LamportsDelta, Slot, TokenAmount, WallNs
from trading_lab import CHAIN, buy_event, key, sell_event

BUYS = ("b1", "b2", "b3")
SELLS = ("s1", "s2", "s3", "s4")
intents = st.sampled_from(BUYS + SELLS)
deltas = st.integers(-(10**12), 10**12)
amounts = st.integers(0, 5)

events: st.SearchStrategy[Event] = st.one_of(
    st.builds(buy_event, st.sampled_from(BUYS)),
    st.builds(
        lambda intent, position, tokens: sell_event(intent, position=position, tokens=tokens),
        st.sampled_from(SELLS),
        st.sampled_from(BUYS),
        st.integers(1, 5),
    ),
    st.builds(
        lambda delta: ExternalTransfer(wallet=key(1), lamports_delta=LamportsDelta(delta), reason="funding"), deltas
    ),
    st.builds(lambda intent: IntentSent(intent=intent), intents),
    st.builds(lambda intent: IntentExpired(intent=intent), intents),
    st.builds(lambda intent: IntentAbandoned(intent=intent, reason="r"), intents),
    st.builds(lambda intent: IntentUnknown(intent=intent, reason="r"), intents),
    st.builds(lambda intent: PositionStuck(intent=intent, reason="r"), st.sampled_from(BUYS)),
    st.builds(lambda intent: PositionGraduated(intent=intent), st.sampled_from(BUYS)),
    st.builds(
        lambda why, high: HaltChanged(killed=why, tripped="", high_water=LamportsDelta(high)),
        st.sampled_from(["", "by hand"]),
        deltas,
    ),
    st.builds(
        lambda intent, delta: IntentFailed(
            intent=intent, slot=Slot(1), reason="r", lamports_delta=LamportsDelta(delta)
        ),
        intents,
        deltas,
    ),
    st.builds(
        lambda intent, delta, tokens: IntentLanded(
            intent=intent, slot=Slot(1), lamports_delta=LamportsDelta(delta), tokens_held=TokenAmount(tokens)
        ),
        intents,
        deltas,
        amounts,
    ),
    st.builds(
        lambda intent, tokens: PositionOpened(intent=intent, slot=Slot(1), tokens_held=TokenAmount(tokens)),
        intents,
        amounts,
    ),
)
QUOTED = buy_event().quoted_lamports
sequences = st.lists(events, max_size=40)


STATES: dict[type[Event], str] = {
    IntentSigned: "signed",
    IntentSent: "sent",
    IntentUnknown: "unknown",
    IntentExpired: "expired",
    IntentAbandoned: "abandoned",
    IntentFailed: "failed",
    IntentLanded: "landed",
}


class Model:
    """What the journal should say, in the plainest words: dictionaries of strings and numbers."""

    def __init__(self) -> None:
        self.state: dict[str, str] = {}
        self.exits: dict[str, tuple[str, int]] = {}
        self.tokens: dict[str, int] = {}
        self.pnl: dict[str, int] = {}
        self.stuck: set[str] = set()
        self.graduated: set[str] = set()
        self.early: set[str] = set()
        self.lamports = 0
        self.halt: HaltChanged | None = None

    def fits(self, event: Event) -> bool:
        if isinstance(event, ExternalTransfer | HaltChanged):
            return True
        state = self.state.get(event.intent)
        match event:
            case IntentSigned():
                has_position = event.position is None or self.tokens.get(event.position, 0) > 0
                return state is None and has_position
            case PositionStuck() | PositionGraduated():
                return state is not None and self.tokens.get(event.intent, 0) > 0
            case IntentAbandoned():
                return state == "signed"
            case PositionOpened():
                is_first = event.intent in BUYS and event.intent not in self.tokens
                return state in ("signed", "sent", "unknown") and is_first and event.tokens_held > 0
            case _:
                return state in ("signed", "sent", "unknown")

    def apply(self, event: Event) -> None:
        if isinstance(event, ExternalTransfer):
            self.lamports += event.lamports_delta
        elif isinstance(event, HaltChanged):
            self.halt = event
        elif isinstance(event, PositionStuck):
            self.stuck.add(event.intent)
            self.graduated.discard(event.intent)
        elif isinstance(event, PositionGraduated):
            self.graduated.add(event.intent)
            self.stuck.discard(event.intent)
        elif isinstance(event, PositionOpened):
            self.early.add(event.intent)
            self.tokens[event.intent], self.pnl[event.intent] = event.tokens_held, -QUOTED
            self.state[event.intent] = self.state[event.intent].replace("signed", "sent")
        else:
            self.state[event.intent] = STATES[type(event)]
            if isinstance(event, IntentSigned) and event.position is not None:
                self.exits[event.intent] = (event.position, event.tokens)
            if isinstance(event, IntentFailed | IntentLanded):
                self.settle(event)
            if isinstance(event, IntentFailed | IntentLanded | IntentExpired) and event.intent in self.early:
                self.pnl[event.intent] += QUOTED
                if not isinstance(event, IntentLanded):
                    self.tokens[event.intent] = 0

    def settle(self, event: IntentFailed | IntentLanded) -> None:
        self.lamports += event.lamports_delta
        position, sold = self.exits.get(event.intent, (event.intent, None))
        if sold is not None or position in self.early:
            self.pnl[position] += event.lamports_delta
        if not isinstance(event, IntentLanded) or event.intent in self.early:
            return
        if sold is None:
            self.tokens[position], self.pnl[position] = event.tokens_held, event.lamports_delta
        else:
            self.tokens[position] = min(max(self.tokens[position] - sold, 0), event.tokens_held)
            self.stuck.discard(position)
            self.graduated.discard(position)

    def check(self, state: JournalState) -> None:
        assert {name: intent.state for name, intent in state.intents.items()} == self.state
        assert {name: p.tokens for name, p in state.positions.items()} == self.tokens
        assert {name: p.pnl_lamports for name, p in state.positions.items()} == self.pnl
        assert state.expected_lamports == self.lamports
        held = {name for name, tokens in self.tokens.items() if tokens}
        assert {p.id for p in state.held_positions()} == held
        assert {p.id for p in state.held_positions() if p.state == "stuck"} == self.stuck & held
        assert {p.id for p in state.held_positions() if p.state == "graduated"} == self.graduated & held
        assert self.halt is None or state.halt == self.halt
        is_open = {name for name, of in self.state.items() if of in ("signed", "sent", "unknown")}
        assert {intent.signed.intent for intent in state.open_intents()} == is_open

    def check_forgetful(self, state: JournalState, kept: int) -> None:
        """Check a state that forgets trades that are over: what it has is right, and no sum has lost anything."""
        assert {name: intent.state for name, intent in state.intents.items()}.items() <= self.state.items()
        assert {name: p.tokens for name, p in state.positions.items()}.items() <= self.tokens.items()
        under_way = {name for name, of in self.state.items() if of in ("signed", "sent", "unknown")}
        held = {name for name, tokens in self.tokens.items() if tokens}
        assert {intent.signed.intent for intent in state.open_intents()} == under_way <= state.intents.keys()
        assert {position.id for position in state.held_positions()} == held <= state.positions.keys()
        trades = held | {self.exits.get(name, (name, 0))[0] for name in under_way}
        assert len(state.intents.keys() & set(BUYS)) <= kept + len(trades)
        assert state.forgotten_pnl_lamports + sum(p.pnl_lamports for p in state.positions.values()) == sum(
            self.pnl.values()
        )
        assert state.forgotten_positions + len(state.positions) == len(self.tokens)
        assert state.expected_lamports == self.lamports


def try_apply(state: JournalState, event: Event) -> bool:
    try:
        state.apply(event, WallNs(0))
    except ValueError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(sequences)
def test_any_sequence_of_events_is_folded_as_the_model_says(sequence: list[Event]) -> None:
    state, model = JournalState(), Model()
    for event in sequence:
        fits = model.fits(event)
        assert try_apply(state, event) == fits, (event, model.state)
        if fits:
            model.apply(event)
        model.check(state)


@settings(max_examples=300, deadline=None)
@given(sequences, st.integers(0, 2))
def test_any_sequence_leaves_its_sums_where_old_trades_are_forgotten(sequence: list[Event], kept: int) -> None:
    state, model = JournalState(kept=kept), Model()
    for event in sequence:
        if model.fits(event):  # an intent that is forgotten would fit again: ids are never used twice
            state.apply(event, WallNs(0))
            model.apply(event)
        model.check_forgetful(state, kept)


@settings(max_examples=25, deadline=None)
@given(sequences, st.integers(0, 3))
def test_any_sequence_is_read_again_as_it_was_written_over_several_openings(
    sequence: list[Event], openings: int
) -> None:
    async def write() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path, size = Path(folder) / "journal", len(sequence) // (openings + 1) + 1
            clock, expected = TestClock(), JournalState()
            for first in range(0, len(sequence), size):
                async with SqliteJournal(path, CHAIN, clock=clock) as journal:
                    for event in sequence[first : first + size]:
                        if try_apply(expected, event):
                            journal.append(event)
            async with SqliteJournal(path, CHAIN, clock=TestClock(wall_ns=5)) as journal:
                for intent in [*journal.state.intents.values(), *expected.intents.values()]:
                    intent.signed_wall_ns = WallNs(0)
                assert journal.state.intents == expected.intents
                assert journal.state.expected_lamports == expected.expected_lamports
                for position in [*journal.state.positions.values(), *expected.positions.values()]:
                    position.opened_wall_ns = WallNs(0)
                assert journal.state.positions == expected.positions

    asyncio.run(write())
