"""JSON-RPC over few connections, as lean as asyncio allows: the load must not be its own bottleneck.

Requests of one connection are pipelined and answered in order. A client library would cost 0.1 ms a request, as much as
building and signing what is sent.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Final, TypeVar, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Struct, UnsetType

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.errors import MalformedError, RpcError, TransportError
from slotzero.perf.histogram import Histogram
from slotzero.units import MonoNs

__all__ = ["ChainLines"]

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_OK: Final = b" 200 "

T = TypeVar("T")


class _Error(Struct):
    code: int = 0
    message: str = ""


class _Reply(Struct):
    result: msgspec.Raw | UnsetType = UNSET
    error: _Error | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Reply).decode


class _Line(asyncio.Protocol):
    def __init__(self, endpoint: str, answered: Histogram) -> None:
        self._endpoint = endpoint
        self._answered = answered
        self._waiting: deque[tuple[str, asyncio.Future[msgspec.Raw], MonoNs]] = deque()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    @property
    def load(self) -> int:
        return len(self._waiting)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        reason = f"the connection was lost ({exc or 'closed'})"
        for _, future, _ in self._waiting:
            if not future.done():
                future.set_exception(TransportError(self._endpoint, reason))
                future.exception()  # looked at: of those that nobody waits for only a count is wanted
        self._waiting.clear()

    def call(self, method: str, params: object) -> asyncio.Future[msgspec.Raw]:
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            future.set_exception(TransportError(self._endpoint, "there is no connection"))
            future.exception()
            return future
        body = _encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        head = b"POST / HTTP/1.1\r\nHost: chain\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._waiting.append((method, future, MonoNs(mono_ns())))
        self._transport.write(head + body)
        return future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while (head := buffer.find(_HEAD_END)) >= 0:
            top = bytes(buffer[:head]).lower()
            at = top.find(_LENGTH)
            length = int(top[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            end = head + len(_HEAD_END) + length
            if len(buffer) < end:
                return
            body = bytes(buffer[head + len(_HEAD_END) : end])
            del buffer[:end]
            self._answer(body, is_ok=_OK in top[:16])

    def _answer(self, body: bytes, *, is_ok: bool) -> None:
        method, future, asked = self._waiting.popleft()
        self._answered.record(elapsed_ns(asked, mono_ns()))
        if future.done():
            return
        try:
            reply = _decode(body)
        except msgspec.MsgspecError as error:
            future.set_exception(MalformedError(f"{method} was answered with something else: {error}"))
        else:
            if reply.error is not None or not is_ok:
                refusal = reply.error or _Error(message="the answer's status was not 200")
                future.set_exception(RpcError(self._endpoint, refusal.code, f"{method}: {refusal.message}"))
            elif isinstance(reply.result, msgspec.Raw):
                future.set_result(reply.result)
            else:
                future.set_exception(MalformedError(f"{method} was answered with neither a result nor an error"))
        if not future.cancelled():
            future.exception()


class ChainLines:
    """A few connections to one port: each transaction goes out on the one that waits for the fewest answers.

    Whatever else is asked has a line of its own: the chain answers the requests of a connection in their order, and a
    transaction behind one that only reads would give way to other transactions with it.

    Args:
        lines: Connected ones, two at least.
        answered: What all of them but the first record.

    Attributes:
        answered: How long the chain took to answer what was sent, from the request to its answer.
    """

    def __init__(self, lines: list[_Line], answered: Histogram) -> None:
        self.answered = answered
        self._all = lines
        self._other, *self._sending = lines

    @classmethod
    async def open(cls, url: str, count: int = 8) -> "ChainLines":
        """Connect. *Does I/O.*

        Args:
            url: Of the port.
            count: How many for transactions. The chain serves one request of each connection in turn, so this is also
                the market's share of a chain that has too much to do: with 48 the bot's 64 connections got little of
                it, and what it asked came too late.

        Raises:
            OSError: Nobody listens there.
        """
        address = urlsplit(url)
        host, port = address.hostname, address.port
        assert host is not None, "a chain's address names its host"
        assert port is not None, "and its port"
        loop, lines, answered = asyncio.get_running_loop(), list[_Line](), Histogram()
        try:
            for times in (Histogram(), *[answered] * count):
                _, line = await loop.create_connection(partial(_Line, url, times), host, port)
                lines.append(line)
        except BaseException:
            for line in lines:
                line.close()
            raise
        return cls(lines, answered)

    def call(self, method: str, *params: object) -> asyncio.Future[msgspec.Raw]:
        """Send a request now; the future has its result, or the SlotzeroError it failed with."""
        line = min(self._sending, key=_load) if method == "sendTransaction" else self._other
        return line.call(method, params)

    async def ask(self, kind: type[T], method: str, *params: object) -> T:
        """Send a request and return its result as a `kind`.

        Raises:
            SlotzeroError: It failed, or the answer is something else.
        """
        raw = await self.call(method, *params)
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.MsgspecError as error:
            raise MalformedError(f"{method} was answered with something else: {error}") from error

    def close(self) -> None:
        """Cut the connections."""
        for line in self._all:
            line.close()


def _load(line: _Line) -> int:
    return line.load
