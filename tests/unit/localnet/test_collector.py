"""When the chain's garbage is collected."""

import gc

import pytest

from slotzero.localnet.collector import SLOTS_BETWEEN, SLOTS_BETWEEN_WHOLE, Collector


def test_young_objects_every_few_slots_and_all_of_them_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    generations: list[int] = []
    monkeypatch.setattr(gc, "collect", generations.append)
    collector = Collector()
    for _ in range(SLOTS_BETWEEN_WHOLE):
        collector.after_slot()
    assert generations == [0] * (SLOTS_BETWEEN_WHOLE // SLOTS_BETWEEN - 1) + [2]
    assert collector.stats().collections == len(generations)
