from slotzero.solana.endpoints import Breaker, BreakerRules, Permit
from slotzero.units import DurationNs, MonoNs

RULES = BreakerRules(failures=3, window_ns=DurationNs(100), open_ns=DurationNs(1_000), max_open_ns=DurationNs(3_000))


def at(now: int) -> MonoNs:
    return MonoNs(now)


def permit(breaker: Breaker, now: int) -> Permit:
    given = breaker.start(at(now))
    assert given is not None
    return given


def failed(breaker: Breaker, *nows: int) -> None:
    for now in nows:
        breaker.fail(permit(breaker, now), at(now))


def opened() -> Breaker:
    breaker = Breaker(RULES)
    failed(breaker, 1, 2, 3)
    return breaker


def due(breaker: Breaker) -> int | None:
    return breaker.probe_due


def states(breaker: Breaker) -> list[tuple[int, str]]:
    return [(change.at, change.state) for change in breaker.transitions]


def test_failures_in_the_window_open_it_and_the_probe_closes_it() -> None:
    breaker = Breaker(RULES)
    failed(breaker, 1, 2)
    assert states(breaker) == []
    failed(breaker, 101)
    assert states(breaker) == [(101, "open")]
    assert due(breaker) == 1_101
    assert breaker.start(at(1_100)) is None
    probe = permit(breaker, 1_101)
    assert breaker.start(at(1_102)) is None  # one probe at a time
    assert due(breaker) is None
    breaker.succeed(probe, at(1_110))
    assert states(breaker) == [(101, "open"), (1_101, "half_open"), (1_110, "closed")]


def test_failures_further_apart_than_the_window_leave_it_closed() -> None:
    breaker = Breaker(RULES)
    failed(breaker, 0, 60, 120, 180, 240, 300)
    assert breaker.state == "closed"


def test_few_failures_among_many_answers_leave_it_closed() -> None:
    breaker = Breaker(RULES)
    for now in range(30):  # a third fails: never three of the newest five
        given = permit(breaker, now)
        (breaker.fail if now % 3 == 0 else breaker.succeed)(given, at(now))
    assert breaker.state == "closed"


def test_failed_probe_doubles_the_wait_up_to_the_most_and_an_answer_resets_it() -> None:
    breaker = opened()
    waits = []
    now = 3
    for _ in range(4):
        due = breaker.probe_due
        assert due is not None
        waits.append(due - now)
        now = due
        failed(breaker, now)
    assert waits == [1_000, 2_000, 3_000, 3_000]
    due = breaker.probe_due
    assert due is not None
    breaker.succeed(permit(breaker, due), due)
    failed(breaker, due + 1, due + 2, due + 3)
    assert breaker.probe_due == due + 3 + 1_000


def test_answer_to_a_call_of_an_earlier_state_changes_nothing() -> None:
    breaker = Breaker(RULES)
    old = permit(breaker, 0)
    failed(breaker, 1, 2, 3)
    breaker.succeed(old, at(4))
    probe = permit(breaker, 1_003)
    breaker.fail(old, at(1_004))
    breaker.succeed(probe, at(1_005))
    assert states(breaker) == [(3, "open"), (1_003, "half_open"), (1_005, "closed")]


def test_released_probe_lets_the_next_one_go_at_once() -> None:
    breaker = opened()
    probe = permit(breaker, 1_003)
    assert not breaker.admits(at(1_004))
    breaker.release(probe)
    assert breaker.admits(at(1_004))
    assert breaker.state == "half_open"
