"""When what is read from a socket had come: the loop reads it later, at times much later, and nobody tells it.

A loop that is handed twenty requests reads the twentieth when it has served nineteen. So before each request all
sockets are looked at once more, by an epoll of their own that tells only what is new (edge-triggered), and what is new
has come now. That makes an instant of arrival right to the length of one request (about 1 ms), rather too late than too
early. Where there is no epoll (not Linux), what is read has come when it is read.
"""

import select
from typing import Final

from slotzero.clock import mono_ns
from slotzero.units import MonoNs

__all__ = ["Arrivals"]

_MOST_AT_ONCE: Final = 1_024


class Arrivals:
    """Watches the sockets of a loop."""

    def __init__(self) -> None:
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._came: dict[int, MonoNs] = {}

    def watch(self, fd: int) -> None:
        """Begin to watch a socket. That ends by itself when it is closed."""
        self._came.pop(fd, None)  # of a socket that had this number before
        if self._epoll is not None:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLET)

    def forget(self, fd: int) -> None:
        """End the watch on a socket that stays open."""
        self._came.pop(fd, None)
        if self._epoll is not None:
            self._epoll.unregister(fd)

    def look(self) -> None:
        """See what is new. *Hot path* (1 us)."""
        if self._epoll is not None:
            now = MonoNs(mono_ns())
            for fd, _ in self._epoll.poll(0, _MOST_AT_ONCE):
                self._came.setdefault(fd, now)

    def take(self, fd: int) -> MonoNs:
        """Return when the oldest of what has just been read from a socket had come. *Hot path.*"""
        self.look()
        came = self._came.pop(fd, None)
        return MonoNs(mono_ns()) if came is None else came
