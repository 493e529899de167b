"""What the chain says of itself over one run, from counts since the chain's start."""

from slotzero.clock import TestClock
from slotzero.workloads.snipe_scenarios.chain_watch import ChainWatch


def said(
    transactions: dict[float, int], reads: dict[float, int], loop: dict[float, int], *, vm_ms: float = 0
) -> dict[str, object]:
    kinds = {"transactions": transactions, "reads": reads, "loop": loop}
    waits = {kind: {"taken": sum(counts.values()), "counts": list(counts.items())} for kind, counts in kinds.items()}
    return {"queue": waits, "transactions": {"vmMs": vm_ms}}


def test_the_queue_is_what_transactions_wait_or_the_loop_if_that_is_longer() -> None:
    watch = ChainWatch(TestClock())
    assert (watch.queue_p99_ms, watch.reads_p99_ms) == (0, 0)
    watch.look(said({1.0: 98, 7.0: 2}, {20.0: 1}, {2.0: 10}))
    assert (watch.queue_p99_ms, watch.reads_p99_ms) == (7, 20)
    watch.look(said({1.0: 98, 7.0: 2}, {20.0: 1}, {2.0: 10, 12.0: 1}))
    assert watch.queue_p99_ms == 12


def test_what_was_before_a_run_is_not_its() -> None:
    watch = ChainWatch(TestClock())
    watch.look(said({50.0: 40}, {90.0: 3}, {60.0: 5}))
    watch.begin()
    assert (watch.queue_p99_ms, watch.reads_p99_ms) == (0, 0)
    watch.look(said({50.0: 40, 2.0: 10}, {90.0: 3, 4.0: 1}, {60.0: 5, 1.0: 9}))
    assert (watch.queue_p99_ms, watch.reads_p99_ms) == (2, 4)
    watch.begin()
    watch.look(said({50.0: 41, 2.0: 10}, {90.0: 3, 4.0: 1}, {60.0: 5, 1.0: 9}))
    assert watch.queue_p99_ms == 50


def test_p99_is_a_nearest_rank() -> None:
    watch = ChainWatch(TestClock())
    watch.look(said({1.0: 99, 30.0: 1}, {}, {}))
    assert watch.queue_p99_ms == 1
    watch.look(said({1.0: 98, 30.0: 2}, {}, {}))
    assert watch.queue_p99_ms == 30


async def test_the_vm_is_busy_for_a_share_of_the_run() -> None:
    clock = TestClock()
    watch = ChainWatch(clock)
    watch.begin()
    watch.look(said({}, {}, {}, vm_ms=70))
    assert watch.vm_percent == 0, "nothing was heard before the run"
    watch.begin()
    await clock.advance(2_000_000_000)
    watch.look(said({}, {}, {}, vm_ms=870))
    assert watch.vm_percent == 40
    await clock.advance(2_000_000_000)
    watch.look(said({}, {}, {}, vm_ms=1_070))
    assert watch.vm_percent == 25
