"""A chain that is served: its ports, its slot timer, the services beside it, its end."""

import asyncio
import heapq
import itertools
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeAlias

import msgspec
import uvloop
from msgspec import Struct

from slotzero.clock import Clock, SystemClock
from slotzero.errors import LocalnetError
from slotzero.localnet.chain import Chain
from slotzero.localnet.collector import Collector
from slotzero.localnet.endpoints import LocalnetEndpoints, PortEndpoints
from slotzero.localnet.events import ChainEvent, SlotOpened
from slotzero.localnet.node import Method
from slotzero.localnet.port_set import LocalnetConfig, PortSet
from slotzero.localnet.ports import HOST
from slotzero.units import Slot

__all__ = ["HOST", "Localnet", "LocalnetConfig", "Service", "SlotWaiters", "announcement", "run", "serve"]

logger = logging.getLogger(__name__)


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
    """A chain that is being served, for what runs beside it in its process.

    Attributes:
        methods: Where a service puts admin methods of its own, by name.
    """

    chain: Chain
    slots: SlotWaiters
    endpoints: LocalnetEndpoints
    methods: dict[str, Method]


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
    ports = PortSet(chain, config, clock, {} if collector is None else {"garbage": collector.stats})
    try:
        ports.listen()
        async with asyncio.TaskGroup() as group:
            await ports.serve(group)
            localnet = Localnet(
                chain=chain, slots=SlotWaiters(chain), endpoints=_endpoints(chain, ports), methods=ports.added
            )
            tasks = [group.create_task(service(localnet), name=f"localnet {service!r}") for service in services]
            tasks += ports.tasks(group)
            if chain.next_deadline is not None:
                tasks.append(group.create_task(_keep_slots(chain, clock, collector), name="localnet slots"))
                if collector is not None:
                    collector.start()
            on_ready(localnet)
            await stop.wait()
            for task in tasks:
                task.cancel()
            ports.end_calls()
    finally:
        await ports.close()


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


def _endpoints(chain: Chain, ports: PortSet) -> LocalnetEndpoints:
    urls = {
        name: PortEndpoints(rpc=f"http://{HOST}:{port.number}", ws=f"ws://{HOST}:{port.number}")
        for name, port in ports.rpc.items()
    }
    return LocalnetEndpoints(
        rpc=urls["first"].rpc,
        ws=urls["first"].ws,
        second=urls.get("second"),
        direct=urls.get("direct"),
        geyser=None if ports.geyser is None else f"http://{HOST}:{ports.geyser.number}",
        jito=None if ports.jito is None else f"http://{HOST}:{ports.jito.number}",
        port=ports.rpc["first"].number,
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


def announcement(localnet: Localnet) -> str:
    """Return the line that tells a parent where the chain is."""
    return msgspec.json.encode(localnet.endpoints).decode()
