"""What a JSON-RPC call costs the bot: our HTTP client, aiohttp's, and a plain socket as the floor. About 10 s.

The server is a process of its own that answers at once, with 37 bytes. Each client asks one at a time (what a call
takes) and twenty at once (what the processor spends on each, beside other calls). In turns, three times.

    python benchmarks/bench_http_client.py
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import uvloop

from environment import print_environment, print_row
from slotzero.clock import elapsed_ns, mono_ns
from slotzero.solana.http import HttpClient

CALLS: Final = 2_000
AT_ONCE: Final = 20
ROUNDS: Final = 3
BODY: Final = b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[{"commitment":"processed"}]}'
ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n"
    b'{"jsonrpc":"2.0","id":1,"result":777}'
)

Call = Callable[[], Awaitable[object]]


class Answering(asyncio.Protocol):
    """Answers whatever comes: a request is one piece here."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002 the protocol's signature
        """Answer."""
        self._transport.write(ANSWER)  # type: ignore[attr-defined] # a TCP transport


async def serve() -> None:
    """Serve until the standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Run the server and give its port."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 our own command
        assert child.stdout is not None
        assert child.stdin is not None
        yield int(child.stdout.readline())
        child.stdin.close()


@asynccontextmanager
async def ours(port: int) -> AsyncIterator[Call]:
    """Our client."""
    async with HttpClient(f"http://127.0.0.1:{port}/", timeout_ms=5_000, most_bytes=1 << 25) as client:
        yield lambda: client.post(BODY)


@asynccontextmanager
async def aiohttps(port: int) -> AsyncIterator[Call]:
    """A session as a JSON-RPC client would use it."""
    timeout = aiohttp.ClientTimeout(total=5)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:

        async def call() -> bytes:
            async with session.post(f"http://127.0.0.1:{port}/", data=BODY, allow_redirects=False) as response:
                return await response.read()

        yield call


def floor(port: int) -> list[int]:
    """Return how long the same bytes take over a blocking socket."""
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    spans: list[int] = []
    with socket.create_connection(("127.0.0.1", port)) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(CALLS):
            start = mono_ns()
            plain.sendall(request)
            plain.recv(4_096)
            spans.append(elapsed_ns(start, mono_ns()))
    return spans


async def measure(name: str, call: Call) -> None:
    """Print one client's two rows."""
    spans: list[int] = []
    for _ in range(CALLS // 10):
        await call()
    for _ in range(CALLS):
        start = mono_ns()
        await call()
        spans.append(elapsed_ns(start, mono_ns()))
    print_row(f"{name}, one at a time", spans)

    async def several() -> None:
        for _ in range(CALLS // AT_ONCE):
            await call()

    begun = time.process_time_ns()
    await asyncio.gather(*(several() for _ in range(AT_ONCE)))
    spent = (time.process_time_ns() - begun) / CALLS / 1_000
    print(f"  {f'{name}, {AT_ONCE} at once':<52} {spent:8.1f}  us of processor time for each call")


async def main(port: int) -> None:
    """Measure everything in turns."""
    for _ in range(ROUNDS):
        async with ours(port) as call:
            await measure("slotzero.solana.http", call)
        async with aiohttps(port) as call:
            await measure("aiohttp", call)
        print_row("a blocking socket, one at a time", floor(port))


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
    else:
        print_environment("A JSON-RPC call over loopback, by client")
        with serving() as found:
            uvloop.run(main(found))
