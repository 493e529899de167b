import pytest

from slotzero.trading.sliding_sum import SlidingSum


def test_amount_counts_until_exactly_its_span_has_passed() -> None:
    window = SlidingSum(100)
    window.add(1_000, 7)
    assert window.total(1_099) == 7
    assert window.total(1_100) == 0
    assert len(window) == 0


def test_amended_amount_keeps_its_instant() -> None:
    window = SlidingSum(100)
    entry = window.add(1_000, 7)
    window.add(1_050, 1)
    window.amend(entry, 3)
    assert window.total(1_099) == 4
    assert window.total(1_100) == 1


def test_amount_that_has_left_is_not_amended() -> None:
    window = SlidingSum(100)
    entry = window.add(1_000, 7)
    assert window.total(1_100) == 0
    window.amend(entry, 50)
    assert window.total(1_100) == 0


def test_clock_set_back_makes_an_amount_count_from_the_newest_instant() -> None:
    window = SlidingSum(100)
    window.add(1_000, 1)
    window.add(500, 2)
    assert window.total(1_099) == 3
    assert window.total(1_100) == 0


def test_full_window_conflates_the_oldest_into_the_next_and_never_undercounts() -> None:
    window = SlidingSum(100, max_entries=2)
    first = window.add(1_000, 1)
    second = window.add(1_010, 2)
    window.add(1_020, 4)
    assert (len(window), window.conflated, window.total(1_105)) == (2, 1, 7)
    window.amend(first, 0)  # its share is not known any more: it stays
    assert window.total(1_105) == 7
    window.amend(first, 5)  # a rise is counted
    assert window.total(1_105) == 11
    window.amend(second, 0)
    assert window.total(1_105) == 9
    assert window.total(1_110) == 4


@pytest.mark.parametrize(("span", "entries"), [(0, 10), (-1, 10), (10, 1)])
def test_window_without_span_or_room_is_refused(span: int, entries: int) -> None:
    with pytest.raises(ValueError, match="a window needs"):
        SlidingSum(span, max_entries=entries)


def test_negative_amount_is_refused() -> None:
    window = SlidingSum(10)
    entry = window.add(1, 1)
    with pytest.raises(ValueError, match="not negative"):
        window.add(1, -1)
    with pytest.raises(ValueError, match="not negative"):
        window.amend(entry, -1)
