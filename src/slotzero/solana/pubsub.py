"""A WebSocket client for Solana subscriptions: reconnects, subscribes anew, hands raw frames to synchronous handlers.

A handler gets the frame's bytes and the instant they were read, and runs before anything else happens: from frame to
decision there is no await. To find whose frame it is, the subscription's number is read from the frame's tail, where
servers put it; only a frame that does not end that way is parsed as JSON.

With several addresses the next one takes its turn when a connection fails, ends, falls silent or leaves a request
unanswered. What happened between two connections was told to nobody, so a reconnect is never silent: when the server
has accepted every subscription anew, `on_gap` says from when to when nothing was heard, and what is read from then on
misses nothing.

A node that cannot serve a subscription now (busy, at a limit) is asked again, ever later; one that never will is not.

picows was chosen by measurement: one-way delivery of a 3.4 kB frame at 500/s on loopback took it 48-69 us (p50),
aiohttp 68-86 and websockets 120 (docs/decisions/0003-libraries.md).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from slotzero.clock import Clock, add_ms, is_due, mono_ns
from slotzero.errors import SubscriptionError, TransportError
from slotzero.secret import redacted_url
from slotzero.solana.rota import Rota
from slotzero.units import MonoNs, Slot

__all__ = ["Connection", "FrameHandler", "Gap", "GapHandler", "PubSub", "PubSubStats", "Subscription"]

FrameHandler = Callable[[bytes, MonoNs], None]
"""Called with a whole frame and the instant it was read."""
Connection = Literal["up", "down"]

log = logging.getLogger(__name__)

_MAX_FRAME_BYTES: Final = 64 << 20
"""Beyond this the connection is given up; what is merely too large to be of use is dropped by the handler."""
_TAIL: Final = b'"subscription":'
_TAIL_WINDOW: Final = 48
_MS_PER_S: Final = 1_000
_IDLE_BEFORE_PING_S: Final = 5.0
_PONG_WITHIN_S: Final = 3.0
_CONNECTED_WITHIN_S: Final = 3.0
"""From the name's look-up to the end of the handshake; an address that swallows packets would take two minutes."""
_ANSWERED_WITHIN_S: Final = 5.0
_ASK_AGAIN_S: Final = (0.5, 30.0)
"""After the first refusal, and at most: it doubles."""
_MOST_DOUBLINGS: Final = 6
_OF_USE_MS: Final = 5_000
_NEVER: Final = frozenset({-32600, -32601, -32602})
"""JSON-RPC's codes for a request, a method or parameters that are not right; all others may pass."""


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


class _Slot(Struct):
    slot: int


class _SlotParams(Struct):
    result: _Slot


class _SlotNotification(Struct):
    params: _SlotParams


_decode_slot = msgspec.json.Decoder(_SlotNotification).decode


class Gap(Struct, frozen=True, kw_only=True):
    """A time of which subscriptions have told nothing: it is over, and everything is subscribed anew.

    Attributes:
        since: When the lost connection was last heard.
        until: When the last subscription was accepted on the new one.
        endpoint: Who is listened to now.
    """

    since: MonoNs
    until: MonoNs
    endpoint: str


GapHandler = Callable[[Gap], None]
"""Called when a gap is over; must not raise and must not block."""


class PubSubStats(Struct, frozen=True, kw_only=True):
    """What a client has seen so far."""

    frames: int
    bytes: int
    unclaimed: int
    """Frames that belonged to no subscription of ours, or were no JSON."""
    connects: int
    gaps: int = 0
    silences: int = 0
    """Connections given up because no slot came in time."""
    endpoint: str = ""
    """Who is listened to, or was last."""
    slot: Slot | None = None
    """The newest slot the connection has told of; None when slots are not followed."""


class Subscription:
    """One subscription, kept across reconnects until it is cancelled (or has fired, when it fires once).

    Attributes:
        active: Resolves when the server has accepted it for the first time; fails with SubscriptionError when it never
            will.
        refusals: How often it was refused since it was last accepted; it is asked for again, unless for good.
        refusal: The last refusal, None when it was never refused.
        live_slot: The slot from which on the connection tells every change; None without a connection, before the
            server has accepted it there, and when slots are not followed.
    """

    __slots__ = (
        "_client",
        "active",
        "handler",
        "is_once",
        "is_vital",
        "live_slot",
        "method",
        "number",
        "params",
        "refusal",
        "refusals",
        "request_id",
    )

    def __init__(
        self,
        client: "PubSub",
        method: str,
        params: list[Any],
        handler: FrameHandler,
        *,
        is_once: bool,
        is_vital: bool = True,
    ) -> None:
        self._client = client
        self.method = method
        self.params = params
        self.handler = handler
        self.is_once = is_once
        self.is_vital = is_vital and not is_once
        self.refusals = 0
        self.refusal: SubscriptionError | None = None
        self.request_id = 0
        self.number: int | None = None
        self.live_slot: Slot | None = None
        self.active: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def cancel(self) -> None:
        """End the subscription; its handler is not called again. Safe to call twice."""
        self._client._drop(self)  # noqa: SLF001 the two classes are one mechanism


class PubSub:
    """One connection and its subscriptions. `run` owns the connection; everything else is synchronous.

    Args:
        url: The WebSocket endpoint, or several of one cluster in the order they are tried.
        clock: For the delay between attempts to connect.
        on_connection: Called when connected (again), with every vital subscription accepted, and when that is lost.
        on_gap: Called when a gap is over; `watch_gaps` adds more of them.
        follows_slots: Subscribe to slots for our own use: `live_slot` needs it.
        silent_after_ms: A connection that tells of no new slot for so long is given up, whatever else it says; implies
            `follows_slots`. None where slots do not open by themselves. Mainnet: 2,000, which is ten slots.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        clock: Clock,
        on_connection: Callable[[Connection], None] | None = None,
        on_gap: GapHandler | None = None,
        follows_slots: bool = False,
        silent_after_ms: int | None = None,
    ) -> None:
        self._urls = (url,) if isinstance(url, str) else tuple(url)
        assert self._urls, "a client needs an address"
        self._rota = Rota(len(self._urls))
        self.endpoint = redacted_url(self._urls[0])
        self._clock = clock
        self._on_connection = on_connection
        self._gap_handlers = [] if on_gap is None else [on_gap]
        self._follows_slots = follows_slots or silent_after_ms is not None
        self._silent_s = None if silent_after_ms is None else silent_after_ms / _MS_PER_S
        self._silence: asyncio.Timeout | None = None
        self._beat: Subscription | None = None
        """The subscription to slots of the present connection."""
        self._slot: Slot | None = None
        self._unplaced: list[Subscription] = []
        """Accepted on this connection, but of which slot on is known with the next slot only."""
        self._heard_at = MonoNs(0)
        self._up_since: MonoNs | None = None
        self._was_of_use = False
        """Whether the last connection was up for a while."""
        self._blind_since: MonoNs | None = None
        self._awaited: set[int] = set()
        """Requests of this connection's beginning: a gap is over when all are accepted."""
        self._unanswered: dict[int, float] = {}
        """Requests, the oldest first, and until when of the loop's clock each is to be answered."""
        self._patience: asyncio.TimerHandle | None = None
        self._fault: str | None = None
        self._refusals = self._gaps = self._silences = 0
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
        self,
        method: str,
        params: list[Any],
        handler: FrameHandler,
        *,
        is_once: bool = False,
        is_vital: bool = True,
    ) -> Subscription:
        """Ask for notifications; without a connection the request goes out with the next one. *Hot path.*

        Args:
            method: For example "logsSubscribe".
            params: The method's parameters.
            handler: Called for each frame; must not raise and must not block.
            is_once: The server ends the subscription after one notification (signatureSubscribe).
            is_vital: A server that does not take it over after a reconnect is of no use; for one that fires once, and
                where something else stands in for it, it is not.
        """
        subscription = Subscription(self, method, params, handler, is_once=is_once, is_vital=is_vital)
        self._request(subscription)
        return subscription

    def stats(self) -> PubSubStats:
        """Return what was seen so far."""
        return PubSubStats(
            frames=self._frames,
            bytes=self._bytes,
            unclaimed=self._unclaimed,
            connects=self._connects,
            gaps=self._gaps,
            silences=self._silences,
            endpoint=self.endpoint,
            slot=self._slot,
        )

    def watch_gaps(self, handler: GapHandler) -> None:
        """Call `handler`, too, when a gap is over."""
        self._gap_handlers.append(handler)

    @property
    def connection(self) -> int:
        """The number of the connection of now, from 1; 0 without one."""
        return 0 if self._transport is None else self._connects

    @property
    def follows_slots(self) -> bool:
        """Whether it subscribes to slots for its own use."""
        return self._follows_slots

    @property
    def slot(self) -> Slot | None:
        """The newest slot this connection has told of; None without one, and when slots are not followed."""
        return self._slot

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._transport is not None

    # ---- the connection --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, and connect again after a loss, until cancelled. *Does I/O.* *Cancellation: closes.*

        Raises:
            TransportError: The very first attempt at each address failed: a wrong one is told at once.
            SubscriptionError: A vital subscription that was accepted before was refused for good after a reconnect, at
                each address in turn: whoever relies on it would be blind.
            Exception: What a handler has raised, which is a bug.
        """
        attempts = 0
        while True:
            url = self._urls[self._rota.turn]
            self.endpoint = redacted_url(url)
            attempts += 1
            fault = await self._connect_once(url)
            if self._refusal is not None:
                self._refusals += 1
                if self._refusals >= len(self._urls):
                    raise self._refusal
                self._refusal = None
            if not self._connects and attempts >= len(self._urls):
                raise TransportError(self.endpoint, f"cannot connect ({fault or 'closed before the handshake'})")
            if fault is not None:
                log.warning("%s: no connection (%s)", self.endpoint, fault)
            if delay_ms := self._rota.on_end(was_of_use=self._was_of_use):
                await self._clock.sleep_until(add_ms(self._clock.mono_ns(), delay_ms))

    async def _connect_once(self, url: str) -> str | None:
        """Hold one connection to its end. Returns what went wrong, by name: a text might hold the address."""
        self._fault, self._was_of_use = None, False
        try:
            async with asyncio.timeout(_CONNECTED_WITHIN_S):
                transport, _ = await ws_connect(
                    lambda: _Listener(self),
                    url,
                    max_frame_size=_MAX_FRAME_BYTES,
                    max_redirects=0,  # to a host that nobody has configured
                    enable_auto_ping=True,
                    auto_ping_idle_timeout=_IDLE_BEFORE_PING_S,
                    auto_ping_reply_timeout=_PONG_WITHIN_S,
                )
        except (OSError, WSError, TimeoutError) as error:
            return type(error).__name__
        try:
            async with asyncio.timeout(self._silent_s) as self._silence:
                await transport.wait_disconnected()
        except TimeoutError:
            if self._silence is None or not self._silence.expired():
                raise  # not ours: a handler's
            self._silences += 1
            return "silent: no slot in time"
        except WSError as error:  # anything else is what a handler has raised: a bug, which ends `run`
            return type(error).__name__
        finally:
            self._silence = None
            if not transport.is_disconnected:
                with contextlib.suppress(OSError):
                    transport.send_close(WSCloseCode.OK)
                transport.disconnect(graceful=False)
            self._disconnected(transport)  # now: the socket's side tells of it in a later turn of the loop
        return self._fault

    def _connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._connects += 1
        self._by_number.clear()
        self._cancelled.clear()
        if self._beat is not None:
            self._wanted.pop(self._beat.request_id, None)
        waiting = list(self._wanted.values())
        self._wanted.clear()
        for subscription in waiting:
            self._request(subscription)
        self._awaited = set(self._wanted)
        if self._follows_slots:
            self._beat = self.subscribe("slotSubscribe", [], self._on_slot, is_vital=False)
        self._end_gap()

    def _disconnected(self, transport: WSTransport) -> None:
        if transport is not self._transport:
            return
        self._transport = self._slot = None
        self._unanswered.clear()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self._unplaced.clear()
        for subscription in self._wanted.values():
            subscription.number = subscription.live_slot = None
        if self._blind_since is None:
            self._blind_since = self._heard_at or MonoNs(mono_ns())
        up_since, self._up_since = self._up_since, None
        if up_since is not None:
            self._was_of_use = is_due(add_ms(up_since, _OF_USE_MS), self._clock.mono_ns())
            if self._on_connection is not None:
                self._on_connection("down")

    def _settled(self, request_id: int) -> None:
        """Take note that a request needs no answer any more."""
        if request_id in self._awaited:
            self._awaited.remove(request_id)
            self._end_gap()

    def _end_gap(self) -> None:
        if self._transport is None or self._awaited:
            return
        self._refusals = 0
        if self._up_since is None:
            self._up_since = self._clock.mono_ns()
            if self._on_connection is not None:
                self._on_connection("up")
        if self._blind_since is not None:
            gap = Gap(since=self._blind_since, until=MonoNs(mono_ns()), endpoint=self.endpoint)
            self._blind_since = None
            self._gaps += 1
            for handler in self._gap_handlers:
                handler(gap)

    def _on_slot(self, frame: bytes, _now: MonoNs) -> None:
        """The heartbeat of the node behind the connection, not only of its socket."""
        try:
            self._slot = Slot(_decode_slot(frame).params.result.slot)
        except _UNREADABLE:
            return
        for subscription in self._unplaced:
            if subscription.number is not None:
                subscription.live_slot = self._slot
        self._unplaced.clear()
        self._expect_slot()

    def _expect_slot(self) -> None:
        if self._silent_s is not None:
            self._judge_at(asyncio.get_running_loop().time() + self._silent_s)

    def _judge_at(self, when: float | None) -> None:
        """Move the instant, of the loop's clock, at which the connection counts as silent; None = never."""
        if self._silence is not None and not self._silence.expired():
            self._silence.reschedule(when)

    def _request(self, subscription: Subscription) -> None:
        subscription.request_id = self._send(subscription.method, subscription.params)
        self._wanted[subscription.request_id] = subscription
        if self._transport is not None:
            self._unanswered[subscription.request_id] = asyncio.get_running_loop().time() + _ANSWERED_WITHIN_S
            if self._patience is None:
                self._be_patient()

    def _be_patient(self) -> None:
        """Look again when the oldest request should have been answered; who leaves one unanswered is given up."""
        self._patience = None
        if not self._unanswered or self._transport is None:
            return
        loop, until = asyncio.get_running_loop(), next(iter(self._unanswered.values()))
        if loop.time() < until:
            self._patience = loop.call_at(until, self._be_patient)
        else:
            self._fault = "a subscription was not answered in time"
            self._transport.disconnect(graceful=False)

    def _send(self, method: str, params: list[Any]) -> int:
        self._next_id += 1
        if self._transport is not None:
            body = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
            self._transport.send(WSMsgType.TEXT, msgspec.json.encode(body))
        return self._next_id

    def _drop(self, subscription: Subscription) -> None:
        if self._wanted.pop(subscription.request_id, None) is None:
            return
        self._settled(subscription.request_id)
        if subscription.number is not None:
            self._by_number.pop(subscription.number, None)
            self._send(_unsubscribe(subscription.method), [subscription.number])
        elif subscription.request_id in self._unanswered:
            self._cancelled[subscription.request_id] = subscription.method
        if not subscription.active.done():
            subscription.active.cancel()

    # ---- frames ----------------------------------------------------------------------------------------------------

    def _frame(self, payload: bytes, now: MonoNs) -> None:
        self._frames += 1
        self._bytes += len(payload)
        self._heard_at = now
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
        self._unanswered.pop(request_id, None)
        number = _number(message)
        if (method := self._cancelled.pop(request_id, None)) is not None:
            if number is not None:
                self._send(_unsubscribe(method), [number])
            return
        subscription = self._wanted.get(request_id)
        if subscription is None:
            return  # to an unsubscription
        if number is None:
            self._refused(subscription, message.error or _Error(code=min(_NEVER), message="no number came"))
            return
        subscription.number = number
        subscription.refusals = 0
        if subscription is self._beat:
            self._expect_slot()
        self._by_number[number] = subscription
        if self._slot is not None:
            subscription.live_slot = self._slot
        elif self._follows_slots:
            self._unplaced.append(subscription)
        if not subscription.active.done():
            subscription.active.set_result(None)
        self._settled(request_id)

    def _refused(self, subscription: Subscription, error: _Error) -> None:
        """Ask the next address, or this one again and ever later, or not any more."""
        refusal = SubscriptionError(self.endpoint, f"{subscription.method} was refused: {error.message}")
        subscription.refusal = refusal
        log.warning("%s", refusal)
        is_for_good, is_a_loss = error.code in _NEVER, subscription.active.done() and subscription.is_vital
        if is_a_loss and self._transport is not None and (is_for_good or len(self._urls) > 1):
            if is_for_good:
                self._refusal = refusal
            self._transport.disconnect(graceful=False)  # it stays wanted: the next address may accept it
            return
        if subscription is self._beat:
            self._judge_at(None)  # a server without slots can only be judged by its pongs
        if not is_for_good:
            first, most = _ASK_AGAIN_S
            delay = min(first * 2 ** min(subscription.refusals, _MOST_DOUBLINGS), most)
            subscription.refusals += 1
            asyncio.get_running_loop().call_later(delay, self._ask_again, subscription, subscription.request_id)
        elif not subscription.active.done():
            del self._wanted[subscription.request_id]
            subscription.active.set_exception(refusal)
            subscription.active.exception()  # looked at here, so that nobody waiting for it is no warning
        if not is_a_loss:
            self._settled(subscription.request_id)

    def _ask_again(self, subscription: Subscription, request_id: int) -> None:
        if self._transport is None or self._wanted.get(request_id) is not subscription:
            return  # it was asked for with a later connection, or nobody wants it any more
        del self._wanted[request_id]
        self._request(subscription)
        if request_id in self._awaited:
            self._awaited.remove(request_id)
            self._awaited.add(subscription.request_id)


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

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell the client."""
        self._client._disconnected(transport)  # noqa: SLF001

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
