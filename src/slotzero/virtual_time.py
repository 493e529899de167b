"""An event loop whose time stands still while anybody works and jumps ahead when everybody waits.

What runs on it takes as long as its timers say and never as long as the machine took: two runs of the same program see
the same instants. That holds as long as nothing but timers is waited for. A thread or a socket answers at an instant of
the real world, so who needs equal runs uses neither.
"""

import asyncio
import selectors
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from slotzero.clock import later
from slotzero.errors import SlotzeroError
from slotzero.units import MonoNs, WallNs

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ["StalledError", "VirtualClock", "VirtualLoop"]

_NS_PER_S: Final = 1_000_000_000


class StalledError(SlotzeroError):
    """Everybody waits, and nobody for an instant: time would stand still for ever."""


class _Jump(selectors.BaseSelector):
    """A selector that does not sleep: it moves the loop's time instead."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.elapsed_ns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = self._real.select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise StalledError("the program waits for something that no timer brings about")
        self.elapsed_ns += max(1, -int(-timeout * _NS_PER_S // 1))  # rounded up: a timer is never early
        return events

    def register(self, fileobj: "FileDescriptorLike", events: int, data: object = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: "FileDescriptorLike", events: int, data: object = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping["FileDescriptorLike", selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. Its time begins at 0, so that a float holds every nanosecond of eleven days."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Return the loop's time in seconds, which everything of asyncio that waits goes by."""
        return self._jump.elapsed_ns / _NS_PER_S

    @property
    def elapsed_ns(self) -> int:
        """How much time has gone by."""
        return self._jump.elapsed_ns


class VirtualClock:
    """The clock of a virtual loop, set to an instant of the past.

    Args:
        loop: Whose time.
        mono_ns: The monotonic instant of its beginning.
        wall_ns: The wall-clock instant of its beginning.
    """

    def __init__(self, loop: VirtualLoop, *, mono_ns: MonoNs, wall_ns: WallNs) -> None:
        self._loop = loop
        self._mono_ns = mono_ns
        self._wall_ns = wall_ns

    def mono_ns(self) -> MonoNs:
        """Return the monotonic instant now."""
        return later(self._mono_ns, self._loop.elapsed_ns)

    def wall_ns(self) -> WallNs:
        """Return the wall-clock instant now."""
        return WallNs(self._wall_ns + self._loop.elapsed_ns)

    async def sleep_until(self, deadline: MonoNs) -> None:
        """Return at `deadline` or after it, never before. *Cancellation: safe.*"""
        while (left := deadline - self.mono_ns()) > 0:
            await asyncio.sleep(left / _NS_PER_S)
