"""What a trade does by the venue's published formulas, where its program cannot be run here. *Pure.*

The second best: a fork runs the program itself. This knows the transactions the bot builds (compute budget, token
account, legacy buy and sell, closing) and nothing else; what it does not know is malformed, not guessed at. A test
holds it against the program, account by account.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from slotzero.errors import MalformedError
from slotzero.solana.addresses import (
    ATA_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
)
from slotzero.solana.rpc import AccountInfo
from slotzero.trading.fees import network_fee
from slotzero.trading.paper.fork import ForkRun
from slotzero.trading.paper.impact import Impact, shifted_pool, shifted_vault
from slotzero.units import ComputeUnits, Lamports, MicroLamportsPerCu
from slotzero.venues.pumpfun import FEE_CONFIG, PUMP_PROGRAM, creator_vault_address, decode_curve, decode_fee_config
from slotzero.venues.pumpfun.instructions import TradeCall, read_trade
from slotzero.venues.pumpfun.quote import fee_rates, quote_buy, quote_sell
from slotzero.venues.records import FeeRates

__all__ = ["run_quoted"]

_WRONG_ADDRESS: Final = 2006
_TOO_MUCH_REQUIRED: Final = 6002
_TOO_LITTLE_RECEIVED: Final = 6003
_NOT_SERVED: Final = 6042
_INSUFFICIENT_TOKENS: Final = 1
_HAS_BALANCE: Final = 11
_CLOSE_ACCOUNT: Final = b"\x09"
_SET_LIMIT: Final = 2
_SET_PRICE: Final = 3
_ACCUMULATOR_BYTES: Final = 137
_AMOUNT: Final = struct.Struct("<Q")
_AMOUNT_AT: Final = 64
_INITIALIZED_AT: Final = 108
_TOKEN_ACCOUNT_BYTES: Final = 165
_IMMUTABLE_OWNER: Final = b"\x02\x07\0\0\0"

_Custom = int | None
"""A custom error, or None where there is none."""


class _Step(Struct, frozen=True, kw_only=True):
    program: Pubkey
    data: bytes
    keys: Sequence[Pubkey]


def run_quoted(
    transaction: VersionedTransaction,
    accounts: Mapping[Pubkey, AccountInfo | None],
    *,
    rent: Callable[[int], Lamports],
) -> ForkRun:
    """Return what a transaction of the bot's would do.

    Args:
        transaction: A buy or a sell.
        accounts: Every account it names, as it is.
        rent: What an account of so many bytes must hold.

    Raises:
        MalformedError: It does something this does not know, or an account it needs is missing.
    """
    message = transaction.message
    steps = [
        _Step(
            program=message.account_keys[instruction.program_id_index],
            data=bytes(instruction.data),
            keys=[message.account_keys[index] for index in bytes(instruction.accounts)],
        )
        for instruction in message.instructions
    ]
    fee, payer = _fee(steps), message.account_keys[0]
    ledger = _Ledger(dict(accounts), rent)
    ledger.pay(payer, -fee)
    for index, step in enumerate(steps):
        if (code := ledger.take(step)) is not None:
            err: dict[str, object] = {"InstructionError": [index, {"Custom": code}]}
            return ForkRun(err=err, fee=fee, units=0, logs=(), post={})
    post = {key: account for key, account in ledger.accounts.items() if account != accounts.get(key)}
    return ForkRun(err=None, fee=fee, units=0, logs=(), post=post)


def _fee(steps: Sequence[_Step]) -> Lamports:
    limit = price = 0
    for step in steps:
        if step.program == COMPUTE_BUDGET_PROGRAM:
            value = int.from_bytes(step.data[1:], "little")
            limit = value if step.data[0] == _SET_LIMIT else limit
            price = value if step.data[0] == _SET_PRICE else price
    return network_fee(ComputeUnits(limit), MicroLamportsPerCu(price))


class _Ledger:
    """The accounts while a transaction changes them."""

    def __init__(self, accounts: dict[Pubkey, AccountInfo | None], rent: Callable[[int], Lamports]) -> None:
        self.accounts = accounts
        self._rent = rent

    def take(self, step: _Step) -> _Custom:
        """Carry one instruction out, or return the error it ends with."""
        if step.program == COMPUTE_BUDGET_PROGRAM:
            return None
        if step.program == ATA_PROGRAM:
            return self._open_tokens(step.keys)
        if step.program in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM) and step.data == _CLOSE_ACCOUNT:
            return self._close_tokens(step.keys)
        trade = read_trade(step.data, step.keys) if step.program == PUMP_PROGRAM else None
        if trade is None:
            raise MalformedError(f"an instruction of {step.program} that no quote covers")
        if trade.creator_vault != creator_vault_address(decode_curve(self._there(trade.curve).data).creator):
            return _WRONG_ADDRESS  # signed before the curve got another creator
        return self._buy(trade) if trade.is_buy else self._sell(trade)

    def pay(self, key: Pubkey, lamports: int) -> None:
        """Change a balance; an account that is not there comes into being, one that is empty ends."""
        account = self.accounts.get(key)
        if account is None:
            account = AccountInfo(lamports=Lamports(0), owner=SYSTEM_PROGRAM, data=b"", executable=False)
        total = account.lamports + lamports
        if total < 0:
            raise MalformedError(f"{key} cannot pay {-lamports} lamports")
        self.accounts[key] = msgspec.structs.replace(account, lamports=Lamports(total)) if total else None

    def _there(self, key: Pubkey) -> AccountInfo:
        account = self.accounts.get(key)
        if account is None:
            raise MalformedError(f"there is no account {key}")
        return account

    def _open(self, key: Pubkey, payer: Pubkey, owner: Pubkey, data: bytes) -> None:
        lamports = self._rent(len(data))
        self.pay(payer, -lamports)
        self.accounts[key] = AccountInfo(lamports=lamports, owner=owner, data=data, executable=False)

    def _open_tokens(self, keys: Sequence[Pubkey]) -> _Custom:
        payer, account, holder, mint, _, program = keys[:6]
        if self.accounts.get(account) is None:
            data = bytearray(_TOKEN_ACCOUNT_BYTES)
            data[:64] = bytes(mint) + bytes(holder)
            data[_INITIALIZED_AT] = 1
            if program == TOKEN_2022_PROGRAM:
                data += _IMMUTABLE_OWNER
            self._open(account, payer, program, bytes(data))
        return None

    def _close_tokens(self, keys: Sequence[Pubkey]) -> _Custom:
        account, to = keys[:2]
        closed = self._there(account)
        if _AMOUNT.unpack_from(closed.data, _AMOUNT_AT) != (0,):
            return _HAS_BALANCE
        self.accounts[account] = None
        self.pay(to, closed.lamports)
        return None

    def _rates(self, trade: TradeCall) -> FeeRates:
        curve = decode_curve(self._there(trade.curve).data)
        return fee_rates(
            decode_fee_config(self._there(FEE_CONFIG).data),
            curve.reserves,
            curve.token_supply,
            creator_fee_bps=curve.creator_fee_bps,
            has_creator=curve.creator is not None,
            quote_mint=curve.quote_mint,
        )

    def _buy(self, trade: TradeCall) -> _Custom:
        curve = decode_curve(self._there(trade.curve).data)
        quote = quote_buy(curve.reserves, trade.tokens, self._rates(trade))
        if quote is None or curve.is_complete:
            return _NOT_SERVED
        if quote.total > trade.limit_lamports:
            return _TOO_MUCH_REQUIRED
        self.pay(trade.user, -quote.total)
        if trade.volume_accumulator is not None and self.accounts.get(trade.volume_accumulator) is None:
            self._open(trade.volume_accumulator, trade.user, PUMP_PROGRAM, bytes(_ACCUMULATOR_BYTES))
        self._settle(trade, Impact(tokens=trade.tokens, quote=quote.cost), quote.creator_fee)
        return None

    def _sell(self, trade: TradeCall) -> _Custom:
        (held,) = _AMOUNT.unpack_from(self._there(trade.user_tokens).data, _AMOUNT_AT)
        if held < trade.tokens:
            return _INSUFFICIENT_TOKENS
        curve = decode_curve(self._there(trade.curve).data)
        quote = quote_sell(curve.reserves, trade.tokens, self._rates(trade))
        if quote is None or curve.is_complete:
            return _NOT_SERVED
        if quote.net < trade.limit_lamports:
            return _TOO_LITTLE_RECEIVED
        self.pay(trade.user, quote.net)
        self._settle(trade, Impact(tokens=-trade.tokens, quote=-quote.out), quote.creator_fee)
        return None

    def _settle(self, trade: TradeCall, impact: Impact, creator_fee: int) -> None:
        """Move the tokens, the pool and the creator's fee; who trades first fills the creator's purse up."""
        self.accounts[trade.curve] = shifted_pool(self._there(trade.curve), impact)
        self.accounts[trade.curve_tokens] = shifted_vault(self._there(trade.curve_tokens), impact)
        ours = Impact(tokens=-impact.tokens)
        self.accounts[trade.user_tokens] = shifted_vault(self._there(trade.user_tokens), ours)
        vault = self.accounts.get(trade.creator_vault)
        missing = max(0, self._rent(0) - (0 if vault is None else vault.lamports))
        if missing:
            self.pay(trade.user, -missing)
        self.pay(trade.creator_vault, missing + creator_fee)
