"""The bot's side of the control socket. Only its owner may connect: the folder and the socket are the user's alone."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from slotzero.control.records import MAX_LINE, PositionView, Refusals, Reply, Request, Status, sockets_folder
from slotzero.engine import Engine, EngineReport
from slotzero.errors import SlotzeroError
from slotzero.trading.journal import PositionRecord
from slotzero.units import NS_PER_MS

__all__ = ["serve_control", "status_of"]

log = logging.getLogger(__name__)

_MAX_CLOSED: Final = 200
"""Closed positions that are told of; the journal has them all."""


@asynccontextmanager
async def serve_control(engine: Engine, state: Path) -> AsyncIterator[None]:
    """Take commands for `engine` while the block runs. *Does I/O.*

    Where no socket can be made (a path that is too long, a file system without them) the bot runs without one and says
    so: it can still be stopped by its signals.

    Args:
        engine: Whom to command.
        state: The user's folder for what programs keep.
    """
    folder = sockets_folder(state)
    path = folder / f"{os.getpid()}.sock"
    server = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(
            lambda reader, writer: _serve(engine, reader, writer), path, limit=MAX_LINE
        )
        path.chmod(0o600)
    except OSError as error:
        log.warning("no control socket at %s (%s): `slotzero panic` and `close` cannot reach this run", path, error)
    try:
        yield
    finally:
        if server is not None:
            server.close()
            path.unlink(missing_ok=True)


async def _serve(engine: Engine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection, line by line."""
    try:
        while line := await reader.readline():
            reply = await _answer(engine, line)
            writer.write(msgspec.json.encode(reply) + b"\n")
            await writer.drain()
    except (ConnectionError, ValueError) as error:  # gone, or a line longer than any command
        log.info("a control connection ended: %s", error)
    except asyncio.CancelledError:
        return  # the loop ends; asyncio's streams would log a handler that was cancelled as a fault
    finally:
        writer.close()


async def _answer(engine: Engine, line: bytes) -> Reply:
    try:
        request = msgspec.json.decode(line, type=Request)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Reply(error=f"this is no command: {error}")
    if not engine.has_started:
        return Reply(error="the bot is still starting; try again in a moment")
    try:
        match request.command:
            case "status":
                pass
            case "close":
                await engine.close_position(request.position)
            case "panic":
                await engine.panic(request.reason or "by hand")
            case "resume":
                await engine.resume()
            case "refusals":
                count, newest = engine.refusals_since(request.since)
                told = tuple((str(refused.pool.mint), refused.reason) for refused in newest)
                return Reply(refusals=Refusals(count=count, newest=told))
    except SlotzeroError as error:
        return Reply(error=str(error))
    return Reply(status=status_of(engine.report(with_exits=True)))


def status_of(report: EngineReport) -> Status:
    """Return how the bot stands. *Pure.*"""
    held = [position for position in report.positions if position.state != "closed"]
    closed = [position for position in report.positions if position.state == "closed"][-_MAX_CLOSED:]
    halt = report.limits.state
    return Status(
        pid=os.getpid(),
        detected=report.detected,
        bought=report.bought,
        closed=report.closed,
        refused=report.rejected,
        failed=report.failed,
        buys_under_way=report.limits.buys_under_way,
        halted=halt.killed or halt.tripped,
        positions=tuple(_view(position, report) for position in (*held, *reversed(closed))),
    )


def _view(position: PositionRecord, report: EngineReport) -> PositionView:
    view = report.exits.get(position.id)
    return PositionView(
        id=position.id,
        mint=str(position.pool.mint),
        symbol=position.pool.symbol,
        venue=position.pool.venue,
        wallet=str(position.wallet),
        state=position.state,
        reason=position.reason or report.troubles.get(position.id, ""),
        tokens=position.tokens,
        quoted_lamports=position.quoted_lamports,
        value_lamports=report.values.get(position.id),
        stop_lamports=None if view is None else view.stop_lamports,
        pnl_lamports=position.pnl_lamports,
        opened_ms=position.opened_wall_ns // NS_PER_MS,
    )
