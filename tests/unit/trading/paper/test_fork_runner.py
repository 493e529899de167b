"""Where paper transactions run: here while it is cheap, elsewhere when it is not, with the same outcome."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from paper_lab import PaperLab, buy_of, market_on, trade, world_with_coin
from slotzero.solana.rpc import AccountInfo
from slotzero.trading.paper import ForkRunner
from slotzero.trading.paper.fork import ForkRun, parse
from slotzero.units import DurationNs, Slot

RUNS_BEFORE = 8


class Bench:
    """One buy, to be run again and again."""

    transaction: VersionedTransaction
    seen: dict[Pubkey, AccountInfo | None]

    def __init__(self) -> None:
        self.world = world_with_coin()
        self.lab = PaperLab(self.world)

    async def prepare(self) -> None:
        self.transaction = parse(trade(self.world, buy_of(market_on(self.world))[1]).raw)
        desk = self.lab.desk
        self.seen = desk._seen(await desk._read(self.transaction.message.account_keys))

    async def run(self, runner: ForkRunner) -> ForkRun:
        return await runner.run(self.transaction, self.seen, slot=Slot(10), unix_s=1_700_000_000, is_signed=True)


@contextmanager
def runner(bench: Bench, limit_ns: int | None) -> Iterator[ForkRunner]:
    limit = None if limit_ns is None else DurationNs(limit_ns)
    with closing(ForkRunner(bench.lab.desk._fork, limit_ns=limit)) as made:
        yield made


def worker_of(made: ForkRunner) -> int:
    pool: Any = made._pool
    (process,) = pool._processes
    assert isinstance(process, int)
    return process


async def test_dear_runs_leave_the_loop_and_come_out_the_same() -> None:
    bench = Bench()
    await bench.prepare()
    with runner(bench, limit_ns=1) as made:
        assert (made.is_away, made.median_ns) == (False, None)
        here = [await bench.run(made) for _ in range(RUNS_BEFORE)]
        assert made.is_away
        there = await bench.run(made)
        assert there == here[0]
        assert there.err is None
        assert there.post
        assert worker_of(made) != os.getpid()
        assert made.median_ns is not None


@pytest.mark.parametrize("limit_ns", [None, 10**12])
async def test_cheap_runs_and_those_that_must_repeat_stay(limit_ns: int | None) -> None:
    bench = Bench()
    await bench.prepare()
    with runner(bench, limit_ns) as made:
        for _ in range(2 * RUNS_BEFORE):
            await bench.run(made)
        assert not made.is_away
        assert (made.median_ns is None) == (limit_ns is None)


async def test_run_that_is_given_up_takes_no_program_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.prepare()
    with runner(bench, limit_ns=1) as made:
        expected = await bench.run(made)
        for _ in range(RUNS_BEFORE - 1):
            await bench.run(made)
        assert made.is_away
        with monkeypatch.context() as patch:
            patch.setattr(made._pool, "submit", lambda *_: Future())  # it never gets its turn
            given_up = asyncio.get_running_loop().create_task(bench.run(made))
            await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.wait([given_up])
        assert await bench.run(made) == expected


async def test_killed_process_is_replaced_once_for_all_who_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    await bench.prepare()
    with runner(bench, limit_ns=1) as made:
        expected = await bench.run(made)
        for _ in range(RUNS_BEFORE):
            await bench.run(made)
        begun = Mock(side_effect=made._begin_pool)
        monkeypatch.setattr(made, "_begin_pool", begun)
        os.kill(worker_of(made), signal.SIGSTOP)  # so that all of them wait
        waiting = [asyncio.get_running_loop().create_task(bench.run(made)) for _ in range(4)]
        await asyncio.sleep(0)
        os.kill(worker_of(made), signal.SIGKILL)
        assert await asyncio.gather(*waiting) == [expected] * 4
        assert begun.call_count == 1


async def test_killed_process_costs_no_run() -> None:
    bench = Bench()
    await bench.prepare()
    with runner(bench, limit_ns=1) as made:
        expected = await bench.run(made)
        for _ in range(RUNS_BEFORE):
            await bench.run(made)
        first = worker_of(made)
        os.kill(first, signal.SIGKILL)
        assert [await bench.run(made) for _ in range(3)] == [expected] * 3
        assert worker_of(made) != first


ORPHAN = """
import asyncio, os, signal, sys
from test_fork_runner import RUNS_BEFORE, Bench, runner, worker_of

async def main():
    bench = Bench()
    await bench.prepare()
    with runner(bench, limit_ns=1) as made:
        for _ in range(RUNS_BEFORE + 1):
            await bench.run(made)
        print(worker_of(made), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_process_ends_with_a_bot_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    # The other process has inherited the pipe: it is closed when both have ended.
    ended = subprocess.run(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ended.returncode == -signal.SIGKILL
    assert int(ended.stdout)
