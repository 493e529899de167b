"""The script of a coin: a pure function, with what each flavour promises in it."""

import itertools

import pytest

from slotzero.localnet.launcher import CoinKind, CoinPlan, Flavour, Mix, plan_coin, script_coin
from slotzero.localnet.launcher.coins import CREATORS, RIVALS, Buy, CoinScript, Sell
from slotzero.units import LAMPORTS_PER_SOL, NS_PER_MS

MS = NS_PER_MS
INDICES = range(50)


def scripts(plan: CoinPlan) -> list[CoinScript]:
    return [script_coin(7, index, plan) for index in INDICES]


def test_script_depends_on_seed_index_and_plan_alone() -> None:
    plan = CoinPlan(flavour=Flavour.CLIMBING)
    assert scripts(plan)[::-1] == [script_coin(7, index, plan) for index in reversed(INDICES)]
    assert script_coin(8, 0, plan) != script_coin(7, 0, plan)
    assert script_coin(7, 1, plan).actions != script_coin(7, 0, plan).actions


def test_actions_are_in_order_and_end_with_everybody_sold_out() -> None:
    for index, rivals in itertools.product(INDICES, (0, 1, 3, 50)):
        script = script_coin(7, index, plan_coin(Mix(rivals_per_coin=rivals), 7, index))
        times = [action.after for action in script.actions]
        assert times == sorted(times)
        leaving = [action for action in script.actions if action.after >= 11_000 * MS]
        assert all(isinstance(action, Sell) and action.share == 10_000 for action in leaving)
        traders = {action.rival for action in script.actions}
        assert {action.rival for action in leaving} == traders
        assert len(traders) == rivals + 1
        assert traders <= {None, *range(RIVALS)}
        assert 0 <= script.creator < CREATORS


@pytest.mark.parametrize("flavour", Flavour)
def test_nobody_trades_in_the_first_quarter_second_of_a_coin_that_is_not_front_run(flavour: Flavour) -> None:
    for script in scripts(CoinPlan(flavour=flavour)):
        assert script.actions[0].after >= 250 * MS


@pytest.mark.parametrize("flavour", Flavour)
def test_front_run_begins_with_one_large_buy_within_three_milliseconds(flavour: Flavour) -> None:
    found = scripts(CoinPlan(flavour=flavour, is_front_run=True))
    for script in found:
        first, second = script.actions[:2]
        assert isinstance(first, Buy)
        assert isinstance(second, Buy)
        assert first.after <= 3 * MS
        assert first.spend_lamports >= 1.5 * LAMPORTS_PER_SOL
        assert second.prices_from_launch
        assert second.after > first.after
        assert script.actions[2].after >= 250 * MS
    assert 10 <= sum(script.actions[0].after == 0 for script in found) <= 40


@pytest.mark.parametrize("rivals", [1, 2, 3, 50])
def test_climb_is_spent_by_all_rivals_within_four_seconds(rivals: int) -> None:
    for script in scripts(CoinPlan(flavour=Flavour.CLIMBING, rivals=rivals)):
        buys = [action for action in script.actions if isinstance(action, Buy)]
        assert {action.rival for action in buys} == {action.rival for action in script.actions} - {None}
        assert 1_000 * MS <= buys[-1].after <= 4_000 * MS
        assert 4.9 * LAMPORTS_PER_SOL <= sum(action.spend_lamports for action in buys) <= 10.6 * LAMPORTS_PER_SOL


def test_falling_coin_is_bought_with_its_creation_and_below_a_fifth_of_the_supply() -> None:
    for script in scripts(CoinPlan(flavour=Flavour.FALLING, has_creator_buy=False)):
        assert 4.4 * LAMPORTS_PER_SOL <= script.creator_buy_lamports <= 6.4 * LAMPORTS_PER_SOL
        tokens = 1_073 * script.creator_buy_lamports // (30 * LAMPORTS_PER_SOL + script.creator_buy_lamports)
        assert tokens < 200  # of 1,000


def test_creator_buys_only_where_planned() -> None:
    assert not any(script.creator_buy_lamports for script in scripts(CoinPlan()))
    assert all(script.creator_buy_lamports for script in scripts(CoinPlan(has_creator_buy=True)))


def test_traps_have_the_scripts_of_honest_coins() -> None:
    honest = script_coin(7, 3, CoinPlan(flavour=Flavour.CLIMBING))
    trap = script_coin(7, 3, CoinPlan(flavour=Flavour.CLIMBING, kind=CoinKind.TRAP_FEE))
    assert (trap.name, trap.symbol, trap.uri, trap.actions) == (honest.name, honest.symbol, honest.uri, honest.actions)


def test_names_are_within_the_limits_of_the_program_and_lead_nowhere() -> None:
    found = [script_coin(7, index, CoinPlan()) for index in range(2000)]
    assert max(len(script.name) for script in found) <= 32
    assert max(len(script.symbol) for script in found) <= 13
    assert all(script.uri.startswith("https://ipfs.example/") for script in found)
    assert len({script.name for script in found}) > 1000
    assert len({script.uri for script in found}) == 2000


@pytest.mark.parametrize(
    "plan",
    [
        CoinPlan(rivals=RIVALS + 1),
        CoinPlan(rivals=-1),
        CoinPlan(rivals=0, flavour=Flavour.CLIMBING),
        CoinPlan(rivals=0, is_front_run=True),
    ],
)
def test_impossible_plan_is_a_bug(plan: CoinPlan) -> None:
    with pytest.raises(ValueError, match="rival"):
        script_coin(7, 0, plan)
