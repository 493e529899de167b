"""The verdict: rules and their bounds, as the reader of a result relies on them."""

import os
import subprocess
import sys

import pytest

from slotzero.perf.generator import Evidence, ProcessWatch, judge
from slotzero.perf.histogram import Histogram

MS = 1_000_000


def held(*values_ms: float) -> Histogram:
    made = Histogram()
    made.fold([round(value * MS) for value in values_ms])
    return made


def open_run(late_ms: float, response_ms: float = 10.0, **changes: object) -> Evidence:
    known: dict[str, object] = {
        "model": "open",
        "cpu_percent": 50.0,
        "lateness": held(late_ms),
        "dispatch": held(late_ms),
        "response": held(response_ms),
        "planned": 1_000,
        "started": 1_000,
        "most_in_flight": 100,
        **changes,
    }
    return Evidence(**known)  # type: ignore[arg-type]  # handed on


def closed_run(**changes: object) -> Evidence:
    known: dict[str, object] = {"model": "closed", "cpu_percent": 50.0, **changes}
    return Evidence(**known)  # type: ignore[arg-type]  # handed on


@pytest.mark.parametrize(
    ("evidence", "verdict", "words"),
    [
        (open_run(4.9), "ok", ""),
        (open_run(5.1), "generator_limited", "began 5.1 ms after"),
        (open_run(19.9, response_ms=1_000.0), "ok", ""),
        (open_run(20.5, response_ms=1_000.0), "generator_limited", "limit 20.0 ms"),
        (open_run(1.0, started=990), "ok", ""),
        (open_run(1.0, started=989), "generator_limited", "989 of 1000 planned"),
        (open_run(1.0, started=900, peak_in_flight=100), "generator_limited", "all 100 places in flight"),
        (open_run(1.0, cpu_percent=90.0), "ok", ""),
        (open_run(1.0, cpu_percent=90.5), "generator_limited", "used 90"),
        (open_run(1.0, loop_delay_p99_ms=500.0), "ok", ""),
        (closed_run(loop_delay_p99_ms=10.0), "ok", ""),
        (closed_run(loop_delay_p99_ms=10.1), "generator_limited", "wait 10.1 ms"),
        (closed_run(cpu_percent=91.0), "generator_limited", "used 91 %"),
        (closed_run(chain_cpu_percent=90.0, chain_queue_p99_ms=10.0), "ok", ""),
        (closed_run(chain_cpu_percent=95.0), "chain_limited", "the chain used 95 %"),
        (closed_run(chain_queue_p99_ms=11.0), "chain_limited", "waited 11.0 ms"),
        (open_run(50.0, chain_cpu_percent=95.0), "generator_limited", "the chain used 95 %"),
        (open_run(50.0, lost=("shard 1 was lost",)), "degraded", "shard 1 was lost"),
        (open_run(50.0, gc_max_ms=40.0), "generator_limited", "garbage collector held everything up for 40.0 ms"),
    ],
)
def test_verdict_follows_its_rules(evidence: Evidence, verdict: str, words: str) -> None:
    found, reasons = judge(evidence)
    assert found == verdict
    assert words in " ".join(reasons)
    assert bool(reasons) == (verdict != "ok")


def test_process_watch_sees_cpu_memory_and_the_end() -> None:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    watch = ProcessWatch(process.pid)
    for _ in range(50):
        assert watch.look(1.0)
        if watch.stats().avg_cpu_percent > 0:
            break
        os.sched_yield()
        sum(range(200_000))
    process.kill()
    process.wait()
    assert not watch.look(2.5)
    assert not watch.look(3.5)
    stats = watch.stats()
    assert (stats.pid, stats.ended_at_s) == (process.pid, 2.5)
    assert stats.avg_cpu_percent > 0
    assert stats.peak_rss_mb > 1


def test_unreaped_child_counts_as_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    watch = ProcessWatch(process.pid)
    assert process.stdout is not None
    process.stdout.read()  # to its end: it has exited, and nobody has waited for it
    for _ in range(1_000):
        if not watch.look(1.0):
            break
        sum(range(20_000))
    assert watch.ended_at_s == 1.0
    process.wait()
    process.stdout.close()
