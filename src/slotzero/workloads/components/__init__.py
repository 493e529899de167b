"""The thirteen components of the sniper as workloads: where each is found, and what must be known to run it."""

from typing import Final

from msgspec import Struct

from slotzero.trace import Component

__all__ = ["COMPONENT_WORKLOADS", "PAPER_WORKLOADS", "ComponentWorkload"]

_HERE: Final = "slotzero.workloads.components"


class ComponentWorkload(Struct, frozen=True, kw_only=True):
    """How a component is measured.

    Attributes:
        reference: The workload, as `load_reference` takes it.
        waits_for_slots: Whether most of a sample is waiting, so that several such benchmarks fit side by side.
        has_chain: Whether it takes the parameter `slot_ms`.
        has_config: Whether it takes the parameter `config`, a configuration file, in place of `seed`.
    """

    reference: str
    waits_for_slots: bool = False
    has_chain: bool = True
    has_config: bool = False


COMPONENT_WORKLOADS: Final[dict[Component, ComponentWorkload]] = {
    Component.DETECTION: ComponentWorkload(reference=f"{_HERE}.feeds:detection"),
    Component.HONEYPOT: ComponentWorkload(reference=f"{_HERE}.checks:honeypot"),
    Component.FILTERS: ComponentWorkload(reference=f"{_HERE}.decisions:filters"),
    Component.EXECUTION: ComponentWorkload(reference=f"{_HERE}.snipes:execution", waits_for_slots=True),
    Component.FULL_FLOW: ComponentWorkload(reference=f"{_HERE}.snipes:full_flow", waits_for_slots=True),
    Component.POSITION_MONITOR: ComponentWorkload(reference=f"{_HERE}.positions:position_monitor"),
    Component.RUG_DETECTION: ComponentWorkload(reference=f"{_HERE}.positions:rug_detection", waits_for_slots=True),
    Component.PRIVACY: ComponentWorkload(reference=f"{_HERE}.decisions:privacy", has_chain=False),
    Component.WALLET_ROTATION: ComponentWorkload(reference=f"{_HERE}.decisions:wallet_rotation", has_chain=False),
    Component.FEE_OPTIMIZATION: ComponentWorkload(reference=f"{_HERE}.decisions:fee_optimization", has_chain=False),
    Component.METADATA: ComponentWorkload(reference=f"{_HERE}.checks:metadata"),
    Component.PRICE_FEED: ComponentWorkload(reference=f"{_HERE}.feeds:price_feed"),
    Component.EXIT: ComponentWorkload(reference=f"{_HERE}.snipes:exit_position", waits_for_slots=True),
}


def _reading(name: str) -> ComponentWorkload:
    """Return one that waits for what strangers do on the configured endpoints."""
    return ComponentWorkload(
        reference=f"{_HERE}.own_endpoints:{name}", waits_for_slots=True, has_chain=False, has_config=True
    )


PAPER_WORKLOADS: Final[dict[Component, ComponentWorkload]] = {
    Component.DETECTION: _reading("detection"),
    Component.HONEYPOT: _reading("honeypot"),
    Component.FILTERS: _reading("filters"),
    Component.PRIVACY: COMPONENT_WORKLOADS[Component.PRIVACY],
    Component.WALLET_ROTATION: COMPONENT_WORKLOADS[Component.WALLET_ROTATION],
    Component.FEE_OPTIMIZATION: COMPONENT_WORKLOADS[Component.FEE_OPTIMIZATION],
    Component.METADATA: _reading("metadata"),
    Component.PRICE_FEED: _reading("price_feed"),
}
"""Those that spend nothing and need no position: what can be measured on endpoints with real money behind them."""
