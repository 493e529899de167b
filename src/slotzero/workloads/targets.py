"""What the sniper is held against: the *must* of each component and of the whole system, and the *aim* beside it.

A must is generous: it says that something is broken, whatever the machine. The aim is for the embedded chain on two
cores, and is what is reported first: a target of 500 ms for an operation of 20 us proves nothing by being green.
"""

from typing import Final

from msgspec import Struct

from slotzero.perf.types import CpuPercent, MemoryMB, SampleCount, SuccessRate, Target, ThroughputOps
from slotzero.trace import Component
from slotzero.units import LatencyMs

__all__ = [
    "DETECTION_OWN_P50_MS",
    "SYSTEM_TARGETS",
    "TARGETS",
    "WARM_VERDICT_MS",
    "SystemTargets",
    "stage_targets_ns",
    "target_of",
]

DETECTION_OWN_P50_MS: Final = LatencyMs(0.02)
"""The aim for the median of detection's own time."""
WARM_VERDICT_MS: Final = LatencyMs(0.05)
"""The aim for a verdict out of the cache."""

_MUST_AND_AIM: Final[dict[Component, tuple[float, float | None]]] = {
    Component.DETECTION: (500, 5),
    Component.HONEYPOT: (2_000, 10),
    Component.FILTERS: (100, 0.1),
    Component.EXECUTION: (1_500, None),
    Component.FULL_FLOW: (4_000, None),
    Component.POSITION_MONITOR: (500, 1),
    Component.RUG_DETECTION: (500, 2),
    Component.PRIVACY: (100, 0.1),
    Component.WALLET_ROTATION: (50, 0.1),
    Component.FEE_OPTIMIZATION: (100, 0.1),
    Component.METADATA: (500, 5),
    Component.PRICE_FEED: (500, 1),
    Component.EXIT: (2_000, None),
}
"""p95 in milliseconds; an aim of None is counted in slots, below."""
_AIM_IN_SLOTS: Final[dict[Component, tuple[int, float]]] = {
    Component.EXECUTION: (1, 5),
    Component.FULL_FLOW: (2, 20),
    Component.EXIT: (1, 5),
}
"""So many slots and so many milliseconds."""
_SUCCESS_PERCENT: Final[dict[Component, float]] = {
    Component.DETECTION: 95,
    Component.EXECUTION: 90,
    Component.FULL_FLOW: 85,
}
_WHOLE_BOT: Final = frozenset({Component.EXECUTION, Component.FULL_FLOW, Component.EXIT, Component.RUG_DETECTION})
"""Measured on the whole bot at the pace of the chain, so that the system's limit of CPU means something: a component
that is called as fast as it answers keeps a core busy by definition."""
_OPS_PER_S: Final[dict[Component, float]] = {Component.DETECTION: 20}


class SystemTargets(Struct, frozen=True, kw_only=True):
    """What a whole run is held against. Percentages must be exceeded; memory, CPU must stay below.

    Attributes:
        concurrent_snipes: Must be carried at once; `aim_in_flight` is what we are after.
        success_percent: Of snipes on a healthy chain.
        peak_memory_mb: Of the bot.
        avg_cpu_percent: Of the bot, 100 for one core.
        bundles_landed_percent: Of Jito bundles.
        success_at_capacity_percent: Of snipes while as many are in flight as are carried.
        reads_without_call_percent: Account reads answered by a cache or a stream.
    """

    concurrent_snipes: SampleCount = SampleCount(100)
    aim_in_flight: SampleCount = SampleCount(1_000)
    success_percent: SuccessRate = SuccessRate(70)
    aim_success_percent: SuccessRate = SuccessRate(99)
    peak_memory_mb: MemoryMB = MemoryMB(500)
    avg_cpu_percent: CpuPercent = CpuPercent(80)
    bundles_landed_percent: SuccessRate = SuccessRate(85)
    success_at_capacity_percent: SuccessRate = SuccessRate(80)
    reads_without_call_percent: SuccessRate = SuccessRate(80)


SYSTEM_TARGETS: Final = SystemTargets()


def target_of(component: Component, slot_ms: int) -> Target:
    """Return what a component is held against on a chain with slots of `slot_ms` (0: slots cost nothing). *Pure.*"""
    must, aim = _MUST_AND_AIM[component]
    if aim is None:
        slots, more = _AIM_IN_SLOTS[component]
        aim = slots * slot_ms + more
    success, ops = _SUCCESS_PERCENT.get(component), _OPS_PER_S.get(component)
    return Target(
        p95_ms=LatencyMs(must),
        aim_p95_ms=LatencyMs(aim),
        success_percent=None if success is None else SuccessRate(success),
        ops_per_s=None if ops is None else ThroughputOps(ops),
        peak_memory_mb=SYSTEM_TARGETS.peak_memory_mb,
        avg_cpu_percent=SYSTEM_TARGETS.avg_cpu_percent if component in _WHOLE_BOT else None,
    )


def stage_targets_ns(slot_ms: int) -> dict[str, int]:
    """Return what the stages of a snipe should take at most, by their names in `perf.evidence`. *Pure.*

    Each is the aim of the component it belongs to; what only waits for the chain gets its slots.
    """

    def aim(component: Component) -> float:
        return target_of(component, slot_ms).aim_p95_ms or 0.0

    stages = {
        "frame under way": aim(Component.DETECTION),
        "detection": aim(Component.DETECTION),
        "honeypot": aim(Component.HONEYPOT),
        "filters": aim(Component.FILTERS),
        "plan": aim(Component.FEE_OPTIMIZATION) + aim(Component.PRIVACY) + aim(Component.WALLET_ROTATION),
        "sign": 1.0,
        "gate": 1.0,
        "send": 1.0,
        "confirmation": aim(Component.EXECUTION),
        "exit sign": 1.0,
        "exit send": 1.0,
        "exit confirmation": aim(Component.EXIT),
    }
    return {name: round(limit * 1e6) for name, limit in stages.items()}


TARGETS: Final[dict[Component, Target]] = {component: target_of(component, 200) for component in Component}
"""At the embedded chain's default slot of 200 ms."""
