"""`slotzero serve`: the page's process, from binding its port to its end."""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

import msgspec
import uvicorn
import uvloop
from msgspec import Struct

from slotzero.clock import SystemClock, add_ms
from slotzero.errors import UsageError
from slotzero.secret import Secret
from slotzero.units import NS_PER_MS
from slotzero.web.app import Site, make_app
from slotzero.web.board import Board
from slotzero.web.connection import PatientConnection
from slotzero.web.runs import RunStore
from slotzero.web.stream import Broadcast
from slotzero.web.watch import Watch
from slotzero.workloads.bot_run import state_folder
from slotzero.workloads.targets import target_of

__all__ = ["DEFAULT_PORT", "ServeRequest", "serve_session"]

DEFAULT_PORT: Final = 9464
"""Where the shipped prometheus.yml looks, so that page, API and metrics are one address."""
_HOST: Final = "127.0.0.1"
_TICK_MS: Final = 500
_MOST_HEADERS: Final = 16_384
_MOST_CONNECTIONS: Final = 512
_BACKLOG: Final = 128
_TOKEN_BYTES: Final = 32


class ServeRequest(Struct, frozen=True, kw_only=True):
    """What `slotzero serve` was asked for.

    Attributes:
        port: 0 = any free one.
        pid: Which bot is watched; None = the one that began last.
        runs: The folder of stored results; None = the one in the user's state folder.
        until_stdin_closes: End when stdin does: the bot's way to end its page.
    """

    port: int = DEFAULT_PORT
    pid: int | None = None
    runs: Path | None = None
    until_stdin_closes: bool = False


class Started(Struct, frozen=True, kw_only=True):
    """What is printed once on stdout, for programs."""

    url: str
    token_file: str


def serve_session(request: ServeRequest, *, stdout: TextIO, stderr: TextIO) -> None:
    """Serve until told to stop. *Does I/O.*

    Raises:
        UsageError: The port is taken, or the token cannot be kept.
    """
    listening = _bound(request.port)
    with listening, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(request, listening, stdout, stderr))


async def _serve(request: ServeRequest, listening: socket.socket, stdout: TextIO, stderr: TextIO) -> None:
    state, clock = state_folder(), SystemClock()
    port = listening.getsockname()[1]
    token = Secret(secrets.token_urlsafe(_TOKEN_BYTES))
    board, broadcast = Board(target_of), Broadcast(secrets.token_hex(4))
    watch = Watch(board, state, clock=clock, pid=request.pid)
    runs = RunStore(*([request.runs] if request.runs is not None else [state / "runs", state / "baselines"]))
    site = Site(board=board, broadcast=broadcast, watch=watch, runs=runs, state=state, token=token)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(site),
            log_config=None,
            access_log=False,
            http=PatientConnection,  # on h11, the only one with a limit for headers
            ws="none",
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=_MOST_HEADERS,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=2,
        )
    )
    if request.until_stdin_closes:
        _on_stdin_closed(server)
    with _kept(token, state, port) as token_file:
        url = f"http://{_HOST}:{port}"
        stderr.write(f"page and API: {url}/\ntoken for close and panic (also in {token_file}): {token.reveal()}\n")
        stderr.flush()
        _tick(site, clock, 0)

        async def ticking() -> None:
            seq, due = 1, clock.mono_ns()
            while not server.should_exit:
                due = add_ms(max(due, add_ms(clock.mono_ns(), -_TICK_MS)), _TICK_MS)
                await clock.sleep_until(due)
                _tick(site, clock, seq)
                seq += 1
            broadcast.end()

        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch.run(), name="watch")
            tasks.create_task(ticking(), name="ticks")
            stdout.write(msgspec.json.encode(Started(url=url, token_file=str(token_file))).decode() + "\n")
            stdout.flush()
            await server.serve(sockets=[listening])
            server.should_exit = True
            watching.cancel()


def _tick(site: Site, clock: SystemClock, seq: int) -> None:
    memory, cpu = site.watch.resources()
    wall_ms = clock.wall_ns() // NS_PER_MS
    site.broadcast.tick(
        site.board.performance(seq=seq, now=clock.mono_ns(), wall_ms=wall_ms, memory_mb=memory, cpu=cpu)
    )


def _bound(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((_HOST, port))
        listening.listen(_BACKLOG)  # already: whoever is told the address may come at once
    except OSError as error:
        listening.close()
        raise UsageError(
            f"nothing can be served on {_HOST}:{port} ({error.strerror}); name another port with --port"
        ) from error
    return listening


@contextlib.contextmanager
def _kept(token: Secret[str], state: Path, port: int) -> Iterator[Path]:
    path = state / "tokens" / f"{port}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token.reveal() + "\n")
    except OSError as error:
        raise UsageError(f"the token cannot be kept in {path}: {error.strerror or error}") from error
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _on_stdin_closed(server: uvicorn.Server) -> None:
    def wait() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=wait, name="stdin", daemon=True).start()
