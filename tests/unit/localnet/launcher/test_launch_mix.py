"""What is launched follows from seed and index alone, in the shares the mix asks for."""

from collections import Counter

import pytest

from slotzero.localnet.launcher import CoinKind, CoinPlan, Flavour, FlavourWeights, Mix, TrapWeights, plan_coin

SEEDS = (0, 1, 7, 12345, 2**63 - 1)


def plans(mix: Mix, seed: int, count: int, start: int = 0) -> list[CoinPlan]:
    return [plan_coin(mix, seed, index) for index in range(start, start + count)]


def kinds(mix: Mix, seed: int, count: int, start: int = 0) -> Counter[CoinKind]:
    return Counter(plan.kind for plan in plans(mix, seed, count, start))


def test_plan_depends_on_seed_and_index_alone() -> None:
    forwards = plans(Mix(), 7, 100)
    assert [plan_coin(Mix(), 7, index) for index in reversed(range(100))] == forwards[::-1]
    assert plans(Mix(), 8, 100) != forwards


def test_plan_of_a_seed_stays_the_same_from_release_to_release() -> None:
    assert [(plan.kind.value, plan.flavour.value) for plan in plans(Mix(), 7, 5)] == [
        ("trap_fee", "flat"),
        ("trap_freeze", "climbing"),
        ("honest", "flat"),
        ("honest", "climbing"),
        ("honest", "falling"),
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("percent", [40, 41, 50, 60, 79])
def test_each_block_of_five_has_both_traps_from_40_percent_on(seed: int, percent: int) -> None:
    for start in range(0, 500, 5):
        found = kinds(Mix(trap_percent=percent), seed, 5, start)
        assert found[CoinKind.TRAP_FREEZE]
        assert found[CoinKind.TRAP_FEE]
        assert found[CoinKind.HONEST]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("percent", [20, 30, 39, 40, 60])
def test_first_five_coins_show_both_traps_from_20_percent_on(seed: int, percent: int) -> None:
    assert set(kinds(Mix(trap_percent=percent), seed, 5)) == set(CoinKind)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("percent", [0, 1, 7, 20, 33, 40, 73, 99, 100])
def test_share_of_traps_is_the_one_asked_for(seed: int, percent: int) -> None:
    found = kinds(Mix(trap_percent=percent), seed, 1000)
    traps = found[CoinKind.TRAP_FREEZE] + found[CoinKind.TRAP_FEE]
    assert traps == percent * 10
    assert abs(found[CoinKind.TRAP_FREEZE] - found[CoinKind.TRAP_FEE]) <= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_traps_are_not_at_the_same_place_of_each_block(seed: int) -> None:
    places = {index % 5 for index, plan in enumerate(plans(Mix(), seed, 100)) if plan.kind is not CoinKind.HONEST}
    assert places == {0, 1, 2, 3, 4}


def test_trap_weights_divide_the_traps() -> None:
    found = kinds(Mix(trap_percent=50, traps=TrapWeights(freeze=3, fee=1)), 7, 800)
    assert (found[CoinKind.TRAP_FREEZE], found[CoinKind.TRAP_FEE]) == (300, 100)
    assert set(kinds(Mix(trap_percent=100, traps=TrapWeights(freeze=0, fee=5)), 7, 50)) == {CoinKind.TRAP_FEE}


@pytest.mark.parametrize("seed", SEEDS)
def test_first_three_honest_coins_show_every_flavour(seed: int) -> None:
    honest = [plan.flavour for plan in plans(Mix(), seed, 20) if plan.kind is CoinKind.HONEST]
    assert set(honest[:3]) == set(Flavour)


@pytest.mark.parametrize("is_trap", [False, True])
def test_flavours_have_their_shares_among_honest_coins_and_among_traps(is_trap: bool) -> None:  # noqa: FBT001 - a case
    chosen = [plan for plan in plans(Mix(trap_percent=50), 7, 400) if (plan.kind is not CoinKind.HONEST) is is_trap]
    assert Counter(plan.flavour for plan in chosen) == {
        Flavour.CLIMBING: 80,
        Flavour.FALLING: 60,
        Flavour.FLAT: 60,
    }


def test_single_flavour_is_the_only_one() -> None:
    mix = Mix(flavours=FlavourWeights(climbing=0, falling=1, flat=0))
    assert {plan.flavour for plan in plans(mix, 7, 50)} == {Flavour.FALLING}


def test_front_runs_are_15_percent_of_the_honest_coins_and_of_no_trap() -> None:
    found = plans(Mix(), 7, 1000)
    assert sum(plan.is_front_run for plan in found) == 90
    assert not any(plan.is_front_run for plan in found if plan.kind is not CoinKind.HONEST)


def test_without_rivals_nothing_climbs_and_nobody_front_runs() -> None:
    found = plans(Mix(rivals_per_coin=0), 7, 200)
    assert {plan.flavour for plan in found} == {Flavour.FALLING, Flavour.FLAT}
    assert not any(plan.is_front_run for plan in found)


def test_creators_buy_as_often_as_asked() -> None:
    assert not any(plan.has_creator_buy for plan in plans(Mix(creator_buy_percent=0), 7, 100))
    assert all(plan.has_creator_buy for plan in plans(Mix(creator_buy_percent=100), 7, 100))
