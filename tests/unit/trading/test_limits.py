"""The limits as dialogues over the journal's own events, at literal instants of the wall clock."""

import msgspec
import pytest
from solders.pubkey import Pubkey

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
    PositionGraduated,
    PositionOpened,
    PositionStuck,
)
from slotzero.trading.limits import Limits, LimitsRules, LimitsState, SpendRequest, fold, halt_changed
from slotzero.units import BlockHeight, Lamports, LamportsDelta, Slot, TokenAmount, WallNs
from trading_lab import key

HOUR = 3_600_000_000_000
NOW = WallNs(1_790_000_000_000_000_000)
ALICE, BOB = key(1), key(2)
OVERHEAD = Lamports(10)
OPEN = LimitsRules(open_positions=0)


def limits(**rules: int) -> Limits:
    return Limits(msgspec.structs.replace(OPEN, **rules), overhead_lamports=OVERHEAD)


def buy(intent: str, lamports: int = 100, wallet: Pubkey = ALICE) -> IntentSigned:
    return IntentSigned(
        intent=intent,
        side="buy",
        signature=intent,
        raw=b"",
        last_valid_block_height=BlockHeight(1),
        mint=key(9),
        wallet=wallet,
        tokens=TokenAmount(1_000),
        quoted_lamports=Lamports(lamports),
        limit_lamports=Lamports(lamports),
        reason="new_pool",
    )


def sell(intent: str, position: str, tokens: int = 1_000) -> IntentSigned:
    return msgspec.structs.replace(buy(intent), side="sell", position=position, tokens=TokenAmount(tokens))


def landed(intent: str, delta: int, held: int) -> IntentLanded:
    return IntentLanded(intent=intent, slot=Slot(1), lamports_delta=LamportsDelta(delta), tokens_held=TokenAmount(held))


def failed(intent: str, delta: int) -> IntentFailed:
    return IntentFailed(intent=intent, slot=Slot(1), reason="slippage", lamports_delta=LamportsDelta(delta))


def reason(made: Limits, lamports: int = 100, *, wallet: Pubkey = ALICE, now: int = NOW) -> str | None:
    refusal = made.check(SpendRequest(wallet=wallet, lamports=Lamports(lamports)), WallNs(now))
    return None if refusal is None else refusal.reason


def test_without_limits_everything_passes() -> None:
    made = limits()
    made.record(buy("a", 10**15), NOW)
    assert reason(made, 10**15) is None


def test_trade_is_judged_without_rent_and_fees() -> None:
    assert reason(limits(trade_lamports=100), 100) is None
    assert reason(limits(trade_lamports=100), 101) == "limit_trade"


def test_hour_counts_a_signed_buy_with_all_it_can_cost_to_the_nanosecond() -> None:
    made = limits(hour_lamports=220)
    made.record(buy("a"), NOW)
    assert made.view(NOW).hour_lamports == 110
    assert reason(made, 100) is None
    assert reason(made, 101) == "limit_hour"
    assert reason(made, 101, now=NOW + HOUR - 1) == "limit_hour"
    assert reason(made, 210, now=NOW + HOUR) is None


def test_day_and_wallet_are_counted_apart() -> None:
    made = limits(day_lamports=330, wallet_day_lamports=220)
    made.record(buy("a"), NOW)
    made.record(buy("b"), NOW)
    assert reason(made) == "limit_wallet"
    assert reason(made, wallet=BOB) is None
    made.record(buy("c", wallet=BOB), NOW)
    assert reason(made, 1, wallet=BOB) == "limit_day"
    assert reason(made, wallet=ALICE, now=NOW + 24 * HOUR) is None


def test_refusal_tells_the_figures() -> None:
    made = limits(hour_lamports=150)
    made.record(buy("a"), NOW)
    refusal = made.check(SpendRequest(wallet=ALICE, lamports=Lamports(100)), NOW)
    assert refusal is not None
    assert refusal.detail == "110 lamports spent in 60 minutes, 110 more would exceed 150"


def test_landed_buy_counts_what_it_took_and_a_failed_one_its_fee() -> None:
    made = limits(hour_lamports=1_000)
    made.record(buy("a"), NOW)
    made.record(landed("a", -95, 1_000), NOW)
    made.record(buy("b"), NOW)
    made.record(failed("b", -5), NOW)
    assert made.view(NOW).hour_lamports == 100


@pytest.mark.parametrize("event", [IntentExpired(intent="a"), IntentAbandoned(intent="a", reason="denied")])
def test_buy_that_can_no_longer_land_counts_nothing(event: IntentExpired | IntentAbandoned) -> None:
    made = limits(hour_lamports=1_000, open_positions=1)
    made.record(buy("a"), NOW)
    assert reason(made) == "limit_open_positions"
    made.record(event, NOW)
    assert reason(made) is None
    assert made.view(NOW).hour_lamports == 0


def test_unknown_buy_keeps_counting() -> None:
    made = limits(open_positions=1, hour_lamports=1_000)
    made.record(buy("a"), NOW)
    made.record(IntentSent(intent="a"), NOW)
    made.record(IntentUnknown(intent="a", reason="nobody answered"), NOW)
    assert reason(made) == "limit_open_positions"
    assert made.view(NOW).hour_lamports == 110


@pytest.mark.parametrize("kept", [PositionStuck(intent="a", reason="no path"), PositionGraduated(intent="a")])
def test_position_that_is_stuck_or_has_graduated_takes_no_room_and_is_still_held(
    kept: PositionStuck | PositionGraduated,
) -> None:
    made = limits(open_positions=1)
    made.record(buy("a"), NOW)
    made.record(landed("a", -100, 1_000), NOW)
    made.record(kept, NOW)
    made.record(kept, NOW)
    assert reason(made) is None
    assert made.view(NOW).open_positions == 1
    made.record(buy("b"), NOW)
    made.record(landed("b", -100, 1_000), NOW)
    assert reason(made) == "limit_open_positions"
    made.record(sell("s1", "a", 1_000), NOW)
    made.record(landed("s1", 50, 0), NOW)
    assert reason(made) == "limit_open_positions"  # the other one is open all the same


@pytest.mark.parametrize(
    ("kept", "equity"), [(PositionStuck(intent="a", reason="frozen"), -100), (PositionGraduated(intent="a"), 900)]
)
def test_position_that_cannot_be_sold_is_worth_nothing_whatever_its_price_was(
    kept: PositionStuck | PositionGraduated, equity: int
) -> None:
    made = limits(drawdown_lamports=500)
    made.record(buy("a"), NOW)
    made.record(landed("a", -100, 1_000), NOW)
    made.mark("a", Lamports(1_000))
    made.record(kept, NOW)
    assert (made.view(NOW).equity, made.is_halted) == (equity, equity < 0)
    made.record(sell("s1", "a", 1_000), NOW)
    made.record(landed("s1", 50, 0), NOW)  # it could be sold after all
    assert made.view(NOW).equity == -50


def test_halt_that_was_written_down_is_in_force_again() -> None:
    made = limits()
    made.record(HaltChanged(killed="by hand", tripped="", high_water=LamportsDelta(7)), NOW)
    assert reason(made) == "kill_switch"
    assert halt_changed(made) == HaltChanged(killed="by hand", tripped="", high_water=LamportsDelta(7))
    made.record(HaltChanged(killed="", tripped="", high_water=LamportsDelta(0)), NOW)
    assert reason(made) is None


def test_position_is_open_until_its_last_token_is_sold() -> None:
    made = limits(open_positions=1)
    made.record(buy("a"), NOW)
    made.record(landed("a", -100, 1_000), NOW)
    assert reason(made) == "limit_open_positions"
    made.record(sell("s1", "a", 400), NOW)
    made.record(landed("s1", 50, 600), NOW)
    assert reason(made) == "limit_open_positions"
    made.record(sell("s2", "a", 600), NOW)
    made.record(landed("s2", 60, 0), NOW)
    assert reason(made) is None
    assert made.view(NOW).equity == 10


def opened(intent: str, tokens: int = 1_000) -> PositionOpened:
    return PositionOpened(intent=intent, slot=Slot(1), tokens_held=TokenAmount(tokens))


def test_position_whose_buy_cannot_be_read_yet_is_open_and_moves_equity_by_its_price_alone() -> None:
    made = limits(open_positions=1, drawdown_lamports=50)
    made.record(buy("a"), NOW)
    made.record(opened("a"), NOW)
    view = made.view(NOW)
    assert (view.buys_under_way, view.open_positions, view.equity) == (0, 1, 0)
    assert view.hour_lamports == 110  # all it can have cost, until that is known
    assert reason(made) == "limit_open_positions"
    made.mark("a", Lamports(130))
    assert made.view(NOW).equity == 30
    made.record(landed("a", -105, 1_000), NOW)
    view = made.view(NOW)
    assert (view.equity, view.hour_lamports, view.open_positions) == (25, 105, 1)
    assert made.mark("a", Lamports(70))  # 30 - (-35)
    assert reason(made) == "drawdown_breaker"


def test_sale_before_the_buy_can_be_read_raises_no_high_water_that_its_cost_would_fall_below() -> None:
    made = limits(drawdown_lamports=50)
    for event in (buy("a"), opened("a"), sell("s", "a"), landed("s", 100, 0)):
        made.record(event, NOW)
    assert (made.view(NOW).high_water, made.view(NOW).open_positions) == (0, 0)
    made.record(landed("a", -100, 1_000), NOW)
    assert (made.view(NOW).equity, made.is_halted) == (0, False)


@pytest.mark.parametrize(("end", "equity"), [(IntentExpired(intent="a"), 0), (failed("a", -5), -5)])
def test_position_of_a_buy_that_did_not_land_after_all_is_no_more(end: Event, equity: int) -> None:
    made = limits(open_positions=1)
    for event in (buy("a"), opened("a"), PositionStuck(intent="a", reason="r"), end):
        made.record(event, NOW)
    assert (made.view(NOW).equity, made.view(NOW).open_positions, reason(made)) == (equity, 0, None)


@pytest.mark.parametrize("events", [[], [sell("a", "p")], [buy("a"), opened("a")]])
def test_position_is_opened_early_by_an_open_buy_and_once(events: list[Event]) -> None:
    made = limits()
    for event in events:
        made.record(event, NOW)
    with pytest.raises(ValueError, match="no open buy"):
        made.record(opened("a"), NOW)


def test_buy_that_brought_nothing_opens_no_position() -> None:
    made = limits(open_positions=1)
    made.record(buy("a"), NOW)
    made.record(landed("a", -100, 0), NOW)
    assert made.view(NOW).open_positions == 0
    assert made.view(NOW).equity == -100


def test_sells_and_transfers_are_no_spending() -> None:
    made = limits(hour_lamports=1_000)
    made.record(ExternalTransfer(wallet=ALICE, lamports_delta=LamportsDelta(5_000), reason="funding"), NOW)
    made.record(buy("a"), NOW)
    made.record(landed("a", -100, 1_000), NOW)
    made.record(sell("s", "a"), NOW)
    made.record(failed("s", -5), NOW)
    assert made.view(NOW).hour_lamports == 100
    assert made.view(NOW).equity == -5


def test_same_signed_intent_counts_once() -> None:
    made = limits()
    made.record(buy("a"), NOW)
    made.record(buy("a"), NOW)
    assert (made.view(NOW).buys_under_way, made.view(NOW).hour_lamports) == (1, 110)


def test_outcome_of_an_intent_that_is_not_open_is_refused() -> None:
    made = limits()
    with pytest.raises(ValueError, match="names intent a, which is not open"):
        made.record(IntentExpired(intent="a"), NOW)


# ---- drawdown ------------------------------------------------------------------------------------------------------


def test_breaker_trips_on_unrealised_loss_against_the_high_water_mark_and_stays() -> None:
    made = limits(drawdown_lamports=50)
    made.record(buy("a"), NOW)
    made.record(landed("a", -100, 1_000), NOW)
    assert made.view(NOW).equity == 0  # worth what it cost until it is marked
    assert not made.mark("a", Lamports(130))
    assert made.view(NOW).high_water == 30
    assert not made.mark("a", Lamports(81))
    assert made.mark("a", Lamports(80))
    assert not made.mark("a", Lamports(70))  # told once
    assert reason(made) == "drawdown_breaker"
    assert made.is_halted
    assert made.state.tripped == "equity fell 50 lamports below its highest, the most is 50"
    made.mark("a", Lamports(500))
    assert reason(made) == "drawdown_breaker"


def test_breaker_trips_on_realised_losses_and_fees() -> None:
    made = limits(drawdown_lamports=20)
    for number in range(4):
        made.record(buy(f"b{number}"), NOW)
        made.record(failed(f"b{number}", -5), NOW)
    assert reason(made) == "drawdown_breaker"


def test_reset_measures_from_the_present_equity() -> None:
    made = limits(drawdown_lamports=50)
    made.record(buy("a"), NOW)
    made.record(landed("a", -100, 1_000), NOW)
    made.mark("a", Lamports(50))
    made.reset_breaker()
    assert reason(made) is None
    assert not made.mark("a", Lamports(1))
    assert made.mark("a", Lamports(0))


def test_value_that_is_not_known_leaves_the_last_one() -> None:
    made = limits(drawdown_lamports=50)
    made.record(buy("a"), NOW)
    made.record(landed("a", -100, 1_000), NOW)
    made.mark("a", Lamports(90))
    assert not made.mark("a", None)
    assert not made.mark("nobody", Lamports(0))
    assert made.view(NOW).equity == -10


# ---- kill switch and restart ---------------------------------------------------------------------------------------


def test_kill_switch_comes_before_everything_and_stays_until_revived() -> None:
    made = limits(trade_lamports=1)
    made.kill("panic")
    made.kill("again")
    refusal = made.check(SpendRequest(wallet=ALICE, lamports=Lamports(100)), NOW)
    assert refusal is not None
    assert (refusal.reason, refusal.detail) == ("kill_switch", "the kill switch is on: panic")
    made.revive()
    assert reason(made) == "limit_trade"
    made.kill("")
    assert reason(made) == "kill_switch"


def test_restart_folds_the_journal_and_restores_what_it_does_not_tell() -> None:
    rules = LimitsRules(hour_lamports=Lamports(1_000), drawdown_lamports=Lamports(50), open_positions=2)
    events: list[Event] = [buy("a"), landed("a", -100, 1_000), buy("b"), IntentSent(intent="b")]
    before = Limits(rules, overhead_lamports=OVERHEAD)
    for event in events:
        before.record(event, NOW)
    before.mark("a", Lamports(140))
    before.mark("a", Lamports(90))
    before.kill("panic")
    kept = msgspec.json.decode(msgspec.json.encode(before.state), type=LimitsState)
    after = fold(rules, [(NOW, event) for event in events], overhead_lamports=OVERHEAD)
    assert after.view(NOW).hour_lamports == before.view(NOW).hour_lamports == 210
    assert (after.view(NOW).buys_under_way, after.view(NOW).open_positions) == (1, 1)
    assert not after.is_halted
    after.restore(kept)
    assert after.state == before.state
    assert after.state.tripped == "equity fell 50 lamports below its highest, the most is 50"
