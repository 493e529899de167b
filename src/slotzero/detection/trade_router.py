"""The trades of the few pools somebody holds, picked out of a feed of all trades.

A frame is searched for the venue's trade event; the event's first 52 characters of base64 are its discriminator and all
but the last byte of the mint, whatever follows, so one slice and one look-up in a table say whether anybody follows
that mint. Only then is the frame decoded and its emitter checked, as `decode_trades` does.
"""

import binascii
import logging
from collections.abc import Callable, Sequence
from typing import Final

from solders.pubkey import Pubkey

from slotzero.detection.frames import DATA_PREFIX
from slotzero.detection.records import PoolTrade
from slotzero.detection.trades import decode_trades
from slotzero.errors import MalformedError
from slotzero.units import MonoNs
from slotzero.venues.registry import Venue

__all__ = ["TradeRouter"]

log = logging.getLogger(__name__)

_NEEDLE_CHARS: Final = 52  # 39 whole bytes: eight of the discriminator, 31 of the mint
_NEEDLE_BYTES: Final = 39
_MARKER_CHARS: Final = 10

Handler = Callable[[PoolTrade], None]


class TradeRouter:
    """Hands each trade of a followed mint to who follows it.

    Args:
        venues: Whose trades; their trade events begin with the mint.
    """

    def __init__(self, venues: Sequence[Venue]) -> None:
        self._venues = tuple(
            (venue, DATA_PREFIX + _base64(venue.trade_event)[:_MARKER_CHARS], venue.trade_event) for venue in venues
        )
        self._followed: dict[bytes, dict[Pubkey, Handler]] = {}
        self.malformed = 0
        """Frames with a followed trade that could not be read."""

    def follow(self, venue: str, mint: Pubkey, handler: Handler) -> Callable[[], None]:
        """Call `handler` with each trade of `mint` from now on. Returns what ends that; safe to call twice."""
        (event,) = (event for known, _, event in self._venues if known.name == venue)
        needle = _base64((event + bytes(mint))[:_NEEDLE_BYTES])
        followed = self._followed.setdefault(needle, {})
        followed[mint] = handler

        def leave() -> None:
            followed.pop(mint, None)
            if not followed:
                self._followed.pop(needle, None)

        return leave

    def on_frame(self, frame: bytes, mono_frame: MonoNs) -> None:
        """Take a message of a log subscription. *Hot path* (about 1 us for a frame nobody waits for)."""
        if not self._followed:
            return
        for venue, prefix, _ in self._venues:
            at = frame.find(prefix)
            while at >= 0:
                begin = at + len(DATA_PREFIX)
                if frame[begin : begin + _NEEDLE_CHARS] in self._followed:
                    self._deliver(frame, venue, mono_frame)
                    break
                at = frame.find(prefix, begin)

    def _deliver(self, frame: bytes, venue: Venue, mono_frame: MonoNs) -> None:
        try:
            trades = decode_trades(frame, venue, mono_frame)
        except MalformedError as error:
            self.malformed += 1
            log.warning("a trade of a coin we hold cannot be read: %s", error)
            return
        for trade in trades:
            needle = _base64((venue.trade_event + bytes(trade.mint))[:_NEEDLE_BYTES])
            if (handler := self._followed.get(needle, {}).get(trade.mint)) is not None:
                handler(trade)


def _base64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False)
