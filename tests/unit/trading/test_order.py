"""The order machine as dialogues: an instant and what is known go in, commands come out."""

from hypothesis import given
from hypothesis import strategies as st

from slotzero.solana.rpc import Commitment, SignatureStatus
from slotzero.trading.order import AskStatus, Confirmed, Expired, Failed, Order, Outcome, Send
from slotzero.units import BlockHeight, DurationNs, MonoNs, Slot

LIMIT = 150
RECENT, HISTORY, SEND = AskStatus(history=False), AskStatus(history=True), Send()
SLIPPAGE = {"InstructionError": [2, {"Custom": 6002}]}


def order(*, may_send: bool = True, rebroadcast: int = 400, poll: int = 1_000) -> Order:
    return Order(
        BlockHeight(LIMIT), rebroadcast_ns=DurationNs(rebroadcast), poll_ns=DurationNs(poll), may_send=may_send
    )


def at(machine: Order, now: int, height: int = 0) -> list[object]:
    return list(machine.on_time(MonoNs(now), BlockHeight(height)))


def outcome_of(machine: Order) -> Outcome | None:
    return machine.outcome


def status(confirmation: Commitment, err: object = None, slot: int = 9) -> SignatureStatus:
    return SignatureStatus(slot=Slot(slot), confirmation=confirmation, err=err)


def test_order_is_sent_at_once_and_again_at_its_cadence() -> None:
    it = order()
    assert it.start(MonoNs(0)) == [SEND]
    assert it.next_deadline() == 400
    assert at(it, 399) == []
    assert at(it, 400) == [SEND]
    assert it.next_deadline() == 800
    assert at(it, 850) == [SEND]  # late: the next one is counted from now, none is made up for
    assert it.next_deadline() == 1_000
    assert at(it, 1_000) == [RECENT]
    assert at(it, 1_250) == [SEND]
    assert it.sends == 4


def test_deadline_of_sending_and_asking_at_once_gives_both() -> None:
    it = order(rebroadcast=500, poll=500)
    it.start(MonoNs(0))
    assert at(it, 500) == [RECENT, SEND]


def test_confirmed_by_notification_ends_the_order() -> None:
    it = order()
    it.start(MonoNs(0))
    it.on_notified(Slot(9), None)
    assert outcome_of(it) == Confirmed(Slot(9))
    assert it.next_deadline() is None
    assert at(it, 10_000) == []


def test_notification_with_an_error_is_a_failure() -> None:
    it = order()
    it.start(MonoNs(0))
    it.on_notified(Slot(9), SLIPPAGE)
    assert outcome_of(it) == Failed(Slot(9), SLIPPAGE)


def test_processed_is_not_enough_with_or_without_an_error() -> None:
    it = order()
    it.start(MonoNs(0))
    it.on_status(status("processed"), asked="recent")
    it.on_status(status("processed", SLIPPAGE), asked="recent")
    assert outcome_of(it) is None
    assert at(it, 400) == [SEND]


def test_confirmed_status_ends_the_order() -> None:
    for commitment in ("confirmed", "finalized"):
        it = order()
        it.start(MonoNs(0))
        it.on_status(status(commitment), asked="recent")
        assert outcome_of(it) == Confirmed(Slot(9))


def test_confirmed_status_with_an_error_is_a_failure() -> None:
    it = order()
    it.start(MonoNs(0))
    it.on_status(status("confirmed", SLIPPAGE), asked="recent")
    assert outcome_of(it) == Failed(Slot(9), SLIPPAGE)


def test_first_outcome_stays() -> None:
    it = order()
    it.start(MonoNs(0))
    it.on_notified(Slot(9), None)
    it.on_notified(Slot(10), SLIPPAGE)
    it.on_status(status("finalized", SLIPPAGE, 11), asked="history")
    assert outcome_of(it) == Confirmed(Slot(9))


def test_at_its_last_valid_height_it_is_still_sent() -> None:
    it = order()
    it.start(MonoNs(0))
    assert at(it, 400, LIMIT) == [SEND]
    assert not it.is_past_limit


def test_past_its_limit_it_is_never_sent_again_and_asked_for_in_history() -> None:
    it = order()
    it.start(MonoNs(0))
    assert at(it, 400, LIMIT + 1) == []
    assert it.is_past_limit
    assert it.next_deadline() == 1_000
    assert at(it, 1_000, LIMIT + 1) == [HISTORY]
    assert at(it, 2_000, LIMIT + 1) == [HISTORY]
    assert it.sends == 1


def test_height_that_goes_back_does_not_revive_it() -> None:
    it = order()
    it.start(MonoNs(0))
    at(it, 400, LIMIT + 1)
    assert at(it, 800, LIMIT - 100) == []
    assert it.is_past_limit


def past_limit() -> Order:
    """Past its limit and asked for once."""
    it = order()
    it.start(MonoNs(0))
    assert at(it, 1_000, LIMIT + 1) == [HISTORY]
    return it


def test_two_answers_not_known_after_the_limit_expire_it() -> None:
    it = past_limit()
    it.on_status(None, asked="history")
    assert outcome_of(it) is None
    assert at(it, 2_000, LIMIT + 2) == [HISTORY]
    it.on_status(None, asked="history")
    assert outcome_of(it) == Expired()
    assert it.next_deadline() is None


def expired(it: Order) -> Outcome | None:
    """Ask twice past the limit and hear twice that nobody knows it."""
    for now in (10_000, 20_000):
        at(it, now, LIMIT + 1)
        at(it, now, LIMIT + 1)
    it.on_time(MonoNs(30_000), BlockHeight(LIMIT + 1))
    for _ in range(3):
        it.on_status(None, asked="history")
    return outcome_of(it)


def test_order_of_which_no_send_has_left_expires_as_never_sent() -> None:
    it = order()
    it.start(MonoNs(0))
    it.on_not_sent()
    assert at(it, 400) == [SEND]
    it.on_not_sent()
    assert expired(it) == Expired(was_sent=False)


def test_order_of_which_one_send_may_have_left_expires_as_sent() -> None:
    it = order()
    it.start(MonoNs(0))
    assert at(it, 400) == [SEND]
    it.on_not_sent()
    assert expired(it) == Expired(was_sent=True)


def test_order_that_is_only_settled_expires_as_sent() -> None:
    it = order(may_send=False)
    it.start(MonoNs(0))
    assert expired(it) == Expired(was_sent=True)


def test_not_known_before_the_limit_expires_nothing() -> None:
    it = order()
    it.start(MonoNs(0))
    for now in range(1_000, 20_000, 1_000):
        assert RECENT in at(it, now, LIMIT)
        it.on_status(None, asked="recent")
        it.on_status(None, asked="history")
    assert outcome_of(it) is None


def test_not_known_in_the_recent_cache_alone_expires_nothing() -> None:
    it = past_limit()
    for _ in range(10):
        it.on_status(None, asked="recent")
    assert outcome_of(it) is None


def test_late_answer_to_a_question_from_before_the_limit_is_no_last_look() -> None:
    it = order(may_send=False)
    it.start(MonoNs(0))
    assert at(it, 1_000, LIMIT) == [HISTORY]  # asked while it could still land
    assert at(it, 1_500, LIMIT + 1) == []
    it.on_status(None, asked="history")
    it.on_status(None, asked="history")
    assert at(it, 2_000, LIMIT + 1) == [HISTORY]
    it.on_status(None, asked="history")
    assert outcome_of(it) is None
    assert at(it, 3_000, LIMIT + 1) == [HISTORY]
    it.on_status(None, asked="history")
    assert outcome_of(it) == Expired()


def test_no_answer_is_not_taken_for_not_known() -> None:
    it = past_limit()
    for now in range(2_000, 50_000, 1_000):  # nobody answers: the shell tells the machine nothing
        assert at(it, now, LIMIT + 100) == [HISTORY]
    assert outcome_of(it) is None


def test_status_found_after_the_limit_wins_over_expiry() -> None:
    it = past_limit()
    it.on_status(None, asked="history")
    it.on_status(status("confirmed"), asked="history")
    assert outcome_of(it) == Confirmed(Slot(9))


def test_being_seen_processed_after_the_limit_starts_the_last_looks_anew() -> None:
    it = past_limit()
    it.on_status(None, asked="history")
    it.on_status(status("processed"), asked="history")
    at(it, 2_000, LIMIT + 2)
    it.on_status(None, asked="history")
    assert outcome_of(it) is None
    at(it, 3_000, LIMIT + 3)
    it.on_status(None, asked="history")
    assert outcome_of(it) == Expired()


def test_order_that_is_only_settled_is_asked_for_at_once_and_never_sent() -> None:
    it = order(may_send=False)
    assert it.start(MonoNs(0)) == [HISTORY]
    assert it.next_deadline() == 1_000
    commands = [command for now in range(0, 100_000, 100) for command in at(it, now, now // 500)]
    assert SEND not in commands
    assert set(commands) == {HISTORY}
    assert it.sends == 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.integers(0, 500), st.integers(LIMIT - 3, LIMIT + 3)),
        st.tuples(st.just("answer"), st.sampled_from(["recent", "history"]), st.sampled_from([None, "processed"])),
    ),
    max_size=60,
)


@given(steps, st.booleans())
def test_whatever_happens_it_expires_only_after_two_looks_past_the_limit_and_sends_only_before(
    sequence: list[tuple[str, object, object]],
    may_send: bool,  # noqa: FBT001 drawn
) -> None:
    it, now, highest, looks = order(may_send=may_send), 0, 0, 0
    it.start(MonoNs(0))
    for kind, first, second in sequence:
        if kind == "time":
            assert isinstance(first, int)
            assert isinstance(second, int)
            now, highest = now + first, max(highest, second)
            was_over = outcome_of(it) is not None
            commands = at(it, now, second)
            assert not (was_over and commands)
            assert SEND not in commands or (may_send and highest <= LIMIT)
            looks += HISTORY in commands and highest > LIMIT
        elif outcome_of(it) is None:
            found = None if second is None else status("processed")
            it.on_status(found, asked="history" if first == "history" else "recent")
            assert outcome_of(it) is None or looks >= 2
