"""A bot's refusals as its control socket tells them: real engine's bookkeeping, real socket."""

import asyncio
import tempfile
from collections import Counter, deque
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from slotzero.control import serve_control
from slotzero.control.records import Refusals, Reply, Request, sockets_folder
from slotzero.engine import Engine
from slotzero.trading.sniper import Refused
from trading_lab import pump_pool

POOL = pump_pool()


class Refusing(Engine):
    """An engine that has refused some pools, of which it remembers a few."""

    def __init__(self, reasons: list[str], *, remembered: int) -> None:
        refusals = deque((Refused(pool=POOL, reason=reason, detail="") for reason in reasons), maxlen=remembered)
        sniper = SimpleNamespace(rejected=Counter(reasons), refusals=refusals)
        self._started = cast("None", SimpleNamespace(sniper=sniper))


@pytest.mark.parametrize(
    ("since", "expected"),
    [(0, ["c", "b", "c"]), (3, ["b", "c"]), (4, ["c"]), (5, []), (99, [])],
    ids=["more than is remembered", "two new ones", "one", "none", "a count of another run"],
)
async def test_what_is_new_since_a_count_is_told_oldest_first(since: int, expected: list[str]) -> None:
    engine = Refusing(["a", "b", "c", "b", "c"], remembered=3)
    with tempfile.TemporaryDirectory() as folder:
        async with serve_control(engine, Path(folder)):
            (path,) = sockets_folder(Path(folder)).glob("*.sock")
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(msgspec.json.encode(Request(command="refusals", since=since)) + b"\n")
            reply = msgspec.json.decode(await reader.readline(), type=Reply)
            writer.close()
    assert isinstance(reply.refusals, Refusals)
    assert reply.refusals.count == 5
    assert reply.refusals.newest == tuple((str(POOL.mint), reason) for reason in expected)
