"""What the thirteen components and the whole system are held against. Pure data.

The first figure must be met; the aim is what two cores with an embedded chain of their own reach, and what is worth
reporting: a limit of 500 ms for a step of 20 us proves nothing by being met.
"""

from collections.abc import Mapping
from typing import Final

from slotzero.perf.types import Component, SuccessRate, Target, ThroughputOps
from slotzero.units import LatencyMs

__all__ = ["CPU_PERCENT", "MEMORY_MB", "TARGETS"]


def _target(
    p95_ms: float, aim_ms: float | None = None, *, success: float | None = None, ops: float | None = None
) -> Target:
    return Target(
        p95_ms=LatencyMs(p95_ms),
        aim_p95_ms=None if aim_ms is None else LatencyMs(aim_ms),
        success_percent=None if success is None else SuccessRate(success),
        ops_per_s=None if ops is None else ThroughputOps(ops),
    )


TARGETS: Final[Mapping[Component, Target]] = {
    Component.DETECTION: _target(500, 5, success=95, ops=20),
    Component.HONEYPOT: _target(2_000, 10),
    Component.FILTERS: _target(100, 0.1),
    Component.EXECUTION: _target(1_500, success=90),
    Component.FULL_FLOW: _target(4_000, success=85),
    Component.POSITION_MONITOR: _target(500, 1),
    Component.RUG_DETECTION: _target(500, 2),
    Component.PRIVACY: _target(100, 0.1),
    Component.WALLET_ROTATION: _target(50, 0.1),
    Component.FEE_OPTIMIZATION: _target(100, 0.1),
    Component.METADATA: _target(500, 5),
    Component.PRICE_FEED: _target(500, 1),
    Component.EXIT: _target(2_000),
}
"""p95 by component; the aims that depend on the slot time (EXECUTION, FULL_FLOW, EXIT) are the caller's to add."""
MEMORY_MB: Final = 500.0
"""Peak resident memory of the whole system must stay under this."""
CPU_PERCENT: Final = 80.0
"""CPU use must stay under this."""
