"""The control socket, both ends, in a folder of the test's own: what is asked reaches the engine, and who may ask."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec
import pytest

from observe_lab import engine_report
from slotzero.control import ControlClient, Status, find_bot, serve_control
from slotzero.control.records import Request, sockets_folder
from slotzero.engine import Engine, EngineReport, Panic
from slotzero.errors import SlotzeroError, UsageError
from slotzero.trading.exit_rules import ExitView
from slotzero.trading.journal import PositionRecord
from slotzero.trading.limits import LimitsState
from slotzero.units import Lamports, LamportsDelta, TokenAmount, WallNs
from trading_lab import SIGNER, pump_pool


def position(number: int, state: str = "open") -> PositionRecord:
    return PositionRecord(
        id=f"b{number}",
        pool=pump_pool(number),
        wallet=SIGNER.pubkey,
        bought=TokenAmount(9),
        tokens=TokenAmount(9),
        quoted_lamports=Lamports(95),
        opened_wall_ns=WallNs(1),
        pnl_lamports=LamportsDelta(-5),
        state=state,  # type: ignore[arg-type]
        reason="sold" if state == "closed" else "",
    )


VIEW = ExitView(
    held_tokens=TokenAmount(9),
    sold_tokens=TokenAmount(0),
    selling_tokens=TokenAmount(0),
    received_lamports=Lamports(0),
    value_lamports=Lamports(90),
    stop_lamports=Lamports(76),
    stop_reason="stop_loss",
    rungs_left=1,
    exit=None,
    is_graduated=False,
    is_stuck=False,
)


class Desk:
    """An engine as the server sees it."""

    def __init__(self) -> None:
        self.has_started = True
        self.asked: list[tuple[str, str]] = []
        self.halted = ""

    def report(self, *, with_exits: bool = False) -> EngineReport:
        assert with_exits, "the stop of each position is shown"
        limits = engine_report().limits
        state = LimitsState(killed=self.halted, tripped="", high_water=LamportsDelta(0))
        return engine_report(
            positions=(position(1, "closed"), position(2), position(3)),
            values={"b2": Lamports(90)},
            exits={"b2": VIEW},
            troubles={"b3": "failed: AccountFrozen"},
            limits=msgspec.structs.replace(limits, state=state, buys_under_way=4),
        )

    async def panic(self, reason: str) -> Panic:
        self.asked.append(("panic", reason))
        self.halted = reason
        return Panic(positions=("b2",), buys_under_way=4)

    async def resume(self) -> None:
        self.asked.append(("resume", ""))
        self.halted = ""

    async def close_position(self, position_id: str) -> None:
        self.asked.append(("close", position_id))
        if position_id != "b2":
            raise UsageError(f"there is no position whose id begins with {position_id!r}")


@asynccontextmanager
async def served(state: Path) -> AsyncIterator[Desk]:
    desk = Desk()
    async with serve_control(cast("Engine", desk), state):
        yield desk


async def ask(state: Path, **fields: str) -> Status:
    def talk() -> Status:
        with find_bot(state, None) as client:
            return client.ask(Request(**fields))  # type: ignore[arg-type]

    return await asyncio.to_thread(talk)


async def raw(state: Path, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(sockets_folder(state) / f"{os.getpid()}.sock")
    writer.write(line)
    await writer.drain()
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_status_shows_held_positions_first_with_what_is_known_of_them(tmp_path: Path) -> None:
    async with served(tmp_path):
        status = await ask(tmp_path, command="status")
    assert [view.id for view in status.positions] == ["b2", "b3", "b1"]
    first, stuck, closed = status.positions
    assert (first.value_lamports, first.stop_lamports, first.reason) == (90, 76, "")
    assert (stuck.value_lamports, stuck.stop_lamports, stuck.reason) == (None, None, "failed: AccountFrozen")
    assert (closed.state, closed.reason) == ("closed", "sold")
    assert (status.pid, status.detected, status.buys_under_way, status.halted) == (os.getpid(), 10, 4, "")


async def test_orders_reach_the_engine_and_the_answer_is_how_it_stands_after_them(tmp_path: Path) -> None:
    async with served(tmp_path) as desk:
        assert (await ask(tmp_path, command="panic", reason="the node lags")).halted == "the node lags"
        assert (await ask(tmp_path, command="resume")).halted == ""
        await ask(tmp_path, command="close", position="b2")
        await ask(tmp_path, command="panic")
    assert desk.asked == [("panic", "the node lags"), ("resume", ""), ("close", "b2"), ("panic", "by hand")]


async def test_reason_that_is_no_text_keeps_nobody_from_stopping_the_bot(tmp_path: Path) -> None:
    async with served(tmp_path) as desk:
        assert (await ask(tmp_path, command="panic", reason="the node \udcff")).halted == "the node ?"
    assert desk.asked == [("panic", "the node ?")]


async def test_what_the_engine_refuses_comes_back_as_its_sentence(tmp_path: Path) -> None:
    async with served(tmp_path):
        with pytest.raises(SlotzeroError, match="no position whose id begins with 'zz'"):
            await ask(tmp_path, command="close", position="zz")


async def test_bot_that_is_still_starting_says_so(tmp_path: Path) -> None:
    async with served(tmp_path) as desk:
        desk.has_started = False
        with pytest.raises(SlotzeroError, match="still starting"):
            await ask(tmp_path, command="panic")
    assert desk.asked == []


@pytest.mark.parametrize("line", [b"garbage\n", b'{"command": "buy"}\n', b'{"command": "panic", "x": 1}\n', b"\xff\n"])
async def test_what_is_no_command_is_answered_and_does_nothing(tmp_path: Path, line: bytes) -> None:
    async with served(tmp_path) as desk:
        assert b"this is no command" in await raw(tmp_path, line)
        assert (await ask(tmp_path, command="status")).pid == os.getpid()
    assert desk.asked == []


async def test_only_the_owner_may_connect_and_nothing_is_left_behind(tmp_path: Path) -> None:
    folder = sockets_folder(tmp_path)
    async with served(tmp_path):
        path = folder / f"{os.getpid()}.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.iterdir()) == []


async def test_client_that_goes_away_in_the_middle_hurts_nobody(tmp_path: Path) -> None:
    async with served(tmp_path):
        _, writer = await asyncio.open_unix_connection(sockets_folder(tmp_path) / f"{os.getpid()}.sock")
        writer.write(b'{"command": "sta')
        writer.transport.abort()
        assert (await ask(tmp_path, command="status")).bought == 5


async def test_place_without_room_for_a_socket_is_told_and_the_bot_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deep = tmp_path / ("x" * 100)
    async with served(deep):
        pass
    assert "no control socket" in caplog.text


# ---- finding it ----------------------------------------------------------------------------------------------------


def test_no_bot_is_told(tmp_path: Path) -> None:
    with pytest.raises(SlotzeroError, match="no bot is running"):
        find_bot(tmp_path, None)
    with pytest.raises(UsageError, match="no bot of process 1 runs"):
        find_bot(tmp_path, 1)


def listening(folder: Path, pid: int) -> socket.socket:
    folder.mkdir(parents=True, exist_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / f"{pid}.sock"))
    server.listen()
    return server


def test_several_bots_must_be_told_apart(tmp_path: Path) -> None:
    folder = sockets_folder(tmp_path)
    with listening(folder, 11), listening(folder, 12):
        with pytest.raises(UsageError, match=r"several bots run \(11, 12\)"):
            find_bot(tmp_path, None)
        with find_bot(tmp_path, 12) as client:
            assert isinstance(client, ControlClient)


def test_socket_a_killed_bot_has_left_is_passed_over_and_removed(tmp_path: Path) -> None:
    folder = sockets_folder(tmp_path)
    listening(folder, 11).close()  # the file stays, nobody listens
    (folder / "notes.sock").write_text("")
    with listening(folder, 12), find_bot(tmp_path, None):
        assert {path.name for path in folder.iterdir()} == {"12.sock", "notes.sock"}


def test_bot_that_ends_in_the_middle_is_told(tmp_path: Path) -> None:
    folder = sockets_folder(tmp_path)
    with listening(folder, 11) as server, find_bot(tmp_path, 11) as client:
        connection, _ = server.accept()
        connection.close()
        with pytest.raises(SlotzeroError, match=r"ended meanwhile|does not answer"):
            client.ask(Request(command="status"))


@pytest.mark.parametrize("answer", [b"{}\n", b"nonsense\n"])
def test_answer_that_is_none_is_an_error(tmp_path: Path, answer: bytes) -> None:
    folder = sockets_folder(tmp_path)
    with listening(folder, 11) as server, find_bot(tmp_path, 11) as client:
        connection, _ = server.accept()
        with connection:
            connection.sendall(answer)
            with pytest.raises(SlotzeroError, match="answered with"):
                client.ask(Request(command="status"))
