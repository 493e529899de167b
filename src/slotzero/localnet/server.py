"""The chain's sockets: JSON-RPC over HTTP and WebSocket on one loopback port, the slot timer, background services.

aiohttp, because it serves both protocols on one port and one request of a connection at a time, which keeps the loop
fair: a raw server did 47 % more at saturation, but let pipelining clients starve the slot timer. uvloop gathers the
frames written in one turn of the loop into one write.
"""

import asyncio
import errno
import heapq
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, TypeAlias

import msgspec
import uvloop
from aiohttp import WSMsgType, web
from msgspec import Struct

from slotzero.clock import Clock, SystemClock
from slotzero.errors import LocalnetError, UsageError
from slotzero.localnet.chain import Chain, ChainConfig
from slotzero.localnet.collector import Collector
from slotzero.localnet.endpoints import LocalnetEndpoints
from slotzero.localnet.events import ChainEvent, SlotOpened
from slotzero.localnet.node import Node
from slotzero.localnet.pubsub import Outbox, Pubsub
from slotzero.localnet.rpc import Rpc
from slotzero.units import Slot

__all__ = ["HOST", "Localnet", "LocalnetConfig", "Service", "SlotWaiters", "announcement", "run", "serve"]

logger = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8899
MAX_BODY_BYTES: Final = 1024 * 1024
"""aiohttp's own default for a request's body, and our bound for a WebSocket message."""
_CLOSE_TIMEOUT_S: Final = 1.0
_GOING_AWAY: Final = 1001


class LocalnetConfig(Struct, frozen=True, kw_only=True):
    """Where the chain listens and how it runs.

    Attributes:
        port: 0 takes a free one.
    """

    port: int = DEFAULT_PORT
    chain: ChainConfig = ChainConfig()


class SlotWaiters:
    """Let tasks sleep until a slot opens. Holds one entry for each waiting task."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._order = itertools.count()
        self._waiting: list[tuple[Slot, int, asyncio.Future[None]]] = []
        chain.add_listener(self._on_event)

    async def wait_for(self, slot: Slot) -> Slot:
        """Return the open slot once it is `slot` or a later one. *Cancellation: safe.*"""
        if self._chain.slot < slot:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (slot, next(self._order), waiter))
            await waiter
        return self._chain.slot

    def _on_event(self, event: ChainEvent) -> None:
        if isinstance(event, SlotOpened):
            while self._waiting and self._waiting[0][0] <= event.slot:
                waiter = heapq.heappop(self._waiting)[2]
                if not waiter.done():
                    waiter.set_result(None)


class Localnet(Struct, frozen=True, kw_only=True):
    """A chain that is being served, for what runs beside it in its process."""

    chain: Chain
    slots: SlotWaiters
    endpoints: LocalnetEndpoints


Service: TypeAlias = Callable[[Localnet], Coroutine[object, object, None]]
"""What runs in the chain's process and on its loop: a launcher, another port. Cancelled when the chain stops; if it
fails, the chain stops with its error. It shares the loop: no step of it may take long."""


async def serve(
    config: LocalnetConfig,
    *,
    on_ready: Callable[[Localnet], None],
    stop: asyncio.Event,
    services: Sequence[Service] = (),
    collector: Collector | None = None,
    clock: Clock | None = None,
) -> None:
    """Serve a new chain until `stop` is set.

    Args:
        config: Where and how.
        on_ready: Called once, when the port takes connections.
        stop: Ends it in order.
        services: What runs beside the chain.
        collector: Given in a process of the chain's own, it takes over that process's garbage collection.
        clock: Where the chain takes its time from.

    Raises:
        UsageError: The port is taken or not ours to take.
    """
    clock = clock or SystemClock()
    chain = Chain(config.chain, clock=clock)
    pubsub = Pubsub(chain)
    node = Node(chain=chain, gauges={"pubsub": pubsub.stats})
    if collector is not None:
        node.gauges["garbage"] = collector.stats
    sockets = _Sockets(Rpc(node), pubsub)
    runner = web.ServerRunner(web.Server(sockets.handle, access_log=None), shutdown_timeout=_CLOSE_TIMEOUT_S)
    await runner.setup()
    try:
        port = await _listen(runner, config.port)
        localnet = Localnet(chain=chain, slots=SlotWaiters(chain), endpoints=_endpoints(chain, port))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(service(localnet), name=f"localnet {service!r}") for service in services]
            if chain.next_deadline is not None:
                tasks.append(group.create_task(_keep_slots(chain, clock, collector), name="localnet slots"))
                if collector is not None:
                    collector.start()
            on_ready(localnet)
            await stop.wait()
            for task in tasks:
                task.cancel()
    finally:
        await sockets.close()
        await runner.cleanup()


def run(
    config: LocalnetConfig,
    *,
    on_ready: Callable[[Localnet], None],
    services: Sequence[Service] = (),
    until_stdin_closes: bool = False,
) -> signal.Signals | None:
    """Serve a new chain in this process until SIGINT, SIGTERM or, if asked, the end of stdin.

    Returns:
        The signal that ended it, None for the end of stdin.

    Raises:
        UsageError: The port is taken or not ours to take.
        LocalnetError: A service beside the chain failed.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(config, on_ready=on_ready, services=services, until_stdin_closes=until_stdin_closes))
    except* LocalnetError as group:
        raise LocalnetError(f"the chain stopped: {group.exceptions[0]}") from group


async def _run(
    config: LocalnetConfig,
    *,
    on_ready: Callable[[Localnet], None],
    services: Sequence[Service],
    until_stdin_closes: bool,
) -> signal.Signals | None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    received: list[signal.Signals] = []

    def stop_by(number: signal.Signals) -> None:
        received.append(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop_by, number)
    if until_stdin_closes:
        _watch_stdin(lambda: loop.call_soon_threadsafe(stop.set))
    await serve(config, on_ready=on_ready, stop=stop, services=services, collector=Collector())
    return received[0] if received else None


def _watch_stdin(on_end: Callable[[], object]) -> None:
    """Call `on_end` when stdin ends, as it does when the parent dies, even by SIGKILL.

    A thread on the bare descriptor: an event loop can watch pipes but not files, and a reader of `sys.stdin` would
    hold its lock while the interpreter ends.
    """

    def read() -> None:
        while True:
            try:
                if not os.read(0, 4096):
                    break
            except OSError:
                break
        try:
            on_end()
        except RuntimeError:
            logger.debug("stdin ended after the loop")

    threading.Thread(target=read, name="localnet stdin", daemon=True).start()


async def _listen(runner: web.ServerRunner, port: int) -> int:
    try:
        await web.TCPSite(runner, HOST, port).start()
    except (OSError, OverflowError) as error:
        reason = f"cannot be used ({error})"
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            reason = "is in use"
        raise UsageError(f"port {port} on {HOST} {reason}: choose another, or 0 for a free one") from error
    address = runner.addresses[0]
    return int(address[1])


def _endpoints(chain: Chain, port: int) -> LocalnetEndpoints:
    return LocalnetEndpoints(
        rpc=f"http://{HOST}:{port}",
        ws=f"ws://{HOST}:{port}",
        port=port,
        pid=os.getpid(),
        genesis=str(chain.genesis_hash),
        slot_ms=chain.config.slot_ms,
        seed=chain.config.seed,
        faucet=str(chain.faucet),
    )


async def _keep_slots(chain: Chain, clock: Clock, collector: Collector | None) -> None:
    """Open slots when nobody calls. The deadline is the chain's: a request may have been quicker."""
    while (deadline := chain.next_deadline) is not None:
        await clock.sleep_until(deadline)
        chain.catch_up()
        if collector is not None:
            collector.after_slot()


class _Sockets:
    """Bytes between aiohttp's connections and the synchronous parts."""

    def __init__(self, rpc: Rpc, pubsub: Pubsub) -> None:
        self._rpc = rpc
        self._pubsub = pubsub
        self._websockets: set[web.WebSocketResponse] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "POST":
            body = self._rpc.handle(await request.read())
            return web.Response(body=body, content_type="application/json")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_websocket(request)
        if request.method == "GET" and request.path == "/health":
            return web.Response(text="ok")
        return web.Response(status=405, text="POST a JSON-RPC request, or open a WebSocket\n")

    async def close(self) -> None:
        """Tell every WebSocket that this end goes away."""
        await asyncio.gather(*(websocket.close(code=_GOING_AWAY) for websocket in list(self._websockets)))

    async def _serve_websocket(self, request: web.BaseRequest) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(compress=False, max_msg_size=MAX_BODY_BYTES, timeout=_CLOSE_TIMEOUT_S)
        await websocket.prepare(request)

        def abort() -> None:
            # A close frame would have to queue behind what is not being read.
            logger.warning("a WebSocket client does not read: its connection is closed")
            if request.transport is not None:
                request.transport.abort()

        outbox = Outbox(abort)
        self._websockets.add(websocket)
        self._pubsub.connect(outbox)
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(_write(websocket, outbox), name="localnet websocket writer")
                async for message in websocket:
                    if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                        self._pubsub.handle(outbox, message.data)
                writer.cancel()
        finally:
            self._pubsub.disconnect(outbox)
            self._websockets.discard(websocket)
        return websocket


async def _write(websocket: web.WebSocketResponse, outbox: Outbox) -> None:
    try:
        while True:
            await outbox.wait()
            while (frame := outbox.take()) is not None:
                await websocket.send_frame(frame, WSMsgType.TEXT)
    except ConnectionResetError:
        return  # the reader sees the end of the connection and ends the rest


def announcement(localnet: Localnet) -> str:
    """Return the line that tells a parent where the chain is."""
    return msgspec.json.encode(localnet.endpoints).decode()
