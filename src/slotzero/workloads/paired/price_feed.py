"""PRICE_FEED: the frame of a pool's account, its price handed to a function and a queue."""

from collections.abc import Callable
from itertools import cycle

from slotzero.clock import SystemClock
from slotzero.market.price_board import Price
from slotzero.market.price_feed import PriceFeed
from slotzero.units import Lamports, MonoNs

from .scene import account_frame, coins, market
from .tap import Tap

__all__ = ["build"]


def build() -> Callable[[], object]:
    """Publish the price of one pool again and again."""
    tap, seen = Tap(), [0]
    feed = PriceFeed(tap, clock=SystemClock())

    def on_price(_price: Price) -> None:
        seen[0] += 1

    feed.listen(on_price)
    feed.subscribe()
    assert feed.follow(market()) is not None
    handler, now = tap.handlers["accountSubscribe"], MonoNs(1_000_000)
    frames = cycle([account_frame(coins()[0], bought=Lamports(10**6 * n), slot=10 + n) for n in range(1, 33)])
    following = frames.__next__
    before = seen[0]
    handler(following(), now)
    assert seen[0] == before + 1
    return lambda: handler(following(), now)
