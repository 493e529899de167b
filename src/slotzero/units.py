"""Branded units: money, chain positions and time as distinct integer types.

Money, prices and amounts are integers in the smallest unit, ratios are integer basis points, time is integer
nanoseconds. Floats stand only in statistics (`LatencyMs`). A brand costs nothing at run time; its constructor
validates and is called where a value comes in from outside (bytes, TOML, the command line), never on the hot path.
"""

import math
from typing import Final, NewType

__all__ = [
    "BPS",
    "LAMPORTS_PER_SOL",
    "NS_PER_MS",
    "U64_MAX",
    "BasisPoints",
    "BlockHeight",
    "ComputeUnits",
    "DurationNs",
    "Lamports",
    "LamportsDelta",
    "LatencyMs",
    "MicroLamportsPerCu",
    "MonoNs",
    "Slot",
    "TokenAmount",
    "WallNs",
    "as_basis_points",
    "as_block_height",
    "as_compute_units",
    "as_duration_ns",
    "as_lamports",
    "as_latency_ms",
    "as_microlamports_per_cu",
    "as_mono_ns",
    "as_slot",
    "as_token_amount",
    "format_sol",
]

Lamports = NewType("Lamports", int)
"""An amount of SOL in lamports, 0 to 2**64 - 1."""
LamportsDelta = NewType("LamportsDelta", int)
"""A signed change of a balance, in lamports."""
TokenAmount = NewType("TokenAmount", int)
"""An amount of a token in its smallest unit, 0 to 2**64 - 1."""
BasisPoints = NewType("BasisPoints", int)
"""A ratio in 1/10,000, 0 to 10,000."""
Slot = NewType("Slot", int)
"""A slot number of one cluster."""
BlockHeight = NewType("BlockHeight", int)
"""The number of blocks beneath a block; skipped slots do not count. Blockhashes expire by it."""
ComputeUnits = NewType("ComputeUnits", int)
"""Compute units of one transaction, 0 to 1,400,000."""
MicroLamportsPerCu = NewType("MicroLamportsPerCu", int)
"""A compute unit price: micro-lamports for each requested compute unit."""
MonoNs = NewType("MonoNs", int)
"""An instant of the machine's monotonic clock, in nanoseconds. Only `clock` subtracts two of them."""
WallNs = NewType("WallNs", int)
"""An instant of the wall clock, in nanoseconds since 1970. For people and records, never for durations."""
DurationNs = NewType("DurationNs", int)
"""A span of time in nanoseconds, not negative."""
LatencyMs = NewType("LatencyMs", float)
"""A measured latency in milliseconds, for statistics and display: finite and not negative."""

U64_MAX: Final = 2**64 - 1
BPS: Final = 10_000
LAMPORTS_PER_SOL: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
MAX_COMPUTE_UNITS: Final = 1_400_000


def _whole(value: int, name: str, most: int) -> int:
    if type(value) is not int:
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if not 0 <= value <= most:
        raise ValueError(f"{name} must be between 0 and {most}, got {value}")
    return value


def as_lamports(value: int) -> Lamports:
    """Return `value` as lamports. Raises ValueError outside 0 .. 2**64 - 1."""
    return Lamports(_whole(value, "lamports", U64_MAX))


def as_token_amount(value: int) -> TokenAmount:
    """Return `value` as a token amount in its smallest unit. Raises ValueError outside 0 .. 2**64 - 1."""
    return TokenAmount(_whole(value, "a token amount", U64_MAX))


def as_basis_points(value: int) -> BasisPoints:
    """Return `value` as basis points. Raises ValueError outside 0 .. 10,000."""
    return BasisPoints(_whole(value, "basis points", BPS))


def as_slot(value: int) -> Slot:
    """Return `value` as a slot number. Raises ValueError outside 0 .. 2**64 - 1."""
    return Slot(_whole(value, "a slot", U64_MAX))


def as_block_height(value: int) -> BlockHeight:
    """Return `value` as a block height. Raises ValueError outside 0 .. 2**64 - 1."""
    return BlockHeight(_whole(value, "a block height", U64_MAX))


def as_compute_units(value: int) -> ComputeUnits:
    """Return `value` as compute units. Raises ValueError outside 0 .. 1,400,000 (the limit of a transaction)."""
    return ComputeUnits(_whole(value, "compute units", MAX_COMPUTE_UNITS))


def as_microlamports_per_cu(value: int) -> MicroLamportsPerCu:
    """Return `value` as a compute unit price. Raises ValueError outside 0 .. 2**64 - 1."""
    return MicroLamportsPerCu(_whole(value, "a compute unit price", U64_MAX))


def as_mono_ns(value: int) -> MonoNs:
    """Return `value` as a monotonic instant. Raises ValueError when it is negative or no whole number."""
    return MonoNs(_whole(value, "a monotonic instant", U64_MAX))


def as_duration_ns(value: int) -> DurationNs:
    """Return `value` as a duration in nanoseconds. Raises ValueError when it is negative or no whole number."""
    return DurationNs(_whole(value, "a duration", U64_MAX))


def as_latency_ms(value: float) -> LatencyMs:
    """Return `value` as a latency in milliseconds. Raises ValueError when it is negative, infinite or NaN."""
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"a latency must be finite and not negative, got {value!r}")
    return LatencyMs(float(value))


def format_sol(lamports: int) -> str:
    """Return lamports as SOL with nine decimals, exactly: `format_sol(-1)` is `-0.000000001`. *Pure.*"""
    sign = "-" if lamports < 0 else ""
    whole, rest = divmod(abs(lamports), LAMPORTS_PER_SOL)
    return f"{sign}{whole}.{rest:09d}"
