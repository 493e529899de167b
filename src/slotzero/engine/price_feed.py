"""What strangers' transactions paid, on the way from a Geyser stream to the fee policy."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.trading.fee_policy import FeeMarket
from slotzero.venues.registry import Venue

if TYPE_CHECKING:
    from slotzero.detection.landed_prices import LandedPrice

__all__ = ["PriceFeed"]


class PriceFeed:
    """Takes a stream's updates and tells the market what landed on the venues.

    Args:
        market: What is told.
        venues: Which venues' transactions count.
        ours: Our wallets: what they paid is left out (see `fee_policy.prices`).
        read: `landed_prices.read_landed_price`; handed in, because protobuf is a load others need not carry.
    """

    def __init__(
        self,
        market: FeeMarket,
        *,
        venues: Sequence[Venue],
        ours: Collection[Pubkey],
        read: "Callable[[bytes], LandedPrice | None]",
    ) -> None:
        self._market = market
        self._venues = tuple((venue.name, bytes(venue.program)) for venue in venues)
        self._ours = frozenset(bytes(wallet) for wallet in ours)
        self._read = read
        self.malformed = 0
        """Updates that could not be read."""

    def on_update(self, update: bytes) -> None:
        """Take one message of the stream; the detector takes it first: nothing waits for this."""
        try:
            landed = self._read(update)
        except MalformedError:
            self.malformed += 1
            return
        if landed is None or landed.payer in self._ours:
            return
        for name, program in self._venues:
            if program in landed.accounts:
                self._market.on_transaction(name, landed.slot, landed.price, landed.written)
