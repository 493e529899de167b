"""Instructions of the pump.fun curve program for coins priced in SOL, in today's account shapes.

A legacy `buy` needs 18 accounts and a `sell` 16 (17 for cashback coins), although the published IDL lists 16 and 14:
behind them come the read-only `bonding-curve-v2` address and one writable buyback fee recipient; a cashback coin's
sell carries the user's volume accumulator before that pair. Without the pair the program answers 6062, with a wrong
address 6074.

What stays the same from coin to coin is derived once (`WalletAccounts`); a new coin costs four derivations of 5-9 us
(`trade_accounts`), and both directions of its trades share them.

Source: the program's published IDL (pump-sdk 2.0.0); captured transactions for the undeclared accounts.
"""

import struct
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from slotzero.solana.addresses import (
    ATA_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    associated_token_address,
)
from slotzero.venues.pumpfun.accounts import Global
from slotzero.venues.pumpfun.addresses import (
    EVENT_AUTHORITY,
    FEE_CONFIG,
    FEE_PROGRAM,
    GLOBAL,
    GLOBAL_VOLUME_ACCUMULATOR,
    MAYHEM_GLOBAL_PARAMS,
    MAYHEM_PROGRAM,
    MAYHEM_SOL_VAULT,
    MINT_AUTHORITY,
    PUMP_PROGRAM,
    creator_vault_address,
    curve_address,
    curve_v2_address,
    mayhem_state_address,
    mayhem_token_vault_address,
    user_volume_accumulator_address,
)

__all__ = [
    "TradeAccounts",
    "TradeCall",
    "WalletAccounts",
    "buy",
    "buy_exact_sol_in",
    "create_associated_token_account",
    "create_v2",
    "fee_recipients",
    "has_fee_recipients",
    "read_trade",
    "sell",
    "trade_accounts",
    "wallet_accounts",
]

_BUY: Final = bytes.fromhex("66063d1201daebea")
_BUY_EXACT_SOL_IN: Final = bytes.fromhex("38fc74089edfcd5f")
_SELL: Final = bytes.fromhex("33e685a4017f83ad")
_CREATE_V2: Final = bytes.fromhex("d6904cec5f8b31b4")
_CREATE_IDEMPOTENT: Final = b"\x01"
_BUY_ARGUMENTS: Final = struct.Struct("<8sQQ?")
_SELL_ARGUMENTS: Final = struct.Struct("<8sQQ")
_BUY_ACCOUNTS: Final = 18
_SELL_ACCOUNTS: Final = 16


def _read(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=False)


def _write(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=True)


def _signer(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=True, is_writable=True)


_GLOBAL_META: Final = _read(GLOBAL)
_SYSTEM_META: Final = _read(SYSTEM_PROGRAM)
_ATA_PROGRAM_META: Final = _read(ATA_PROGRAM)
_TOKEN_2022_META: Final = _read(TOKEN_2022_PROGRAM)
_EVENT_AUTHORITY_META: Final = _read(EVENT_AUTHORITY)
_PROGRAM_META: Final = _read(PUMP_PROGRAM)
_VOLUME_META: Final = _read(GLOBAL_VOLUME_ACCUMULATOR)
_FEE_CONFIG_META: Final = _read(FEE_CONFIG)
_FEE_PROGRAM_META: Final = _read(FEE_PROGRAM)


class WalletAccounts(Struct, frozen=True, kw_only=True):
    """What a trade needs of a wallet, whatever the coin. Derive it once for each wallet."""

    user: Pubkey
    volume_accumulator: Pubkey


class TradeAccounts(Struct, frozen=True, kw_only=True):
    """Every account of one wallet's trades in one coin: build it once, buy and sell with it.

    Attributes:
        curve_tokens: The curve's token account.
        user_tokens: The wallet's; its associated token account unless chosen otherwise.
        curve_v2: The undeclared read-only account, see `curve_v2_address`.
        fee_recipient: One of Global's receivers, of the reserved ones for a mayhem coin.
        buyback_recipient: One of Global's buyback receivers.
    """

    user: Pubkey
    volume_accumulator: Pubkey
    mint: Pubkey
    token_program: Pubkey
    curve: Pubkey
    curve_tokens: Pubkey
    user_tokens: Pubkey
    creator_vault: Pubkey
    curve_v2: Pubkey
    fee_recipient: Pubkey
    buyback_recipient: Pubkey
    is_cashback: bool


def wallet_accounts(user: Pubkey) -> WalletAccounts:
    """Derive what a trade needs of a wallet. *Pure.* Do it at start-up, not on the hot path."""
    return WalletAccounts(user=user, volume_accumulator=user_volume_accumulator_address(user))


def has_fee_recipients(settings: Global, *, is_mayhem: bool) -> bool:
    """Whether Global names receivers of a coin's fees: without them no trade is possible. *Pure.*"""
    protocol = settings.reserved_fee_recipients if is_mayhem else settings.fee_recipients
    return bool(protocol and settings.buyback_fee_recipients)


def fee_recipients(settings: Global, *, is_mayhem: bool, choice: int = 0) -> tuple[Pubkey, Pubkey]:
    """Return a protocol fee receiver and a buyback receiver the program accepts for a coin. *Pure.* *Hot path.*

    Args:
        settings: The Global account; it holds up to eight of each, so that trades do not all lock one account.
        is_mayhem: Whether the coin is a mayhem coin, whose fees go to the reserved receivers.
        choice: Any number; it selects among the receivers (modulo their count).

    Raises:
        ValueError: Global names no such receiver.
    """
    protocol = settings.reserved_fee_recipients if is_mayhem else settings.fee_recipients
    buyback = settings.buyback_fee_recipients
    if not protocol or not buyback:
        raise ValueError("Global names no fee recipient; a trade is impossible")
    return protocol[choice % len(protocol)], buyback[choice % len(buyback)]


def trade_accounts(
    wallet: WalletAccounts,
    *,
    mint: Pubkey,
    creator: Pubkey,
    fee_recipient: Pubkey,
    buyback_recipient: Pubkey,
    token_program: Pubkey = TOKEN_2022_PROGRAM,
    curve: Pubkey | None = None,
    is_cashback: bool = False,
) -> TradeAccounts:
    """Derive the accounts of a wallet's trades in one coin. *Pure.* *Hot path* (four derivations, about 25 us).

    Args:
        wallet: The wallet's part.
        mint: The coin.
        creator: Who receives its creator fee, by the creation event or by the curve account.
        fee_recipient: From `fee_recipients`.
        buyback_recipient: From `fee_recipients`.
        token_program: The program that owns the mint.
        curve: The curve account, as the creation event says; None derives it (a fifth derivation).
        is_cashback: Whether the coin pays its creator fee back to the trader.
    """
    if curve is None:
        curve = curve_address(mint)
    return TradeAccounts(
        user=wallet.user,
        volume_accumulator=wallet.volume_accumulator,
        mint=mint,
        token_program=token_program,
        curve=curve,
        curve_tokens=associated_token_address(curve, mint, token_program),
        user_tokens=associated_token_address(wallet.user, mint, token_program),
        creator_vault=creator_vault_address(creator),
        curve_v2=curve_v2_address(mint),
        fee_recipient=fee_recipient,
        buyback_recipient=buyback_recipient,
        is_cashback=is_cashback,
    )


def buy(
    accounts: TradeAccounts, tokens: int, max_sol_cost_lamports: int, *, is_volume_tracked: bool = False
) -> Instruction:
    """Build a legacy `buy` of exactly `tokens`, 18 accounts. *Pure.* *Hot path.*

    Args:
        accounts: Whose trade in which coin. The user's token account must exist by then.
        tokens: In the token's smallest unit.
        max_sol_cost_lamports: The most the trade may cost, fees included; rent is not part of it.
        is_volume_tracked: Whether the program counts the trade for its incentive programme.
    """
    data = _BUY_ARGUMENTS.pack(_BUY, tokens, max_sol_cost_lamports, is_volume_tracked)
    return Instruction(PUMP_PROGRAM, data, _buy_metas(accounts))


def buy_exact_sol_in(
    accounts: TradeAccounts, spend_lamports: int, min_tokens_out: int, *, is_volume_tracked: bool = False
) -> Instruction:
    """Build a legacy `buy_exact_sol_in`: spend exactly so much, fees included; 18 accounts. *Pure.* *Hot path.*"""
    data = _BUY_ARGUMENTS.pack(_BUY_EXACT_SOL_IN, spend_lamports, min_tokens_out, is_volume_tracked)
    return Instruction(PUMP_PROGRAM, data, _buy_metas(accounts))


def sell(accounts: TradeAccounts, tokens: int, min_sol_output_lamports: int) -> Instruction:
    """Build a legacy `sell`, 16 accounts, 17 for a cashback coin. *Pure.* *Hot path.*

    Args:
        accounts: Whose trade in which coin.
        tokens: In the token's smallest unit.
        min_sol_output_lamports: The least the trade may bring after its fees.
    """
    metas = [
        _GLOBAL_META,
        _write(accounts.fee_recipient),
        _read(accounts.mint),
        _write(accounts.curve),
        _write(accounts.curve_tokens),
        _write(accounts.user_tokens),
        _signer(accounts.user),
        _SYSTEM_META,
        _write(accounts.creator_vault),
        _token_program_meta(accounts.token_program),
        _EVENT_AUTHORITY_META,
        _PROGRAM_META,
        _FEE_CONFIG_META,
        _FEE_PROGRAM_META,
    ]
    if accounts.is_cashback:
        metas.append(_write(accounts.volume_accumulator))
    metas += (_read(accounts.curve_v2), _write(accounts.buyback_recipient))
    return Instruction(PUMP_PROGRAM, _SELL_ARGUMENTS.pack(_SELL, tokens, min_sol_output_lamports), metas)


class TradeCall(Struct, frozen=True, kw_only=True):
    """A legacy `buy` or `sell` as its instruction says it.

    Attributes:
        limit_lamports: The most a buy may cost, the least a sell must bring.
        volume_accumulator: The user's, which a first buy opens; None for a sell.
    """

    is_buy: bool
    tokens: int
    limit_lamports: int
    mint: Pubkey
    curve: Pubkey
    curve_tokens: Pubkey
    user_tokens: Pubkey
    user: Pubkey
    creator_vault: Pubkey
    volume_accumulator: Pubkey | None


def read_trade(data: bytes, keys: Sequence[Pubkey]) -> TradeCall | None:
    """Read an instruction of the program that `buy` or `sell` may have built; None for another one. *Pure.*"""
    is_buy = data[:8] == _BUY and len(data) == _BUY_ARGUMENTS.size and len(keys) >= _BUY_ACCOUNTS
    if not is_buy and not (data[:8] == _SELL and len(data) == _SELL_ARGUMENTS.size and len(keys) >= _SELL_ACCOUNTS):
        return None
    tokens, limit = _SELL_ARGUMENTS.unpack_from(data)[1:]
    return TradeCall(
        is_buy=is_buy,
        tokens=tokens,
        limit_lamports=limit,
        mint=keys[2],
        curve=keys[3],
        curve_tokens=keys[4],
        user_tokens=keys[5],
        user=keys[6],
        creator_vault=keys[9] if is_buy else keys[8],
        volume_accumulator=keys[13] if is_buy else None,
    )


def create_associated_token_account(accounts: TradeAccounts) -> Instruction:
    """Build the creation of the wallet's token account for a coin; succeeds when it is there. *Pure.* *Hot path.*"""
    metas = [
        _signer(accounts.user),
        _write(accounts.user_tokens),
        _read(accounts.user),
        _read(accounts.mint),
        _SYSTEM_META,
        _token_program_meta(accounts.token_program),
    ]
    return Instruction(ATA_PROGRAM, _CREATE_IDEMPOTENT, metas)


def create_v2(
    *,
    user: Pubkey,
    mint: Pubkey,
    creator: Pubkey,
    name: str,
    symbol: str,
    uri: str,
    creator_fee_bps: int = 0,
    is_holder_reward: bool = False,
) -> Instruction:
    """Build a `create_v2` of an ordinary coin priced in SOL, 16 accounts. *Pure.*

    Mayhem coins are another program's business and cashback coins can no longer be created; both flags are 0.

    Args:
        user: Who pays and signs.
        mint: The new mint; it signs too.
        creator: Who shall receive the creator fee.
        name: At most 32 bytes.
        symbol: At most 13 bytes.
        uri: At most 200 bytes.
        creator_fee_bps: The coin's own creator fee, or 0 for the fee schedule's.
        is_holder_reward: Whether the creator fee goes to the holders.
    """
    data = bytearray(_CREATE_V2)
    for text in (name, symbol, uri):
        raw = text.encode()
        data += len(raw).to_bytes(4, "little") + raw
    data += bytes(creator) + b"\0\0"
    if creator_fee_bps or is_holder_reward:  # options may be left off the end, and nobody sends them without need
        data += creator_fee_bps.to_bytes(8, "little") + bytes([is_holder_reward])
    curve = curve_address(mint)
    metas = [
        _signer(mint),
        _read(MINT_AUTHORITY),
        _write(curve),
        _write(associated_token_address(curve, mint, TOKEN_2022_PROGRAM)),
        _GLOBAL_META,
        _signer(user),
        _SYSTEM_META,
        _TOKEN_2022_META,
        _ATA_PROGRAM_META,
        _write(MAYHEM_PROGRAM),
        _read(MAYHEM_GLOBAL_PARAMS),
        _write(MAYHEM_SOL_VAULT),
        _write(mayhem_state_address(mint)),
        _write(mayhem_token_vault_address(mint)),
        _EVENT_AUTHORITY_META,
        _PROGRAM_META,
    ]
    return Instruction(PUMP_PROGRAM, bytes(data), metas)


def _buy_metas(accounts: TradeAccounts) -> Sequence[AccountMeta]:
    return [
        _GLOBAL_META,
        _write(accounts.fee_recipient),
        _read(accounts.mint),
        _write(accounts.curve),
        _write(accounts.curve_tokens),
        _write(accounts.user_tokens),
        _signer(accounts.user),
        _SYSTEM_META,
        _token_program_meta(accounts.token_program),
        _write(accounts.creator_vault),
        _EVENT_AUTHORITY_META,
        _PROGRAM_META,
        _VOLUME_META,
        _write(accounts.volume_accumulator),
        _FEE_CONFIG_META,
        _FEE_PROGRAM_META,
        _read(accounts.curve_v2),
        _write(accounts.buyback_recipient),
    ]


def _token_program_meta(program: Pubkey) -> AccountMeta:
    return _TOKEN_2022_META if program == TOKEN_2022_PROGRAM else _read(program)
