"""The events of the pump.fun curve program, decoded from their bytes.

The same bytes come twice: base64 in a `Program data:` log line, and as a self-CPI behind an eight-byte tag. Events
grow at the end: a missing tail means its fields' defaults, an unknown tail is ignored. A body that ends inside a
field is malformed. Unpacking is written out by hand because a creation is decoded before anything else can begin.

Source: the program's published IDL (pump-sdk 2.0.0); captured events from 2024-08 to 2026-10, whose tails are newer.
"""

import struct
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.solana.addresses import TOKEN_PROGRAM
from slotzero.units import Lamports, TokenAmount
from slotzero.venues.records import Reserves

__all__ = [
    "COMPLETE_DISCRIMINATOR",
    "CREATE_DISCRIMINATOR",
    "TRADE_DISCRIMINATOR",
    "CompleteEvent",
    "CreateEvent",
    "TradeEvent",
    "TradeSummary",
    "decode_complete",
    "decode_create",
    "decode_event",
    "decode_trade",
    "decode_trade_summary",
]

CREATE_DISCRIMINATOR: Final = bytes.fromhex("1b72a94ddeeb6376")
TRADE_DISCRIMINATOR: Final = bytes.fromhex("bddb7fd34ee661ee")
COMPLETE_DISCRIMINATOR: Final = bytes.fromhex("5f72619cd42e9808")

_U32: Final = struct.Struct("<I")
_ZERO_KEY: Final = bytes(32)

# Behind the three strings: mint, curve, user | creator, timestamp, virtual token, virtual sol, real token, supply |
# token program, mayhem | cashback | quote mint, virtual quote | creator fee bps | holder reward
_CREATE: Final = struct.Struct("<32s32s32s32sq4Q32s??32sQQ?")
_CREATE_ENDS: Final = frozenset({96, 128, 136, 144, 152, 160, 168, 200, 201, 202, 234, 242, 250, 251})
_CREATE_CREATOR_END: Final = 128
_CREATE_SUPPLY_END: Final = 168
_CREATE_TOKEN_PROGRAM_END: Final = 200
_CREATE_QUOTE_END: Final = 242
# What every curve started with when the event did not yet say it (2024).
_LAUNCH: Final = (1_073_000_000_000_000, 30_000_000_000, 793_100_000_000_000, 1_000_000_000_000_000)

# mint, sol, tokens, is buy, user, timestamp, virtual sol, virtual token, real sol, real token (2024-08)
_TRADE: Final = struct.Struct("<8x32sQQ?32sq4Q")
# fee recipient, fee bps, fee, creator, creator fee bps, creator fee (2025-05), volume tracked, four counters (2025-07)
_TRADE_FEES: Final = struct.Struct("<32sQQ32sQQ?32x")
_TRADE_NAME: Final = _TRADE.size + _TRADE_FEES.size  # where the instruction's name begins (2025-10)
# Behind the name: mayhem, cashback bps, cashback, buyback bps, buyback fee, number of shareholders (2026)
_TRADE_SHARES: Final = struct.Struct("<?4QI")
_SHAREHOLDER: Final = 34
# Behind the shareholders: quote mint, quote amount, virtual quote, real quote, rewards bps, rewards, creator unclaimed
_TRADE_QUOTE: Final = struct.Struct("<32s6Q")
_TRADE_QUOTE_END: Final = 56
# Where an older program's event may end: each field's end, counted from the beginning of its part.
_TRADE_ENDS: Final = frozenset({129, 161, 169, 177, 209, 217, 225, 226, 234, 242, 250, 258})
_TRADE_SHARES_ENDS: Final = frozenset({0, 1, 9, 17, 25, 33})
_TRADE_QUOTE_ENDS: Final = frozenset({0, 32, 40, 48, 56, 64, 72})
_TRADE_PADDING: Final = bytes(_TRADE_FEES.size + 4 + _TRADE_SHARES.size + _TRADE_QUOTE.size)

# user, mint, curve, timestamp, quote mint (2026)
_COMPLETE: Final = struct.Struct("<8x32s32s32sq32s")
_COMPLETE_END_2024: Final = 112


class CreateEvent(Struct, frozen=True, kw_only=True):
    """A coin and its curve were created.

    Attributes:
        pool: The bonding curve account.
        creator: Who receives the creator fee; the user where the event does not say (2024).
        timestamp: Seconds since 1970 by the cluster's clock; 0 where the event does not say.
        reserves: At the creation; the constants of 2024 where the event does not say.
        quote_mint: What the coin is priced in; None means SOL itself.
    """

    name: str
    symbol: str
    uri: str
    mint: Pubkey
    pool: Pubkey
    user: Pubkey
    creator: Pubkey
    timestamp: int
    reserves: Reserves
    token_supply: TokenAmount
    token_program: Pubkey
    is_mayhem: bool
    is_cashback: bool
    quote_mint: Pubkey | None
    creator_fee_bps: int
    is_holder_reward: bool


class TradeEvent(Struct, frozen=True, kw_only=True):
    """A buy or a sell on a curve.

    Attributes:
        quote_amount: What the curve received or gave, without fees, in the quote's smallest unit.
        reserves: After the trade.
        fee_recipient: Who received the protocol fee; None where the event does not say (2024).
        creator_bps: 0 on a cashback coin; `cashback_bps` stands in its place.
        instruction: The instruction's name by the program's own words, for example "buy"; "" where it does not say.
            A v2 trade calls itself by the legacy name.
        quote_mint: What the coin is priced in; None means SOL itself.
        buyback_fee: The part of `protocol_fee` that went to the buyback receiver.
    """

    mint: Pubkey
    user: Pubkey
    is_buy: bool
    tokens: TokenAmount
    quote_amount: Lamports
    reserves: Reserves
    timestamp: int
    fee_recipient: Pubkey | None
    protocol_bps: int
    protocol_fee: Lamports
    creator: Pubkey | None
    creator_bps: int
    creator_fee: Lamports
    is_volume_tracked: bool
    instruction: str
    is_mayhem: bool
    cashback_bps: int
    cashback: Lamports
    buyback_bps: int
    buyback_fee: Lamports
    quote_mint: Pubkey | None
    holder_rewards_bps: int
    holder_rewards: Lamports
    creator_fee_unclaimed: Lamports


class TradeSummary(Struct, frozen=True, kw_only=True):
    """What of a trade moves the price: the first fields of `TradeEvent`."""

    mint: Pubkey
    user: Pubkey
    is_buy: bool
    tokens: TokenAmount
    quote_amount: Lamports
    reserves: Reserves


class CompleteEvent(Struct, frozen=True, kw_only=True):
    """A curve has no token left to buy; it follows the trade that took the last one."""

    user: Pubkey
    mint: Pubkey
    curve: Pubkey
    timestamp: int
    quote_mint: Pubkey | None


def decode_event(payload: bytes) -> CreateEvent | TradeEvent | CompleteEvent | None:
    """Decode one event, its discriminator first; None when it is an event of another kind. *Pure.* *Hot path.*

    Raises:
        MalformedError: The body ends inside a field, or a name is no UTF-8.
    """
    discriminator = payload[:8]
    if discriminator == TRADE_DISCRIMINATOR:
        return decode_trade(payload)
    if discriminator == CREATE_DISCRIMINATOR:
        return decode_create(payload)
    if discriminator == COMPLETE_DISCRIMINATOR:
        return decode_complete(payload)
    return None


def decode_create(payload: bytes) -> CreateEvent:
    """Decode a CreateEvent, its discriminator first. *Pure.* *Hot path.*

    Raises:
        MalformedError: It is another event, its body ends inside a field, or a name is no UTF-8.
    """
    if payload[:8] != CREATE_DISCRIMINATOR:
        raise MalformedError(f"a CreateEvent begins with {CREATE_DISCRIMINATOR.hex()}, this with {payload[:8].hex()!r}")
    try:
        symbol_at = 12 + _U32.unpack_from(payload, 8)[0]
        uri_at = symbol_at + 4 + _U32.unpack_from(payload, symbol_at)[0]
        at = uri_at + 4 + _U32.unpack_from(payload, uri_at)[0]
        name = payload[12:symbol_at].decode()
        symbol = payload[symbol_at + 4 : uri_at].decode()
        uri = payload[uri_at + 4 : at].decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise MalformedError(f"the strings of a CreateEvent cannot be read: {error}") from error
    rest = len(payload) - at
    if rest < _CREATE.size:
        if rest not in _CREATE_ENDS:
            raise MalformedError(f"a CreateEvent of {len(payload)} bytes ends inside a field")
        payload = payload.ljust(at + _CREATE.size, b"\0")
    (
        mint, curve, user, creator, timestamp, virtual_token, virtual_quote, real_token, supply,
        token_program, is_mayhem, is_cashback, quote_mint, quote_reserves, creator_fee_bps, is_holder_reward,
    ) = _CREATE.unpack_from(payload, at)  # fmt: skip
    if rest < _CREATE_QUOTE_END:
        if rest < _CREATE_CREATOR_END:
            creator = user
        if rest < _CREATE_SUPPLY_END:
            virtual_token, virtual_quote, real_token, supply = _LAUNCH
        if rest < _CREATE_TOKEN_PROGRAM_END:
            token_program = bytes(TOKEN_PROGRAM)
    else:
        virtual_quote = quote_reserves  # on a curve that is not priced in SOL the older field is 0
    return CreateEvent(
        name=name,
        symbol=symbol,
        uri=uri,
        mint=Pubkey.from_bytes(mint),
        pool=Pubkey.from_bytes(curve),
        user=Pubkey.from_bytes(user),
        creator=Pubkey.from_bytes(creator),
        timestamp=timestamp,
        reserves=Reserves(
            virtual_token=virtual_token, virtual_quote=virtual_quote, real_token=real_token, real_quote=0
        ),
        token_supply=TokenAmount(supply),
        token_program=Pubkey.from_bytes(token_program),
        is_mayhem=is_mayhem,
        is_cashback=is_cashback,
        quote_mint=None if quote_mint == _ZERO_KEY else Pubkey.from_bytes(quote_mint),
        creator_fee_bps=creator_fee_bps,
        is_holder_reward=is_holder_reward,
    )


def decode_trade(payload: bytes) -> TradeEvent:
    """Decode a TradeEvent, its discriminator first. *Pure.* *Hot path.*

    Raises:
        MalformedError: It is another event, or its body ends inside a field.
    """
    if payload[:8] != TRADE_DISCRIMINATOR:
        raise MalformedError(f"a TradeEvent begins with {TRADE_DISCRIMINATOR.hex()}, this with {payload[:8].hex()!r}")
    size = len(payload)
    if size < _TRADE.size:
        raise MalformedError(f"a TradeEvent of {size} bytes ends inside a field")
    (
        mint, sol, tokens, is_buy, user, timestamp, virtual_sol, virtual_token, real_sol, real_token,
    ) = _TRADE.unpack_from(payload)  # fmt: skip
    # Whatever is missing reads as zeros, and zeros are the defaults: no name, no shareholder, no fee.
    padded = payload + _TRADE_PADDING
    (
        recipient, protocol_bps, protocol_fee, creator, creator_bps, creator_fee, is_tracked,
    ) = _TRADE_FEES.unpack_from(padded, _TRADE.size)  # fmt: skip
    instruction, shares_at = _string(padded, _TRADE_NAME)
    if size < shares_at:
        if size not in _TRADE_ENDS:
            raise MalformedError(f"a TradeEvent of {size} bytes ends inside a field")
        shares_at = size
    is_mayhem, cashback_bps, cashback, buyback_bps, buyback_fee, holders = _TRADE_SHARES.unpack_from(padded, shares_at)
    quote_at = shares_at + _TRADE_SHARES.size + holders * _SHAREHOLDER
    if size < quote_at:
        if size - shares_at not in _TRADE_SHARES_ENDS:
            raise MalformedError(f"a TradeEvent of {size} bytes ends inside a field")
        quote_at = size
    quote_mint, quote, virtual_quote, real_quote, rewards_bps, rewards, unclaimed = _TRADE_QUOTE.unpack_from(
        padded, quote_at
    )
    quote_size = size - quote_at
    if quote_size < _TRADE_QUOTE.size:
        if quote_size not in _TRADE_QUOTE_ENDS:
            raise MalformedError(f"a TradeEvent of {size} bytes ends inside a field")
        if quote_size < _TRADE_QUOTE_END:
            quote, virtual_quote, real_quote = sol, virtual_sol, real_sol
    return TradeEvent(
        mint=Pubkey.from_bytes(mint),
        user=Pubkey.from_bytes(user),
        is_buy=is_buy,
        tokens=tokens,
        quote_amount=quote,
        reserves=Reserves(
            virtual_token=virtual_token, virtual_quote=virtual_quote, real_token=real_token, real_quote=real_quote
        ),
        timestamp=timestamp,
        fee_recipient=_optional_key(recipient),
        protocol_bps=protocol_bps,
        protocol_fee=protocol_fee,
        creator=_optional_key(creator),
        creator_bps=creator_bps,
        creator_fee=creator_fee,
        is_volume_tracked=is_tracked,
        instruction=instruction,
        is_mayhem=is_mayhem,
        cashback_bps=cashback_bps,
        cashback=cashback,
        buyback_bps=buyback_bps,
        buyback_fee=buyback_fee,
        quote_mint=_optional_key(quote_mint),
        holder_rewards_bps=rewards_bps,
        holder_rewards=rewards,
        creator_fee_unclaimed=unclaimed,
    )


def decode_trade_summary(payload: bytes) -> TradeSummary:
    """Decode of a TradeEvent what moves the price, in a third of the time. *Pure.* *Hot path.*

    On a coin priced in SOL the tail behind the reserves is not looked at.

    Raises:
        MalformedError: It is another event, or its body ends inside a field that was looked at.
    """
    if payload[:8] != TRADE_DISCRIMINATOR or len(payload) < _TRADE.size:
        return _summary(decode_trade(payload))  # which says what is wrong
    mint, sol, tokens, is_buy, user, _, virtual_sol, virtual_token, real_sol, real_token = _TRADE.unpack_from(payload)
    if not virtual_sol:  # priced in another token: its amounts stand in the tail
        return _summary(decode_trade(payload))
    return TradeSummary(
        mint=Pubkey.from_bytes(mint),
        user=Pubkey.from_bytes(user),
        is_buy=is_buy,
        tokens=tokens,
        quote_amount=sol,
        reserves=Reserves(
            virtual_token=virtual_token, virtual_quote=virtual_sol, real_token=real_token, real_quote=real_sol
        ),
    )


def _summary(event: TradeEvent) -> TradeSummary:
    return TradeSummary(
        mint=event.mint,
        user=event.user,
        is_buy=event.is_buy,
        tokens=event.tokens,
        quote_amount=event.quote_amount,
        reserves=event.reserves,
    )


def decode_complete(payload: bytes) -> CompleteEvent:
    """Decode a CompleteEvent, its discriminator first. *Pure.*

    Raises:
        MalformedError: It is another event, or its body ends inside a field.
    """
    if payload[:8] != COMPLETE_DISCRIMINATOR:
        raise MalformedError(
            f"a CompleteEvent begins with {COMPLETE_DISCRIMINATOR.hex()}, this with {payload[:8].hex()!r}"
        )
    size = len(payload)
    if size < _COMPLETE.size:
        if size != _COMPLETE_END_2024:
            raise MalformedError(f"a CompleteEvent of {size} bytes ends inside a field")
        payload = payload.ljust(_COMPLETE.size, b"\0")
    user, mint, curve, timestamp, quote_mint = _COMPLETE.unpack_from(payload)
    return CompleteEvent(
        user=Pubkey.from_bytes(user),
        mint=Pubkey.from_bytes(mint),
        curve=Pubkey.from_bytes(curve),
        timestamp=timestamp,
        quote_mint=_optional_key(quote_mint),
    )


def _string(payload: bytes, at: int) -> tuple[str, int]:
    """Return the string that begins at `at` with its length, and where it ends."""
    start = at + 4
    end = start + int.from_bytes(payload[at:start], "little")
    if end > len(payload) or start > len(payload):
        raise MalformedError(f"an event of {len(payload)} bytes says a string ends at byte {end}")
    try:
        return payload[start:end].decode(), end
    except UnicodeDecodeError as error:
        raise MalformedError(f"an event's string is no UTF-8: {error}") from error


def _optional_key(raw: bytes) -> Pubkey | None:
    return None if raw == _ZERO_KEY else Pubkey.from_bytes(raw)
