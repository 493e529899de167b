"""What trading asks of a venue: one `Market` for each pool and wallet, the same words for every venue.

A market is pure: it quotes from reserves it is given and builds instructions. Everything it needs of the network (the
venue's settings and fee schedule) is handed to its `Trader` by whoever keeps that warm. It never changes; where the
pool's terms or the venue's settings have, `Market.fitting` returns the market that takes its place.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from slotzero.units import Lamports, TokenAmount
from slotzero.venues.records import BuyQuote, NewPool, PoolTerms, Reserves, SellQuote

__all__ = ["Market", "PoolState", "Trader"]


class PoolState(Struct, frozen=True, kw_only=True):
    """A pool as its account says now.

    Attributes:
        is_complete: Nothing trades here any more: its liquidity moves to another venue.
        terms: What else a trade depends on; None = whoever made this state has not read them.
    """

    reserves: Reserves
    is_complete: bool
    terms: PoolTerms | None = None


class Market(Protocol):
    """One wallet's trades in one pool. *Pure.*"""

    @property
    def pool(self) -> NewPool:
        """The pool as it was created."""
        ...

    @property
    def state_account(self) -> Pubkey:
        """The account that holds the pool's state; watch it to know the price."""
        ...

    @property
    def user_tokens(self) -> Pubkey:
        """The wallet's token account for the pool's mint."""
        ...

    @property
    def deposits(self) -> tuple[Pubkey, ...]:
        """Accounts a first trade opens for the wallet beside its token account: their rent is a deposit, no cost."""
        ...

    @property
    def topped_up(self) -> tuple[Pubkey, ...]:
        """Accounts of others that a trade fills up to their rent if they are empty, at the trader's expense."""
        ...

    def for_wallet(self, user: Pubkey) -> "Market":
        """Return the same pool for another wallet."""
        ...

    def fitting(self, state: PoolState) -> "Market":
        """Return the market whose trades and quotes hold for `state` and for the venue's newest settings.

        That is this one for as long as neither the pool's terms nor the settings have changed: ask whether it is the
        same object to learn whether something signed before still holds. Whoever keeps a market asks with each new
        state; a trade of terms that are no more fails. It reads its trader's settings and changes nothing. *Hot path.*
        """
        ...

    def decode_state(self, data: bytes) -> PoolState:
        """Decode the state account. Raises MalformedError."""
        ...

    def tokens_for_budget(self, reserves: Reserves, budget: Lamports) -> TokenAmount:
        """Return the most tokens whose cost, venue fees included, is at most `budget`; 0 when none."""
        ...

    def quote_buy(self, reserves: Reserves, tokens: TokenAmount) -> BuyQuote | None:
        """Return what a buy costs, or None when the pool cannot serve it."""
        ...

    def quote_sell(self, reserves: Reserves, tokens: TokenAmount) -> SellQuote | None:
        """Return what a sell brings, or None when the pool cannot serve it."""
        ...

    def buy(self, tokens: TokenAmount, max_cost: Lamports) -> list[Instruction]:
        """Build a buy of exactly `tokens` for at most `max_cost`, the wallet's token account included."""
        ...

    def sell(self, tokens: TokenAmount, min_out: Lamports, *, closes_account: bool) -> list[Instruction]:
        """Build a sell; `closes_account` takes the rent of the emptied token account back."""
        ...

    def is_slippage(self, err: object) -> bool:
        """Whether a transaction's error says that the price had moved beyond its limit."""
        ...

    def explain(self, err: object) -> str:
        """Return a transaction's error in the venue's own words."""
        ...


class Trader(Protocol):
    """One venue for one wallet."""

    @property
    def config_accounts(self) -> tuple[Pubkey, ...]:
        """The accounts that must be kept warm."""
        ...

    def configure(self, accounts: Sequence[bytes | None]) -> None:
        """Take the data of `config_accounts`, in their order. Markets made before take it with their next `fitting`.

        Raises:
            MalformedError: One is missing or is not what it should be; nothing has changed then.
        """
        ...

    def market(self, pool: NewPool) -> Market:
        """Return the market of a pool with the terms of its creation. *Hot path.*

        Where the pool has had time to change its terms, `fitting` with its present state makes it the market of now.
        """
        ...
