"""The fold: what each event makes of intents and positions, and which events do not fit."""

from collections.abc import Callable

import pytest

from slotzero.trading.journal import (
    Event,
    ExternalTransfer,
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSent,
    IntentUnknown,
    JournalState,
    PositionOpened,
    PositionStuck,
    new_intent_id,
)
from slotzero.units import LamportsDelta, Slot, TokenAmount, WallNs
from trading_lab import buy_event, key, pump_pool, sell_event

WALL = WallNs(77)


def landed(intent: str, delta: int, tokens: int) -> IntentLanded:
    return IntentLanded(
        intent=intent, slot=Slot(9), lamports_delta=LamportsDelta(delta), tokens_held=TokenAmount(tokens)
    )


def failed(intent: str, delta: int = -5) -> IntentFailed:
    return IntentFailed(intent=intent, slot=Slot(9), reason="TooMuchSolRequired", lamports_delta=LamportsDelta(delta))


def folded(*events: Event) -> JournalState:
    state = JournalState()
    for event in events:
        state.apply(event, WALL)
    return state


def trade(number: int, *, pnl: int = -10) -> list[Event]:
    """A coin bought for 110 and sold."""
    pool = pump_pool(number)
    return [
        buy_event(f"b{number}", pool=pool),
        landed(f"b{number}", -110, 1_000),
        sell_event(f"s{number}", position=f"b{number}", tokens=1_000),
        landed(f"s{number}", 110 + pnl, 0),
    ]


def test_old_trades_are_forgotten_whole_and_their_sums_kept() -> None:
    state = JournalState(kept=2)
    for number in range(5):
        for event in trade(number, pnl=-number):
            state.apply(event, WALL)
    assert list(state.intents) == ["b3", "s3", "b4", "s4"]
    assert list(state.positions) == ["b3", "b4"]
    assert (state.forgotten_positions, state.forgotten_pnl_lamports) == (3, -3)
    assert (state.expected_lamports, state.newest_slot, state.double_buys) == (-10, 9, 0)
    assert list(state.bought_mints) == [pump_pool(number).mint for number in range(5)]
    assert state.sells_of("b0") == []
    assert [signed.intent for signed in state.sells_of("b4")] == ["s4"]


def test_what_is_held_or_open_is_never_forgotten() -> None:
    state = JournalState(kept=0)
    begun: list[Event] = [
        buy_event("held", pool=pump_pool(90)),
        landed("held", -110, 5),
        PositionStuck(intent="held", reason="r"),
    ]
    begun += [buy_event("unknown", pool=pump_pool(91)), IntentUnknown(intent="unknown", reason="r")]
    for event in [*begun, *trade(1), buy_event("failed", pool=pump_pool(92)), failed("failed")]:
        state.apply(event, WALL)
    assert list(state.intents) == ["held", "unknown"]
    assert [position.id for position in state.held_positions()] == ["held"]


def test_second_landed_buy_of_a_mint_is_counted_once() -> None:
    events = [step for name in ("b1", "b2", "b3") for step in (buy_event(name), landed(name, -110, 0))]
    assert folded(*events).double_buys == 1


def test_intent_signed_is_open_and_holds_nothing() -> None:
    state = folded(buy_event())
    assert [intent.signed.intent for intent in state.open_intents()] == ["buy"]
    assert state.intents["buy"].state == "signed"
    assert state.held_positions() == []


@pytest.mark.parametrize(
    ("end", "state", "is_open"),
    [
        (IntentSent(intent="buy"), "sent", True),
        (IntentUnknown(intent="buy", reason="r"), "unknown", True),
        (IntentExpired(intent="buy"), "expired", False),
        (IntentAbandoned(intent="buy", reason="freeze_authority"), "abandoned", False),
        (failed("buy"), "failed", False),
        (landed("buy", -110, 1_000), "landed", False),
    ],
)
def test_outcome_sets_state_of_intent(end: Event, state: str, is_open: bool) -> None:  # noqa: FBT001
    intent = folded(buy_event(), end).intents["buy"]
    assert (intent.state, intent.is_open) == (state, is_open)


def test_unknown_intent_that_landed_after_all_opens_its_position() -> None:
    state = folded(buy_event(), IntentSent(intent="buy"), IntentUnknown(intent="buy", reason="r"), landed("buy", -9, 5))
    assert [position.id for position in state.held_positions()] == ["buy"]


def test_landed_buy_opens_a_position_with_what_is_really_held() -> None:
    pool = pump_pool(3)
    (position,) = folded(buy_event(pool=pool), landed("buy", -120, 999)).held_positions()
    assert (position.id, position.pool, position.tokens, position.state) == ("buy", pool, 999, "open")
    assert (position.quoted_lamports, position.pnl_lamports, position.opened_wall_ns) == (100, -120, 77)


def test_landed_buy_that_brought_nothing_is_closed_with_its_loss() -> None:
    state = folded(buy_event(), landed("buy", -120, 0))
    assert state.held_positions() == []
    assert (state.positions["buy"].reason, state.positions["buy"].pnl_lamports) == ("nothing_received", -120)


def opened(tokens: int, intent: str = "buy") -> PositionOpened:
    return PositionOpened(intent=intent, slot=Slot(8), tokens_held=TokenAmount(tokens))


def test_position_that_is_held_before_its_buy_can_be_read_counts_at_its_quote_until_then() -> None:
    events: list[Event] = [buy_event(), opened(999)]
    state = folded(*events)
    (position,) = state.held_positions()
    assert (position.tokens, position.bought, position.pnl_lamports) == (999, 999, -100)
    assert (state.intents["buy"].state, state.intents["buy"].slot, state.expected_lamports) == ("sent", 8, 0)
    state = folded(*events, landed("buy", -120, 999))
    (position,) = state.held_positions()
    assert (position.tokens, position.pnl_lamports, state.expected_lamports) == (999, -120, -120)
    assert state.intents["buy"].state == "landed"


def test_position_that_is_sold_before_its_buy_can_be_read_has_its_result_when_it_is() -> None:
    sold: list[Event] = [buy_event(), opened(1_000), sell_event(), landed("sell", 150, 0)]
    state = folded(*sold)
    assert (state.positions["buy"].state, state.intents["buy"].is_open, state.expected_lamports) == (
        "closed",
        True,
        150,
    )
    state = folded(*sold, landed("buy", -120, 1_000))
    assert (state.positions["buy"].pnl_lamports, state.expected_lamports, state.held_positions()) == (30, 30, [])


@pytest.mark.parametrize(("end", "pnl"), [(IntentExpired(intent="buy"), 0), (failed("buy", -5), -5)])
def test_position_of_a_buy_that_did_not_land_after_all_is_closed_at_what_it_cost(end: Event, pnl: int) -> None:
    state = folded(buy_event(), opened(1_000), end)
    position = state.positions["buy"]
    assert (position.state, position.reason, position.pnl_lamports) == ("closed", "not_bought", pnl)
    assert state.held_positions() == []


def test_landed_sell_closes_the_position_and_pnl_is_the_sum_of_balance_changes() -> None:
    state = folded(
        buy_event(),
        landed("buy", -120, 1_000),
        sell_event("s1"),
        failed("s1", -5),
        sell_event("s2"),
        landed("s2", 150, 0),
    )
    position = state.positions["buy"]
    assert (position.state, position.reason, position.tokens) == ("closed", "take_profit", 0)
    assert position.pnl_lamports == -120 - 5 + 150


def test_sell_of_a_part_leaves_the_position_open() -> None:
    state = folded(buy_event(), landed("buy", -120, 1_000), sell_event(tokens=400), landed("sell", 50, 600))
    assert (state.positions["buy"].state, state.positions["buy"].tokens) == ("open", 600)


def test_tokens_a_stranger_sends_are_no_part_of_the_position() -> None:
    state = folded(buy_event(), landed("buy", -120, 1_000), sell_event(), landed("sell", 50, 3))
    assert (state.positions["buy"].state, state.positions["buy"].tokens) == ("closed", 0)


def test_tokens_taken_from_us_are_no_longer_in_the_position() -> None:
    state = folded(buy_event(), landed("buy", -120, 1_000), sell_event(tokens=400), landed("sell", 50, 10))
    assert state.positions["buy"].tokens == 10


def test_expired_sell_leaves_the_position_as_it_was() -> None:
    state = folded(buy_event(), landed("buy", -120, 1_000), sell_event(), IntentExpired(intent="sell"))
    assert (state.positions["buy"].state, state.positions["buy"].pnl_lamports) == ("open", -120)


def test_stuck_position_is_still_held_and_a_later_sell_closes_it() -> None:
    events: list[Event] = [buy_event(), landed("buy", -120, 1_000), PositionStuck(intent="buy", reason="AccountFrozen")]
    state = folded(*events)
    assert [(p.state, p.reason) for p in state.held_positions()] == [("stuck", "AccountFrozen")]
    state = folded(*events, sell_event(), landed("sell", 90, 0))
    assert state.held_positions() == []


ENDS: list[Callable[[str], Event]] = [
    lambda intent: IntentExpired(intent=intent),
    lambda intent: IntentAbandoned(intent=intent, reason="r"),
    failed,
    lambda intent: landed(intent, 1, 1),
]
NEXTS: list[Callable[[str], Event]] = [
    *ENDS,
    lambda intent: IntentSent(intent=intent),
    lambda intent: IntentUnknown(intent=intent, reason="r"),
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("further", NEXTS)
def test_ended_intent_takes_no_further_event(end: Callable[[str], Event], further: Callable[[str], Event]) -> None:
    state = folded(buy_event(), end("buy"))
    before = state.intents["buy"].state
    with pytest.raises(ValueError, match="has ended"):
        state.apply(further("buy"), WALL)
    assert state.intents["buy"].state == before


@pytest.mark.parametrize("event", [make("nobody") for make in NEXTS] + [PositionStuck(intent="nobody", reason="r")])
def test_event_of_an_unknown_intent_is_refused(event: Event) -> None:
    with pytest.raises(ValueError, match="does not know"):
        folded(buy_event(), event)


@pytest.mark.parametrize("sent", [IntentSent(intent="buy"), IntentUnknown(intent="buy", reason="r")])
def test_intent_that_may_have_been_sent_cannot_be_abandoned(sent: Event) -> None:
    with pytest.raises(ValueError, match="cannot be abandoned"):
        folded(buy_event(), sent, IntentAbandoned(intent="buy", reason="r"))


def test_same_intent_cannot_be_signed_twice() -> None:
    with pytest.raises(ValueError, match="already"):
        folded(buy_event(), buy_event())


@pytest.mark.parametrize(
    "before",
    [
        [],
        [buy_event()],
        [buy_event(), failed("buy")],
        [buy_event(), landed("buy", -1, 0)],
        [buy_event(), landed("buy", -1, 1_000), sell_event("first"), landed("first", 1, 0)],
    ],
    ids=["no buy", "open buy", "failed buy", "nothing received", "closed"],
)
def test_sell_without_an_open_position_is_refused(before: list[Event]) -> None:
    state = folded(*before)
    with pytest.raises(ValueError, match="no open position"):
        state.apply(sell_event("second"), WALL)
    assert "second" not in state.intents


@pytest.mark.parametrize("before", [[], [landed("buy", -1, 1_000), sell_event(), landed("sell", 1, 0)]])
def test_only_an_open_position_can_be_stuck(before: list[Event]) -> None:
    with pytest.raises(ValueError, match="no open position"):
        folded(buy_event(), *before, PositionStuck(intent="buy", reason="r"))


def test_expected_lamports_are_what_came_in_plus_every_balance_change() -> None:
    came_in = ExternalTransfer(wallet=key(1), lamports_delta=LamportsDelta(1_000), reason="funding")
    state = folded(came_in, buy_event(), landed("buy", -120, 5), sell_event(), failed("sell", -5), came_in)
    assert state.expected_lamports == 1_000 - 120 - 5 + 1_000


def test_new_intent_ids_differ() -> None:
    assert len({new_intent_id() for _ in range(100)}) == 100
