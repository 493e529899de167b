"""Run all eight load scenarios and write `docs/reference/performance.md`. About 20 minutes at full length.

    python benchmarks/performance_table.py                    # all eight, at full length
    python benchmarks/performance_table.py --seconds 20       # at most 20 s each: a look, not a measurement
    python benchmarks/performance_table.py HEAVY STRESS       # only these

Each scenario is one `slotzero load` with processes of its own. The page says which machine, how busy it was, and which
limits were missed: a table without that says nothing. Exit code 1 when a scenario did not pass.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

from msgspec import Struct

from slotzero.perf.load_document import load_outcomes
from slotzero.perf.load_types import LoadFailure, LoadResult, Verdict
from slotzero.perf.result_file import ResultDocument, read_result_file
from slotzero.workloads.snipe_scenarios import SCENARIOS
from slotzero.workloads.snipe_scenarios.climb import why_of

PAGE: Final = Path(__file__).resolve().parent.parent / "docs/reference/performance.md"
HEAD: Final = """# Performance of the sniper under load

Written by `python benchmarks/performance_table.py`; run it to have your own. Every figure comes from real snipes on the
embedded chain, with chain, bot and driver as processes of their own. One operation is one honest pool, from its
creation sent by the driver until the chain has confirmed that the bot has sold what it bought. Positions are held for
1 s, or until a rival has bought the price up: half of the pools. Traps (20 % of all pools) and three rival buyers for
each honest pool come on top. Rates are those of a closed loop: users, hold time and slots of 200 ms set them.
"""


COLUMNS: Final = (
    "scenario",
    "users, s",
    "snipes/s",
    "success %",
    "flow p50/p95 ms",
    "detection p95 ms",
    "buy confirmed p95 ms",
    "CPU % chain/bot/driver",
    "RSS MB chain/bot",
    "slot late p99 ms",
    "queue p99 ms",
    "verdict",
    "machine's load",
)


class Run(Struct, frozen=True, kw_only=True):
    """One scenario's result and how busy the machine was around it."""

    result: LoadResult
    document: ResultDocument
    load_before: float
    load_after: float


def run(name: str, seconds: float | None, folder: Path) -> Run | str:
    """Run one scenario. Returns why there is no result when there is none."""
    file = folder / f"{name}.json"
    length = () if seconds is None else ("--duration", f"{min(seconds, full_length(name)):g}")
    before = os.getloadavg()[0]
    command = [sys.executable, "-m", "slotzero", "load", name, *length, "--json", str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 our own program
    print(done.stdout or done.stderr, flush=True)
    if not file.exists():
        return done.stderr.strip() or f"exit code {done.returncode}"
    document = read_result_file(file)
    (outcome,) = load_outcomes(document, file.name)
    if isinstance(outcome, LoadFailure):
        return str(outcome)
    return Run(result=outcome, document=document, load_before=before, load_after=os.getloadavg()[0])


def full_length(name: str) -> float:
    """Return a scenario's own seconds."""
    return next(scenario.config.duration for scenario in SCENARIOS if scenario.name == name)


def page(runs: Sequence[tuple[str, Run | str]]) -> str:
    """Return the page."""
    found = [run for _, run in runs if isinstance(run, Run)]
    parts = [HEAD]
    if found:
        machine = found[0].document.environment
        parts.append(
            f"Measured with slotzero {machine.slotzero} on {machine.cpu}, {machine.cores_usable} cores, Python "
            f"{machine.python}. Beside each run stands the load average of the whole machine: what exceeds the run's "
            "own one to two is somebody else's, and makes every figure worse.\n"
        )
    short = [run.result.scenario for run in found if run.result.duration_s < full_length(run.result.scenario)]
    if short:
        parts.append("A look, no measurement: runs were cut short.\n")
    parts += ["## All eight", *table(runs), "", "## What was missed"]
    parts += missed(runs)
    parts += ["", "## Past the capacity", *climbs(runs)]
    return "\n".join(parts) + "\n"


def table(runs: Sequence[tuple[str, Run | str]]) -> list[str]:
    """Return the table of all scenarios."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for name, run in runs:
        if isinstance(run, str):
            lines.append(f"| {name} | - | - | - | - | - | - | - | - | - | - | no result: {run} | - |")
            continue
        result = run.result
        used = result.resources
        latency = "-" if result.latency_ms is None else f"{result.latency_ms.median:.0f}/{result.latency_ms.p95:.0f}"
        cpu = "/".join(f"{used[who].avg_cpu_percent:.0f}" for who in ("chain", "bot", "driver"))
        rss = "/".join(f"{used[who].peak_rss_mb:.0f}" for who in ("chain", "bot"))
        verdict = result.generator.verdict + (", passed" if result.passed else ", not passed")
        lines.append(
            f"| {name} | {result.concurrency}, {result.duration_s:.0f} | {result.achieved_ops_per_s:.1f} "
            f"| {result.success_rate_percent:.2f} | {latency} | {figure(result, 'bot', 'detection_p95_ms')} "
            f"| {figure(result, 'bot', 'full_flow_p95_ms')} | {cpu} | {rss} "
            f"| {figure(result, 'chain', 'slot_late_p99_ms')} | {figure(result, 'chain', 'queue_p99_ms')} | {verdict} "
            f"| {run.load_before:.1f} to {run.load_after:.1f} |"
        )
    return lines


def figure(result: LoadResult, block: str, name: str) -> str:
    """Return one figure of a block as text."""
    value = result.extra.get(block, {}).get(name)
    return "-" if value is None else f"{value:.1f}"


def missed(runs: Sequence[tuple[str, Run | str]]) -> list[str]:
    """Return what speaks against each run."""
    lines = []
    for name, run in runs:
        if isinstance(run, Run) and not run.result.passed:
            limits = [f"{found.name} ({found.why})" for found in run.result.thresholds if not found.met]
            lines.append(f"- {name}: {'; '.join([*limits, *run.result.generator.reasons]) or run.result.stopped}")
    return lines or ["Nothing."]


def climbs(runs: Sequence[tuple[str, Run | str]]) -> list[str]:
    """Return the steps of each climb to the breaking point."""
    found = [(name, run.result) for name, run in runs if isinstance(run, Run)]
    lines = [
        line
        for name, result in found
        for kind in ("", "bounded ")
        if f"{kind}step 1" in result.extra
        for line in climb(name, result, kind)
    ]
    return lines or ["No climb was measured."]


def climb(name: str, result: LoadResult, kind: str) -> list[str]:
    """Return the steps of one climb: to the breaking point, or `bounded`."""
    what = "whatever the chain bears" if not kind else "a bot that admits few pools at once, so that it is the limit"
    lines = [
        f"{name}, {what}:",
        "",
        "| step | users | snipes/s | success % | p95 ms | errors | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for step, block in result.extra.items():
        if step.startswith((f"{kind}step", f"{kind}overload")):
            cells = (block["users"], block["ops_per_s"], block["success_percent"], block["p95_ms"], block["errors"])
            shown = " | ".join("-" if cell is None else f"{cell:g}" for cell in cells)
            lines.append(f"| {step.removeprefix(kind)} | {shown} | {step_verdict(step, result)} |")
    capacity = result.extra.get(f"{kind}capacity")
    if capacity is None:
        return [*lines, "", "No step counts, so there is no capacity to speak of.", ""]
    peak, twice = capacity["ops_per_s"], capacity["at_twice_users_percent"]
    at_twice = (
        "What twice as many users do is not known."
        if twice is None
        else f"With twice as many users the median of three steps is {twice:g} % of the most."
    )
    return [
        *lines,
        "",
        f"The most was {peak:g} snipes/s; more than {capacity['users']:g} users add next to nothing. {at_twice}",
        f"Refused as too much: {figure(result, f'{kind}bot', 'overloaded')}",
        "",
    ]


def step_verdict(step: str, result: LoadResult) -> str:
    """Return what a step's figures are worth, and the first reason where that is not "ok"."""
    verdict = next((name for name in get_args(Verdict) if name in result.extra[step]), "-")
    why = why_of(step, result.notes)
    return f"{verdict}: {why}" if why else verdict


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description="Run the load scenarios and write the page about them.")
    parser.add_argument("names", nargs="*", default=[scenario.name for scenario in SCENARIOS], metavar="SCENARIO")
    parser.add_argument("--seconds", type=float, help="the most seconds of each")
    parser.add_argument("--out", type=Path, default=PAGE)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [(name, run(name, arguments.seconds, Path(folder))) for name in arguments.names]
    arguments.out.write_text(page(runs))
    print(f"written to {arguments.out}")
    return 0 if all(isinstance(run, Run) and run.result.passed for _, run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
