"""DETECTION, its own time: the frame of a creation, told as a new pool."""

from collections.abc import Callable
from itertools import cycle

from slotzero.detection.detector import Detector
from slotzero.units import MonoNs
from slotzero.venues.registry import PUMPFUN

from .scene import creations

__all__ = ["build"]


def build() -> Callable[[], object]:
    """Read one creation after the other; the detector forgets each before it comes round again."""
    detector, frames = Detector([PUMPFUN], remembered=1), cycle(creations())
    on_frame, following, now = detector.on_frame, frames.__next__, MonoNs(0)
    assert len(on_frame(following(), now)) == 1
    return lambda: on_frame(following(), now)
