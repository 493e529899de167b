"""Registries filled as a long run fills them, and results as the lab makes them: what the observing tests share."""

from random import Random
from typing import Literal

import msgspec

from slotzero.clock import TestClock
from slotzero.detection.records import DetectorStats, DropReason
from slotzero.engine import EngineReport
from slotzero.hook import PoolJudged, PoolSeen, PositionEnded, SnipeDecided, StageTimed
from slotzero.observe.bot import BotFeed, BotState
from slotzero.observe.lab import LabFeed
from slotzero.observe.metrics import Registry
from slotzero.perf.histogram import Histogram
from slotzero.perf.load_types import GeneratorHealth, LoadProgress, LoadResult
from slotzero.perf.stats import nearest_rank
from slotzero.perf.types import (
    BenchmarkFinished,
    BenchmarkResult,
    CpuPercent,
    GcStats,
    Interval,
    LatencyStats,
    MemoryMB,
    ResourceStats,
    SampleCount,
    SamplerCost,
    SuccessRate,
    ThroughputOps,
    ThroughputStats,
)
from slotzero.solana.endpoints import EndpointStats
from slotzero.solana.reads import ReadStats
from slotzero.trace import Component, Stamp, Trace
from slotzero.trading.admission import AdmissionStats
from slotzero.trading.limits import Limits, LimitsRules
from slotzero.trading.loop_watch import LoopDelay
from slotzero.units import NS_PER_MS, DurationNs, Lamports, LamportsDelta, LatencyMs, Slot, WallNs
from slotzero.workloads.targets import TARGETS
from trading_lab import SIGNER

__all__ = [
    "TARGETS",
    "benchmark",
    "busy_bot",
    "busy_bot_again",
    "busy_lab",
    "engine_report",
    "finished",
    "load",
    "progress",
    "resources",
    "snipe_trace",
]


def resources(*, rss_mb: float = 120.0, cpu_percent: float = 42.0) -> ResourceStats:
    return ResourceStats(
        peak_rss_mb=MemoryMB(rss_mb),
        rss_growth_mb=0.0,
        pss_mb=None,
        python_heap_mb=None,
        heap_blocks_growth=0,
        avg_cpu_percent=CpuPercent(cpu_percent / 2),
        peak_cpu_percent=CpuPercent(cpu_percent),
        cpu_user_s=1.0,
        cpu_system_s=0.1,
        switches_voluntary=1,
        switches_involuntary=1,
        peak_fds=10,
        peak_threads=3,
        gc=GcStats(pauses=0, total_ms=LatencyMs(0), max_ms=LatencyMs(0), by_generation=(0, 0, 0), samples_hit=0),
        loop_delay=None,
        children=None,
        machine=None,
        sampler=SamplerCost(interval_ms=100, ticks=1, cpu_us=1.0, wall_us=1.0, cpu_percent=CpuPercent(0)),
        source="proc",
    )


def benchmark(
    component: str,
    durations_ms: list[float],
    *,
    errors: dict[str, int] | None = None,
    rss_mb: float = 120.0,
    cpu_percent: float = 42.0,
) -> BenchmarkResult:
    """A result with these durations, as the service would report them."""
    histogram = Histogram()
    histogram.fold(int(value * NS_PER_MS) for value in durations_ms)
    ordered = sorted(durations_ms)
    failed = sum((errors or {}).values())
    at = {q: LatencyMs(nearest_rank(ordered, q)) for q in (50, 75, 90, 95, 99, 99.9)}
    return BenchmarkResult(
        component=component,
        name=component,
        samples=SampleCount(len(ordered) + failed),
        warmup=SampleCount(10),
        latency_ms=LatencyStats(
            count=SampleCount(len(ordered)),
            min=LatencyMs(ordered[0]),
            max=LatencyMs(ordered[-1]),
            mean=LatencyMs(sum(ordered) / len(ordered)),
            median=at[50],
            p75=at[75],
            p90=at[90],
            p95=at[95],
            p99=at[99],
            p999=at[99.9],
            std_dev=None,
            intervals={"p95": Interval(low=at[95] * 0.9, high=at[95] * 1.1)},
        ),
        throughput=ThroughputStats(
            total_ops=SampleCount(len(ordered)),
            ops_per_s=ThroughputOps(len(ordered) / 10),
            success_rate_percent=SuccessRate(100 * len(ordered) / (len(ordered) + failed)),
            success_interval=Interval(low=0.0, high=100.0),
        ),
        histogram=histogram.to_text(),
        errors=errors or {},
        resources=resources(rss_mb=rss_mb, cpu_percent=cpu_percent),
    )


def finished(result: BenchmarkResult) -> BenchmarkFinished:
    return BenchmarkFinished(name=result.name, component=result.component, labels={}, outcome=result, wall_s=10.0)


def progress(*, in_flight: int, ops: int, errors: int) -> LoadProgress:
    return LoadProgress(
        elapsed_s=5.0,
        duration_s=60.0,
        ops_per_s=ops / 5,
        p95_ms=None,
        errors=0,
        in_flight=in_flight,
        total_ops=ops,
        total_errors=errors,
        missed_starts=0,
    )


def load(durations_ms: list[float], errors: dict[str, int], *, scenario: str = "HEAVY") -> LoadResult:
    """A load result with these durations of successes, as the service would report them."""
    histogram = Histogram()
    histogram.fold(int(value * NS_PER_MS) for value in durations_ms)
    failed = sum(errors.values())
    return LoadResult(
        scenario=scenario,
        model="closed",
        concurrency=100,
        duration_s=60.0,
        drain_s=0.5,
        total_ops=len(durations_ms) + failed,
        success_rate_percent=100 * len(durations_ms) / (len(durations_ms) + failed),
        success_interval=None,
        latency_ms=None,
        service_ms=None,
        response_ms=None,
        error_ms=None,
        achieved_ops_per_s=len(durations_ms) / 60,
        offered_ops_per_s=len(durations_ms) / 60,
        errors=errors,
        error_details=(),
        interrupted=0,
        peak_in_flight=100,
        missed_starts=0,
        needed_in_flight=None,
        resources={},
        thresholds=(),
        generator=GeneratorHealth(verdict="ok", reasons=(), lateness_ms=None, cpu_percent=10.0),
        passed=True,
        timeline=(),
        histogram=histogram.to_text(),
    )


def busy_lab(registry: Registry, *, seed: int = 7) -> LabFeed:
    """A lab that has measured all thirteen components and a load test."""
    rng = Random(seed)  # noqa: S311 a test is repeated
    feed = LabFeed(registry, targets=TARGETS, clock=TestClock())
    for component, target in TARGETS.items():
        durations = [rng.lognormvariate(0, 0.5) * target.p95_ms / 5 for _ in range(200)]
        feed.on_benchmark(finished(benchmark(component.value, durations, errors={"TimeoutError": 1})))
    feed.on_load_progress("HEAVY", progress(in_flight=100, ops=300, errors=2))
    feed.on_load(load([rng.lognormvariate(0, 0.5) * 700 for _ in range(500)], {"timeout": 3, "rate_limit": 1}))
    return feed


def snipe_trace(*, start: int = 10**9, own_us: int = 50, waited_ms: int = 220, exits: bool = False) -> Trace:
    """The stamps of a snipe whose own stages take `own_us` each and whose waits take `waited_ms`."""
    trace, now = Trace(), start
    for stamp in Stamp:
        if stamp is Stamp.VERDICT or (not exits and stamp > Stamp.CONFIRMED):
            continue
        is_wait = stamp in {Stamp.GATED, Stamp.CONFIRMED, Stamp.TRIGGERED, Stamp.EXIT_CONFIRMED}
        now += waited_ms * NS_PER_MS if is_wait else own_us * 1_000
        trace.mark(stamp, now)
    return trace


def reads(times: int) -> ReadStats:
    return ReadStats(
        asked=10 * times, cached=7 * times, merged=1, sent=2, calls=1, streamed=30 * times, unwatched=0, purposes={}
    )


def engine_report(**changes: object) -> EngineReport:
    """What an engine says after a while of trading."""
    endpoint = EndpointStats(
        name="main",
        state="closed",
        transitions=(),
        score_ns=DurationNs(1),
        latency_ns=DurationNs(2_500_000),
        lag_slots=1,
        slot=Slot(5),
        calls={"getSlot": 3},
        purposes={"warm": 3},
        failures={"transport": 1},
    )
    values: dict[str, object] = {
        "detected": 10,
        "rejected": {"mayhem": 4},
        "refusals": (),
        "bought": 5,
        "closed": 3,
        "failed": {"expired": 1},
        "recovered": 0,
        "in_flight": 2,
        "positions": (),
        "values": {"b1": Lamports(40_000_000)},
        "spans": (),
        "exits": {},
        "troubles": {},
        "timings": {},
        "alerts": (),
        "admission": AdmissionStats(in_flight=2, waiting=1, waited=1, dropped=0, most_in_flight=3),
        "limits": Limits(LimitsRules(), overhead_lamports=Lamports(0)).view(WallNs(0)),
        "loop_delay": LoopDelay(probes=9, p50_ms=0.1, p99_ms=0.5, max_ms=0.7, over_5_ms=0),
        "reads": reads(1),
        "seen_first": {"websocket": 3},
        "wallets": (),
        "differences": (),
        "privacy_delays": (),
        "detector": DetectorStats(
            frames=1_000, prefiltered=20, pools=10, dropped={DropReason.MALFORMED_EVENT: 2, DropReason.DUPLICATE: 5}
        ),
        "rpc_calls": {"plan": 0, "safety": 12, "warm": 30},
        "wallet": SIGNER.pubkey,
        "balance": Lamports(9_500_000_000),
        "expected_lamports": 9_500_000_000,
        "double_buys": 0,
        "lost_intents": 0,
        "unknown_open": 0,
        "endpoints": (endpoint,),
    }
    return EngineReport(**{**values, **changes})  # type: ignore[arg-type] # one dictionary of fields


def busy_bot(registry: Registry) -> BotFeed:
    """A bot that has lived through every event, on six endpoints and four feeds."""
    feed = BotFeed(registry, targets=TARGETS, clock=TestClock())
    busy_bot_again(feed)
    return feed


def busy_bot_again(feed: BotFeed, *, times: int = 1) -> None:
    """Live through every event once more; totals that the engine keeps are those of so many `times`."""
    for name in ("logs", "blocks", "geyser-a", "geyser-b"):
        feed.hook(PoolSeen(feed=name, is_first=name == "logs", lag_ns=DurationNs(3_000_000)))
        feed.hook(PoolSeen(feed=name, is_first=name != "logs", lag_ns=DurationNs(0)))
    for decision in ("ALLOW", "DENY", "UNKNOWN"):
        feed.hook(PoolJudged(decision=decision, took_ns=DurationNs(8_000_000)))
    for component in Component:
        feed.hook(StageTimed(component=component, total_ns=DurationNs(400_000), own_ns=DurationNs(40_000)))
    for outcome in ("bought", "failed", "unknown"):
        feed.hook(SnipeDecided(id="m", outcome=outcome, reason="", trace=snipe_trace(), slots_to_land=1))
    for number in range(25):
        feed.hook(SnipeDecided(id="m", outcome="refused", reason=f"reason_{number}", trace=Trace()))
    for reason in ("take_profit", "stop_loss", "max_hold", "rug", "drain", "manual", "trailing", "honeypot"):
        trace = snipe_trace(exits=True)
        feed.hook(PositionEnded(id="m", reason=reason, is_stuck=False, pnl_lamports=LamportsDelta(5), trace=trace))
    feed.drain()
    endpoint = engine_report().endpoints[0]
    endpoints = tuple(
        msgspec.structs.replace(
            endpoint,
            name=f"rpc-{number}",
            calls={"getSlot": 3 * times},
            failures={"transport": times, "behind": 2 * times},
        )
        for number in range(6)
    )
    dropped = {DropReason.MALFORMED_EVENT: 2 * times, DropReason.DUPLICATE: 5 * times}
    feed.show(
        engine_report(
            endpoints=endpoints,
            detector=DetectorStats(frames=1_000 * times, prefiltered=20 * times, pools=10 * times, dropped=dropped),
            rpc_calls={"plan": 0, "safety": 12 * times, "warm": 30 * times},
            reads=reads(times),
        ),
        BotState(
            cache={(c, r): 5 * times for c in ("verdicts", "metadata") for r in _RESULTS},
            drift={"discriminator": times},
        ),
    )


_RESULTS: tuple[Literal["hit", "miss"], ...] = ("hit", "miss")
