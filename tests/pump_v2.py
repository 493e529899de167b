"""The v2 trades of pump.fun, which the bot does not send: builders for tests of the program.

27 accounts for a buy, 26 for a sell, all of them declared by the published IDL (pump-sdk 2.0.0).
"""

import struct

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from slotzero.solana.addresses import (
    ATA_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    WSOL_MINT,
    associated_token_address,
)
from slotzero.venues.pumpfun import EVENT_AUTHORITY, FEE_CONFIG, FEE_PROGRAM, GLOBAL, PUMP_PROGRAM, TradeAccounts
from slotzero.venues.pumpfun.addresses import GLOBAL_VOLUME_ACCUMULATOR

_BUY = bytes.fromhex("b817ee6167c5d33d")
_BUY_EXACT_QUOTE_IN = bytes.fromhex("c2ab1c46684d5b2f")
_SELL = bytes.fromhex("5df6823ce7e940b2")
# Positions of both, of the buy, of the sell.
_SIGNER = 13
_BUY_WRITABLE = frozenset({*range(6, 18), 20, 21})
_SELL_WRITABLE = frozenset({*range(6, 18), 19, 20})


def _quote_account(owner: Pubkey) -> Pubkey:
    return associated_token_address(owner, WSOL_MINT, TOKEN_PROGRAM)


def _instruction(data: bytes, keys: list[Pubkey], writable: frozenset[int]) -> Instruction:
    return Instruction(
        PUMP_PROGRAM,
        data,
        [AccountMeta(key, is_signer=i == _SIGNER, is_writable=i in writable) for i, key in enumerate(keys)],
    )


def _keys(accounts: TradeAccounts, *, is_buy: bool) -> list[Pubkey]:
    keys = [
        GLOBAL,
        accounts.mint,
        WSOL_MINT,
        accounts.token_program,
        TOKEN_PROGRAM,
        ATA_PROGRAM,
        accounts.fee_recipient,
        _quote_account(accounts.fee_recipient),
        accounts.buyback_recipient,
        _quote_account(accounts.buyback_recipient),
        accounts.curve,
        accounts.curve_tokens,
        _quote_account(accounts.curve),
        accounts.user,
        accounts.user_tokens,
        _quote_account(accounts.user),
        accounts.creator_vault,
        _quote_account(accounts.creator_vault),
        Pubkey.find_program_address([b"sharing-config", bytes(accounts.mint)], FEE_PROGRAM)[0],
    ]
    if is_buy:
        keys.append(GLOBAL_VOLUME_ACCUMULATOR)
    return [
        *keys,
        accounts.volume_accumulator,
        _quote_account(accounts.volume_accumulator),
        FEE_CONFIG,
        FEE_PROGRAM,
        SYSTEM_PROGRAM,
        EVENT_AUTHORITY,
        PUMP_PROGRAM,
    ]


def buy_v2(accounts: TradeAccounts, tokens: int, max_cost: int) -> Instruction:
    """Buy exactly `tokens` for at most `max_cost`, fees included."""
    return _instruction(_BUY + struct.pack("<QQ", tokens, max_cost), _keys(accounts, is_buy=True), _BUY_WRITABLE)


def buy_exact_quote_in_v2(accounts: TradeAccounts, spend: int, min_tokens: int) -> Instruction:
    """Spend `spend`, fees included, for at least `min_tokens`."""
    data = _BUY_EXACT_QUOTE_IN + struct.pack("<QQ", spend, min_tokens)
    return _instruction(data, _keys(accounts, is_buy=True), _BUY_WRITABLE)


def sell_v2(accounts: TradeAccounts, tokens: int, min_out: int) -> Instruction:
    """Sell `tokens` for at least `min_out`, fees subtracted."""
    return _instruction(_SELL + struct.pack("<QQ", tokens, min_out), _keys(accounts, is_buy=False), _SELL_WRITABLE)
