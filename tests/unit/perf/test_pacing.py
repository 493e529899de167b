"""Pacers wake at their deadline or after it, never before."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from slotzero.clock import mono_ns
from slotzero.perf.pacing import PacerKind, PacingClock, has_timerfd, open_pacer

MS = 1_000_000
KINDS: list[PacerKind] = ["timerfd", "thread"] if has_timerfd() else ["thread"]
LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> PacerKind:
    found: PacerKind = request.param
    return found


@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a2_no_wake_up_is_early(kind: PacerKind, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def pace() -> list[int]:
        found: list[int] = []
        done = asyncio.Event()
        first = mono_ns() + 2 * MS

        def wake() -> None:
            found.append(mono_ns() - first - len(found) * MS)
            if len(found) == 200:
                done.set()
            else:
                pacer.arm(first + len(found) * MS)

        pacer = open_pacer(wake, kind)
        pacer.arm(first)
        try:
            async with asyncio.timeout(20):
                await done.wait()
        finally:
            pacer.close()
        return found

    with asyncio.Runner(loop_factory=new_loop) as runner:
        late = runner.run(pace())
    assert len(late) == 200
    assert min(late) >= 0


async def test_deadline_that_has_passed_wakes_at_once(kind: PacerKind) -> None:
    woken = asyncio.Event()
    pacer = open_pacer(woken.set, kind)
    pacer.arm(mono_ns() - 5 * MS)
    async with asyncio.timeout(5):
        await woken.wait()
    woken.clear()
    pacer.arm(-3)
    async with asyncio.timeout(5):
        await woken.wait()
    pacer.close()


async def test_second_arm_replaces_the_first(kind: PacerKind) -> None:
    woken: list[int] = []
    done = asyncio.Event()

    def wake() -> None:
        woken.append(mono_ns())
        done.set()

    pacer = open_pacer(wake, kind)
    pacer.arm(mono_ns() + 3_600_000 * MS)
    deadline = mono_ns() + 5 * MS
    pacer.arm(deadline)
    async with asyncio.timeout(5):
        await done.wait()
    await asyncio.sleep(0.01)
    assert len(woken) == 1
    assert woken[0] >= deadline
    pacer.close()


async def test_closed_pacer_wakes_nobody(kind: PacerKind) -> None:
    woken: list[int] = []
    pacer = open_pacer(lambda: woken.append(1), kind)
    pacer.arm(mono_ns() + 5 * MS)
    pacer.close()
    await asyncio.sleep(0.02)
    assert woken == []


async def test_sleepers_wake_in_the_order_of_their_deadlines(kind: PacerKind) -> None:
    woken: list[int] = []
    start = mono_ns()

    async def sleeper(clock: PacingClock, after_ms: int) -> None:
        await clock.sleep_until(start + after_ms * MS)
        assert mono_ns() >= start + after_ms * MS
        woken.append(after_ms)

    async with PacingClock(kind) as clock, asyncio.TaskGroup() as group:
        for after_ms in (30, 10, 20, 0, 20):
            group.create_task(sleeper(clock, after_ms))
    assert woken == [0, 10, 20, 20, 30]


async def test_cancelled_sleeper_does_not_hold_up_the_others(kind: PacerKind) -> None:
    async with PacingClock(kind) as clock, asyncio.TaskGroup() as group:
        now = mono_ns()
        first = group.create_task(clock.sleep_until(now + 5 * MS))
        second = group.create_task(clock.sleep_until(now + 15 * MS))
        await asyncio.sleep(0)
        first.cancel()
        async with asyncio.timeout(5):
            await second
    assert first.cancelled()
