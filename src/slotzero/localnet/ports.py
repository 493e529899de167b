"""The chain's sockets: JSON-RPC over HTTP and WebSocket on loopback ports, which can be stopped and started.

aiohttp serves both protocols on one port and one request of a connection at a time, which keeps the loop fair. The
common request is read before it comes to that, by the same rule (see `quick_http`). What a connection is told in one
turn of the loop is one write: at 100 snipes a second there are 1,250 writes a second instead of 3,400 (1,100 of them
are answers over HTTP), and who is told is woken as many times fewer.
"""

import abc
import asyncio
import errno
import logging
import socket
from collections import Counter
from contextlib import suppress
from typing import Final, cast

import msgspec
from aiohttp import HttpVersion11, WSMsgType, web
from msgspec import Struct

from slotzero.clock import Clock, later
from slotzero.errors import UsageError
from slotzero.localnet.faults import FaultCounts, FaultPlan, Faults
from slotzero.localnet.params import RpcFault
from slotzero.localnet.pubsub import Outbox, Pubsub
from slotzero.localnet.quick_http import QuickConnection
from slotzero.localnet.rpc import Rpc, error_json, is_admin
from slotzero.localnet.turns import Turns
from slotzero.units import DurationNs, MonoNs

__all__ = ["HOST", "LoopbackPort", "Port", "PortStats"]

logger = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
MAX_BODY_BYTES: Final = 1024 * 1024
"""aiohttp's own default for a request's body, and our bound for a WebSocket message."""
_BACKLOG: Final = 1024
_CLOSE_TIMEOUT_S: Final = 1.0
_GOING_AWAY: Final = 1001
_TOO_MANY_REQUESTS: Final = 429
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_WRITE_BYTES: Final = 256 * 1024
"""Of notifications, at once; and unread by a client before more are written. Past that they wait in the outbox."""
_UNREAD_PAUSE: Final = DurationNs(5_000_000)
# The longest texts whose length a frame's header tells in its second byte, and in two bytes.
_SHORT: Final = 125
_MEDIUM: Final = 0xFFFF


class PortStats(Struct, frozen=True, kw_only=True, rename="camel"):
    """Counters of a port.

    Attributes:
        connections: Open now, HTTP and WebSocket.
        requests: HTTP requests since the chain's start, refused ones included; a batch is one.
    """

    port: int
    is_open: bool
    connections: int
    requests: int
    faults: FaultCounts


class LoopbackPort(abc.ABC):
    """A port that can be stopped, started again on the number it had, and made to refuse everybody.

    Stopping and listening are synchronous, so that an RPC method can do them and its answer is true; only accepting
    needs a task, and until it runs the kernel keeps new connections waiting.

    Args:
        faults: What goes wrong here.
        clock: What delays are taken from.
    """

    def __init__(self, *, faults: Faults, clock: Clock) -> None:
        self.faults = faults
        self._clock = clock
        self._group: asyncio.TaskGroup | None = None
        self._number = 0
        self._requests = 0
        self._listener: socket.socket | None = None
        self._server: asyncio.AbstractServer | None = None

    @property
    def number(self) -> int:
        """The port's number; 0 before `listen`."""
        return self._number

    @property
    def is_open(self) -> bool:
        """Whether it takes connections."""
        return self._listener is not None

    def listen(self, number: int) -> socket.socket:
        """Take the port and return its socket; connections wait in the kernel until `serve`.

        Args:
            number: 0 takes a free one.

        Raises:
            UsageError: The port is taken or not ours to take.
        """
        self._listener = listener = _listening(number)
        self._number = int(listener.getsockname()[1])
        return listener

    async def serve(self, group: asyncio.TaskGroup) -> None:
        """Return when connections are being accepted. `group` owns what accepts them after a later `start`."""
        self._group = group
        assert self._listener is not None, "listen comes first"
        await self._accept(self._listener)

    def start(self) -> None:
        """Listen again on the number it had. Does nothing when it is open. Raises what `listen` raises."""
        assert self._group is not None, "serve comes first"
        if self._listener is None:
            listener = self.listen(self._number)
            self._group.create_task(self._accept(listener), name=f"localnet port {self._number}")

    def stop(self) -> None:
        """Refuse new connections and cut the others, in the middle of a request or not. Does nothing when closed."""
        if self._listener is None:
            return
        if self._server is None:
            self._listener.close()
        else:
            self._server.close()
        self._listener = self._server = None
        self._cut()

    def set_faults(self, plan: FaultPlan) -> None:
        """Have the port's faults be these from now on."""
        self.faults.set(plan)
        if plan.refuse_connections:
            self._cut()

    async def close(self) -> None:
        """End in order."""
        if self._server is not None:
            self._server.close()
        elif self._listener is not None:
            self._listener.close()
        await self._end_connections()

    def stats(self) -> PortStats:
        """Return the counters."""
        return PortStats(
            port=self._number,
            is_open=self.is_open,
            connections=len(self._connections()),
            requests=self._requests,
            faults=self.faults.counts(),
        )

    @abc.abstractmethod
    def _protocol(self) -> asyncio.Protocol:
        """Return what serves a new connection."""

    @abc.abstractmethod
    def _connections(self) -> list[tuple[asyncio.Transport, int]]:
        """Return the open connections, each with how many requests are under way on it."""

    @abc.abstractmethod
    async def _end_connections(self) -> None:
        """End what is open in order."""

    async def _accept(self, listener: socket.socket) -> None:
        if self._listener is not listener:
            return  # stopped before it came to this
        # Known before it may suspend, so that `stop` always closes what has been opened.
        self._server = server = await asyncio.get_running_loop().create_server(
            self._connection, sock=listener, backlog=_BACKLOG, start_serving=False
        )
        await server.start_serving()

    def _connection(self) -> asyncio.Protocol:
        return _Refusal() if self.faults.refuses_connection() else self._protocol()

    def _cut(self) -> None:
        """End every connection in the middle of whatever it does, and count."""
        for transport, requests in self._connections():
            self.faults.cut(connections=1, requests=requests)
            transport.abort()

    async def _pass(self, delay: DurationNs) -> None:
        if delay:
            await self._clock.sleep_until(later(self._clock.mono_ns(), delay))

    def _frame_due(self) -> MonoNs:
        return self.faults.frame_due(self._clock.mono_ns()) if self.faults.is_armed else MonoNs(0)


class Port(LoopbackPort):
    """JSON-RPC and subscriptions: bytes between aiohttp's connections and the synchronous parts.

    Args:
        rpc: Answers the requests.
        pubsub: Serves the WebSockets; None takes none.
        turns: When each request is served; shared with the other ports of the loop.
        faults: What goes wrong here.
        clock: What delays are taken from.
    """

    def __init__(self, rpc: Rpc, pubsub: Pubsub | None, turns: Turns, *, faults: Faults, clock: Clock) -> None:
        super().__init__(faults=faults, clock=clock)
        self._rpc = rpc
        self._pubsub = pubsub
        self._http = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._under_way: Counter[asyncio.BaseTransport] = Counter()
        """Requests by connection; WebSockets are no requests."""
        self._websockets: set[web.WebSocketResponse] = set()
        self._quick: set[QuickConnection] = set()
        self._turns = turns

    def _protocol(self) -> asyncio.Protocol:
        quick = QuickConnection(
            self._turns,
            self._answer_quickly,
            is_common=lambda: not self.faults.is_armed,
            hand_over=self._http,
            on_end=self._quick.discard,
            max_body=MAX_BODY_BYTES,
        )
        self._quick.add(quick)
        return quick

    def _connections(self) -> list[tuple[asyncio.Transport, int]]:
        transports = [connection.transport for connection in self._http.connections]
        found = [(transport, self._under_way[transport]) for transport in transports if transport is not None]
        return found + [(quick.transport, quick.requests) for quick in self._quick if quick.transport is not None]

    async def _end_connections(self) -> None:
        """WebSockets are told that this end goes away."""
        for quick in list(self._quick):
            if quick.transport is not None:
                quick.transport.close()
        await asyncio.gather(*(websocket.close(code=_GOING_AWAY) for websocket in list(self._websockets)))
        await self._http.shutdown(_CLOSE_TIMEOUT_S)

    def _answer_quickly(self, body: bytes) -> bytes:
        self._requests += 1
        return self._rpc.begin(body)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            return await self._serve_post(request)
        if self._pubsub is not None and request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_websocket(request, self._pubsub)
        if request.method == "GET" and request.path == "/health":
            return web.Response(text="ok")
        return web.Response(status=405, text="POST a JSON-RPC request, or open a WebSocket\n")

    async def _serve_post(self, request: web.BaseRequest) -> web.Response:
        transport = request.transport
        self._requests += 1
        if transport is None:
            raise ConnectionResetError
        self._under_way[transport] += 1
        try:
            if _holds_body_back(request):
                transport.write(_CONTINUE)  # aiohttp does that for its applications only, not for a bare server
            body = await request.read()
            # Who switches a fault on must be able to switch it off.
            if not self.faults.is_armed or is_admin(body):
                return self._answer(request, body)
            if self.faults.refuses_request():
                return _too_many_requests(self.faults.plan.http_429.retry_after_s)
            await self._pass(self.faults.request_delay())
            response = self._answer(request, body)
            await self._pass(self.faults.answer_delay())
            return response
        finally:
            self._under_way[transport] -= 1
            if not self._under_way[transport]:
                del self._under_way[transport]

    def _answer(self, request: web.BaseRequest, body: bytes) -> web.Response:  # noqa: ARG002 for a port with paths
        return web.Response(body=self._rpc.handle(body), content_type="application/json")

    async def _serve_websocket(self, request: web.BaseRequest, pubsub: Pubsub) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(
            compress=False, max_msg_size=MAX_BODY_BYTES, timeout=_CLOSE_TIMEOUT_S, autoping=False
        )
        await websocket.prepare(request)
        if (transport := request.transport) is None:
            return websocket  # it has gone already

        def abort() -> None:
            # A close frame would have to queue behind what is not being read.
            logger.warning("a WebSocket client does not read: its connection is closed")
            transport.abort()

        outbox = Outbox(abort, due=self._frame_due)
        self._websockets.add(websocket)
        pubsub.connect(outbox)
        try:
            async with asyncio.TaskGroup() as group:
                writing = self._write(websocket, transport, outbox)
                writer = group.create_task(writing, name="localnet websocket writer")
                async for message in websocket:
                    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                        pubsub.handle(outbox, message.data)
                    elif message.type is WSMsgType.PING and not self.faults.stalls_frame():
                        with suppress(ConnectionResetError):
                            await websocket.pong(message.data)
                writer.cancel()
        finally:
            pubsub.disconnect(outbox)
            self._websockets.discard(websocket)
        return websocket

    async def _write(self, websocket: web.WebSocketResponse, transport: asyncio.Transport, outbox: Outbox) -> None:
        """Write what is put into `outbox`, frames of a turn together, until either side closes."""
        while True:
            await outbox.wait()
            while (due := outbox.next_due) is not None:
                if due:
                    await self._clock.sleep_until(due)
                texts = outbox.take_due(self._clock.mono_ns(), _WRITE_BYTES)
                if websocket.closed or transport.is_closing():
                    return
                transport.write(b"".join([_framed(text) for text in texts if not self.faults.stalls_frame()]))
                while transport.get_write_buffer_size() > _WRITE_BYTES and not transport.is_closing():
                    await self._pass(_UNREAD_PAUSE)


def _holds_body_back(request: web.BaseRequest) -> bool:
    """Tell whether a client waits to be told to go on before it sends the body (RFC 9110, 10.1.1)."""
    return request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue"


def _framed(text: bytes) -> bytes:
    """Return a WebSocket frame of a server: whole, not masked (RFC 6455, 5.2). *Pure.* *Hot path.*"""
    size = len(text)
    if size <= _SHORT:
        return b"\x81%c%b" % (size, text)
    if size <= _MEDIUM:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), text)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), text)


class _Refusal(asyncio.Protocol):
    """A connection that is cut as soon as it is made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Cut it."""
        cast("asyncio.Transport", transport).abort()  # uvloop's is not of that class


def _listening(number: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)  # noqa: FBT003 positional only
        listener.bind((HOST, number))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = f"cannot be used ({error})"
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            reason = "is in use"
        raise UsageError(f"port {number} on {HOST} {reason}: choose another, or 0 for a free one") from error
    return listener


def _too_many_requests(retry_after_s: int) -> web.Response:
    body = msgspec.json.encode(error_json(None, RpcFault(_TOO_MANY_REQUESTS, "Too many requests")))
    headers = {"Retry-After": str(retry_after_s)}
    return web.Response(status=_TOO_MANY_REQUESTS, body=body, content_type="application/json", headers=headers)
