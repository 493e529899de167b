"""The chain as a process: its port under bad input, its notifications' instants, its end with its parent."""

import asyncio
import base64
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from solders.keypair import Keypair

from slotzero.clock import mono_ns
from slotzero.errors import LocalnetError
from slotzero.localnet.endpoints import LocalnetEndpoints
from slotzero.localnet.network import NETWORKS
from slotzero.localnet.process import running_localnet

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOTZERO = (sys.executable, "-m", "slotzero")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def endpoints() -> AsyncIterator[LocalnetEndpoints]:
    async with running_localnet(slot_ms=0, seed=3) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(http: aiohttp.ClientSession, endpoints: LocalnetEndpoints, body: bytes) -> object:
    async with http.post(endpoints.rpc, data=body) as response:
        assert response.status == 200
        text = await response.read()
    return json.loads(text) if text else None


async def call(http: aiohttp.ClientSession, endpoints: LocalnetEndpoints, method: str, *params: object) -> object:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = await post(http, endpoints, json.dumps(request).encode())
    assert isinstance(answer, dict)
    return answer.get("result", answer.get("error"))


def code_of(answer: object) -> int:
    assert isinstance(answer, dict)
    error = answer.get("error", answer)
    assert error["message"]
    return int(error["code"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"17", -32600),
        (b'{"id":1,"method":"getSlot"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"getSlot"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"noSuchMethod"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":{"commitment":"processed"}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[{"commitment":"soon"}]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[{"minContextSlot":99999999}]}', -32016),
        (b'{"jsonrpc":"2.0","id":1,"method":"getBalance","params":[]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getBalance","params":["0OIl"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["!!!",{"encoding":"base64"}]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["AAAA",{"encoding":"base64"}]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["0"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":[""]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"simulateTransaction","params":[7]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getTransaction","params":["1",{"commitment":"processed"}]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"slotzero_advance","params":[-1]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"slotzero_advance","params":[true]}', -32602),
    ],
)
async def test_bad_request_gets_its_error_code(
    http: aiohttp.ClientSession, endpoints: LocalnetEndpoints, body: bytes, code: int
) -> None:
    assert code_of(await post(http, endpoints, body)) == code
    assert await call(http, endpoints, "getHealth") == "ok"


async def test_huge_bodies_and_texts_are_refused(http: aiohttp.ClientSession, endpoints: LocalnetEndpoints) -> None:
    async with http.post(endpoints.rpc, data=io.BytesIO(bytes(10 * 1024 * 1024))) as response:
        assert response.status == 413
    for size in (4097, 500_000):
        text = base64.b64encode(bytes(size)).decode()
        assert code_of(await call(http, endpoints, "sendTransaction", text, {"encoding": "base64"})) == -32602
    assert code_of(await call(http, endpoints, "sendTransaction", "1" * 900_000)) == -32602
    assert code_of(await call(http, endpoints, "getMultipleAccounts", [str(Keypair().pubkey())] * 101)) == -32602
    statuses = [str(Keypair().sign_message(b""))] * 257
    assert code_of(await call(http, endpoints, "getSignatureStatuses", statuses)) == -32602


async def test_batch_is_answered_in_order_and_notification_not_at_all(
    http: aiohttp.ClientSession, endpoints: LocalnetEndpoints
) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": "a", "method": "getHealth"},
        {"jsonrpc": "2.0", "method": "getHealth"},
        {"jsonrpc": "2.0", "id": 2, "method": "nothing", "params": None},
    ]
    answer = await post(http, endpoints, json.dumps(batch).encode())
    assert isinstance(answer, list)
    assert [row["id"] for row in answer] == ["a", 2]
    assert answer[0]["result"] == "ok"
    assert await post(http, endpoints, b'{"jsonrpc":"2.0","method":"getHealth"}') is None
    too_many = json.dumps([batch[0]] * 101).encode()
    assert code_of(await post(http, endpoints, too_many)) == -32600


async def test_explicit_nulls_are_defaults_and_base58_is_bounded(
    http: aiohttp.ClientSession, endpoints: LocalnetEndpoints
) -> None:
    key, owner = str(Keypair().pubkey()), str(Keypair().pubkey())
    data = base64.b64encode(bytes(range(129))).decode()
    fields = {"lamports": 5_000_000, "owner": owner, "data": [data, "base64"]}
    slot = await call(http, endpoints, "slotzero_setAccount", key, fields)
    assert isinstance(slot, int)
    nothing = {"encoding": None, "commitment": "processed", "dataSlice": None, "minContextSlot": None}
    assert code_of(await call(http, endpoints, "getAccountInfo", key, nothing)) == -32602
    part = {"encoding": "base58", "commitment": "processed", "dataSlice": {"offset": 1, "length": 2}}
    shown = await call(http, endpoints, "getAccountInfo", key, part)
    assert isinstance(shown, dict)
    assert shown["value"]["data"] == ["5T", "base58"]
    assert shown["value"]["space"] == 129
    zstd = {"encoding": "base64+zstd", "commitment": "processed"}
    assert code_of(await call(http, endpoints, "getAccountInfo", key, zstd)) == -32602
    await call(http, endpoints, "slotzero_setAccount", key, None)
    shown = await call(http, endpoints, "getAccountInfo", key, zstd)
    assert isinstance(shown, dict)
    assert shown["value"] is None
    broken = {"lamports": 1, "owner": owner, "data": "", "executable": True}
    assert code_of(await call(http, endpoints, "slotzero_setAccount", key, broken)) == -32602


async def test_version_names_the_localnet_and_stats_count(
    http: aiohttp.ClientSession, endpoints: LocalnetEndpoints
) -> None:
    version = await call(http, endpoints, "getVersion")
    assert isinstance(version, dict)
    assert set(version) == {"solana-core", "feature-set", "slotzero-localnet"}
    latest = await call(http, endpoints, "getLatestBlockhash")
    assert isinstance(latest, dict)
    valid = await call(http, endpoints, "isBlockhashValid", latest["value"]["blockhash"])
    assert isinstance(valid, dict)
    assert valid["value"] is True
    before = await call(http, endpoints, "slotzero_stats")
    await call(http, endpoints, "requestAirdrop", str(Keypair().pubkey()), 10**15)
    after = await call(http, endpoints, "slotzero_stats")
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert after["transactions"]["landed"] == before["transactions"]["landed"] + 1
    assert after["slot"] == before["slot"] + 1
    assert after["process"]["rssBytes"] > 10_000_000
    assert after["process"]["cpuSeconds"] >= before["process"]["cpuSeconds"]
    assert code_of(await call(http, endpoints, "requestAirdrop", str(Keypair().pubkey()), 2**64 - 1)) == -32603
    assert code_of(await call(http, endpoints, "requestAirdrop", str(Keypair().pubkey()), 2**64)) == -32602


async def test_notifications_carry_the_instant_of_execution(
    http: aiohttp.ClientSession, endpoints: LocalnetEndpoints
) -> None:
    key = str(Keypair().pubkey())
    async with http.ws_connect(endpoints.ws) as websocket:

        async def subscribe(number: int, method: str, *params: object) -> None:
            await websocket.send_json({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
            assert (await websocket.receive_json())["id"] == number

        await subscribe(1, "logsSubscribe", {"mentions": [key]}, {"commitment": "processed"})
        await subscribe(2, "accountSubscribe", key, {"commitment": "confirmed", "encoding": "base64"})
        await subscribe(3, "slotSubscribe")
        before = mono_ns()
        await call(http, endpoints, "requestAirdrop", key, 10**9)
        frames = [await websocket.receive_json() for _ in range(3)]
        after = mono_ns()
        assert [frame["method"] for frame in frames] == [
            "logsNotification",
            "slotNotification",
            "accountNotification",
        ]
        logs, slot, account = (frame["params"]["result"] for frame in frames)
        executed = logs["context"]["monoNs"]
        assert before < executed < slot["monoNs"] < after
        assert account["context"]["monoNs"] == executed
        assert account["value"]["lamports"] == 10**9


async def test_bad_frames_get_an_error_and_the_connection_lives(
    http: aiohttp.ClientSession, endpoints: LocalnetEndpoints
) -> None:
    async with http.ws_connect(endpoints.ws) as websocket:
        for text, code in (
            ("{", -32700),
            ("[1]", -32600),
            ('{"jsonrpc":"2.0","id":1,"method":"getSlot"}', -32601),
            ('{"jsonrpc":"2.0","id":1,"method":"logsSubscribe","params":["some"]}', -32602),
            ('{"jsonrpc":"2.0","id":1,"method":"logsSubscribe","params":[{"mentions":[]}]}', -32602),
            ('{"jsonrpc":"2.0","id":1,"method":"accountSubscribe","params":["x"]}', -32602),
            ('{"jsonrpc":"2.0","id":1,"method":"logsUnsubscribe","params":[77]}', -32602),
        ):
            await websocket.send_str(text)
            assert code_of(await websocket.receive_json()) == code
        with contextlib.suppress(ConnectionError):  # it may hang up before all has been sent
            await websocket.send_str("x" * 2_000_000)
        ended = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert (await websocket.receive()).type in ended
    assert await call(http, endpoints, "getHealth") == "ok"


async def test_reader_that_does_not_read_is_closed_and_counted(
    http: aiohttp.ClientSession, endpoints: LocalnetEndpoints
) -> None:
    key = str(Keypair().pubkey())
    request = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "accountSubscribe",
            "params": [key, {"commitment": "processed", "encoding": "base64"}],
        }
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoints.port, limit=1)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await reader.readexactly(len(b"HTTP/1.1 101 Switching Protocols"))
    payload = request.encode()
    writer.write(bytes([0x81, 0x80 | 126]) + len(payload).to_bytes(2, "big") + bytes(4) + payload)
    await writer.drain()
    fields = {"lamports": 10**10, "owner": key, "data": base64.b64encode(bytes(700_000)).decode()}
    stats: object = None
    for _ in range(300):
        await call(http, endpoints, "slotzero_setAccount", key, fields)
        stats = await call(http, endpoints, "slotzero_stats")
        assert isinstance(stats, dict)
        if stats["pubsub"]["slowClosed"]:
            break
    assert isinstance(stats, dict)
    assert stats["pubsub"]["slowClosed"] == 1
    assert stats["pubsub"]["subscriptions"] == 0
    writer.transport.abort()


async def test_port_in_use_is_one_sentence_and_exit_2(endpoints: LocalnetEndpoints) -> None:
    command = [*SLOTZERO, "localnet", "--port", str(endpoints.port)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: ASYNC221 nothing else runs
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.strip().splitlines() == [
        f"slotzero: port {endpoints.port} on 127.0.0.1 is in use: choose another, or 0 for a free one"
    ]


async def test_all_ports_are_announced_and_the_network_lies_before_all_but_one(http: aiohttp.ClientSession) -> None:
    names = ("second", "direct", "geyser", "jito")
    arguments = [argument for name in names for argument in (f"--{name}-port", "0")]
    async with running_localnet(slot_ms=0, arguments=(*arguments, "--network", "regional")) as running:
        urls = [running.rpc, running.second and running.second.rpc, running.direct and running.direct.rpc]
        assert None not in (*urls, running.geyser, running.jito)
        assert len({*urls, running.geyser, running.jito}) == 5
        assert running.direct is not None
        for url in (running.rpc, running.direct.rpc):
            async with http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "getHealth"}) as response:
                assert (await response.json())["result"] == "ok"
        plans = {name: await call(http, running, "slotzero_faults", name) for name in ("first", "direct", "jito")}
        counts = await call(http, running, "slotzero_injected")
    assert isinstance(counts, dict)
    assert set(counts["ports"]) == {"first", *names}
    assert (counts["ports"]["first"]["delayed"], counts["ports"]["direct"]["delayed"]) == (1, 0)
    assert counts["total"]["delayed"] == 1
    assert plans["first"] == plans["jito"] == msgspec.to_builtins(NETWORKS["regional"])
    assert plans["direct"] == msgspec.to_builtins(NETWORKS["none"])


async def test_geyser_port_in_use_is_one_sentence(endpoints: LocalnetEndpoints) -> None:
    with pytest.raises(LocalnetError, match=f"port {endpoints.port} on 127.0.0.1 is in use"):
        async with running_localnet(arguments=("--geyser-port", str(endpoints.port))):
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_the_chain_in_order(number: signal.Signals) -> None:
    with subprocess.Popen(  # noqa: ASYNC220 nothing else runs
        [*SLOTZERO, "localnet", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["slot_ms"] == 200
        process.send_signal(number)
        assert process.wait(30) == (130 if number is signal.SIGINT else 0)
        assert "Traceback" not in process.stderr.read()


async def test_killed_parent_takes_the_chain_with_it(tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import asyncio\n"
        "from slotzero.localnet.process import running_localnet\n"
        "async def main():\n"
        "    async with running_localnet() as endpoints:\n"
        "        print(endpoints.pid, endpoints.port, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, str(parent)], stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        pid, port = map(int, process.stdout.readline().split())
        os.kill(pid, 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        process.kill()
        process.wait()
    async with asyncio.timeout(30):
        assert await reader.read() == b""  # the chain closes its connections when it ends
    writer.close()
    await writer.wait_closed()
