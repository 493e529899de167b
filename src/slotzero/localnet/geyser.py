"""Geyser subscriptions: from the chain's events to updates in each stream's outbox. Synchronous; knows no socket.

Served are transactions (all their filters) and slots, at each commitment; a filter of another kind is refused, since a
subscriber would take silence for "nothing happens". As on a real server a later request replaces all filters, a
request with a ping is answered and changes nothing, and a slot's *processed* and *confirmed* come together when it has
ended, *finalized* 32 slots later. There are no votes.

Beside the public fields each update carries the monotonic instant of what it tells (`mono_ns`), which ordinary clients
skip.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.message import DecodeError
from msgspec import Struct
from solders.pubkey import Pubkey
from solders.signature import Signature

from slotzero.clock import Clock
from slotzero.localnet.chain import Chain
from slotzero.localnet.commitments import Commitment, slot_at
from slotzero.localnet.events import AccountSet, ChainEvent, SlotOpened, TransactionExecuted
from slotzero.localnet.geyser_render import filter_names, ping_update, pong_update, slot_update, transaction_update
from slotzero.localnet.params import INVALID_PARAMS, METHOD_NOT_FOUND, RpcFault, pubkey_from, signature_from
from slotzero.localnet.pubsub import Outbox
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.units import Slot

__all__ = ["Geyser", "GeyserStats", "Stream"]

MAX_STREAMS: Final = 256
MAX_FILTERS: Final = 16
"""Filters of one kind in a request."""
MAX_KEYS: Final = 1_000
"""Addresses in one list of a filter."""
MAX_NAME: Final = 128
MAX_WAITING: Final = 200_000
"""Updates that wait for their commitment, of all streams; beyond it new ones are dropped and counted."""

_UNSERVED: Final = ("accounts", "blocks", "blocks_meta", "entry", "transactions_status")
_COMMITMENTS: Final[Mapping[int, Commitment]] = {
    geyser.PROCESSED: "processed",
    geyser.CONFIRMED: "confirmed",
    geyser.FINALIZED: "finalized",
}
_STATUSES: Final[Mapping[Commitment, geyser.SlotStatus]] = {
    "processed": geyser.SLOT_PROCESSED,
    "confirmed": geyser.SLOT_CONFIRMED,
    "finalized": geyser.SLOT_FINALIZED,
}


class TransactionFilter(Struct, frozen=True, kw_only=True):
    """Which transactions are wanted: those that satisfy every field that is set."""

    is_vote: bool | None
    is_failed: bool | None
    signature: Signature | None
    include: frozenset[Pubkey]
    exclude: frozenset[Pubkey]
    required: frozenset[Pubkey]

    def takes(self, event: TransactionExecuted) -> bool:
        """Tell whether a transaction is wanted. *Pure.* *Hot path.*"""
        record, keys = event.record, event.account_keys
        return not (
            self.is_vote is True
            or (self.is_failed is not None and self.is_failed != (record.err is not None))
            or (self.signature is not None and self.signature != record.signature)
            or (self.include and self.include.isdisjoint(keys))
            or (self.exclude and not self.exclude.isdisjoint(keys))
            or (self.required and not self.required.issubset(keys))
        )


class SlotFilter(Struct, frozen=True, kw_only=True):
    """Which news of slots are wanted."""

    by_commitment: bool
    interslot: bool


class Stream:
    """One subscriber's filters, and where its updates go."""

    __slots__ = ("commitment", "is_active", "outbox", "slots", "transactions")

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.commitment: Commitment = "processed"
        self.transactions: dict[str, TransactionFilter] = {}
        self.slots: dict[str, SlotFilter] = {}
        self.is_active = True


class GeyserStats(Struct, frozen=True, kw_only=True, rename="camel"):
    """Counters of the streams.

    Attributes:
        sent: Updates put into outboxes.
        waiting: Updates that wait for their commitment.
        dropped: Those that found no more room to wait.
        slow_closed: Streams ended because their reader was too slow.
    """

    streams: int
    sent: int
    waiting: int
    dropped: int
    slow_closed: int


class Geyser:
    """All streams of a chain.

    Args:
        chain: Whose news they get.
        clock: For the wall-clock instant each update carries.
    """

    def __init__(self, chain: Chain, clock: Clock) -> None:
        self._chain = chain
        self._clock = clock
        self._streams: dict[Stream, None] = {}
        self._waiting: dict[Commitment, dict[Slot, list[tuple[Stream, bytes, bytes]]]] = {
            "confirmed": {},
            "finalized": {},
        }
        self._waiting_count = 0
        self._sent = 0
        self._dropped = 0
        self._slow_closed = 0
        chain.add_listener(self.on_event)

    @property
    def slot(self) -> Slot:
        """The open slot."""
        return self._chain.slot

    def slot_at(self, commitment: int) -> Slot:
        """Return the newest slot of a commitment, given as the wire has it."""
        return slot_at(_COMMITMENTS.get(commitment, "processed"), self._chain.slot)

    def connect(self, outbox: Outbox) -> Stream:
        """Begin to serve a stream. Raises RpcFault when there are too many."""
        if len(self._streams) >= MAX_STREAMS:
            raise RpcFault(INVALID_PARAMS, f"there are {MAX_STREAMS} streams already")
        stream = Stream(outbox)
        self._streams[stream] = None
        return stream

    def disconnect(self, stream: Stream) -> None:
        """Forget a stream."""
        stream.is_active = False
        self._streams.pop(stream, None)
        if stream.outbox.has_overflowed:
            self._slow_closed += 1

    def stats(self) -> GeyserStats:
        """Return the counters."""
        return GeyserStats(
            streams=len(self._streams),
            sent=self._sent,
            waiting=self._waiting_count,
            dropped=self._dropped,
            slow_closed=self._slow_closed,
        )

    def handle(self, stream: Stream, request: bytes) -> None:
        """Serve one request of a stream.

        Raises:
            RpcFault: It cannot be read or asks for what is not served; the stream is to end with it.
        """
        self._chain.catch_up()
        try:
            wanted = geyser.SubscribeRequest.FromString(request)
        except DecodeError as error:
            raise RpcFault(INVALID_PARAMS, f"no SubscribeRequest: {error}") from error
        if wanted.HasField("ping"):
            stream.outbox.put(pong_update(wanted.ping.id))
            return
        for kind in _UNSERVED:
            if getattr(wanted, kind):
                raise RpcFault(METHOD_NOT_FOUND, f"{kind} are not served here; transactions and slots are")
        if wanted.HasField("from_slot"):
            raise RpcFault(METHOD_NOT_FOUND, "nothing is replayed here: leave from_slot out")
        if (commitment := _COMMITMENTS.get(wanted.commitment)) is None:
            raise RpcFault(INVALID_PARAMS, f"there is no commitment {wanted.commitment}")
        for name in (*wanted.transactions, *wanted.slots):
            if len(name) > MAX_NAME:
                raise RpcFault(INVALID_PARAMS, f"a filter's name has at most {MAX_NAME} characters")
        if max(len(wanted.transactions), len(wanted.slots)) > MAX_FILTERS:
            raise RpcFault(INVALID_PARAMS, f"at most {MAX_FILTERS} filters of a kind")
        transactions = {name: _transaction_filter(row) for name, row in sorted(wanted.transactions.items())}
        stream.commitment = commitment
        stream.transactions = transactions
        stream.slots = {
            name: SlotFilter(by_commitment=row.filter_by_commitment, interslot=row.interslot_updates)
            for name, row in sorted(wanted.slots.items())
        }

    def ping(self) -> None:
        """Ask every client whether it is there, as servers do so that nothing on the way closes an idle stream."""
        for stream in self._streams:
            stream.outbox.put(ping_update())

    def on_event(self, event: ChainEvent) -> None:
        """Turn an event of the chain into updates. *Hot path.*"""
        if not self._streams and not self._waiting_count:
            return
        match event:
            case TransactionExecuted():
                self._on_transaction(event)
            case SlotOpened():
                self._on_slot(event)
            case AccountSet():
                pass

    def _on_transaction(self, event: TransactionExecuted) -> None:
        body = b""
        for stream in self._streams:
            names = [name for name, wanted in stream.transactions.items() if wanted.takes(event)]
            if names:
                body = body or transaction_update(event.record, self._chain.account, self._clock.wall_ns())
                self._deliver(stream, event.record.slot, filter_names(tuple(names)), body)

    def _on_slot(self, event: SlotOpened) -> None:
        if any(stream.slots for stream in self._streams):
            self._tell_slots(event)
        for commitment, slots in self._waiting.items():
            reached = slot_at(commitment, event.slot)
            for slot in sorted(slot for slot in slots if slot <= reached):
                due = slots.pop(slot)
                self._waiting_count -= len(due)
                for stream, names, body in due:
                    if stream.is_active:
                        self._send(stream, names, body)

    def _tell_slots(self, event: SlotOpened) -> None:
        wall_ns = self._clock.wall_ns()

        def news(slot: Slot, status: geyser.SlotStatus) -> bytes:
            block = self._chain.block_of(slot)
            parent = block.parent if block is not None else None
            return slot_update(slot, parent, status, mono_ns=event.mono_ns, wall_ns=wall_ns)

        ended: list[tuple[Commitment, bytes]] = [
            (commitment, news(event.root if commitment == "finalized" else event.parent, status))
            for commitment, status in _STATUSES.items()
            if commitment != "finalized" or event.root
        ]
        opened = news(event.slot, geyser.SLOT_CREATED_BANK)
        for stream in self._streams:
            for commitment, body in ended:
                names = [
                    name
                    for name, wanted in stream.slots.items()
                    if not wanted.by_commitment or commitment == stream.commitment
                ]
                if names:
                    self._send(stream, filter_names(tuple(names)), body)
            if names := [name for name, wanted in stream.slots.items() if wanted.interslot]:
                self._send(stream, filter_names(tuple(names)), opened)

    def _deliver(self, stream: Stream, slot: Slot, names: bytes, body: bytes) -> None:
        if stream.commitment == "processed":
            self._send(stream, names, body)
        elif self._waiting_count >= MAX_WAITING:
            self._dropped += 1
        else:
            self._waiting[stream.commitment].setdefault(slot, []).append((stream, names, body))
            self._waiting_count += 1

    def _send(self, stream: Stream, names: bytes, body: bytes) -> None:
        self._sent += 1
        stream.outbox.put(names + body)


def _transaction_filter(row: geyser.SubscribeRequestFilterTransactions) -> TransactionFilter:
    return TransactionFilter(
        is_vote=row.vote if row.HasField("vote") else None,
        is_failed=row.failed if row.HasField("failed") else None,
        signature=signature_from(row.signature) if row.HasField("signature") else None,
        include=_keys(row.account_include),
        exclude=_keys(row.account_exclude),
        required=_keys(row.account_required),
    )


def _keys(texts: Sequence[str]) -> frozenset[Pubkey]:
    if len(texts) > MAX_KEYS:
        raise RpcFault(INVALID_PARAMS, f"a filter lists at most {MAX_KEYS} addresses, got {len(texts)}")
    return frozenset(pubkey_from(text) for text in texts)
