"""Requests answered without aiohttp, and those that are not: over real sockets, byte by byte where it matters."""

import asyncio
import contextlib
import json
import select
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from slotzero.localnet import arrivals, turns
from slotzero.localnet.chain import ChainConfig
from slotzero.localnet.ports import MAX_BODY_BYTES
from slotzero.localnet.quick_http import QuickConnection
from slotzero.localnet.server import Localnet, LocalnetConfig, serve
from slotzero.localnet.turns import Turns

HEALTH = b'{"jsonrpc":"2.0","id":1,"method":"getHealth"}'
SLOT = b'{"jsonrpc":"2.0","id":2,"method":"getSlot"}'

CLOSING = [
    pytest.param(["Connection: close"], id="as usual"),
    pytest.param(["Connection:close"], id="no space"),
    pytest.param(["Connection:  close"], id="two spaces"),
    pytest.param(["Connection:\tclose"], id="a tab"),
    pytest.param(["connection: Close"], id="capital"),
    pytest.param(["Connection: keep-alive, close"], id="among others"),
    pytest.param(["Connection: keep-alive", "Connection: close"], id="the second"),
]


def post(body: bytes, *headers: str, path: str = "/") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.asynccontextmanager
async def chain() -> AsyncIterator[Localnet]:
    ready: asyncio.Future[Localnet] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    config = LocalnetConfig(port=0, direct_port=0, chain=ChainConfig(slot_ms=0))
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(config, on_ready=ready.set_result, stop=stop))
        try:
            yield await ready
        finally:
            stop.set()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def test_a_request_is_answered_whole_in_pieces_and_pipelined() -> None:
    async with chain() as localnet:
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        for byte in post(HEALTH):
            writer.write(bytes([byte]))
            await writer.drain()
        status, headers, body = await answer(reader)
        assert (status, headers["content-type"], json.loads(body)["result"]) == (200, "application/json", "ok")
        assert "server" not in headers  # aiohttp would have named itself
        writer.write(post(HEALTH) * 3 + post(SLOT) + post(b"no json"))
        ids = [json.loads((await answer(reader))[2]).get("id") for _ in range(5)]
        assert ids == [1, 1, 1, 2, None]
        writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", id="another method"),
        pytest.param(post(HEALTH, "Connection: close"), id="closes"),
        pytest.param(post(HEALTH, path="/other"), id="another path"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + f"{len(HEALTH):x}".encode()
            + b"\r\n"
            + HEALTH
            + b"\r\n0\r\n\r\n",
            id="chunks",
        ),
    ],
)
async def test_what_is_uncommon_is_handed_over_and_answered(request_bytes: bytes) -> None:
    async with chain() as localnet:
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        writer.write(post(SLOT) + request_bytes)
        assert json.loads((await answer(reader))[2])["id"] == 2
        status, headers, body = await answer(reader)
        assert (status, "aiohttp" in headers["server"]) == (200, True)
        assert b"ok" in body
        writer.close()


@pytest.mark.parametrize("headers", CLOSING)
async def test_connection_its_client_wants_closed_ends_after_the_answer(headers: list[str]) -> None:
    async with chain() as localnet, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        writer.write(post(SLOT) + post(HEALTH, *headers))
        assert [json.loads((await answer(reader))[2])["id"] for _ in range(2)] == [2, 1]
        assert await reader.read() == b""
        writer.close()


async def test_connection_its_client_wants_kept_is_not_handed_over() -> None:
    async with chain() as localnet:
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        for _ in range(2):
            writer.write(post(HEALTH, "Connection: keep-alive"))
            status, headers, _ = await answer(reader)
            assert (status, "server" in headers) == (200, False)
        writer.close()


@pytest.mark.parametrize("sent_too_soon", [0, 7, len(HEALTH)])
async def test_body_held_back_is_asked_for_and_answered(sent_too_soon: int) -> None:
    request = post(HEALTH, "Expect: 100-Continue")
    held_back = len(HEALTH) - sent_too_soon
    async with chain() as localnet, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        for _ in range(2):
            writer.write(request[: len(request) - held_back])
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(request[len(request) - held_back :])
            status, _, body = await answer(reader)
            assert (status, json.loads(body)["result"]) == (200, "ok")
        writer.close()


async def test_body_held_back_by_a_client_of_http_1_0_is_not_asked_for() -> None:
    async with chain() as localnet, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        writer.write(post(HEALTH, "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await answer(reader))[0] == 200
        writer.close()


async def test_what_is_no_utf8_is_answered_and_costs_neither_the_connection_nor_its_subscriptions() -> None:
    bad = b'{"jsonrpc":"2.0","id":1,"method":"\xff"}'
    async with chain() as localnet, aiohttp.ClientSession() as http, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        for path in ("/", "/", "/handed-over", "/"):
            writer.write(post(bad, path=path))
            status, _, body = await answer(reader)
            assert (status, json.loads(body)["error"]["code"]) == (200, -32700)
        writer.close()
        async with http.ws_connect(localnet.endpoints.ws) as socket_:
            await socket_.send_json({"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"})
            number = (await socket_.receive_json())["result"]
            await socket_.send_bytes(bad)
            assert (await socket_.receive_json())["error"]["code"] == -32700
            request = {"jsonrpc": "2.0", "id": 2, "method": "slotUnsubscribe", "params": [number]}
            await socket_.send_json(request)
            assert (await socket_.receive_json())["result"] is True


async def test_what_is_no_utf8_is_answered_while_faults_are_armed() -> None:
    async with chain() as localnet, aiohttp.ClientSession() as http:
        assert localnet.endpoints.direct is not None
        plan = {"http429": {"next": 1}}
        request = {"jsonrpc": "2.0", "id": 1, "method": "slotzero_faults", "params": ["first", plan]}
        await http.post(localnet.endpoints.direct.rpc, json=request)
        statuses = []
        for _ in range(2):
            async with http.post(localnet.endpoints.rpc, data=b'"\xff"') as response:
                statuses.append(response.status)
        assert statuses == [429, 200]


async def test_what_is_handed_over_is_answered_after_what_came_before_it() -> None:
    send = b'{"jsonrpc":"2.0","id":7,"method":"sendTransaction","params":["no transaction"]}'
    async with chain() as localnet:
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        writer.write(post(send) * 3 + post(SLOT, path="/other"))
        answers = [json.loads((await answer(reader))[2]) for _ in range(4)]
        assert [(found["id"], "error" in found) for found in answers] == [(7, True)] * 3 + [(2, False)]
        writer.close()


async def test_a_body_beyond_the_bound_is_refused_and_an_endless_head_is_not_kept() -> None:
    async with chain() as localnet:
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1))
        writer.write(bytes(MAX_BODY_BYTES + 1))
        assert (await answer(reader))[0] == 413
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        writer.write(b"POST / HTTP/1.1\r\nX: " + b"x" * 20_000)
        assert (await answer(reader))[0] == 400
        writer.close()


async def test_faults_that_are_set_later_strike_a_connection_that_was_quick_before() -> None:
    async with chain() as localnet, aiohttp.ClientSession() as http:
        assert localnet.endpoints.direct is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        writer.write(post(HEALTH))
        await answer(reader)
        plan = {"http429": {"next": 1}}
        request = {"jsonrpc": "2.0", "id": 1, "method": "slotzero_faults", "params": ["first", plan]}
        await http.post(localnet.endpoints.direct.rpc, json=request)
        writer.write(post(HEALTH) + post(HEALTH))
        assert [(await answer(reader))[0] for _ in range(2)] == [429, 200]
        writer.close()


async def test_a_quick_connection_is_cut_and_counted_with_its_request() -> None:
    async with chain() as localnet, aiohttp.ClientSession() as http:
        assert localnet.endpoints.direct is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", localnet.endpoints.port)
        writer.write(post(HEALTH))
        await answer(reader)
        writer.write(post(HEALTH)[:-5])
        await asyncio.sleep(0)
        request = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "slotzero_faults",
            "params": ["first", {"refuseConnections": True}],
        }
        while True:  # until the beginning of the request has come
            async with http.post(localnet.endpoints.direct.rpc, json={**request, "method": "slotzero_stats"}) as shown:
                stats = await shown.json()
            if stats["result"]["ports"]["first"]["connections"] == 1:
                break
        await http.post(localnet.endpoints.direct.rpc, json=request)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        async with http.post(localnet.endpoints.direct.rpc, json={**request, "method": "slotzero_injected"}) as shown:
            counts = (await shown.json())["result"]["ports"]["first"]
        assert (counts["cutConnections"], counts["cutRequests"]) == (1, 1)


class Pipe(asyncio.Transport):
    """A transport that remembers what happened to it; behind it is a socket without anything to read."""

    def __init__(self) -> None:
        self._end, self._other_end = socket.socketpair()
        super().__init__({"socket": self._end})
        self.written = bytearray()
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def come(self, data: bytes) -> None:
        """Have bytes come to the socket; nobody reads them there."""
        self._other_end.send(data)

    def __del__(self) -> None:
        self._end.close()
        self._other_end.close()


class Successor(asyncio.Protocol):
    """Takes over a connection and keeps what comes."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def data_received(self, data: bytes) -> None:
        self.taken += data


def turns_of(is_transaction: Callable[[bytes], bool]) -> Turns:
    return Turns(is_transaction, lambda *_: None, lambda: None)


def handed_over(parts: list[bytes]) -> tuple[bytes, bytes]:
    """Return what a successor is given when these parts come, and what has been written."""
    successor, pipe = Successor(), Pipe()
    quick = QuickConnection(
        turns_of(lambda _: False),
        lambda body: body,
        is_common=lambda: True,
        hand_over=lambda: successor,
        on_end=lambda _: None,
        max_body=1_000,
    )
    pipe.set_protocol(quick)
    quick.connection_made(pipe)
    for part in parts:
        pipe.protocol.data_received(part)
    return bytes(successor.taken), bytes(pipe.written)


@pytest.mark.parametrize("headers", [*CLOSING, pytest.param(["Expect: 100-continue"], id="expects")])
async def test_what_is_uncommon_is_handed_over_whole_wherever_it_is_cut(headers: list[str]) -> None:
    request = post(HEALTH, *headers)
    for cut in range(1, len(request)):
        assert handed_over([request[:cut], request[cut:]]) == (request, b"")


async def test_one_request_is_served_in_a_turn_and_none_while_the_client_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: list[bytes] = []
    monkeypatch.setattr(turns, "_SLICE", 0)  # one request in each

    def handle(body: bytes) -> bytes:
        served.append(body)
        return b"{}"

    quick = QuickConnection(
        turns_of(lambda _: False),
        handle,
        is_common=lambda: True,
        hand_over=asyncio.Protocol,
        on_end=lambda _: None,
        max_body=1_000,
    )
    quick.connection_made(pipe := Pipe())
    quick.data_received(post(b"1") + post(b"2") + post(b"3"))
    for wanted in ([], [b"1"]):
        assert served == wanted
        await asyncio.sleep(0)
    assert served == [b"1", b"2"]
    quick.pause_writing()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    quick.data_received(post(b"4"))
    stopped = list(served)
    quick.resume_writing()
    for _ in range(6):
        await asyncio.sleep(0)
    assert (stopped, served[-1], pipe.written.count(b"HTTP/1.1 200")) == ([b"1", b"2"], b"4", 4)


async def test_connections_share_their_turns_and_a_transaction_overtakes_what_only_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: list[bytes] = []
    monkeypatch.setattr(turns, "_SLICE", 0)  # one request in each

    def handle(body: bytes) -> bytes:
        served.append(body)
        return b"{}"

    shared, pipes = turns_of(lambda body: body.startswith(b"send")), [Pipe() for _ in range(5)]
    for pipe, body in zip(pipes, (b"read 1", b"read 2", b"send 1", b"read 3", b"send 2"), strict=True):
        quick = QuickConnection(
            shared, handle, is_common=lambda: True, hand_over=asyncio.Protocol, on_end=lambda _: None, max_body=1_000
        )
        quick.connection_made(pipe)
        quick.data_received(post(body))
    for _ in range(8):
        await asyncio.sleep(0)
    assert served == [b"send 1", b"send 2", b"read 1", b"read 2", b"read 3"]
    assert all(pipe.written.count(b"HTTP/1.1 200") == 1 for pipe in pipes)


async def test_a_client_that_sends_many_at_once_takes_turns_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[bytes] = []
    monkeypatch.setattr(turns, "_SLICE", 0)  # one request in each

    def handle(body: bytes) -> bytes:
        served.append(body)
        return b"{}"

    shared, many, one = turns_of(lambda _: True), Pipe(), Pipe()
    for pipe, data in ((many, b"".join(post(b"many %d" % number) for number in range(5))), (one, post(b"one"))):
        quick = QuickConnection(
            shared, handle, is_common=lambda: True, hand_over=asyncio.Protocol, on_end=lambda _: None, max_body=1_000
        )
        quick.connection_made(pipe)
        quick.data_received(data)
    for _ in range(12):
        await asyncio.sleep(0)
    assert served == [b"many 0", b"one", b"many 1", b"many 2", b"many 3", b"many 4"]
    assert (many.written.count(b"HTTP/1.1 200"), one.written.count(b"HTTP/1.1 200")) == (5, 1)


async def test_the_chain_tells_how_long_transactions_and_reads_have_waited() -> None:
    async with chain() as localnet, aiohttp.ClientSession() as http:
        for method in ("getSlot", "sendTransaction", "getSlot"):
            await http.post(localnet.endpoints.rpc, json={"jsonrpc": "2.0", "id": 1, "method": method})
        request = {"jsonrpc": "2.0", "id": 1, "method": "slotzero_stats"}
        async with http.post(localnet.endpoints.rpc, json=request) as shown:
            queue = (await shown.json())["result"]["queue"]
        assert queue["transactions"]["taken"] == 1
        assert queue["reads"]["taken"] == 3  # this one included
        assert sum(count for _, count in queue["reads"]["counts"]) == 3


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")
async def test_a_request_has_waited_since_it_came_not_since_it_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[tuple[bool, int]] = []
    now = [100]
    monkeypatch.setattr(arrivals, "mono_ns", lambda: now[0])
    monkeypatch.setattr(turns, "mono_ns", lambda: now[0])

    def handle(_body: bytes) -> bytes:
        now[0] += 20
        return b"{}"

    shared = Turns(
        lambda body: body.startswith(b"send"), lambda is_send, wait: waits.append((is_send, wait)), lambda: None
    )
    pipes = [Pipe(), Pipe()]
    connections = [
        QuickConnection(
            shared, handle, is_common=lambda: True, hand_over=asyncio.Protocol, on_end=lambda _: None, max_body=1_000
        )
        for _ in pipes
    ]
    for connection, pipe in zip(connections, pipes, strict=True):
        connection.connection_made(pipe)
    sent = post(b"send 2") + post(b"send 3")
    pipes[1].come(sent)
    connections[0].data_received(post(b"send 1"))
    await asyncio.sleep(0)  # it takes 20, while the others lie in their socket
    connections[1].data_received(sent)
    for _ in range(4):
        await asyncio.sleep(0)
    assert waits == [(True, 0), (True, 20), (True, 40)]


async def test_an_instant_of_arrival_is_not_kept_for_every_byte() -> None:
    quick = QuickConnection(
        turns_of(lambda _: False),
        lambda body: body,
        is_common=lambda: True,
        hand_over=asyncio.Protocol,
        on_end=lambda _: None,
        max_body=1_000,
    )
    quick.connection_made(pipe := Pipe())
    for byte in post(b"x" * 900):
        quick.data_received(bytes([byte]))
        assert len(quick._came) <= 64
    await asyncio.sleep(0)
    assert pipe.written.count(b"HTTP/1.1 200") == 1


async def test_a_bug_in_a_method_ends_the_connection() -> None:
    def handle(_body: bytes) -> bytes:
        raise ZeroDivisionError

    quick = QuickConnection(
        turns_of(lambda _: False),
        handle,
        is_common=lambda: True,
        hand_over=asyncio.Protocol,
        on_end=lambda _: None,
        max_body=1_000,
    )
    quick.connection_made(pipe := Pipe())
    failures: list[BaseException | None] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: failures.append(told.get("exception")))
    quick.data_received(post(b"1"))
    await asyncio.sleep(0)
    assert pipe.is_aborted
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
