"""Addresses for workloads that need some and no chain."""

from solders.pubkey import Pubkey

__all__ = ["key"]


def key(number: int) -> Pubkey:
    """Return the same address for the same number."""
    return Pubkey.from_bytes(number.to_bytes(32, "big"))
