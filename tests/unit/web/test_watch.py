"""The page's side of watching: a bot that is there, one that has stopped, one that comes back."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from slotzero.clock import SystemClock
from slotzero.control.feed_records import feed_path
from slotzero.web.board import Board
from slotzero.web.watch import Watch
from slotzero.workloads.targets import target_of
from web_lab import frame


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 what is waited for has no event
            await asyncio.sleep(0.01)


async def test_bot_that_is_silent_counts_as_gone_until_it_speaks_again(tmp_path: Path) -> None:
    board, told = Board(target_of), 0

    async def speak_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal told
        told += 1
        writer.write(msgspec.json.encode(frame()) + b"\n")
        await reader.read()  # until it is left
        writer.close()

    path = feed_path(tmp_path, 1)
    path.parent.mkdir(parents=True)
    watch = Watch(board, tmp_path, clock=SystemClock(), pid=None, silent_s=0.1)
    async with await asyncio.start_unix_server(speak_once, path), asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch.run())
        await until(lambda: board.hello is not None)
        await until(lambda: board.hello is None)
        assert board.view is not None, "what it told stays to be read"
        await until(lambda: told > 1 and board.hello is not None)
        watching.cancel()
