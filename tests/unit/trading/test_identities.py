"""Names from the system and names from a seed."""

from random import Random

from slotzero.trading.identities import Identities, SeededIdentities, SystemIdentities


def drawn(source: Identities, count: int) -> list[str]:
    return [name for _ in range(count) for name in (source.intent_id(), str(source.address()))]


def test_same_seed_gives_the_same_names_in_the_same_order() -> None:
    first, second = (SeededIdentities(Random(3)) for _ in range(2))  # noqa: S311 repeatable
    assert drawn(first, 20) == drawn(second, 20)


def test_another_seed_gives_other_names() -> None:
    assert not set(drawn(SeededIdentities(Random(3)), 20)) & set(drawn(SeededIdentities(Random(4)), 20))  # noqa: S311


def test_system_never_gives_a_name_twice() -> None:
    names = drawn(SystemIdentities(), 100)
    assert len(set(names)) == len(names)
