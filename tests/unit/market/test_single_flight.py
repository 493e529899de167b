"""One fetch for all who ask, nobody harmed by another's end, nothing stale."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from slotzero.clock import TestClock, ms
from slotzero.errors import TransportError
from slotzero.market.single_flight import SingleFlight


class Source:
    """Counts its fetches; each waits until it may answer."""

    def __init__(self) -> None:
        self.fetches = 0
        self.ended = 0
        self.gate = asyncio.Event()
        self.fault: Exception | None = None

    async def fetch(self) -> int:
        self.fetches += 1
        number = self.fetches
        try:
            await self.gate.wait()
        finally:
            self.ended += 1
        if self.fault is not None:
            raise self.fault
        return number


Body = Callable[[SingleFlight[str, int], Source, asyncio.TaskGroup, TestClock], Awaitable[None]]


async def on_a_cache(body: Body, *, capacity: int = 2, dropped: list[int] | None = None) -> None:
    clock = TestClock()
    async with asyncio.TaskGroup() as group:
        flights: SingleFlight[str, int] = SingleFlight(
            tasks=group,
            clock=clock,
            capacity=capacity,
            max_age_ms=1_000,
            on_drop=None if dropped is None else dropped.append,
        )
        await body(flights, Source(), group, clock)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_at_the_same_time_share_one_fetch() -> None:
    async def body(flights: SingleFlight[str, int], source: Source, group: asyncio.TaskGroup, _: TestClock) -> None:
        callers = [group.create_task(flights.get("a", source.fetch)) for _ in range(50)]
        await settle()
        source.gate.set()
        assert await asyncio.gather(*callers) == [1] * 50
        assert await flights.get("a", source.fetch) == 1
        assert (source.fetches, flights.stats().joined, flights.stats().hits) == (1, 49, 1)

    await on_a_cache(body)


async def test_fault_reaches_every_caller_and_is_not_cached() -> None:
    async def body(flights: SingleFlight[str, int], source: Source, _: asyncio.TaskGroup, __: TestClock) -> None:
        source.fault = TransportError("http://node", "closed")
        source.gate.set()
        answers = await asyncio.gather(*(flights.get("a", source.fetch) for _ in range(5)), return_exceptions=True)
        assert answers == [source.fault] * 5
        assert source.fetches == 1
        source.fault = None
        assert await flights.get("a", source.fetch) == 2
        assert flights.stats().failed == 1

    await on_a_cache(body)


@pytest.mark.parametrize("cancelled", [0, 1])
async def test_cancelled_caller_leaves_the_others_their_answer(cancelled: int) -> None:
    async def body(flights: SingleFlight[str, int], source: Source, group: asyncio.TaskGroup, _: TestClock) -> None:
        callers = [group.create_task(flights.get("a", source.fetch)) for _ in range(3)]
        await settle()
        callers[cancelled].cancel()
        await settle()
        source.gate.set()
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert [isinstance(answer, asyncio.CancelledError) for answer in answers].count(True) == 1
        assert [answer for answer in answers if answer == 1] == [1, 1]
        assert source.fetches == 1

    await on_a_cache(body)


async def test_fetch_nobody_waits_for_any_more_is_cancelled() -> None:
    async def body(flights: SingleFlight[str, int], source: Source, group: asyncio.TaskGroup, _: TestClock) -> None:
        caller = group.create_task(flights.get("a", source.fetch))
        await settle()
        caller.cancel()
        await settle()
        assert (source.fetches, source.ended) == (1, 1)
        source.gate.set()
        assert await flights.get("a", source.fetch) == 2

    await on_a_cache(body)


async def test_caller_cancelled_in_its_first_turn_leaves_nothing_behind() -> None:
    async def body(flights: SingleFlight[str, int], source: Source, group: asyncio.TaskGroup, _: TestClock) -> None:
        caller = group.create_task(flights.get("a", source.fetch))
        await asyncio.sleep(0)
        caller.cancel()
        await settle()
        assert caller.cancelled()
        assert source.fetches == source.ended
        assert not flights._flights

    await on_a_cache(body)


async def test_invalidation_during_a_fetch_keeps_its_answer_out_of_the_cache() -> None:
    dropped: list[int] = []

    async def body(flights: SingleFlight[str, int], source: Source, group: asyncio.TaskGroup, _: TestClock) -> None:
        before = group.create_task(flights.get("a", source.fetch))
        await settle()
        flights.invalidate("a")
        after = group.create_task(flights.get("a", source.fetch))
        await settle()
        source.gate.set()
        assert (await before, await after) == (1, 2)
        assert flights.peek("a") == 2
        assert dropped == [1]

    await on_a_cache(body, dropped=dropped)


async def test_answer_is_as_old_as_the_beginning_of_its_fetch() -> None:
    async def body(flights: SingleFlight[str, int], source: Source, group: asyncio.TaskGroup, clock: TestClock) -> None:
        caller = group.create_task(flights.get("a", source.fetch))
        await settle()
        await clock.advance(ms(800))
        source.gate.set()
        await caller
        await clock.advance(ms(200))
        assert flights.peek("a") == 1
        await clock.advance(1)
        assert flights.peek("a") is None
        assert flights.stats().expired == 1

    await on_a_cache(body)


async def test_least_recently_used_makes_room_and_is_told() -> None:
    dropped: list[int] = []

    async def body(flights: SingleFlight[str, int], source: Source, _: asyncio.TaskGroup, __: TestClock) -> None:
        source.gate.set()
        for name in ("a", "b"):
            await flights.get(name, source.fetch)
        assert flights.peek("a") == 1
        await flights.get("c", source.fetch)
        assert (flights.peek("a"), flights.peek("b"), flights.peek("c")) == (1, None, 3)
        assert (dropped, len(flights), flights.stats().evicted) == ([2], 2, 1)
        flights.clear()
        assert (dropped, len(flights)) == ([2, 1, 3], 0)

    await on_a_cache(body, dropped=dropped)


async def test_bug_in_a_fetch_ends_the_group_that_owns_it() -> None:
    async def body(flights: SingleFlight[str, int], _: Source, __: asyncio.TaskGroup, ___: TestClock) -> None:
        async def fetch() -> int:
            raise KeyError("a bug")

        await flights.get("a", fetch)

    with pytest.raises(ExceptionGroup) as caught:
        await on_a_cache(body)
    assert any(isinstance(error, KeyError) for error in caught.value.exceptions)


def test_cache_without_room_is_a_bug() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SingleFlight(tasks=asyncio.TaskGroup(), clock=TestClock(), capacity=0, max_age_ms=1)
