"""The Geyser service on a loopback port: gRPC over HTTP/2 between its streams and the synchronous hub.

The HTTP/2 protocol is h2's, the sockets are the loop's. grpc.aio was measured and left: each of its writes is done by
another thread and takes two turns of the loop, so that a stream got one update for every two turns, however many were
waiting. On this chain, whose turns execute transactions, at 300 transactions a second that meant updates 200 ms late
and more where the log feed's frames, written in the turn they are made in, took 1 to 2 ms. Here it is the same as there
(`benchmarks/bench_geyser.py`).
"""

import asyncio
import logging
from typing import Final, TypeVar, cast
from urllib.parse import quote

from google.protobuf.message import DecodeError, Message
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes

from slotzero import __version__
from slotzero.clock import Clock, add_ms
from slotzero.localnet.faults import Faults
from slotzero.localnet.geyser import Geyser, Stream
from slotzero.localnet.params import METHOD_NOT_FOUND, RpcFault
from slotzero.localnet.ports import LoopbackPort
from slotzero.localnet.pubsub import MAX_OUTBOX_FRAMES, Outbox
from slotzero.solana.geyser_proto import geyser_pb2 as geyser

__all__ = ["GeyserPort"]

logger = logging.getLogger(__name__)

MAX_REQUEST_BYTES: Final = 1024 * 1024
MAX_CALLS: Final = 100
"""Streams of one connection."""
PING_MS: Final = 10_000
_SERVICE: Final = "/geyser.Geyser/"
_TOKEN: Final = "x-token"  # noqa: S105 the name of a header
_PREFIX_BYTES: Final = 5
"""Before each message: whether it is compressed, and its length."""

_OK, _INVALID_ARGUMENT, _RESOURCE_EXHAUSTED, _UNIMPLEMENTED, _UNAVAILABLE, _UNAUTHENTICATED = 0, 3, 8, 12, 14, 16
"""gRPC's status codes."""

Request = TypeVar("Request", bound=Message)


class _EndedError(Exception):
    """A call is to end with a status.

    Attributes:
        code: gRPC's number.
        words: What the client is told.
    """

    def __init__(self, code: int, words: str) -> None:
        self.code = code
        self.words = words
        super().__init__(words)


class _Call:
    """One gRPC call: the messages of one HTTP/2 stream."""

    def __init__(self, connection: "_Connection", number: int, headers: dict[str, str]) -> None:
        self.path = headers.get(":path", "")
        self.token = headers.get(_TOKEN)
        self.is_gone = asyncio.Event()
        """Set when nobody is there to be told anything."""
        self._connection = connection
        self._number = number
        self._received = bytearray()
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_CALLS)
        self._problem: _EndedError | None = None
        self._has_begun = False
        self.room = asyncio.Event()

    def on_data(self, data: bytes) -> None:
        """Take bytes of the request stream and cut them into messages."""
        self._received += data
        while self._problem is None and len(self._received) >= _PREFIX_BYTES:
            size = int.from_bytes(self._received[1:_PREFIX_BYTES], "big")
            if self._received[0]:
                self._end(_EndedError(_UNIMPLEMENTED, "compressed messages are not read here"))
            elif size > MAX_REQUEST_BYTES:
                self._end(_EndedError(_RESOURCE_EXHAUSTED, f"a request has at most {MAX_REQUEST_BYTES} bytes"))
            elif len(self._received) < _PREFIX_BYTES + size:
                return
            else:
                message = bytes(self._received[_PREFIX_BYTES : _PREFIX_BYTES + size])
                del self._received[: _PREFIX_BYTES + size]
                self._put(message)

    def on_end(self) -> None:
        """Take note that no more requests come."""
        if self._problem is None:
            self._put(None)

    async def next_request(self) -> bytes | None:
        """Return the next message, None when there are no more. Raises _EndedError."""
        request = await self._requests.get()
        if self._problem is not None:
            raise self._problem
        return request

    async def send(self, message: bytes) -> None:
        """Send a message. Suspends only where the client's windows or the socket are full. *Hot path.*"""
        self.begin()
        data = b"\0" + len(message).to_bytes(4, "big") + message
        at = 0
        while at < len(data):
            if (room := self._connection.room(self._number)) <= 0:
                self._connection.flush()
                self.room.clear()
                await self.room.wait()
                continue
            self._connection.h2.send_data(self._number, data[at : at + room])
            at += room
        self._connection.flush()

    def begin(self) -> None:
        """Send the headers, which say that the call is being served."""
        if not self._has_begun:
            self._has_begun = True
            self._connection.h2.send_headers(
                self._number, [(":status", "200"), ("content-type", "application/grpc")], end_stream=False
            )
            self._connection.flush()

    def end(self, code: int, words: str) -> None:
        """Send the status. Nothing happens when nobody is there any more."""
        if self.is_gone.is_set():
            return
        headers = [] if self._has_begun else [(":status", "200"), ("content-type", "application/grpc")]
        headers += [("grpc-status", str(code)), ("grpc-message", quote(words, safe=" '(),:;_-."))]
        self._connection.end_call(self._number, headers)

    def _put(self, request: bytes | None) -> None:
        try:
            self._requests.put_nowait(request)
        except asyncio.QueueFull:
            self._end(_EndedError(_RESOURCE_EXHAUSTED, "too many requests are waiting"))

    def _end(self, problem: _EndedError) -> None:
        self._problem = problem
        if self._requests.full():
            self._requests.get_nowait()
        self._requests.put_nowait(None)


class _Connection(asyncio.Protocol):
    """One HTTP/2 connection and its calls."""

    def __init__(self, port: "GeyserPort") -> None:
        self._port = port
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.transport: asyncio.Transport | None = None
        self.calls: dict[int, _Call] = {}
        self._can_write = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to speak."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not of that class
        self._port.connections.add(self)
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: MAX_CALLS})
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 the interface
        """Tell every call that its client has gone."""
        self._port.connections.discard(self)
        self.transport = None
        for call in self.calls.values():
            call.is_gone.set()
        self.calls.clear()

    def data_received(self, data: bytes) -> None:
        """Do what the client says."""
        try:
            events = self.h2.receive_data(data)
        except H2Error:
            self.flush()  # h2 has written why
            if self.transport is not None:
                self.transport.close()
            return
        for event in events:
            self._on_event(event)
        self.flush()

    def pause_writing(self) -> None:
        """Have calls wait: the socket is full."""
        self._can_write = False

    def resume_writing(self) -> None:
        """Let calls go on."""
        self._can_write = True
        self._wake()

    def room(self, number: int) -> int:
        """Return how many bytes a call may send now."""
        if not self._can_write:
            return 0
        return min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)

    def flush(self) -> None:
        """Hand over to the socket what h2 has ready; uvloop joins the writes of one turn."""
        if self.transport is not None and (data := self.h2.data_to_send()):
            self.transport.write(data)

    def end_call(self, number: int, headers: list[tuple[str, str]]) -> None:
        """Send a call's last headers, and have the client send no more."""
        call = self.calls.pop(number, None)
        if call is None:
            return
        call.is_gone.set()
        try:
            self.h2.send_headers(number, headers, end_stream=True)
            self.h2.reset_stream(number, ErrorCodes.NO_ERROR)
        except H2Error:
            logger.debug("a Geyser call ended while its client did")
        self.flush()

    def _on_event(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(number)):
                headers = {str(name): str(value) for name, value in event.headers or ()}
                self.calls[number] = call = _Call(self, number, headers)
                self._port.begin(call)
            case DataReceived(stream_id=int(number)):
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, number)
                if (known := self.calls.get(number)) is not None:
                    known.on_data(event.data or b"")
            case StreamEnded(stream_id=int(number)):
                if (known := self.calls.get(number)) is not None:
                    known.on_end()
            case StreamReset(stream_id=int(number)):
                if (known := self.calls.pop(number, None)) is not None:
                    known.is_gone.set()
            case WindowUpdated() | RemoteSettingsChanged():
                self._wake()
            case _:
                pass

    def _wake(self) -> None:
        for call in self.calls.values():
            call.room.set()


class GeyserPort(LoopbackPort):
    """The gRPC port.

    Args:
        hub: The streams.
        faults: What goes wrong here.
        clock: What pings and delays are taken from.
        token: What `x-token` must say; None admits everybody.
        max_frames: How many updates may wait for a reader before its stream is ended.
    """

    def __init__(
        self,
        hub: Geyser,
        *,
        faults: Faults,
        clock: Clock,
        token: str | None = None,
        max_frames: int = MAX_OUTBOX_FRAMES,
    ) -> None:
        super().__init__(faults=faults, clock=clock)
        self._hub = hub
        self._token = token
        self._max_frames = max_frames
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: set[_Connection] = set()

    async def keep_pinging(self) -> None:
        """Ask the clients whether they are there, until cancelled."""
        while True:
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), PING_MS))
            self._hub.ping()

    def begin(self, call: _Call) -> None:
        """Serve a call that has come in."""
        assert self._group is not None, "serve comes first"
        self._requests += 1
        task = self._group.create_task(self._serve(call), name="localnet geyser call")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end_calls(self) -> None:
        """Cancel what serves the open calls; their clients are told."""
        for task in self._tasks:
            task.cancel()

    def _protocol(self) -> asyncio.Protocol:
        return _Connection(self)

    def _connections(self) -> list[tuple[asyncio.Transport, int]]:
        return [
            (connection.transport, len(connection.calls))
            for connection in self.connections
            if connection.transport is not None
        ]

    async def _end_connections(self) -> None:
        for connection in list(self.connections):
            connection.h2.close_connection()
            connection.flush()
            if connection.transport is not None:
                connection.transport.close()

    # ---- calls -----------------------------------------------------------------------------------------------------

    async def _serve(self, call: _Call) -> None:
        """Serve a call to its end, whichever side ends it."""
        try:
            async with asyncio.TaskGroup() as group:
                answer = group.create_task(self._answer(call), name="localnet geyser answer")
                gone = group.create_task(call.is_gone.wait(), name="localnet geyser client")
                await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
                answer.cancel()
                gone.cancel()
        finally:
            if not call.is_gone.is_set():
                call.end(_UNAVAILABLE, "the chain ends")

    async def _answer(self, call: _Call) -> None:
        try:
            await self._admit(call)
            await self._dispatch(call)
        except _EndedError as ended:
            call.end(ended.code, ended.words)
        except H2Error:
            call.is_gone.set()  # the client was quicker to end it
        else:
            call.end(_OK, "")

    async def _admit(self, call: _Call) -> None:
        if self._token is not None and call.token != self._token:
            raise _EndedError(_UNAUTHENTICATED, f"{_TOKEN} is missing or wrong")
        if self.faults.is_armed:
            if self.faults.refuses_request():
                raise _EndedError(_RESOURCE_EXHAUSTED, "Too many requests")
            await self._pass(self.faults.request_delay())

    async def _dispatch(self, call: _Call) -> None:
        match call.path.removeprefix(_SERVICE):
            case "Subscribe":
                call.begin()
                await self._subscribe(call)
            case "Ping":
                ping = await _only(call, geyser.PingRequest)
                await call.send(geyser.PongResponse(count=ping.count).SerializeToString())
            case "GetSlot":
                wanted = await _only(call, geyser.GetSlotRequest)
                slot = self._hub.slot_at(wanted.commitment)
                await call.send(geyser.GetSlotResponse(slot=slot).SerializeToString())
            case "GetVersion":
                await _only(call, geyser.GetVersionRequest)
                version = f"slotzero-localnet {__version__}"
                await call.send(geyser.GetVersionResponse(version=version).SerializeToString())
            case _:
                raise _EndedError(_UNIMPLEMENTED, f"there is no method {call.path[:64]}")

    async def _subscribe(self, call: _Call) -> None:
        overflow = asyncio.Event()
        outbox = Outbox(overflow.set, max_frames=self._max_frames, due=self._frame_due)
        try:
            stream = self._hub.connect(outbox)
        except RpcFault as fault:
            raise _EndedError(_RESOURCE_EXHAUSTED, fault.message) from fault
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read(call, stream), name="localnet geyser reader")
                writer = group.create_task(self._write(call, outbox), name="localnet geyser writer")
                full = group.create_task(overflow.wait(), name="localnet geyser overflow")
                await asyncio.wait((reader, writer, full), return_when=asyncio.FIRST_COMPLETED)
                for task in (reader, writer, full):
                    task.cancel()
        finally:
            self._hub.disconnect(stream)
        if outbox.has_overflowed:
            logger.warning("a Geyser client does not keep up: its stream is ended")
            raise _EndedError(_RESOURCE_EXHAUSTED, "the reader is too slow: updates were lost")
        if not reader.cancelled() and (refusal := reader.result()) is not None:
            raise refusal

    async def _read(self, call: _Call, stream: Stream) -> _EndedError | None:
        """Serve requests to their end; return why the stream is to end, None for its own end."""
        try:
            while (request := await call.next_request()) is not None:
                self._hub.handle(stream, request)
        except RpcFault as fault:
            return _EndedError(_UNIMPLEMENTED if fault.code == METHOD_NOT_FOUND else _INVALID_ARGUMENT, fault.message)
        except _EndedError as ended:
            return ended
        return None

    async def _write(self, call: _Call, outbox: Outbox) -> None:
        try:
            while True:
                await outbox.wait()
                while (due := outbox.next_due) is not None:
                    if due:
                        await self._clock.sleep_until(due)
                    if (frame := outbox.take()) is not None and not self.faults.stalls_frame():
                        await call.send(frame)
        except H2Error:
            call.is_gone.set()  # the client has ended the stream


async def _only(call: _Call, kind: type[Request]) -> Request:
    """Return a call's one request."""
    raw = await call.next_request()
    try:
        return kind.FromString(raw or b"")
    except DecodeError as error:
        raise _EndedError(_INVALID_ARGUMENT, f"no {kind.__name__}: {error}") from error
