import asyncio
from collections.abc import Callable

import pytest
import uvloop

from slotzero import clock
from slotzero.clock import Clock, SystemClock, TestClock
from slotzero.units import MonoNs


def test_elapsed_is_the_difference_and_never_negative() -> None:
    assert clock.elapsed_ns(5, 12) == 7
    assert clock.elapsed_ns(12, 12) == 0
    assert clock.elapsed_ns(12, 5) == 0


def test_instants_and_durations_are_moved_and_converted() -> None:
    assert clock.later(10, 5) == 15
    assert clock.add_ms(10, 2) == 2_000_010
    assert clock.ms(3) == 3_000_000
    assert clock.as_ms(1_500_000) == 1.5


def test_deadline_is_due_from_its_own_instant_on() -> None:
    assert [clock.is_due(10, now) for now in (9, 10, 11)] == [False, True, True]


async def never_early(spans_ns: list[int]) -> list[int]:
    system = SystemClock()
    lateness = []
    for span_ns in spans_ns:
        deadline = clock.later(system.mono_ns(), span_ns)
        await system.sleep_until(deadline)
        lateness.append(system.mono_ns() - deadline)
    return lateness


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_system_clock_never_wakes_early(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    # Waits on the wall clock (about 60 ms): that a loop's timers fire early is what is guarded against.
    spans_ns = [-1, 0, 1, 500, 90_000, 400_000, 1_000_000, 1_499_999, 2_600_000] * 5
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert min(runner.run(never_early(spans_ns))) >= 0


def test_system_clock_reads_the_same_monotonic_clock_as_the_bare_function() -> None:
    before = clock.mono_ns()
    assert before <= SystemClock().mono_ns() <= clock.mono_ns()


def test_both_clocks_are_clocks() -> None:
    clocks: list[Clock] = [SystemClock(), TestClock()]
    assert all(type(each.mono_ns()) is int and type(each.wall_ns()) is int for each in clocks)


class Sleepers:
    """Notes who woke and when."""

    def __init__(self, clock: TestClock) -> None:
        self.clock = clock
        self.woken: list[tuple[str, int]] = []

    async def sleep(self, name: str, *deadlines: int) -> None:
        for deadline in deadlines:
            await self.clock.sleep_until(MonoNs(deadline))
            self.woken.append((name, self.clock.mono_ns()))


async def test_advance_wakes_sleepers_in_the_order_of_their_deadlines_at_their_own_instants() -> None:
    test_clock = TestClock(mono_ns=0)
    sleepers = Sleepers(test_clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(sleepers.sleep("late", 30))
        group.create_task(sleepers.sleep("early", 10, 20))
        group.create_task(sleepers.sleep("same", 10))
        await test_clock.advance(29)
        assert sleepers.woken == [("early", 10), ("same", 10), ("early", 20)]
        assert test_clock.mono_ns() == 29
        await test_clock.advance(1)
    assert sleepers.woken[3:] == [("late", 30)]


async def test_jump_goes_to_the_next_deadline_and_tells_when_nobody_sleeps() -> None:
    test_clock = TestClock(mono_ns=0)
    sleepers = Sleepers(test_clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(sleepers.sleep("b", 2_000))
        group.create_task(sleepers.sleep("a", 1_000, 1_500))
        jumps = [await test_clock.jump() for _ in range(4)]
    assert jumps == [True, True, True, False]
    assert sleepers.woken == [("a", 1_000), ("a", 1_500), ("b", 2_000)]


async def test_deadline_that_has_passed_returns_without_a_move_of_the_clock() -> None:
    test_clock = TestClock(mono_ns=100)
    await test_clock.sleep_until(MonoNs(100))
    await test_clock.sleep_until(MonoNs(1))
    assert test_clock.mono_ns() == 100


async def test_cancelled_sleeper_is_forgotten() -> None:
    test_clock = TestClock(mono_ns=0)
    sleepers = Sleepers(test_clock)
    async with asyncio.TaskGroup() as group:
        cancelled = group.create_task(sleepers.sleep("cancelled", 5))
        group.create_task(sleepers.sleep("kept", 7))
        await test_clock.advance(1)
        cancelled.cancel()
        await test_clock.advance(1)
        assert await test_clock.jump()
        assert test_clock.mono_ns() == 7
        assert not await test_clock.jump()
    assert sleepers.woken == [("kept", 7)]


async def test_wall_clock_moves_with_the_monotonic_one() -> None:
    test_clock = TestClock(mono_ns=10, wall_ns=1_000)
    await test_clock.advance(25)
    assert (test_clock.mono_ns(), test_clock.wall_ns()) == (35, 1_025)


async def test_advance_backwards_is_a_bug() -> None:
    with pytest.raises(ValueError, match="forward only, got -1 ns"):
        await TestClock().advance(-1)
