"""Connections that ask nothing, and requests that do not end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

from slotzero.web import guards
from slotzero.web.app import make_app
from slotzero.web.connection import PatientConnection
from web_lab import TOKEN, site


class Hasty(PatientConnection):
    patience_s = 0.05


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[int]:
    """Serve while the block runs; gives the port."""
    config = uvicorn.Config(
        make_app(site(folder)), log_config=None, http=Hasty, ws="none", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listening]))
            yield listening.getsockname()[1]
            server.should_exit = True


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nHost: 127", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGE"]
)
async def test_connection_that_asks_nothing_more_is_closed(tmp_path: Path, said: bytes) -> None:
    async with served(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        async with asyncio.timeout(4):  # sooner than uvicorn's own limit
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200") == (b"healthz" in said)
        writer.close()


async def test_viewer_of_the_ticks_stays(tmp_path: Path) -> None:
    async with served(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/v1/performance/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"event: tick")
        await asyncio.sleep(0.3)  # several looks: what is tested is that they close nothing
        assert not reader.at_eof()
        writer.close()


async def test_body_that_does_not_come_is_refused(tmp_path: Path) -> None:
    sent: list[dict[str, object]] = []

    async def never() -> dict[str, object]:
        return await asyncio.Future()

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/panic", "query_string": b"", "headers": headers}
    await guards.Guard(make_app(site(tmp_path)), body_within_s=0.01)(scope, never, send)
    assert sent[0]["status"] == 408
