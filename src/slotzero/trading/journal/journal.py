"""The journal: every intent and what became of it, as an append-only log of events with a state folded from it.

Nothing is sent before its intent is on disk, so a crash at any instant leaves a signature to ask the chain about.
Start-up and crash recovery are the same code: fold the events, then settle with the chain whatever is still open.

This is what the bot sees of it. Where the events are kept is the business of a store: `sqlite.SqliteJournal`, one file
for one bot, or `postgres.PostgresJournal`, one database for several. Both keep these promises, which one conformance
suite tests:

* An event's future resolves when the event survives a power cut, and not before.
* What is kept is always a prefix of what was appended: after one failed write every later one fails too, even where
  the store has recovered. An event whose predecessor is missing would make the journal unreadable for the next start.
* One journal is one bot's on one chain, and one process has it at a time. Events of other chains are left alone.
* A mint is claimed once on a chain, by whichever bot comes first, in the same commit as the buy's intent. The claim is
  kept for good, whatever becomes of the buy, and so survives the crash of its bot.
* What cannot be read, or is somebody else's, is refused and left as it is.
"""

import abc
import asyncio
import functools
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from msgspec import Struct

from slotzero.clock import Clock
from slotzero.errors import JournalError
from slotzero.recent import Recent
from slotzero.trading.journal.codec import encode_event
from slotzero.trading.journal.events import Event, IntentSigned
from slotzero.trading.journal.state import KEPT_MINTS, JournalState
from slotzero.units import WallNs

if TYPE_CHECKING:
    from solders.pubkey import Pubkey

__all__ = ["MAIN_BOT", "AlreadyClaimed", "Claim", "Claimed", "Entry", "Journal", "Written"]

MAIN_BOT: Final = "main"
"""The name of a bot that shares its journal with none."""


class Claimed(Struct, frozen=True, tag=True):
    """The mint is ours to buy, and the intent to buy it is on disk."""


class AlreadyClaimed(Struct, frozen=True, tag=True):
    """The mint was claimed before; nothing was written, and nothing may be sent.

    Attributes:
        by: Which bot has it; this one's own name, when it was an earlier intent of its own.
    """

    by: str


Claim = Claimed | AlreadyClaimed


class Written(Struct, frozen=True, tag=True):
    """An event that claims nothing is on disk."""


class Entry(Struct, frozen=True, kw_only=True):
    """An event on its way into a store.

    Attributes:
        claims: The buy this event is, if its mint is to be claimed: it is written only if nobody has claimed that.
        settle: To be called once, in the loop's thread, with what became of it.
    """

    wall_ns: WallNs
    kind: str
    body: bytes
    claims: IntentSigned | None
    settle: Callable[[Written | Claim | JournalError], None]


class Journal(abc.ABC):
    """One bot's journal on one chain. Use it as an async context manager.

    Args:
        chain: The chain's genesis hash.
        bot: Which of the bots that share a store this is.
        location: Where the store is, for a person; nothing secret.
        clock: For the wall-clock time of each event.
    """

    def __init__(self, chain: str, *, bot: str, location: str, clock: Clock) -> None:
        self.bot = bot
        self.location = location
        self.state = JournalState()
        self._chain = chain
        self._clock = clock
        self._is_open = False
        self._listeners: list[Callable[[Event, WallNs], None]] = []
        self._mints: Recent[Pubkey] = Recent(KEPT_MINTS)
        """What this bot has claimed or is about to, of late: answered without asking the store, which knows all."""

    async def __aenter__(self) -> Self:
        """Take the journal for this process alone, fold its events, and be ready to write.

        Raises:
            JournalLockedError: Another process has it.
            JournalError: It cannot be reached, is damaged, somebody else's, or cannot be written.
        """
        await self._open()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is queued and give the journal free. *Cancellation: all the same.*"""
        self._is_open = False
        await self._close()

    def listen(self, listener: Callable[[Event, WallNs], None]) -> None:
        """Call `listener` with each event from now on, as it is folded in. Before entering: the past ones, too."""
        self._listeners.append(listener)

    def append(self, event: Event) -> asyncio.Future[None]:
        """Fold `event` in and queue it. The future resolves when it is on disk.

        Await it before doing what the event announces. A buy is written with `claim`: appended here, it claims
        nothing. *Cancellation: the event is written all the same.*

        Raises:
            JournalError: (from the future) It could not be written; nothing more may be sent.
            ValueError: It does not fit the state.
        """
        wall_ns, body = self._prepare(event)
        self._fold(event, wall_ns)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        settle = functools.partial(_on_written, written)
        self._enqueue(Entry(wall_ns=wall_ns, kind=type(event).__name__, body=body, claims=None, settle=settle))
        return written

    def claim(self, event: IntentSigned) -> asyncio.Future[Claim]:
        """Claim a buy's mint and write its intent down, both or neither.

        The future resolves when that is on disk, or when the mint turns out to be claimed already; the state knows the
        intent from then on. Await it before sending. *Cancellation: the event is written all the same.*

        Raises:
            JournalError: (from the future) It could not be written; nothing more may be sent.
            ValueError: It is no buy, or the journal knows the intent.
        """
        if event.side != "buy" or event.pool is None:
            raise ValueError(f"only a buy with its pool claims a mint, {event.intent} was a {event.side}")
        if event.intent in self.state.intents:
            raise ValueError(f"intent {event.intent} is already in the journal")
        wall_ns, body = self._prepare(event)
        claimed: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        if event.mint in self._mints:
            claimed.set_result(AlreadyClaimed(by=self.bot))
            return claimed
        self._mints.add(event.mint)
        settle = functools.partial(self._on_claimed, claimed, event, wall_ns)
        self._enqueue(Entry(wall_ns=wall_ns, kind=type(event).__name__, body=body, claims=event, settle=settle))
        return claimed

    # ---- what a store does -----------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def _open(self) -> None:
        """Take the store, give each of this journal's events to `_fold`, oldest first, and be ready to write."""

    @abc.abstractmethod
    async def _close(self) -> None:
        """Write what is queued, whatever happens, and release the store."""

    @abc.abstractmethod
    def _enqueue(self, entry: Entry) -> None:
        """Take an entry to be written after all that came before it. Returns at once."""

    # ---- shared ----------------------------------------------------------------------------------------------------

    def _prepare(self, event: Event) -> tuple[WallNs, bytes]:
        assert self._is_open, "the journal is not open"
        return self._clock.wall_ns(), encode_event(event)  # first: what cannot be encoded must not be folded in

    def _fold(self, event: Event, wall_ns: WallNs) -> None:
        self.state.apply(event, wall_ns)
        if isinstance(event, IntentSigned) and event.side == "buy":
            self._mints.add(event.mint)
        for listener in self._listeners:
            listener(event, wall_ns)

    def _on_claimed(
        self,
        claimed: asyncio.Future[Claim],
        event: IntentSigned,
        wall_ns: WallNs,
        outcome: Written | Claim | JournalError,
    ) -> None:
        if isinstance(outcome, Claimed):
            self._fold(event, wall_ns)  # even if nobody waits any more: it is on disk
        if isinstance(outcome, JournalError):
            _fail(claimed, outcome)
        elif not claimed.done():
            assert not isinstance(outcome, Written)
            claimed.set_result(outcome)


def _on_written(written: asyncio.Future[None], outcome: Written | Claim | JournalError) -> None:
    if isinstance(outcome, JournalError):
        _fail(written, outcome)
    elif not written.done():
        written.set_result(None)


def _fail(future: asyncio.Future[None] | asyncio.Future[Claim], failure: JournalError) -> None:
    if not future.done():
        future.set_exception(failure)
        future.exception()  # looked at here: the next write that is awaited fails as well
