"""The desk that carries orders out: owns the sockets and timers that the order machines ask for.

One timer serves all orders: it is armed for the earliest deadline among them. Statuses are asked for in one batch for
all orders that are due; polling each order on its own cost 110 ms more at p95 in a rehearsal with 100 in flight.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final, Literal

import msgspec
from msgspec import Struct

from slotzero.clock import Clock, elapsed_ns, is_due, later
from slotzero.errors import EndpointError, MalformedError, RateLimitedError, RpcError
from slotzero.solana.blockhash import BlockhashCache
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import CrowdedError, Rpc
from slotzero.solana.transaction import SignedTransaction
from slotzero.trading.order import AskStatus, Command, Order, Outcome, Send
from slotzero.units import NS_PER_MS, DurationNs, MonoNs, Slot

__all__ = ["OrderDesk", "SendBytes"]

log = logging.getLogger(__name__)

_MAX_STATUSES: Final = 256
_NS_PER_S: Final = 1_000_000_000
_IDLE_NS: Final = 60 * _NS_PER_S
_MOST_HELD_NS: Final = DurationNs(2 * _NS_PER_S)
"""How long a send without an answer holds the next one back: what a call may take if the configuration says nothing."""


class _Context(Struct):
    slot: int


class _Value(Struct):
    err: object = None


class _Result(Struct):
    context: _Context
    value: _Value | str


class _Params(Struct):
    result: _Result


class _SignatureNotification(Struct):
    params: _Params


_decode = msgspec.json.Decoder(_SignatureNotification).decode


SendBytes = Callable[[bytes], Awaitable[str]]
"""A path to the leader: takes a signed transaction, returns its signature; raises EndpointError."""


class _Open:
    """An order under way."""

    __slots__ = ("done", "held_until", "order", "send", "signed", "unanswered")

    def __init__(self, signed: SignedTransaction, order: Order, send: SendBytes) -> None:
        self.signed = signed
        self.send = send
        self.order = order
        self.done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.unanswered = 0
        """How many sends of it are under way."""
        self.held_until = MonoNs(0)
        """Until when they hold the next one back."""

    def settle(self) -> None:
        if self.order.outcome is not None and not self.done.done():
            self.done.set_result(self.order.outcome)


class OrderDesk:
    """Send signed transactions and say what became of them.

    Args:
        rpc: Where they are sent and asked about.
        pubsub: Where their confirmation is heard.
        blockhashes: For the block height that expires them.
        clock: For deadlines.
        tasks: Owns the desk's requests; they end with it.
        rebroadcast_ms: How often unconfirmed bytes are sent again; not while a send of them has no answer, for two
            seconds at most.
        poll_ms: How often statuses are asked for beside the subscription.
    """

    def __init__(
        self,
        *,
        rpc: Rpc,
        pubsub: PubSub,
        blockhashes: BlockhashCache,
        clock: Clock,
        tasks: asyncio.TaskGroup,
        rebroadcast_ms: int,
        poll_ms: int,
    ) -> None:
        self._rpc = rpc
        self._pubsub = pubsub
        self._blockhashes = blockhashes
        self._clock = clock
        self._tasks = tasks
        self._rebroadcast_ns = DurationNs(rebroadcast_ms * NS_PER_MS)
        self._poll_ns = DurationNs(poll_ms * NS_PER_MS)
        self._open: dict[str, _Open] = {}
        self._woken = asyncio.Event()

    @property
    def open_count(self) -> int:
        """How many orders have no outcome yet."""
        return len(self._open)

    async def execute(
        self,
        signed: SignedTransaction,
        *,
        on_sent: Callable[[MonoNs], None] | None = None,
        may_send: bool = True,
        send: SendBytes | None = None,
        is_exit: bool = False,
    ) -> Outcome:
        """Send `signed` and return what became of it, however long the chain takes to say so.

        *Does I/O.* *Cancellation: leaves an unknown send.*

        Args:
            signed: The bytes; their intent must be on disk already.
            on_sent: Called with the instant the bytes were handed to the socket for the first time.
            may_send: False to settle an order that an earlier run may have sent.
            send: The path it takes; None = the RPC endpoints.
            is_exit: Whether it is a sell: endpoints that have asked for patience are tried once a second all the same
                (see `endpoints`). Only for the RPC endpoints.
        """
        order = Order(
            signed.last_valid_block_height,
            rebroadcast_ns=self._rebroadcast_ns,
            poll_ns=self._poll_ns,
            may_send=may_send,
        )
        path = send or partial(self._rpc.send_transaction, purpose="exit" if is_exit else "send")
        entry = _Open(signed, order, path)
        self._open[signed.signature] = entry
        subscription = self._pubsub.subscribe(
            "signatureSubscribe",
            [signed.signature, {"commitment": "confirmed"}],
            lambda frame, _now: self._notified(entry, frame),
            is_once=True,
        )
        try:
            now = self._clock.mono_ns()
            self._perform(entry, order.start(now), now)
            if on_sent is not None:
                on_sent(now)
            self._woken.set()
            return await entry.done
        finally:
            subscription.cancel()
            del self._open[signed.signature]

    def stop_sending(self, signatures: Collection[str]) -> None:
        """Send these no more. What has been sent of them may still land, and is asked about to the end."""
        for signature in signatures:
            if (entry := self._open.get(signature)) is not None:
                entry.order.stop_sending()

    async def run(self) -> None:
        """Serve the orders' deadlines until cancelled."""
        while True:
            self._woken.clear()
            now = self._clock.mono_ns()
            asking: dict[bool, list[_Open]] = {False: [], True: []}
            for entry in list(self._open.values()):
                for command in entry.order.on_time(now, self._blockhashes.block_height):
                    if isinstance(command, AskStatus):
                        asking[command.history].append(entry)
                    else:
                        self._perform(entry, [command], now)
            for history, entries in asking.items():
                for first in range(0, len(entries), _MAX_STATUSES):
                    batch = entries[first : first + _MAX_STATUSES]
                    self._tasks.create_task(self._ask(batch, "history" if history else "recent"), name="statuses")
            await self._sleep(now)

    async def _sleep(self, now: MonoNs) -> None:
        deadlines = [at for entry in self._open.values() if (at := entry.order.next_deadline()) is not None]
        wait_ns = elapsed_ns(now, min(deadlines, default=later(now, _IDLE_NS)))
        try:
            async with asyncio.timeout(wait_ns / _NS_PER_S):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _perform(self, entry: _Open, commands: list[Command], now: MonoNs) -> None:
        for command in commands:
            match command:
                case Send() if entry.unanswered and not is_due(entry.held_until, now):
                    # It would only take the place of another order's send, and they are few: behind 128 slow ones that
                    # were sent again and again a new sell waited 1.5 s.
                    entry.order.on_not_sent()
                case Send():
                    entry.unanswered += 1
                    entry.held_until = later(now, _MOST_HELD_NS)
                    self._tasks.create_task(self._send(entry), name="send")
                case AskStatus():
                    kind: Literal["recent", "history"] = "history" if command.history else "recent"
                    self._tasks.create_task(self._ask([entry], kind), name="status")

    async def _send(self, entry: _Open) -> None:
        """Send once. Whatever the endpoint says, only the chain decides: the machine goes on asking."""
        try:
            if not entry.order.may_send:
                entry.order.on_not_sent()
                return  # it was told to stop while this send was waiting for its turn
            await entry.send(entry.signed.raw)
        except RpcError as error:
            log.info("send of %s was refused: %s", entry.signed.signature, error)
        except (EndpointError, MalformedError) as error:
            log.warning("send of %s has no answer: %s", entry.signed.signature, error)
            if _was_put_off(error):
                entry.order.on_not_sent()
        finally:
            entry.unanswered -= 1

    async def _ask(self, entries: list[_Open], asked: Literal["recent", "history"]) -> None:
        try:
            statuses = await self._rpc.get_signature_statuses(
                [entry.signed.signature for entry in entries], search_history=asked == "history"
            )
        except (EndpointError, MalformedError) as error:
            log.warning("no status of %d orders: %s", len(entries), error)
            return
        for entry, status in zip(entries, statuses, strict=False):
            entry.order.on_status(status, asked=asked)
            entry.settle()

    def _notified(self, entry: _Open, frame: bytes) -> None:
        try:
            result = _decode(frame).params.result
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # the status poll will tell
        if isinstance(result.value, _Value):  # else "receivedSignature", which says nothing about landing
            entry.order.on_notified(Slot(result.context.slot), result.value.err)
            entry.settle()


def _was_put_off(error: EndpointError | MalformedError) -> bool:
    """Tell whether no endpoint has taken the bytes: they were refused for the moment, or have not left."""
    return isinstance(error, RateLimitedError) or (isinstance(error, CrowdedError) and not error.has_left)
