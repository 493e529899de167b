"""How long what arrives waits."""

import asyncio

import pytest

from slotzero.clock import later, ms
from slotzero.localnet.queue_watch import QueueWatch, Waits
from slotzero.units import DurationNs, MonoNs, WallNs


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


async def test_the_loop_has_waited_as_long_as_it_comes_late_to_what_is_due() -> None:
    watch = QueueWatch(LateClock(0, 0, 3, 25))
    assert watch.stats().loop.taken == 0
    assert watch.stats().loop.p99_ms == 0.0
    with pytest.raises(asyncio.CancelledError):
        await watch.run()
    loop = watch.stats().loop
    assert (loop.taken, [count for _, count in loop.counts]) == (4, [2, 1, 1])
    assert 25 <= loop.max_ms <= 25 * 1.045
    assert watch.stats().transactions.taken == 0


def test_transactions_and_reads_are_counted_apart() -> None:
    watch = QueueWatch(LateClock())
    watch.on_begin(True, ms(4))  # noqa: FBT003 as the turns call it
    watch.on_begin(False, ms(9))  # noqa: FBT003
    watch.on_begin(False, ms(9))  # noqa: FBT003
    stats = watch.stats()
    assert (stats.transactions.taken, stats.reads.taken, stats.loop.taken) == (1, 2, 0)
    assert 4 <= stats.transactions.p99_ms <= 4.2
    assert 9 <= stats.reads.p50_ms <= 9.4


@pytest.mark.parametrize("wait_ns", [1, 9_999, 10_000, 10_001, 123_456, 1_000_000, 59_000_000_000])
def test_a_wait_is_rounded_up_by_no_more_than_the_next_bound(wait_ns: int) -> None:
    waits = Waits()
    waits.add(DurationNs(wait_ns))
    ((bound_ms, count),) = waits.stats().counts
    assert count == 1
    assert wait_ns / 1e6 <= bound_ms + 0.0005  # told in microseconds
    assert bound_ms <= max(wait_ns / 1e6 * 1.0443, 0.01) + 0.0005


def test_ranks_are_nearest_ranks() -> None:
    waits = Waits()
    for wait_ms in range(1, 201):
        waits.add(ms(wait_ms))
    stats = waits.stats()
    for figure, exact in ((stats.p50_ms, 100), (stats.p99_ms, 198), (stats.max_ms, 200)):
        assert exact <= figure <= exact * 1.045


def test_a_wait_beyond_all_bounds_is_counted_at_the_last() -> None:
    waits = Waits()
    waits.add(DurationNs(10**15))
    assert waits.stats().max_ms == pytest.approx(83_886, rel=0.001)
