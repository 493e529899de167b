"""What measuring costs: an operation that does nothing, in this lab and in other harnesses, sync and async, in one run.

*Reported* is what a harness says the operation took, so the nearer to the floor the better; *wall* is what one recorded
sample costs altogether. The floor is two readings of the clock with nothing between. The in-process rows take turns,
in random order, so that all meet the same moods of the machine; figures are medians over the turns. pyperf and
pytest-benchmark run as their users run them, in processes of their own. A batch mean has no percentile of single calls
and divides the clock away; it stands here for comparison, not as a contest.

    python benchmarks/bench_lab_overhead.py
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import timeit
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from statistics import median
from typing import Final

import uvloop

from environment import print_environment
from slotzero.clock import elapsed_ns, mono_ns
from slotzero.perf import BenchmarkOptions, BenchmarkResult, BenchmarkService
from slotzero.perf.timing import Tape

TURNS: Final = 7
SAMPLES: Final = 10_000
RECORDS: Final = 200_000
LONG_MS: Final = 3_600_000
SHORT_MS: Final = 100

Row = tuple[float, float]
"""Reported and wall nanoseconds for each sample."""


def noop() -> None:
    """Do nothing."""


async def noop_async() -> None:
    """Do nothing, to be awaited."""


def main() -> None:
    """Measure, print, and check what is claimed."""
    sync_rows = {
        "floor: two readings of the clock": floor,
        "bare loop, sync call": bare_sync,
        "this lab, sync": lab_sync,
        "timeit (batch mean)": batch,
    }
    async_rows: dict[str, Callable[[], Awaitable[Row]]] = {
        "bare loop, await": bare_async,
        "this lab, await": lambda: lab_async(LONG_MS),
        "this lab, await, timeout 0.1 s": lambda: lab_async(SHORT_MS),
        "bare loop, await within asyncio.timeout": with_timeout,
        "bare loop, await within wait_for": with_wait_for,
    }
    found: dict[str, list[Row]] = {}
    order = Random(7)  # noqa: S311 the order of turns
    with asyncio.Runner() as plain, asyncio.Runner(loop_factory=uvloop.new_event_loop) as fast:
        turns: list[tuple[str, Callable[[], Row]]] = list(sync_rows.items())
        for loop, runner in (("asyncio", plain), ("uvloop", fast)):
            turns += [(f"{name} ({loop})", _on(runner, call)) for name, call in async_rows.items()]
        for _ in range(TURNS):
            order.shuffle(turns)
            for name, call in turns:
                found.setdefault(name, []).append(call())
    print_environment(f"an operation that does nothing, ns for each sample (medians of {TURNS} turns of {SAMPLES:,})")
    medians = {name: (median(r for r, _ in rows), median(w for _, w in rows)) for name, rows in found.items()}
    names = [*sync_rows, *(f"{name} ({loop})" for loop in ("asyncio", "uvloop") for name in async_rows)]
    for name in names:
        _print(name, *medians[name])
    for name, reported in (pyperf_rows() | pytest_rows()).items():
        _print(name, reported, None)
    recording = records()
    for name, cost in recording.items():
        print(f"  {name:<58} {cost:8.1f}")
    print("  claims")
    sys.exit(0 if check(medians, recording) else 1)


def check(medians: dict[str, Row], recording: dict[str, float]) -> bool:
    """Print what the lab claims and whether it holds here. Returns whether all of it does."""
    append = recording["array('q').append"]
    claims = {
        "sync no-op within 2x of the bare call": medians["this lab, sync"][0] <= 2 * medians["bare loop, sync call"][0],
        "recording at most 1.5x array('q').append": recording["this lab, up to a million samples"] <= 1.5 * append,
    }
    for loop in ("asyncio", "uvloop"):
        bare, ours = medians[f"bare loop, await ({loop})"][0], medians[f"this lab, await ({loop})"][0]
        short = medians[f"this lab, await, timeout 0.1 s ({loop})"][0]
        claims[f"async no-op within 2x of a bare await ({loop})"] = ours <= 2 * bare
        claims[f"a timeout is not in the timed region ({loop})"] = abs(short - ours) <= 0.1 * ours
    for claim, holds in claims.items():
        print(f"  {'holds' if holds else 'FAILS'}: {claim}")
    return all(claims.values())


def _print(name: str, reported: float, wall: float | None) -> None:
    print(f"  {name:<58} reported {reported:10.0f}" + ("" if wall is None else f"  wall {wall:10.0f}"))


def _on(runner: asyncio.Runner, call: Callable[[], Awaitable[Row]]) -> Callable[[], Row]:
    async def run() -> Row:
        return await call()

    return lambda: runner.run(run())


# ---- in this process -----------------------------------------------------------------------------------------------


def floor() -> Row:
    """Read the clock twice."""
    kept, began = array("q"), mono_ns()
    for _ in range(SAMPLES):
        start = mono_ns()
        end = mono_ns()
        kept.append(end - start)
    return median(kept), elapsed_ns(began, mono_ns()) / SAMPLES


def bare_sync() -> Row:
    """Call between two readings."""
    kept, began = array("q"), mono_ns()
    for _ in range(SAMPLES):
        start = mono_ns()
        noop()
        end = mono_ns()
        kept.append(end - start)
    return median(kept), elapsed_ns(began, mono_ns()) / SAMPLES


async def bare_async() -> Row:
    """Await between two readings."""
    kept, began = array("q"), mono_ns()
    for _ in range(SAMPLES):
        start = mono_ns()
        await noop_async()
        end = mono_ns()
        kept.append(end - start)
    return median(kept), elapsed_ns(began, mono_ns()) / SAMPLES


async def with_timeout() -> Row:
    """Await within a timeout of the usual kind, as it would be inside the clock."""
    kept, began = array("q"), mono_ns()
    for _ in range(SAMPLES):
        start = mono_ns()
        async with asyncio.timeout(30):
            await noop_async()
        end = mono_ns()
        kept.append(end - start)
    return median(kept), elapsed_ns(began, mono_ns()) / SAMPLES


async def with_wait_for() -> Row:
    """Await in the way most code limits a call."""
    kept, began = array("q"), mono_ns()
    for _ in range(SAMPLES):
        start = mono_ns()
        await asyncio.wait_for(noop_async(), 30)
        end = mono_ns()
        kept.append(end - start)
    return median(kept), elapsed_ns(began, mono_ns()) / SAMPLES


def lab_sync() -> Row:
    """Measure with the service, as anyone would; its wall time includes all it does around the samples."""
    return asyncio.run(_lab(noop, LONG_MS))


async def lab_async(timeout_ms: int) -> Row:
    """Measure with the service."""
    return await _lab(noop_async, timeout_ms)


async def _lab(fn: Callable[[], object], timeout_ms: int) -> Row:
    options = BenchmarkOptions(
        name="no-op", samples=SAMPLES, warmup=100, timeout_ms=timeout_ms, collect_resources=False
    )
    began = mono_ns()
    outcome = await BenchmarkService().run(fn, options)
    wall = elapsed_ns(began, mono_ns())
    assert isinstance(outcome, BenchmarkResult), outcome
    return outcome.latency_ms.median * 1e6, wall / SAMPLES


def batch() -> Row:
    """Time batches with the standard library."""
    taken = 1e9 * min(timeit.repeat(noop, number=SAMPLES, repeat=3)) / SAMPLES
    return taken, taken


def records() -> dict[str, float]:
    """Return what recording one duration costs, in nanoseconds."""
    values = [200_000 + 7 * number % 90_001 for number in range(RECORDS)]

    def appended() -> int:
        kept = array("q")
        keep, began = kept.append, mono_ns()
        for value in values:
            keep(value)
        return elapsed_ns(began, mono_ns())

    def taped() -> int:
        keep, began = Tape().durations.append, mono_ns()
        for value in values:
            keep(value)
        return elapsed_ns(began, mono_ns())

    def folded() -> int:
        tape = Tape()
        keep, began = tape.durations.append, mono_ns()
        for value in values:
            keep(value)
        tape.fold()
        return elapsed_ns(began, mono_ns())

    rows = {
        "array('q').append": appended,
        "this lab, up to a million samples": taped,
        "this lab, beyond: folded into the histogram between samples": folded,
    }
    taken: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(TURNS):
        for name, row in rows.items():
            taken[name].append(row() / RECORDS)
    return {name: median(values) for name, values in taken.items()}


# ---- other harnesses -----------------------------------------------------------------------------------------------

_PYPERF: Final = """
import pyperf
def noop(): pass
async def noop_async(): pass
runner = pyperf.Runner(processes=2, values=3, warmups=1)
runner.bench_func("sync", noop)
runner.bench_async_func("async", noop_async)
"""
_PYTEST: Final = """
import asyncio
def noop(): pass
async def noop_async(): pass
def test_auto(benchmark): benchmark(noop)
def test_single(benchmark): benchmark.pedantic(noop, rounds=10_000, iterations=1, warmup_rounds=100)
def test_async(benchmark):
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        benchmark.pedantic(lambda: loop.run_until_complete(noop_async()), rounds=3_000, iterations=1, warmup_rounds=100)
"""


def pyperf_rows() -> dict[str, float]:
    """Return pyperf's figures."""
    with tempfile.TemporaryDirectory() as folder:
        script, out = Path(folder) / "bench_noop.py", Path(folder) / "out.json"
        script.write_text(_PYPERF)
        _run(str(script), "--quiet", "-o", str(out))
        document = json.loads(out.read_text())
    rows = {}
    for bench in document["benchmarks"]:
        values = [value for run in bench["runs"] for value in run.get("values", ())]
        name = bench.get("metadata", {}).get("name") or document["metadata"]["name"]
        rows[f"pyperf bench_{'async_' if name == 'async' else ''}func (batch mean)"] = 1e9 * median(values)
    return rows


def pytest_rows() -> dict[str, float]:
    """Return pytest-benchmark's figures."""
    names = {
        "test_auto": "pytest-benchmark, sync (batch mean)",
        "test_single": "pytest-benchmark pedantic, sync, one call a round",
        "test_async": "pytest-benchmark pedantic over run_until_complete",
    }
    with tempfile.TemporaryDirectory() as folder:
        script, out = Path(folder) / "test_noop.py", Path(folder) / "out.json"
        script.write_text(_PYTEST)
        _run("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--benchmark-json={out}", str(script), cwd=folder)
        document = json.loads(out.read_text())
    return {names[bench["name"]]: 1e9 * bench["stats"]["median"] for bench in document["benchmarks"]}


def _run(*arguments: str, cwd: str | None = None) -> None:
    ended = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=cwd)  # noqa: S603 our own interpreter and scripts
    if ended.returncode:
        sys.stderr.write(ended.stdout[-2_000:] + ended.stderr[-2_000:])
        sys.exit(1)


if __name__ == "__main__":
    main()
