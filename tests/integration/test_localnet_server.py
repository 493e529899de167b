"""The served chain inside one process: background services, waiting for slots, the end."""

import asyncio

import pytest
import uvloop

from slotzero.errors import LocalnetError
from slotzero.localnet.chain import ChainConfig
from slotzero.localnet.process import running_localnet
from slotzero.localnet.server import Localnet, LocalnetConfig, serve
from slotzero.units import Slot


async def test_service_sleeps_until_slots_and_ends_with_the_chain() -> None:
    stop = asyncio.Event()
    seen: list[int] = []
    ports: list[int] = []

    async def launcher(localnet: Localnet) -> None:
        seen.extend([await localnet.slots.wait_for(Slot(slot)) for slot in (3, 2, 6)])
        stop.set()
        await localnet.slots.wait_for(Slot(10**9))

    config = LocalnetConfig(port=0, chain=ChainConfig(slot_ms=5))
    async with asyncio.timeout(30):
        await serve(config, on_ready=lambda net: ports.append(net.endpoints.port), stop=stop, services=[launcher])
    assert [at >= least for at, least in zip(seen, (3, 3, 6), strict=True)] == [True] * 3
    assert ports[0] > 0


async def test_failing_service_stops_the_chain() -> None:
    async def broken(_localnet: Localnet) -> None:
        raise LocalnetError("no coins left")

    config = LocalnetConfig(port=0, chain=ChainConfig(slot_ms=5))
    with pytest.raises(ExceptionGroup) as caught:
        await serve(config, on_ready=lambda _net: None, stop=asyncio.Event(), services=[broken])
    assert caught.group_contains(LocalnetError, match="no coins left")


def test_child_process_is_started_from_uvloop_too() -> None:
    async def start() -> int:
        async with running_localnet(slot_ms=0) as endpoints:
            return endpoints.port

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(start()) > 0
