"""Pipelined JSON-RPC over few connections, against a server that says what the test wants."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from slotzero.errors import MalformedError, RpcError, TransportError
from slotzero.workloads.snipe_scenarios.line import ChainLines

Answer = Callable[[dict[str, object]], bytes]


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def echo(request: dict[str, object]) -> bytes:
    return http(msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": request["params"]}))


class Server(asyncio.Protocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._transport.write(self._answer(msgspec.json.decode(rest[:length], type=dict[str, object])))


@contextlib.asynccontextmanager
async def lines(answer: Answer, count: int = 1) -> AsyncIterator[ChainLines]:
    server = await asyncio.get_running_loop().create_server(lambda: Server(answer), "127.0.0.1", 0)
    async with server:
        opened = await ChainLines.open(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", count)
        try:
            yield opened
        finally:
            opened.close()
            await asyncio.sleep(0)


async def test_answers_come_back_to_their_requests_in_order() -> None:
    async with lines(echo) as opened:
        futures = [opened.call("echo", number) for number in range(20)]
        assert [msgspec.json.decode(await future) for future in futures] == [[number] for number in range(20)]
        assert await opened.ask(list[int], "echo", 7) == [7]


async def test_calls_are_spread_over_the_lines_by_what_they_wait_for() -> None:
    async with lines(echo, count=3) as opened:
        futures = [opened.call("sendTransaction", number) for number in range(6)]
        futures += [opened.call("echo", number) for number in range(6, 10)]
        assert [line.load for line in opened._sending] == [2, 2, 2]
        assert opened._other.load == 4  # no transaction stands behind what only reads
        await asyncio.gather(*futures)
        assert opened.answered.count == 6


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (http(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"no"}}'), RpcError),
        (http(b'{"result":1}', "429 Too Many Requests"), RpcError),
        (http(b"no json"), MalformedError),
        (http(b"{}"), MalformedError),
        (http(b'{"result":"a text"}'), MalformedError),
    ],
    ids=["an error", "a status", "garbage", "nothing", "another type"],
)
async def test_what_is_no_answer_is_told(answer: bytes, error: type[Exception]) -> None:
    async with lines(lambda _: answer) as opened:
        with pytest.raises(error):
            await opened.ask(int, "method")


async def test_a_lost_connection_fails_what_waits_and_what_comes_later() -> None:
    async with lines(lambda _: b"") as opened:
        waiting = opened.call("method")
        opened.close()
        for future in (waiting, opened.call("later")):
            with pytest.raises(TransportError):
                await future


async def test_nobody_listening_is_an_error_of_the_system() -> None:
    with pytest.raises(ConnectionRefusedError):
        await ChainLines.open("http://127.0.0.1:1")
