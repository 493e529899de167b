"""The ports of a chain: which there are, what each offers, and the faults it has."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from slotzero.clock import Clock
from slotzero.localnet.chain import Chain, ChainConfig
from slotzero.localnet.faults import Faults
from slotzero.localnet.jito import BlockEngine
from slotzero.localnet.jito_port import BlockEnginePort
from slotzero.localnet.network import NETWORKS, NetworkName
from slotzero.localnet.node import Method, Node, PortControl
from slotzero.localnet.ports import Port
from slotzero.localnet.pubsub import Pubsub
from slotzero.localnet.queue_watch import QueueWatch
from slotzero.localnet.rpc import METHODS, Rpc, brings_transaction
from slotzero.localnet.rpc_admin import PORT_METHODS
from slotzero.localnet.turns import Turns

if TYPE_CHECKING:
    from slotzero.localnet.geyser_port import GeyserPort

__all__ = ["DEFAULT_PORT", "LocalnetConfig", "PortSet"]

DEFAULT_PORT: Final = 8899


class LocalnetConfig(Struct, frozen=True, kw_only=True):
    """Where the chain listens and how it runs.

    Attributes:
        port: 0 takes a free one.
        second_port: Another port onto the same chain, which the first one's admin calls can stop and start; 0 takes a
            free one, None means there is none. The ports below likewise.
        direct_port: One that no network lies before: for who drives or judges the chain.
        geyser_port: The Yellowstone-compatible gRPC service.
        jito_port: The block engine that takes bundles.
        geyser_token: What `x-token` must say to the Geyser service; None admits everybody.
        network: What lies between clients and the chain from the start, on every port but the direct one.
    """

    port: int = DEFAULT_PORT
    second_port: int | None = None
    direct_port: int | None = None
    geyser_port: int | None = None
    jito_port: int | None = None
    geyser_token: str | None = None
    network: NetworkName = "none"
    chain: ChainConfig = ChainConfig()


class PortSet:
    """All ports of one chain.

    Args:
        chain: What they show.
        config: Which there are.
        clock: What delays are taken from.
        gauges: Counters of other parts, shown by `slotzero_stats`.
    """

    def __init__(
        self, chain: Chain, config: LocalnetConfig, clock: Clock, gauges: Mapping[str, Callable[[], object]]
    ) -> None:
        self._chain = chain
        self._config = config
        self._clock = clock
        self._pubsub = Pubsub(chain)
        self._controls: dict[str, PortControl] = {}
        self._queue = QueueWatch(clock)
        self._gauges: dict[str, Callable[[], object]] = {
            "pubsub": self._pubsub.stats,
            "queue": self._queue.stats,
            **gauges,
        }
        self.added: dict[str, Method] = {}
        """Admin methods of the services beside the chain."""
        self.rpc: dict[str, Port] = {}
        self.geyser: GeyserPort | None = None
        self.jito: BlockEnginePort | None = None
        self._engine: BlockEngine | None = None
        turns = Turns(brings_transaction, self._queue.on_begin, chain.settle_next)
        for name in self._numbers():
            # Who speaks through the second port cannot stop it: no answer would come.
            methods = METHODS if name == "second" else {**METHODS, **PORT_METHODS}
            faults = self._faults(name)
            self.rpc[name] = Port(Rpc(self._node(faults), methods), self._pubsub, turns, faults=faults, clock=clock)
            self._controls[name] = self.rpc[name]
        if config.jito_port is not None:
            self._engine = BlockEngine(chain, clock)
            faults = self._faults("jito")
            self.jito = BlockEnginePort(self._engine, self._node(faults), turns, faults=faults, clock=clock)
            self._controls["jito"] = self.jito
            self._gauges["jito"] = self._engine.stats
        if config.geyser_port is not None:
            # Protobuf and h2 are loaded for who asks for it.
            from slotzero.localnet.geyser import Geyser  # noqa: PLC0415
            from slotzero.localnet.geyser_port import GeyserPort as Served  # noqa: PLC0415 mypy knows it already

            hub = Geyser(chain, clock)
            self.geyser = Served(hub, faults=self._faults("geyser"), clock=clock, token=config.geyser_token)
            self._controls["geyser"] = self.geyser
            self._gauges["geyser"] = hub.stats

    def listen(self) -> None:
        """Take the ports. Needs a running loop.

        Raises:
            UsageError: One is taken or not ours to take.
        """
        for name, number in self._numbers().items():
            self.rpc[name].listen(number)
        if self.jito is not None:
            self.jito.listen(self._config.jito_port or 0)
        if self.geyser is not None:
            self.geyser.listen(self._config.geyser_port or 0)

    async def serve(self, group: asyncio.TaskGroup) -> None:
        """Return when all of them take connections. `group` owns what accepts them after a later start."""
        for port in self.rpc.values():
            await port.serve(group)
        if self.jito is not None:
            await self.jito.serve(group)
        if self.geyser is not None:
            await self.geyser.serve(group)

    def tasks(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Start what runs beside the ports; cancel it to end it."""
        tasks = [group.create_task(self._queue.run(), name="localnet queue")]
        if self._engine is not None:
            tasks.append(group.create_task(self._engine.run(), name="localnet auctions"))
        if self.geyser is not None:
            tasks.append(group.create_task(self.geyser.keep_pinging(), name="localnet geyser pings"))
        return tasks

    def end_calls(self) -> None:
        """End what the owner of the tasks would wait for."""
        if self.geyser is not None:
            self.geyser.end_calls()

    async def close(self) -> None:
        """End in order."""
        closing = [port.close() for port in self.rpc.values()]
        if self.jito is not None:
            closing.append(self.jito.close())
        if self.geyser is not None:
            closing.append(self.geyser.close())
        await asyncio.gather(*closing)

    def _numbers(self) -> dict[str, int]:
        numbers = {
            "first": self._config.port,
            "second": self._config.second_port,
            "direct": self._config.direct_port,
        }
        return {name: number for name, number in numbers.items() if number is not None}

    def _faults(self, name: str) -> Faults:
        plan = NETWORKS["none" if name == "direct" else self._config.network]
        return Faults(name, self._chain.config.seed, plan)

    def _node(self, faults: Faults) -> Node:
        return Node(chain=self._chain, gauges=self._gauges, faults=faults, ports=self._controls, added=self.added)
