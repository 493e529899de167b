"""The newest price of every pool that is followed, and how old it is. A pure machine: frames in, prices out.

**Silence.** An account that does not change sends nothing, so a price is not as old as its last change: it is vouched
for up to the instant the stream was last heard, if the stream has told of this pool without a break. *Heard* is a beat
of the same connection (the slots it tells of); *without a break* means that the pool's last state came on the
connection of now. What was seeded from a creation, or read beside the stream, ages from its own instant.

**Order.** One stream tells of a pool in order and takes a fork back by telling the older state again, so what it tells
always counts. A read beside it counts only when it is not older than what is known.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import elapsed_ns, ms
from slotzero.units import Lamports, MonoNs, Slot, TokenAmount
from slotzero.venues.market import PoolState
from slotzero.venues.records import Reserves

__all__ = ["MAX_FOLLOWED", "Price", "PriceBoard"]

MAX_FOLLOWED: Final = 10_000
"""Pools followed at once; beyond it a further one is refused and counted."""


class Price(Struct, frozen=True, kw_only=True):
    """What a pool asks for its token at the margin, in smallest units and without fees.

    One unit of the token costs `quote` / `token` units of the quote, exactly.

    Attributes:
        quote: The fraction's numerator: the virtual quote reserve.
        token: Its denominator, never 0: the virtual token reserve.
        market_cap: The whole supply at that price, rounded down, in the quote's smallest unit.
        liquidity: What sellers can take out at most: the real quote reserve.
        is_complete: Nothing trades here any more.
        slot: Of the state; 0 where the creation did not say.
        mono: When our side learned of the state.
    """

    mint: Pubkey
    pool: Pubkey
    quote: int
    token: int
    market_cap: int
    liquidity: Lamports
    is_complete: bool
    slot: Slot
    mono: MonoNs

    def value_of(self, tokens: int) -> int:
        """Return what `tokens` are worth at this price, rounded down; a sale brings less (fees, slippage). *Pure.*"""
        return tokens * self.quote // self.token


class _Followed:
    __slots__ = ("connection", "followers", "mint", "price", "supply")

    def __init__(self, mint: Pubkey, supply: TokenAmount) -> None:
        self.mint = mint
        self.supply = supply
        self.followers = 1
        self.price: Price | None = None
        self.connection: int | None = None
        """The connection whose stream told the price; None = not a stream."""


class PriceBoard:
    """Prices by pool. Synchronous, without a clock of its own.

    Args:
        on_price: Called with each new price. Must not raise and must not block.
        max_followed: Pools at once.
    """

    def __init__(self, on_price: Callable[[Price], None], *, max_followed: int = MAX_FOLLOWED) -> None:
        self._on_price = on_price
        self._max_followed = max_followed
        self._followed: dict[Pubkey, _Followed] = {}
        self._heard_at = MonoNs(0)
        self._heard_on: int | None = None
        self.refused = 0
        """Pools that were not followed because too many were."""
        self.unpriced = 0
        """States without a price: an empty pool, or one nobody follows any more."""

    def __len__(self) -> int:
        """How many pools are followed."""
        return len(self._followed)

    def follow(self, pool: Pubkey, mint: Pubkey, supply: TokenAmount) -> bool:
        """Begin to follow a pool, or do so once more. Returns whether there was room."""
        known = self._followed.get(pool)
        if known is not None:
            known.followers += 1
            return True
        if len(self._followed) >= self._max_followed:
            self.refused += 1
            return False
        self._followed[pool] = _Followed(mint, supply)
        return True

    def unfollow(self, pool: Pubkey) -> bool:
        """Take a `follow` back. Returns whether that was the last one."""
        known = self._followed[pool]
        known.followers -= 1
        if known.followers:
            return False
        del self._followed[pool]
        return True

    def on_stream(self, pool: Pubkey, state: PoolState, slot: Slot, now: MonoNs, connection: int) -> Price | None:
        """Take a state that a stream tells. *Hot path.*

        Args:
            pool: Whose.
            state: Its new state.
            slot: Of the state.
            now: When the frame was read.
            connection: Which connection told it.

        Returns:
            What was published, or None for a pool that has no price or is not followed.
        """
        known = self._followed.get(pool)
        if known is None:
            self.unpriced += 1
            return None
        known.connection = connection
        return self._publish(pool, known, state.reserves, is_complete=state.is_complete, slot=slot, now=now)

    def on_read(
        self, pool: Pubkey, state: PoolState, slot: Slot, begun: MonoNs, connection: int | None = None
    ) -> Price | None:
        """Take a state that was read beside the stream, unless something newer is known.

        Args:
            pool: Whose.
            state: As it was read.
            slot: Of the state.
            begun: When the read was begun: the state may be that old.
            connection: The connection that has told of the pool since before the read; None = none has.

        Returns:
            What was published, or None.
        """
        known = self._followed.get(pool)
        if known is None or (known.price is not None and known.price.slot > slot):
            return None
        known.connection = connection
        return self._publish(pool, known, state.reserves, is_complete=state.is_complete, slot=slot, now=begun)

    def on_unreadable(self, pool: Pubkey) -> None:
        """Forget a price: the pool has changed, and it is not known to what."""
        known = self._followed.get(pool)
        if known is not None:
            known.price = known.connection = None

    def on_beat(self, now: MonoNs, connection: int) -> None:
        """Take note that the stream was heard: what it has not told of has not changed. *Hot path.*"""
        self._heard_at = now
        self._heard_on = connection

    def newest(self, pool: Pubkey, now: MonoNs, max_age_ms: int) -> Price | None:
        """Return the price of `pool`, or None when it is not known to be younger than `max_age_ms`. *Hot path.*"""
        known = self._followed.get(pool)
        if known is None or known.price is None:
            return None
        vouched = known.price.mono
        if known.connection is not None and known.connection == self._heard_on and self._heard_at > vouched:
            vouched = self._heard_at
        return known.price if elapsed_ns(vouched, now) <= ms(max_age_ms) else None

    def _publish(
        self, pool: Pubkey, known: _Followed, reserves: Reserves, *, is_complete: bool, slot: Slot, now: MonoNs
    ) -> Price | None:
        if reserves.virtual_token <= 0:
            known.price = None
            self.unpriced += 1
            return None
        price = known.price = Price(
            mint=known.mint,
            pool=pool,
            quote=reserves.virtual_quote,
            token=reserves.virtual_token,
            market_cap=reserves.virtual_quote * known.supply // reserves.virtual_token,
            liquidity=Lamports(reserves.real_quote),
            is_complete=is_complete,
            slot=slot,
            mono=now,
        )
        self._on_price(price)
        return price
