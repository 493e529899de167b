"""The watchdog by itself: whom it ends, whom it leaves alone, and what it leaves behind."""

import asyncio
import signal
import threading
import time

import pytest

from slotzero.perf.watchdog import OverdueError, Watchdog


async def test_a_quick_sample_and_the_time_between_samples_are_left_alone() -> None:
    with Watchdog(timeout_ms=50, is_async=True) as dog:
        for number in (1, 2, 3):
            dog.sample = number
            await asyncio.sleep(0)
            dog.sample = 0
        await asyncio.sleep(0.15)
    assert dog.struck == 0


async def test_an_overdue_async_sample_is_cancelled_and_the_cancellation_taken_back() -> None:
    task = asyncio.current_task()
    assert task is not None
    with Watchdog(timeout_ms=50, is_async=True) as dog:
        dog.sample = 5
        with pytest.raises(asyncio.CancelledError) as caught:
            await asyncio.sleep(60)
        assert dog.is_ours(caught.value, 5)
        assert not dog.is_cancelled()
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_somebody_elses_cancellation_is_told_apart() -> None:
    entered = asyncio.Event()

    async def watched() -> bool:
        with Watchdog(timeout_ms=60_000, is_async=True) as dog:
            dog.sample = 1
            entered.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as error:
                return not dog.is_ours(error, 1) and dog.is_cancelled()
        return False

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watched())
        await entered.wait()
        task.cancel()
    assert task.result()


async def test_an_overdue_sync_sample_is_interrupted_even_in_a_system_call() -> None:
    with Watchdog(timeout_ms=50, is_async=False) as dog:
        dog.sample = 2
        with pytest.raises(OverdueError) as caught:
            time.sleep(60)  # noqa: ASYNC251 what is to be ended
        dog.sample = 0
        assert dog.is_ours(caught.value, 2)


async def test_the_signal_is_given_back() -> None:
    before = signal.getsignal(signal.SIGURG)
    with Watchdog(timeout_ms=60_000, is_async=False):
        assert signal.getsignal(signal.SIGURG) != before
    assert signal.getsignal(signal.SIGURG) == before


async def test_a_signal_somebody_uses_is_left_to_them() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGURG, lambda number, _frame: seen.append(number))
    mine = signal.getsignal(signal.SIGURG)
    try:
        with Watchdog(timeout_ms=60_000, is_async=False):
            assert signal.getsignal(signal.SIGURG) is mine
    finally:
        signal.signal(signal.SIGURG, before)


async def test_a_stuck_sample_is_told_after_three_timeouts() -> None:
    told = threading.Event()
    samples: list[int] = []

    def on_stuck(sample: int) -> None:
        samples.append(sample)
        told.set()

    with Watchdog(timeout_ms=20, is_async=True, on_stuck=on_stuck) as dog:
        dog.sample = 4
        assert told.wait(10)  # blocks the loop, deaf to cancellation
        dog.sample = 0
        dog.forgive(4)
        await asyncio.sleep(0)
    assert set(samples) == {4}


async def test_it_leaves_no_thread_behind() -> None:
    with Watchdog(timeout_ms=60_000, is_async=True):
        assert any(thread.name == "slotzero-watchdog" for thread in threading.enumerate())
    assert not any(thread.name == "slotzero-watchdog" for thread in threading.enumerate())
