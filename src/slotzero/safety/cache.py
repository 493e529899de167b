"""Verdicts that are still true: one check for all who ask at the same time, and its verdict for a while after.

**What ends a verdict.** A change of an account it rests on (`Verdict.depends_on`), told by a subscription; its age; a
lost connection, since what changed meanwhile was told to nobody. A pool's own account changes with every trade, so the
verdict of a lively pool lives for milliseconds, as it must: its round trip would come out otherwise now.

**Guarded or not.** The first check of a mint reads its accounts before anybody listens to them, so a change between
the read and the server's acceptance of the subscriptions goes unheard. Such a verdict lives for `max_unguarded_age_ms`
only. A check that begins while the subscriptions of an earlier one are live is guarded, and its verdict lives for
`max_age_ms`. Without a guard every verdict is unguarded.

**What is kept.** ALLOW and DENY; not UNSURE, which a second look may settle. For one size: a verdict on a buy of 0.1
SOL says nothing about one of 10. Checks under way are bounded by their callers, verdicts and subscriptions by
`capacity`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, elapsed_ns, ms
from slotzero.safety.honeypot import Check, Checker
from slotzero.safety.reader import RoundTripProbe
from slotzero.safety.records import Decision, Verdict
from slotzero.solana.pubsub import PubSub, Subscription
from slotzero.units import MonoNs
from slotzero.venues.records import NewPool

__all__ = ["AccountGuard", "Guarded", "PubSubGuard", "VerdictCache", "VerdictCacheStats"]

_CAPACITY: Final = 256
_MAX_AGE_MS: Final = 30_000
_MAX_UNGUARDED_AGE_MS: Final = 400


class Guarded(Protocol):
    """An account that somebody listens to."""

    @property
    def is_live(self) -> bool:
        """Whether each change is told now."""
        ...

    def cancel(self) -> None:
        """Listen no more; safe to call twice."""
        ...


class AccountGuard(Protocol):
    """Who listens to accounts."""

    @property
    def connection(self) -> int | None:
        """The number of the connection that tells, another one after each loss; None without a connection."""
        ...

    def watch(self, key: Pubkey, on_change: Callable[[], None]) -> Guarded:
        """Call `on_change` at each change of `key` from now on."""
        ...


class VerdictCacheStats(Struct, frozen=True, kw_only=True):
    """How the cache was used.

    Attributes:
        hits: Verdicts given out without a check.
        joined: Callers that took part in a check under way.
        checked: Checks begun.
        changed: Verdicts and checks set aside because an account had changed.
        expired: Verdicts that had grown too old, or whose connection was lost.
        evicted: Mints that made room for others.
    """

    hits: int
    joined: int
    checked: int
    changed: int
    expired: int
    evicted: int


class _Shared:
    """A check that several callers wait for."""

    __slots__ = ("begun", "callers", "check", "connection", "is_current", "size")

    def __init__(self, check: Check, *, size: int | None, begun: MonoNs, connection: int | None) -> None:
        self.check = check
        self.size = size
        self.begun = begun
        self.connection = connection
        """Of the guard that was live before the check began; None = unguarded."""
        self.callers = 0
        self.is_current = True


class _Kept:
    """A verdict, how old it is, and since when it is guarded."""

    __slots__ = ("begun", "connection", "size", "verdict")

    def __init__(self, verdict: Verdict, shared: _Shared) -> None:
        self.verdict = verdict
        self.size = shared.size
        self.begun = shared.begun
        self.connection = shared.connection


class _Mint:
    """What is known of one mint."""

    __slots__ = ("guards", "kept", "running")

    def __init__(self) -> None:
        self.guards: dict[Pubkey, Guarded] = {}
        self.kept: _Kept | None = None
        self.running: _Shared | None = None

    def close(self) -> None:
        for guard in self.guards.values():
            guard.cancel()
        self.guards.clear()


class VerdictCache:
    """Checks before which there is a memory. Used in place of the checker it asks.

    Args:
        checker: Who checks.
        tasks: Owns the checks; outlives every caller.
        clock: For the age of verdicts.
        guard: Who listens to accounts; None = verdicts end by age alone.
        capacity: Mints kept; beyond it the least recently asked for goes.
        max_age_ms: How old a guarded verdict may be when it is given out.
        max_unguarded_age_ms: How old another one may be: about two slots.
    """

    def __init__(
        self,
        checker: Checker,
        *,
        tasks: asyncio.TaskGroup,
        clock: Clock,
        guard: AccountGuard | None = None,
        capacity: int = _CAPACITY,
        max_age_ms: int = _MAX_AGE_MS,
        max_unguarded_age_ms: int = _MAX_UNGUARDED_AGE_MS,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a cache keeps at least one mint, got {capacity}")
        self._checker = checker
        self._tasks = tasks
        self._clock = clock
        self._guard = guard
        self._capacity = capacity
        self._max_age = ms(max_age_ms)
        self._max_unguarded_age = ms(max_unguarded_age_ms)
        self._mints: OrderedDict[Pubkey, _Mint] = OrderedDict()
        self._hits = self._joined = self._checked = self._changed = self._expired = self._evicted = 0

    def __len__(self) -> int:
        """How many mints something is known of."""
        return len(self._mints)

    def stats(self) -> VerdictCacheStats:
        """Return how the cache was used so far."""
        return VerdictCacheStats(
            hits=self._hits,
            joined=self._joined,
            checked=self._checked,
            changed=self._changed,
            expired=self._expired,
            evicted=self._evicted,
        )

    # ---- asking ----------------------------------------------------------------------------------------------------

    def lookup(self, mint: Pubkey, size: int | None) -> Verdict | None:
        """Return a verdict that still holds, or None. Asks nobody. *Hot path* (about 2 us).

        Args:
            mint: Whose.
            size: What the buy costs (`RoundTripProbe.quoted_total`); None = a check without a round trip.
        """
        known = self._mints.get(mint)
        if known is None or known.kept is None or known.kept.size != size:
            return None
        if not self._holds(known, known.kept):
            known.kept = None
            self._expired += 1
            return None
        self._mints.move_to_end(mint)
        self._hits += 1
        return known.kept.verdict

    def start(self, pool: NewPool, probe: RoundTripProbe | None, group: asyncio.TaskGroup | None = None) -> Check:
        """Return a check at once: one that is done already, one under way, or a new one.

        Args:
            pool: What to judge.
            probe: The round trip to simulate; None leaves that layer UNSURE.
            group: Taken so that this is a `Checker`, and not used: a shared check outlives who began it.
        """
        del group
        size = None if probe is None else probe.quoted_total
        if (verdict := self.lookup(pool.mint, size)) is not None:
            return _Done(verdict)
        known = self._mint(pool.mint)
        shared = known.running
        if shared is None or shared.size != size or not shared.is_current:
            if shared is not None:
                shared.is_current = False
            shared = known.running = self._begin(known, pool, probe, size)
        else:
            self._joined += 1
        return _Part(shared)

    async def check(self, pool: NewPool, probe: RoundTripProbe | None) -> Verdict:
        """Judge a pool. *Cancellation: safe, for the others who wait, too.*"""
        check = self.start(pool, probe)
        try:
            return await check.verdict()
        except asyncio.CancelledError:
            check.cancel()
            raise

    # ---- forgetting ------------------------------------------------------------------------------------------------

    def forget(self, mint: Pubkey) -> None:
        """Forget what was found out about `mint`; a check under way is not kept. Its accounts stay guarded."""
        known = self._mints.get(mint)
        if known is None:
            return
        if known.kept is not None or known.running is not None:
            self._changed += 1
        known.kept = None
        if known.running is not None:
            known.running.is_current = False
            known.running = None

    def clear(self) -> None:
        """Forget everything and listen to nobody."""
        for mint in tuple(self._mints):
            self.forget(mint)
            self._mints.pop(mint).close()

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _holds(self, known: _Mint, kept: _Kept) -> bool:
        age = elapsed_ns(kept.begun, self._clock.mono_ns())
        is_guarded = kept.connection is not None and kept.connection == self._live_connection(known)
        return age <= (self._max_age if is_guarded else self._max_unguarded_age)

    def _live_connection(self, known: _Mint) -> int | None:
        """Return the connection that tells of all accounts of a mint now, or None."""
        if self._guard is None or not known.guards or not all(guard.is_live for guard in known.guards.values()):
            return None
        return self._guard.connection

    def _mint(self, mint: Pubkey) -> _Mint:
        known = self._mints.get(mint)
        if known is None:
            known = self._mints[mint] = _Mint()
            if len(self._mints) > self._capacity:
                _, oldest = self._mints.popitem(last=False)
                self._evicted += 1
                if oldest.running is not None:
                    oldest.running.is_current = False
                oldest.close()
        self._mints.move_to_end(mint)
        return known

    def _begin(self, known: _Mint, pool: NewPool, probe: RoundTripProbe | None, size: int | None) -> _Shared:
        self._checked += 1
        connection = self._live_connection(known)
        begun = self._clock.mono_ns()
        check = self._checker.start(pool, probe, self._tasks)
        shared = _Shared(check, size=size, begun=begun, connection=connection)
        self._tasks.create_task(self._keep(pool.mint, known, shared), name=f"verdict of {pool.mint}")
        return shared

    async def _keep(self, mint: Pubkey, known: _Mint, shared: _Shared) -> None:
        verdict = await shared.check.verdict()
        if known.running is shared:
            known.running = None
        if not shared.is_current or verdict.decision == "UNSURE":
            return
        known.kept = _Kept(verdict, shared)
        self._listen(mint, known, verdict.depends_on)

    def _listen(self, mint: Pubkey, known: _Mint, keys: Sequence[Pubkey]) -> None:
        if self._guard is None:
            return
        for key in [key for key in known.guards if key not in keys]:
            known.guards.pop(key).cancel()
        for key in keys:
            if key not in known.guards:
                known.guards[key] = self._guard.watch(key, lambda: self.forget(mint))


class _Done:
    """A check whose verdict was known."""

    __slots__ = ("_verdict",)

    def __init__(self, verdict: Verdict) -> None:
        self._verdict = verdict

    async def facts(self) -> Decision:
        return self._verdict.facts_decision

    async def verdict(self) -> Verdict:
        return self._verdict

    def cancel(self) -> None:
        """Nothing is under way."""


class _Part:
    """One caller's part in a shared check: the check is stopped when the last caller has given it up."""

    __slots__ = ("_is_given_up", "_shared")

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._is_given_up = False
        shared.callers += 1

    async def facts(self) -> Decision:
        return await self._shared.check.facts()

    async def verdict(self) -> Verdict:
        return await self._shared.check.verdict()

    def cancel(self) -> None:
        if self._is_given_up:
            return
        self._is_given_up = True
        self._shared.callers -= 1
        if not self._shared.callers:
            self._shared.is_current = False
            self._shared.check.cancel()


class PubSubGuard:
    """Listens to accounts through a client's subscriptions.

    Args:
        pubsub: The client. Its frames are not read: that one came is all there is to know.
    """

    def __init__(self, pubsub: PubSub) -> None:
        self._pubsub = pubsub

    @property
    def connection(self) -> int | None:
        """The number of the connection, or None without one."""
        return self._pubsub.stats().connects if self._pubsub.is_connected else None

    def watch(self, key: Pubkey, on_change: Callable[[], None]) -> Guarded:
        """Call `on_change` at each change of `key` from now on, which is after the server's acceptance."""
        params = [str(key), {"encoding": "base64", "commitment": "processed", "dataSlice": {"offset": 0, "length": 0}}]
        return _Subscribed(self._pubsub.subscribe("accountSubscribe", params, lambda _frame, _now: on_change()))


class _Subscribed:
    __slots__ = ("_subscription",)

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    @property
    def is_live(self) -> bool:
        return self._subscription.number is not None

    def cancel(self) -> None:
        self._subscription.cancel()
