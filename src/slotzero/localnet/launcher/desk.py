"""Trades of the launcher's wallets on the chain: what to sign, and what became of it."""

from typing import Final

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from slotzero.localnet.chain import Chain, Landed
from slotzero.localnet.launcher.actors import Actor, signed
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.solana.instructions import close_token_account
from slotzero.solana.program_error import custom_code, describe
from slotzero.solana.token import parse_token_account
from slotzero.solana.transaction import Signer
from slotzero.units import BPS, BasisPoints, Lamports
from slotzero.venues.pumpfun import (
    FEE_CONFIG,
    GLOBAL,
    TradeAccounts,
    buy,
    create_associated_token_account,
    decode_curve,
    decode_fee_config,
    decode_global,
    error_name,
    fee_rates,
    fee_recipients,
    quote_buy,
    sell,
    tokens_for_budget,
    trade_accounts,
)
from slotzero.venues.records import Reserves

__all__ = ["Desk"]

_FIRST_PROGRAM_CODE: Final = 100
"""Smaller error codes come from the token programs."""


class Desk:
    """Build, sign and submit trades of any wallet.

    Args:
        chain: Where.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._global = decode_global(self._data(GLOBAL))
        self._fee_config = decode_fee_config(self._data(FEE_CONFIG))

    @property
    def launch_reserves(self) -> Reserves:
        """What a curve starts with."""
        return self._global.initial_reserves

    def accounts(self, actor: Actor, *, mint: Pubkey, creator: Pubkey, choice: int) -> TradeAccounts:
        """Derive the accounts of one wallet's trades in one coin (about 30 us).

        Args:
            actor: The wallet.
            mint: The coin.
            creator: The coin's.
            choice: Selects the fee receivers, so that not all trades pay one.
        """
        protocol, buyback = fee_recipients(self._global, is_mayhem=False, choice=choice)
        return trade_accounts(
            actor.wallet, mint=mint, creator=creator, fee_recipient=protocol, buyback_recipient=buyback
        )

    def reserves(self, curve: Pubkey) -> Reserves:
        """Return a curve's reserves now."""
        return decode_curve(self._data(curve)).reserves

    def buy(
        self, accounts: TradeAccounts, reserves: Reserves, budget: Lamports, slippage: BasisPoints
    ) -> list[Instruction]:
        """Build a buy of what `budget` pays for at `reserves`; empty when that is nothing."""
        rates = fee_rates(self._fee_config, reserves, self._global.token_supply)
        tokens = tokens_for_budget(reserves, budget, rates)
        quote = quote_buy(reserves, tokens, rates) if tokens else None
        if quote is None:
            return []
        limit = quote.total * (BPS + slippage) // BPS
        return [create_associated_token_account(accounts), buy(accounts, quote.tokens, limit)]

    def sell(self, accounts: TradeAccounts, share: BasisPoints, *, may_close: bool) -> list[Instruction]:
        """Build a sell at any price of a share of what the wallet holds; empty when it holds nothing.

        Args:
            accounts: Whose.
            share: 10,000 sells all.
            may_close: Whether selling all closes the token account too.
        """
        account = self._chain.account(accounts.user_tokens)
        if account is None:
            return []
        held = parse_token_account(account.data, account.owner).amount
        tokens = held * share // BPS
        instructions = [sell(accounts, tokens, 0)] if tokens else []
        if tokens == held and may_close:
            instructions.append(close_token_account(accounts.user_tokens, accounts.user, TOKEN_2022_PROGRAM))
        return instructions

    def submit(self, instructions: list[Instruction], payer: Actor, *others: Signer) -> str | None:
        """Sign and submit without preflight, as snipers do.

        Returns:
            None when it succeeded, else the reason in the venue's words: a failed trade has landed and paid its fee.
        """
        self._chain.catch_up()
        raw = signed(instructions, self._chain.block.blockhash, payer.signer, *others)
        result = self._chain.submit(raw)
        err = result.record.err if isinstance(result, Landed) else result.err
        return None if err is None else _explained(err)

    def _data(self, key: Pubkey) -> bytes:
        account = self._chain.account(key)
        assert account is not None, f"the account {key} of the pump program exists"
        return account.data


def _explained(err: object) -> str:
    code = custom_code(err)
    return error_name(code) if code is not None and code >= _FIRST_PROGRAM_CODE else describe(err)
