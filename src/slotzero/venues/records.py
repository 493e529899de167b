"""What every venue says in the same words: a new pool, its reserves, a quote."""

from typing import Literal

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.units import Lamports, MonoNs, Slot, TokenAmount

__all__ = ["BuyQuote", "FeeRates", "NewPool", "PoolTerms", "Reserves", "SellQuote"]


class Reserves(Struct, frozen=True, kw_only=True):
    """The state a quote is computed from, in smallest units.

    Virtual reserves price a trade; real reserves bound it (`real_token` is what is left to buy).
    """

    virtual_token: int
    virtual_quote: int
    real_token: int
    real_quote: int


class PoolTerms(Struct, frozen=True, kw_only=True):
    """What a pool's trades depend on beside its reserves; it can change for as long as the pool lives.

    Attributes:
        creator: Who receives the creator fee; None = nobody, and none is charged.
        creator_fee_bps: The rate the creator configured; 0 means the venue's own schedule.
    """

    creator: Pubkey | None
    creator_fee_bps: int


class FeeRates(Struct, frozen=True, kw_only=True):
    """The fees of a trade in basis points of its cost; each is rounded up on its own."""

    protocol_bps: int
    creator_bps: int


class BuyQuote(Struct, frozen=True, kw_only=True):
    """What a buy costs: `total` = `cost` + both fees, in the quote's smallest unit."""

    tokens: TokenAmount
    cost: Lamports
    protocol_fee: Lamports
    creator_fee: Lamports
    total: Lamports


class SellQuote(Struct, frozen=True, kw_only=True):
    """What a sell brings: `net` = `out` - both fees, in the quote's smallest unit; never below 0."""

    tokens: TokenAmount
    out: Lamports
    protocol_fee: Lamports
    creator_fee: Lamports
    net: Lamports


class NewPool(Struct, frozen=True, kw_only=True):
    """A pool that has just come into being, decoded from the transaction that created it.

    Attributes:
        venue: The venue's name in the registry, for example "pumpfun".
        pool: The account that holds the pool's state (pump.fun: the bonding curve).
        creator: Who receives the creator fee.
        user: Who signed the creation.
        quote_mint: What the pool is priced in; None means SOL itself.
        reserves: After everything the creating transaction did, the creator's own buy included.
        creator_bought: Tokens bought in the creating transaction, in smallest units.
        creator_fee_bps: The rate the creator configured; 0 means the venue's own schedule.
        mono_cause: When the chain executed the creation, if the feed says so (the embedded chain does).
        mono_frame: When our feed read the frame.
        starts_at: Which of the two a latency of this pool starts at.
    """

    venue: str
    mint: Pubkey
    pool: Pubkey
    creator: Pubkey
    user: Pubkey
    name: str
    symbol: str
    uri: str
    token_program: Pubkey
    quote_mint: Pubkey | None
    reserves: Reserves
    token_supply: TokenAmount
    creator_bought: TokenAmount
    creator_fee_bps: int
    is_mayhem: bool
    is_cashback: bool
    is_holder_reward: bool
    signature: str
    slot: Slot
    mono_cause: MonoNs | None
    mono_frame: MonoNs
    starts_at: Literal["chain", "frame"]
