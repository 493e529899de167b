"""Who may begin and who waits, as a dialogue; and its counts against a plain list."""

from hypothesis import given
from hypothesis import strategies as st

from slotzero.trading.admission import Admission


def test_those_beyond_the_bound_wait_and_the_newest_begins_first() -> None:
    line: Admission[str] = Admission(max_in_flight=1, max_waiting=2)
    assert line.enter("a") == (True, None)
    assert line.enter("b") == (False, None)
    assert line.enter("c") == (False, None)
    assert line.leave() == "c"
    assert line.leave() == "b"
    assert line.leave() is None
    assert line.stats.in_flight == 0


def test_one_more_than_there_is_room_for_drops_the_oldest_that_waits() -> None:
    line: Admission[str] = Admission(max_in_flight=1, max_waiting=2)
    for name in "abc":
        line.enter(name)
    assert line.enter("d") == (False, "b")
    assert (line.stats.waiting, line.stats.waited, line.stats.dropped) == (2, 3, 1)


def test_where_nobody_may_wait_the_newcomer_itself_is_dropped() -> None:
    line: Admission[str] = Admission(max_in_flight=1, max_waiting=0)
    line.enter("a")
    assert line.enter("b") == (False, "b")
    assert line.leave() is None


def test_clearing_sends_all_who_wait_away_and_leaves_those_who_have_begun() -> None:
    line: Admission[str] = Admission(max_in_flight=1, max_waiting=5)
    for name in "abc":
        line.enter(name)
    assert line.clear() == ["b", "c"]
    assert (line.stats.in_flight, line.stats.waiting, line.stats.dropped) == (1, 0, 2)


@given(st.lists(st.booleans()), st.integers(1, 4), st.integers(0, 4))
def test_nobody_is_forgotten(steps: list[bool], most: int, room: int) -> None:
    line: Admission[int] = Admission(max_in_flight=most, max_waiting=room)
    begun: list[int] = []
    dropped: list[int] = []
    ended = 0
    for number, enters in enumerate(steps):
        if enters:
            may_begin, gone = line.enter(number)
            begun += [number] * may_begin
            dropped += [] if gone is None else [gone]
        elif line.stats.in_flight:
            ended += 1
            if (successor := line.leave()) is not None:
                begun.append(successor)
    stats = line.stats
    assert stats.in_flight == len(begun) - ended <= most
    assert stats.waiting <= room
    assert stats.dropped == len(dropped)
    assert sum(steps) == len(begun) + len(dropped) + stats.waiting
    assert len({*begun, *dropped}) == len(begun) + len(dropped)
    assert stats.most_in_flight <= most
