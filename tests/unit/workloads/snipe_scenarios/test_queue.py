"""The chain's queue over one run, from samples that overlap."""

import pytest

from slotzero.workloads.snipe_scenarios.queue import ChainQueue


def said(taken: int, *recent: float) -> dict[str, object]:
    return {"taken": taken, "recentMs": list(recent)}


def test_each_sample_counts_once_though_it_is_told_twice() -> None:
    queue = ChainQueue()
    queue.look(said(200, *[1.0] * 200))
    queue.look(said(203, *[1.0] * 200, 30.0, 30.0, 30.0))
    assert queue.p99_ms == pytest.approx(30, rel=0.01)  # three of 203
    queue.look(said(403, *[1.0] * 200))
    queue.look(said(403, *[1.0] * 200))
    assert queue.p99_ms == pytest.approx(1, rel=0.01)  # three of 403


def test_samples_before_a_run_are_not_its() -> None:
    queue = ChainQueue()
    queue.look(said(50, *[40.0] * 50))
    queue.begin()
    assert queue.p99_ms == 0
    queue.look(said(52, *[40.0] * 50, 2.0, 2.0))
    assert queue.p99_ms == pytest.approx(2, rel=0.01)


def test_more_than_the_chain_remembers_are_lost_and_none_is_counted_twice() -> None:
    queue = ChainQueue()
    queue.look(said(10, *[1.0] * 10))
    queue.look(said(1_000, *[3.0] * 256))
    assert queue.p99_ms == pytest.approx(3, rel=0.01)
