"""What our own paper trades have moved in a pool that never saw them.

A pool's real state goes on without us; ours is that state shifted by what we have bought: so many tokens fewer, so much
quote more. While we hold, the price we see and sell at is the shifted one, as it would be had the buy been real. The
others' trades are the real ones, made at real prices: what they would have done otherwise is not guessed at. A pool we
hold nothing of is its real self again.
"""

import struct
from typing import Final

import msgspec
from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.rpc import AccountInfo
from slotzero.units import Lamports
from slotzero.venues.pumpfun import PUMP_PROGRAM, decode_curve
from slotzero.venues.pumpfun.accounts import CURVE_DISCRIMINATOR

__all__ = ["Impact", "impact_between", "is_pool", "shifted_pool", "shifted_vault", "token_holder"]

_RESERVES: Final = struct.Struct("<4Q")
_RESERVES_AT: Final = 8
_AMOUNT: Final = struct.Struct("<Q")
_AMOUNT_AT: Final = 64
_TOKEN_PROGRAMS: Final = frozenset({TOKEN_PROGRAM, TOKEN_2022_PROGRAM})
_TOKEN_ACCOUNT_BYTES: Final = 165


class Impact(Struct, frozen=True, kw_only=True):
    """What our trades have taken out of a pool's tokens and put into its quote."""

    tokens: int = 0
    quote: int = 0

    def __add__(self, other: "Impact") -> "Impact":
        """Return both together."""
        return Impact(tokens=self.tokens + other.tokens, quote=self.quote + other.quote)


def is_pool(account: AccountInfo | None) -> bool:
    """Tell whether an account holds the state of a pool that trades for SOL. *Pure.*"""
    return (
        account is not None
        and account.owner == PUMP_PROGRAM
        and account.data[:8] == CURVE_DISCRIMINATOR
        and decode_curve(account.data).quote_mint is None
    )


def impact_between(before: AccountInfo, after: AccountInfo) -> Impact:
    """Return what a trade has moved, from a pool's account before and after it. *Pure.*"""
    old, new = decode_curve(before.data).reserves, decode_curve(after.data).reserves
    return Impact(tokens=old.virtual_token - new.virtual_token, quote=new.virtual_quote - old.virtual_quote)


def shifted_pool(account: AccountInfo, impact: Impact) -> AccountInfo:
    """Return a pool's real account as our trades would have left it; no reserve falls below 0. *Pure.*"""
    virtual_token, virtual_quote, real_token, real_quote = _RESERVES.unpack_from(account.data, _RESERVES_AT)
    data = bytearray(account.data)
    _RESERVES.pack_into(
        data,
        _RESERVES_AT,
        max(0, virtual_token - impact.tokens),
        max(0, virtual_quote + impact.quote),
        max(0, real_token - impact.tokens),
        max(0, real_quote + impact.quote),
    )
    return msgspec.structs.replace(
        account, data=bytes(data), lamports=Lamports(max(1, account.lamports + impact.quote))
    )


def shifted_vault(account: AccountInfo, impact: Impact) -> AccountInfo:
    """Return the token account of a pool, likewise. *Pure.*"""
    data = bytearray(account.data)
    (amount,) = _AMOUNT.unpack_from(data, _AMOUNT_AT)
    _AMOUNT.pack_into(data, _AMOUNT_AT, max(0, amount - impact.tokens))
    return msgspec.structs.replace(account, data=bytes(data))


def token_holder(account: AccountInfo | None) -> Pubkey | None:
    """Return whose a token account is, or None when it is no token account. *Pure.*"""
    if account is None or account.owner not in _TOKEN_PROGRAMS or len(account.data) < _TOKEN_ACCOUNT_BYTES:
        return None
    return Pubkey.from_bytes(account.data[32:64])
