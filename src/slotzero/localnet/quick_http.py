"""The common case of JSON-RPC over HTTP, read by hand: a POST to / with a length and a body, answered at once.

aiohttp took a quarter of what the chain spent under load, this takes 3 %: 81 snipes a second in place of 68. Whatever
is not the common case (another method or path, an upgrade, chunks, a port with faults) is handed over to aiohttp, the
connection with everything read so far, and stays there.

Requests are served when it is their turn (see `turns`), those of one connection in their order.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, cast

from slotzero.clock import mono_ns
from slotzero.localnet.turns import Turns
from slotzero.units import MonoNs

__all__ = ["QuickConnection"]

_BEGINNING: Final = b"POST / HTTP/1.1\r\n"
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length:"
_UNCOMMON: Final = (
    b"\r\ntransfer-encoding:",
    b"\r\ncontent-encoding:",
    b"\r\nexpect:",
    b"\r\nupgrade:",
    b"close",
)
"""In small letters. `Connection` has many spellings, so any head with the word is left to aiohttp, which knows them."""
_MAX_HEAD_BYTES: Final = 8_192
_LENGTH_DIGITS: Final = 7
_MOST_INSTANTS: Final = 64
"""Instants of arrival kept for one connection; of what comes in more pieces only the last one's is known."""
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class QuickConnection(asyncio.Protocol):
    """Serves one connection until something uncommon comes.

    Args:
        turns: When each request is served.
        answer: Returns the answer to a body.
        is_common: Whether requests may be answered here at all; asked before each.
        hand_over: Returns what serves the connection from then on.
        on_end: Called when the connection is not this object's any more.
        max_body: The longest body in bytes; a longer one is not common.
    """

    def __init__(
        self,
        turns: Turns,
        answer: Callable[[bytes], bytes],
        *,
        is_common: Callable[[], bool],
        hand_over: Callable[[], asyncio.Protocol],
        on_end: Callable[["QuickConnection"], None],
        max_body: int,
    ) -> None:
        self._turns = turns
        self._answer = answer
        self._is_common = is_common
        self._hand_over = hand_over
        self._on_end = on_end
        self._max_body = max_body
        self._buffer = bytearray()
        self._needs = 0
        """How long the buffer must be before it is worth looking at again."""
        self._came: deque[tuple[int, MonoNs]] = deque()
        """When the buffer's bytes came: up to which place, and when. A client may send several requests at once."""
        self._fd = -1
        self._served_at = MonoNs(0)
        """When the last request was served."""
        self._unanswered = 0
        self._is_waiting = False
        """For its next turn."""
        self._is_paused = False
        """Until its client reads."""
        self.transport: asyncio.Transport | None = None

    @property
    def requests(self) -> int:
        """Return how many requests are under way: those served and not answered, and one that has only begun."""
        return self._unanswered + bool(self._buffer)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not of that class
        self._fd = transport.get_extra_info("socket").fileno()
        self._turns.arrivals.watch(self._fd)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 the protocol's signature
        """End."""
        self.transport = None
        self._on_end(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes in. *Hot path.*"""
        self._buffer += data
        if len(self._came) == _MOST_INSTANTS:
            self._came.pop()
        self._came.append((len(self._buffer), self._turns.arrivals.take(self._fd)))
        if not (self._is_waiting or self._is_paused) and len(self._buffer) >= self._needs:
            self._ask()
        elif len(self._buffer) > 2 * self._max_body and self.transport is not None:
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        """Wait for a client that does not read its answers."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._is_paused = False
        if self._buffer and not self._is_waiting:
            self._ask()

    def _ask(self) -> None:
        """Have the next request served when it is its turn, if it is here."""
        transport, buffer = self.transport, self._buffer
        if transport is None or transport.is_closing():
            return
        head = buffer.find(_HEAD_END)
        if head < 0 and buffer.startswith(_BEGINNING[: len(buffer)]) and len(buffer) <= _MAX_HEAD_BYTES:
            return
        length = _body_length(bytes(buffer[: head + 2])) if head >= 0 and self._is_common() else None
        if length is None or length > self._max_body:
            self._leave(transport)
            return
        begin = head + len(_HEAD_END)
        end = begin + length
        if len(buffer) < end:
            self._needs = end
            return
        body = bytes(buffer[begin:end])
        came = next(at for upto, at in self._came if upto >= end)
        self._is_waiting = True
        self._turns.wait(body, came, MonoNs(max(came, self._served_at)), partial(self._serve, body, end))

    def _serve(self, body: bytes, end: int) -> None:
        """Serve the request that ends at a place of the buffer."""
        self._is_waiting = False
        transport, buffer = self.transport, self._buffer
        if transport is None or transport.is_closing() or self._is_paused:
            return
        if not self._is_common():
            self._leave(transport)
            return
        del buffer[:end]
        self._came = deque((upto - end, at) for upto, at in self._came if upto > end)
        self._needs = 0
        if len(buffer) <= self._max_body:
            transport.resume_reading()
        try:
            answer = self._answer(body)
        except BaseException:
            transport.abort()  # a bug: whoever asked hears of it, and nobody waits for an answer
            raise
        self._unanswered += 1
        self._served_at = MonoNs(mono_ns())
        self._turns.answer(partial(self._write, answer))
        if buffer:
            self._ask()

    def _write(self, answer: bytes) -> None:
        self._unanswered -= 1
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(_ANSWER % (len(answer), answer))

    def _leave(self, transport: asyncio.Transport) -> None:
        self._turns.tell_all()  # the successor's answers come after those to what has been served
        successor = self._hand_over()
        self._turns.arrivals.forget(self._fd)
        self.transport = None
        self._on_end(self)
        transport.set_protocol(successor)
        successor.connection_made(transport)
        successor.data_received(bytes(self._buffer))
        self._buffer.clear()


@lru_cache(maxsize=256)
def _body_length(head: bytes) -> int | None:
    """Return the length of a common request's body, None for any other. A client's heads are few. *Pure.*"""
    head = head.lower()
    if not head.startswith(_BEGINNING.lower()) or any(field in head for field in _UNCOMMON):
        return None
    at = head.find(_LENGTH)
    digits = head[at + len(_LENGTH) : head.find(b"\r\n", at + 2)].strip() if at >= 0 else b""
    if not digits.isdigit() or len(digits) > _LENGTH_DIGITS or head.count(_LENGTH) > 1:
        return None
    return int(digits)
