"""A bounded cache whose misses are fetched once, however many ask at the same time.

**One fetch.** Who asks for a key that is being fetched waits for that fetch; all get its answer, or its fault. The
fetch is a task of its own, so a caller that is cancelled takes nobody else down. When the last one is gone the fetch
is cancelled, too: it has no one to answer, and fetches under way are never more than callers.

**Not stale.** An answer is as old as the *beginning* of its fetch. `invalidate` forgets what is cached and sets a fetch
under way apart: those who wait for it asked before the change and get its answer, which is not cached; who asks from
then on has it fetched anew. Faults are not cached.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from msgspec import Struct

from slotzero.clock import Clock, elapsed_ns, ms
from slotzero.errors import SlotzeroError
from slotzero.units import MonoNs

__all__ = ["SingleFlight", "SingleFlightStats"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlightStats(Struct, frozen=True, kw_only=True):
    """How a cache was used.

    Attributes:
        hits: Answered from the cache.
        joined: Answered by a fetch that another caller had begun.
        fetched: Fetches begun.
        failed: Fetches that ended in a fault.
        evicted: Entries that made room for newer ones: the least recently used go first.
        expired: Entries that had grown too old.
        invalidated: Entries and fetches set aside because what they hold has changed.
    """

    hits: int
    joined: int
    fetched: int
    failed: int
    evicted: int
    expired: int
    invalidated: int


class _Entry(Generic[V]):
    __slots__ = ("begun", "value")

    def __init__(self, value: V, begun: MonoNs) -> None:
        self.value = value
        self.begun = begun


class _Flight(Generic[V]):
    __slots__ = ("answer", "begun", "is_current", "task", "waiting")

    def __init__(self, begun: MonoNs) -> None:
        self.begun = begun
        self.answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.waiting = 0
        self.is_current = True
        """Whether its answer may be cached."""


class SingleFlight(Generic[K, V]):
    """Fetch each key once and keep the answer for a while.

    Args:
        tasks: Owns the fetches; outlives every caller.
        clock: For the age of what is kept.
        capacity: Entries kept; beyond it the least recently used goes.
        max_age_ms: How old an answer may be when it is given out.
        on_drop: Called with each answer that is not kept, or no longer, whatever the reason: ends what belongs to it.
            Must not raise.
    """

    def __init__(
        self,
        *,
        tasks: asyncio.TaskGroup,
        clock: Clock,
        capacity: int,
        max_age_ms: int,
        on_drop: Callable[[V], None] | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a cache keeps at least one entry, got {capacity}")
        self._tasks = tasks
        self._clock = clock
        self._capacity = capacity
        self._max_age = ms(max_age_ms)
        self._on_drop = on_drop
        self._kept: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._flights: dict[K, _Flight[V]] = {}
        self._hits = self._joined = self._fetched = self._failed = 0
        self._evicted = self._expired = self._invalidated = 0

    def __len__(self) -> int:
        """How many entries are kept, those that have grown too old since they were looked at included."""
        return len(self._kept)

    def stats(self) -> SingleFlightStats:
        """Return how the cache was used so far."""
        return SingleFlightStats(
            hits=self._hits,
            joined=self._joined,
            fetched=self._fetched,
            failed=self._failed,
            evicted=self._evicted,
            expired=self._expired,
            invalidated=self._invalidated,
        )

    def peek(self, key: K) -> V | None:
        """Return what is cached for `key` and young enough, else None. *Hot path.*"""
        entry = self._kept.get(key)
        if entry is None:
            return None
        if elapsed_ns(entry.begun, self._clock.mono_ns()) > self._max_age:
            self._expired += 1
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        self._hits += 1
        return entry.value

    async def get(self, key: K, fetch: Callable[[], Awaitable[V]]) -> V:
        """Return what is cached for `key`, else what `fetch` returns. *Cancellation: safe, for the others too.*

        Args:
            key: What is asked for.
            fetch: Called when nobody else is fetching it; None is no answer, since `peek` could not tell it apart.

        Raises:
            SlotzeroError: What `fetch` raised, for everybody who waited for it. Anything else it raises is a bug, which
                ends the task group as well.
        """
        if (known := self.peek(key)) is not None:
            return known
        flight = self._flights.get(key)
        if flight is None:
            flight = self._begin(key, fetch)
        else:
            self._joined += 1
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.answer)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.answer.done():
                self._leave(key, flight)
                assert flight.task is not None
                flight.task.cancel()

    def invalidate(self, key: K) -> None:
        """Forget `key`: what it stands for has changed."""
        flight = self._flights.get(key)
        if flight is not None:
            self._leave(key, flight)
        if key in self._kept:
            self._drop(key)
        elif flight is None:
            return
        self._invalidated += 1

    def clear(self) -> None:
        """Forget everything, for example after a connection was lost that would have told of changes."""
        for key in [*self._kept, *self._flights]:
            self.invalidate(key)

    def _begin(self, key: K, fetch: Callable[[], Awaitable[V]]) -> _Flight[V]:
        flight = self._flights[key] = _Flight[V](self._clock.mono_ns())
        self._fetched += 1
        flight.task = self._tasks.create_task(self._fly(key, flight, fetch), name=f"fetch {key}")
        # A task cancelled before its first step runs none of its own code; those who wait must hear of it all the same.
        flight.task.add_done_callback(lambda _: self._close(key, flight))
        return flight

    async def _fly(self, key: K, flight: _Flight[V], fetch: Callable[[], Awaitable[V]]) -> None:
        try:
            value = await fetch()
        except SlotzeroError as error:
            self._failed += 1
            _fail(flight.answer, error)
            return
        if not flight.answer.done():
            flight.answer.set_result(value)
        if flight.is_current:
            self._keep(key, _Entry(value, flight.begun))
        elif self._on_drop is not None:
            self._on_drop(value)

    def _close(self, key: K, flight: _Flight[V]) -> None:
        """End a flight; a bug in its fetch has ended the task group, and is told to those who wait outside of it."""
        self._leave(key, flight)
        assert flight.task is not None
        if flight.task.cancelled():
            flight.answer.cancel()
        elif (bug := flight.task.exception()) is not None:
            _fail(flight.answer, bug)

    def _leave(self, key: K, flight: _Flight[V]) -> None:
        flight.is_current = False
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _keep(self, key: K, entry: _Entry[V]) -> None:
        self._kept[key] = entry
        self._kept.move_to_end(key)
        if len(self._kept) > self._capacity:
            oldest = next(iter(self._kept))
            self._evicted += 1
            self._drop(oldest)

    def _drop(self, key: K) -> None:
        entry = self._kept.pop(key)
        if self._on_drop is not None:
            self._on_drop(entry.value)


def _fail(answer: asyncio.Future[V], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # looked at here, so that it is no warning when every caller was cancelled meanwhile
