"""From a frame to a price, for any number of subscribers; nothing or a number that is known to be true."""

import asyncio
from fractions import Fraction

import pytest
from solders.pubkey import Pubkey

from market_lab import LAUNCH, PaperStream, coin, curve_bytes, key, moved
from slotzero.clock import TestClock, ms
from slotzero.localnet import genesis
from slotzero.market.price_board import Price, PriceBoard
from slotzero.market.price_feed import PriceFeed, PriceQueue
from slotzero.solana.rpc import AccountInfo, RpcClient, WithSlot
from slotzero.units import Lamports, MonoNs, Slot, TokenAmount
from slotzero.venues.market import PoolState
from slotzero.venues.pumpfun import PUMP_PROGRAM
from slotzero.venues.pumpfun.trader import PumpfunMarket, PumpfunTrader
from slotzero.venues.records import Reserves

POOL, MINT = key(1), key(2)
SUPPLY = TokenAmount(10**15)
SECOND = 1_000_000_000


def state(reserves: Reserves = LAUNCH, *, is_complete: bool = False) -> PoolState:
    return PoolState(reserves=reserves, is_complete=is_complete)


# ---- the board: a dialogue -----------------------------------------------------------------------------------------


@pytest.fixture
def told() -> list[Price]:
    return []


@pytest.fixture
def board(told: list[Price]) -> PriceBoard:
    made = PriceBoard(told.append, max_followed=2)
    assert made.follow(POOL, MINT, SUPPLY)
    return made


def at(milliseconds: int) -> MonoNs:
    return MonoNs(SECOND + ms(milliseconds))


def test_price_is_the_exact_fraction_of_the_virtual_reserves(board: PriceBoard, told: list[Price]) -> None:
    board.on_stream(POOL, state(moved(LAUNCH, 10**9)), Slot(8), at(0), 1)
    (price,) = told
    now = moved(LAUNCH, 10**9)
    assert (price.quote, price.token) == (now.virtual_quote, now.virtual_token)
    assert price.market_cap == now.virtual_quote * SUPPLY // now.virtual_token
    assert price.liquidity == 10**9
    assert price.value_of(7_777_777) == Fraction(now.virtual_quote, now.virtual_token) * 7_777_777 // 1
    assert (price.slot, price.mono, price.mint, price.pool, price.is_complete) == (8, at(0), MINT, POOL, False)


def test_silence_of_a_stream_that_is_heard_means_unchanged(board: PriceBoard) -> None:
    board.on_stream(POOL, state(), Slot(8), at(0), 1)
    assert board.newest(POOL, at(400), 500) is not None
    assert board.newest(POOL, at(501), 500) is None
    board.on_beat(at(600), 1)
    assert board.newest(POOL, at(1_100), 500) is not None
    assert board.newest(POOL, at(1_101), 500) is None


def test_beat_of_another_connection_vouches_for_nothing(board: PriceBoard) -> None:
    board.on_stream(POOL, state(), Slot(8), at(0), 1)
    board.on_beat(at(1_000), 2)
    assert board.newest(POOL, at(1_000), 500) is None
    board.on_stream(POOL, state(), Slot(9), at(1_010), 2)
    board.on_beat(at(2_000), 2)
    assert board.newest(POOL, at(2_100), 500) is not None


def test_price_beside_the_stream_ages_from_its_own_instant(board: PriceBoard) -> None:
    board.on_read(POOL, state(), Slot(8), at(0))
    board.on_beat(at(1_000), 1)
    assert board.newest(POOL, at(1_000), 500) is None
    board.on_read(POOL, state(), Slot(8), at(1_000), 1)
    board.on_beat(at(2_000), 1)
    assert board.newest(POOL, at(2_000), 500) is not None


def test_read_does_not_take_a_newer_state_back(board: PriceBoard, told: list[Price]) -> None:
    board.on_stream(POOL, state(moved(LAUNCH, 10**9)), Slot(8), at(0), 1)
    assert board.on_read(POOL, state(), Slot(7), at(1)) is None
    assert len(told) == 1
    assert board.on_stream(POOL, state(), Slot(7), at(2), 1) is not None  # a fork was taken back


def test_state_that_cannot_be_read_leaves_no_price(board: PriceBoard) -> None:
    board.on_stream(POOL, state(), Slot(8), at(0), 1)
    board.on_unreadable(POOL)
    assert board.newest(POOL, at(0), 500) is None


def test_empty_pool_has_no_price(board: PriceBoard, told: list[Price]) -> None:
    empty = Reserves(virtual_token=0, virtual_quote=5, real_token=0, real_quote=5)
    assert board.on_stream(POOL, state(empty, is_complete=True), Slot(8), at(0), 1) is None
    assert (told, board.unpriced, board.newest(POOL, at(0), 500)) == ([], 1, None)


def test_board_without_room_refuses_and_counts(board: PriceBoard) -> None:
    assert board.follow(POOL, MINT, SUPPLY)
    assert board.follow(key(3), MINT, SUPPLY)
    assert not board.follow(key(4), MINT, SUPPLY)
    assert (len(board), board.refused) == (2, 1)
    assert (board.unfollow(POOL), board.unfollow(POOL)) == (False, True)
    assert board.on_stream(POOL, state(), Slot(8), at(0), 1) is None


# ---- the queue -----------------------------------------------------------------------------------------------------


def price_of(pool: Pubkey, quote: int) -> Price:
    return Price(
        mint=MINT,
        pool=pool,
        quote=quote,
        token=10,
        market_cap=1,
        liquidity=Lamports(1),
        is_complete=False,
        slot=Slot(1),
        mono=at(0),
    )


def queue_of(max_pending: int) -> PriceQueue:
    return PriceQueue(lambda _: None, pool=None, max_pending=max_pending)


async def test_slow_subscriber_gets_the_newest_price_of_each_pool() -> None:
    queue = queue_of(8)
    for quote in (1, 2, 3):
        queue.put(price_of(key(1), quote))
        queue.put(price_of(key(2), quote * 10))
    first, second = await queue.get(), await queue.get()
    assert ((first.pool, first.quote), (second.pool, second.quote)) == ((key(1), 3), (key(2), 30))
    stats = queue.stats()
    assert (stats.conflated, stats.dropped, stats.taken, stats.pending) == (4, 0, 2, 0)


async def test_full_queue_drops_the_pool_that_has_waited_longest() -> None:
    queue = queue_of(2)
    for number in (1, 2, 3):
        queue.put(price_of(key(number), number))
    assert [(await queue.get()).quote, (await queue.get()).quote] == [2, 3]
    assert queue.stats().dropped == 1


async def test_waiting_subscriber_is_woken_and_a_cancelled_one_loses_nothing() -> None:
    queue = queue_of(2)
    async with asyncio.TaskGroup() as group:
        gone = group.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put(price_of(key(1), 1))
        gone.cancel()
    assert (await queue.get()).quote == 1
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put(price_of(key(1), 2))
        assert (await waiting).quote == 2


# ---- the feed ------------------------------------------------------------------------------------------------------


def market(number: int = 1) -> PumpfunMarket:
    trader = PumpfunTrader(key(1))
    born = genesis.derive(1)
    trader.configure([genesis.global_data(born), genesis.fee_config_data(born)])
    return trader.market(coin(number))


class PaperRpc(RpcClient):
    def __init__(self, data: bytes, slot: int) -> None:
        super().__init__("http://127.0.0.1:1")
        self.data, self.slot = data, slot

    async def accounts_at(self, keys: object, *_: object, **__: object) -> WithSlot[list[AccountInfo | None]]:
        del keys
        info = AccountInfo(lamports=Lamports(1), owner=PUMP_PROGRAM, data=self.data, executable=False)
        return WithSlot(slot=Slot(self.slot), value=[info])


async def test_frame_reaches_handlers_at_once_and_every_queue() -> None:
    clock = TestClock()
    stream, pump = PaperStream(clock), market()
    feed = PriceFeed(stream.pubsub, clock=clock)
    seen: list[Price] = []
    listening = feed.listen(seen.append)
    everything, this, other = feed.subscribe(), feed.subscribe(pool=pump.state_account), feed.subscribe(pool=key(5))
    assert feed.follow(pump) is not None
    await asyncio.sleep(0)
    now = moved(LAUNCH, 10**9)
    stream.account(pump.state_account, curve_bytes(pump.pool, now), slot=9)
    assert [price.quote for price in seen] == [LAUNCH.virtual_quote, now.virtual_quote]
    assert (await this.get()).quote == now.virtual_quote
    assert (everything.stats().conflated, other.stats().pending) == (1, 0)
    listening.cancel()
    this.close()
    stream.account(pump.state_account, curve_bytes(pump.pool), slot=10)
    assert (len(seen), this.stats().pending, feed.stats().published) == (2, 0, 3)


async def test_price_of_a_creation_grows_stale_until_the_stream_has_told_of_the_pool() -> None:
    clock = TestClock()
    stream, pump = PaperStream(clock), market()
    feed = PriceFeed(stream.pubsub, clock=clock)
    feed.follow(pump)
    pool = pump.state_account
    assert feed.newest(pool, 500) is not None
    await clock.advance(ms(600))
    stream.slot()
    assert feed.newest(pool, 500) is None
    assert await feed.refresh(PaperRpc(curve_bytes(pump.pool), 8), pool) is not None
    await clock.advance(ms(600))
    stream.slot()
    assert feed.newest(pool, 500) is not None  # read while the subscription was live: the beat vouches for it
    stream.lose()
    await clock.advance(ms(600))
    assert feed.newest(pool, 500) is None
    stream.connect()
    await asyncio.sleep(0)
    stream.slot()
    assert feed.newest(pool, 500) is None  # what changed meanwhile was told to nobody
    stream.account(pool, curve_bytes(pump.pool))
    assert feed.newest(pool, 500) is not None


async def test_unreadable_state_is_counted_and_leaves_no_price() -> None:
    clock = TestClock()
    stream, pump = PaperStream(clock), market()
    feed = PriceFeed(stream.pubsub, clock=clock)
    feed.follow(pump)
    await asyncio.sleep(0)
    stream.account(pump.state_account, b"no curve")
    assert (feed.stats().malformed, feed.newest(pump.state_account, 500)) == (1, None)


async def test_second_follower_costs_no_subscription_and_the_last_one_ends_it() -> None:
    clock = TestClock()
    stream, pump = PaperStream(clock), market()
    feed = PriceFeed(stream.pubsub, clock=clock, max_followed=1)
    one, two = feed.follow(pump), feed.follow(pump)
    assert one is not None
    assert two is not None
    assert feed.follow(market(2)) is None
    await asyncio.sleep(0)
    assert sum(name == str(pump.state_account) for name in stream.numbers) == 1
    one.cancel()
    one.cancel()
    assert stream.is_watched(pump.state_account)
    two.cancel()
    assert not stream.is_watched(pump.state_account)
    assert (feed.stats().followed, feed.stats().refused) == (0, 1)
    assert await feed.refresh(PaperRpc(b"", 1), pump.state_account) is None
    feed.close()
    assert "slotSubscribe" not in stream.numbers
