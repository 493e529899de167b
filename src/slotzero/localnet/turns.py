"""When what has arrived is served, for all connections of the chain's loop together, and how long it has waited.

What comes while nothing waits is served at once. Anything else waits for its turn, by the time at which it came;
whatever only reads gives way to the transactions of the next ten milliseconds, no more, so that nobody waits for ever.
A real node, too, takes transactions in apart from what it answers. After a slice of serving the loop has its turn:
timers, sockets, notifications.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Final, TypeAlias

from slotzero.clock import elapsed_ns, is_due, later, mono_ns
from slotzero.localnet.arrivals import Arrivals
from slotzero.units import DurationNs, MonoNs

__all__ = ["Turns"]

_SLICE: Final = DurationNs(5_000_000)
"""What is told in one turn of the loop is one write. After each millisecond there would be several times as many: in a
pair of runs with 100 snipers the chain took 4 % and the bot 9 % more for each snipe."""
_READS_GIVE_WAY: Final = DurationNs(10_000_000)

Serve: TypeAlias = Callable[[], None]
_Waiting: TypeAlias = tuple[MonoNs, int, MonoNs, bool, Serve]


class Turns:
    """Hands out turns.

    Args:
        is_transaction: Tells a request that brings a transaction from one that only reads, by its body.
        on_begin: Told of each request as it begins, whether it is a transaction and how long it has waited.
    """

    def __init__(self, is_transaction: Callable[[bytes], bool], on_begin: Callable[[bool, DurationNs], None]) -> None:
        self.arrivals = Arrivals()
        self._is_transaction = is_transaction
        self._on_begin = on_begin
        self._waiting: list[_Waiting] = []
        """A heap: whose turn is next by when it came or is taken to have come, in order of arrival among equals."""
        self._order = itertools.count()
        self._is_serving = False
        """Whether a slice has begun that the loop has not ended yet."""
        self._began = MonoNs(0)

    def may_begin(self, body: bytes, came: MonoNs) -> bool:
        """Tell whether the request in `body`, which came at `came`, is served now; if not, `wait`. *Hot path.*"""
        if not self._is_serving:
            self._begin_slice()
        elif self._waiting or self._is_over():
            return False
        self._on_begin(self._is_transaction(body), elapsed_ns(came, mono_ns()))
        return True

    def wait(self, body: bytes, came: MonoNs, serve: Serve) -> None:
        """Have `serve` called when it is the turn of a request. *Hot path.*"""
        is_transaction = self._is_transaction(body)
        turn = came if is_transaction else later(came, _READS_GIVE_WAY)
        heapq.heappush(self._waiting, (turn, next(self._order), came, is_transaction, serve))

    def _begin_slice(self) -> None:
        self._is_serving = True
        self._began = MonoNs(mono_ns())
        asyncio.get_running_loop().call_soon(self._serve_slice)

    def _serve_slice(self) -> None:
        self._is_serving = False
        if self._waiting:
            self._begin_slice()
        while self._waiting:
            self.arrivals.look()
            _, _, came, is_transaction, serve = heapq.heappop(self._waiting)
            self._on_begin(is_transaction, elapsed_ns(came, mono_ns()))
            serve()
            if self._is_over():
                return

    def _is_over(self) -> bool:
        return is_due(later(self._began, _SLICE), mono_ns())
