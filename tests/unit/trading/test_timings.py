"""Durations by component."""

from slotzero.trace import Component
from slotzero.trading.timings import Timings
from slotzero.units import DurationNs


def test_durations_come_back_by_component_oldest_first() -> None:
    timings = Timings()
    for number in (3, 1, 2):
        timings.add(Component.PRIVACY, DurationNs(number))
    timings.add(Component.RUG_DETECTION, DurationNs(9))
    assert timings.of(Component.PRIVACY) == (3, 1, 2)
    assert timings.of(Component.EXIT) == ()
    assert timings.as_dict() == {Component.PRIVACY: (3, 1, 2), Component.RUG_DETECTION: (9,)}


def test_only_the_newest_ten_thousand_are_kept() -> None:
    timings = Timings()
    for number in range(10_005):
        timings.add(Component.PRIVACY, DurationNs(number))
    kept = timings.of(Component.PRIVACY)
    assert (len(kept), kept[0], kept[-1]) == (10_000, 5, 10_004)
