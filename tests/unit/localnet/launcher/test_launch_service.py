"""Coins on request, through the chain's own admin method."""

import asyncio

import aiohttp
import pytest
from solders.pubkey import Pubkey

from slotzero.localnet.chain import ChainConfig
from slotzero.localnet.launcher import LauncherConfig
from slotzero.localnet.launcher.service import launcher_service
from slotzero.localnet.server import Localnet, LocalnetConfig, serve


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, ""),
        ({"kind": "trap_fee", "flavour": "falling", "rivals": 1}, ""),
        ({"kind": "trap_freeze", "rivals": 0}, ""),
        ({"kind": "gift"}, "gift"),
        ({"rivals": 51}, "50"),
        ({"rivals": 0, "flavour": "climbing"}, "rival"),
        ({"rival": 1}, "rival"),
    ],
)
async def test_a_coin_is_launched_as_asked_or_the_request_is_refused(options: dict[str, object], message: str) -> None:
    ready: asyncio.Future[Localnet] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    config = LocalnetConfig(port=0, chain=ChainConfig(slot_ms=0))
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as http:
        services = [launcher_service(LauncherConfig(launches_per_s=0))]
        group.create_task(serve(config, on_ready=ready.set_result, stop=stop, services=services))
        localnet = await ready
        await asyncio.sleep(0)
        request = {"jsonrpc": "2.0", "id": 1, "method": "slotzero_launch", "params": [options]}
        async with http.post(localnet.endpoints.rpc, json=request) as response:
            answer = await response.json()
        stop.set()
    if message:
        assert message in answer["error"]["message"]
    else:
        assert localnet.chain.account(Pubkey.from_string(answer["result"])) is not None
