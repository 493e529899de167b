"""What being watched costs the bot: on against off in one run, and what a scrape costs.

One snipe is what the hot path does for it: seven stamps from the frame to the send, and the events it hands to the hook
(seen, judged, decided). "Off" is the same with the hook nobody listens to; the stamps are there either way, since the
run's own report is made of them. The difference is what `observe` costs on the hot path; everything else it does later,
on the drain.

    python benchmarks/bench_instrumentation.py
"""

import gc
import sys
from collections.abc import Callable
from functools import partial

from environment import print_environment
from slotzero.clock import SystemClock, elapsed_ns, mono_ns
from slotzero.hook import Hook, PoolJudged, PoolSeen, SnipeDecided, StageTimed, ignore
from slotzero.observe.bot import BotFeed, Ring
from slotzero.observe.lab import LabFeed
from slotzero.observe.metrics import Registry
from slotzero.perf.types import Component
from slotzero.trace import Stamp, Trace
from slotzero.units import DurationNs
from slotzero.workloads.targets import TARGETS

STAMPS = (Stamp.FRAME, Stamp.POOL, Stamp.FILTERED, Stamp.PLANNED, Stamp.SIGNED, Stamp.GATED, Stamp.SENT)
BATCH = 2_000
ROUNDS = 60


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
