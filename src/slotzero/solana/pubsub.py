"""A WebSocket client for Solana subscriptions: reconnects, subscribes anew, hands raw frames to synchronous handlers.

A handler gets the frame's bytes and the instant they were read, and runs before anything else happens: from frame to
decision there is no await. To find whose frame it is, the subscription's number is read from the frame's tail, where
servers put it; only a frame that does not end that way is parsed as JSON.

picows was chosen by measurement: one-way delivery of a 3.4 kB frame at 500/s on loopback took it 48-69 us (p50),
aiohttp 68-86 and websockets 120 (docs/decisions/0003-libraries.md).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from slotzero.clock import Clock, add_ms, mono_ns
from slotzero.errors import SubscriptionError, TransportError
from slotzero.secret import redacted_url
from slotzero.units import MonoNs

__all__ = ["Connection", "FrameHandler", "PubSub", "PubSubStats", "Subscription"]

FrameHandler = Callable[[bytes, MonoNs], None]
"""Called with a whole frame and the instant it was read."""
Connection = Literal["up", "down"]

log = logging.getLogger(__name__)

_MAX_FRAME_BYTES: Final = 64 << 20
"""Beyond this the connection is given up; what is merely too large to be of use is dropped by the handler."""
_TAIL: Final = b'"subscription":'
_TAIL_WINDOW: Final = 48
_FIRST_DELAY_MS: Final = 100
_MAX_DELAY_MS: Final = 5_000
_IDLE_BEFORE_PING_S: Final = 5.0
_PONG_WITHIN_S: Final = 3.0


class _Error(Struct):
    code: int = 0
    message: str = ""


class _Params(Struct):
    subscription: int


class _Message(Struct):
    """A reply (`id`) or a notification (`method`)."""

    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None
    method: str | None = None
    params: _Params | None = None


_decode = msgspec.json.Decoder(_Message).decode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What the decoder raises for bytes that are no message: bad UTF-8 and deep nesting have classes of their own."""


class PubSubStats(Struct, frozen=True, kw_only=True):
    """What a client has seen so far."""

    frames: int
    bytes: int
    unclaimed: int
    """Frames that belonged to no subscription of ours, or were no JSON."""
    connects: int


class Subscription:
    """One subscription, kept across reconnects until it is cancelled (or has fired, when it fires once).

    Attributes:
        active: Resolves when the server has accepted it for the first time; fails with SubscriptionError.
    """

    __slots__ = ("_client", "active", "handler", "is_once", "method", "number", "params", "request_id")

    def __init__(
        self, client: "PubSub", method: str, params: list[Any], handler: FrameHandler, *, is_once: bool
    ) -> None:
        self._client = client
        self.method = method
        self.params = params
        self.handler = handler
        self.is_once = is_once
        self.request_id = 0
        self.number: int | None = None
        self.active: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def cancel(self) -> None:
        """End the subscription; its handler is not called again. Safe to call twice."""
        self._client._drop(self)  # noqa: SLF001 the two classes are one mechanism


class PubSub:
    """One connection and its subscriptions. `run` owns the connection; everything else is synchronous.

    Args:
        url: The WebSocket endpoint.
        clock: For the delay between attempts to connect.
        on_connection: Called when connected (again) and when the connection is lost.
    """

    def __init__(self, url: str, *, clock: Clock, on_connection: Callable[[Connection], None] | None = None) -> None:
        self._url = url
        self.endpoint = redacted_url(url)
        self._clock = clock
        self._on_connection = on_connection
        self._transport: WSTransport | None = None
        self._wanted: dict[int, Subscription] = {}
        self._by_number: dict[int, Subscription] = {}
        self._cancelled: dict[int, str] = {}
        """Requests whose subscription was cancelled before the server's reply: ended when it comes."""
        self._refusal: SubscriptionError | None = None
        self._next_id = 0
        self._frames = self._bytes = self._unclaimed = self._connects = 0

    # ---- subscriptions ---------------------------------------------------------------------------------------------

    def subscribe(
        self, method: str, params: list[Any], handler: FrameHandler, *, is_once: bool = False
    ) -> Subscription:
        """Ask for notifications; without a connection the request goes out with the next one. *Hot path.*

        Args:
            method: For example "logsSubscribe".
            params: The method's parameters.
            handler: Called for each frame; must not raise and must not block.
            is_once: The server ends the subscription after one notification (signatureSubscribe).
        """
        subscription = Subscription(self, method, params, handler, is_once=is_once)
        self._request(subscription)
        return subscription

    def stats(self) -> PubSubStats:
        """Return what was seen so far."""
        return PubSubStats(frames=self._frames, bytes=self._bytes, unclaimed=self._unclaimed, connects=self._connects)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._transport is not None

    # ---- the connection --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again after a loss, until cancelled. *Does I/O.* *Cancellation: closes.*

        Raises:
            TransportError: The very first attempt failed: a wrong address is told at once.
            SubscriptionError: A subscription that was accepted before was refused after a reconnect: whoever relies
                on it would be blind.
            Exception: What a handler has raised, which is a bug.
        """
        delay_ms = _FIRST_DELAY_MS
        while True:
            before = self._connects
            fault = await self._connect_once()
            if self._refusal is not None:
                raise self._refusal
            if not self._connects:
                raise TransportError(self.endpoint, f"cannot connect ({fault or 'closed before the handshake'})")
            if self._connects > before:
                delay_ms = _FIRST_DELAY_MS
            if fault is not None:
                log.warning("%s: no connection (%s)", self.endpoint, fault)
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), delay_ms))
            delay_ms = min(2 * delay_ms, _MAX_DELAY_MS)

    async def _connect_once(self) -> str | None:
        """Hold one connection to its end. Returns what went wrong, by name: a text might hold the address."""
        try:
            transport, _ = await ws_connect(
                lambda: _Listener(self),
                self._url,
                max_frame_size=_MAX_FRAME_BYTES,
                max_redirects=0,  # to a host that nobody has configured
                enable_auto_ping=True,
                auto_ping_idle_timeout=_IDLE_BEFORE_PING_S,
                auto_ping_reply_timeout=_PONG_WITHIN_S,
            )
        except (OSError, WSError, TimeoutError) as error:
            return type(error).__name__
        try:
            await transport.wait_disconnected()
        except WSError as error:  # anything else is what a handler has raised: a bug, which ends `run`
            return type(error).__name__
        finally:
            if not transport.is_disconnected:
                with contextlib.suppress(OSError):
                    transport.send_close(WSCloseCode.OK)
                transport.disconnect(graceful=False)
        return None

    def _connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._connects += 1
        self._by_number.clear()
        self._cancelled.clear()
        waiting = list(self._wanted.values())
        self._wanted.clear()
        for subscription in waiting:
            subscription.number = None
            self._request(subscription)
        if self._on_connection is not None:
            self._on_connection("up")

    def _disconnected(self) -> None:
        self._transport = None
        if self._on_connection is not None:
            self._on_connection("down")

    def _request(self, subscription: Subscription) -> None:
        subscription.request_id = self._send(subscription.method, subscription.params)
        self._wanted[subscription.request_id] = subscription

    def _send(self, method: str, params: list[Any]) -> int:
        self._next_id += 1
        if self._transport is not None:
            body = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
            self._transport.send(WSMsgType.TEXT, msgspec.json.encode(body))
        return self._next_id

    def _drop(self, subscription: Subscription) -> None:
        if self._wanted.pop(subscription.request_id, None) is None:
            return
        if subscription.number is not None:
            self._by_number.pop(subscription.number, None)
            self._send(_unsubscribe(subscription.method), [subscription.number])
        elif self._transport is not None:
            self._cancelled[subscription.request_id] = subscription.method
        if not subscription.active.done():
            subscription.active.cancel()

    # ---- frames ----------------------------------------------------------------------------------------------------

    def _frame(self, payload: bytes, now: MonoNs) -> None:
        self._frames += 1
        self._bytes += len(payload)
        at = payload.rfind(_TAIL, max(0, len(payload) - _TAIL_WINDOW))
        if at >= 0:
            number = payload[at + len(_TAIL) :].split(b"}", 1)[0].strip()
            if number.isdigit() and self._notify(int(number), payload, now):
                return
        self._slow_frame(payload, now)

    def _notify(self, number: int, payload: bytes, now: MonoNs) -> bool:
        subscription = self._by_number.get(number)
        if subscription is None:
            return False
        if subscription.is_once:
            del self._by_number[number]
            del self._wanted[subscription.request_id]
        subscription.handler(payload, now)
        return True

    def _slow_frame(self, payload: bytes, now: MonoNs) -> None:
        try:
            message = _decode(payload)
        except _UNREADABLE:
            self._unclaimed += 1
            return
        if message.id is not None:
            self._reply(message.id, message)
        elif message.params is None or not self._notify(message.params.subscription, payload, now):
            self._unclaimed += 1

    def _reply(self, request_id: int, message: _Message) -> None:
        number = _number(message)
        if (method := self._cancelled.pop(request_id, None)) is not None:
            if number is not None:
                self._send(_unsubscribe(method), [number])
            return
        subscription = self._wanted.get(request_id)
        if subscription is None:
            return  # to an unsubscription
        if number is None:
            self._refused(subscription, "no number came" if message.error is None else message.error.message)
            return
        subscription.number = number
        self._by_number[number] = subscription
        if not subscription.active.done():
            subscription.active.set_result(None)

    def _refused(self, subscription: Subscription, reason: str) -> None:
        """A refusal is final: asking the same again in a loop is how other clients flood a node."""
        del self._wanted[subscription.request_id]
        error = SubscriptionError(self.endpoint, f"{subscription.method} was refused: {reason}")
        log.warning("%s", error)
        if not subscription.active.done():
            subscription.active.set_exception(error)
            subscription.active.exception()  # looked at here, so that nobody waiting for it is no warning
        elif not subscription.is_once and self._transport is not None:
            self._refusal = error
            self._transport.disconnect(graceful=False)


def _number(message: _Message) -> int | None:
    if message.error is None:
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(message.result, type=int)
    return None


def _unsubscribe(method: str) -> str:
    return method.replace("Subscribe", "Unsubscribe")


class _Listener(WSListener):
    """The socket's side: joins fragments and stamps the instant of reading."""

    def __init__(self, client: PubSub) -> None:
        self._client = client
        self._parts: list[bytes] = []
        self._size = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Subscribe to everything that is wanted."""
        self._client._connected(transport)  # noqa: SLF001 the two classes are one mechanism

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 the interface
        """Tell the client."""
        self._client._disconnected()  # noqa: SLF001

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand a whole message on."""
        now = MonoNs(mono_ns())
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            transport.disconnect()
            return
        if kind not in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            return
        payload = frame.get_payload_as_bytes()
        if frame.fin and not self._parts:
            self._client._frame(payload, now)  # noqa: SLF001
            return
        self._parts.append(payload)
        self._size += len(payload)
        if self._size > _MAX_FRAME_BYTES:
            transport.disconnect(graceful=False)
        elif frame.fin:
            whole = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            self._client._frame(whole, now)  # noqa: SLF001
