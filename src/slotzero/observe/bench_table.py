"""What a person sees of benchmarks: one table against the targets, one of own and waited time, what to know beside."""

from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slotzero.perf.result_file import ResultDocument
from slotzero.perf.types import BenchmarkFailure, BenchmarkResult, LatencyStats, sentence

__all__ = ["milliseconds", "print_benchmarks"]

_SPLIT_MS: Final = 0.1
"""Waiting that is at least this long in the median makes own and waited time worth a row of their own."""


def milliseconds(value: float) -> str:
    """Return milliseconds with three digits that count, whatever their size. *Pure.*"""
    for least, decimals in ((100, 0), (10, 1), (1, 2), (0.1, 3), (0.01, 4)):
        if value >= least:
            return f"{value:.{decimals}f}"
    return f"{value:.5f}"


def print_benchmarks(console: Console, document: ResultDocument) -> None:
    """Print the benchmarks of a document."""
    results = [result for result in document.results if isinstance(result, BenchmarkResult)]
    failures = [result for result in document.results if isinstance(result, BenchmarkFailure)]
    has_loops = len({result.event_loop for result in results}) > 1
    if results:
        console.print(_figures(document.title, results, has_loops=has_loops))
        split = [result for result in results if result.waited_ms is not None and result.waited_ms.median > _SPLIT_MS]
        if split:
            console.print(_own_and_waited(split, has_loops=has_loops))
    for failure in failures:
        console.print(Text.assemble((f"{failure.name}: ", "bold red"), sentence(failure.error)))
    for result in results:
        for kind, count in sorted(result.errors.items()):
            example = result.error_examples.get(kind, "")
            console.print(Text(f"{result.name}: {count} samples failed, {kind}: {example}", style="red"))
        for note in result.notes:
            console.print(Text(f"{result.name}: {note}", style="dim"))
    for line in _quiet(results):
        console.print(Text(line, style="dim"))
    if document.stopped:
        console.print(Text("stopped before all samples were taken", style="yellow"))


def _figures(title: str, results: Sequence[BenchmarkResult], *, has_loops: bool) -> Table:
    table = _table(f"latency in ms: {title}", has_loops=has_loops)
    for name in (
        *("aim p95", "margin", "must"),
        *("p50", "p75", "p90", "p95", "p99"),
        *("success %", "ops/s", "peak MB", "CPU %"),
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        latency, used = result.latency_ms, result.resources
        table.add_row(
            *_name(result, has_loops=has_loops),
            *_against_target(result),
            *map(milliseconds, (latency.median, latency.p75, latency.p90, latency.p95, latency.p99)),
            f"{result.throughput.success_rate_percent:.1f}",
            _count(result.throughput.ops_per_s),
            "" if used is None else f"{used.peak_rss_mb:.0f}",
            "" if used is None else f"{used.avg_cpu_percent:.0f}",
        )
    return table


def _own_and_waited(results: Sequence[BenchmarkResult], *, has_loops: bool) -> Table:
    table = _table("own = our CPU, waited = network, disk and slot, in ms", has_loops=has_loops)
    for name in ("own p50", "own p95", "own p99", "waited p50", "waited p95", "waited p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        assert result.own_ms is not None
        assert result.waited_ms is not None
        table.add_row(*_name(result, has_loops=has_loops), *_three(result.own_ms), *_three(result.waited_ms))
    return table


def _three(stats: LatencyStats) -> tuple[str, str, str]:
    return milliseconds(stats.median), milliseconds(stats.p95), milliseconds(stats.p99)


def _table(title: str, *, has_loops: bool) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("component", no_wrap=True)
    if has_loops:
        table.add_column("loop", no_wrap=True)
    return table


def _name(result: BenchmarkResult, *, has_loops: bool) -> tuple[str, ...]:
    return (result.name, result.event_loop.split()[0]) if has_loops else (result.name,)


def _against_target(result: BenchmarkResult) -> tuple[Text | str, ...]:
    verdict = result.target
    if verdict is None:
        return "", "", ""
    missed = [check.name for check in verdict.checks if not check.met]
    must = Text("pass", style="green") if verdict.passed else Text(f"FAIL {', '.join(missed)}", style="bold red")
    if verdict.aim_p95_ms is None or verdict.aim_margin_percent is None:
        return "", "", must
    margin = Text(f"{verdict.aim_margin_percent:+.0f} %", style="green" if verdict.aim_met else "yellow")
    return milliseconds(verdict.aim_p95_ms), margin, must


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"  # noqa: PLR2004 one decimal while it counts


def _quiet(results: Sequence[BenchmarkResult]) -> list[str]:
    """Say how quiet the machine was, once for all."""
    certificates = [(result.name, result.noise) for result in results if result.noise is not None]
    noisy = [name for name, noise in certificates if not noise.quiet]
    if not certificates:
        return []
    if not noisy:
        return ["the machine was quiet"]
    worst = max((noise for _, noise in certificates), key=lambda noise: noise.cpu_pressure_percent or 0.0)
    reasons = worst.reasons or next(noise.reasons for _, noise in certificates if noise.reasons)
    told = f"during {len(noisy)} of {len(certificates)} benchmarks; at its worst {'; '.join(reasons)}"
    return [f"the machine was not quiet {told}"]
