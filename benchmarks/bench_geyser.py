"""What a creation's news costs on each feed: one way from the VM to the handler, and to the pool. About 25 s.

One chain process launches coins with rivals; one client process, this one, listens to it through logsSubscribe and
through the Geyser stream at the same time, under uvloop. Instants are of one machine's monotonic clock: the chain
stamps each notification when the VM has executed its cause. Both feeds are told in one call of the chain, the log feed
first; the windows in which each has the chain to itself show what is its own.
"""

import asyncio
import sys
from typing import TYPE_CHECKING

import aiohttp
import uvloop
from msgspec import Struct

from environment import print_environment, print_row
from slotzero.clock import SystemClock, elapsed_ns, mono_ns
from slotzero.detection import Detector
from slotzero.detection.frames import read_notification
from slotzero.detection.updates import read_update
from slotzero.localnet.endpoints import LocalnetEndpoints
from slotzero.localnet.process import running_localnet
from slotzero.secret import Secret
from slotzero.solana.geyser import GeyserEndpoint, GeyserFeed
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.solana.pubsub import PubSub
from slotzero.units import MonoNs
from slotzero.venues.pumpfun import PUMP_PROGRAM
from slotzero.venues.registry import PUMPFUN

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

WINDOW_S = 5
NS_PER_S = 1_000_000_000
LAUNCHES_PER_S = "40"
ARGUMENTS = ("--geyser-port", "0", "--launches-per-s", LAUNCHES_PER_S, "--rivals-per-coin", "3")


class Rows(Struct, kw_only=True):
    """What one feed brought: samples in nanoseconds."""

    one_way: list[int]
    to_pool: list[int]
    own: list[int]
    sizes: list[int]


def rows() -> Rows:
    """Return an empty record."""
    return Rows(one_way=[], to_pool=[], own=[], sizes=[])


class Logs:
    """The log feed and its detector."""

    def __init__(self, url: str) -> None:
        self.rows = rows()
        self._detector = Detector([PUMPFUN])
        self._pubsub = PubSub(url, clock=SystemClock())
        self._pubsub.subscribe(
            "logsSubscribe", [{"mentions": [str(PUMP_PROGRAM)]}, {"commitment": "processed"}], self._on_frame
        )
        self.run: Callable[[], Coroutine[object, object, None]] = self._pubsub.run

    def _on_frame(self, frame: bytes, now: MonoNs) -> None:
        start = mono_ns()
        pools = self._detector.on_frame(frame, now)
        end = mono_ns()
        for pool in pools:
            assert pool.mono_cause is not None
            self.rows.to_pool.append(elapsed_ns(pool.mono_cause, end))
            self.rows.own.append(elapsed_ns(start, end))
        cause = read_notification(frame).mono_cause
        assert cause is not None
        self.rows.one_way.append(elapsed_ns(cause, now))
        self.rows.sizes.append(len(frame))


class Stream:
    """The Geyser feed and its detector."""

    def __init__(self, url: str) -> None:
        self.rows = rows()
        self._detector = Detector([PUMPFUN])
        feed = GeyserFeed(
            [GeyserEndpoint(url=Secret(url))],
            accounts=[PUMP_PROGRAM],
            handler=self._on_update,
            clock=SystemClock(),
        )
        self.run: Callable[[], Coroutine[object, object, None]] = feed.run

    def _on_update(self, update: bytes, now: MonoNs) -> None:
        start = mono_ns()
        pools = self._detector.on_update(update, now, read_update)
        end = mono_ns()
        for pool in pools:
            assert pool.mono_cause is not None
            self.rows.to_pool.append(elapsed_ns(pool.mono_cause, end))
            self.rows.own.append(elapsed_ns(start, end))
        self.rows.one_way.append(elapsed_ns(geyser.SubscribeUpdate.FromString(update).mono_ns, now))
        self.rows.sizes.append(len(update))


async def counters(rpc: str) -> tuple[float, int]:
    """Return the chain's CPU seconds and landed transactions."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "slotzero_stats"}
    async with aiohttp.ClientSession() as http, http.post(rpc, json=request) as response:
        stats = (await response.json())["result"]
    return float(stats["process"]["cpuSeconds"]), int(stats["transactions"]["landed"])


async def window(endpoints: LocalnetEndpoints, title: str, feeds: dict[str, Logs | Stream]) -> None:
    """Listen for a while and print what came."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(feed.run()) for feed in feeds.values()]
        await asyncio.sleep(0.5)
        for feed in feeds.values():
            feed.rows.one_way.clear()
            feed.rows.to_pool.clear()
            feed.rows.own.clear()
        cpu, landed = await counters(endpoints.rpc)
        start = mono_ns()
        await asyncio.sleep(WINDOW_S)
        cpu_after, landed_after = await counters(endpoints.rpc)
        seconds = elapsed_ns(start, mono_ns()) / NS_PER_S
        for task in tasks:
            task.cancel()
    count = landed_after - landed
    print(
        f"{title}: {count / seconds:.0f} tx/s, chain {100 * (cpu_after - cpu) / seconds:.0f} % of a core, "
        f"{1e6 * (cpu_after - cpu) / count:.0f} us CPU a transaction"
    )
    for name, feed in feeds.items():
        told = feed.rows
        print_row(f"{name}: executed -> read, {sum(told.sizes) // len(told.sizes)} B each", told.one_way)
        print_row(f"{name}: executed -> NewPool", told.to_pool)
        print_row(f"{name}: frame read -> NewPool (own)", told.own)


async def measure() -> None:
    """Print the windows: nobody, each feed alone, both at once."""
    async with running_localnet(arguments=ARGUMENTS) as endpoints:
        assert endpoints.geyser is not None
        await asyncio.sleep(2)
        await window(endpoints, "no feed", {})
        await window(endpoints, "logsSubscribe alone", {"logs": Logs(endpoints.ws)})
        await window(endpoints, "Geyser alone", {"geyser": Stream(endpoints.geyser)})
        await window(endpoints, "both", {"logs": Logs(endpoints.ws), "geyser": Stream(endpoints.geyser)})


def main() -> None:
    """Print everything."""
    print_environment("One way from the VM to the handler: logsSubscribe beside a Geyser stream, in one run")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure())
    sys.stdout.flush()


if __name__ == "__main__":
    main()
