"""FILTERS: a new pool, decided."""

from collections.abc import Callable
from itertools import cycle

from slotzero.config import Settings
from slotzero.trading.filters import Filters

from .scene import coins

__all__ = ["build"]


def build() -> Callable[[], object]:
    """Decide one coin after the other; none is refused."""
    filters, pools = Filters(Settings().filters), cycle(coins())
    decide, following = filters.decide, pools.__next__
    assert decide(following()) is None
    return lambda: decide(following())
