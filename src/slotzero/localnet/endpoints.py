"""Where a running chain is to be found. Light on purpose: a bot that starts a chain imports this, not the VM."""

from typing import Final

from msgspec import Struct

__all__ = ["DEFAULT_SLOT_MS", "LocalnetEndpoints", "PortEndpoints"]

DEFAULT_SLOT_MS: Final = 200
"""Mainnet's pace in late 2026."""


class PortEndpoints(Struct, frozen=True, kw_only=True):
    """Where one more port of a chain is to be found."""

    rpc: str
    ws: str


class LocalnetEndpoints(Struct, frozen=True, kw_only=True):
    """The first line `slotzero localnet` prints.

    Attributes:
        genesis: The genesis hash: the chain's name.
        faucet: The account airdrops come from.
        second: The port that can be stopped and started, None without one.
        direct: The port that no network lies before, None without one.
        geyser: The gRPC service's address, None without one.
        jito: The block engine's address, None without one.
    """

    rpc: str
    ws: str
    port: int
    pid: int
    genesis: str
    slot_ms: int
    seed: int
    faucet: str
    second: PortEndpoints | None = None
    direct: PortEndpoints | None = None
    geyser: str | None = None
    jito: str | None = None
