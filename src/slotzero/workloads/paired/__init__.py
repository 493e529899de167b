"""What `slotzero compare` measures in two versions of the sniper: its components without the network and the slot.

Each module here builds one callable out of a version's real parts, in process, on real frames and accounts of the
embedded chain. The definitions are those of the slotzero that compares, for both versions; what they import is the
version's own. So a module stands alone but for `scene`: a version that lacks a part loses that component, not the rest.

EXECUTION, FULL_FLOW and EXIT are measured up to the signed bytes: their own time, without sending and waiting.
"""

from typing import Final

__all__ = ["COMPONENTS"]

COMPONENTS: Final[dict[str, str]] = {
    "DETECTION": "detection:build",
    "HONEYPOT": "honeypot:build",
    "FILTERS": "filters:build",
    "EXECUTION": "execution:build",
    "FULL_FLOW": "full_flow:build",
    "POSITION_MONITOR": "position_monitor:build",
    "RUG_DETECTION": "rug_detection:build",
    "PRIVACY": "privacy:build",
    "WALLET_ROTATION": "wallet_rotation:build",
    "FEE_OPTIMIZATION": "fee_optimization:build",
    "METADATA": "metadata:build",
    "PRICE_FEED": "price_feed:build",
    "EXIT": "exit:build",
}
"""Module and function that build each component's callable."""
