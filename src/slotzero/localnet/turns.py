"""When what has arrived is served, for all connections of the chain's loop together, and how long it has waited.

Whatever comes waits for its turn, and is served in slices, between which the loop looks at its sockets and timers. The
order is that in which requests became the first of their connections: a client that sends many at once takes turns
with the others, which under an overload would wait behind all of them. What only reads gives way to the transactions of
the next 100 milliseconds, as long as these pass soon. When one has waited for 30 milliseconds there is too much to do,
and nobody gives way any more.

While transactions wait they are executed, one after the other. What each has left is committed and told, and its sender
answered, when none waits any more, or 20 milliseconds later; before anybody reads in any case. A leader, too, executes
in batches what it then commits, and takes transactions in apart from what it answers.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from slotzero.clock import elapsed_ns, is_due, later, mono_ns
from slotzero.localnet.arrivals import Arrivals
from slotzero.units import DurationNs, MonoNs

__all__ = ["Turns"]

_SLICE: Final = DurationNs(3_000_000)
_READS_GIVE_WAY: Final = DurationNs(100_000_000)
_OVERLOADED: Final = DurationNs(30_000_000)
_TOLD_WITHIN: Final = DurationNs(20_000_000)

Serve: TypeAlias = Callable[[], None]
_Waiting: TypeAlias = tuple[MonoNs, int, MonoNs, Serve]
"""Since when it is the first of its connection, its place among equals, when it came, and what serves it."""


class Turns:
    """Hands out turns.

    Args:
        is_transaction: Tells a request that brings a transaction from one that only reads, by its body.
        on_begin: Told of each request as it begins, whether it is a transaction and how long it has waited.
        settle_next: Commits and tells what the oldest transaction has left that was served and not settled.
    """

    def __init__(
        self,
        is_transaction: Callable[[bytes], bool],
        on_begin: Callable[[bool, DurationNs], None],
        settle_next: Callable[[], None],
    ) -> None:
        self.arrivals = Arrivals()
        self._is_transaction = is_transaction
        self._on_begin = on_begin
        self._settle_next = settle_next
        self._transactions: list[_Waiting] = []
        self._reads: list[_Waiting] = []
        """Heaps: the oldest is the next."""
        self._order = itertools.count()
        self._untold: deque[tuple[MonoNs, Callable[[], None]]] = deque()
        """What answers the transactions served, oldest first, and until when it is to be called."""
        self._serves_transaction = False
        self._is_planned = False
        """Whether a slice is to come."""

    def wait(self, body: bytes, came: MonoNs, first_since: MonoNs, serve: Serve) -> None:
        """Have `serve` called when it is the turn of a request. *Hot path.*

        Args:
            body: The request.
            came: When it came.
            first_since: Since when it is the first of its connection.
            serve: What serves it.
        """
        queue = self._transactions if self._is_transaction(body) else self._reads
        heapq.heappush(queue, (first_since, next(self._order), came, serve))
        self._plan_slice()

    def answer(self, write: Callable[[], None]) -> None:
        """Have `write` called, which answers the request that is being served, when that may be told. *Hot path.*"""
        if self._serves_transaction:
            self._untold.append((later(mono_ns(), _TOLD_WITHIN), write))
        else:
            write()

    def tell_all(self) -> None:
        """Settle and answer now whatever has been served."""
        while self._untold:
            self._tell_next()

    def _plan_slice(self) -> None:
        if not self._is_planned:
            self._is_planned = True
            asyncio.get_running_loop().call_soon(self._serve_slice)

    def _serve_slice(self) -> None:
        self._is_planned = False
        end = later(mono_ns(), _SLICE)
        try:
            while self._has_work():
                if self._is_for_a_transaction():
                    self._serve_next(self._transactions, is_transaction=True)
                elif self._untold:
                    self._tell_next()
                else:
                    self._serve_next(self._reads, is_transaction=False)
                if is_due(end, mono_ns()):
                    break
        finally:
            if self._has_work():
                self._plan_slice()

    def _has_work(self) -> bool:
        return bool(self._transactions or self._untold or self._reads)

    def _serve_next(self, queue: list[_Waiting], *, is_transaction: bool) -> None:
        self.arrivals.look()
        _, _, came, serve = heapq.heappop(queue)
        self._serves_transaction = is_transaction
        self._on_begin(is_transaction, elapsed_ns(came, mono_ns()))
        serve()

    def _is_for_a_transaction(self) -> bool:
        """Tell whether it is the turn of a transaction, or else of what is to be told and then of a read."""
        if not self._transactions:
            return False
        now = mono_ns()
        if self._untold and is_due(self._untold[0][0], now):
            return False
        since = self._transactions[0][0]
        gives_way = 0 if is_due(later(since, _OVERLOADED), now) else _READS_GIVE_WAY
        return not self._reads or since < later(self._reads[0][0], gives_way)

    def _tell_next(self) -> None:
        _, write = self._untold.popleft()
        try:
            self._settle_next()
        finally:
            write()
