"""What the page costs: its own process with 0, 1 and 50 viewers, and the bot's event loop with the page and without.

python benchmarks/bench_page.py [--rounds 4] [--seconds 8]

A real bot trades on an embedded chain in this process, with a probe on its loop that asks to be called each
millisecond. In turns the page's server watches it with 50 viewers on the stream, and nobody watches at all. The
server and the viewers are processes of their own, so what the loop's delay moves by is the telling alone, and what
three more processes on the machine's cores take from it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from array import array
from pathlib import Path

import msgspec
import psutil
import uvloop

from environment import print_environment
from slotzero.clock import SystemClock, as_ms, elapsed_ns, later
from slotzero.config import load
from slotzero.engine import Engine, EngineReport
from slotzero.observe.telling import TellRequest, told
from slotzero.perf.stats import nearest_rank
from slotzero.workloads.localnet_run import snipe_on_localnet

_PROBE_NS = 1_000_000
_SETTLE_S = 2.5
_VIEWERS = 50


class Probe:
    """Delays of a call that is due each millisecond."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.delays = array("q")

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            due = later(self._clock.mono_ns(), _PROBE_NS)
            await self._clock.sleep_until(due)
            self.delays.append(elapsed_ns(due, self._clock.mono_ns()))

    def take(self) -> list[int]:
        """Return the delays so far, and begin anew."""
        taken, self.delays = list(self.delays), array("q")
        return taken


async def view(url: str, number: int) -> None:
    """Be `number` viewers until stdin closes."""
    host, _, port = url.removeprefix("http://").partition(":")
    received = 0

    async def one() -> None:
        nonlocal received
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /api/v1/performance/stream HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        with contextlib.suppress(asyncio.CancelledError):
            while chunk := await reader.read(65_536):
                received += len(chunk)
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        viewers = [tasks.create_task(one()) for _ in range(number)]
        await asyncio.to_thread(sys.stdin.read)
        for viewer in viewers:
            viewer.cancel()
    print(received)


class Page:
    """The page's server and its viewers, as processes."""

    def __init__(self) -> None:
        self._viewers: list[subprocess.Popen[bytes]] = []
        self._server: subprocess.Popen[bytes] | None = None
        self.url = ""

    async def start(self) -> None:
        """Start the server."""
        command = (sys.executable, "-m", "slotzero", "serve", "--port", "0", "--bot", str(os.getpid()))
        self._server = subprocess.Popen(  # noqa: ASYNC220, S603 the loop is probed only once it has settled
            [*command, "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._server.stdout is not None
        self.url = json.loads(await asyncio.to_thread(self._server.stdout.readline))["url"]

    def watch(self, number: int) -> None:
        """Start viewers."""
        self._viewers.append(
            subprocess.Popen(  # noqa: S603 ourselves
                [sys.executable, __file__, "--view", self.url, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
        )

    async def cpu_percent(self, seconds: float) -> tuple[float, float]:
        """Return the server's CPU over some seconds, and its memory in MB."""
        assert self._server is not None
        process = psutil.Process(self._server.pid)
        before = process.cpu_times()
        await asyncio.sleep(seconds)
        after = process.cpu_times()
        used = after.user + after.system - before.user - before.system
        return 100 * used / seconds, process.memory_info().rss / 1e6

    async def stop(self) -> None:
        """End all of them."""
        for process in (*self._viewers, self._server):
            if process is not None and process.stdin is not None:
                process.stdin.close()
                await asyncio.to_thread(process.wait)
                if process.stdout is not None:
                    process.stdout.close()
        self._viewers.clear()


def figures(delays: list[int]) -> str:
    """Return a line of figures."""
    ordered = sorted(delays)
    cells = [f"{name} {as_ms(int(nearest_rank(ordered, percent))):7.3f}" for name, percent in
             (("p50", 50.0), ("p95", 95.0), ("p99", 99.0))]  # fmt: skip
    return f"{'  '.join(cells)}  max {as_ms(ordered[-1]):7.2f} ms  ({len(ordered):,} probes)"


async def measure(rounds: int, seconds: float) -> None:
    """Measure, and print."""
    settings = load(None)
    localnet = msgspec.structs.replace(settings.localnet, launches_per_s=5.0)
    settings = msgspec.structs.replace(settings, localnet=localnet)
    engines: list[Engine] = []

    def report(*, with_exits: bool) -> EngineReport | None:
        return engines[0].report(with_exits=with_exits) if engines and engines[0].has_started else None

    probe, with_page, without = Probe(), list[int](), list[int]()
    shifts, page = [], Page()
    telling = told(TellRequest(), cluster="localnet", slot_ms=localnet.slot_ms, report=report)
    async with telling as hook, asyncio.TaskGroup() as tasks:
        tasks.create_task(snipe_on_localnet(settings, on_engine=engines.append, hook=hook), name="bot")
        while report(with_exits=False) is None:  # noqa: ASYNC110 the engine tells nobody when it has started
            await asyncio.sleep(0.1)
        await asyncio.sleep(_SETTLE_S)
        probing = tasks.create_task(probe.run(), name="probe")
        await page.start()
        for number in (0, 1, _VIEWERS):
            if number:
                page.watch(number)
            await asyncio.sleep(_SETTLE_S)
            cpu, memory = await page.cpu_percent(seconds)
            seen = f"{number} more viewers" if number else "no viewer"
            print(f"page's process, {seen:>16}: {cpu:5.2f} % of a core, {memory:.0f} MB")
        await page.stop()
        for _ in range(rounds):
            await asyncio.sleep(_SETTLE_S)
            probe.take()
            await asyncio.sleep(seconds)
            quiet = probe.take()
            await page.start()
            page.watch(_VIEWERS)
            await asyncio.sleep(_SETTLE_S)
            probe.take()
            await asyncio.sleep(seconds)
            watched = probe.take()
            await page.stop()
            without += quiet
            with_page += watched
            shifts.append(as_ms(int(nearest_rank(sorted(watched), 99) - nearest_rank(sorted(quiet), 99))))
        probing.cancel()
        engines[0].stop()
    print(f"the bot's loop without the page: {figures(without)}")
    print(f"with the page and {_VIEWERS} viewers:    {figures(with_page)}")
    print(f"p99 moved by, in each round: {', '.join(f'{shift:+.3f}' for shift in shifts)} ms; "
          f"median {sorted(shifts)[len(shifts) // 2]:+.3f} ms")  # fmt: skip


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--view", nargs=2, metavar=("URL", "N"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.view:
        asyncio.run(view(arguments.view[0], int(arguments.view[1])))
        return
    print_environment("the page: its own process, and what the bot's loop feels of it")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = str(Path(folder))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(arguments.rounds, arguments.seconds))


if __name__ == "__main__":
    main()
