"""The addresses and discriminators our pump program knows, and the C header that carries them.

Standard library only: the build runs where nothing but the compiler is installed. A test holds these addresses against
the ones the bot uses.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

__all__ = ["PUMP_ADDRESSES", "decode_base58", "discriminator", "pump_header"]

_BASE58_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

PUMP_ADDRESSES: Final[Mapping[str, str]] = {
    "PUMP_PROGRAM": "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P",
    "GLOBAL_ACCOUNT": "4wTV1YmiEkRvAtNtsSGPtUrqRYQMe5SKy2uB4Jjaxnjf",
    "EVENT_AUTHORITY": "Ce6TQqeHC9p8KetsN6JsjHK7UTZk7nasjjnr7XxXp9F1",
    "MINT_AUTHORITY": "TSLvdd1pWpHVjahSpsvCXUbgwsL3JAcvokwaKt1eokM",
    "GLOBAL_VOLUME_ACCOUNT": "Hq2wp8uJ9jCPsYgNHex8RtqdvMPfVGoYwjvF1ATiwn2Y",
    "FEE_PROGRAM": "pfeeUxB6jkeY1Hxd7CsFCAjcbHA9rWtchMGdZ6VojVZ",
    "FEE_CONFIG_ACCOUNT": "8Wf5TiAheLUqBrKXeYg2JtAFFMWtKdG2BSFgqUcPVwTt",
    "MAYHEM_PROGRAM": "MAyhSmzXzV1pTf7LsNkrNwkWKTo4ougAJ1PPg47MD4e",
    "SYSTEM_PROGRAM": "11111111111111111111111111111111",
    "TOKEN_PROGRAM": "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
    "TOKEN_2022_PROGRAM": "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
    "ATA_PROGRAM": "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL",
    "WSOL_MINT": "So11111111111111111111111111111111111111112",
}
"""C name and base58 address."""

_DISCRIMINATORS: Final[Mapping[str, str]] = {
    "CREATE_V2_INSTRUCTION": "global:create_v2",
    "BUY_INSTRUCTION": "global:buy",
    "BUY_EXACT_SOL_IN_INSTRUCTION": "global:buy_exact_sol_in",
    "BUY_V2_INSTRUCTION": "global:buy_v2",
    "BUY_EXACT_QUOTE_IN_V2_INSTRUCTION": "global:buy_exact_quote_in_v2",
    "SELL_INSTRUCTION": "global:sell",
    "SELL_V2_INSTRUCTION": "global:sell_v2",
    "CREATE_EVENT": "event:CreateEvent",
    "TRADE_EVENT": "event:TradeEvent",
    "COMPLETE_EVENT": "event:CompleteEvent",
    "CURVE_DISCRIMINATOR": "account:BondingCurve",
    "GLOBAL_DISCRIMINATOR": "account:Global",
    "VOLUME_DISCRIMINATOR": "account:UserVolumeAccumulator",
    "FEE_CONFIG_DISCRIMINATOR": "account:FeeConfig",
    "METADATA_INITIALIZE": "spl_token_metadata_interface:initialize_account",
    "METADATA_UPDATE_AUTHORITY": "spl_token_metadata_interface:update_the_authority",
}
"""C name and the text whose SHA-256 begins with the discriminator."""


def decode_base58(text: str) -> bytes:
    """Return the 32 bytes of an address. *Pure.*

    Raises:
        ValueError: `text` is not base58 or no address.
    """
    number = 0
    for character in text:
        number = number * 58 + _BASE58_ALPHABET.index(character)
    if number >> 256:
        raise ValueError(f"an address has 32 bytes, {text!r} is longer")
    return number.to_bytes(32, "big")


def discriminator(text: str) -> bytes:
    """Return the eight bytes that tell `text` apart, as `global:buy` or `event:TradeEvent`. *Pure.*"""
    return hashlib.sha256(text.encode()).digest()[:8]


def _constant(name: str, value: bytes) -> str:
    return f"#define {name} 0x{int.from_bytes(value, 'little'):016x}ULL"


def _address(name: str, address: str) -> str:
    raw = decode_base58(address)
    rows = ",\n    ".join(", ".join(f"0x{byte:02x}" for byte in raw[at : at + 16]) for at in (0, 16))
    return f"/* {address} */\nstatic const u8 {name}[32] = {{\n    {rows},\n}};"


def pump_header() -> str:
    """Return the text of `pump/keys.h`. *Pure.*

    Discriminators are integers, so that comparing one is a single instruction; addresses are byte arrays in read-only
    data, because a call to another program takes a pointer to them.
    """
    return "\n".join(
        [
            "/* Written by keys.py (`make programs`): do not edit. */",
            "#pragma once",
            '#include "../sbpf.h"',
            "",
            *(_address(name, address) for name, address in PUMP_ADDRESSES.items()),
            "",
            *(_constant(name, discriminator(text)) for name, text in _DISCRIMINATORS.items()),
            # Anchor writes the tag of an event as one big-endian integer: its bytes stand in the other order.
            _constant("EVENT_INSTRUCTION", discriminator("anchor:event")[::-1]),
            "",
        ]
    )
