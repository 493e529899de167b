"""Five faults planted in real callables, each with the same callable without it: what suggestions are judged by.

Each costs tens of milliseconds, so that what else the machine does is small beside it.

Servers are real ones on loopback, in a thread with a loop of its own, so that what they do is not on the measured loop.
"""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import msgspec
from aiohttp import web
from msgspec import Struct

from slotzero.perf.benchmark import BenchmarkService
from slotzero.perf.evidence_watch import EvidenceWatch
from slotzero.perf.stages import StageTape
from slotzero.perf.stats import nearest_rank
from slotzero.perf.suggest import suggest
from slotzero.perf.types import BenchmarkOptions, BenchmarkResult, Suggestion

__all__ = ["FAULTS", "Judged", "hand_over", "judge", "judge_apart"]

Measured = Callable[[], Awaitable[None]]
_S_PER_H: Final = 3_600


class Judged(Struct, frozen=True, kw_only=True):
    """What was said of a fault, and what its removal brought.

    Attributes:
        estimated: The improvement of the first suggestion: ms of p95, or MB in an hour for a leak.
        measured: What removing the fault brought.
    """

    suggestions: list[Suggestion]
    estimated: float
    measured: float

    @property
    def error(self) -> float:
        """Return how far the estimate is off, as a share of what was measured."""
        return abs(self.estimated - self.measured) / abs(self.measured)


class Case(Struct, frozen=True, kw_only=True):
    rule: str
    broken: Measured
    fixed: Measured
    tape: StageTape
    samples: int
    turns: int = 4


@asynccontextmanager
async def _leak() -> AsyncIterator[Case]:
    kept: list[bytes] = []
    size = 40_000

    async def broken() -> None:
        kept.append(b"x" * size)  # written to, so that the pages are really there
        await asyncio.sleep(0.001)

    async def fixed() -> None:
        _ = b"x" * size
        await asyncio.sleep(0.001)

    yield Case(rule="leak", broken=broken, fixed=fixed, tape=StageTape(), samples=700, turns=1)


@asynccontextmanager
async def _blocking_call() -> AsyncIterator[Case]:
    async def others(*, blocks: bool) -> None:
        while True:
            if blocks:
                time.sleep(0.05)  # noqa: ASYNC251 the fault
            else:
                await asyncio.to_thread(time.sleep, 0.05)
            await asyncio.sleep(0.02)

    running: dict[bool, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as tasks:

        def use(*, blocks: bool) -> None:
            if blocks not in running:
                for task in running.values():
                    task.cancel()
                running.clear()
                running[blocks] = tasks.create_task(others(blocks=blocks))

        async def broken() -> None:
            use(blocks=True)
            await asyncio.sleep(0.002)

        async def fixed() -> None:
            use(blocks=False)
            await asyncio.sleep(0.002)

        yield Case(rule="blocked-loop", broken=broken, fixed=fixed, tape=StageTape(), samples=400)
        for task in running.values():
            task.cancel()


class _Cache:
    """A cache in front of a server, of a bounded size."""

    def __init__(self, room: int, ask: Callable[[str], Awaitable[bytes]], tape: StageTape) -> None:
        self._room = room
        self._ask = ask
        self._tape = tape
        self._held: OrderedDict[str, bytes] = OrderedDict()

    async def get(self, key: str) -> bytes:
        with self._tape.lookup("metadata") as look:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            look.miss()
            self._held[key] = value = await self._ask(key)
            if len(self._held) > self._room:
                self._held.popitem(last=False)
            return value


@asynccontextmanager
async def _cold_cache() -> AsyncIterator[Case]:
    tape = StageTape()
    async with _server(each_ms=80) as base, _server(each_ms=2) as other, aiohttp.ClientSession() as session:

        async def ask(key: str) -> bytes:
            with tape.call("getAccountInfo", endpoint="node"):
                return await _post(session, base, [key])

        small, large = _Cache(1, ask, tape), _Cache(64, ask, tape)
        asked = 0

        async def look_up(cache: _Cache) -> None:
            nonlocal asked
            asked += 1
            await cache.get(f"mint{asked // 2 % 8}")  # each key twice in a row, eight keys in turn
            with tape.call("getSlot", endpoint="other node"):
                await _post(session, other, ["slot"])

        async def broken() -> None:
            await look_up(small)

        async def fixed() -> None:
            await look_up(large)

        yield Case(rule="cold-cache", broken=broken, fixed=fixed, tape=tape, samples=120)


@asynccontextmanager
async def _n_plus_one() -> AsyncIterator[Case]:
    tape = StageTape()
    keys = [f"account{number}" for number in range(8)]
    async with _server(each_ms=4) as base, aiohttp.ClientSession() as session:

        async def broken() -> None:
            with tape.sample():
                for key in keys:
                    with tape.call("getAccountInfo", endpoint="node"):
                        await _post(session, base, [key])

        async def fixed() -> None:
            with tape.sample(), tape.call("getMultipleAccounts", endpoint="node"):
                await _post(session, base, keys)

        yield Case(rule="repeated-calls", broken=broken, fixed=fixed, tape=tape, samples=80)


@asynccontextmanager
async def _slow_endpoint() -> AsyncIterator[Case]:
    tape = StageTape()
    async with _server(each_ms=3) as quick, _server(each_ms=60) as slow, aiohttp.ClientSession() as session:
        turn = 0

        async def ask(url: str, name: str) -> None:
            with tape.call("getSlot", endpoint=name):
                await _post(session, url, ["slot"])

        async def broken() -> None:
            nonlocal turn
            turn += 1
            await (ask(slow, "far") if turn % 2 else ask(quick, "near"))

        async def fixed() -> None:
            await ask(quick, "near")

        yield Case(rule="slow-endpoint", broken=broken, fixed=fixed, tape=tape, samples=100)


FAULTS: Final = {
    "a leak": _leak,
    "a blocking call on the loop": _blocking_call,
    "a cold cache": _cold_cache,
    "N+1 RPC calls": _n_plus_one,
    "a slow endpoint": _slow_endpoint,
}


async def judge(fault: str) -> tuple[str, Judged]:
    """Return the rule that must come first, and what came of measuring with the fault and without it.

    Both are measured in turns, so that whatever else the machine does falls on both alike.
    """
    async with FAULTS[fault]() as case:
        plain = EvidenceWatch()
        before, after = _Runs(), _Runs()
        await _run(case.broken, case.samples // 10)
        with EvidenceWatch(loop=asyncio.get_running_loop(), tape=case.tape) as watch:
            broken, fixed = watch.wrap(case.broken), plain.wrap(case.fixed)
            for _ in range(case.turns):
                before.add(await _run(broken, case.samples // case.turns))
                await _run(fixed, 5)  # its caches fill
                after.add(await _run(fixed, case.samples // case.turns))
        suggestions = suggest(watch.evidence(name=fault))
    first = suggestions[0]
    if first.impact_mb_per_h is not None:
        measured = before.mb_per_h - after.mb_per_h
        return case.rule, Judged(suggestions=suggestions, estimated=first.impact_mb_per_h, measured=measured)
    assert first.p95_ms is not None, first
    assert first.impact_p95_ms is not None, first
    return case.rule, Judged(
        suggestions=suggestions,
        estimated=first.p95_ms - first.impact_p95_ms,
        measured=before.p95_ms - after.p95_ms,
    )


def judge_apart(fault: str) -> tuple[str, Judged]:
    """Return what `judge` does, of a process of its own: what others have allocated and freed there hides a leak."""
    program = f"import asyncio, planted_faults as here; here.hand_over(asyncio.run(here.judge({fault!r})))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        timeout=90,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return msgspec.json.decode(ended.stdout, type=tuple[str, Judged])


def hand_over(found: tuple[str, Judged]) -> None:
    """Write a judgement for the process that asked for it."""
    sys.stdout.buffer.write(msgspec.json.encode(found))


class _Runs:
    """Several runs of one callable, taken together."""

    def __init__(self) -> None:
        self._durations: list[int] = []
        self._grown_mb = 0.0

    def add(self, result: BenchmarkResult) -> None:
        assert result.resources is not None
        assert result.samples_ns is not None
        self._durations += result.samples_ns
        self._grown_mb += result.resources.rss_growth_mb

    @property
    def p95_ms(self) -> float:
        return nearest_rank(sorted(self._durations), 95) / 1e6

    @property
    def mb_per_h(self) -> float:
        return self._grown_mb / (sum(self._durations) / 1e9) * _S_PER_H


async def _run(fn: Callable[[], object], samples: int) -> BenchmarkResult:
    outcome = await BenchmarkService().run(fn, BenchmarkOptions(name="planted", samples=samples, warmup=0))
    assert isinstance(outcome, BenchmarkResult), outcome
    return outcome


@asynccontextmanager
async def _server(each_ms: float) -> AsyncIterator[str]:
    """Answer each request after `each_ms`, with a record for every key it asks for."""
    ready: asyncio.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]]
    ready = asyncio.get_running_loop().create_future()
    here = asyncio.get_running_loop()

    async def answer(request: web.Request) -> web.Response:
        keys = await request.json()
        await asyncio.sleep(each_ms / 1_000)
        return web.json_response([{"key": key, "lamports": 1} for key in keys])

    async def serve() -> None:
        stop = asyncio.Event()
        app = web.Application()
        app.router.add_post("/", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        here.call_soon_threadsafe(ready.set_result, (asyncio.get_running_loop(), stop, port))
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="planted-server")
    thread.start()
    there, stop, port = await ready
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        there.call_soon_threadsafe(stop.set)
        await asyncio.to_thread(thread.join)


async def _post(session: aiohttp.ClientSession, url: str, keys: list[str]) -> bytes:
    async with session.post(url, json=keys) as response:
        assert response.status == 200
        return await response.read()
