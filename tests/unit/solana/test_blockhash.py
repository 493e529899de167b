"""The warm blockhash: fresh or none, never an older one than we have had, and it survives a failing endpoint."""

import asyncio

import pytest
from solders.hash import Hash

from slotzero.clock import TestClock, ms
from slotzero.errors import TransportError
from slotzero.solana.blockhash import VALID_BLOCKS, BlockhashCache
from trading_lab import PaperNode, PaperRpc, until


class Warm:
    """A cache on a paper node whose hash follows from its height."""

    def __init__(self, *, refresh_ms: int = 1_000) -> None:
        self.clock, self.node = TestClock(), PaperNode()
        self.cache = BlockhashCache(PaperRpc(self.node), clock=self.clock, refresh_ms=refresh_ms, max_age_ms=10_000)
        self.at(100)

    def at(self, height: int) -> Hash:
        value = Hash(height.to_bytes(32, "big"))
        reply = {"blockhash": str(value), "lastValidBlockHeight": height + VALID_BLOCKS}
        self.node.answers["getLatestBlockhash"] = {"context": {"slot": height}, "value": reply}
        return value

    def fails(self, times: int) -> None:
        self.node.faults["getLatestBlockhash"] = [TransportError("node", "reset")] * times

    @property
    def current(self) -> Hash | None:
        newest = self.cache.current(self.clock.mono_ns())
        return None if newest is None else newest.hash


async def test_nothing_is_known_before_the_first_fetch() -> None:
    warm = Warm()
    assert warm.current is None
    assert warm.cache.block_height == 0


async def test_fetched_hash_is_current_until_it_is_too_old() -> None:
    warm = Warm()
    await warm.cache.refresh()
    assert warm.current == warm.at(100)
    await warm.clock.advance(ms(10_000))
    assert warm.current is not None
    await warm.clock.advance(1)
    assert warm.current is None


async def test_block_height_is_that_of_the_hash() -> None:
    warm = Warm()
    await warm.cache.refresh()
    assert warm.cache.block_height == 100


async def test_asks_for_a_confirmed_hash() -> None:
    warm = Warm()
    await warm.cache.refresh()
    ((options,),) = warm.node.asked("getLatestBlockhash")
    assert options["commitment"] == "confirmed"


async def test_node_that_lags_does_not_take_it_back_and_does_not_make_it_fresh() -> None:
    warm = Warm()
    await warm.cache.refresh()
    newest = warm.current
    await warm.clock.advance(ms(6_000))
    warm.at(99)
    await warm.cache.refresh()
    assert (warm.current, warm.cache.block_height) == (newest, 100)
    await warm.clock.advance(ms(6_000))
    assert warm.current is None


async def test_same_hash_again_is_fresh() -> None:
    warm = Warm()
    await warm.cache.refresh()
    await warm.clock.advance(ms(6_000))
    await warm.cache.refresh()
    await warm.clock.advance(ms(6_000))
    assert warm.current is not None


async def test_failing_endpoint_is_told_to_who_asked() -> None:
    warm = Warm()
    warm.fails(1)
    with pytest.raises(TransportError):
        await warm.cache.refresh()


async def test_run_keeps_it_warm_at_its_pace_through_faults(caplog: pytest.LogCaptureFixture) -> None:
    warm = Warm()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(warm.cache.run())
        await until(lambda: warm.current)
        warm.fails(2)
        newest = warm.at(105)
        await warm.clock.advance(ms(2_000))
        assert warm.current != newest
        await warm.clock.advance(ms(1_000))
        await until(lambda: warm.current == newest)
        running.cancel()
    assert len(warm.node.asked("getLatestBlockhash")) == 4
    assert caplog.text.count("no fresh blockhash") == 2


async def test_garbage_from_the_node_does_not_end_the_run(caplog: pytest.LogCaptureFixture) -> None:
    warm = Warm()
    reply = {"blockhash": "garbage", "lastValidBlockHeight": 999}
    warm.node.answers["getLatestBlockhash"] = {"context": {"slot": 1}, "value": reply}
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(warm.cache.run())
        await until(lambda: caplog.records)
        newest = warm.at(105)
        await warm.clock.advance(ms(1_000))
        await until(lambda: warm.current == newest)
        running.cancel()


@pytest.mark.parametrize("refresh_ms", [1, 1_000])
async def test_waiting_for_a_current_one_ends_when_it_is_there_and_lets_others_run(refresh_ms: int) -> None:
    warm = Warm(refresh_ms=refresh_ms)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(warm.cache.wait_current())
        for _ in range(3):
            assert await warm.clock.jump()
        assert not waiting.done()
        await warm.cache.refresh()
        await warm.clock.jump()
        assert (await waiting).hash == warm.at(100)


async def test_waiting_for_one_that_is_there_does_not_wait() -> None:
    warm = Warm()
    await warm.cache.refresh()
    assert (await warm.cache.wait_current()).hash == warm.current
