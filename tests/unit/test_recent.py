"""A set of the newest things."""

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
