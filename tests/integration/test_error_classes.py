"""A8: every class of failure, provoked on loopback with the real libraries.

A row says what is done and what it must be called. The few faults that no peer on loopback can cause (a route that is
missing, a close code that is never sent) are raised by hand, and stand in lists of their own.
"""

import asyncio
import errno
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import grpc
import httpx
import pytest
import websockets
from websockets.frames import Close

from fault_lab import FaultServer, closed_port, full_backlog, no_more_files, own_certificate
from slotzero.errors import MalformedError, RateLimitedError, RpcError, TransportError
from slotzero.perf.classify import ErrorClass, Fault, classify, classify_result

SHORT_S = 0.05
NO_HOST = "no-such-host.invalid"


class World:
    """What provokers are given: ports, and clients that are made once."""

    def __init__(self, port: int, tls_port: int | None, trusting: ssl.SSLContext) -> None:
        self.port = port
        self.tls_port = tls_port
        self.trusting = trusting
        self.url = f"http://127.0.0.1:{port}"

    def tls(self) -> int:
        if self.tls_port is None:
            pytest.skip("openssl is not on this machine: no certificate to distrust")
        return self.tls_port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext | None:
    return own_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def trusting() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.fixture
async def world(
    certificate: ssl.SSLContext | None, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    real = socket.getaddrinfo

    def resolve(host: str | bytes | None, *args: object, **kwargs: object) -> object:
        # Tests ask no name server.
        if host in {NO_HOST, NO_HOST.encode()}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **kwargs)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)  # the far end of a broken handshake complains
    async with FaultServer() as server:
        if certificate is None:
            yield World(server.port, None, trusting)
            return
        async with FaultServer(tls=certificate) as secure:
            yield World(server.port, secure.port, trusting)


Provoke = Callable[[World], Awaitable[object]]
Row = tuple[str, Provoke, str, str, str]


def row(name: str, provoke: Provoke, kind: str, code: str, origin: str = "target") -> Row:
    return name, provoke, kind, code, origin


async def provoked(provoke: Provoke, world: World) -> Fault:
    async with asyncio.timeout(5):
        try:
            value = await provoke(world)
        except Exception as error:  # noqa: BLE001 any failure is what it is about
            return classify(error)
    fault = classify_result(value)
    assert fault is not None, f"nothing failed: {value!r}"
    return fault


def rows(*groups: list[Row]) -> list[object]:
    return [pytest.param(*found[1:], id=found[0]) for group in groups for found in group]


# ---- httpx ---------------------------------------------------------------------------------------------------------


def over_httpx(path: str, *, raises: bool = True, **limits: float) -> Provoke:
    async def provoke(world: World) -> object:
        timeout = httpx.Timeout(10, **limits)
        async with httpx.AsyncClient(verify=world.trusting, timeout=timeout, trust_env=False) as client:
            response = await client.get(path if "://" in path else f"{world.url}{path}")
            return response.raise_for_status() if raises else response

    return provoke


async def httpx_connect_timeout(world: World) -> object:
    with full_backlog() as port:
        return await over_httpx(f"http://127.0.0.1:{port}/", connect=SHORT_S)(world)


async def httpx_write_timeout(world: World) -> object:
    timeout = httpx.Timeout(10, write=SHORT_S)
    async with httpx.AsyncClient(verify=world.trusting, timeout=timeout, trust_env=False) as client:
        return await client.post(f"{world.url}/deaf", content=bytes(30_000_000))


async def httpx_pool_timeout(world: World) -> object:
    limits = httpx.Limits(max_connections=1)
    timeout = httpx.Timeout(10, pool=SHORT_S)
    async with httpx.AsyncClient(verify=world.trusting, timeout=timeout, limits=limits, trust_env=False) as client:
        first = asyncio.get_running_loop().create_task(client.get(f"{world.url}/hang"))
        await asyncio.sleep(SHORT_S)
        try:
            return await client.get(f"{world.url}/hang")
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)


async def httpx_proxy(world: World) -> object:
    async with httpx.AsyncClient(proxy=world.url, verify=world.trusting, trust_env=False) as client:
        return await client.get("https://127.0.0.1:9/")


async def httpx_refused(world: World) -> object:
    return await over_httpx(f"http://127.0.0.1:{closed_port()}/")(world)


async def httpx_files(world: World) -> object:
    async with httpx.AsyncClient(verify=world.trusting, trust_env=False) as client:
        with no_more_files():
            return await client.get(world.url)


async def httpx_bad_header(world: World) -> object:
    async with httpx.AsyncClient(verify=world.trusting, trust_env=False) as client:
        return await client.get(world.url, headers={"X-Bad": "a\r\nb"})


HTTPX = [
    row("httpx connect timeout", httpx_connect_timeout, "timeout", "connect"),
    row("httpx read timeout", over_httpx("/hang", read=SHORT_S), "timeout", "read"),
    row("httpx write timeout", httpx_write_timeout, "timeout", "write"),
    row("httpx pool timeout", httpx_pool_timeout, "timeout", "pool", "generator"),
    row("httpx 408", over_httpx("/status/408"), "timeout", "status:408"),
    row("httpx 504", over_httpx("/status/504"), "timeout", "status:504"),
    row("httpx 429", over_httpx("/status/429"), "rate_limit", "status:429"),
    row("httpx 420", over_httpx("/status/420"), "rate_limit", "status:420"),
    row("httpx 429 returned", over_httpx("/status/429", raises=False), "rate_limit", "status:429"),
    row("httpx 503 returned", over_httpx("/status/503", raises=False), "server", "status:503"),
    row("httpx name", over_httpx(f"http://{NO_HOST}/"), "network", "dns"),
    row("httpx no TLS there", lambda world: over_httpx(f"https://127.0.0.1:{world.port}/")(world), "network", "tls"),
    row("httpx distrust", lambda world: over_httpx(f"https://127.0.0.1:{world.tls()}/")(world), "network", "tls"),
    row("httpx proxy", httpx_proxy, "network", "proxy"),
    row("httpx refused", httpx_refused, "connection", "refused"),
    row("httpx reset", over_httpx("/reset"), "connection", "reset"),
    row("httpx closed without answer", over_httpx("/eof"), "connection", "protocol"),
    row("httpx garbage", over_httpx("/garbage"), "connection", "protocol"),
    row("httpx cut short", over_httpx("/short"), "connection", "protocol"),
    row("httpx 500", over_httpx("/status/500"), "server", "status:500"),
    row("httpx 502", over_httpx("/status/502"), "server", "status:502"),
    row("httpx 503", over_httpx("/status/503"), "server", "status:503"),
    row("httpx 401", over_httpx("/status/401"), "unknown", "status:401"),
    row("httpx 404", over_httpx("/status/404"), "unknown", "status:404"),
    row("httpx own mistake", httpx_bad_header, "unknown", "LocalProtocolError"),
    row("httpx no files left", httpx_files, "unknown", "files", "generator"),
]


# ---- aiohttp -------------------------------------------------------------------------------------------------------


def over_aiohttp(path: str, *, raises: bool = True, local: str | None = None, **limits: float) -> Provoke:
    async def provoke(world: World) -> object:
        connector = aiohttp.TCPConnector(local_addr=(local, 0) if local else None)
        timeout = aiohttp.ClientTimeout(**{"total": 10, **limits})
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(path if "://" in path else f"{world.url}{path}") as response,
        ):
            if raises:
                response.raise_for_status()
            await response.read()
            return response

    return provoke


async def aiohttp_connect_timeout(world: World) -> object:
    with full_backlog() as port:
        return await over_aiohttp(f"http://127.0.0.1:{port}/", sock_connect=SHORT_S)(world)


async def aiohttp_server_timeout(world: World) -> object:
    async with aiohttp.ClientSession() as session:
        timeout = aiohttp.ClientWSTimeout(ws_receive=SHORT_S)
        async with session.ws_connect(f"{world.url}/close/1000", timeout=timeout, autoclose=False) as line:
            await line.receive()
            raise aiohttp.ServerTimeoutError("provoked: no pong")


async def aiohttp_proxy(world: World) -> object:
    async with aiohttp.ClientSession() as session, session.get("https://127.0.0.1:9/", proxy=world.url) as response:
        return response


async def aiohttp_no_proxy(_: World) -> object:
    proxy = f"http://127.0.0.1:{closed_port()}"
    async with aiohttp.ClientSession() as session, session.get("http://127.0.0.1:9/", proxy=proxy) as response:
        return response


async def aiohttp_fingerprint(world: World) -> object:
    pinned = aiohttp.Fingerprint(bytes(32))
    url = f"https://127.0.0.1:{world.tls()}/status/200"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=pinned) as response:
        return response


async def aiohttp_refused(world: World) -> object:
    return await over_aiohttp(f"http://127.0.0.1:{closed_port()}/")(world)


async def aiohttp_files(_: World) -> object:
    async with aiohttp.ClientSession() as session:
        with no_more_files():
            async with session.get("http://127.0.0.1:9/") as response:
                return response


async def aiohttp_websocket(world: World) -> object:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{world.url}/status/429") as line:
        return await line.receive()


AIOHTTP = [
    row("aiohttp connect timeout", aiohttp_connect_timeout, "timeout", "connect"),
    row("aiohttp read timeout", over_aiohttp("/hang", sock_read=SHORT_S), "timeout", "read"),
    row("aiohttp server timeout", aiohttp_server_timeout, "timeout", "timeout"),
    row("aiohttp total timeout", over_aiohttp("/hang", total=SHORT_S), "timeout", "timeout"),
    row("aiohttp 408", over_aiohttp("/status/408"), "timeout", "status:408"),
    row("aiohttp 504", over_aiohttp("/status/504"), "timeout", "status:504"),
    row("aiohttp 429", over_aiohttp("/status/429"), "rate_limit", "status:429"),
    row("aiohttp 429 returned", over_aiohttp("/status/429", raises=False), "rate_limit", "status:429"),
    row("aiohttp 429 to a websocket", aiohttp_websocket, "rate_limit", "status:429"),
    row("aiohttp name", over_aiohttp(f"http://{NO_HOST}/"), "network", "dns"),
    row("aiohttp no TLS", lambda world: over_aiohttp(f"https://127.0.0.1:{world.port}/")(world), "network", "tls"),
    row("aiohttp distrust", lambda world: over_aiohttp(f"https://127.0.0.1:{world.tls()}/")(world), "network", "tls"),
    row("aiohttp proxy", aiohttp_proxy, "network", "proxy"),
    row("aiohttp proxy is not there", aiohttp_no_proxy, "network", "proxy"),
    row("aiohttp fingerprint", aiohttp_fingerprint, "network", "tls"),
    row("aiohttp refused", aiohttp_refused, "connection", "refused"),
    row("aiohttp reset", over_aiohttp("/reset"), "connection", "reset"),
    row("aiohttp closed without answer", over_aiohttp("/eof"), "connection", "eof"),
    row("aiohttp garbage", over_aiohttp("/garbage"), "connection", "garbage"),
    row("aiohttp cut short", over_aiohttp("/short"), "connection", "payload"),
    row("aiohttp 500", over_aiohttp("/status/500"), "server", "status:500"),
    row("aiohttp 503", over_aiohttp("/status/503"), "server", "status:503"),
    row("aiohttp 400", over_aiohttp("/status/400"), "unknown", "status:400"),
    row("aiohttp 404", over_aiohttp("/status/404"), "unknown", "status:404"),
    row("aiohttp no files left", aiohttp_files, "unknown", "files", "generator"),
    row("aiohttp no such address", over_aiohttp("/eof", local="192.0.2.1"), "unknown", "ports", "generator"),
]


# ---- websockets ----------------------------------------------------------------------------------------------------


def over_websockets(path: str, *, open_timeout: float = 10) -> Provoke:
    async def provoke(world: World) -> object:
        url = path if "://" in path else f"ws://127.0.0.1:{world.port}{path}"
        async with websockets.connect(url, open_timeout=open_timeout, proxy=None) as line:
            return await line.recv()

    return provoke


async def websockets_refused(world: World) -> object:
    return await over_websockets(f"ws://127.0.0.1:{closed_port()}/")(world)


WEBSOCKETS = [
    row("websockets open timeout", over_websockets("/hang", open_timeout=SHORT_S), "timeout", "timeout"),
    row("websockets 408", over_websockets("/status/408"), "timeout", "status:408"),
    row("websockets 504", over_websockets("/status/504", open_timeout=2), "timeout", "status:504"),
    row("websockets 429", over_websockets("/status/429"), "rate_limit", "status:429"),
    row("websockets 1013", over_websockets("/close/1013"), "rate_limit", "ws:1013"),
    row("websockets name", over_websockets(f"ws://{NO_HOST}/"), "network", "dns"),
    row("websockets no TLS", lambda w: over_websockets(f"wss://127.0.0.1:{w.port}/")(w), "network", "tls"),
    row("websockets distrust", lambda w: over_websockets(f"wss://127.0.0.1:{w.tls()}/")(w), "network", "tls"),
    row("websockets refused", websockets_refused, "connection", "refused"),
    row("websockets closed in the handshake", over_websockets("/eof"), "connection", "handshake"),
    row("websockets garbage", over_websockets("/garbage"), "connection", "handshake"),
    row("websockets 1000", over_websockets("/close/1000"), "connection", "ws:1000"),
    row("websockets 1001", over_websockets("/close/1001"), "connection", "ws:1001"),
    row("websockets closed without code", over_websockets("/close/none"), "connection", "ws:1005"),
    row("websockets cut off", over_websockets("/abort"), "connection", "ws:1006"),
    row("websockets 500", over_websockets("/status/500"), "server", "status:500"),
    row("websockets 1002", over_websockets("/close/1002"), "server", "ws:1002"),
    row("websockets 1011", over_websockets("/close/1011"), "server", "ws:1011"),
    row("websockets 1012", over_websockets("/close/1012"), "server", "ws:1012"),
    row("websockets 1014", over_websockets("/close/1014"), "server", "ws:1014"),
    row("websockets 403", over_websockets("/status/403"), "unknown", "status:403"),
    *(
        row(f"websockets {code}", over_websockets(f"/close/{code}"), "unknown", f"ws:{code}")
        for code in (1003, 1007, 1008, 1009, 1010, 4000)
    ),
]


# ---- gRPC ----------------------------------------------------------------------------------------------------------


def over_grpc(code: grpc.StatusCode) -> Provoke:
    async def provoke(_: World) -> object:
        async def abort(_request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            await context.abort(code, "provoked")
            raise AssertionError("abort raises")

        handler = grpc.method_handlers_generic_handler("lab", {"Fail": grpc.unary_unary_rpc_method_handler(abort)})
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            return await grpc_call(f"127.0.0.1:{port}")
        finally:
            await server.stop(None)

    return provoke


async def grpc_call(target: str, *, timeout_s: float = 10.0, is_secure: bool = False) -> object:
    options = [("grpc.enable_http_proxy", 0)]
    credentials = grpc.ssl_channel_credentials()
    channel = (
        grpc.aio.secure_channel(target, credentials, options=options)
        if is_secure
        else grpc.aio.insecure_channel(target, options=options)
    )
    async with channel:
        call: Callable[..., Awaitable[object]] = channel.unary_unary("/lab/Fail")
        return await call(b"", timeout=timeout_s)


async def grpc_refused(_: World) -> object:
    return await grpc_call(f"127.0.0.1:{closed_port()}")


async def grpc_deadline(_: World) -> object:
    with full_backlog() as port:
        return await grpc_call(f"127.0.0.1:{port}", timeout_s=SHORT_S)


async def grpc_handshake(world: World) -> object:
    return await grpc_call(f"127.0.0.1:{world.tls()}", is_secure=True)


async def grpc_name(_: World) -> object:
    return await grpc_call("dns:///bad..name:1")


GRPC_KINDS = {
    "DEADLINE_EXCEEDED": "timeout",
    "RESOURCE_EXHAUSTED": "rate_limit",
    "UNAVAILABLE": "connection",
    "INTERNAL": "server",
    "UNKNOWN": "server",
    "DATA_LOSS": "server",
    "UNIMPLEMENTED": "server",
    "ABORTED": "server",
}
GRPC = [
    *(
        row(f"grpc {code.name}", over_grpc(code), GRPC_KINDS.get(code.name, "unknown"), f"grpc:{code.name}")
        for code in grpc.StatusCode
        if code is not grpc.StatusCode.OK
    ),
    row("grpc refused", grpc_refused, "connection", "grpc:UNAVAILABLE"),
    row("grpc deadline", grpc_deadline, "timeout", "grpc:DEADLINE_EXCEEDED"),
    row("grpc distrust", grpc_handshake, "network", "tls"),
    row("grpc name", grpc_name, "network", "dns"),
]


# ---- asyncio and the operating system ------------------------------------------------------------------------------


def over_asyncio(path: str, count: int = 1_000) -> Provoke:
    async def provoke(world: World) -> object:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        try:
            writer.write(b"GET %b HTTP/1.1\r\n\r\n" % path.encode())
            return await reader.readexactly(count)
        finally:
            writer.transport.abort()

    return provoke


async def os_refused(_: World) -> object:
    return await asyncio.open_connection("127.0.0.1", closed_port())


async def os_timeout(world: World) -> object:
    async with asyncio.timeout(SHORT_S):
        return await over_asyncio("/hang")(world)


async def os_name(_: World) -> object:
    return await asyncio.open_connection(NO_HOST, 1)


async def os_handshake(world: World) -> object:
    return await asyncio.open_connection("127.0.0.1", world.port, ssl=world.trusting)


async def os_distrust(world: World) -> object:
    return await asyncio.open_connection("127.0.0.1", world.tls(), ssl=world.trusting)


async def os_broken_pipe(_: World) -> object:
    near, far = socket.socketpair()
    far.close()
    with near:
        near.setblocking(False)  # noqa: FBT003 the only way to say it
        await asyncio.get_running_loop().sock_sendall(near, b"x")
        raise RuntimeError("nobody reads this")


async def os_files(_: World) -> object:
    with no_more_files():
        return socket.socket()


async def os_address(_: World) -> object:
    with socket.socket() as one:
        one.bind(("192.0.2.1", 0))
        return one


async def os_group(_: World) -> object:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.open_connection("127.0.0.1", closed_port()))
        return None


async def failed_check(_: World) -> object:
    raise AssertionError("provoked")


async def own_mistake(_: World) -> object:
    return int("no number")


SYSTEM = [
    row("asyncio refused", os_refused, "connection", "refused"),
    row("asyncio timeout", os_timeout, "timeout", "timeout"),
    row("asyncio name", os_name, "network", "dns"),
    row("asyncio no TLS", os_handshake, "network", "tls"),
    row("asyncio distrust", os_distrust, "network", "tls"),
    row("asyncio reset", over_asyncio("/reset"), "connection", "reset"),
    row("asyncio ends early", over_asyncio("/eof"), "connection", "eof"),
    row("asyncio cut short", over_asyncio("/short"), "connection", "eof"),
    row("asyncio broken pipe", os_broken_pipe, "connection", "broken_pipe"),
    row("asyncio no files left", os_files, "unknown", "files", "generator"),
    row("asyncio no such address", os_address, "unknown", "ports", "generator"),
    row("asyncio group", os_group, "connection", "refused"),
    row("failed check", failed_check, "unknown", "assertion", "check"),
    row("own mistake", own_mistake, "unknown", "ValueError"),
]


@pytest.mark.parametrize(("provoke", "kind", "code", "origin"), rows(HTTPX, AIOHTTP, WEBSOCKETS, GRPC, SYSTEM))
async def test_a8_provoked_fault_is_classified(
    world: World, provoke: Provoke, kind: str, code: str, origin: str
) -> None:
    fault = await provoked(provoke, world)
    assert (fault.kind.value, fault.code, fault.origin) == (kind, code, origin)


def test_a8_table_has_enough_rows() -> None:
    assert sum(map(len, (HTTPX, AIOHTTP, WEBSOCKETS, GRPC, SYSTEM))) >= 105


# ---- what no peer on loopback can cause ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "kind", "code", "origin"),
    [
        (errno.ETIMEDOUT, "timeout", "os", "target"),
        (errno.ENETUNREACH, "network", "unreachable", "target"),
        (errno.EHOSTUNREACH, "network", "unreachable", "target"),
        (errno.ENETDOWN, "network", "unreachable", "target"),
        (errno.EHOSTDOWN, "network", "unreachable", "target"),
        (errno.ECONNABORTED, "connection", "aborted", "target"),
        (errno.ENOBUFS, "unknown", "buffers", "generator"),
        (errno.EISDIR, "unknown", "os:EISDIR", "target"),
    ],
)
def test_error_of_the_system_is_classified_by_its_number(number: int, kind: str, code: str, origin: str) -> None:
    fault = classify(OSError(number, os.strerror(number)))
    assert (fault.kind.value, fault.code, fault.origin) == (kind, code, origin)
    wrapped = httpx.ConnectError("no connection")
    wrapped.__context__ = OSError(number, os.strerror(number))
    if code != "os:EISDIR":
        assert classify(wrapped) == fault


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (websockets.ConnectionClosedError(Close(1015, ""), None), "network", "ws:1015"),
        (httpx.CloseError("closing failed"), "connection", "close"),
        (httpx.WriteError("writing failed"), "connection", "write"),
        (aiohttp.ClientConnectionResetError("closing"), "connection", "reset"),
        (ConnectionAbortedError(), "connection", "aborted"),
        (TransportError("http://127.0.0.1:1", "no answer"), "connection", "transport"),
        (RateLimitedError("http://127.0.0.1:1", 50), "rate_limit", "status:429"),
        (RpcError("http://127.0.0.1:1", -32005, "node is behind"), "server", "rpc:-32005"),
        (RpcError("http://127.0.0.1:1", -32602, "invalid params"), "unknown", "rpc:-32602"),
        (RpcError("http://127.0.0.1:1", 429, "too many"), "rate_limit", "rpc:429"),
        (MalformedError("no JSON"), "unknown", "MalformedError"),
    ],
)
def test_error_raised_by_hand_is_classified(error: Exception, kind: str, code: str) -> None:
    fault = classify(error)
    assert (fault.kind.value, fault.code) == (kind, code)


def test_our_transport_error_is_classified_by_its_cause() -> None:
    error = TransportError("http://127.0.0.1:1", "no answer in 5 s")
    error.__cause__ = TimeoutError()
    assert classify(error) == Fault(ErrorClass.TIMEOUT, "timeout")


def test_unrelated_error_under_way_does_not_change_a_timeout() -> None:
    error = httpx.ReadTimeout("late")
    error.__context__ = socket.gaierror(socket.EAI_NONAME, "no such name")
    assert classify(error) == Fault(ErrorClass.TIMEOUT, "read")


def test_chain_that_bites_its_tail_ends() -> None:
    error, other = httpx.ConnectError("no connection"), ValueError()
    error.__context__, other.__context__ = other, error
    assert classify(error) == Fault(ErrorClass.CONNECTION, "connect")


def test_libraries_are_not_imported_by_the_classifier() -> None:
    program = "import sys, slotzero.perf.classify; print({'aiohttp', 'grpc', 'httpx', 'websockets'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"
