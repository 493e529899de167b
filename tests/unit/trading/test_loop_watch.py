"""The probe of the loop's delay: percentiles are bounds within a factor of two, and a block is really seen."""

import asyncio
import time

from slotzero.clock import SystemClock, ms
from slotzero.trading.loop_watch import LoopWatch
from slotzero.units import DurationNs


def test_nothing_seen_is_nothing_told() -> None:
    delay = LoopWatch(SystemClock()).delay()
    assert (delay.probes, delay.p50_ms, delay.p99_ms, delay.max_ms, delay.over_5_ms) == (0, 0.0, 0.0, 0.0, 0)


def test_percentiles_are_upper_bounds_within_a_factor_of_two_and_the_longest_is_exact() -> None:
    watch = LoopWatch(SystemClock())
    for _ in range(98):
        watch.on_delay(DurationNs(300_000))
    watch.on_delay(ms(7))
    watch.on_delay(ms(40))
    delay = watch.delay()
    assert delay.probes == 100
    assert 0.3 <= delay.p50_ms <= 0.6
    assert 7 <= delay.p99_ms <= 14
    assert delay.max_ms == 40
    assert delay.over_5_ms == 2


def test_bound_of_a_percentile_is_never_above_the_longest() -> None:
    watch = LoopWatch(SystemClock())
    watch.on_delay(DurationNs(1_100_000))
    assert watch.delay().p99_ms == watch.delay().max_ms == 1.1


def test_delay_beyond_all_measure_is_counted() -> None:
    watch = LoopWatch(SystemClock())
    watch.on_delay(DurationNs(10**18))
    assert watch.delay().probes == 1


async def test_loop_that_is_blocked_is_seen() -> None:
    watch = LoopWatch(SystemClock(), interval_ms=1)
    async with asyncio.TaskGroup() as tasks:
        probing = tasks.create_task(watch.run())
        for _ in range(100):  # a block that falls between two probes is not theirs to see
            await asyncio.sleep(0.005)
            time.sleep(0.05)  # noqa: ASYNC251 that is what is to be seen
            await asyncio.sleep(0.005)
            if watch.delay().max_ms >= 20:
                break
        probing.cancel()
    assert watch.delay().over_5_ms >= 1
    assert watch.delay().over_5_ms >= 1
