"""What being watched costs the bot: on against off in one run, and what a scrape costs.

One snipe is what the hot path does for it: seven stamps from the frame to the send, and the events it hands to the hook
(seen, judged, decided). "Off" is the same with the hook nobody listens to; the stamps are there either way, since the
run's own report is made of them. The difference is what `observe` costs on the hot path; everything else it does later,
on the drain.

    python benchmarks/bench_instrumentation.py
"""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import uvloop

from environment import print_environment, print_row
from slotzero.clock import SystemClock, add_ms, elapsed_ns, mono_ns
from slotzero.hook import Hook, PoolJudged, PoolSeen, SnipeDecided, StageTimed, ignore
from slotzero.observe.bot import BotFeed, Ring
from slotzero.observe.exporter import MetricsServer
from slotzero.observe.lab import LabFeed
from slotzero.observe.metrics import Registry
from slotzero.perf.stats import nearest_rank
from slotzero.perf.types import Component
from slotzero.trace import Stamp, Trace
from slotzero.units import DurationNs
from slotzero.workloads.targets import TARGETS

STAMPS = (Stamp.FRAME, Stamp.POOL, Stamp.FILTERED, Stamp.PLANNED, Stamp.SIGNED, Stamp.GATED, Stamp.SENT)
BATCH = 100
ROUNDS = 1_000


def main() -> None:
    """Measure and print."""
    print_environment("instrumentation (least of many short batches, ns for one snipe, garbage collection off)")
    ring = Ring()
    off, on = least({"off": lambda: snipe(ignore), "on": lambda: snipe(ring.put)}, ring)
    nothing, stamps, event = least({"loop": lambda: None, "stamps": stamp, "one event": lambda: ring.put(seen())}, ring)
    print(f"  stamps of a snipe (7, there with or without a hook)   {stamps - nothing:8.0f} ns")
    print(f"  snipe, nobody listens                                 {off - nothing:8.0f} ns")
    print(f"  snipe, watched                                        {on - nothing:8.0f} ns")
    print(f"  cost of being watched                                 {on - off:8.0f} ns  (limit 1000)")
    print(f"  one event, made and put                               {event - nothing:8.0f} ns")
    drained()
    scraped()
    loop_delays()
    sys.stdout.flush()


def seen() -> PoolSeen:
    """Return an event."""
    return PoolSeen(feed="logs", is_first=True, lag_ns=DurationNs(0))


def stamp() -> Trace:
    """Mark what the hot path marks."""
    trace = Trace()
    for place in STAMPS:
        trace.mark(place, mono_ns())
    return trace


def snipe(hook: Hook) -> None:
    """Do for one snipe what the hot path does to be watched."""
    trace = stamp()
    if hook is not ignore:  # an engine without a hook makes no events
        hook(PoolSeen(feed="logs", is_first=True, lag_ns=DurationNs(0)))
        hook(PoolJudged(decision="ALLOW", took_ns=DurationNs(8_000_000)))
        hook(SnipeDecided(id="mint", outcome="bought", reason="", trace=trace, slots_to_land=1))


def least(calls: dict[str, Callable[[], object]], ring: Ring) -> list[float]:
    """Return the least mean of many batches of each call, the calls taking turns."""
    best = dict.fromkeys(calls, float("inf"))
    gc.collect()
    gc.disable()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = mono_ns()
            for _ in range(BATCH):
                call()
            best[name] = min(best[name], elapsed_ns(start, mono_ns()) / BATCH)
            ring.take()
    gc.enable()
    return list(best.values())


def full_bot() -> tuple[Registry, BotFeed]:
    """Return a bot's registry after every component was timed."""
    registry = Registry()
    feed = BotFeed(registry, targets=TARGETS, clock=SystemClock())
    for component in Component:
        feed.hook(StageTimed(component=component, total_ns=DurationNs(400_000), own_ns=DurationNs(40_000)))
    feed.drain()
    return registry, feed


def drained() -> None:
    """Print what the drain takes for the events of a snipe, off the hot path."""
    _, feed = full_bot()
    best = float("inf")
    for _ in range(20):
        for _ in range(500):
            snipe(feed.hook)
        start = mono_ns()
        feed.drain()
        best = min(best, elapsed_ns(start, mono_ns()) / 500)
    print(f"  drain, off the hot path, for one snipe's events       {best:8.0f} ns")


def scraped() -> None:
    """Print what a scrape takes, beside prometheus-client for as many series."""
    bot, _ = full_bot()
    lab = Registry()
    LabFeed(lab, targets=TARGETS, clock=SystemClock()).expect(
        components=[component.value for component in Component], scenarios=["HEAVY"]
    )
    for name, registry in (("bot", bot), ("lab", lab)):
        text, openmetrics = fastest(registry.render), fastest(partial(registry.render, openmetrics=True))
        print(
            f"  scrape of the {name}: {registry.series():4d} series (limit 500)  "
            f"text {text:7.3f} ms, OpenMetrics {openmetrics:7.3f} ms  (limit 0.5)"
        )
    client = clients_registry(lab)
    print(f"  prometheus-client, the lab's histograms alone         {fastest(client):8.3f} ms")


def loop_delays(seconds: int = 4, turns: int = 3) -> None:
    """Print how late a loop of 1 ms ticks is, left alone and while it is scraped four times a second, in turns."""
    registry, _ = full_bot()
    late: dict[str, list[int]] = {"alone": [], "scraped": []}
    with MetricsServer(registry) as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for _ in range(turns):
            late["alone"] += runner.run(ticks(seconds))
            # The scraper is a process of its own, as Prometheus is: only the answering is the bot's work.
            script = (
                "import sys, time, urllib.request\n"
                "while True:\n"
                "    urllib.request.urlopen(sys.argv[1]).read(); time.sleep(0.25)\n"
            )
            with subprocess.Popen([sys.executable, "-c", script, server.url]) as scraper:  # noqa: S603 the lines above
                late["scraped"] += runner.run(ticks(seconds))
                scraper.terminate()
    for name, samples in late.items():
        print_row(f"loop of 1 ms ticks, {name}", samples, unit_ns=1_000_000, unit="ms")
    p99 = {name: nearest_rank(sorted(samples), 99) / 1e6 for name, samples in late.items()}
    print(f"  p99 moved by being scraped                            {p99['scraped'] - p99['alone']:8.3f} ms  (limit 1)")


async def ticks(seconds: int) -> list[int]:
    """Return how late each tick of a millisecond was."""
    clock = SystemClock()
    found: list[int] = []
    for _ in range(seconds * 1_000):
        due = add_ms(clock.mono_ns(), 1)
        await clock.sleep_until(due)
        found.append(elapsed_ns(due, clock.mono_ns()))
    return found


def fastest(call: Callable[[], object], times: int = 100) -> float:
    """Return the least time of a call in milliseconds."""
    best = 10**12
    for _ in range(times):
        start = mono_ns()
        call()
        best = min(best, elapsed_ns(start, mono_ns()))
    return best / 1e6


def clients_registry(lab: Registry) -> Callable[[], object]:
    """Return a scrape by prometheus-client of histograms with the same buckets."""
    from prometheus_client import CollectorRegistry, Histogram, generate_latest  # noqa: PLC0415 only compared with

    registry = CollectorRegistry()
    for family in lab.families():
        if family.kind == "histogram":
            for index, cell in enumerate(family.cells().values()):
                bounds = getattr(cell, "bounds", ())
                Histogram(f"{family.name}_{index}", "As ours.", buckets=bounds, registry=registry).observe(1)
    return lambda: generate_latest(registry)


if __name__ == "__main__":
    main()
