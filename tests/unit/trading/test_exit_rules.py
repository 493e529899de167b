"""The exit machine as dialogues: an event and a literal now in, commands out.

1,000 tokens were quoted at 1,000,000 lamports. The paper pool pays `price` lamports for each token, so a price of
1,000 is the entry, and it cannot pay at a price of 0.
"""

import msgspec
import pytest

from slotzero.trading.exit_rules import (
    DRAIN,
    HONEYPOT,
    Closed,
    ExitMachine,
    ExitRules,
    ExitSignal,
    GiveUp,
    Graduated,
    Note,
    Rung,
    Sell,
    manual_signal,
    rug_signal,
    rule_problems,
)
from slotzero.trading.rug_rules import RugAlert
from slotzero.units import Lamports, MonoNs, Slot, TokenAmount
from slotzero.venues.market import PoolState
from slotzero.venues.records import Reserves, SellQuote

S = 1_000_000_000
OPENED = 100 * S
BOUGHT, QUOTED = TokenAmount(1_000), Lamports(1_000_000)
PLAIN = ExitRules(
    ladder=(Rung(gain_bps=2_500, share_bps=10_000),),
    stop_loss_bps=2_000,
    max_hold_ms=60_000,
    emergency_ladder_bps=(5_000, 10_000),
)
LADDER = msgspec.structs.replace(
    PLAIN,
    ladder=(
        Rung(gain_bps=2_500, share_bps=2_500),
        Rung(gain_bps=5_000, share_bps=2_500),
        Rung(gain_bps=10_000, share_bps=5_000),
    ),
)
RUG = ExitSignal(act="exit_now", reason="rug", urgency="emergency", detail="drained")


class PaperPool:
    """Pays the price its real quote reserve says, without fees or impact."""

    def quote_sell(self, reserves: Reserves, tokens: TokenAmount) -> SellQuote | None:
        net = Lamports(reserves.real_quote * tokens)
        nothing = Lamports(0)
        return SellQuote(tokens=tokens, out=net, protocol_fee=nothing, creator_fee=nothing, net=net) if net else None


def machine(rules: ExitRules = PLAIN) -> ExitMachine:
    return ExitMachine(PaperPool(), tokens=BOUGHT, quoted_lamports=QUOTED, opened_at=MonoNs(OPENED), rules=rules)


def at(price: int, *, is_complete: bool = False) -> PoolState:
    return PoolState(
        reserves=Reserves(virtual_token=1, virtual_quote=1, real_token=1, real_quote=price), is_complete=is_complete
    )


def sell(number: int, tokens: int, reason: str, **changes: object) -> Sell:
    plain = Sell(
        id=number,
        tokens=TokenAmount(tokens),
        reason="take_profit",
        urgency="normal",
        slippage_bps=1_500,
        attempt=0,
        is_all=True,
    )
    return msgspec.structs.replace(plain, reason=reason, **changes)


def seconds(value: float) -> MonoNs:
    return MonoNs(OPENED + int(value * S))


# ---- the simplest configuration ------------------------------------------------------------------------------------


def test_take_profit_sells_everything_once() -> None:
    m = machine()
    assert m.on_state(at(1_249), seconds(1)) == []
    assert m.on_state(at(1_250), seconds(2)) == [sell(1, 1_000, "take_profit")]
    assert m.on_state(at(1_300), seconds(3)) == []
    assert m.on_time(seconds(61)) == []
    assert m.on_fill(1, tokens_sold=1_000, received=1_240_000, now=seconds(4)) == [
        Closed(received_lamports=Lamports(1_240_000), lost_tokens=TokenAmount(0))
    ]
    assert m.on_state(at(5_000), seconds(5)) == []
    assert m.next_deadline() is None


def test_stop_loss_in_a_falling_market_accepts_less_at_each_attempt() -> None:
    m = machine()
    assert m.on_state(at(801), seconds(1)) == []
    assert m.on_state(at(800), seconds(1)) == [sell(1, 1_000, "stop_loss")]
    assert m.on_state(at(700), seconds(1.2)) == []
    assert m.on_failed(1, "price", seconds(1.3)) == [sell(2, 1_000, "stop_loss", slippage_bps=3_000, attempt=1)]
    assert m.on_failed(2, "price", seconds(1.5)) == [sell(3, 1_000, "stop_loss", slippage_bps=6_000, attempt=2)]
    assert m.on_state(at(1_500), seconds(1.6)) == []  # what has been triggered is pursued
    assert m.on_failed(3, "price", seconds(1.7)) == [sell(4, 1_000, "stop_loss", slippage_bps=10_000, attempt=3)]
    assert m.on_failed(4, "price", seconds(1.9)) == [sell(5, 1_000, "stop_loss", slippage_bps=10_000, attempt=4)]
    assert m.on_failed(5, "price", seconds(2)) == [GiveUp(reason="stop_loss", attempts=5, is_all=True)]
    assert m.on_state(at(1), seconds(3)) == []
    assert m.view(seconds(3)).is_stuck
    assert m.next_deadline() is None


def test_sell_that_lands_after_its_tokens_are_gone_is_counted_and_breaks_nothing() -> None:
    m = machine()
    assert m.on_state(at(800), seconds(1)) == [sell(1, 1_000, "stop_loss")]
    assert m.on_balance(0) == [Closed(received_lamports=Lamports(0), lost_tokens=TokenAmount(1_000))]
    assert m.on_fill(1, tokens_sold=1_000, received=700_000, now=seconds(2)) == [
        Closed(received_lamports=Lamports(700_000), lost_tokens=TokenAmount(1_000))
    ]
    assert m.view(seconds(2)).received_lamports == 700_000


def test_sell_that_no_endpoint_took_is_no_attempt_and_follows_after_the_delay() -> None:
    m = machine()
    assert m.on_state(at(800), seconds(1)) == [sell(1, 1_000, "stop_loss")]
    for number in range(1, 10):
        assert m.on_failed(number, "unsent", seconds(10 * number)) == []
        due = m.next_deadline()
        assert due is not None
        assert m.on_time(due) == [sell(number + 1, 1_000, "stop_loss")]
    assert m.on_failed(10, "price", seconds(100)) == [sell(11, 1_000, "stop_loss", slippage_bps=3_000, attempt=1)]


def test_max_hold_sells_at_its_deadline_even_where_the_price_is_not_known() -> None:
    m = machine()
    assert m.next_deadline() == seconds(60)
    assert m.on_time(MonoNs(seconds(60) - 1)) == []
    assert m.on_state(at(0), seconds(59)) == []
    assert m.on_time(seconds(60)) == [sell(1, 1_000, "max_hold")]
    assert m.next_deadline() is None


def test_attempt_that_failed_for_another_reason_waits_first() -> None:
    m = machine()
    assert m.on_state(at(1_250), seconds(1)) == [sell(1, 1_000, "take_profit")]
    assert m.on_failed(1, "other", seconds(2)) == []
    assert m.next_deadline() == seconds(2.2)
    assert m.on_state(at(1_300), seconds(2.1)) == []
    assert m.on_time(seconds(2.2)) == [sell(2, 1_000, "take_profit", slippage_bps=3_000, attempt=1)]


def test_part_that_was_filled_leaves_the_rest_to_be_sold_anew() -> None:
    m = machine()
    assert m.on_state(at(1_250), seconds(1)) == [sell(1, 1_000, "take_profit")]
    assert m.on_failed(1, "price", seconds(1)) == [sell(2, 1_000, "take_profit", slippage_bps=3_000, attempt=1)]
    assert m.on_fill(2, tokens_sold=400, received=500_000, now=seconds(2)) == [sell(3, 600, "take_profit")]
    assert m.on_fill(3, tokens_sold=0, received=0, now=seconds(3)) == []  # nothing sold is a failure
    assert m.on_time(seconds(3.2)) == [sell(4, 600, "take_profit", slippage_bps=3_000, attempt=1)]
    assert m.on_fill(4, tokens_sold=600, received=1, now=seconds(4)) == [
        Closed(received_lamports=Lamports(500_001), lost_tokens=TokenAmount(0))
    ]


def test_unknown_sell_is_passed_over() -> None:
    m = machine()
    assert m.on_fill(7, tokens_sold=1_000, received=1, now=seconds(1)) == []
    assert m.on_failed(7, "price", seconds(1)) == []


def test_position_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="a position has tokens"):
        ExitMachine(PaperPool(), tokens=TokenAmount(0), quoted_lamports=QUOTED, opened_at=MonoNs(OPENED), rules=PLAIN)


# ---- ladder --------------------------------------------------------------------------------------------------------


def test_each_rung_sells_its_share_of_what_was_bought() -> None:
    m = machine(LADDER)
    assert m.on_state(at(1_250), seconds(1)) == [sell(1, 250, "take_profit", is_all=False)]
    assert m.on_state(at(1_240), seconds(1.5)) == []
    assert m.on_fill(1, tokens_sold=250, received=312_500, now=seconds(2)) == []
    assert m.on_state(at(1_250), seconds(3)) == []
    assert m.on_state(at(1_500), seconds(4)) == [sell(2, 250, "take_profit", is_all=False)]
    assert m.on_fill(2, tokens_sold=250, received=375_000, now=seconds(5)) == []
    assert m.on_state(at(2_000), seconds(6)) == [sell(3, 500, "take_profit")]


def test_jump_over_two_rungs_is_one_sell_and_one_over_all_sells_everything() -> None:
    assert machine(LADDER).on_state(at(1_600), seconds(1)) == [sell(1, 500, "take_profit", is_all=False)]
    assert machine(LADDER).on_state(at(9_000), seconds(1)) == [sell(1, 1_000, "take_profit")]


def test_rung_fires_while_the_one_before_is_under_way() -> None:
    m = machine(LADDER)
    assert m.on_state(at(1_250), seconds(1)) == [sell(1, 250, "take_profit", is_all=False)]
    assert m.on_state(at(1_500), seconds(1.1)) == [sell(2, 250, "take_profit", is_all=False)]
    assert m.on_state(at(2_000), seconds(1.2)) == [sell(3, 500, "take_profit", is_all=False)]
    assert m.view(seconds(1.2)).selling_tokens == 1_000


def test_stop_after_a_rung_sells_the_rest_that_is_not_under_way() -> None:
    m = machine(LADDER)
    assert m.on_state(at(1_250), seconds(1)) == [sell(1, 250, "take_profit", is_all=False)]
    assert m.on_state(at(790), seconds(2)) == [sell(2, 750, "stop_loss", is_all=False)]
    assert m.on_failed(1, "price", seconds(3)) == [
        sell(3, 250, "stop_loss", is_all=False, slippage_bps=3_000, attempt=1)
    ]


def test_rung_that_is_given_up_leaves_the_rest_under_its_rules() -> None:
    m = machine(msgspec.structs.replace(LADDER, max_attempts=1))
    assert m.on_state(at(1_250), seconds(1)) == [sell(1, 250, "take_profit", is_all=False)]
    assert m.on_failed(1, "price", seconds(2)) == [GiveUp(reason="take_profit", attempts=1, is_all=False)]
    assert m.on_state(at(1_260), seconds(3)) == []  # a rung is taken once
    assert m.on_state(at(800), seconds(4)) == [sell(2, 1_000, "stop_loss")]


def test_thresholds_follow_the_rest_after_a_partial_sell() -> None:
    m = machine(LADDER)
    m.on_state(at(1_250), seconds(1))
    m.on_fill(1, tokens_sold=250, received=1, now=seconds(2))
    assert m.view(seconds(2)).stop_lamports == 600_000
    assert m.on_state(at(801), seconds(3)) == []
    assert m.on_state(at(800), seconds(3)) == [sell(2, 750, "stop_loss")]


# ---- stops that move -----------------------------------------------------------------------------------------------


def test_trailing_stop_follows_the_peak_once_it_is_armed() -> None:
    rules = msgspec.structs.replace(PLAIN, ladder=(), trail_arm_bps=2_000, trail_bps=1_000)
    m = machine(rules)
    assert m.on_state(at(1_199), seconds(1)) == []
    assert m.on_state(at(1_070), seconds(2)) == []  # not armed: ten percent down means nothing yet
    assert m.on_state(at(1_200), seconds(3)) == []
    assert m.on_state(at(2_000), seconds(4)) == []
    assert m.view(seconds(4)).stop_reason == "trailing_stop"
    assert m.on_state(at(1_801), seconds(5)) == []
    assert m.on_state(at(1_800), seconds(6)) == [sell(1, 1_000, "trailing_stop")]


def test_trailing_stop_keeps_its_peak_for_what_a_rung_leaves() -> None:
    rules = msgspec.structs.replace(
        PLAIN, ladder=(Rung(gain_bps=5_000, share_bps=5_000),), trail_arm_bps=2_000, trail_bps=1_000
    )
    m = machine(rules)
    assert m.on_state(at(1_500), seconds(1)) == [sell(1, 500, "take_profit", is_all=False)]
    m.on_fill(1, tokens_sold=500, received=750_000, now=seconds(2))
    assert m.view(seconds(2)).stop_lamports == 675_000
    assert m.on_state(at(1_350), seconds(3)) == [sell(2, 500, "trailing_stop")]


def test_break_even_moves_the_stop_to_the_entry_and_leaves_it_there() -> None:
    rules = msgspec.structs.replace(PLAIN, ladder=(), break_even_at_bps=1_500, break_even_offset_bps=100)
    m = machine(rules)
    assert m.on_state(at(1_005), seconds(1)) == []
    assert m.on_state(at(1_150), seconds(2)) == []
    assert m.on_state(at(1_011), seconds(3)) == []
    assert m.on_state(at(1_010), seconds(4)) == [sell(1, 1_000, "break_even")]


def test_time_decay_tightens_linearly_and_fires_at_its_own_deadline() -> None:
    rules = msgspec.structs.replace(PLAIN, decay_from_ms=10_000, decay_to_ms=30_000, decay_stop_bps=0)
    m = machine(rules)
    assert m.on_state(at(900), seconds(5)) == []
    assert (m.view(seconds(10)).stop_lamports, m.view(seconds(10)).stop_reason) == (800_000, "stop_loss")
    assert (m.view(seconds(15)).stop_lamports, m.view(seconds(15)).stop_reason) == (850_000, "time_decay")
    assert m.view(seconds(40)).stop_lamports == 1_000_000
    assert m.next_deadline() == seconds(20)
    assert m.on_time(MonoNs(seconds(20) - 1)) == []
    assert m.on_time(seconds(20)) == [sell(1, 1_000, "time_decay")]


def test_time_decay_never_reaches_a_value_above_its_end() -> None:
    rules = msgspec.structs.replace(PLAIN, decay_from_ms=0, decay_to_ms=30_000, decay_stop_bps=500)
    m = machine(rules)
    m.on_state(at(951), seconds(1))
    assert m.next_deadline() == seconds(60)
    m.on_state(at(950), seconds(1))
    assert m.next_deadline() == seconds(30)


def test_highest_stop_counts() -> None:
    rules = msgspec.structs.replace(PLAIN, ladder=(), trail_arm_bps=1_000, trail_bps=3_000, break_even_at_bps=1_000)
    m = machine(rules)
    m.on_state(at(1_200), seconds(1))
    assert (m.view(seconds(1)).stop_lamports, m.view(seconds(1)).stop_reason) == (1_000_000, "break_even")
    m.on_state(at(1_600), seconds(1))
    assert (m.view(seconds(1)).stop_lamports, m.view(seconds(1)).stop_reason) == (1_120_000, "trailing_stop")


# ---- signals -------------------------------------------------------------------------------------------------------


def test_rug_sells_everything_at_half_price_then_at_any() -> None:
    m = machine()
    emergency = {"urgency": "emergency", "slippage_bps": 5_000}
    assert m.on_signal(RUG, seconds(1)) == [sell(1, 1_000, "rug", **emergency)]
    assert m.on_signal(RUG, seconds(1)) == []
    assert m.on_failed(1, "price", seconds(2)) == [
        sell(2, 1_000, "rug", urgency="emergency", slippage_bps=10_000, attempt=1)
    ]


def test_rug_overtakes_a_smaller_sell_under_way() -> None:
    m = machine(LADDER)
    assert m.on_state(at(1_250), seconds(1)) == [sell(1, 250, "take_profit", is_all=False)]
    assert m.on_signal(RUG, seconds(2)) == [
        sell(2, 1_000, "rug", urgency="emergency", slippage_bps=5_000, competes_with=(1,))
    ]
    # the small one was first: the other found too few tokens
    assert m.on_fill(1, tokens_sold=250, received=300_000, now=seconds(3)) == []
    assert m.on_failed(2, "price", seconds(3)) == [
        sell(3, 750, "rug", urgency="emergency", slippage_bps=10_000, attempt=1)
    ]
    assert m.on_fill(3, tokens_sold=750, received=100_000, now=seconds(4)) == [
        Closed(received_lamports=Lamports(400_000), lost_tokens=TokenAmount(0))
    ]


def test_sell_that_was_overtaken_fails_without_counting() -> None:
    m = machine(LADDER)
    m.on_state(at(1_250), seconds(1))
    m.on_signal(RUG, seconds(2))
    assert m.on_failed(1, "other", seconds(3)) == []
    assert m.on_failed(2, "price", seconds(3)) == [
        sell(3, 1_000, "rug", urgency="emergency", slippage_bps=10_000, attempt=1)
    ]
    m.on_fill(3, tokens_sold=1_000, received=1, now=seconds(4))
    assert m.on_failed(1, "price", seconds(5)) == []


def test_rug_ends_the_waiting_of_a_normal_sell_and_starts_its_attempts_anew() -> None:
    m = machine()
    m.on_state(at(800), seconds(1))
    m.on_failed(1, "other", seconds(2))
    assert m.on_signal(RUG, seconds(2.05)) == [sell(2, 1_000, "rug", urgency="emergency", slippage_bps=5_000)]


def test_emergency_is_given_up_later_than_a_normal_sell_and_tried_anew_on_an_order() -> None:
    m = machine()
    m.on_signal(HONEYPOT, seconds(1))
    for number in range(1, 20):
        assert m.on_failed(number, "price", seconds(1)) != []
    assert m.on_failed(20, "price", seconds(1)) == [GiveUp(reason="honeypot", attempts=20, is_all=True)]
    assert m.on_signal(manual_signal(), seconds(2)) == [
        sell(21, 1_000, "honeypot", urgency="emergency", slippage_bps=5_000)
    ]


def test_note_only_notes() -> None:
    m = machine()
    note = msgspec.structs.replace(RUG, act="note")
    assert m.on_signal(note, seconds(1)) == [Note(detail="drained")]
    assert m.on_time(seconds(2)) == []


def test_tighten_puts_the_stop_just_below_the_value_of_that_moment() -> None:
    m = machine()
    m.on_state(at(1_000), seconds(1))
    tighten = msgspec.structs.replace(RUG, act="tighten")
    assert m.on_signal(tighten, seconds(2)) == [Note(detail="stop tightened, drained")]
    assert m.on_state(at(951), seconds(3)) == []
    assert m.on_signal(tighten, seconds(3)) == [Note(detail="stop tightened, drained")]  # never looser
    assert m.on_state(at(950), seconds(4)) == [sell(1, 1_000, "tightened")]


def test_tightened_stop_follows_the_rest_after_a_partial_sell() -> None:
    m = machine()
    m.on_state(at(1_000), seconds(1))
    m.on_signal(msgspec.structs.replace(RUG, act="tighten"), seconds(1))
    m.on_signal(manual_signal(4_000), seconds(2))
    m.on_fill(1, tokens_sold=400, received=400_000, now=seconds(3))
    assert (m.view(seconds(3)).stop_lamports, m.view(seconds(3)).stop_reason) == (570_000, "tightened")


def test_tighten_before_the_first_price_waits_for_it() -> None:
    m = machine()
    m.on_signal(msgspec.structs.replace(RUG, act="tighten"), seconds(1))
    assert m.on_state(at(1_100), seconds(2)) == []
    assert m.view(seconds(2)).stop_lamports == 1_045_000


def test_manual_share_sells_that_part_of_what_is_held() -> None:
    m = machine()
    assert m.on_signal(manual_signal(3_000), seconds(1)) == [sell(1, 300, "manual", is_all=False)]
    m.on_fill(1, tokens_sold=300, received=300_000, now=seconds(2))
    assert m.on_signal(manual_signal(5_000), seconds(3)) == [sell(2, 350, "manual", is_all=False)]
    assert m.on_signal(DRAIN, seconds(4)) == [sell(3, 350, "drain", is_all=False)]
    for share in (0, 10_001):
        with pytest.raises(ValueError, match="a share is above 0"):
            manual_signal(share)


def test_what_was_taken_from_us_is_no_longer_sold() -> None:
    m = machine()
    alert = RugAlert(
        signal="balance_fell", act="exit_now", slot=Slot(9), detail="400 left", held_tokens=TokenAmount(400)
    )
    assert m.on_signal(rug_signal(alert), seconds(1)) == [sell(1, 400, "rug", urgency="emergency", slippage_bps=5_000)]
    assert m.on_balance(1_000_000) == []  # a gift is no position
    assert m.on_balance(0) == [Closed(received_lamports=Lamports(0), lost_tokens=TokenAmount(1_000))]
    assert m.on_signal(RUG, seconds(2)) == []


# ---- graduation ----------------------------------------------------------------------------------------------------


def test_complete_curve_keeps_the_position() -> None:
    m = machine()
    assert m.on_state(at(5_000, is_complete=True), seconds(1)) == [Graduated()]
    assert m.on_state(at(1, is_complete=True), seconds(2)) == []
    assert m.on_time(seconds(100)) == []
    assert m.on_signal(RUG, seconds(101)) == []
    assert m.next_deadline() is None
    assert m.view(seconds(101)).is_graduated
    assert m.view(seconds(101)).held_tokens == 1_000


def test_completion_that_a_fork_takes_back_lets_the_exit_go_on() -> None:
    m = machine()
    m.on_state(at(5_000, is_complete=True), seconds(1))
    m.on_signal(RUG, seconds(2))
    assert m.on_state(at(1_100), seconds(3)) == [sell(1, 1_000, "rug", urgency="emergency", slippage_bps=5_000)]
    assert not m.view(seconds(3)).is_graduated
    assert m.on_state(at(5_000, is_complete=True), seconds(4)) == [Graduated()]


def test_sell_that_fails_because_the_curve_completed_is_not_repeated() -> None:
    m = machine()
    m.on_state(at(1_250), seconds(1))
    assert m.on_state(at(2_000, is_complete=True), seconds(2)) == [Graduated()]
    assert m.on_failed(1, "price", seconds(3)) == []
    assert m.next_deadline() is None


# ---- rules from outside --------------------------------------------------------------------------------------------


def test_rules_that_fit_have_no_problems() -> None:
    assert rule_problems(ExitRules()) == []
    assert rule_problems(LADDER) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ladder": (Rung(gain_bps=5, share_bps=1), Rung(gain_bps=5, share_bps=1))}, "must be above 0 and ascend"),
        ({"ladder": (Rung(gain_bps=1, share_bps=6_000), Rung(gain_bps=5, share_bps=6_000))}, "at most 10000 together"),
        ({"trail_bps": 10_000}, "less than 10000 bps below"),
        ({"break_even_at_bps": 100, "break_even_offset_bps": 100}, "below the gain that arms it"),
        ({"decay_from_ms": 10, "decay_to_ms": 10}, "must end after it begins"),
        ({"decay_to_ms": 10, "decay_stop_bps": 2_000}, "at a stop tighter"),
        ({"slippage_ladder_bps": ()}, "at least one step"),
        ({"emergency_ladder_bps": (10_001,)}, "between 0 and 10000"),
    ],
)
def test_rules_that_contradict_themselves_are_told(changes: dict[str, object], problem: str) -> None:
    (found,) = rule_problems(msgspec.structs.replace(ExitRules(), **changes))
    assert problem in found
