"""Coins, rivals and traps on a real VM: every promise of a script is kept by real transactions."""

import asyncio
import gc
import itertools
import json
import logging
from collections import Counter

import aiohttp
import pytest
from solders.account import Account
from solders.pubkey import Pubkey

from launcher_world import BOT_LAMPORTS, LauncherWorld, Stranger
from slotzero.localnet.events import AccountSet, ChainEvent, SlotOpened, TransactionExecuted
from slotzero.localnet.launcher import CoinKind, CoinPlan, Flavour, Mix, plan_coin, script_coin
from slotzero.localnet.launcher.actors import PURSE_LAMPORTS
from slotzero.localnet.launcher.coins import Buy
from slotzero.localnet.launcher.launcher import _Coin
from slotzero.localnet.process import running_localnet
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM
from slotzero.solana.token import AccountState, TransferFeeAmount, TransferFeeConfig, parse_mint, parse_token_account

INDICES = range(6)
_SCRIPT_MS = 13_100


def values_while_playing(flavour: Flavour, index: int) -> list[float]:
    """What 0.1 SOL, bought 20 ms after the creation, is worth in the eight seconds after it, as a share of its cost."""
    world = LauncherWorld()
    stranger = Stranger(world.chain)
    plan = plan_coin(Mix(), 7, index)
    script = script_coin(7, index, CoinPlan(flavour=flavour, has_creator_buy=plan.has_creator_buy))
    mint = world.launch(script)
    at_launch = world.reserves(mint)
    world.drive(20)
    assert stranger.buy(mint, at_launch) is None
    tokens = stranger.held(mint).amount
    values = []
    for _ in range(80):
        world.drive(100)
        values.append(world.value(mint, tokens) / BOT_LAMPORTS)
    return values


@pytest.mark.parametrize("index", INDICES)
def test_climbing_coin_reaches_a_profit_of_25_percent(index: int) -> None:
    values = values_while_playing(Flavour.CLIMBING, index)
    assert max(values[:41]) > 1.30
    assert max(values) < 1.85
    assert min(values) > 0.97


@pytest.mark.parametrize("index", INDICES)
def test_falling_coin_reaches_a_loss_of_20_percent(index: int) -> None:
    values = values_while_playing(Flavour.FALLING, index)
    assert 0.64 < min(values[:29]) < 0.78
    assert max(values) < 1.0


@pytest.mark.parametrize("index", INDICES)
def test_flat_coin_reaches_neither(index: int) -> None:
    values = values_while_playing(Flavour.FLAT, index)
    assert min(values) > 0.95
    assert max(values) < 1.03


@pytest.mark.parametrize("flavour", Flavour)
def test_buy_priced_from_the_creation_fails_on_a_front_run_coin(flavour: Flavour) -> None:
    world = LauncherWorld()
    stranger = Stranger(world.chain)
    for index in range(12):
        mint = world.launch(script_coin(7, index, CoinPlan(flavour=flavour, is_front_run=True, rivals=1)))
        coin = next(entry[2] for entry in world.launcher._queue if entry[2].mint == mint)
        world.drive(3)
        assert stranger.buy(mint, coin.launch_reserves) == "TooMuchSolRequired"
        world.drive(200)


def test_second_rival_of_a_front_run_coin_fails_too_and_is_counted() -> None:
    world = LauncherWorld()
    world.launch(script_coin(7, 1, CoinPlan(is_front_run=True)))
    world.drive(10)
    stats = world.launcher.stats()
    assert (stats.trades, stats.trade_failures) == (1, {"TooMuchSolRequired": 1})
    assert stats.front_run == 1


def test_front_runner_of_the_same_instant_has_bought_when_the_launch_returns() -> None:
    world = LauncherWorld()
    scripts = (script_coin(7, index, CoinPlan(is_front_run=True, rivals=1)) for index in range(50))
    script = next(script for script in scripts if script.actions[0].after == 0)
    action = script.actions[0]
    assert isinstance(action, Buy)
    mint = world.launch(script)
    bought = world.reserves(mint).real_quote
    assert 0.98 * action.spend_lamports < bought < action.spend_lamports


def test_freeze_trap_freezes_a_stranger_two_slots_after_its_buy_and_nobody_else() -> None:
    world = LauncherWorld()
    stranger, late = Stranger(world.chain), Stranger(world.chain, "late")
    mint = world.launch(script_coin(7, 0, CoinPlan(kind=CoinKind.TRAP_FREEZE, flavour=Flavour.CLIMBING)))
    at_launch = world.reserves(mint)
    world.drive(130)
    assert stranger.buy(mint, at_launch) is None
    bought_in = world.chain.slot
    states: dict[int, AccountState] = {}
    for _ in range(6):
        states.setdefault(world.chain.slot, stranger.held(mint).state)
        world.drive(100)
    assert states == {
        bought_in: AccountState.INITIALIZED,
        bought_in + 1: AccountState.INITIALIZED,
        bought_in + 2: AccountState.FROZEN,
        bought_in + 3: AccountState.FROZEN,
    }
    assert stranger.sell_all(mint) == "AccountFrozen"

    world.drive(3_000)
    assert late.buy(mint, world.reserves(mint)) is None
    world.drive(500)
    assert late.held(mint).state is AccountState.FROZEN
    world.drive(_SCRIPT_MS)
    stats = world.launcher.stats()
    assert (stats.freezes, stats.freeze_failures, stats.trade_failures) == (2, {}, {})
    assert world.reserves(mint).real_quote > BOT_LAMPORTS  # the strangers' money stays; the rivals have taken theirs


def test_buyer_who_sold_and_closed_in_time_is_not_frozen() -> None:
    world = LauncherWorld()
    stranger = Stranger(world.chain)
    mint = world.launch(script_coin(7, 0, CoinPlan(kind=CoinKind.TRAP_FREEZE)))
    assert stranger.buy(mint, world.reserves(mint)) is None
    accounts = stranger.accounts(mint)
    world.chain.set_account(accounts.user_tokens, None)
    world.drive(600)
    assert world.launcher.stats().freeze_failures == {"closed_before": 1}


def test_buyer_after_the_script_is_left_alone_and_one_at_its_end_is_not() -> None:
    world = LauncherWorld()
    stranger, late = Stranger(world.chain), Stranger(world.chain, "late")
    script = script_coin(7, 0, CoinPlan(kind=CoinKind.TRAP_FREEZE))
    mint = world.launch(script)
    world.drive(script.actions[-1].after // 1_000_000 - 1)
    assert stranger.buy(mint, world.reserves(mint)) is None
    world.drive(5)
    assert world.launcher.next_deadline is None
    assert world.launcher.stats().live_coins == 1
    assert late.buy(mint, world.reserves(mint)) is None
    world.drive(1_000)
    assert stranger.held(mint).state is AccountState.FROZEN
    assert late.held(mint).state is AccountState.INITIALIZED
    assert world.launcher.stats().live_coins == 0


def test_fee_trap_withholds_nine_tenths_of_a_buy_and_can_be_sold_to() -> None:
    world = LauncherWorld()
    stranger = Stranger(world.chain)
    plan = CoinPlan(kind=CoinKind.TRAP_FEE, flavour=Flavour.CLIMBING, has_creator_buy=True)
    mint = world.launch(script_coin(7, 0, plan))
    assert stranger.buy(mint, world.reserves(mint)) is None
    held = stranger.held(mint)
    withheld = held.extension(TransferFeeAmount)
    assert withheld is not None
    assert abs(withheld.withheld - 9 * held.amount) <= 9

    world.drive(5_000)
    before = stranger.lamports
    assert stranger.sell_all(mint) is None
    assert 0 < stranger.lamports - before < BOT_LAMPORTS // 5
    curve = world.chain.account(stranger.accounts(mint).curve_tokens)
    assert curve is not None
    collected = parse_token_account(curve.data, TOKEN_2022_PROGRAM).extension(TransferFeeAmount)
    assert collected is not None
    assert collected.withheld > 0
    world.drive(_SCRIPT_MS)
    assert world.launcher.stats().trade_failures == {}


@pytest.mark.parametrize("has_creator_buy", [False, True])
@pytest.mark.parametrize("kind", CoinKind)
def test_coin_is_a_trap_before_anybody_can_ask_for_it(kind: CoinKind, *, has_creator_buy: bool) -> None:
    world = LauncherWorld()
    events: list[ChainEvent] = []
    world.chain.add_listener(events.append)
    script = script_coin(7, 0, CoinPlan(kind=kind, has_creator_buy=has_creator_buy))
    mint = world.launch(script)
    account = world.chain.account(mint)
    assert account is not None
    assert account.lamports >= world.chain.svm.rent_exempt_minimum(len(account.data))
    parsed = parse_mint(account.data, account.owner)
    creator = world.launcher.actors.creators[script.creator].pubkey
    fee = parsed.extension(TransferFeeConfig)
    assert parsed.freeze_authority == (creator if kind is CoinKind.TRAP_FREEZE else None)
    assert (fee is not None) is (kind is CoinKind.TRAP_FEE)
    if fee is not None:
        assert (fee.older.bps, fee.newer.bps, fee.config_authority) == (9_000, 9_000, creator)
    assert parsed.mint_authority is None
    created, *rewritten = events
    assert isinstance(created, TransactionExecuted)
    assert created.record.err is None
    assert not any("truncated" in line for line in created.record.metadata.logs())
    assert all(isinstance(event, AccountSet) for event in rewritten)


def test_creation_with_the_longest_words_and_a_creator_buy_fits() -> None:
    world = LauncherWorld()
    sizes: list[int] = []

    def weigh(event: ChainEvent) -> None:
        if isinstance(event, TransactionExecuted):
            sizes.append(len(event.record.raw))

    world.chain.add_listener(weigh)
    scripts = [script_coin(7, index, CoinPlan(has_creator_buy=True)) for index in range(300)]
    for script in sorted(scripts, key=lambda script: -len(script.name) - len(script.symbol))[:5]:
        world.launch(script)
    assert 1_100 < max(sizes) <= 1_232


def test_script_launched_twice_is_a_counted_failure() -> None:
    world = LauncherWorld()
    script = script_coin(7, 0, CoinPlan())
    world.launch(script)
    assert world.launcher.launch(script) is None
    assert sum(world.launcher.stats().launch_failures.values()) == 1
    assert world.launcher.stats().launched == {"honest": 1, "trap_freeze": 0, "trap_fee": 0}


def test_creator_without_funds_is_logged_once_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    world = LauncherWorld(launches_per_s=20)
    for actor in world.launcher.actors.creators[::2]:
        world.chain.set_account(actor.pubkey, Account(1_000_000, b"", SYSTEM_PROGRAM))
    with caplog.at_level(logging.WARNING):
        world.drive(3_000)
    stats = world.launcher.stats()
    assert sum(stats.launch_failures.values()) > 10
    assert sum(stats.launched.values()) > 10
    assert len(caplog.records) == len(stats.launch_failures)


def test_rival_without_funds_fails_and_is_counted() -> None:
    world = LauncherWorld()
    for actor in world.launcher.actors.rivals:
        world.chain.set_account(actor.pubkey, Account(1_000_000, b"", SYSTEM_PROGRAM))
    world.launch(script_coin(7, 0, CoinPlan(flavour=Flavour.CLIMBING)))
    world.drive(_SCRIPT_MS)
    stats = world.launcher.stats()
    assert stats.trades == 0
    assert sum(stats.trade_failures.values()) == 5


def test_curve_that_strangers_have_bought_empty_is_a_counted_failure() -> None:
    world = LauncherWorld()
    whale = Stranger(world.chain)
    mint = world.launch(script_coin(7, 0, CoinPlan(flavour=Flavour.CLIMBING)))
    world.chain.set_account(whale.actor.pubkey, Account(200 * 10**9, b"", SYSTEM_PROGRAM))
    assert whale.buy(mint, world.reserves(mint), lamports=PURSE_LAMPORTS) is None
    world.drive(_SCRIPT_MS)
    assert world.launcher.stats().trade_failures == {"nothing_to_buy": 5}


def test_paced_coins_are_those_of_the_plan_in_its_order() -> None:
    world = LauncherWorld(launches_per_s=5, seed=3)
    launched_at: list[int] = []

    def note(event: ChainEvent) -> None:
        if isinstance(event, TransactionExecuted) and len(event.record.transaction().signatures) > 1:
            launched_at.append(event.record.mono_ns)

    world.chain.add_listener(note)
    world.drive(10_000)
    total = sum(world.launcher.stats().launched.values())
    assert 45 <= total <= 55
    kinds = [plan_coin(Mix(), 3, index).kind for index in range(total)]
    assert Counter(kinds) == Counter({CoinKind(name): count for name, count in world.launcher.stats().launched.items()})
    gaps = [after - before for before, after in itertools.pairwise(launched_at)]
    assert 100_000_000 <= min(gaps) < 150_000_000
    assert 250_000_000 < max(gaps) <= 300_000_000


def test_late_launches_are_skipped_not_made_up_for() -> None:
    world = LauncherWorld(launches_per_s=10)
    world.clock._set(world.clock.mono_ns() + 30_000_000_000)
    world.launcher.catch_up()
    stats = world.launcher.stats()
    assert sum(stats.launched.values()) == 1
    assert 295 <= stats.skipped_launches <= 300


def test_catch_up_does_no_more_steps_than_asked() -> None:
    world = LauncherWorld()
    for index in range(5):
        world.launch(script_coin(7, index, CoinPlan(flavour=Flavour.FLAT, rivals=1)))
    world.clock._set(world.clock.mono_ns() + 20_000_000_000)
    turns = 0
    while world.launcher.catch_up(2):
        turns += 1
    assert world.launcher.next_deadline is None
    assert turns == 5 * 4 // 2


def test_200_launches_leave_the_books_balanced_and_nothing_behind() -> None:
    world = LauncherWorld(launches_per_s=20, mix=Mix(trap_percent=20))
    chain, launcher = world.chain, world.launcher
    stranger = Stranger(chain)
    book: dict[Pubkey, int] = dict.fromkeys(launcher.actors.addresses, int(PURSE_LAMPORTS))
    book[stranger.actor.pubkey] = stranger.lamports
    opening, fees, given = sum(book.values()), 0, 0
    mints: list[Pubkey] = []

    def keep_books(event: ChainEvent) -> None:
        nonlocal opening, fees, given
        match event:
            case TransactionExecuted(record=record, account_keys=keys):
                fees += record.fee
                for key, before, after in zip(keys, record.pre_balances, record.post_balances, strict=True):
                    if key not in book:  # programs and settings have held their rent since the genesis
                        opening += before
                        book[key] = before
                    assert book[key] == before, f"{key} changed between transactions"
                    book[key] = after
                if record.err is None and len(record.transaction().signatures) > 1:
                    mints.append(keys[1])
            case AccountSet(write=write):
                after = 0 if write.account is None else write.account.lamports
                given += after - book[write.key]
                book[write.key] = after
            case SlotOpened():
                pass

    chain.add_listener(keep_books)
    traded: set[Pubkey] = set()
    while len(mints) < 200:
        world.drive(50)
        mint = mints[-1] if mints else None
        if mint is not None and mint not in traded and len(traded) < 40:
            traded.add(mint)
            stranger.buy(mint, world.reserves(mint))
    launcher._next_launch = None
    world.drive(_SCRIPT_MS)
    stats = launcher.stats()

    assert sum(book.values()) == opening + given - fees
    # Only the rent of what a fee trap's mint and token accounts have grown by comes from nowhere.
    assert 0 < given < 1_000_000 * stats.launched["trap_fee"]

    assert launcher.next_deadline is None
    assert sum(stats.launched.values()) == len(mints) >= 200
    assert stats.launch_failures == {}
    assert set(stats.trade_failures) == {"TooMuchSolRequired"}
    assert stats.trade_failures["TooMuchSolRequired"] == stats.front_run
    assert stats.freezes > 0
    assert (stats.live_coins, stats.waiting_freezes) == (0, 0)
    gc.collect()
    assert not [found for found in gc.get_objects() if isinstance(found, _Coin)]
    assert not launcher._freezer._traps
    for mint in set(mints) - traded:
        assert world.reserves(mint).real_quote < 100 or _is_fee_trap(world, mint)
    accounts = [key for key, _ in chain.svm.program_accounts(TOKEN_2022_PROGRAM)]
    # A mint and the curve's account for each coin, the wallets' accounts of fee traps, what the stranger holds.
    assert len(accounts) <= 2 * len(mints) + 4 * stats.launched["trap_fee"] + len(traded)


def _is_fee_trap(world: LauncherWorld, mint: Pubkey) -> bool:
    account = world.chain.account(mint)
    assert account is not None
    return parse_mint(account.data, account.owner).extension(TransferFeeConfig) is not None


async def test_running_launcher_sleeps_to_its_deadlines_and_wakes_for_slots_and_for_a_launch() -> None:
    world = LauncherWorld()
    stranger = Stranger(world.chain)
    task = asyncio.get_running_loop().create_task(world.launcher.run())
    await asyncio.sleep(0)
    assert not await world.clock.jump()  # nothing is planned: no timer

    mint = world.launch(script_coin(7, 0, CoinPlan(kind=CoinKind.TRAP_FREEZE, flavour=Flavour.CLIMBING)))
    assert stranger.buy(mint, world.reserves(mint)) is None
    await world.clock.advance(1_000_000)
    world.chain.advance(2)
    await world.clock.advance(1_000_000)
    assert stranger.held(mint).state is AccountState.FROZEN
    assert world.launcher.stats().trades == 0
    await world.clock.advance(14_000_000_000)
    assert world.launcher.stats().trades == 8
    assert world.launcher.stats().live_coins == 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_slot_for_each_transaction_works_too() -> None:
    world = LauncherWorld(slot_ms=0)
    stranger = Stranger(world.chain)
    mint = world.launch(script_coin(7, 0, CoinPlan(kind=CoinKind.TRAP_FREEZE, flavour=Flavour.CLIMBING)))
    assert stranger.buy(mint, world.reserves(mint)) is None
    world.drive(_SCRIPT_MS)
    assert stranger.held(mint).state is AccountState.FROZEN
    assert world.launcher.stats().trade_failures == {}


async def test_command_launches_coins_that_a_client_sees() -> None:
    # Waits on the wall clock because the launcher's own timer in the chain's process is what is tested.
    arguments = ("--launches-per-s", "50", "--trap-percent", "100", "--rivals-per-coin", "0")
    async with (
        asyncio.timeout(60),
        running_localnet(slot_ms=20, seed=3, arguments=arguments) as endpoints,
        aiohttp.ClientSession() as http,
        http.ws_connect(endpoints.ws) as socket,
    ):
        program = {"mentions": ["6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P"]}
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "logsSubscribe", "params": [program]})
        seen = 0
        while seen < 5:
            frame = json.loads((await socket.receive()).data)
            logs = frame["params"]["result"]["value"]["logs"] if "params" in frame else []
            seen += any("Instruction: CreateV2" in line for line in logs)
