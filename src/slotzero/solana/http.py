"""POST over keep-alive HTTP/1.1 to one origin: what JSON-RPC needs, and nothing else.

A general client spends three to five times as much on each call (`benchmarks/bench_http_client.py`): sessions, cookies,
redirects, trace hooks, a timer object per phase. A sniper makes some seven calls for each pool, and its processor time
stands between a pool and the buy. What is left here: connections that are kept and taken again, newest first, of which
reads leave one alone; one request at a time on each; a limit of time and of bytes. Parsing is llhttp's (`httptools`),
connecting is `aiohappyeyeballs`', TLS the standard library's with the system's certificates.

Not here, on purpose: redirects (one would take a signed transaction to a host nobody has configured), compression,
cookies, proxies, retries (who asks knows whether a second try is safe). The one second try is for a kept connection
that the other side had already closed, and only where who asks allows it.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from base64 import b64encode
from collections import deque
from functools import cache
from typing import Final, Self, cast
from urllib.parse import SplitResult, quote, unquote, urlsplit

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec import Struct

from slotzero import __version__

__all__ = ["AddressError", "CrowdedTimeoutError", "HttpClient", "HttpReply", "ProtocolError", "TooLargeError"]

_MOST_CALLS: Final = 64
_KEPT_IDLE_S: Final = 60.0
_KEPT_ADDRESSES_S: Final = 60.0
_HAPPY_EYEBALLS_S: Final = 0.25
_PORTS: Final = {"http": 80, "https": 443}
_MOST_BESIDE_THE_BODY: Final = 64 * 1024
_MOST_BY_A_BYTE: Final = 8
"""A body may come in chunks of one byte, of which each takes five more."""
_INFORMATIONAL: Final = range(100, 200)
_SAFE_IN_PATH: Final = "/%:@!$&'()*+,;=~"
_SAFE_IN_QUERY: Final = _SAFE_IN_PATH + "?"


class AddressError(OSError):
    """The URL is none, or none of HTTP."""


class ProtocolError(ConnectionError):
    """The other side does not speak HTTP/1.1 as it should, or hung up before its reply was complete."""


class CrowdedTimeoutError(TimeoutError):
    """The call had to wait for a place behind other calls of this client: its time is no measure of the other side's.

    Attributes:
        has_left: Whether it was begun at last. False = it never got a place, and nothing of it was sent.
    """

    def __init__(self, *, has_left: bool) -> None:
        self.has_left = has_left
        super().__init__("other calls had all places")


class TooLargeError(ConnectionError):
    """The reply has more bytes than it may have."""


class HttpReply(Struct, frozen=True, kw_only=True, gc=False):
    """A whole reply.

    Attributes:
        status: The HTTP status; nothing is made of it here.
        retry_after: The header of that name as it came, None without one.
        body: As it came.
    """

    status: int
    retry_after: str | None
    body: bytes


class HttpClient:
    """One origin, over as many connections as there are calls at once.

    At most 64 calls are under way, further ones wait for a place; and as many urgent ones, which have places of their
    own: a sell does not queue behind reads. Nor does it connect because of them: other calls leave the last idle
    connection alone and open another, so there is one more than there are such calls at once.

    Args:
        url: `http(s)://[user:password@]host[:port][/path][?query]`. Nothing of it appears in an error; that it is
            nothing of the kind is told by the first call.
        timeout_ms: How long one call may take, connecting and waiting for a connection included.
        most_bytes: How long a reply's body may be.
    """

    def __init__(self, url: str, *, timeout_ms: int, most_bytes: int) -> None:
        self._url = url
        self._timeout_s = timeout_ms / 1000
        self._most_bytes = most_bytes
        self._heads: dict[str, bytes] = {}
        self._places = asyncio.Semaphore(_MOST_CALLS)
        self._urgent_places = asyncio.Semaphore(_MOST_CALLS)
        self._idle: deque[_Connection] = deque()
        self._all: set[_Connection] = set()
        self._addresses = _Addresses()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        """Return itself: connections are made when they are needed."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Close all connections; a call that still waits fails."""
        self._is_closed = True
        self._addresses.close()
        for connection in tuple(self._all):
            connection.close()

    async def post(
        self, body: bytes, *, below: str = "", is_urgent: bool = False, is_repeatable: bool = False
    ) -> HttpReply:
        """Send `body` as JSON and return the whole reply. *Hot path. Cancellation: leaves an unknown send.*

        Args:
            body: The request's body.
            below: What follows the URL's path, `bundles?uuid=7` for example; the URL has no query then.
            is_urgent: Whether it takes one of the places kept for such calls, and the connection.
            is_repeatable: Whether doing it twice is the same as doing it once. When a kept connection ends before any
                byte of the reply, as one does that the other side has just found idle for too long, it is asked once
                more on a new one.

        Raises:
            TimeoutError: It was not answered in time. Whether it was acted on is unknown. (`CrowdedTimeoutError` when
                it had to wait for a place before.)
            OSError: There is no connection, or it ended (`ProtocolError`, `TooLargeError` are among these). After a
                connection was made, whether the request was acted on is unknown.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        places = self._urgent_places if is_urgent else self._places
        if is_crowded := places.locked():
            try:
                async with asyncio.timeout_at(deadline):
                    await places.acquire()
            except TimeoutError:
                raise CrowdedTimeoutError(has_left=False) from None
        else:
            await places.acquire()  # does not wait, and needs no timer
        connection: _Connection | None = None
        try:
            connection = self._kept(is_urgent=is_urgent)
            if connection is not None:
                try:
                    return await connection.ask(self._head(below), body, deadline)
                except ConnectionError:
                    if not is_repeatable or connection.has_begun_reply:
                        raise
            connection = await self._opened(deadline)
            return await connection.ask(self._head(below), body, deadline)
        except TimeoutError:
            if is_crowded:
                raise CrowdedTimeoutError(has_left=True) from None
            raise
        finally:
            places.release()
            if connection is not None and connection.is_free:
                self._idle.append(connection)

    def _kept(self, *, is_urgent: bool) -> "_Connection | None":
        """Return a connection that nobody uses: the newest for an urgent call, the one after it for any other.

        The newest is the surest to be alive, and by leaving it the others take two in turns, so both stay so.
        """
        now = asyncio.get_running_loop().time()
        while self._idle and self._idle[0].idle_since + _KEPT_IDLE_S < now:
            self._idle.popleft().close()
        left = None if is_urgent else self._newest()
        taken = self._newest()
        if left is not None:
            self._idle.append(left)
        return taken

    def _newest(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_free:
                return connection
        return None

    async def _opened(self, deadline: float) -> "_Connection":
        """Return a new connection. If none can be made, one that is idle: a host that takes no more is still asked."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._connect()
        except OSError as error:
            self._addresses.doubt()
            idle = None if isinstance(error, TimeoutError) else self._newest()
            if idle is None:
                raise
            return idle

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        parts = _parsed(self._url)
        host = parts.hostname
        assert host is not None
        tls = _tls() if parts.scheme == "https" else None
        plain = await self._plain(host, parts.port or _PORTS[parts.scheme])
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                lambda: _Connection(loop, self._most_bytes, self._all),
                sock=plain,
                ssl=tls,
                server_hostname=None if tls is None else host,
            )
        except BaseException:
            plain.close()
            raise
        if self._is_closed:
            connection.close()
            raise ProtocolError("the client was closed")
        return connection

    async def _plain(self, host: str, port: int) -> socket.socket:
        """Return a socket that is connected, without TLS."""
        if self._is_closed:
            raise ProtocolError("the client was closed")
        found = _literal(host, port) or await self._addresses.of(host, port)
        connector = cast("asyncio.AbstractEventLoop", _Connector())
        return await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_HAPPY_EYEBALLS_S, loop=connector)

    def _head(self, below: str) -> bytes:
        """Return a request's head up to its length."""
        head = self._heads.get(below)
        if head is None:
            head = self._heads[below] = _head(_parsed(self._url), below)
        return head


class _Addresses:
    """Where a host is: looked up once for all who wait for it, and kept for a minute.

    Names are resolved by a handful of threads. With a look-up for each connection, twenty reads that connected kept a
    send from it until it had no time left.
    """

    def __init__(self) -> None:
        self._found: list[AddrInfoType] = []
        self._fresh_until = 0.0
        self._lookup: asyncio.Task[list[AddrInfoType]] | None = None

    async def of(self, host: str, port: int) -> list[AddrInfoType]:
        """Return the addresses; the old ones while newer ones are looked up. *Cancellation: ends no look-up.*"""
        loop = asyncio.get_running_loop()
        lookup = self._lookup
        if lookup is None and self._fresh_until <= loop.time():
            lookup = self._lookup = loop.create_task(_look_up(host, port), name="look-up of a host")
            lookup.add_done_callback(self._looked_up)
        if self._found:
            return self._found
        assert lookup is not None
        await asyncio.wait([lookup])
        if lookup.cancelled():
            raise ProtocolError("the client was closed")
        return lookup.result()

    def doubt(self) -> None:
        """Have them looked up again for the next connection: nobody was met there."""
        self._fresh_until = 0.0

    def close(self) -> None:
        """End a look-up under way; those who wait for it fail."""
        if self._lookup is not None:
            self._lookup.cancel()

    def _looked_up(self, lookup: "asyncio.Task[list[AddrInfoType]]") -> None:
        self._lookup = None
        if not lookup.cancelled() and lookup.exception() is None:  # else the old ones are as good as any
            self._found = lookup.result()
            self._fresh_until = asyncio.get_running_loop().time() + _KEPT_ADDRESSES_S


class _Connector:
    """What `aiohappyeyeballs` asks of a loop.

    uvloop's own `sock_connect` sends every address through the resolver's threads, behind all names under way there.
    """

    async def sock_connect(self, plain: socket.socket, address: tuple[str, int]) -> None:
        """Connect a socket that does not block."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BlockingIOError, InterruptedError):
            plain.connect(address)
            return
        is_settled = asyncio.Event()
        loop.add_writer(plain, is_settled.set)
        try:
            await is_settled.wait()
        finally:
            loop.remove_writer(plain)
        if code := plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code))


class _Connection(asyncio.Protocol):
    """One connection, one request at a time.

    Args:
        loop: The running loop.
        most_bytes: How long a body may be.
        all_: Where it enters itself while it is open.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, most_bytes: int, all_: "set[_Connection]") -> None:
        self._loop = loop
        self._most_bytes = most_bytes
        self._all = all_
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._reply: asyncio.Future[HttpReply] | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._received = 0
        self._retry_after: str | None = None
        self._has_length = False
        self._has_head = False
        self.idle_since = 0.0

    @property
    def is_free(self) -> bool:
        """Whether another request may be asked on it."""
        return self._transport is not None and self._reply is None and not self._transport.is_closing()

    @property
    def has_begun_reply(self) -> bool:
        """Whether anything has come since it was last asked."""
        return self._received > 0

    async def ask(self, head: bytes, body: bytes, deadline: float) -> HttpReply:
        """Send a request and return its reply; without a whole one the connection is closed."""
        transport = self._transport
        if transport is None:
            raise ProtocolError("the connection was closed")
        reply: asyncio.Future[HttpReply] = self._loop.create_future()
        self._reply = reply
        transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        timer = self._loop.call_at(deadline, self._fail, TimeoutError())
        try:
            return await reply
        finally:
            timer.cancel()
            if self._reply is not None:  # cancelled
                self._reply = None
                self.close()

    def close(self) -> None:
        """Close it at once."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    # ---- asyncio's callbacks -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self._all.add(self)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._reply is None:  # nobody has asked: whatever it is, the next reply would not be the next question's
            self.close()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fail(ProtocolError("the reply is no HTTP/1.1"))
        # The parser bounds nothing: neither a header, nor how many there are, nor what comes with chunks.
        if self._received > self._size * (1 + _MOST_BY_A_BYTE) + _MOST_BESIDE_THE_BODY:
            self._fail(TooLargeError(f"the reply has more than {_MOST_BESIDE_THE_BODY} bytes beside its body"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End: a reply without a length is complete now, any other is not."""
        self._all.discard(self)
        self._transport = None
        if self._reply is None:
            return
        if exc is None and self._has_head and not self._has_length:
            self._complete()
        else:
            self._fail(exc if isinstance(exc, OSError) else ProtocolError("the connection was closed"))

    # ---- the parser's callbacks --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Close when nobody has asked for it: its rest would answer the next question."""
        if self._reply is None:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Look at one header."""
        name = name.lower()
        if name == b"retry-after":
            self._retry_after = value.decode("latin-1")
        elif name in {b"content-length", b"transfer-encoding"}:
            self._has_length = True

    def on_headers_complete(self) -> None:
        """Remember that there is a head."""
        self._has_head = True

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body."""
        self._size += len(part)
        if self._size <= self._most_bytes:
            self._body.append(part)
        else:
            self._fail(TooLargeError(f"the reply has more than {self._most_bytes} bytes"))

    def on_message_complete(self) -> None:
        """Hand the reply over."""
        self._complete()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _complete(self) -> None:
        status = self._parser.get_status_code()
        body, retry_after = b"".join(self._body), self._retry_after
        self._body.clear()
        self._size = 0
        self._retry_after = None
        self._has_length = self._has_head = False
        if status in _INFORMATIONAL:  # the reply itself is still to come
            return
        self._received = 0
        reply, self._reply = self._reply, None
        self.idle_since = self._loop.time()
        if reply is None or not self._parser.should_keep_alive():
            self.close()
        if reply is not None and not reply.done():
            reply.set_result(HttpReply(status=status, retry_after=retry_after, body=body))

    def _fail(self, error: OSError) -> None:
        reply, self._reply = self._reply, None
        self.close()
        if reply is not None and not reply.done():
            reply.set_exception(error)


@cache
def _tls() -> ssl.SSLContext:
    """Return the process's one context: reading the system's certificates takes some 20 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _look_up(host: str, port: int) -> list[AddrInfoType]:
    return list(await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _literal(host: str, port: int) -> list[AddrInfoType]:
    """Return the address a host is written as; empty when it is a name. *Pure.*"""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            address = (host, port) if family == socket.AF_INET else (host, port, 0, 0)
            return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]
    return []


def _parsed(url: str) -> SplitResult:
    with contextlib.suppress(ValueError):  # a bracket that is not closed, a port that is no number, no name of a host
        parts = urlsplit(url)
        if parts.scheme in _PORTS and parts.hostname and parts.hostname.encode("idna") and parts.port != 0:
            return parts
    raise AddressError("an address begins with http:// or https:// and a host")


def _head(parts: SplitResult, below: str) -> bytes:
    """Return the head of a request up to the number of its bytes. *Pure.*"""
    path = parts.path or "/"
    target, query = f"{path.rstrip('/')}/{below}" if below else path, parts.query
    if "?" in target:
        target, _, query = target.partition("?")
    target = quote(target, safe=_SAFE_IN_PATH) + (f"?{quote(query, safe=_SAFE_IN_QUERY)}" if query else "")
    assert parts.hostname is not None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname.encode("idna").decode()
    port = "" if parts.port in {None, _PORTS[parts.scheme]} else f":{parts.port}"
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {host}{port}",
        f"User-Agent: slotzero/{__version__}",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
    ]
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Authorization: Basic {b64encode(pair.encode()).decode()}")
    return ("\r\n".join(lines) + "\r\nContent-Length: ").encode()
