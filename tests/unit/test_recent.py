"""A set of the newest things."""

import pytest

from slotzero.recent import Recent


def test_oldest_makes_room() -> None:
    recent = Recent(2, ["a", "b", "c"])
    assert list(recent) == ["b", "c"]
    assert ("a" in recent, "c" in recent, len(recent)) == (False, True, 2)


def test_what_is_there_keeps_its_place() -> None:
    recent = Recent(2, ["a", "b"])
    recent.add("a")
    recent.add("c")
    assert list(recent) == ["b", "c"]


def test_no_size_keeps_everything() -> None:
    assert len(Recent(None, range(100_000))) == 100_000


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 100, 1_000])
def test_newest_are_always_there_and_hardly_more(size: int) -> None:
    recent = Recent[int](size)
    held: list[int] = []
    for thing in range(3 * size + 5):
        recent.add(thing)
        held = list(recent)
        assert held[-size:] == list(range(max(0, thing + 1 - size), thing + 1))
        assert held == sorted(held)
        assert len(recent) == len(held) <= size + max(1, size // 8)
    assert all(thing in recent for thing in held)
    assert held[0] - 1 not in recent
