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


def test_full_window_conflates_what_lies_close_together_and_never_undercounts() -> None:
    window = SlidingSum(100, max_entries=8)  # 4 apart, cells of 50
    first, second = window.add(1_000, 1), window.add(1_010, 2)
    third, fourth = window.add(1_020, 4), window.add(1_060, 8)
    assert (len(window), window.conflated) == (4, 0)
    for at in (1_061, 1_062, 1_063):
        window.add(at, 0)
    fifth = window.add(1_070, 16)
    assert (len(window), window.conflated) == (6, 2)
    assert window.total(1_119) == 31  # the first two stay with the third, until 1,120
    window.amend(first, 50)
    window.amend(second, 3)
    window.amend(third, 0)
    assert window.total(1_119) == 77
    assert window.total(1_120) == 24
    window.amend(second, 9)  # gone with the third
    window.amend(fourth, 1)
    window.amend(fifth, 3)
    assert window.total(1_159) == 4
    assert (window.total(1_160), window.total(1_170), len(window)) == (3, 0, 0)


def test_window_that_is_always_full_goes_on_forgetting() -> None:
    window = SlidingSum(10_000, max_entries=100)
    for at in range(100_000):
        window.add(at, 1)
        assert len(window) <= 100
    assert 10_000 <= window.total(99_999) <= 10_400  # exact would be 10,000
    assert window.total(109_999) == 0


@pytest.mark.parametrize(("span", "entries"), [(0, 10), (-1, 10), (10, 7)])
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
