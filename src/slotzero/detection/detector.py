"""The detector: a frame goes in, new pools come out. A machine without I/O, clock or await.

What makes an event count: the transaction succeeded, its log was not cut, and the program on top of the stack when
the event was emitted was the venue's own. The pool's address is taken from the event as it is: the venue's program
wrote it, and it refuses a trade that names another account. Deriving it again costs 5-9 us, so only replay does
(`verifies_pools`).

A frame that holds no creation is left after one search for bytes. A frame that does is read without decoding its
lines, see `frames.read_envelope` and `logs.is_surely_emitted_by`; where their conditions do not hold, the whole frame
is decoded and walked. Both ways give the same pools and the same reasons, except that only the walk can tell an
inconsistent log.
"""

import binascii
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from slotzero.detection.frames import DATA_PREFIX, TRUNCATED_LINE, Notification, read_envelope, read_notification
from slotzero.detection.records import DetectorStats, DropReason
from slotzero.errors import MalformedError
from slotzero.solana.logs import EVENT_TAG, TRUNCATED, InnerCall, event_calls, is_surely_emitted_by, walk
from slotzero.units import MonoNs, TokenAmount
from slotzero.venues.records import NewPool, Reserves
from slotzero.venues.registry import Creation, Venue

if TYPE_CHECKING:
    from solders.pubkey import Pubkey

__all__ = ["MAX_FRAME_BYTES", "Detector", "ReadUpdate"]

ReadUpdate = Callable[[bytes], tuple[Notification, Callable[[], Sequence[InnerCall] | None]] | None]
"""Reads a Geyser update: what a log notification would say, and the way to its instructions; None for other news."""

MAX_FRAME_BYTES: Final = 1_000_000
"""A log notification holds at most some 20 kB; whatever is larger is no business of ours."""

_LINES_EDGE: Final = '","'
_MARKER_BYTES: Final = 10  # whole base64 characters of an eight-byte discriminator
_CUT_LOG_BYTES: Final = 8_192  # a frame without a creation is searched for a cut log from this size on; limit is 10,000


class _Watched:
    """A venue with what is compared for every frame, in the form it is compared in."""

    __slots__ = (
        "call_needle",
        "creation",
        "event_authority",
        "line_needle",
        "needle",
        "program",
        "program_line",
        "text_needle",
        "trade",
        "venue",
    )

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.program = str(venue.program)
        self.program_line = b'"Program ' + self.program.encode()
        self.event_authority = str(venue.event_authority)
        self.creation = _marker(venue.creation_event)
        self.trade = _marker(venue.trade_event)
        # The longer the needle the faster the search: 0.8 us for 3 kB with the prefix, 1.1 us without.
        self.needle = DATA_PREFIX + self.creation
        self.line_needle = self.needle[1:]
        self.text_needle = self.line_needle.decode()
        self.call_needle = EVENT_TAG + venue.creation_event


def _marker(discriminator: bytes) -> bytes:
    """Return how the base64 of an event begins, whatever follows its discriminator: 60 of its 64 bits."""
    return binascii.b2a_base64(discriminator, newline=False)[:_MARKER_BYTES]


class _Draft:
    """A pool while the rest of its transaction is read."""

    __slots__ = ("bought", "creation", "reserves", "venue")

    def __init__(self, venue: Venue, creation: Creation) -> None:
        self.venue = venue
        self.creation = creation
        self.reserves: Reserves = creation.reserves
        self.bought = 0


class Detector:
    """Finds new pools in notifications and transactions.

    Args:
        venues: Which venues' creations count. Each costs one search in every frame: give a feed that is subscribed to
            one program a detector of its own with that one venue.
        remembered: How many pools are remembered to tell duplicates; the oldest is forgotten first.
        verifies_pools: Derive each pool's address from its mint and drop it when the event says another. Not for the
            hot path.
    """

    def __init__(self, venues: Sequence[Venue], *, remembered: int = 8_192, verifies_pools: bool = False) -> None:
        self._watched = tuple(_Watched(venue) for venue in venues)
        self._creation_logs = frozenset(line for venue in venues for line in venue.creation_logs)
        self._remembered = remembered
        self._verifies_pools = verifies_pools
        self._handed_on: OrderedDict[tuple[str, Pubkey], None] = OrderedDict()
        self._frames = 0
        self._prefiltered = 0
        self._pools = 0
        self._dropped: dict[DropReason, int] = {}

    @property
    def stats(self) -> DetectorStats:
        """What has been seen so far."""
        return DetectorStats(
            frames=self._frames,
            prefiltered=self._prefiltered,
            pools=self._pools,
            dropped=dict(self._dropped),
        )

    def on_frame(self, frame: bytes, mono_frame: MonoNs) -> list[NewPool]:
        """Return the pools a notification tells of, usually none. *Hot path.*

        Args:
            frame: One message of a log subscription.
            mono_frame: When it was read.
        """
        self._frames += 1
        if len(frame) > MAX_FRAME_BYTES:
            return self._drop(DropReason.FRAME_TOO_LARGE)
        for watched in self._watched:
            at = frame.find(watched.needle)
            if at >= 0:
                self._prefiltered += 1
                return self._on_candidate(frame, at, mono_frame)
        if len(frame) > _CUT_LOG_BYTES and TRUNCATED_LINE in frame:
            return self._drop(DropReason.TRUNCATED_LOG)
        return []

    def on_update(self, update: bytes, mono_frame: MonoNs, read: ReadUpdate) -> list[NewPool]:
        """Return the pools an update of a Geyser stream tells of, usually none. *Hot path.*

        The log decides, by the rules of a log notification. Where it was cut or is missing, the transaction's
        instructions do, which an update holds in full.

        Args:
            update: One message of the stream.
            mono_frame: When it was read.
            read: `updates.read_update`; handed in, because protobuf is a load others need not carry.
        """
        self._frames += 1
        if len(update) > MAX_FRAME_BYTES:
            return self._drop(DropReason.FRAME_TOO_LARGE)
        # The log's lines stand in the message as they are, and so do the data of calls: nothing is decoded to find out.
        if not any(watched.line_needle in update or watched.call_needle in update for watched in self._watched):
            return []
        self._prefiltered += 1
        try:
            executed = read(update)
            if executed is None:
                return []
            notification, calls = executed
            if not notification.lines or TRUNCATED in notification.lines:
                return self._on_calls(notification, calls(), mono_frame)
        except MalformedError:
            return self._drop(DropReason.MALFORMED_FRAME)
        if notification.is_failed:
            return self._drop(DropReason.FAILED_TRANSACTION)
        return self._on_whole_lines(notification, mono_frame)

    def examine(self, frame: bytes, mono_frame: MonoNs) -> list[NewPool]:
        """Do what `on_frame` does without its shortcuts, so that every drop of every frame is counted.

        Not for the hot path. Besides, a frame in which the venue's program began a creation and no creation can be
        read counts as a malformed event.
        """
        self._frames += 1
        if len(frame) > MAX_FRAME_BYTES:
            return self._drop(DropReason.FRAME_TOO_LARGE)
        self._prefiltered += 1
        return self._on_whole_frame(frame, mono_frame)

    def on_transaction(
        self, notification: Notification, calls: Sequence[InnerCall] | None, mono_frame: MonoNs
    ) -> list[NewPool]:
        """Return the pools of an executed transaction, from the events its programs sent to themselves.

        Not for the hot path.

        Args:
            notification: Its signature, slot, outcome and log.
            calls: Its instructions in the order of execution; None where inner ones are not recorded. Then the log
                decides, as it does when it alone holds a creation.
            mono_frame: When the document was read.
        """
        self._frames += 1
        self._prefiltered += 1
        return self._on_calls(notification, calls, mono_frame)

    def _on_calls(
        self, notification: Notification, calls: Sequence[InnerCall] | None, mono_frame: MonoNs
    ) -> list[NewPool]:
        """Read the events a transaction's programs sent to themselves."""
        if calls is None:
            return self._on_lines(notification, mono_frame)
        if notification.is_failed:
            return self._drop(DropReason.FAILED_TRANSACTION)
        drafts: list[_Draft] = []
        seen = False
        for watched in self._watched:
            for payload, is_own in event_calls(calls, watched.program, watched.event_authority):
                if payload.startswith(watched.venue.creation_event):
                    seen = True
                    if is_own:
                        self._take_creation(watched.venue, payload, drafts)
                    else:
                        self._drop(DropReason.FORGED_EVENT)
                elif is_own and payload.startswith(watched.venue.trade_event):
                    self._take_trade(watched.venue, payload, drafts)
        if not seen and self._looks_like_creation(notification):
            return self._on_lines(notification, mono_frame)
        if not seen:
            self._count_unread(walk(notification.lines, self._creation_logs).notes, notification)
        return self._finish(drafts, notification, mono_frame)

    def drop_document(self, reason: DropReason) -> None:
        """Count a document that could not be read at all."""
        self._frames += 1
        self._drop(reason)

    def pass_over(self) -> None:
        """Count a document in which nothing was to be found."""
        self._frames += 1

    def _on_candidate(self, frame: bytes, at: int, mono_frame: MonoNs) -> list[NewPool]:
        """Read a frame from its first creation on, which begins at `at`, without decoding its lines.

        This way only accepts: at the first doubt the frame is decoded and walked, and that decides.
        """
        envelope = read_envelope(frame)
        if envelope is None or envelope[1] > at:
            return self._on_whole_frame(frame, mono_frame)
        notification = envelope[0]
        if notification.is_failed:
            return self._drop(DropReason.FAILED_TRANSACTION)
        if TRUNCATED_LINE in frame:
            return self._drop(DropReason.TRUNCATED_LOG)
        if (drafts := self._read_text(frame, at)) is None:
            return self._on_whole_frame(frame, mono_frame)
        return self._finish(drafts, notification, mono_frame)

    def _on_whole_lines(self, notification: Notification, mono_frame: MonoNs) -> list[NewPool]:
        """Read a log that is whole and of a transaction that succeeded, as `_on_candidate` reads a frame."""
        text = f'"{_LINES_EDGE.join(notification.lines)}"'.encode()
        at = -1
        if b"\\" not in text and text.count(b'"') == 2 * len(notification.lines):  # every quotation mark is an edge
            at = min((found for watched in self._watched if (found := text.find(watched.needle)) >= 0), default=-1)
        if at < 0 or (drafts := self._read_text(text, at)) is None:
            return self._on_lines(notification, mono_frame)
        return self._finish(drafts, notification, mono_frame)

    def _read_text(self, text: bytes, at: int) -> list[_Draft] | None:
        """Read a log in JSON text from its first creation on, which begins at `at`; None when the walk is to decide."""
        events: list[tuple[_Watched, bytes, bytes]] = []
        while at >= 0:
            begin = at + len(DATA_PREFIX)
            end = text.find(b'"', begin)
            marker = text[begin : begin + _MARKER_BYTES]
            for watched in self._watched:
                if marker == watched.creation or marker == watched.trade:  # noqa: PLR1714 half the time of a tuple
                    if not is_surely_emitted_by(text, at, watched.program_line):
                        return None
                    events.append((watched, marker, text[begin:end]))
            at = text.find(DATA_PREFIX, end)
        drafts: list[_Draft] = []
        for watched, marker, payload in events:
            self._take(watched, marker, payload, drafts)
        return drafts

    def _on_whole_frame(self, frame: bytes, mono_frame: MonoNs) -> list[NewPool]:
        try:
            notification = read_notification(frame)
        except MalformedError:
            return self._drop(DropReason.MALFORMED_FRAME)
        return self._on_lines(notification, mono_frame)

    def _on_lines(self, notification: Notification, mono_frame: MonoNs) -> list[NewPool]:
        """Read a whole log, line by line."""
        if notification.is_failed:
            return self._drop(DropReason.FAILED_TRANSACTION)
        log = walk(notification.lines, self._creation_logs)
        if log.is_truncated:
            return self._drop(DropReason.TRUNCATED_LOG)
        if log.problem is not None:
            return self._drop(DropReason.INCONSISTENT_LOG)
        drafts: list[_Draft] = []
        seen = False
        for data in log.data:
            text = data.text.encode()
            marker = text[:_MARKER_BYTES]
            for watched in self._watched:
                if marker == watched.creation:
                    seen = True
                    if data.program == watched.program:
                        self._take(watched, marker, text, drafts)
                    else:
                        self._drop(DropReason.FORGED_EVENT)
                elif marker == watched.trade and data.program == watched.program:
                    self._take(watched, marker, text, drafts)
        if not seen:
            self._count_unread(log.notes, notification)
        return self._finish(drafts, notification, mono_frame)

    def _count_unread(self, notes: Sequence[tuple[str, str]], notification: Notification) -> None:
        """Count a creation that was begun or pretended and of which no event was found."""
        if any(program == watched.program for watched in self._watched for program, _ in notes):
            self._drop(DropReason.MALFORMED_EVENT)
        elif self._looks_like_creation(notification):
            self._drop(DropReason.FORGED_EVENT)

    def _looks_like_creation(self, notification: Notification) -> bool:
        """Tell whether the text of a creation event stands anywhere in the log, whoever wrote it."""
        return any(watched.text_needle in line for watched in self._watched for line in notification.lines)

    def _take(self, watched: _Watched, marker: bytes, text: bytes, drafts: list[_Draft]) -> None:
        """Decode the base64 of an event the venue's program emitted, into the drafts of its transaction."""
        try:
            payload = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            self._drop(DropReason.MALFORMED_EVENT)
            return
        if marker == watched.creation:
            self._take_creation(watched.venue, payload, drafts)
        else:
            self._take_trade(watched.venue, payload, drafts)

    def _take_creation(self, venue: Venue, payload: bytes, drafts: list[_Draft]) -> None:
        try:
            creation = venue.decode_creation(payload)
        except MalformedError:
            self._drop(DropReason.MALFORMED_EVENT)
            return
        if self._verifies_pools and venue.pool_address(creation.mint) != creation.pool:
            self._drop(DropReason.FORGED_EVENT)
            return
        drafts.append(_Draft(venue, creation))

    def _take_trade(self, venue: Venue, payload: bytes, drafts: list[_Draft]) -> None:
        """Bring the draft a trade belongs to up to the reserves behind it."""
        try:
            trade = venue.decode_trade(payload)
        except MalformedError:
            self._drop(DropReason.MALFORMED_EVENT)
            return
        for draft in drafts:
            if draft.creation.mint == trade.mint and draft.venue is venue:
                draft.reserves = trade.reserves
                if trade.is_buy:
                    draft.bought += trade.tokens

    def _finish(self, drafts: list[_Draft], notification: Notification, mono_frame: MonoNs) -> list[NewPool]:
        """Make pools of the drafts, without those that were handed on before."""
        pools: list[NewPool] = []
        for draft in drafts:
            creation = draft.creation
            mint = creation.mint
            key = (notification.signature, mint)
            if key in self._handed_on:
                self._drop(DropReason.DUPLICATE)
                continue
            self._handed_on[key] = None
            if len(self._handed_on) > self._remembered:
                self._handed_on.popitem(last=False)
            mono_cause = notification.mono_cause
            pools.append(
                NewPool(
                    venue=draft.venue.name,
                    mint=mint,
                    pool=creation.pool,
                    creator=creation.creator,
                    user=creation.user,
                    name=creation.name,
                    symbol=creation.symbol,
                    uri=creation.uri,
                    token_program=creation.token_program,
                    quote_mint=creation.quote_mint,
                    reserves=draft.reserves,
                    token_supply=creation.token_supply,
                    creator_bought=TokenAmount(draft.bought),
                    creator_fee_bps=creation.creator_fee_bps,
                    is_mayhem=creation.is_mayhem,
                    is_cashback=creation.is_cashback,
                    is_holder_reward=creation.is_holder_reward,
                    signature=notification.signature,
                    slot=notification.slot,
                    mono_cause=mono_cause,
                    mono_frame=mono_frame,
                    starts_at="frame" if mono_cause is None else "chain",
                )
            )
        self._pools += len(pools)
        return pools

    def _drop(self, reason: DropReason) -> list[NewPool]:
        self._dropped[reason] = self._dropped.get(reason, 0) + 1
        return []
