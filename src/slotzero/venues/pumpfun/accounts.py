"""The accounts of the pump.fun curve program, decoded from their bytes.

Accounts grow at the end as the program is upgraded: a missing tail means its fields' defaults, an unknown tail is
ignored. A field that is cut in the middle, a wrong discriminator and a wrong length are malformed.

Source: the program's published IDL (pump-sdk 2.0.0) and captured accounts from 2024-08 to 2026-10.
"""

import struct
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.units import TokenAmount
from slotzero.venues.records import Reserves

__all__ = [
    "CURVE_DISCRIMINATOR",
    "FEE_CONFIG_DISCRIMINATOR",
    "GLOBAL_DISCRIMINATOR",
    "Curve",
    "FeeConfig",
    "FeeTier",
    "Fees",
    "Global",
    "decode_curve",
    "decode_fee_config",
    "decode_global",
]

CURVE_DISCRIMINATOR: Final = bytes.fromhex("17b7f83760d8ac60")
GLOBAL_DISCRIMINATOR: Final = bytes.fromhex("a7e8e8b1c86c727f")
FEE_CONFIG_DISCRIMINATOR: Final = bytes.fromhex("8f3492bbdb7b4c9b")

_ZERO_KEY: Final = bytes(32)

# virtual token, virtual quote, real token, real quote, supply, complete, creator, mayhem, cashback, quote mint,
# creator fee bps, creator fee editable, holder reward
_CURVE: Final = struct.Struct("<8x5Q?32s??32sQ??")
_CURVE_ENDS: Final = frozenset({49, 81, 82, 83, 115, 123, 124, 125})
_CURVE_QUOTE_END: Final = 115

_U64: Final = struct.Struct("<Q")
_FEES: Final = struct.Struct("<3Q")
_TIER: Final = struct.Struct("<16s3Q")
_U32: Final = struct.Struct("<I")
_FEE_CONFIG_FLAT: Final = 41
_FEE_CONFIG_TIERS: Final = 65

_GLOBAL_BASE: Final = 113
_GLOBAL_END: Final = 1087
_GLOBAL_ENDS: Final = frozenset(
    {113, 145, 146, 154, 162, 386, 418, 450, 451, 483, 515, 516, 740, 741, 997, 1005, 1013, 1045, 1046, 1054, 1086}
)


class Curve(Struct, frozen=True, kw_only=True):
    """The state of one coin's bonding curve.

    Attributes:
        reserves: What a quote is computed from. Virtual and real reserves differ by a constant.
        token_supply: What the market cap of the fee tiers is computed with.
        is_complete: No token is left to buy; nothing trades here any more.
        creator: Who receives the creator fee; None on the 2024 layout, which charges none.
        quote_mint: What the coin is priced in; None means SOL itself.
        creator_fee_bps: The rate the creator configured; 0 means the fee tiers' own.
    """

    reserves: Reserves
    token_supply: TokenAmount
    is_complete: bool
    creator: Pubkey | None
    is_mayhem: bool
    is_cashback: bool
    quote_mint: Pubkey | None
    creator_fee_bps: int
    can_edit_creator_fee: bool
    is_holder_reward: bool


class Global(Struct, frozen=True, kw_only=True):
    """The program's one settings account: who may receive fees, and what a new curve starts with.

    Attributes:
        fee_recipients: Accepted receivers of the protocol fee, the main one first, without empty slots.
        reserved_fee_recipients: The same for mayhem coins.
        buyback_fee_recipients: Accepted receivers of the buyback share.
        buyback_bps: The share of the protocol fee that goes to the buyback receiver; 0 for mayhem coins whatever
            stands here.
        protocol_bps: The legacy fee rate, used by the program only without a FeeConfig account.
        creator_bps: The legacy creator rate, likewise.
    """

    authority: Pubkey
    initial_reserves: Reserves
    token_supply: TokenAmount
    protocol_bps: int
    creator_bps: int
    pool_migration_fee_lamports: int
    fee_recipients: tuple[Pubkey, ...]
    reserved_fee_recipients: tuple[Pubkey, ...]
    buyback_fee_recipients: tuple[Pubkey, ...]
    buyback_bps: int
    is_create_v2_enabled: bool
    is_mayhem_enabled: bool
    is_cashback_enabled: bool
    is_creator_fee_configurable: bool
    max_creator_fee_bps: int
    is_holder_reward_enabled: bool


class Fees(Struct, frozen=True, kw_only=True):
    """One row of a fee schedule. `lp_bps` is charged by the AMM alone, never by the curve."""

    lp_bps: int
    protocol_bps: int
    creator_bps: int


class FeeTier(Struct, frozen=True, kw_only=True):
    """The fees from a market cap upwards, in the quote's smallest unit."""

    market_cap_at_least: int
    fees: Fees


class FeeConfig(Struct, frozen=True, kw_only=True):
    """The fee schedule: tiers for SOL, tiers for USDC, one flat row for every other quote.

    Attributes:
        flat: What applies where a list of tiers is empty.
        tiers: For SOL, ascending by market cap.
        stable_tiers: For USDC, ascending by market cap.
        exotic: For any other quote mint.
    """

    flat: Fees
    tiers: tuple[FeeTier, ...]
    stable_tiers: tuple[FeeTier, ...]
    exotic: Fees


def decode_curve(data: bytes) -> Curve:
    """Decode a bonding curve account, in any layout from 2024-08 (49 bytes) on. *Pure.* *Hot path.*

    Raises:
        MalformedError: The discriminator is another account's, or the data ends inside a field.
    """
    size = len(data)
    if data[:8] != CURVE_DISCRIMINATOR:
        raise MalformedError(f"a bonding curve begins with {CURVE_DISCRIMINATOR.hex()}, this begins {data[:8].hex()!r}")
    if size < _CURVE.size:
        if size not in _CURVE_ENDS:
            raise MalformedError(f"a bonding curve of {size} bytes ends inside a field")
        data = data.ljust(_CURVE.size, b"\0")
    fields = _CURVE.unpack_from(data)
    creator, quote_mint = fields[6], fields[9]
    return Curve(
        reserves=Reserves(virtual_token=fields[0], virtual_quote=fields[1], real_token=fields[2], real_quote=fields[3]),
        token_supply=TokenAmount(fields[4]),
        is_complete=fields[5],
        creator=None if creator == _ZERO_KEY else Pubkey.from_bytes(creator),
        is_mayhem=fields[7],
        is_cashback=fields[8],
        quote_mint=None if quote_mint == _ZERO_KEY else Pubkey.from_bytes(quote_mint),
        creator_fee_bps=fields[10],
        can_edit_creator_fee=fields[11],
        is_holder_reward=fields[12],
    )


def decode_global(data: bytes) -> Global:
    """Decode the Global account, in any layout from 2025-01 (113 bytes) on. *Pure.*

    Raises:
        MalformedError: The discriminator is another account's, or the data ends inside a field.
    """
    if data[:8] != GLOBAL_DISCRIMINATOR:
        raise MalformedError(f"Global begins with {GLOBAL_DISCRIMINATOR.hex()}, this begins {data[:8].hex()!r}")
    if len(data) < _GLOBAL_END:
        if len(data) not in _GLOBAL_ENDS:
            raise MalformedError(f"a Global of {len(data)} bytes ends inside a field")
        data = data.ljust(_GLOBAL_END, b"\0")
    virtual_token, virtual_quote, real_token, supply, protocol_bps = struct.unpack_from("<5Q", data, 73)
    return Global(
        authority=Pubkey.from_bytes(data[9:41]),
        initial_reserves=Reserves(
            virtual_token=virtual_token, virtual_quote=virtual_quote, real_token=real_token, real_quote=0
        ),
        token_supply=TokenAmount(supply),
        protocol_bps=protocol_bps,
        pool_migration_fee_lamports=_u64(data, 146),
        creator_bps=_u64(data, 154),
        fee_recipients=_keys(data, 41, 1) + _keys(data, 162, 7),
        reserved_fee_recipients=_keys(data, 483, 1) + _keys(data, 516, 7),
        buyback_fee_recipients=_keys(data, 741, 8),
        buyback_bps=_u64(data, 997),
        is_create_v2_enabled=bool(data[450]),
        is_mayhem_enabled=bool(data[515]),
        is_cashback_enabled=bool(data[740]),
        is_creator_fee_configurable=bool(data[1045]),
        max_creator_fee_bps=_u64(data, 1046),
        is_holder_reward_enabled=bool(data[1086]),
    )


def decode_fee_config(data: bytes) -> FeeConfig:
    """Decode a FeeConfig account of the fee program. *Pure.*

    Missing lists are empty, a missing exotic row is the flat one.

    Raises:
        MalformedError: The discriminator is another account's, or the data ends inside a field.
    """
    if data[:8] != FEE_CONFIG_DISCRIMINATOR:
        raise MalformedError(f"FeeConfig begins with {FEE_CONFIG_DISCRIMINATOR.hex()}, this begins {data[:8].hex()!r}")
    if len(data) < _FEE_CONFIG_TIERS:
        raise MalformedError(f"a FeeConfig of {len(data)} bytes ends inside a field")
    flat = _fees(_FEES.unpack_from(data, _FEE_CONFIG_FLAT))
    tiers, at = _tiers(data, _FEE_CONFIG_TIERS)
    stable_tiers, at = _tiers(data, at)
    if at == len(data):
        exotic = flat
    elif at + _FEES.size > len(data):
        raise MalformedError(f"a FeeConfig of {len(data)} bytes ends inside a field")
    else:
        exotic = _fees(_FEES.unpack_from(data, at))
    return FeeConfig(flat=flat, tiers=tiers, stable_tiers=stable_tiers, exotic=exotic)


def _u64(data: bytes, at: int) -> int:
    value: int = _U64.unpack_from(data, at)[0]
    return value


def _keys(data: bytes, at: int, count: int) -> tuple[Pubkey, ...]:
    """Return the `count` keys from `at` on, without those that are zero (empty slots)."""
    keys = (data[start : start + 32] for start in range(at, at + 32 * count, 32))
    return tuple(Pubkey.from_bytes(key) for key in keys if key != _ZERO_KEY)


def _fees(row: tuple[int, int, int]) -> Fees:
    return Fees(lp_bps=row[0], protocol_bps=row[1], creator_bps=row[2])


def _tiers(data: bytes, at: int) -> tuple[tuple[FeeTier, ...], int]:
    """Return the list of tiers that begins at `at`, and where it ends."""
    if at == len(data):
        return (), at
    if at + _U32.size > len(data):
        raise MalformedError(f"a FeeConfig of {len(data)} bytes ends inside a field")
    (count,) = _U32.unpack_from(data, at)
    at += _U32.size
    end = at + count * _TIER.size
    if end > len(data):
        raise MalformedError(f"a FeeConfig of {len(data)} bytes says it has {count} tiers from byte {at} on")
    tiers = []
    for start in range(at, end, _TIER.size):
        threshold, *row = _TIER.unpack_from(data, start)
        tiers.append(FeeTier(market_cap_at_least=int.from_bytes(threshold, "little"), fees=_fees((*row,))))
    return tuple(tiers), end
