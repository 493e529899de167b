"""pump.fun as a market: its curve's quotes and instructions for one wallet."""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.solana.addresses import associated_token_address
from slotzero.solana.instructions import close_token_account
from slotzero.solana.program_error import custom_code, describe
from slotzero.units import Lamports, TokenAmount
from slotzero.venues.market import PoolState
from slotzero.venues.pumpfun.accounts import FeeConfig, Global, decode_curve, decode_fee_config, decode_global
from slotzero.venues.pumpfun.addresses import (
    FEE_CONFIG,
    GLOBAL,
    creator_vault_address,
    user_volume_accumulator_address,
)
from slotzero.venues.pumpfun.instructions import (
    TradeAccounts,
    buy,
    create_associated_token_account,
    fee_recipients,
    has_fee_recipients,
    sell,
    trade_accounts,
    wallet_accounts,
)
from slotzero.venues.pumpfun.program_errors import error_name, is_slippage_error
from slotzero.venues.pumpfun.quote import fee_rates, quote_buy, quote_sell, tokens_for_budget
from slotzero.venues.records import BuyQuote, FeeRates, NewPool, PoolTerms, Reserves, SellQuote

__all__ = ["PumpfunMarket", "PumpfunSettings", "PumpfunTrader"]

_FIRST_PROGRAM_CODE = 100  # smaller codes come from the token programs it calls


class PumpfunSettings(Struct, frozen=True, kw_only=True):
    """What the venue's own accounts say.

    Attributes:
        program: Global.
        fees: The fee schedule.
    """

    program: Global
    fees: FeeConfig


class PumpfunMarket:
    """One wallet's trades on one curve. *Pure*; `fitting` asks for the newest settings.

    Args:
        pool: The coin as it was created.
        terms: What the curve says of its creator and the creator's fee.
        accounts: Every account of the wallet's trades in it.
        settings: What it quotes with.
        newest: Returns the settings of now.
        choice: Which of the fee receivers it takes, see `fee_recipients`.
    """

    __slots__ = ("_accounts", "_choice", "_newest", "_settings", "_terms", "pool")

    def __init__(
        self,
        pool: NewPool,
        terms: PoolTerms,
        accounts: TradeAccounts,
        settings: PumpfunSettings,
        *,
        newest: Callable[[], PumpfunSettings],
        choice: int,
    ) -> None:
        self.pool = pool
        self._terms = terms
        self._accounts = accounts
        self._settings = settings
        self._newest = newest
        self._choice = choice

    @property
    def state_account(self) -> Pubkey:
        """The curve."""
        return self._accounts.curve

    @property
    def user_tokens(self) -> Pubkey:
        """The wallet's token account for the coin."""
        return self._accounts.user_tokens

    @property
    def deposits(self) -> tuple[Pubkey, ...]:
        """The wallet's volume accumulator."""
        return (self._accounts.volume_accumulator,)

    @property
    def topped_up(self) -> tuple[Pubkey, ...]:
        """The creator's vault."""
        return (self._accounts.creator_vault,)

    def for_wallet(self, user: Pubkey) -> "PumpfunMarket":
        """Return the same coin for another wallet (two derivations more)."""
        accounts = msgspec.structs.replace(
            self._accounts,
            user=user,
            volume_accumulator=user_volume_accumulator_address(user),
            user_tokens=associated_token_address(user, self.pool.mint, self.pool.token_program),
        )
        return self._with(self._terms, accounts, self._settings)

    def fitting(self, state: PoolState) -> "PumpfunMarket":
        """Return this market while it fits; else with the curve's creator, its fee and the receivers of now.

        *Hot path* (less than 1 us while it fits; one derivation when the creator has changed).
        """
        settings = self._newest()
        terms = self._terms if state.terms is None else state.terms
        if settings is self._settings and terms == self._terms:
            return self
        accounts = self._accounts
        if terms.creator != self._terms.creator:
            accounts = msgspec.structs.replace(accounts, creator_vault=creator_vault_address(terms.creator))
        if settings is not self._settings:
            accounts = self._paying(accounts, settings.program)
        return self._with(terms, accounts, settings)

    def decode_state(self, data: bytes) -> PoolState:
        """Decode the curve account. Raises MalformedError."""
        curve = decode_curve(data)
        terms = PoolTerms(creator=curve.creator, creator_fee_bps=curve.creator_fee_bps)
        return PoolState(reserves=curve.reserves, is_complete=curve.is_complete, terms=terms)

    def tokens_for_budget(self, reserves: Reserves, budget: Lamports) -> TokenAmount:
        """Return the most tokens whose cost, fees included, is at most `budget`; 0 when none."""
        return tokens_for_budget(reserves, budget, self._rates(reserves))

    def quote_buy(self, reserves: Reserves, tokens: TokenAmount) -> BuyQuote | None:
        """Return what a buy costs, or None when the curve has fewer tokens left."""
        return quote_buy(reserves, tokens, self._rates(reserves))

    def quote_sell(self, reserves: Reserves, tokens: TokenAmount) -> SellQuote | None:
        """Return what a sell brings, or None when the curve cannot pay it."""
        return quote_sell(reserves, tokens, self._rates(reserves))

    def buy(self, tokens: TokenAmount, max_cost: Lamports) -> list[Instruction]:
        """Build the creation of the token account and a legacy buy of exactly `tokens`."""
        return [create_associated_token_account(self._accounts), buy(self._accounts, tokens, max_cost)]

    def sell(self, tokens: TokenAmount, min_out: Lamports, *, closes_account: bool) -> list[Instruction]:
        """Build a legacy sell, and the closing of the emptied token account."""
        accounts = self._accounts
        instructions = [sell(accounts, tokens, min_out)]
        if closes_account:
            instructions.append(close_token_account(accounts.user_tokens, accounts.user, accounts.token_program))
        return instructions

    def is_slippage(self, err: object) -> bool:
        """Whether the price had moved beyond the trade's limit."""
        code = custom_code(err)
        return code is not None and is_slippage_error(code)

    def explain(self, err: object) -> str:
        """Return the program's name for an error."""
        code = custom_code(err)
        if code is None or code < _FIRST_PROGRAM_CODE:
            return describe(err)
        return error_name(code)

    def _rates(self, reserves: Reserves) -> FeeRates:
        pool, terms = self.pool, self._terms
        return fee_rates(
            self._settings.fees,
            reserves,
            pool.token_supply,
            creator_fee_bps=terms.creator_fee_bps,
            has_creator=terms.creator is not None,
            quote_mint=pool.quote_mint,
        )

    def _paying(self, accounts: TradeAccounts, settings: Global) -> TradeAccounts:
        """Return the accounts with receivers the settings name. Where they name none, no others can be better."""
        is_mayhem = self.pool.is_mayhem
        if not has_fee_recipients(settings, is_mayhem=is_mayhem):
            return accounts
        fee_recipient, buyback_recipient = fee_recipients(settings, is_mayhem=is_mayhem, choice=self._choice)
        return msgspec.structs.replace(accounts, fee_recipient=fee_recipient, buyback_recipient=buyback_recipient)

    def _with(self, terms: PoolTerms, accounts: TradeAccounts, settings: PumpfunSettings) -> "PumpfunMarket":
        return PumpfunMarket(self.pool, terms, accounts, settings, newest=self._newest, choice=self._choice)


class PumpfunTrader:
    """pump.fun for one wallet.

    Args:
        wallet: Whose trades.
    """

    def __init__(self, wallet: Pubkey) -> None:
        self._wallet = wallet_accounts(wallet)
        self._settings: PumpfunSettings | None = None
        self._choice = 0

    @property
    def config_accounts(self) -> tuple[Pubkey, ...]:
        """Global and the fee schedule."""
        return GLOBAL, FEE_CONFIG

    def configure(self, accounts: Sequence[bytes | None]) -> None:
        """Take the data of Global and the fee schedule. Raises MalformedError, and then nothing has changed."""
        settings, fees = accounts
        if settings is None or fees is None:
            raise MalformedError("pump.fun's Global or FeeConfig account is missing on this cluster")
        found = PumpfunSettings(program=decode_global(settings), fees=decode_fee_config(fees))
        if not has_fee_recipients(found.program, is_mayhem=False):
            raise MalformedError("pump.fun's Global account names no receiver of its fees")
        if found != self._settings:  # the same once more would make every market a new one
            self._settings = found

    def market(self, pool: NewPool) -> PumpfunMarket:
        """Return the market of a coin; each takes the next fee receivers, so that trades do not all lock one."""
        settings = self._newest()
        self._choice += 1
        fee_recipient, buyback_recipient = fee_recipients(
            settings.program, is_mayhem=pool.is_mayhem, choice=self._choice
        )
        accounts = trade_accounts(
            self._wallet,
            mint=pool.mint,
            creator=pool.creator,
            fee_recipient=fee_recipient,
            buyback_recipient=buyback_recipient,
            token_program=pool.token_program,
            curve=pool.pool,
            is_cashback=pool.is_cashback,
        )
        terms = PoolTerms(creator=pool.creator, creator_fee_bps=pool.creator_fee_bps)
        return PumpfunMarket(pool, terms, accounts, settings, newest=self._newest, choice=self._choice)

    def _newest(self) -> PumpfunSettings:
        assert self._settings is not None, "configure comes first"
        return self._settings
