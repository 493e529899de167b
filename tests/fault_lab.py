"""Servers on loopback that fail on demand: what the classifier's faults are provoked with."""

import asyncio
import base64
import hashlib
import resource
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

TLS_HELLO = b"\x16"
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class FaultServer:
    """One port that does what the path says: /status/N, /hang, /reset, /eof, /garbage, /short, /close/N, /close/none,
    /abort, /proxy for a CONNECT, /deaf for a request whose body it does not read.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if first == TLS_HELLO:
            writer.write(b"HTTP/1.1 400 no TLS here\r\n\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        head = first + await reader.readuntil(b"\r\n\r\n")
        method, path = head.split(b" ", 2)[:2]
        words = path.decode().strip("/").split("/")
        if method == b"CONNECT":
            words = ["status", "403"]
        match words:
            case ["status", code]:
                body = b"no"
                writer.write(b"HTTP/1.1 %b Reason\r\nContent-Length: %d\r\n\r\n%b" % (code.encode(), len(body), body))
                await writer.drain()
                await reader.read()
            case ["hang"]:
                await reader.read()
            case ["deaf"]:
                writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it
                await asyncio.Event().wait()
            case ["reset"]:
                opened = writer.get_extra_info("socket")
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case ["eof"]:
                pass
            case ["garbage"]:
                writer.write(b"\x01\x02 this is no answer\r\n\r\n")
                await writer.drain()
                await reader.read()
            case ["short"]:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.")
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            case ["close", code]:
                await self._websocket(head, reader, writer, code)
            case ["abort"]:
                await self._upgrade(head, writer)
            case _:
                raise AssertionError(f"nothing is provoked by {words}")

    async def _upgrade(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        key = next(
            line.split(b":", 1)[1].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID, usedforsecurity=False).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
        )
        await writer.drain()

    async def _websocket(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, code: str
    ) -> None:
        await self._upgrade(head, writer)
        payload = b"" if code == "none" else struct.pack("!H", int(code))
        writer.write(bytes((0x88, len(payload))) + payload)
        await writer.drain()
        await reader.read(64)  # its own close; then the connection must go, or it waits for that


def closed_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose queue of connections is full: further ones are never answered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)  # noqa: FBT003 the only way to say it
                one.connect_ex(("127.0.0.1", port))
            yield port
        finally:
            for one in waiting:
                one.close()


@contextmanager
def no_more_files() -> Iterator[None]:
    """Nobody in this process can open a file or socket."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        lowest_free = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def own_certificate(folder: Path) -> ssl.SSLContext | None:
    """A server's context with a certificate nobody trusts; None where there is no openssl."""
    if shutil.which("openssl") is None:
        return None
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", str(key), "-out", str(certificate),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
