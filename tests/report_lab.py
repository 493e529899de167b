"""Result files for the report: one of a real run, and one with everything that can be in a result."""

import asyncio
import random
from pathlib import Path

from msgspec.structs import replace

from evidence_lab import result
from slotzero.perf.benchmark import BenchmarkService
from slotzero.perf.compare.document import CompareDocument, Version
from slotzero.perf.environment import NoiseCertificate, passport
from slotzero.perf.load import LoadTestService
from slotzero.perf.load_document import load_document
from slotzero.perf.load_types import LoadFailure, LoadResult, LoadTestConfig, NotAsync
from slotzero.perf.result_file import ResultDocument, benchmark_document, write_result_file
from slotzero.perf.thresholds import parse_threshold
from slotzero.perf.types import (
    BenchmarkFailure,
    BenchmarkOptions,
    BenchmarkResult,
    Comparison,
    Interval,
    NoSuccess,
    Severity,
    StageStats,
    Suggestion,
    Target,
    Verdict,
    as_latency_ms,
)

__all__ = ["EXTRA", "HOSTILE", "full_document", "judged_document", "load_run", "measured_document", "write"]

EXTRA: dict[str, dict[str, float | None]] = {
    "bot": {
        **{
            f"{stage}_{point}_ms": 123.456
            for stage in ("detection", "full_flow", "a_stage_with_a_long_name")
            for point in ("p50", "p95", "p99")
        },
        "bought": 1_234,
        "loop_delay_p99_ms": 3.21,
        "reads_without_rpc_percent": 97.531,
    },
    "failures": {},
    "faults": {"http429": 12, "cutConnections": 2, "seen_rate_limited": 12},
    "bundles": {"accepted": 0, "landed_percent": None},
    "drift": {"p99_change_percent": -3.21, "skipped_s": 60.0, "bot_rss_mb_per_h_high": 4.2},
    "machine": {"rss_mb": 300.3, "chain_cpu_ms_per_op": 0.0},
    "step 1": {"users": 200, "ops_per_s": 181.2, "success_percent": 99.9, "p95_ms": 1_533.2, "errors": 1, "ok": 1},
    "step 2": {"users": 300, "ops_per_s": 90.1, "success_percent": 0, "p95_ms": None, "errors": 9, "chain_limited": 1},
    "bounded step 1": {"users": 40, "ops_per_s": 30.5, "success_percent": 100, "p95_ms": 900, "errors": 0, "ok": 1},
}
HOSTILE = '<script>alert("x")</script>&amp;\x00'


async def measured_document(samples: int = 200) -> ResultDocument:
    """Measure something small for real."""

    async def fn() -> None:
        await asyncio.sleep(0.001)

    options = BenchmarkOptions(
        name="short sleep",
        samples=samples,
        resource_sample_interval_ms=20,
        target=Target(p95_ms=as_latency_ms(100), aim_p95_ms=as_latency_ms(1)),
    )
    outcome = await BenchmarkService().run(fn, options)
    return benchmark_document([outcome], passport(libraries=("msgspec",)), title=f"{samples} samples of a short sleep")


def _noise() -> NoiseCertificate:
    return NoiseCertificate(
        reference="reference/1",
        reference_before_us=50.0,
        reference_after_us=60.0,
        reference_drift_percent=20.0,
        reference_spread_percent=18.0,
        clock_floor_ns=60,
        load_1m=2.0,
        cpu_pressure_percent=30.0,
        steal_percent=0.0,
        quiet=False,
        reasons=("some task waited for a core in 30 % of the time",),
        aa_floor_percent=1.5,
    )


def full_document(seed: int = 1, *, slower: float = 1.0) -> ResultDocument:
    """Return a document with met and missed targets, errors, notes, stages, suggestions, a failure, hostile names."""
    chance = random.Random(seed)  # noqa: S311 no secret
    durations = [slower * chance.lognormvariate(3, 0.5) for _ in range(600)]
    flow = result(durations, name="FULL_FLOW", target_ms=500, errors={"RateLimitedError": 40, "timeout": 20})
    stages = tuple(
        StageStats(
            name=name,
            is_own=is_own,
            count=600,
            start_ms=as_latency_ms(start),
            p50_ms=as_latency_ms(took),
            p95_ms=as_latency_ms(2 * took),
            critical_percent=share,
        )
        for name, is_own, start, took, share in (
            ("detection", True, 0, 0.2, 1),
            ("honeypot", False, 0.2, 6, 28),
            ("confirmation", False, 7, 13, 71),
        )
    )
    suggestion = Suggestion(
        rule="slow-stage",
        severity=Severity.HIGH,
        title="The stage 'honeypot' takes 12.0 ms at p95, 1.2 times its target",
        advice="It is waited for: shorten the wait, or start it earlier. See `slotzero check`.",
        evidence={"stage_p95_ms": 12.0, "stage_target_ms": 10.0},
        subject="honeypot",
        p95_ms=as_latency_ms(46),
        impact_p95_ms=as_latency_ms(40),
        assumes="the stage takes its target where it took more, and nothing else changes",
    )
    leak = Suggestion(
        rule="leak",
        severity=Severity.CRITICAL,
        title="Memory grows by 2,000 MB in an hour at this rate of calls",
        advice="Give the container that holds them a bound.",
        evidence={"mb_per_h": 2000.0},
        impact_mb_per_h=2000.0,
        assumes="calls go on at the rate of the measurement",
    )
    flow = replace(
        flow,
        noise=_noise(),
        stages=stages,
        suggestions=(leak, suggestion),
        own_ms=flow.latency_ms,
        waited_ms=flow.latency_ms,
        warmup_ns=tuple(int(value * 1e6) for value in durations[:50]),
        event_loop="uvloop 0.23.0",
        notes=(f"a note with {HOSTILE}",),
    )
    missed = result([700 + n % 7 for n in range(50)], name="EXIT", target_ms=500)
    folded = replace(result([0.001 + n * 1e-6 for n in range(500)], name="FILTERS", target_ms=1), samples_ns=None)
    hostile = replace(result([1.0] * 30, name=HOSTILE), error_examples={"E": HOSTILE}, errors={"E": 1})
    failed = BenchmarkFailure(
        component=None, name="METADATA", error=NoSuccess(errors={"TransportError": 10}, message=HOSTILE)
    )
    environment = passport(event_loop="uvloop 0.23.0", libraries=("msgspec",), extra={"cluster": "localnet"})
    results: list[BenchmarkResult | BenchmarkFailure] = [flow, missed, folded, hostile, failed]
    return benchmark_document(results, environment, title="2,000 samples on the embedded chain", stopped=True)


def write(folder: Path, name: str, document: ResultDocument) -> Path:
    path = folder / f"{name}.json"
    write_result_file(path, document)
    return path


async def load_run() -> ResultDocument:
    """Put load on something small for real: some of it fails, and one threshold is missed."""
    calls = 0

    async def fn() -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.002)
        if calls % 10 == 0:
            raise ConnectionResetError(HOSTILE)

    config = LoadTestConfig(
        scenario="SMALL",
        target_ops=100,
        duration=1.2,
        window_s=0.2,
        thresholds=(parse_threshold("error_percent<=1"), parse_threshold("p95_ms<=10000")),
    )
    outcome = await LoadTestService().run(fn, config)
    assert isinstance(outcome, LoadResult)
    outcome = replace(outcome, extra=EXTRA)
    failed = LoadFailure(scenario="NONE", error=NotAsync(returned="int"))
    return load_document([outcome, failed], passport(), title="load on something small")


def judged_document() -> CompareDocument:
    """Return what a paired comparison says, with every verdict."""
    lines = tuple(
        Comparison(
            name=f"COMPONENT_{place}",
            component=None,
            metric="p95",
            verdict=verdict,
            effect_percent=10.0 * place - 15,
            interval=Interval(10.0 * place - 18, 10.0 * place - 12),
            floor_percent=2.0,
            p_value=0.01,
            launches=6,
            launches_needed=9 if verdict is Verdict.INCONCLUSIVE else None,
            detectable_percent=4.0,
            confirmed=True if verdict is Verdict.REGRESSED else None,
        )
        for place, verdict in enumerate(Verdict)
    )
    return CompareDocument(
        kind="paired",
        base=Version(name="HEAD~1", commit="1" * 40, environment="its own"),
        new=Version(name="HEAD", commit="2" * 40, environment="its own"),
        verdict=Verdict.REGRESSED,
        suite_effect_percent=3.2,
        comparisons=lines,
        missing={"METADATA": f"not in BASE: {HOSTILE}"},
        launches=6,
        base_ns={"COMPONENT_0": {"p95": 1e6}},
        new_ns={"COMPONENT_0": {"p95": 2e6}},
        notes=("a note",),
    )
