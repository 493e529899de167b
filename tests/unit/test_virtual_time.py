"""A loop whose time jumps: who waits wakes in the order of the deadlines, and no real time goes by."""

import asyncio
import time
from collections.abc import Coroutine
from typing import TypeVar

import pytest

from slotzero.clock import add_ms
from slotzero.units import MonoNs, WallNs
from slotzero.virtual_time import StalledError, VirtualClock, VirtualLoop

T = TypeVar("T")
HOUR_S = 3_600


def run_virtually(main: Coroutine[None, None, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def test_an_hour_passes_at_once_and_clock_and_loop_agree_on_it() -> None:
    async def main() -> tuple[int, int, float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clock = VirtualClock(loop, mono_ns=MonoNs(5), wall_ns=WallNs(7))
        await clock.sleep_until(add_ms(clock.mono_ns(), HOUR_S * 1000))
        return clock.mono_ns(), clock.wall_ns(), loop.time()

    began = time.perf_counter()
    mono, wall, seconds = run_virtually(main())
    assert time.perf_counter() - began < HOUR_S / 100
    assert (mono, wall, seconds) == (5 + HOUR_S * 10**9, 7 + HOUR_S * 10**9, HOUR_S)


def test_sleepers_and_timeouts_wake_in_the_order_of_their_deadlines() -> None:
    async def main() -> list[tuple[str, float]]:
        loop, seen = asyncio.get_running_loop(), list[tuple[str, float]]()

        async def sleep(name: str, for_s: float) -> None:
            await asyncio.sleep(for_s)
            seen.append((name, round(loop.time(), 9)))

        async def give_up() -> None:
            try:
                async with asyncio.timeout(0.2):
                    await asyncio.Event().wait()
            except TimeoutError:
                seen.append(("timeout", round(loop.time(), 9)))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sleep("late", 0.3))
            tasks.create_task(give_up())
            tasks.create_task(sleep("early", 0.1))
        return seen

    assert run_virtually(main()) == [("early", 0.1), ("timeout", 0.2), ("late", 0.3)]


def test_time_stands_still_while_somebody_works() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        for _ in range(1000):
            await asyncio.sleep(0)
        return before, loop.time()

    assert run_virtually(main()) == (0.0, 0.0)


def test_waiting_for_what_no_timer_brings_about_is_told() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(StalledError):
        run_virtually(main())
