"""The HTTP client against a server of bytes: what it reads, what it keeps, and what it gives up."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Never

import pytest
import uvloop
from aiohappyeyeballs import AddrInfoType
from hypothesis import given
from hypothesis import strategies as st

from scripted_node import eventually
from slotzero.solana import http
from slotzero.solana.http import (
    AddressError,
    CrowdedTimeoutError,
    HttpClient,
    HttpReply,
    ProtocolError,
    TooLargeError,
)

Serve = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Asked:
    """A request as it came, and the number of its connection."""

    def __init__(self, head: bytes, body: bytes, connection: int) -> None:
        self.lines = head.decode().split("\r\n")
        self.body = body
        self.connection = connection


class Server:
    """What a server has seen."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.asked: list[Asked] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.stop_listening: Callable[[], None] = lambda: None

    def client(self, address: str = "/", *, timeout_ms: int = 5_000, most_bytes: int = 1 << 20) -> HttpClient:
        return HttpClient(f"http://127.0.0.1:{self.port}{address}", timeout_ms=timeout_ms, most_bytes=most_bytes)


@asynccontextmanager
async def serving(serve: Serve, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Server]:
    """Serve every request with `serve`, which writes whatever bytes it likes."""
    seen = Server()
    serves: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serves.add(task)
        seen.connections += 1
        seen.writers.append(writer)
        number = seen.connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                asked = Asked(head, await reader.readexactly(length), number)
                seen.asked.append(asked)
                await serve(asked, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass  # the client has ended it, or the test is over
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, host, 0, ssl=tls)
    seen.port = server.sockets[0].getsockname()[1]
    seen.stop_listening = server.close
    try:
        yield seen
    finally:
        server.close()
        for task in serves:
            task.cancel()
        await asyncio.gather(*serves, return_exceptions=True)


def saying(*pieces: bytes, hangs_up: bool = False) -> Serve:
    """Answer with `pieces`, one after the other."""

    async def serve(_: Asked, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if hangs_up:
            writer.close()

    return serve


# ---- what it sends -------------------------------------------------------------------------------------------------


async def test_request_is_a_post_of_json_with_its_length() -> None:
    async with serving(saying(OK)) as server, server.client() as client:
        assert await client.post(b'{"a":1}') == HttpReply(status=200, retry_after=None, body=b"ok")
    (asked,) = server.asked
    assert asked.body == b'{"a":1}'
    assert asked.lines[0] == "POST / HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}" in asked.lines
    assert "Content-Type: application/json" in asked.lines


@pytest.mark.parametrize(
    ("address", "below", "line"),
    [
        ("/", "", "POST / HTTP/1.1"),
        ("", "", "POST / HTTP/1.1"),
        ("?api-key=k+1&b=%20", "", "POST /?api-key=k+1&b=%20 HTTP/1.1"),
        ("/a%2Fb/ü x?q=ü#part", "", "POST /a%2Fb/%C3%BC%20x?q=%C3%BC HTTP/1.1"),
        ("", "api/v1/bundles", "POST /api/v1/bundles HTTP/1.1"),
        ("/base/", "transactions?bundleOnly=true", "POST /base/transactions?bundleOnly=true HTTP/1.1"),
    ],
)
async def test_target_is_the_urls_path_and_what_is_below(address: str, below: str, line: str) -> None:
    async with serving(saying(OK)) as server, server.client(address) as client:
        await client.post(b"", below=below)
    assert server.asked[0].lines[0] == line


async def test_credentials_of_the_url_are_basic_authorization() -> None:
    async with serving(saying(OK)) as server:
        url = f"http://us%40er:p%3Aw@127.0.0.1:{server.port}/"
        async with HttpClient(url, timeout_ms=5_000, most_bytes=99) as client:
            await client.post(b"")
    assert f"Authorization: Basic {b64encode(b'us@er:p:w').decode()}" in server.asked[0].lines


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://h/", "http://", "http://[::1", "http://h:99999/", "http://h:0/", "http://a..b/"]
)
async def test_address_that_is_none_is_told_by_the_first_call_without_its_text(url: str) -> None:
    async with HttpClient(url, timeout_ms=1_000, most_bytes=99) as client:
        with pytest.raises(AddressError) as caught:
            await client.post(b"")
    assert str(caught.value) == "an address begins with http:// or https:// and a host"
    assert caught.value.__cause__ is None


# ---- what it reads -------------------------------------------------------------------------------------------------

WHOLE = [
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", id="length"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"ok", id="chunks"
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nTrailer: 1\r\n\r\n",
        b"ok",
        id="trailer",
    ),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", id="continue"),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        id="hints",
    ),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", id="empty"),
]


@pytest.mark.parametrize(("reply", "body"), WHOLE)
@pytest.mark.parametrize("size", [1, 7, 1_000])
async def test_reply_is_read_in_whatever_pieces_it_comes(reply: bytes, body: bytes, size: int) -> None:
    pieces = [reply[at : at + size] for at in range(0, len(reply), size)]
    async with serving(saying(*pieces)) as server, server.client() as client:
        for _ in range(2):
            assert await client.post(b"x", is_urgent=True) == HttpReply(status=200, retry_after=None, body=body)
    assert server.connections == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\n"])
async def test_reply_without_a_length_ends_with_the_connection(head: bytes) -> None:
    async with serving(saying(head, b"o", b"k", hangs_up=True)) as server, server.client() as client:
        for _ in range(2):
            assert (await client.post(b"x", is_urgent=True)).body == b"ok"
    assert server.connections == 2


async def test_status_and_retry_after_are_handed_on() -> None:
    reply = b"HTTP/1.1 429 Too Many Requests\r\nRETRY-AFTER: 7\r\nContent-Length: 0\r\n\r\n"
    async with serving(saying(reply)) as server, server.client() as client:
        assert await client.post(b"x") == HttpReply(status=429, retry_after="7", body=b"")


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"\x00" * 64,
    ],
)
async def test_reply_that_is_no_http_is_a_protocol_error_and_the_connection_is_given_up(reply: bytes) -> None:
    async with serving(saying(reply)) as server, server.client(timeout_ms=2_000) as client:
        for _ in range(2):
            with pytest.raises(ProtocolError):
                await client.post(b"x", is_urgent=True)
    assert server.connections == 2


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"]
)
async def test_connection_that_ends_before_the_reply_does_is_an_error(reply: bytes) -> None:
    async with serving(saying(reply, hangs_up=True)) as server, server.client() as client:
        with pytest.raises(ConnectionError):
            await client.post(b"x")


@pytest.mark.parametrize("head", [b"Content-Length: 11\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nb\r\n", b"\r\n"])
async def test_body_may_be_as_long_as_allowed_and_not_longer(head: bytes) -> None:
    reply = b"HTTP/1.1 200 OK\r\n" + head + b"01234567890"
    async with serving(saying(reply)) as server, server.client(most_bytes=10) as client:
        with pytest.raises(TooLargeError):
            await client.post(b"x")
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    async with serving(saying(whole)) as server, server.client(most_bytes=10) as client:
        assert (await client.post(b"x")).body == b"0123456789"


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n"),
    ],
)
async def test_what_comes_beside_the_body_without_an_end_is_given_up(begin: bytes, more: bytes) -> None:
    sent = 0

    async def serve(_: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(begin)
        while sent < 64 << 20:
            writer.write(more * (65_536 // len(more)))
            await writer.drain()
            sent += 65_536

    async with serving(serve) as server, server.client(timeout_ms=20_000) as client:
        with pytest.raises(ConnectionError):
            await client.post(b"x")
        assert sent < 32 << 20  # what the sockets hold, and not all of it


async def test_body_in_chunks_of_a_byte_is_read() -> None:
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
    async with serving(saying(reply)) as server, server.client() as client:
        assert (await client.post(b"x")).body == b"x" * 100_000


@given(cuts=st.lists(st.integers(0, 60), max_size=6), noise=st.binary(max_size=40), at=st.integers(0, 60))
def test_any_bytes_in_any_pieces_end_in_a_reply_or_an_error(cuts: list[int], noise: bytes, at: int) -> None:
    reply = b"HTTP/1.1 200 OK\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nok"
    bytes_ = reply[:at] + noise + reply[at + len(noise) :]
    ends = sorted({min(cut, len(bytes_)) for cut in cuts} | {0, len(bytes_)})

    async def ask() -> HttpReply:
        pieces = [bytes_[begin:end] for begin, end in pairwise(ends)]
        async with serving(saying(*pieces, hangs_up=True)) as server, server.client(timeout_ms=2_000) as client:
            return await client.post(b"x")

    if not noise:
        assert asyncio.run(ask()) == HttpReply(status=200, retry_after="1", body=b"ok")
        return
    with contextlib.suppress(ConnectionError):
        asyncio.run(ask())


# ---- what it keeps -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_urgent", "connections"), [(True, 5), (False, 6)])
async def test_connections_are_as_many_as_calls_at_once_and_one_more_and_are_kept(
    is_urgent: bool,  # noqa: FBT001 a parameter of the test
    connections: int,
) -> None:
    async with serving(saying(OK)) as server, server.client() as client:
        for _ in range(5):
            await asyncio.gather(*(client.post(b"x", is_urgent=is_urgent) for _ in range(5)))
    assert server.connections == connections
    assert len(server.asked) == 25


async def test_calls_one_after_the_other_take_two_connections_in_turns() -> None:
    async with serving(saying(OK)) as server, server.client() as client:
        for _ in range(6):
            await client.post(b"x")
    assert [asked.connection for asked in server.asked] == [1, 2, 1, 2, 1, 2]


async def test_urgent_call_finds_a_connection_that_reads_have_left() -> None:
    gate = asyncio.Event()

    async def serve(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.body == b"slow":
            await gate.wait()
        writer.write(OK)

    async with serving(serve) as server, server.client() as client, asyncio.TaskGroup() as group:
        await asyncio.gather(client.post(b"x"), client.post(b"x"))
        for _ in range(3):
            group.create_task(client.post(b"slow"))
        await eventually(lambda: len(server.asked) == 5)
        opened = server.connections
        await client.post(b"send", is_urgent=True)
        assert server.connections == opened
        gate.set()


async def test_read_takes_the_last_connection_of_a_server_that_lets_no_further_one_in() -> None:
    async with serving(saying(OK)) as server, server.client() as client:
        await client.post(b"x")
        server.stop_listening()
        for _ in range(3):
            assert (await client.post(b"x")).body == b"ok"
    assert server.connections == 1


async def test_beyond_64_calls_wait_for_a_connection() -> None:
    gate = asyncio.Event()

    async def serve(_: Asked, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(OK)

    async with serving(serve) as server, server.client() as client:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(client.post(b"x")) for _ in range(80)]
            await eventually(lambda: len(server.asked) == 64)
            await asyncio.sleep(0.02)
            assert (server.connections, len(server.asked)) == (64, 64)
            gate.set()
        assert all(call.result().body == b"ok" for call in calls)
        assert server.connections == 64


async def test_call_that_waits_for_a_connection_for_too_long_times_out_and_the_next_are_served() -> None:
    gate = asyncio.Event()

    async def serve(_: Asked, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(OK)

    async with serving(serve) as server, server.client(timeout_ms=700) as client:
        outcomes = await asyncio.gather(*(client.post(b"x") for _ in range(70)), return_exceptions=True)
        assert all(isinstance(outcome, TimeoutError) for outcome in outcomes)
        assert not any(isinstance(outcome, CrowdedTimeoutError) for outcome in outcomes[:64])
        assert all(isinstance(outcome, CrowdedTimeoutError) for outcome in outcomes[64:])
        gate.set()
        assert (await client.post(b"x")).body == b"ok"


async def crowded_out(client: HttpClient, body: bytes) -> CrowdedTimeoutError:
    with pytest.raises(CrowdedTimeoutError) as caught:
        await client.post(body)
    return caught.value


async def test_call_that_never_gets_a_place_has_not_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_MOST_CALLS", 0)
    async with serving(saying(OK)) as server, server.client(timeout_ms=20) as client:
        assert not (await crowded_out(client, b"x")).has_left
        assert server.asked == []


async def test_call_that_got_its_place_too_late_may_have_been_acted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_MOST_CALLS", 1)
    gate = asyncio.Event()

    async def serve(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.body == b"first":
            await gate.wait()
            writer.write(OK)

    async with serving(serve) as server, server.client(timeout_ms=2_000) as client, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(client.post(b"first"))
        await asyncio.sleep(0)
        second = tasks.create_task(crowded_out(client, b"second"))
        await asyncio.sleep(0)
        gate.set()
        assert (await first).body == b"ok"
        assert (await second).has_left


async def test_connection_the_server_has_closed_is_not_used_again() -> None:
    async with serving(saying(OK, hangs_up=True)) as server, server.client() as client:
        for number in range(3):
            assert (await client.post(b"x", is_urgent=True)).body == b"ok"
            await eventually(lambda: not client._all)
            assert server.connections == number + 1


async def test_connection_that_is_to_be_closed_is_closed() -> None:
    reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    async with serving(saying(reply)) as server, server.client() as client:
        for _ in range(2):
            assert (await client.post(b"x", is_urgent=True)).body == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize(
    "more",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"noise",
        b"H",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nev",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
    ],
)
async def test_bytes_nobody_has_asked_for_are_nobodys_answer(more: bytes) -> None:
    async with serving(saying(OK + more)) as server, server.client() as client:
        for _ in range(3):
            assert (await client.post(b"x", is_urgent=True)).body == b"ok"
            await asyncio.sleep(0.005)
    assert server.connections == 3


async def test_begin_of_a_reply_nobody_has_asked_for_does_not_make_its_rest_the_next_answer() -> None:
    unasked = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    async def serve(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.body == b"first":
            writer.write(OK + unasked[:20])
        else:
            writer.write(unasked[20:] if asked.connection == 1 else OK)

    async with serving(serve) as server, server.client() as client:
        await client.post(b"first", is_urgent=True)
        assert (await client.post(b"second", is_urgent=True)).body == b"ok"
    assert [asked.connection for asked in server.asked] == [1, 2]


async def test_connection_unused_for_a_minute_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(saying(OK)) as server, server.client() as client:
        await client.post(b"x", is_urgent=True)
        monkeypatch.setattr(http, "_KEPT_IDLE_S", -1.0)
        await client.post(b"x", is_urgent=True)
    assert server.connections == 2


async def test_cancelled_call_takes_its_connection_with_it() -> None:
    asked = asyncio.Event()

    async def serve(request: Asked, writer: asyncio.StreamWriter) -> None:
        if request.body == b"slow":
            asked.set()
            await asyncio.sleep(0.05)
        writer.write(OK)

    async with serving(serve) as server, server.client() as client, asyncio.TaskGroup() as group:
        slow = group.create_task(client.post(b"slow", is_urgent=True))
        await asked.wait()
        slow.cancel()
        await asyncio.sleep(0)
        assert (await client.post(b"x", is_urgent=True)).body == b"ok"
        assert [request.connection for request in server.asked] == [1, 2]


async def test_answer_that_does_not_come_in_time_is_a_timeout_and_a_late_one_is_nobodys() -> None:
    async def serve(request: Asked, writer: asyncio.StreamWriter) -> None:
        if request.body == b"slow":
            await asyncio.sleep(0.8)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        else:
            writer.write(OK)

    async with serving(serve) as server, server.client(timeout_ms=600) as client:
        with pytest.raises(TimeoutError):
            await client.post(b"slow", is_urgent=True)
        assert (await client.post(b"x", is_urgent=True)).body == b"ok"
        await asyncio.sleep(0.3)
        assert (await client.post(b"x", is_urgent=True)).body == b"ok"


async def test_client_that_is_closed_ends_what_waits() -> None:
    asked = asyncio.Event()

    async def serve(_: Asked, __: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.sleep(60)

    async with serving(serve) as server:
        async with server.client() as client:
            call = asyncio.get_running_loop().create_task(client.post(b"x"))
            await asked.wait()
        with pytest.raises(ConnectionError):
            await call


async def test_call_that_is_connecting_when_the_client_is_closed_sends_nothing() -> None:
    async with serving(saying(OK)) as server:
        client = server.client()
        async with client:
            call = asyncio.get_running_loop().create_task(client.post(b"x"))
            await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await call
        assert server.asked == []


async def test_refused_connection_is_told_as_such() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        async with HttpClient(url, timeout_ms=5_000, most_bytes=99) as client:
            with pytest.raises(ConnectionRefusedError):
                await client.post(b"x")


# ---- a kept connection that had ended ------------------------------------------------------------------------------

Cut = Callable[[asyncio.StreamWriter], None]


def ended(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").shutdown(socket.SHUT_WR)


def reset(writer: asyncio.StreamWriter) -> None:
    writer.close()  # with a request unread


@pytest.mark.parametrize("cut", [ended, reset])
@pytest.mark.parametrize("is_urgent", [False, True])
async def test_repeatable_call_on_a_connection_that_had_ended_is_asked_on_a_new_one(
    cut: Cut,
    is_urgent: bool,  # noqa: FBT001 a parameter of the test
) -> None:
    async with serving(saying(OK)) as server, server.client() as client:
        await client.post(b"1")
        await client.post(b"2")
        for writer in server.writers:
            cut(writer)  # the client hears of it after it has written
        reply = await client.post(b"again", is_urgent=is_urgent, is_repeatable=True)
        assert reply.body == b"ok"
        assert (server.asked[-1].body, server.asked[-1].connection) == (b"again", 3)
        assert server.connections == 3


@pytest.mark.parametrize("cut", [ended, reset])
async def test_call_that_is_not_repeatable_is_asked_once(cut: Cut) -> None:
    async with serving(saying(OK)) as server, server.client() as client:
        await client.post(b"1")
        cut(server.writers[0])
        with pytest.raises(ConnectionError):
            await client.post(b"once", is_urgent=True)
        assert server.connections == 1


@pytest.mark.parametrize(
    "begin", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]
)
async def test_call_whose_reply_has_begun_is_not_asked_again(begin: bytes) -> None:
    async def serve(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(OK if asked.body == b"1" else begin)
        if asked.body != b"1":
            writer.close()

    async with serving(serve) as server, server.client() as client:
        await client.post(b"1")
        with pytest.raises(ConnectionError):
            await client.post(b"again", is_urgent=True, is_repeatable=True)
        assert len(server.asked) == 2


async def test_repeatable_call_is_asked_again_once_and_on_a_kept_connection_only() -> None:
    async def serve(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.body == b"1":
            writer.write(OK)
        else:
            writer.close()

    async with serving(serve) as server, server.client() as client:
        with pytest.raises(ConnectionError):
            await client.post(b"new", is_repeatable=True)
        assert len(server.asked) == 1
        await client.post(b"1")
        with pytest.raises(ConnectionError):
            await client.post(b"kept", is_urgent=True, is_repeatable=True)
        assert [asked.body for asked in server.asked] == [b"new", b"1", b"kept", b"kept"]


async def test_repeatable_call_that_is_not_answered_in_time_is_not_asked_again() -> None:
    async def serve(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.body == b"1":
            writer.write(OK)

    async with serving(serve) as server, server.client(timeout_ms=500) as client:
        await client.post(b"1")
        with pytest.raises(TimeoutError):
            await client.post(b"slow", is_urgent=True, is_repeatable=True)
        await asyncio.sleep(0.02)  # longer than another connection would take
        assert (len(server.asked), server.connections) == (2, 1)


async def test_repeatable_call_of_a_client_that_is_closed_is_not_asked_again() -> None:
    async with serving(saying(OK)) as server:
        async with server.client() as client:
            await client.post(b"1")
            call = asyncio.get_running_loop().create_task(client.post(b"x", is_urgent=True, is_repeatable=True))
            await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await call
        assert server.connections == 1


# ---- where the host is ---------------------------------------------------------------------------------------------


class Names:
    """A resolver in the place of the running loop's: all names are the server's, once the gate is open."""

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.ended = 0
        self.gate = asyncio.Event()
        self.addresses = [("127.0.0.1", server.port)]
        self.fault: OSError | None = None
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self.look)

    def client(self) -> HttpClient:
        return HttpClient("http://node.invalid/", timeout_ms=5_000, most_bytes=99)

    async def look(self, *_: object, **__: object) -> list[AddrInfoType]:
        self.asked += 1
        try:
            await self.gate.wait()
        finally:
            self.ended += 1
        if self.fault is not None:
            raise self.fault
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in self.addresses]


async def several(client: HttpClient, count: int = 20) -> None:
    """Ask at once: on connections of their own, all but one."""
    replies = await asyncio.gather(*(client.post(b"x") for _ in range(count)))
    assert [reply.body for reply in replies] == [b"ok"] * count


async def test_host_is_looked_up_once_for_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(saying(OK)) as server, asyncio.TaskGroup() as group:
        names = Names(server, monkeypatch)
        async with names.client() as client:
            first = group.create_task(several(client))
            await eventually(lambda: names.asked)
            names.gate.set()
            await first
            await several(client, 30)
    assert names.asked == 1
    assert server.connections > 20


async def test_cancelled_call_leaves_the_look_up_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(saying(OK)) as server, asyncio.TaskGroup() as group:
        names = Names(server, monkeypatch)
        async with names.client() as client:
            first, second = group.create_task(client.post(b"1")), group.create_task(client.post(b"2"))
            await eventually(lambda: names.asked)
            first.cancel()
            await asyncio.wait([first])
            names.gate.set()
            assert (await second).body == b"ok"
    assert (names.asked, [asked.body for asked in server.asked]) == (1, [b"2"])


async def test_old_addresses_are_used_while_newer_ones_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(saying(OK)) as server:
        names = Names(server, monkeypatch)
        names.gate.set()
        async with names.client() as client:
            await client.post(b"x")
            monkeypatch.setattr(http, "_KEPT_ADDRESSES_S", 0.0)
            client._addresses.doubt()  # as if a minute had passed
            names.gate.clear()
            await several(client)
            assert (names.asked, names.ended) == (2, 1)
            names.gate.set()
            await eventually(lambda: names.ended == 2)
            await several(client, 30)
            assert names.asked > 2


async def test_old_addresses_are_used_when_newer_ones_cannot_be_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_KEPT_ADDRESSES_S", 0.0)
    async with serving(saying(OK)) as server:
        names = Names(server, monkeypatch)
        names.gate.set()
        async with names.client() as client:
            await client.post(b"x")
            names.fault = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            for count in (5, 10, 15):
                await several(client, count)
            assert names.asked > 2


async def test_host_that_is_not_found_is_told_to_all_and_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(saying(OK)) as server:
        names = Names(server, monkeypatch)
        names.gate.set()
        names.fault = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        async with names.client() as client:
            outcomes = await asyncio.gather(*(client.post(b"x") for _ in range(5)), return_exceptions=True)
            assert outcomes == [names.fault] * 5
            assert names.asked == 1
            names.fault = None
            await several(client)
            assert names.asked == 2


async def test_host_that_has_moved_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as left:
        left.bind(("127.0.0.1", 0))  # bound and not listening
        async with serving(saying(OK)) as server:
            names = Names(server, monkeypatch)
            names.gate.set()
            names.addresses = [left.getsockname()]
            async with names.client() as client:
                with pytest.raises(ConnectionRefusedError):
                    await client.post(b"x")
                names.addresses = [("127.0.0.1", server.port)]
                with pytest.raises(ConnectionRefusedError):
                    await client.post(b"x")  # the old address, while the host is looked up
                await eventually(lambda: names.ended == 2)
                assert (await client.post(b"x")).body == b"ok"


async def test_client_that_is_closed_ends_its_look_up_and_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(saying(OK)) as server:
        names = Names(server, monkeypatch)
        async with names.client() as client:
            call = asyncio.get_running_loop().create_task(client.post(b"x"))
            await eventually(lambda: names.asked)
        with pytest.raises(ConnectionError):
            await call
        with pytest.raises(ConnectionError):
            await client.post(b"x")
        assert (names.asked, names.ended, server.connections) == (1, 1, 0)


class Unresolving(asyncio.SelectorEventLoop):
    async def getaddrinfo(self, *args: object, **more: object) -> Never:
        raise AssertionError(args, more)


class UnresolvingUv(uvloop.Loop):
    async def getaddrinfo(self, *args: object, **more: object) -> Never:
        raise AssertionError(args, more)


@pytest.mark.parametrize("loop", [Unresolving, UnresolvingUv])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_address_is_connected_to_without_asking_the_resolver(loop: type[asyncio.AbstractEventLoop], host: str) -> None:
    if ":" in host:
        with socket.socket(socket.AF_INET6) as tried:
            try:
                tried.bind((host, 0))
            except OSError:
                pytest.skip("this machine has no IPv6")

    async def ask() -> None:
        async with serving(saying(OK), host=host) as server:
            written = f"[{host}]" if ":" in host else host
            async with HttpClient(f"http://{written}:{server.port}/", timeout_ms=5_000, most_bytes=99) as client:
                await several(client)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(ask())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_address_that_refuses_is_passed_over_for_the_next(
    loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> None:
        async with serving(saying(OK)) as server, server.client() as client:

            async def found(_: str, port: int) -> list[AddrInfoType]:
                hosts = [("127.0.0.2", port), ("127.0.0.1", port)]
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in hosts]

            monkeypatch.setattr(http, "_literal", lambda *_: [])
            monkeypatch.setattr(client._addresses, "of", found)
            assert (await client.post(b"x")).body == b"ok"

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(ask())


# ---- TLS -----------------------------------------------------------------------------------------------------------


async def test_tls_is_spoken_with_whom_the_system_trusts_and_with_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on this machine, and TLS needs a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(  # noqa: ASYNC221 our own arguments; nothing else runs here
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with serving(saying(OK), tls=context) as server:
        url = f"https://localhost:{server.port}/"
        http._tls.cache_clear()
        async with HttpClient(url, timeout_ms=5_000, most_bytes=99) as client:
            with pytest.raises(ssl.SSLCertVerificationError):
                await client.post(b"x", is_urgent=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        http._tls.cache_clear()
        async with HttpClient(url, timeout_ms=5_000, most_bytes=99) as client:
            for _ in range(2):
                assert (await client.post(b"x", is_urgent=True)).body == b"ok"
        async with HttpClient(f"https://127.0.0.1:{server.port}/", timeout_ms=5_000, most_bytes=99) as client:
            with pytest.raises(ssl.SSLCertVerificationError):  # a name it is not certified for
                await client.post(b"x", is_urgent=True)
    http._tls.cache_clear()
    assert [request.connection for request in server.asked] == [1, 1]  # those refused never became connections
