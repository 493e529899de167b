"""The bytes of pump.fun events, written field by field from the published order, for tests of the decoders."""

import struct
from typing import Final

from solders.pubkey import Pubkey

from slotzero.venues.pumpfun import curve_address

CREATE: Final = bytes.fromhex("1b72a94ddeeb6376")
TRADE: Final = bytes.fromhex("bddb7fd34ee661ee")
COMPLETE: Final = bytes.fromhex("5f72619cd42e9808")
MINT: Final = Pubkey.from_string("5p3goLbxBRJHYkLKRHK4zq42MBgryt4YTB5k7zYKpump")
USER: Final = Pubkey.from_string("9UZj4g2A6o2nSRBNhvgomWrR9i1ZAA6xSBBHnaFEFxfe")
TOKEN_2022: Final = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def i64(value: int) -> bytes:
    return struct.pack("<q", value)


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw


def create_fields(
    *,
    mint: Pubkey = MINT,
    curve: Pubkey | None = None,
    user: Pubkey = USER,
    creator: Pubkey = USER,
    name: str = "a coin",
    symbol: str = "COIN",
    uri: str = "https://coin.example/1",
    virtual_token: int = 1_073_000_000_000_000,
    virtual_sol: int = 30_000_000_000,
    real_token: int = 793_100_000_000_000,
    quote_mint: Pubkey | None = None,
    virtual_quote: int = 30_000_000_000,
    creator_fee_bps: int = 0,
) -> list[bytes]:
    """Each field of a CreateEvent, the discriminator first."""
    return [
        CREATE,
        text(name),
        text(symbol),
        text(uri),
        bytes(mint),
        bytes(curve or curve_address(mint)),
        bytes(user),
        bytes(creator),
        i64(1_785_715_045),
        u64(virtual_token),
        u64(virtual_sol),
        u64(real_token),
        u64(10**15),
        bytes(TOKEN_2022),
        b"\0",
        b"\0",
        bytes(quote_mint or Pubkey.default()),
        u64(virtual_quote),
        u64(creator_fee_bps),
        b"\0",
    ]


def trade_fields(
    *,
    mint: Pubkey = MINT,
    user: Pubkey = USER,
    is_buy: bool = True,
    sol: int = 987_654_320,
    tokens: int = 34_199_203_154_141,
    virtual_sol: int = 30_987_654_320,
    virtual_token: int = 1_038_800_796_845_859,
    real_sol: int = 987_654_320,
    real_token: int = 758_900_796_845_859,
    quote_mint: Pubkey | None = None,
    quote_amount: int = 987_654_320,
    virtual_quote: int = 30_987_654_320,
    real_quote: int = 987_654_320,
    holders: int = 0,
) -> list[bytes]:
    """Each field of a TradeEvent, the discriminator first."""
    return [
        TRADE,
        bytes(mint),
        u64(sol),
        u64(tokens),
        bytes([is_buy]),
        bytes(user),
        i64(1_785_715_045),
        u64(virtual_sol),
        u64(virtual_token),
        u64(real_sol),
        u64(real_token),
        bytes(USER),
        u64(95),
        u64(9_382_717),
        bytes(USER),
        u64(30),
        u64(2_962_963),
        b"\1",
        u64(1),
        u64(2),
        u64(3),
        i64(4),
        text("buy"),
        b"\0",
        u64(5),
        u64(6),
        u64(5_000),
        u64(4_691_358),
        struct.pack("<I", holders) + bytes(34) * holders,
        bytes(quote_mint or Pubkey.default()),
        u64(quote_amount),
        u64(virtual_quote),
        u64(real_quote),
        u64(7),
        u64(8),
        u64(9),
    ]


def create_event(**fields: object) -> bytes:
    return b"".join(create_fields(**fields))  # type: ignore[arg-type] # the keyword arguments of create_fields


def trade_event(**fields: object) -> bytes:
    return b"".join(trade_fields(**fields))  # type: ignore[arg-type] # the keyword arguments of trade_fields
