"""Bucket bounds of the latency histograms, by component. Pure data.

A ladder of four steps a decade below 1 ms and six above it; each component gets the part of it that its latencies can
fall into, so that thirteen of them stay under 500 series. Every limit somebody is alerted on *is* a bound, hence the
share under a limit is exact and "p95 above the limit" flips at the limit. `histogram_quantile` between two bounds is
off by up to a third of the value: the lab's own figures come from samples, never from here.
"""

from collections.abc import Mapping
from typing import Final

from slotzero.trace import Component

__all__ = ["LAG_S", "LOAD_MS", "LOOP_DELAY_S", "SLOTS", "component_ms", "live_s"]

_LADDER: Final = (
    *(0.01, 0.02, 0.03, 0.05),
    *(0.1, 0.2, 0.3, 0.5),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 7.5),
    *(10.0, 15.0, 20.0, 30.0, 50.0, 75.0),
    *(100.0, 150.0, 200.0, 300.0, 500.0, 750.0),
    *(1_000.0, 1_500.0, 2_000.0, 2_500.0, 3_000.0, 4_000.0, 5_000.0, 6_000.0, 7_500.0),
    *(10_000.0, 15_000.0, 20_000.0, 30_000.0),
)
_RANGES: Final[Mapping[Component, tuple[float, float]]] = {
    Component.DETECTION: (0.1, 2_000.0),
    Component.HONEYPOT: (0.02, 5_000.0),
    Component.FILTERS: (0.01, 200.0),
    Component.EXECUTION: (20.0, 10_000.0),
    Component.FULL_FLOW: (20.0, 20_000.0),
    Component.POSITION_MONITOR: (0.01, 1_000.0),
    Component.RUG_DETECTION: (0.1, 1_000.0),
    Component.PRIVACY: (0.01, 200.0),
    Component.WALLET_ROTATION: (0.01, 100.0),
    Component.FEE_OPTIMIZATION: (0.01, 200.0),
    Component.METADATA: (0.1, 1_000.0),
    Component.PRICE_FEED: (0.01, 1_000.0),
    Component.EXIT: (20.0, 10_000.0),
}
_THINNED: Final = frozenset({0.02, 0.05, 0.2, 0.5, 1.5, 7.5, 15.0, 75.0})
LOAD_MS: Final = tuple(bound for bound in _LADDER if bound >= 20)  # noqa: PLR2004 a load test's operation takes a slot or more
"""Of `load_test_duration_ms`: whole operations, up to the 30 s after which one has failed."""
LAG_S: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Of how much later than the first a feed tells of a pool."""
LOOP_DELAY_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5)
"""Of how long the event loop lets a ready callback wait."""
SLOTS: Final = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, 32.0, 64.0, 150.0)
"""Of slots from a creation to our buy; a blockhash lives 150 blocks."""


def component_ms(component: str) -> tuple[float, ...]:
    """Return the bounds of a component in milliseconds; the whole ladder for a name that is none of the thirteen."""
    try:
        low, high = _RANGES[Component(component)]
    except ValueError:
        return _LADDER
    return tuple(bound for bound in _LADDER if low <= bound <= high)


def live_s(component: str) -> tuple[float, ...]:
    """Return the bounds of a component of the running bot, in seconds.

    Fewer steps where nobody draws a line: beside its stages a bot shows endpoints, feeds and reasons.
    """
    return tuple(round(bound / 1_000, 9) for bound in component_ms(component) if bound not in _THINNED)
