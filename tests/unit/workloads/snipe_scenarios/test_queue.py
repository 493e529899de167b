"""The chain's queue over one run, from counts since the chain's start."""

from slotzero.workloads.snipe_scenarios.queue import ChainQueue


def said(transactions: dict[float, int], reads: dict[float, int], loop: dict[float, int]) -> dict[str, object]:
    kinds = {"transactions": transactions, "reads": reads, "loop": loop}
    return {kind: {"taken": sum(counts.values()), "counts": list(counts.items())} for kind, counts in kinds.items()}


def test_the_queue_is_what_transactions_wait_or_the_loop_if_that_is_longer() -> None:
    queue = ChainQueue()
    assert (queue.p99_ms, queue.reads_p99_ms) == (0, 0)
    queue.look(said({1.0: 98, 7.0: 2}, {20.0: 1}, {2.0: 10}))
    assert (queue.p99_ms, queue.reads_p99_ms) == (7, 20)
    queue.look(said({1.0: 98, 7.0: 2}, {20.0: 1}, {2.0: 10, 12.0: 1}))
    assert queue.p99_ms == 12


def test_what_was_before_a_run_is_not_its() -> None:
    queue = ChainQueue()
    queue.look(said({50.0: 40}, {90.0: 3}, {60.0: 5}))
    queue.begin()
    assert (queue.p99_ms, queue.reads_p99_ms) == (0, 0)
    queue.look(said({50.0: 40, 2.0: 10}, {90.0: 3, 4.0: 1}, {60.0: 5, 1.0: 9}))
    assert (queue.p99_ms, queue.reads_p99_ms) == (2, 4)
    queue.begin()
    queue.look(said({50.0: 41, 2.0: 10}, {90.0: 3, 4.0: 1}, {60.0: 5, 1.0: 9}))
    assert queue.p99_ms == 50


def test_p99_is_a_nearest_rank() -> None:
    queue = ChainQueue()
    queue.look(said({1.0: 99, 30.0: 1}, {}, {}))
    assert queue.p99_ms == 1
    queue.look(said({1.0: 98, 30.0: 2}, {}, {}))
    assert queue.p99_ms == 30
