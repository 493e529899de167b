"""Coins that are over are taken off the chain: when, which, and what is counted."""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec
import pytest
from solders.pubkey import Pubkey

from slotzero.clock import TestClock
from slotzero.errors import RpcError
from slotzero.localnet.chain import Chain, Landed
from slotzero.localnet.launcher.coins import RIVALS
from slotzero.localnet.node import Node
from slotzero.localnet.rpc import Rpc
from slotzero.perf.histogram import Histogram
from slotzero.solana.pubsub import PubSub
from slotzero.workloads.snipe_scenarios import sweep
from slotzero.workloads.snipe_scenarios.coins import Coin, CoinMaker, accounts_of_mint
from slotzero.workloads.snipe_scenarios.driver import Driver
from slotzero.workloads.snipe_scenarios.line import ChainLines, _Line
from slotzero.workloads.snipe_scenarios.sweep import Sweeper

S = 1_000_000_000
COINS = [Pubkey(bytes([1, number]).ljust(32, b"\1")) for number in range(10)]


class Lines(ChainLines):
    """Lines to nowhere: remembers what is asked, and answers what it is told to."""

    def __init__(self, answer: Callable[[str, tuple[object, ...]], object]) -> None:
        super().__init__([_Line("", Histogram())], Histogram())
        self.answer = answer
        self.removed: list[list[str]] = []

    def call(self, method: str, *params: object) -> asyncio.Future[msgspec.Raw]:
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        if method == "slotzero_removeAccounts":
            (keys,) = params
            assert isinstance(keys, list)
            self.removed.append(keys)
        try:
            future.set_result(msgspec.Raw(msgspec.json.encode(self.answer(method, params))))
        except RpcError as error:
            future.set_exception(error)
        return future


class Field:
    """A sweeper with a clock that stands still, and what it has told."""

    def __init__(self, after_s: float = 10) -> None:
        self.clock = TestClock()
        self.fails = False
        self.held: set[Pubkey] = set()
        self.gone: list[Pubkey] = []
        self.lines = Lines(self._answer)
        self.sweeper = Sweeper(
            self.lines, self.clock, after_s=after_s, is_held=self.held.__contains__, on_swept=self.gone.append
        )

    def add(self, *mints: Pubkey, keys: int = 6) -> None:
        for mint in mints:
            self.sweeper.add(mint, partial(tuple, [mint] * keys))

    async def after(self, seconds: float) -> None:
        await self.clock.advance(round(seconds * S))
        await self.sweeper.sweep()

    @property
    def counts(self) -> tuple[int, int]:
        return self.sweeper.swept, self.sweeper.not_swept

    def _answer(self, _method: str, params: tuple[object, ...]) -> object:
        if self.fails:
            raise RpcError("http://chain", -32602, "no")
        (keys,) = params
        assert isinstance(keys, list)
        return len(keys)


async def test_a_coin_goes_when_its_time_has_come_and_not_before() -> None:
    field = Field()
    field.add(COINS[0])
    await field.after(5)
    field.add(COINS[1])
    await field.after(4.9)
    assert (field.lines.removed, field.gone) == ([], [])
    await field.after(0.1)
    assert (field.lines.removed, field.gone) == ([[str(COINS[0])] * 6], [COINS[0]])
    await field.after(5)
    assert (field.gone, field.counts) == (COINS[:2], (2, 0))


async def test_nothing_is_remembered_when_nothing_is_swept() -> None:
    field = Field(after_s=0)
    field.add(*COINS)
    await field.after(100)
    assert (field.lines.removed, len(field.sweeper._over), field.counts) == ([], 0, (0, 0))


async def test_each_call_takes_a_few_coins_only() -> None:
    field = Field()
    field.add(*COINS)
    await field.after(10)
    assert [len(keys) for keys in field.lines.removed] == [24, 24, 12]
    assert field.counts == (10, 0)


async def test_what_is_held_stays() -> None:
    field = Field()
    field.held.update(COINS[:2])
    field.add(*COINS[:3])
    await field.after(10)
    assert (field.gone, field.counts) == ([COINS[2]], (1, 2))
    field.add(COINS[0])
    await field.after(10)
    assert (len(field.lines.removed), field.counts) == (1, (1, 3))


async def test_a_removal_that_fails_is_counted_and_the_others_go_on() -> None:
    field = Field()
    field.add(*COINS[:5])
    field.fails = True
    await field.after(10)
    assert (field.gone, field.counts) == ([], (0, 5))
    field.fails = False
    field.add(COINS[5])
    await field.after(10)
    assert (field.gone, field.counts) == ([COINS[5]], (1, 5))


async def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_MOST_WAITING", 3)
    field = Field()
    field.add(*COINS)
    await field.after(10)
    assert (field.gone, field.counts) == (COINS[:3], (3, 7))


# ---- with a chain ---------------------------------------------------------------------------------------------------


def mentioned(chain: Chain, maker: CoinMaker) -> tuple[Coin, set[Pubkey]]:
    """Create the next coin and have three rivals buy it. Returns the accounts its transactions name."""
    coin, creation = maker.next_coin(chain.block.blockhash)
    keys: set[Pubkey] = set()
    for raw in (creation, *(maker.rival_buy(coin, place, chain.block.blockhash) for place in range(3))):
        landed = chain.submit(raw)
        assert isinstance(landed, Landed)
        assert landed.record.err is None
        keys.update(landed.record.account_keys())
    return coin, keys


def test_the_accounts_of_a_coin_are_those_that_no_other_coin_of_the_same_people_has(
    chain: Chain, maker: CoinMaker
) -> None:
    before = chain.stats().token_accounts
    coin, keys = mentioned(chain, maker)
    for _ in range(RIVALS - 1):
        maker.next_coin(chain.block.blockhash)
    other, others = mentioned(chain, maker)
    assert other.creator == coin.creator
    assert set(maker.accounts_of(coin, 3)) == {key for key in keys - others if chain.account(key) is not None}
    for each in (coin, other):
        assert chain.remove_accounts(maker.accounts_of(each, 3)) == 6
    assert chain.stats().token_accounts == before


async def test_a_driver_sweeps_its_pools_and_traps(chain: Chain, maker: CoinMaker) -> None:
    rpc, clock = Rpc(Node(chain=chain)), TestClock()
    trap, trap_creation = maker.next_coin(chain.block.blockhash)
    chain.submit(trap_creation)

    def answer(method: str, params: tuple[object, ...]) -> object:
        if method == "slotzero_launch":
            return str(trap.mint)
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return msgspec.json.decode(rpc.handle(msgspec.json.encode(request)), type=dict[str, object])["result"]

    driver = Driver(
        Lines(answer),
        PubSub(["ws://chain"], clock=clock),
        bot_wallets=(),
        maker=maker,
        clock=clock,
        trap_every=1,
        rivals=0,
        seed=1,
        sweep_after_s=10,
    )
    await driver.refresh_blockhash()
    before = chain.stats().token_accounts
    async with asyncio.TaskGroup() as tasks:
        snipe = tasks.create_task(driver.snipe())
        upkeep = tasks.create_task(driver.keep_up())
        await clock.advance(S // 2)
        (mint,) = driver.book.pending()
        assert chain.account(mint) is not None
        driver.on_refusal(str(mint), "overloaded")
        assert await snipe is not None
        await clock.advance(10 * S)
        assert chain.account(mint) is not None
        await clock.advance(S)
        upkeep.cancel()
    assert [chain.account(key) for coin in (mint, trap.mint) for key in accounts_of_mint(coin)] == [None] * 6
    assert (driver.stats().swept, driver.stats().not_swept) == (2, 0)
    assert chain.stats().token_accounts == before - 1
    assert driver.book._traps == {}
