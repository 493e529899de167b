"""Prices for any number of subscribers: the stream's side of the price board.

From a frame of a pool's account to the subscribers everything is one synchronous call: decode, price, hand on.
A subscriber is a function called at once (for what must not wait), or a queue that holds the newest price of each pool
(for what may be slow): whoever cannot keep up misses prices that are no longer true, and both are counted.

::

    feed = PriceFeed(pubsub, clock=clock)
    following = feed.follow(market)             # subscribes to the pool's account; None when too many are followed
    feed.newest(market.state_account, 500)      # None rather than a price older than half a second
    queue = feed.subscribe()
    price = await queue.get()
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock
from slotzero.errors import MalformedError
from slotzero.market.price_board import MAX_FOLLOWED, Price, PriceBoard
from slotzero.solana.account_watch import AccountUpdate, watch_account
from slotzero.solana.pubsub import PubSub, Subscription
from slotzero.solana.rpc import Rpc
from slotzero.units import MonoNs
from slotzero.venues.market import Market, PoolState

__all__ = ["Following", "PriceFeed", "PriceFeedStats", "PriceQueue", "PriceQueueStats"]

log = logging.getLogger(__name__)

_MAX_PENDING: Final = 1_024
_COMMITMENT: Final = "processed"


class PriceQueueStats(Struct, frozen=True, kw_only=True):
    """How a subscriber keeps up.

    Attributes:
        pending: Prices that wait for it now.
        taken: Prices it has got.
        conflated: Prices replaced by a newer one of the same pool before they were taken.
        dropped: Prices thrown away because too many pools were waiting: the one that has waited longest goes.
    """

    pending: int
    taken: int
    conflated: int
    dropped: int


class PriceQueue:
    """One subscriber's prices: at most one for each pool, the newest; the pool that has waited longest comes first.

    For one consumer. Made by `PriceFeed.subscribe`.
    """

    def __init__(self, on_close: Callable[["PriceQueue"], None], *, pool: Pubkey | None, max_pending: int) -> None:
        if max_pending < 1:
            raise ValueError(f"a queue holds at least one price, got {max_pending}")
        self._on_close = on_close
        self._pool = pool
        self._max_pending = max_pending
        self._pending: OrderedDict[Pubkey, Price] = OrderedDict()
        self._waiter: asyncio.Future[None] | None = None
        self._taken = self._conflated = self._dropped = 0

    def stats(self) -> PriceQueueStats:
        """Return how the subscriber keeps up."""
        return PriceQueueStats(
            pending=len(self._pending), taken=self._taken, conflated=self._conflated, dropped=self._dropped
        )

    def get_nowait(self) -> Price | None:
        """Return the next price, or None when none waits."""
        if not self._pending:
            return None
        self._taken += 1
        return self._pending.popitem(last=False)[1]

    async def get(self) -> Price:
        """Return the next price, as soon as there is one. *Cancellation: safe, loses no price.*"""
        while (price := self.get_nowait()) is None:
            assert self._waiter is None, "a queue has one consumer"
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return price

    def close(self) -> None:
        """End the subscription. Safe to call twice."""
        self._on_close(self)
        self._pending.clear()

    def put(self, price: Price) -> None:
        """Take a price in; the feed's side. *Hot path.*"""
        if self._pool is not None and price.pool != self._pool:
            return
        pending = self._pending
        if price.pool in pending:
            self._conflated += 1
        elif len(pending) >= self._max_pending:
            pending.popitem(last=False)
            self._dropped += 1
        pending[price.pool] = price
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class PriceFeedStats(Struct, frozen=True, kw_only=True):
    """What a feed has done so far.

    Attributes:
        followed: Pools followed now.
        published: Prices handed on.
        malformed: Frames that hold no state of their pool.
        refused: Pools not followed because too many were.
        subscribers: Functions and queues.
    """

    followed: int
    published: int
    malformed: int
    refused: int
    subscribers: int


class Following:
    """Somebody's interest in a pool's price; ends with `cancel`."""

    __slots__ = ("_cancel",)

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel: Callable[[], None] | None = cancel

    def cancel(self) -> None:
        """End it. Safe to call twice."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()


class _Stream(Struct):
    """The subscription to one pool's account, and how to read it."""

    decode: Callable[[bytes], PoolState]
    subscription: Subscription | None = None


class PriceFeed:
    """The prices of pools that somebody follows. Its frames come through `pubsub`.

    Args:
        pubsub: The stream; its slots are the beat that vouches for silence.
        clock: For `newest`.
        max_followed: Pools at once; each is one subscription.
    """

    def __init__(self, pubsub: PubSub, *, clock: Clock, max_followed: int = MAX_FOLLOWED) -> None:
        self._pubsub = pubsub
        self._clock = clock
        self._board = PriceBoard(self._publish, max_followed=max_followed)
        self._streams: dict[Pubkey, _Stream] = {}
        self._handlers: list[Callable[[Price], None]] = []
        self._queues: list[PriceQueue] = []
        self._published = self._malformed = 0
        self._beats = pubsub.subscribe("slotSubscribe", [], self._on_slot)

    def stats(self) -> PriceFeedStats:
        """Return what the feed has done so far."""
        return PriceFeedStats(
            followed=len(self._board),
            published=self._published,
            malformed=self._malformed,
            refused=self._board.refused,
            subscribers=len(self._handlers) + len(self._queues),
        )

    # ---- what is followed ------------------------------------------------------------------------------------------

    def follow(self, market: Market) -> Following | None:
        """Follow a pool; its price is that of its creation until the stream tells another. *Hot path.*

        A second follower of a pool costs no second subscription.

        Returns:
            What ends it, or None when too many pools are followed.
        """
        pool, key = market.pool, market.state_account
        if not self._board.follow(key, pool.mint, pool.token_supply):
            return None
        if key not in self._streams:
            stream = self._streams[key] = _Stream(market.decode_state)
            stream.subscription = watch_account(
                self._pubsub, key, _COMMITMENT, lambda update, now: self._on_update(key, stream, update, now)
            )
            self._board.on_read(key, PoolState(reserves=pool.reserves, is_complete=False), pool.slot, pool.mono_frame)
        return Following(lambda: self._unfollow(key))

    async def refresh(self, rpc: Rpc, pool: Pubkey) -> Price | None:
        """Read a followed pool beside the stream: one call. For a pool of which the stream has not told yet.

        *Does I/O.* *Cancellation: safe.*

        Raises:
            EndpointError: The read failed.
            MalformedError: The account holds no state.
        """
        stream = self._streams.get(pool)
        if stream is None:
            return None
        begun = self._clock.mono_ns()
        connection = self._told_on(stream)
        answer = await rpc.accounts_at([pool], _COMMITMENT)
        (account,) = answer.value
        if account is None:
            return None
        state = stream.decode(account.data)
        still = connection if connection == self._told_on(stream) else None
        return self._board.on_read(pool, state, answer.slot, begun, still)

    def newest(self, pool: Pubkey, max_age_ms: int) -> Price | None:
        """Return the price of `pool` (its state account), or None when it may be older than that. *Hot path.*"""
        return self._board.newest(pool, self._clock.mono_ns(), max_age_ms)

    # ---- who listens -----------------------------------------------------------------------------------------------

    def listen(self, handler: Callable[[Price], None]) -> Following:
        """Call `handler` with each price, at once. It must not raise and must not block."""
        self._handlers.append(handler)
        return Following(lambda: self._handlers.remove(handler))

    def subscribe(self, *, pool: Pubkey | None = None, max_pending: int = _MAX_PENDING) -> PriceQueue:
        """Return a queue of prices: of all pools, or of one.

        Args:
            pool: Its state account; None = all that are followed.
            max_pending: Prices that wait at most, each of another pool.
        """
        queue = PriceQueue(self._close, pool=pool, max_pending=max_pending)
        self._queues.append(queue)
        return queue

    def close(self) -> None:
        """End every subscription of the feed."""
        self._beats.cancel()
        for stream in self._streams.values():
            if stream.subscription is not None:
                stream.subscription.cancel()
        self._streams.clear()

    # ---- the stream ------------------------------------------------------------------------------------------------

    def _on_update(self, key: Pubkey, stream: _Stream, update: AccountUpdate, now: MonoNs) -> None:
        try:
            state = stream.decode(update.data)
        except MalformedError as error:
            self._malformed += 1
            self._board.on_unreadable(key)
            log.warning("the state of pool %s cannot be read: %s", key, error)
            return
        self._board.on_stream(key, state, update.slot, now, self._connection)

    def _on_slot(self, _frame: bytes, now: MonoNs) -> None:
        self._board.on_beat(now, self._connection)

    def _publish(self, price: Price) -> None:
        self._published += 1
        for handler in tuple(self._handlers):  # one may end its own subscription
            handler(price)
        for queue in self._queues:
            queue.put(price)

    @property
    def _connection(self) -> int:
        return self._pubsub.stats().connects

    def _told_on(self, stream: _Stream) -> int | None:
        """Return the connection that tells of a pool now: one that has accepted its subscription."""
        subscription = stream.subscription
        return self._connection if subscription is not None and subscription.number is not None else None

    def _unfollow(self, key: Pubkey) -> None:
        if key in self._streams and self._board.unfollow(key):
            stream = self._streams.pop(key)
            if stream.subscription is not None:
                stream.subscription.cancel()

    def _close(self, queue: PriceQueue) -> None:
        if queue in self._queues:
            self._queues.remove(queue)
