"""Account reads that cost as few calls as they can: answered by a stream where one tells, merged where none does.

**The stream answers.** An account that is watched (accountSubscribe) is known without asking: its newest notification
is its state. Silence means *unchanged* (since Agave 4.2 an unchanged account sends nothing), but only while the
connection that would tell is alive, so a value counts only from the moment the server has accepted the subscription on
the connection of now, and is forgotten with that connection. Before the first change there is nothing to go by: then a
read fills the gap, if it was begun after the acceptance and answered at a slot no older than it. A reply from a node
that is further behind than the stream could otherwise hide a change that was told to nobody, for ever. From then on
only the stream writes: it is in order, and it also takes a fork back.

**What is left is merged.** Reads asked for in one turn of the loop at one commitment go out as getMultipleAccounts of
up to 100 accounts. The accounts of one caller are never split over two calls, so they are all of one slot. Nobody joins
a call that is already under way: what is read is never older than the question.

**What no stream tells of is polled.** A node may refuse a subscription (its limit is reached), or the connection may be
lost for longer than a moment. A position must not be without its pool's state for that: after two seconds what is
watched is read twice a second, until a stream tells of it again.

**A gap is closed here.** When the connection comes back, every watched account is read once and handed to its handlers
as if it had changed, since what changed meanwhile was told to nobody.
"""

import asyncio
import logging
from base64 import b64decode
from binascii import Error as Base64Error
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, add_ms, is_due
from slotzero.errors import EndpointError, MalformedError
from slotzero.solana.account_watch import AccountUpdate, UpdateHandler
from slotzero.solana.pubsub import Gap, PubSub, Subscription
from slotzero.solana.rpc import AccountInfo, Commitment, Purpose, Rpc
from slotzero.units import BPS, BasisPoints, Lamports, MonoNs, Slot

__all__ = ["MAX_KEYS", "AccountReads", "ReadStats", "Watch"]

log = logging.getLogger(__name__)

MAX_KEYS: Final = 100
"""The most accounts getMultipleAccounts takes."""
_LOUDEST: Final[tuple[Purpose, ...]] = ("plan", "send", "safety", "confirm", "account", "startup", "warm")
"""A merged call is counted under the first of these that took part: a `plan` read can never hide behind another."""
_REREAD_MS: Final = 250
_POLL_MS: Final = 500
_UNTOLD_FOR_MS: Final = 2_000
"""How long nobody has told of a watched account before it is polled."""
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Base64Error, ValueError)


class ReadStats(Struct, frozen=True, kw_only=True):
    """How account reads were answered; each counts one account, except `calls`.

    Attributes:
        asked: Accounts asked for, by `get` and `peek`.
        cached: Of these, answered from a stream's state.
        merged: Of these, that shared a call with another caller.
        sent: Accounts that were really asked of an endpoint, re-reads after a gap included.
        calls: getMultipleAccounts calls.
        streamed: Changes that a stream has told and a handler has taken: reads that nobody had to ask for.
        unwatched: Watches refused because there were too many.
        purposes: `asked`, by purpose.
    """

    asked: int
    cached: int
    merged: int
    sent: int
    calls: int
    streamed: int
    unwatched: int
    purposes: dict[str, int]

    @property
    def without_rpc_bps(self) -> BasisPoints:
        """The share of account reads that needed no RPC call; 10,000 when there were none."""
        reads = self.asked + self.streamed
        return BasisPoints((self.cached + self.streamed) * BPS // reads if reads else BPS)


class _Account(Struct):
    lamports: int
    owner: str
    data: tuple[str, str]
    executable: bool


class _Context(Struct):
    slot: int


class _Result(Struct):
    context: _Context
    value: _Account


class _Params(Struct):
    result: _Result


class _Notification(Struct):
    params: _Params


_decode = msgspec.json.Decoder(_Notification).decode


class _Known(Struct, frozen=True):
    """A state, and the slot it was told for. `account` is None where there is none."""

    account: AccountInfo | None
    slot: Slot


class _Watched:
    """One account that a stream tells about, for all who watch it."""

    __slots__ = ("commitment", "handlers", "key", "known", "polled", "subscription", "told_on", "untold_since")

    def __init__(self, key: Pubkey, commitment: Commitment, connection: int) -> None:
        self.key = key
        self.commitment = commitment
        self.handlers: list[UpdateHandler | None] = []
        self.known: tuple[int, _Known] | None = None
        """The state, and the number of the connection that vouches for it."""
        self.told_on = connection
        """The connection of which the handlers have last been told; on a later one they are owed the state."""
        self.subscription: Subscription | None = None
        self.untold_since: MonoNs | None = None
        """Since when no stream has told of it, as far as has been looked."""
        self.polled: tuple[AccountInfo | None] | None = None
        """What the last poll has told; None when a stream tells."""


class Watch:
    """Somebody's interest in an account; ends with `cancel`."""

    __slots__ = ("_cancel",)

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel: Callable[[], None] | None = cancel

    def cancel(self) -> None:
        """End it; its handler is not called again. Safe to call twice."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()


class _Wish:
    """What one caller asked for in this turn."""

    __slots__ = ("answer", "keys", "purpose")

    def __init__(self, keys: tuple[Pubkey, ...], purpose: Purpose) -> None:
        self.keys = keys
        self.purpose = purpose
        self.answer: asyncio.Future[list[AccountInfo | None]] = asyncio.get_running_loop().create_future()


class AccountReads:
    """Reads and watches accounts.

    Args:
        rpc: Who is asked.
        pubsub: Who tells. Unless it follows slots, it is taken for the same node that is asked.
        clock: For the delay before a failed re-read is tried again.
        tasks: Owns the calls.
        max_watched: The most accounts watched at once; beyond it a watch is refused and counted, and reads are sent.
    """

    def __init__(
        self, rpc: Rpc, pubsub: PubSub, *, clock: Clock, tasks: asyncio.TaskGroup, max_watched: int = 5_000
    ) -> None:
        self._rpc = rpc
        self._pubsub = pubsub
        self._clock = clock
        self._tasks = tasks
        self._max_watched = max_watched
        self._watched: dict[tuple[Pubkey, Commitment], _Watched] = {}
        self._wishes: dict[Commitment, list[_Wish]] = {}
        self._asked = self._cached = self._merged = self._sent = self._calls = self._streamed = self._unwatched = 0
        self._purposes: Counter[str] = Counter()
        self._polls_fail = False
        pubsub.watch_gaps(self.on_gap)

    def stats(self) -> ReadStats:
        """Return how reads were answered so far."""
        return ReadStats(
            asked=self._asked,
            cached=self._cached,
            merged=self._merged,
            sent=self._sent,
            calls=self._calls,
            streamed=self._streamed,
            unwatched=self._unwatched,
            purposes=dict(self._purposes),
        )

    # ---- watching --------------------------------------------------------------------------------------------------

    def watch(self, key: Pubkey, commitment: Commitment, handler: UpdateHandler | None = None) -> Watch:
        """Let a stream keep `key` known, and call `handler` at each change of it.

        The handler is also called with the state read after a gap. An account that has ended comes with 0 lamports.
        A second watch of the same account costs no second subscription.
        """
        watched = self._watched.get((key, commitment))
        if watched is None:
            if len(self._watched) >= self._max_watched:
                self._unwatched += 1
                log.warning("%s is not watched: %d accounts already are", key, self._max_watched)
                return Watch(lambda: None)
            watched = self._watched[key, commitment] = _Watched(key, commitment, self._pubsub.connection)
            watched.subscription = self._pubsub.subscribe(
                "accountSubscribe",
                [str(key), {"encoding": "base64", "commitment": commitment}],
                lambda frame, now: self._on_frame(watched, frame, now),
                is_vital=False,
            )
        watched.handlers.append(handler)
        return Watch(lambda: self._unwatch(watched, handler))

    def _unwatch(self, watched: _Watched, handler: UpdateHandler | None) -> None:
        watched.handlers.remove(handler)
        if not watched.handlers:
            del self._watched[watched.key, watched.commitment]
            if watched.subscription is not None:
                watched.subscription.cancel()

    def _on_frame(self, watched: _Watched, frame: bytes, now: MonoNs) -> None:
        try:
            result = _decode(frame).params.result
            account = _account(result.value)
        except _UNREADABLE:
            watched.known = None  # something has changed, and it is not known to what
            return
        self._streamed += sum(handler is not None for handler in watched.handlers)
        self._tell(watched, _Known(account, Slot(result.context.slot)), now)

    def _tell(self, watched: _Watched, known: _Known, now: MonoNs) -> None:
        watched.told_on = self._pubsub.connection
        watched.known = (watched.told_on, known)
        _hand_on(watched, known, now)

    # ---- reading ---------------------------------------------------------------------------------------------------

    def peek(
        self, key: Pubkey, commitment: Commitment, *, purpose: Purpose = "account"
    ) -> tuple[AccountInfo | None, Slot] | None:
        """Return the state of a watched account and its slot without asking anyone, or None when it is not known.

        *Hot path.* A miss is not counted: who goes on to `get` is counted there.
        """
        known = self._known(key, commitment)
        if known is None:
            return None
        self._count(1, purpose)
        self._cached += 1
        return known.account, known.slot

    async def get(
        self, keys: Sequence[Pubkey], commitment: Commitment, *, purpose: Purpose = "account", is_one_slot: bool = True
    ) -> list[AccountInfo | None]:
        """Return the accounts of at most 100 `keys`, in their order; None where there is none.

        Args:
            keys: Which.
            commitment: Of which state.
            purpose: What for.
            is_one_slot: Whether all must be of one slot. Then several keys are read, not taken from streams, which
                tell of one account after the other.

        Raises:
            EndpointError: The call that carried these accounts failed; so did everybody's in it.
            MalformedError: Its answer was none.
        """
        if len(keys) > MAX_KEYS:
            raise ValueError(f"a read takes at most {MAX_KEYS} accounts, got {len(keys)}")
        self._count(len(keys), purpose)
        known: dict[Pubkey, AccountInfo | None] = {}
        if not is_one_slot or len(keys) == 1:
            for key in keys:
                if (state := self._known(key, commitment)) is not None:
                    known[key] = state.account
        left = tuple(key for key in keys if key not in known)
        self._cached += len(keys) - len(left)
        if left:
            known.update(zip(left, await self._wish(left, commitment, purpose), strict=True))
        return [known[key] for key in keys]

    def _count(self, keys: int, purpose: Purpose) -> None:
        self._asked += keys
        self._purposes[purpose] += keys

    def _known(self, key: Pubkey, commitment: Commitment) -> _Known | None:
        watched = self._watched.get((key, commitment))
        if watched is None or watched.known is None:
            return None
        connection, known = watched.known
        return known if connection == self._pubsub.connection else None

    def _wish(
        self, keys: tuple[Pubkey, ...], commitment: Commitment, purpose: Purpose
    ) -> asyncio.Future[list[AccountInfo | None]]:
        wishes = self._wishes.get(commitment)
        if wishes is None:
            wishes = self._wishes[commitment] = []
            asyncio.get_running_loop().call_soon(self._flush, commitment)
        wish = _Wish(keys, purpose)
        wishes.append(wish)
        return wish.answer

    def _flush(self, commitment: Commitment) -> None:
        for wishes in _calls(self._wishes.pop(commitment)):
            self._tasks.create_task(self._serve(wishes, commitment), name="account reads")

    async def _serve(self, wishes: list[_Wish], commitment: Commitment) -> None:
        keys = list(dict.fromkeys(key for wish in wishes for key in wish.keys))
        if len(wishes) > 1:
            self._merged += sum(len(wish.keys) for wish in wishes)
        purpose = min((wish.purpose for wish in wishes), key=_LOUDEST.index)
        try:
            accounts = await self._read(keys, commitment, purpose)
        except (EndpointError, MalformedError) as error:
            for wish in wishes:
                if not wish.answer.done():
                    wish.answer.set_exception(error)
            return
        except asyncio.CancelledError:
            for wish in wishes:
                wish.answer.cancel()
            raise
        for wish in wishes:
            if not wish.answer.done():
                wish.answer.set_result([accounts[key] for key in wish.keys])

    async def _read(
        self, keys: list[Pubkey], commitment: Commitment, purpose: Purpose
    ) -> dict[Pubkey, AccountInfo | None]:
        """Ask, and let the answer fill the watches that know nothing yet."""
        connection = self._pubsub.connection
        live = [
            (watched, slot)
            for key in keys
            if (watched := self._watched.get((key, commitment))) is not None
            and (slot := self._live_slot(watched)) is not None
        ]
        self._calls += 1
        self._sent += len(keys)
        answer = await self._rpc.accounts_at(keys, commitment, purpose=purpose)
        accounts = dict(zip(keys, answer.value, strict=True))
        if connection == self._pubsub.connection:
            for watched, slot in live:
                if answer.slot >= slot and self._known(watched.key, commitment) is None:
                    watched.known = (connection, known := _Known(accounts[watched.key], answer.slot))
                    if watched.told_on != connection:
                        self._tell(watched, known, self._clock.mono_ns())
        return accounts

    def _live_slot(self, watched: _Watched) -> Slot | None:
        """Return the slot from which on a stream tells of an account, or None when none does now."""
        subscription = watched.subscription
        if subscription is None or subscription.number is None:
            return None
        return subscription.live_slot if self._pubsub.follows_slots else Slot(0)

    # ---- what no stream tells of ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Poll what is watched and has not been told of for long, until cancelled. *Does I/O.*"""
        while True:
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), _POLL_MS))
            untold = self._untold()
            for commitment in sorted({watched.commitment for watched in untold}):
                same = [watched for watched in untold if watched.commitment == commitment]
                for first in range(0, len(same), MAX_KEYS):
                    await self._poll(same[first : first + MAX_KEYS], commitment)

    def _untold(self) -> list[_Watched]:
        now, untold = self._clock.mono_ns(), []
        for watched in self._watched.values():
            if self._live_slot(watched) is not None:
                watched.untold_since = watched.polled = None
            elif watched.untold_since is None:
                watched.untold_since = now
            elif is_due(add_ms(watched.untold_since, _UNTOLD_FOR_MS), now):
                untold.append(watched)
        return untold

    async def _poll(self, some: list[_Watched], commitment: Commitment) -> None:
        self._calls += 1
        self._sent += len(some)
        try:
            answer = await self._rpc.accounts_at([watched.key for watched in some], commitment)
        except (EndpointError, MalformedError) as error:
            if not self._polls_fail:  # told once: it is asked twice a second
                log.warning("%d accounts nobody tells of could not be read: %s", len(some), error)
            self._polls_fail = True
            return
        self._polls_fail = False
        for watched, account in zip(some, answer.value, strict=True):
            # What a stream has begun to tell meanwhile may be newer.
            if self._live_slot(watched) is None and watched.polled != (account,):
                watched.polled = (account,)
                _hand_on(watched, _Known(account, answer.slot), self._clock.mono_ns())

    # ---- after a gap -----------------------------------------------------------------------------------------------

    def on_gap(self, gap: Gap) -> None:
        """Read every watched account again and hand it to its handlers: what changed meanwhile was told to nobody."""
        if self._watched:
            log.warning("%s: listening again; %d watched accounts are read anew", gap.endpoint, len(self._watched))
            self._tasks.create_task(self._reread(self._pubsub.connection), name="read after a gap")

    async def _reread(self, connection: int) -> None:
        """Go on until the handlers of each watched account are told its state, or the connection is lost, too."""
        while self._pubsub.connection == connection:
            owed = [watched for watched in self._watched.values() if watched.told_on != connection]
            if not owed:
                return
            for commitment in sorted({watched.commitment for watched in owed}):
                # Not those whose subscription has no slot yet: no answer could be trusted to be new enough.
                same = [w for w in owed if w.commitment == commitment and self._live_slot(w) is not None]
                for first in range(0, len(same), MAX_KEYS):
                    await self._reread_some(same[first : first + MAX_KEYS], commitment)
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), _REREAD_MS))

    async def _reread_some(self, some: list[_Watched], commitment: Commitment) -> None:
        unknown = []
        for watched in some:
            if (known := self._known(watched.key, commitment)) is None:
                unknown.append(watched.key)
            else:  # somebody's read was quicker
                self._tell(watched, known, self._clock.mono_ns())
        if unknown:
            try:
                await self._read(unknown, commitment, "account")
            except (EndpointError, MalformedError) as error:
                log.warning("%d accounts could not be read anew: %s", len(unknown), error)


def _hand_on(watched: _Watched, known: _Known, now: MonoNs) -> None:
    update = AccountUpdate(
        slot=known.slot,
        lamports=Lamports(0) if known.account is None else known.account.lamports,
        data=b"" if known.account is None else known.account.data,
    )
    for handler in tuple(watched.handlers):
        if handler is not None:
            handler(update, now)


def _calls(wishes: list[_Wish]) -> Iterator[list[_Wish]]:
    """Pack wishes into calls of at most 100 different accounts, in order; no wish is split. *Pure.*"""
    packed: list[_Wish] = []
    keys: set[Pubkey] = set()
    for wish in wishes:
        if packed and len(keys | set(wish.keys)) > MAX_KEYS:
            yield packed
            packed, keys = [], set()
        packed.append(wish)
        keys |= set(wish.keys)
    yield packed


def _account(account: _Account) -> AccountInfo | None:
    """Return the account of a notification; one without lamports has ended. *Pure.*"""
    if account.lamports == 0:
        return None
    return AccountInfo(
        lamports=Lamports(account.lamports),
        owner=Pubkey.from_string(account.owner),
        data=b64decode(account.data[0], validate=True),
        executable=account.executable,
    )
