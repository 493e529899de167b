"""What `slotzero compare` measures in two versions of the sniper: its components without the network and the slot.

Most modules here build one callable out of a version's real parts, in process, on real frames and accounts of the
embedded chain. The definitions are those of the slotzero that compares, for both versions; what they import is the
version's own. So a module stands alone but for `scene`: a version that lacks a part loses that component, not the rest.

EXECUTION, FULL_FLOW and EXIT are the version's own benchmarks on a chain with manual slots, and their own time counts.
Their hot paths, in process up to the signed bytes, are compared besides: less of the component, and far sharper.
"""

from typing import Final

__all__ = ["COMPONENTS", "HOT_PATHS"]

COMPONENTS: Final[dict[str, str]] = {
    "DETECTION": "detection:build",
    "HONEYPOT": "honeypot:build",
    "FILTERS": "filters:build",
    "EXECUTION": "on_chain:execution",
    "FULL_FLOW": "on_chain:full_flow",
    "POSITION_MONITOR": "position_monitor:build",
    "RUG_DETECTION": "rug_detection:build",
    "PRIVACY": "privacy:build",
    "WALLET_ROTATION": "wallet_rotation:build",
    "FEE_OPTIMIZATION": "fee_optimization:build",
    "METADATA": "metadata:build",
    "PRICE_FEED": "price_feed:build",
    "EXIT": "on_chain:exit_position",
}
"""Module and function that build each component's callable."""

HOT_PATHS: Final[dict[str, str]] = {
    "EXECUTION_TO_SIGNED": "execution:build",
    "FULL_FLOW_TO_SIGNED": "full_flow:build",
    "EXIT_TO_SIGNED": "exit:build",
}
"""Likewise, for the parts of three components that end with the signed bytes."""
