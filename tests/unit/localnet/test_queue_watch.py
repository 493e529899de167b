"""How long what arrives waits."""

import asyncio

import pytest

from slotzero.clock import later, ms
from slotzero.localnet.queue_watch import QueueWatch
from slotzero.units import MonoNs, WallNs


class LateClock:
    """A clock whose sleeps end so many milliseconds late, one after the other, and then never."""

    def __init__(self, *late_ms: int) -> None:
        self._late = iter(late_ms)
        self._now = MonoNs(1_000)

    def mono_ns(self) -> MonoNs:
        return self._now

    def wall_ns(self) -> WallNs:
        return WallNs(0)

    async def sleep_until(self, deadline: MonoNs) -> None:
        for late in self._late:
            self._now = later(deadline, ms(late))
            return
        raise asyncio.CancelledError


async def test_a_wait_is_how_late_the_loop_comes_to_what_is_due() -> None:
    watch = QueueWatch(LateClock(0, 0, 3, 25))
    before = watch.stats()
    assert (before.samples, len(before.recent_ms)) == (0, 0)
    with pytest.raises(asyncio.CancelledError):
        await watch.run()
    stats = watch.stats()
    assert (stats.samples, stats.taken) == (4, 4)
    assert list(stats.recent_ms) == [0, 0, 3, 25]
    assert [float(figure) for figure in (stats.p50_ms, stats.p99_ms, stats.max_ms)] == [0, 25, 25]


async def test_only_the_newest_samples_are_kept() -> None:
    watch = QueueWatch(LateClock(*([50] * 4_096), *([1] * 4_096)))
    with pytest.raises(asyncio.CancelledError):
        await watch.run()
    assert (watch.stats().samples, watch.stats().taken) == (4_096, 8_192)
    assert list(watch.stats().recent_ms) == [1] * 256
    assert float(watch.stats().max_ms) == 1
