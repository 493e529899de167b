"""Subscriptions: from the chain's events to frames in each connection's outbox. Synchronous; knows no socket.

A notification leaves when its cause has the commitment asked for: *processed* at once, *confirmed* when the slot has
ended, *finalized* 32 slots later. Until then it waits under its slot, so that a fork can take it back with the slot.
Each carries `context.monoNs`, the monotonic instant of execution, which ordinary clients ignore.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct
from solders.signature import Signature

from slotzero.clock import is_due
from slotzero.localnet.chain import Chain
from slotzero.localnet.commitments import Commitment, slot_at
from slotzero.localnet.events import AccountSet, AccountWrite, ChainEvent, SlotOpened, TransactionExecuted
from slotzero.localnet.history import TransactionRecord
from slotzero.localnet.params import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    AccountConfig,
    CommitmentConfig,
    Params,
    RpcFault,
    commitment_in,
    config_at,
    integer_at,
    invalid,
    pubkey_at,
    pubkey_from,
    signature_from,
)
from slotzero.localnet.render import account_json, ended_account_json
from slotzero.localnet.rpc import error_json, read_body, read_request, result_json
from slotzero.units import MonoNs, Slot

__all__ = ["Outbox", "Pubsub", "PubsubStats"]

MAX_SUBSCRIPTIONS: Final = 10_000
"""Subscriptions of one connection; the next one is refused."""
MAX_OUTBOX_FRAMES: Final = 8_192
MAX_OUTBOX_BYTES: Final = 64 * 1024 * 1024
"""A connection with more than this unread is closed and counted (`slowClosed`): the chain never waits for a reader."""
MAX_WAITING: Final = 200_000
"""Notifications that wait for their commitment, of all connections; beyond it new ones are dropped and counted."""

_encoder = msgspec.json.Encoder()

Kind: TypeAlias = Literal["logs", "account", "signature", "slot"]
_SUBSCRIBE: Final[Mapping[str, Kind]] = {
    "logsSubscribe": "logs",
    "accountSubscribe": "account",
    "signatureSubscribe": "signature",
    "slotSubscribe": "slot",
}
_UNSUBSCRIBE: Final[Mapping[str, Kind]] = {
    "logsUnsubscribe": "logs",
    "accountUnsubscribe": "account",
    "signatureUnsubscribe": "signature",
    "slotUnsubscribe": "slot",
}
ALL: Final = "all"


class Outbox:
    """The frames a connection has not read yet. Full means overflow: nothing more is taken, and the owner is told.

    Args:
        on_overflow: Called once, when the bound is passed.
        due: Says when a frame put now may leave; 0 for at once. No frame overtakes another.
    """

    def __init__(
        self,
        on_overflow: Callable[[], None],
        *,
        max_frames: int = MAX_OUTBOX_FRAMES,
        max_bytes: int = MAX_OUTBOX_BYTES,
        due: Callable[[], MonoNs] | None = None,
    ) -> None:
        self._frames: deque[tuple[MonoNs, bytes]] = deque()
        self._bytes = 0
        self._on_overflow = on_overflow
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._due = due
        self._last_due = MonoNs(0)
        self._is_ready = asyncio.Event()
        self.has_overflowed = False

    def __len__(self) -> int:
        """How many frames wait."""
        return len(self._frames)

    @property
    def next_due(self) -> MonoNs | None:
        """When the next frame may leave, 0 for at once; None when none waits."""
        return self._frames[0][0] if self._frames else None

    def put(self, frame: bytes) -> None:
        """Append a frame. *Hot path.*"""
        if self.has_overflowed:
            return
        if len(self._frames) >= self._max_frames or self._bytes + len(frame) > self._max_bytes:
            self.has_overflowed = True
            self._frames.clear()
            self._on_overflow()
            return
        due = MonoNs(0)
        if self._due is not None and (due := self._due()):
            due = self._last_due = max(due, self._last_due)
        self._frames.append((due, frame))
        self._bytes += len(frame)
        self._is_ready.set()

    def take(self) -> bytes | None:
        """Return the next frame, due or not, or None."""
        if not self._frames:
            return None
        frame = self._frames.popleft()[1]
        self._bytes -= len(frame)
        return frame

    def take_due(self, now: MonoNs, most_bytes: int) -> list[bytes]:
        """Return the frames that may leave by `now`: at least one if there is one, at most `most_bytes` otherwise."""
        taken: list[bytes] = []
        size = 0
        while (due := self.next_due) is not None and is_due(due, now) and size < most_bytes:
            frame = self.take()
            assert frame is not None, "one was due"
            taken.append(frame)
            size += len(frame)
        return taken

    async def wait(self) -> None:
        """Return when there may be frames. *Cancellation: safe.*"""
        await self._is_ready.wait()
        self._is_ready.clear()


class LogsFilter(Struct, frozen=True, kw_only=True):
    """Which transactions' logs are wanted: those that mention one account."""

    mentions: list[str]


class SignatureConfig(CommitmentConfig, frozen=True, kw_only=True, rename="camel"):
    """The options of signatureSubscribe."""

    enable_received_notification: bool | None = None


class Subscription:
    """One subscription of one connection.

    Attributes:
        key: What it listens to: an address, a signature, or `"all"`.
    """

    __slots__ = ("commitment", "config", "id", "is_active", "key", "kind", "outbox")

    def __init__(
        self, number: int, outbox: Outbox, kind: Kind, key: Hashable, commitment: Commitment, config: CommitmentConfig
    ) -> None:
        self.id = number
        self.outbox = outbox
        self.kind = kind
        self.key = key
        self.commitment = commitment
        self.config = config
        self.is_active = True


class PubsubStats(Struct, frozen=True, kw_only=True, rename="camel"):
    """Counters of the subscriptions.

    Attributes:
        waiting: Notifications that wait for their commitment.
        dropped: Those that found no more room to wait.
        slow_closed: Connections closed because they did not read.
    """

    connections: int
    subscriptions: int
    sent: int
    waiting: int
    dropped: int
    slow_closed: int


class Pubsub:
    """All subscriptions of a chain."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._numbers = itertools.count(1)
        self._waiting_numbers = itertools.count(1)
        self._connections: dict[Outbox, dict[int, Subscription]] = {}
        self._index: dict[Kind, dict[Hashable, dict[int, Subscription]]] = {
            "logs": {},
            "account": {},
            "signature": {},
            "slot": {},
        }
        # By commitment and slot; within a slot by subscription, so that of an account's many states only the last one
        # of the slot is told.
        self._waiting: dict[Commitment, dict[Slot, dict[tuple[int, int], tuple[Subscription, bytes]]]] = {
            "confirmed": {},
            "finalized": {},
        }
        self._waiting_count = 0
        self._sent = 0
        self._dropped = 0
        self._slow_closed = 0
        chain.add_listener(self.on_event)

    # Connections ------------------------------------------------------------------------------------------------

    def connect(self, outbox: Outbox) -> None:
        """Begin to serve a connection."""
        self._connections[outbox] = {}

    def disconnect(self, outbox: Outbox) -> None:
        """Forget a connection and its subscriptions."""
        for subscription in list(self._connections.pop(outbox, {}).values()):
            self._remove(subscription)
        if outbox.has_overflowed:
            self._slow_closed += 1

    def stats(self) -> PubsubStats:
        """Return the counters."""
        return PubsubStats(
            connections=len(self._connections),
            subscriptions=sum(map(len, self._connections.values())),
            sent=self._sent,
            waiting=self._waiting_count,
            dropped=self._dropped,
            slow_closed=self._slow_closed,
        )

    def handle(self, outbox: Outbox, text: bytes | str) -> None:
        """Serve one frame of a connection: its responses, and notifications already due, go into the outbox."""
        self._chain.catch_up()
        try:
            request = read_body(text)
        except RpcFault as fault:
            outbox.put(_encoder.encode(error_json(None, fault)))
            return
        for item in request if isinstance(request, list) else [request]:
            self._answer(outbox, item)

    def _answer(self, outbox: Outbox, request: object) -> None:
        request_id = request.get("id") if isinstance(request, dict) else None
        try:
            request_id, name, params = read_request(request)
            self._call(outbox, request_id, name, params)
        except RpcFault as fault:
            outbox.put(_encoder.encode(error_json(request_id, fault)))

    def _call(self, outbox: Outbox, request_id: object, name: str, params: Params) -> None:
        if (kind := _SUBSCRIBE.get(name)) is not None:
            subscription = self._subscribe(outbox, kind, params)
            outbox.put(_encoder.encode(result_json(request_id, subscription.id)))
            # Only after the response: a client cannot place a notification whose number it does not know.
            if kind == "signature":
                self._tell_known_signature(subscription)
        elif (kind := _UNSUBSCRIBE.get(name)) is not None:
            self._unsubscribe(outbox, kind, params)
            outbox.put(_encoder.encode(result_json(request_id, result=True)))
        else:
            raise RpcFault(METHOD_NOT_FOUND, f"Method not found: {name[:64]}")

    # Subscribing ------------------------------------------------------------------------------------------------

    def _subscribe(self, outbox: Outbox, kind: Kind, params: Params) -> Subscription:
        own = self._connections[outbox]
        if len(own) >= MAX_SUBSCRIPTIONS:
            raise RpcFault(INVALID_REQUEST, f"Too many subscriptions: a connection may hold {MAX_SUBSCRIPTIONS}")
        key: Hashable
        config: CommitmentConfig
        match kind:
            case "logs":
                key, config = _logs_key(params), config_at(params, 1, CommitmentConfig)
            case "account":
                key, config = pubkey_at(params, 0), config_at(params, 1, AccountConfig)
                account_json(self._chain.account(key), config)  # an encoding we lack is refused now, not later
            case "signature":
                key, config = signature_from(params[0] if params else None), config_at(params, 1, SignatureConfig)
            case "slot":
                key, config = ALL, CommitmentConfig(commitment="processed")
        subscription = Subscription(next(self._numbers), outbox, kind, key, commitment_in(config), config)
        own[subscription.id] = subscription
        self._index[kind].setdefault(key, {})[subscription.id] = subscription
        return subscription

    def _unsubscribe(self, outbox: Outbox, kind: Kind, params: Params) -> None:
        number = integer_at(params, 0, "a subscription")
        subscription = self._connections[outbox].get(number)
        if subscription is None or subscription.kind != kind:
            raise RpcFault(INVALID_PARAMS, "Invalid subscription id.")
        self._remove(subscription)

    def _remove(self, subscription: Subscription) -> None:
        subscription.is_active = False
        self._connections.get(subscription.outbox, {}).pop(subscription.id, None)
        index = self._index[subscription.kind]
        same_key = index.get(subscription.key, {})
        same_key.pop(subscription.id, None)
        if not same_key:
            index.pop(subscription.key, None)

    def _tell_known_signature(self, subscription: Subscription) -> None:
        assert isinstance(subscription.key, Signature)
        record = self._chain.transaction(subscription.key)
        if record is None:
            return
        if record.slot <= slot_at(subscription.commitment, self._chain.slot):
            self._send(subscription, _signature_result(record))
            self._remove(subscription)
        else:
            self._wait(subscription, record.slot, _signature_result(record))

    # The chain's events -----------------------------------------------------------------------------------------

    def on_event(self, event: ChainEvent) -> None:
        """Turn an event of the chain into frames. *Hot path.*"""
        match event:
            case TransactionExecuted():
                self._on_transaction(event)
            case AccountSet():
                self._on_write(event.write, event.slot, event.mono_ns)
            case SlotOpened():
                self._on_slot(event)

    def _on_transaction(self, event: TransactionExecuted) -> None:
        record = event.record
        logs = self._index["logs"]
        if logs:
            wanting = [by_id for key in (ALL, *event.account_keys) if (by_id := logs.get(key))]
            if wanting:
                result = _logs_result(record)
                for by_id in wanting:
                    for subscription in by_id.values():
                        self._deliver(subscription, record.slot, result)
        if self._index["account"]:
            for write in event.written:
                self._on_write(write, record.slot, record.mono_ns)
        for subscription in list(self._index["signature"].get(record.signature, {}).values()):
            config = subscription.config
            if isinstance(config, SignatureConfig) and config.enable_received_notification:
                self._send(subscription, _result(record.slot, record.mono_ns, "receivedSignature"))
            self._deliver(subscription, record.slot, _signature_result(record))
            if subscription.commitment == "processed":
                self._remove(subscription)

    def _on_write(self, write: AccountWrite, slot: Slot, mono_ns: MonoNs) -> None:
        results: dict[Hashable, bytes] = {}
        for subscription in self._index["account"].get(write.key, {}).values():
            config = subscription.config
            assert isinstance(config, AccountConfig)
            # Encoded once for all who want it in the same form.
            form = (config.encoding, config.data_slice)
            if (result := results.get(form)) is None:
                result = results[form] = _result(slot, mono_ns, _account_shown(write, config))
            self._deliver(subscription, slot, result)

    def _on_slot(self, event: SlotOpened) -> None:
        subscriptions = self._index["slot"].get(ALL)
        if subscriptions:
            result = _encoder.encode(
                {"parent": event.parent, "root": event.root, "slot": event.slot, "monoNs": event.mono_ns}
            )
            for subscription in subscriptions.values():
                self._send(subscription, result)
        for commitment, slots in self._waiting.items():
            reached = slot_at(commitment, event.slot)
            for slot in sorted(slot for slot in slots if slot <= reached):
                due = slots.pop(slot)
                self._waiting_count -= len(due)
                for subscription, result in due.values():
                    if subscription.is_active:
                        self._send(subscription, result)
                        if subscription.kind == "signature":
                            self._remove(subscription)

    def _deliver(self, subscription: Subscription, slot: Slot, result: bytes) -> None:
        if subscription.commitment == "processed":
            self._send(subscription, result)
        else:
            self._wait(subscription, slot, result)

    def _wait(self, subscription: Subscription, slot: Slot, result: bytes) -> None:
        if self._waiting_count >= MAX_WAITING:
            self._dropped += 1
            return
        waiting = self._waiting[subscription.commitment].setdefault(slot, {})
        before = len(waiting)
        number = 0 if subscription.kind == "account" else next(self._waiting_numbers)
        waiting[subscription.id, number] = (subscription, result)
        self._waiting_count += len(waiting) - before

    def _send(self, subscription: Subscription, result: bytes) -> None:
        # The result is encoded once, however many connections get it.
        self._sent += 1
        subscription.outbox.put(
            b'{"jsonrpc":"2.0","method":"%bNotification","params":{"result":%b,"subscription":%d}}'
            % (subscription.kind.encode(), result, subscription.id)
        )


def _logs_key(params: Params) -> Hashable:
    wanted = params[0] if params else None
    # "allWithVotes" is "all" on a chain without votes.
    if wanted in (ALL, "allWithVotes"):
        return ALL
    if isinstance(wanted, str) or wanted is None:
        raise invalid('the filter must be "all" or {"mentions": [ADDRESS]}')
    mentions = config_at(params, 0, LogsFilter).mentions
    if len(mentions) != 1:
        raise RpcFault(INVALID_PARAMS, "Invalid Request: Only 1 address supported")
    return pubkey_from(mentions[0])


def _result(slot: Slot, mono_ns: MonoNs, value: object) -> bytes:
    return _encoder.encode({"context": {"slot": slot, "monoNs": mono_ns}, "value": value})


def _account_shown(write: AccountWrite, config: AccountConfig) -> dict[str, object]:
    try:
        return account_json(write.account, config) or ended_account_json(config)
    except RpcFault:
        # It has grown past what base58 may show; a real node sends an error text in its place, too.
        return ended_account_json(config) | {"data": "error: data too large for bs58 encoding"}


def _logs_result(record: TransactionRecord) -> bytes:
    value = {"signature": str(record.signature), "err": record.err, "logs": record.metadata.logs()}
    return _result(record.slot, record.mono_ns, value)


def _signature_result(record: TransactionRecord) -> bytes:
    return _result(record.slot, record.mono_ns, {"err": record.err})
