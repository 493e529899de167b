"""What `slotzero load` tells a person of a run."""

import asyncio
import io
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

from observe_lab import load
from slotzero.observe import load_session as module
from slotzero.observe.load_session import as_text, load_session
from slotzero.perf.load_document import load_outcomes
from slotzero.perf.load_types import GeneratorHealth, LoadOutcome, ProcessStats
from slotzero.perf.result_file import read_result_file
from slotzero.perf.types import LatencyMs, LatencyStats, SampleCount
from slotzero.workloads.load_run import LoadPlan, plan_load

RESULT = load([700.0] * 9, {"timeout": 1})


def health_of(health: GeneratorHealth) -> list[str]:
    text = as_text(replace(RESULT, generator=health))
    return [line.strip() for line in text.splitlines() if line.startswith("  health")]


def lateness(p50: float, p99: float) -> LatencyStats:
    low, high = LatencyMs(p50), LatencyMs(p99)
    return LatencyStats(
        count=SampleCount(10),
        min=low,
        max=high,
        mean=low,
        median=low,
        p75=low,
        p90=low,
        p95=high,
        p99=high,
        p999=high,
        std_dev=None,
    )


def test_health_of_the_generator_is_told_in_two_lines() -> None:
    health = GeneratorHealth(
        verdict="ok",
        reasons=(),
        lateness_ms=lateness(0.25, 3.5),
        cpu_percent=12,
        loop_delay_p50_ms=0.111,
        loop_delay_p99_ms=2.222,
        gc_pauses=4,
        gc_max_ms=1.5,
        gc_total_ms=2.75,
        planned=100,
        started=90,
        dropped=5,
        late=3,
        unstarted=2,
        peak_fds=33,
        steal_percent=0.44,
    )
    assert health_of(health) == [
        "health ms    lateness p50 0.25  p99 3.50  loop delay p50 0.11  p99 2.22  GC longest 1.50  sum 2.75",
        "health       planned 100  begun 90  dropped 5  late 3  unstarted 2  GC pauses 4  files 33  steal 0.4 %",
    ]


def test_health_without_lateness_and_counters_has_the_same_two_lines() -> None:
    assert health_of(GeneratorHealth(verdict="ok", reasons=(), lateness_ms=None, cpu_percent=12)) == [
        "health ms    lateness p50 -  p99 -  loop delay p50 -  p99 -  GC longest 0.00  sum 0.00",
        "health       planned -  begun 0  dropped 0  late 0  unstarted 0  GC pauses 0  files -  steal - %",
    ]


def test_each_process_has_its_files() -> None:
    used = ProcessStats(
        pid=1, avg_cpu_percent=10, peak_cpu_percent=20, peak_rss_mb=30, rss_growth_mb=1, peak_fds=44, ended_at_s=None
    )
    text = as_text(replace(RESULT, resources={"bot": used, "chain": replace(used, peak_fds=None)}))
    assert "  bot          CPU 10.0 %, RSS 30.0 MB, files 44\n" in text
    assert "  chain        CPU 10.0 %, RSS 30.0 MB, files -" in text


def test_block_without_figures_says_so() -> None:
    assert "  refusals: none" in as_text(replace(RESULT, extra={"refusals": {}}))


def test_interrupted_run_does_not_read_as_a_pass() -> None:
    assert as_text(RESULT).startswith("HEAVY: passed, generator ok\n")
    interrupted = as_text(replace(RESULT, stopped="interrupted"))
    assert interrupted.startswith("HEAVY: INTERRUPTED, generator ok\n")
    assert "passed" not in interrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_after_the_load_itself_makes_the_result_an_interrupted_one(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run_load(_plan: LoadPlan, *, stop: asyncio.Event, **_: object) -> LoadOutcome:
        signal.raise_signal(number)  # as in a climb past the capacity, which follows the load
        await stop.wait()
        return RESULT

    before = signal.getsignal(number)
    monkeypatch.setattr(module, "run_load", run_load)
    nothing = {"concurrency": None, "duration": None, "ramp_up": None, "rate": None}
    plan = plan_load("mine", target="a:b", cluster_address=None, **nothing, thresholds=[])
    stdout = io.StringIO()
    outcome = load_session(plan, json=tmp_path / "out.json", stdout=stdout)
    [written] = load_outcomes(read_result_file(tmp_path / "out.json"), "out.json")
    assert outcome == written == replace(RESULT, stopped="interrupted", passed=False)
    assert stdout.getvalue().startswith("HEAVY: INTERRUPTED, ")
    assert signal.getsignal(number) is before
