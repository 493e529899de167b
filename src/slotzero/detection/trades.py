"""The trades a log notification tells of, for whoever follows prices."""

import binascii

from slotzero.detection.frames import DATA_PREFIX, read_notification
from slotzero.detection.records import PoolTrade
from slotzero.errors import MalformedError
from slotzero.solana.logs import walk
from slotzero.units import MonoNs
from slotzero.venues.registry import Venue

__all__ = ["decode_trades"]


def decode_trades(frame: bytes, venue: Venue, mono_frame: MonoNs) -> list[PoolTrade]:
    """Return the trades of a venue in a notification, in order; none when the transaction failed. *Pure.*

    A log that was cut gives the trades before the cut: reserves are absolute, so a trade that is missing is made good
    by the next one. Not for counting volume, for that reason.

    Args:
        frame: One message of a log subscription.
        venue: Whose trades; only what its own program emitted counts.
        mono_frame: When the frame was read.

    Raises:
        MalformedError: The frame is no log notification, its log is inconsistent, or a trade cannot be read.
    """
    if DATA_PREFIX not in frame:
        return []
    notification = read_notification(frame)
    if notification.is_failed:
        return []
    log = walk(notification.lines)
    if log.problem is not None:
        raise MalformedError(f"the log of {notification.signature} is inconsistent: {log.problem}")
    program = str(venue.program)
    trades = []
    for data in log.data:
        if data.program != program:
            continue
        try:
            payload = binascii.a2b_base64(data.text, strict_mode=True)
        except (binascii.Error, ValueError) as error:
            raise MalformedError(f"an event in {notification.signature} is no base64: {error}") from error
        if not payload.startswith(venue.trade_event):
            continue
        trade = venue.decode_trade(payload)
        trades.append(
            PoolTrade(
                venue=venue.name,
                mint=trade.mint,
                user=trade.user,
                is_buy=trade.is_buy,
                tokens=trade.tokens,
                quote_amount=trade.quote_amount,
                reserves=trade.reserves,
                signature=notification.signature,
                slot=notification.slot,
                mono_cause=notification.mono_cause,
                mono_frame=mono_frame,
            )
        )
    return trades
