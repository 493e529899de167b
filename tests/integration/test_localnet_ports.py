"""Two ports onto one chain: stopped, started, and made faulty, judged by counts."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import uvloop
from solders.account import Account
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.transaction import VersionedTransaction

from chain_world import SOL, pay
from slotzero.errors import UsageError
from slotzero.localnet.chain import ChainConfig
from slotzero.localnet.endpoints import LocalnetEndpoints
from slotzero.localnet.render import base64_text
from slotzero.localnet.server import Localnet, LocalnetConfig, announcement, serve
from slotzero.units import Lamports


class Lab:
    """A served chain of two ports and a client for each."""

    def __init__(self, localnet: Localnet, http: aiohttp.ClientSession) -> None:
        self.localnet = localnet
        self.http = http
        second = localnet.endpoints.second
        assert second is not None
        self.urls = {"first": localnet.endpoints.rpc, "second": second.rpc}
        self.sockets = {"first": localnet.endpoints.ws, "second": second.ws}
        self.payer = Keypair()
        localnet.chain.airdrop(self.payer.pubkey(), Lamports(1_000 * SOL))

    async def call(self, port: str, method: str, *params: object) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.http.post(self.urls[port], json=request) as response:
            if response.status != 200:
                return response.status, response.headers.get("Retry-After"), await response.json()
            answer = await response.json()
        return answer.get("result", answer.get("error"))

    async def send(self, port: str, lamports: int) -> Any:
        message = MessageV0.try_compile(
            self.payer.pubkey(),
            [pay(self.payer.pubkey(), lamports, self.payer)],
            [],
            self.localnet.chain.block.blockhash,
        )
        raw = base64_text(bytes(VersionedTransaction(message, [self.payer])))
        return await self.call(port, "sendTransaction", raw, {"encoding": "base64", "skipPreflight": True})

    async def ports(self) -> Any:
        return (await self.call("first", "slotzero_stats"))["ports"]


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Lab]:
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    config = LocalnetConfig(port=0, second_port=0, chain=ChainConfig(slot_ms=60_000))
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as http:
        group.create_task(serve(config, on_ready=ready.set_result, stop=stop))
        yield Lab(await ready, http)
        stop.set()


async def test_both_ports_show_one_chain_and_are_announced(lab: Lab) -> None:
    line = json.loads(announcement(lab.localnet))
    assert line["second"] == {"rpc": lab.urls["second"], "ws": lab.sockets["second"]}
    assert LocalnetEndpoints(**{**line, "second": None}).second is None
    signature = await lab.send("second", 5)
    statuses = await lab.call("first", "getSignatureStatuses", [signature])
    assert statuses["value"][0]["err"] is None
    assert lab.urls["first"] != lab.urls["second"]
    ports = await lab.ports()
    assert {name: (port["isOpen"], port["requests"]) for name, port in ports.items()} == {
        "first": (True, 2),
        "second": (True, 1),
    }


async def test_texts_of_every_length_of_header_arrive_whole(lab: Lab) -> None:
    async with lab.http.ws_connect(lab.sockets["first"]) as websocket:

        async def answer_to(request_id: str) -> str:
            await websocket.send_json({"jsonrpc": "2.0", "id": request_id, "method": "none"})
            text = await websocket.receive_str()
            assert json.loads(text)["id"] == request_id
            return text

        bare = len(await answer_to(""))
        for size in (125, 126, 127, 65_535, 65_536, 300_000):
            assert len(await answer_to("x" * (size - bare))) == size


async def test_what_is_told_faster_than_it_is_read_arrives_in_order(lab: Lab) -> None:
    key = Keypair().pubkey()
    async with lab.http.ws_connect(lab.sockets["first"], max_msg_size=0) as websocket:
        options = {"commitment": "processed", "encoding": "base64"}
        await websocket.send_json(
            {"jsonrpc": "2.0", "id": 1, "method": "accountSubscribe", "params": [str(key), options]}
        )
        await websocket.receive_json()
        for lamports in range(1, 41):  # 12 MB, more than the kernel keeps for a reader
            lab.localnet.chain.set_account(key, Account(10**10 + lamports, bytes(220_000), key))
        async with asyncio.timeout(20):
            frames = [await websocket.receive_json() for _ in range(40)]
    told = [frame["params"]["result"]["value"]["lamports"] - 10**10 for frame in frames]
    assert told == list(range(1, 41))


async def test_stopped_port_cuts_its_connections_refuses_new_ones_and_comes_back(lab: Lab) -> None:
    await lab.call("second", "getHealth")
    async with lab.http.ws_connect(lab.sockets["second"]) as cut, lab.http.ws_connect(lab.sockets["first"]) as kept:
        await cut.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
        await cut.receive_json()
        assert (await lab.ports())["second"]["connections"] > 0
        stopped = await lab.call("first", "slotzero_stopPort")
        assert stopped["isOpen"] is False
        async with asyncio.timeout(10):
            assert (await cut.receive()).type in (
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.ERROR,
                aiohttp.WSMsgType.CLOSE,
            )
        for _ in range(3):
            with pytest.raises(aiohttp.ClientConnectionError):
                await lab.call("second", "getHealth")
        stats = await lab.call("first", "slotzero_stats")
        assert (stats["ports"]["second"]["connections"], stats["pubsub"]["subscriptions"]) == (0, 0)
        await kept.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
        assert (await kept.receive_json())["id"] == 1

    for _ in range(3):  # over and over, on the same number, answered at once
        assert (await lab.call("first", "slotzero_startPort"))["isOpen"] is True
        assert await lab.call("second", "getHealth") == "ok"
        assert (await lab.call("first", "slotzero_stopPort"))["isOpen"] is False
        with pytest.raises(aiohttp.ClientConnectionError):
            await lab.call("second", "getHealth")
    await lab.call("first", "slotzero_stopPort")
    await lab.call("first", "slotzero_startPort")
    await lab.call("first", "slotzero_startPort")
    assert await lab.call("second", "getHealth") == "ok"


async def test_port_stopped_and_started_in_one_batch_serves(lab: Lab) -> None:
    names = ["slotzero_stopPort", "slotzero_startPort", "slotzero_stopPort", "slotzero_startPort"]
    batch = [{"jsonrpc": "2.0", "id": number, "method": name} for number, name in enumerate(names)]
    async with lab.http.post(lab.urls["first"], json=batch) as response:
        assert [row["result"]["isOpen"] for row in await response.json()] == [False, True, False, True]
    assert await lab.call("second", "getHealth") == "ok"


async def test_port_taken_meanwhile_is_told_and_ports_are_ruled_from_the_first(lab: Lab) -> None:
    await lab.call("first", "slotzero_stopPort")
    number = int(lab.urls["second"].rsplit(":", 1)[1])
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", number))
        squatter.listen()
        answer = await lab.call("first", "slotzero_startPort")
    assert answer["code"] == -32603
    assert "is in use" in answer["message"]
    await lab.call("first", "slotzero_startPort")
    for name in ("slotzero_stopPort", "slotzero_startPort"):
        assert (await lab.call("second", name))["code"] == -32601
    assert (await lab.call("first", "slotzero_faults", "third", {}))["code"] == -32602
    assert (await lab.call("first", "slotzero_faults", "second", {"dropSend": {}}))["code"] == -32602


async def test_chain_without_a_second_port_says_so() -> None:
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as http:
        group.create_task(serve(LocalnetConfig(port=0), on_ready=ready.set_result, stop=stop))
        localnet = await ready
        assert localnet.endpoints.second is None
        request = {"jsonrpc": "2.0", "id": 1, "method": "slotzero_stopPort"}
        async with http.post(localnet.endpoints.rpc, json=request) as response:
            assert "no second port" in (await response.json())["error"]["message"]
        stop.set()


async def test_same_port_twice_is_one_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    config = LocalnetConfig(port=number, second_port=number)
    with pytest.raises(UsageError, match=f"port {number} on 127.0.0.1 is in use"):
        await serve(config, on_ready=lambda _net: None, stop=asyncio.Event())


# Faults -------------------------------------------------------------------------------------------------------------


async def test_dropped_sends_are_as_many_as_did_not_land(lab: Lab) -> None:
    landed = lab.localnet.chain.stats().landed
    plan = {"dropSends": {"next": 2, "shareBps": 3_000}}
    assert (await lab.call("first", "slotzero_faults", "second", plan))["dropSends"] == plan["dropSends"]
    signatures = [await lab.send("second", lamports) for lamports in range(40)]
    statuses = (await lab.call("second", "getSignatureStatuses", signatures))["value"]
    dropped = (await lab.ports())["second"]["faults"]["droppedSends"]
    assert statuses.count(None) == dropped > 2
    assert statuses[:2] == [None, None]
    assert lab.localnet.chain.stats().landed - landed == 40 - dropped
    assert [isinstance(await lab.send("first", 1_000 + lamports), str) for lamports in range(5)] == [True] * 5
    assert (await lab.ports())["first"]["faults"]["droppedSends"] == 0


async def test_rate_limit_refuses_with_429_and_spares_who_rules(lab: Lab) -> None:
    plan = {"http429": {"shareBps": 10_000, "retryAfterS": 3}}
    await lab.call("first", "slotzero_faults", "first", plan)
    status, retry_after, body = await lab.call("first", "getHealth")
    assert (status, retry_after, body["error"]["code"]) == (429, "3", 429)
    assert (await lab.ports())["first"]["faults"]["http429"] == 1
    assert await lab.call("second", "getHealth") == "ok"
    await lab.call("first", "slotzero_faults", "first", {"http429": {"next": 2}})
    answers = [await lab.call("first", "getHealth") for _ in range(4)]
    assert [answer == "ok" for answer in answers] == [False, False, True, True]
    shown = await lab.call("first", "slotzero_faults", "first")
    assert shown["http429"] == {"next": 2, "shareBps": 0, "retryAfterS": 1}
    await lab.call("first", "slotzero_faults", "first", {})
    assert (await lab.ports())["first"]["faults"]["http429"] == 3


async def test_delay_holds_requests_back_and_counts_them(lab: Lab) -> None:
    await lab.call("first", "slotzero_faults", "second", {"delayMs": 60_000})
    waiting = asyncio.gather(lab.call("second", "getHealth"), lab.send("second", 5), return_exceptions=True)
    while (await lab.ports())["second"]["faults"]["delayed"] < 2:
        pass
    landed = lab.localnet.chain.stats().landed
    await lab.call("first", "slotzero_stopPort")
    async with asyncio.timeout(10):
        outcomes = await waiting
    assert [isinstance(outcome, aiohttp.ClientError) for outcome in outcomes] == [True, True]
    assert lab.localnet.chain.stats().landed == landed, "what was cut while it waited is not executed"
    await lab.call("first", "slotzero_faults", "second", {"delayMs": 1})
    await lab.call("first", "slotzero_startPort")
    assert await lab.call("second", "getHealth") == "ok"
    assert (await lab.ports())["second"]["faults"]["delayed"] == 3


async def test_stalled_websocket_stays_open_silent_and_loses_what_it_missed(lab: Lab) -> None:
    async with (
        lab.http.ws_connect(lab.sockets["second"], autoping=False) as stalled,
        lab.http.ws_connect(lab.sockets["first"]) as healthy,
    ):
        for websocket in (stalled, healthy):
            await websocket.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
            await websocket.receive_json()
        await lab.call("first", "slotzero_faults", "second", {"stallWs": True})
        lab.localnet.chain.advance(5)
        await stalled.ping(b"still there?")
        first_slots = [(await healthy.receive_json())["params"]["result"]["slot"] for _ in range(5)]
        while (await lab.ports())["second"]["faults"]["stalledFrames"] < 6:  # five slots and a pong
            pass
        await lab.call("first", "slotzero_faults", "second", {})
        lab.localnet.chain.advance()
        frame = await stalled.receive_json()
        assert frame["params"]["result"]["slot"] == first_slots[-1] + 1
        await stalled.ping(b"and now?")
        assert (await stalled.receive()).type is aiohttp.WSMsgType.PONG
        assert (await lab.ports())["second"]["faults"]["stalledFrames"] == 6


async def test_dead_port_turns_everybody_away_and_counts_them(lab: Lab) -> None:
    async with lab.http.ws_connect(lab.sockets["second"]) as websocket:
        await websocket.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
        await websocket.receive_json()
        await lab.call("first", "slotzero_faults", "second", {"delayMs": 60_000})
        waiting = asyncio.gather(lab.call("second", "getHealth"), return_exceptions=True)
        while (await lab.ports())["second"]["faults"]["delayed"] < 1:
            pass
        open_before = (await lab.ports())["second"]["connections"]
        await lab.call("first", "slotzero_faults", "second", {"refuseConnections": True})
        async with asyncio.timeout(10):
            (outcome,) = await waiting
            assert (await websocket.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
    assert isinstance(outcome, aiohttp.ClientConnectionError)
    failed = 0
    for _ in range(3):
        # A connection of its own each: aiohttp tries a kept one's request again by itself.
        async with aiohttp.ClientSession() as http:
            with pytest.raises((aiohttp.ClientConnectionError, ConnectionResetError)):
                await http.post(lab.urls["second"], json={"jsonrpc": "2.0", "id": 1, "method": "getHealth"})
            failed += 1
    faults = (await lab.ports())["second"]["faults"]
    assert (faults["cutConnections"], faults["cutRequests"]) == (open_before, 1)
    assert faults["refusedConnections"] >= failed
    refused = await lab.call("first", "slotzero_faults", "first", {"refuseConnections": True})
    assert "say it through another one" in refused["message"]
    await lab.call("first", "slotzero_faults", "second", {})
    assert await lab.call("second", "getHealth") == "ok"


async def test_latency_lies_on_both_ways_and_keeps_the_order_of_frames(lab: Lab) -> None:
    await lab.call("first", "slotzero_faults", "second", {"latency": {"p50Us": 1_000, "p99Us": 8_000}})
    async with lab.http.ws_connect(lab.sockets["second"]) as websocket:
        await websocket.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
        await websocket.receive_json()
        lab.localnet.chain.advance(40)
        slots = [(await websocket.receive_json())["params"]["result"]["slot"] for _ in range(40)]
    assert slots == sorted(slots)
    assert [await lab.call("second", "getHealth") for _ in range(5)] == ["ok"] * 5
    faults = (await lab.ports())["second"]["faults"]
    assert (faults["delayedFrames"], faults["delayed"]) == (41, 5)
    injected = await lab.call("first", "slotzero_injected")
    assert injected["ports"]["second"] == injected["total"] == faults


def test_ports_stop_and_start_on_uvloop_too() -> None:
    async def run(check: Callable[[Lab], Awaitable[None]]) -> None:
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        config = LocalnetConfig(port=0, second_port=0, chain=ChainConfig(slot_ms=60_000))
        async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as http:
            group.create_task(serve(config, on_ready=ready.set_result, stop=stop))
            await check(Lab(await ready, http))
            stop.set()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(test_stopped_port_cuts_its_connections_refuses_new_ones_and_comes_back))
        runner.run(run(test_port_stopped_and_started_in_one_batch_serves))
        runner.run(run(test_dead_port_turns_everybody_away_and_counts_them))
        runner.run(run(test_port_taken_meanwhile_is_told_and_ports_are_ruled_from_the_first))
