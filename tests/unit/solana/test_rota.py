import pytest

from slotzero.solana.rota import Rota


def dialogue(count: int, of_use: list[bool]) -> list[tuple[int, int]]:
    rota = Rota(count)
    said = []
    for was_of_use in of_use:
        delay_ms = rota.on_end(was_of_use=was_of_use)
        said.append((delay_ms, rota.turn))
    return said


def test_one_address_is_tried_again_ever_later_and_at_once_quickly_when_it_was_of_use() -> None:
    of_use = [False] * 8 + [True, False]
    delays = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 100, 200]
    assert dialogue(1, of_use) == [(delay, 0) for delay in delays]


def test_others_have_their_turn_at_once_and_a_round_costs_a_delay() -> None:
    assert dialogue(3, [True, False, False, False, False, False]) == [
        (0, 1),
        (0, 2),
        (100, 0),
        (0, 1),
        (0, 2),
        (200, 0),
    ]


@pytest.mark.parametrize("count", [1, 2, 8])
def test_addresses_that_never_answer_are_not_asked_without_end(count: int) -> None:
    said = dialogue(count, [False] * count * 20)
    assert sum(delay > 0 for delay, _ in said) == 20
