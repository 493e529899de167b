"""A Yellowstone Geyser feed: one stream of transactions and slots, reconnected, handed on as raw updates.

As with `pubsub` a handler gets the bytes and the instant they were read, and runs before anything else happens. Which
kind an update is follows from the first field behind its filters' names, so nothing is decoded here but slots: what a
handler does not care for costs it one search for bytes.

A stream is *live* with its first update, be it the answer to a ping: the server serves requests in order, so it has
taken the filters then, and from then on nothing is missed. What happened between two streams was told to nobody, and
`on_gap` says so.

Run it under uvloop: an update of 6 kB took 120 us one way at the median, against 229 us on the standard loop.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError
from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, add_ms, is_due, mono_ns
from slotzero.errors import SubscriptionError, TransportError
from slotzero.secret import Secret, redacted_url
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.solana.grpc_runtime import CLIENT_OPTIONS, aio, grpc
from slotzero.solana.pubsub import Connection, FrameHandler, Gap, GapHandler
from slotzero.solana.rota import Rota
from slotzero.solana.rpc import Commitment
from slotzero.units import MonoNs, Slot

__all__ = ["GeyserEndpoint", "GeyserFeed", "GeyserFeedStats", "grpc_target", "update_kind"]

log = logging.getLogger(__name__)

SUBSCRIBE: Final = "/geyser.Geyser/Subscribe"
_TOKEN: Final = "x-token"  # noqa: S105 the name of a header
_PING_MS: Final = 10_000
_NUDGE_MS: Final = 50
_OF_USE_MS: Final = 5_000
_CONNECT_MS: Final = 5_000
"""How long a stream may take to become live."""
_MS_PER_S: Final = 1_000
_COMMITMENTS: Final[dict[Commitment, geyser.CommitmentLevel]] = {
    "processed": geyser.PROCESSED,
    "confirmed": geyser.CONFIRMED,
    "finalized": geyser.FINALIZED,
}
_REFUSALS: Final = (
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
)
"""What asking again does not change."""

_HIDDEN: Final = "INTERNAL: Internal error from Core"
"""What grpc.aio says when the server ended a stream while a request was being written: the server's words are lost, so
it is asked again at once."""
_MOST_HIDDEN: Final = 10

_FILTERS, _SLOT, _TRANSACTION, _PING = 1, 3, 4, 6
_LENGTH_DELIMITED: Final = 2
_MORE: Final = 0x80


class GeyserEndpoint(Struct, frozen=True, kw_only=True):
    """Where a Geyser service is.

    Attributes:
        url: `http://host:port`, or https; may hold a key.
        token: What it wants to see as `x-token`, None for nothing.
    """

    url: Secret[str]
    token: Secret[str] | None = None


class GeyserFeedStats(Struct, frozen=True, kw_only=True):
    """What a feed has seen so far.

    Attributes:
        updates: Of transactions.
        bytes: Of all updates.
        connects: Streams that became live.
        silences: Streams given up because no slot came in time.
        endpoint: Who is listened to, or was last.
        slot: The newest slot the stream has told of; None without one.
    """

    updates: int
    bytes: int
    connects: int
    gaps: int
    silences: int
    endpoint: str
    slot: Slot | None


def update_kind(update: bytes) -> int:
    """Return the number of the field that says what an update is: 3 a slot, 4 a transaction, ...; 0 when none does.

    *Pure.* *Hot path* (about 1 us): reads the heads of the top-level fields up to that one.
    """
    at, size = 0, len(update)
    while at < size:
        head, at = _varint(update, at)
        field = head >> 3
        if field != _FILTERS or head & 7 != _LENGTH_DELIMITED:
            return field if head & 7 == _LENGTH_DELIMITED else 0
        length, at = _varint(update, at)
        at += length
    return 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for byte in data[at : at + 10]:
        value |= (byte & (_MORE - 1)) << shift
        at += 1
        if byte < _MORE:
            return value, at
        shift += 7
    return 0, len(data)


class GeyserFeed:
    """One stream and its filters. `run` owns it.

    Args:
        endpoints: Of one cluster, in the order they are tried.
        accounts: Transactions that mention at least one of them are wanted, unless they failed.
        handler: Called for each; must not raise and must not block.
        clock: For delays and pings.
        commitment: When they are told.
        on_connection: Called when the stream is live and when it is lost.
        on_gap: Called when a time of which nothing was told is over.
        silent_after_ms: A stream that tells of no new slot for so long is given up, whatever else it says. None where
            slots do not open by themselves. Mainnet: 2,000, which is ten slots.
    """

    def __init__(
        self,
        endpoints: Sequence[GeyserEndpoint],
        *,
        accounts: Sequence[Pubkey],
        handler: FrameHandler,
        clock: Clock,
        commitment: Commitment = "processed",
        on_connection: Callable[[Connection], None] | None = None,
        on_gap: GapHandler | None = None,
        silent_after_ms: int | None = None,
    ) -> None:
        assert endpoints, "a feed needs an address"
        self._endpoints = tuple(endpoints)
        self._rota = Rota(len(self._endpoints))
        self.endpoint = redacted_url(self._endpoints[0].url.reveal())
        self._request = geyser.SubscribeRequest(
            transactions={
                "t": geyser.SubscribeRequestFilterTransactions(
                    vote=False, failed=False, account_include=[str(key) for key in accounts]
                )
            },
            slots={"s": geyser.SubscribeRequestFilterSlots(filter_by_commitment=True)},
            commitment=_COMMITMENTS[commitment],
        ).SerializeToString()
        self._handler = handler
        self._clock = clock
        self._on_connection = on_connection
        self._on_gap = on_gap
        self._silent_s = None if silent_after_ms is None else silent_after_ms / _MS_PER_S
        self._silence: asyncio.Timeout | None = None
        self.live = asyncio.Event()
        """Set while a stream is live."""
        self._slot: Slot | None = None
        self._heard_at = MonoNs(0)
        self._live_since = MonoNs(0)
        self._was_of_use = False
        """Whether the last stream was live for a while."""
        self._blind_since: MonoNs | None = None
        self._ping_at = MonoNs(0)
        self._updates = self._bytes = self._connects = self._gaps = self._silences = self._refusals = 0

    def stats(self) -> GeyserFeedStats:
        """Return what was seen so far."""
        return GeyserFeedStats(
            updates=self._updates,
            bytes=self._bytes,
            connects=self._connects,
            gaps=self._gaps,
            silences=self._silences,
            endpoint=self.endpoint,
            slot=self._slot,
        )

    async def run(self) -> None:
        """Subscribe, and again after a loss, until cancelled. *Does I/O.* *Cancellation: closes.*

        Raises:
            TransportError: The very first attempt at each address failed: a wrong one is told at once.
            SubscriptionError: Each address in turn has refused the subscription.
            Exception: What a handler has raised, which is a bug.
        """
        attempts = hidden = 0
        while True:
            endpoint = self._endpoints[self._rota.turn]
            self.endpoint = redacted_url(endpoint.url.reveal())
            attempts += 1
            refusal, fault = await self._stream_once(endpoint)
            hidden = hidden + 1 if fault == _HIDDEN else 0
            if 0 < hidden <= _MOST_HIDDEN:
                attempts -= 1
                continue
            if refusal:
                self._refusals += 1
                if self._refusals >= len(self._endpoints):
                    raise SubscriptionError(self.endpoint, f"the subscription was refused: {fault}")
            if not self._connects and attempts >= len(self._endpoints):
                raise TransportError(self.endpoint, f"no stream ({fault})")
            log.warning("%s: no stream (%s)", self.endpoint, fault)
            if delay_ms := self._rota.on_end(was_of_use=self._was_of_use):
                await self._clock.sleep_until(add_ms(self._clock.mono_ns(), delay_ms))

    async def _stream_once(self, endpoint: GeyserEndpoint) -> tuple[bool, str]:
        """Hold one stream to its end. Returns whether it was refused, and why it ended, without the address."""
        metadata = () if endpoint.token is None else ((_TOKEN, endpoint.token.reveal()),)
        async with _channel(endpoint.url.reveal()) as channel:
            call: aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(SUBSCRIBE)(metadata=metadata)
            try:
                async with asyncio.timeout(_CONNECT_MS / _MS_PER_S) as self._silence, asyncio.TaskGroup() as tasks:
                    nudge = tasks.create_task(self._nudge(call), name="geyser nudge")
                    refusal, fault = await self._read(call)
                    nudge.cancel()
            except TimeoutError:
                if self._silence is None or not self._silence.expired():
                    raise  # not ours: a handler's
                if not self.live.is_set():
                    return False, "not live in time"
                self._silences += 1
                return False, "silent: no slot in time"
            finally:
                self._silence = None
                call.cancel()
                self._lost()
        return refusal, fault

    async def _read(self, call: "aio.StreamStreamCall[bytes, bytes]") -> tuple[bool, str]:
        """Subscribe and read to the end. Returns whether the server refused, and its words."""
        try:
            await call.write(self._request)
            while isinstance(update := await call.read(), bytes):
                now = MonoNs(mono_ns())
                self._heard_at = now
                self._bytes += len(update)
                if not self.live.is_set():
                    self._on_live()
                kind = update_kind(update)
                if kind == _TRANSACTION:
                    self._updates += 1
                    self._handler(update, now)
                elif kind == _SLOT:
                    self._on_slot(update)
                if kind == _PING or is_due(self._ping_at, now):
                    await self._ping(call)
        except (aio.AioRpcError, asyncio.InvalidStateError):  # the latter: a write on a stream that has ended
            code, details = await call.code(), await call.details()
            return code in _REFUSALS, f"{code.name}: {details}"
        return False, "ended by the server"

    async def _nudge(self, call: "aio.StreamStreamCall[bytes, bytes]") -> None:
        """Have a server that has nothing to tell yet say that it has heard us.

        Not at once: a request written while a refusal comes in would hide the refusal's own words.
        """
        await self._clock.sleep_until(add_ms(self._clock.mono_ns(), _NUDGE_MS))
        if not self.live.is_set():
            with contextlib.suppress(aio.AioRpcError, asyncio.InvalidStateError):
                await self._ping(call)

    async def _ping(self, call: "aio.StreamStreamCall[bytes, bytes]") -> None:
        """Say that we are here: what balances load on the way closes a client that never says anything."""
        self._ping_at = add_ms(mono_ns(), _PING_MS)
        await call.write(geyser.SubscribeRequest(ping=geyser.SubscribeRequestPing(id=1)).SerializeToString())

    def _on_live(self) -> None:
        self.live.set()
        self._live_since = self._clock.mono_ns()
        self._connects += 1
        self._refusals = 0
        self._judge()
        if self._on_connection is not None:
            self._on_connection("up")
        if self._blind_since is not None:
            gap = Gap(since=self._blind_since, until=MonoNs(mono_ns()), endpoint=self.endpoint)
            self._blind_since = None
            self._gaps += 1
            if self._on_gap is not None:
                self._on_gap(gap)

    def _on_slot(self, update: bytes) -> None:
        try:
            self._slot = Slot(geyser.SubscribeUpdate.FromString(update).slot.slot)
        except DecodeError:
            return
        self._judge()

    def _judge(self) -> None:
        """Move the instant, of the loop's clock, at which the stream counts as silent."""
        if self._silence is not None and not self._silence.expired():
            when = None if self._silent_s is None else asyncio.get_running_loop().time() + self._silent_s
            self._silence.reschedule(when)

    def _lost(self) -> None:
        self._slot, self._was_of_use = None, False
        if not self.live.is_set():
            return
        self.live.clear()
        self._was_of_use = is_due(add_ms(self._live_since, _OF_USE_MS), self._clock.mono_ns())
        if self._blind_since is None:
            self._blind_since = self._heard_at
        if self._on_connection is not None:
            self._on_connection("down")


def grpc_target(url: str) -> str:
    """Return what gRPC calls an http(s) URL's host and port; an IPv6 address stands in brackets. *Pure.*"""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _channel(url: str) -> aio.Channel:
    target = grpc_target(url)
    if urlsplit(url).scheme == "https":
        return aio.secure_channel(target, grpc.ssl_channel_credentials(), options=CLIENT_OPTIONS)
    return aio.insecure_channel(target, options=CLIENT_OPTIONS)
