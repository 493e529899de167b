"""What a person sees of benchmarks: one table against the targets, one of own and waited time, what to know beside."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slotzero.perf.result_file import ResultDocument
from slotzero.perf.types import BenchmarkFailure, BenchmarkResult, LatencyStats, Suggestion, sentence

__all__ = ["milliseconds", "print_benchmarks"]

_WIDE: Final = 120
"""From so many columns on everything fits into one table."""
_MOST_SUGGESTIONS: Final = 3
"""Of one component; the report has all."""
_SEVERITY_STYLES: Final = {"LOW": "dim", "MEDIUM": "yellow", "HIGH": "red", "CRITICAL": "bold red"}
_SPLIT_MS: Final = 0.1
"""Waiting that is at least this long in the median makes own and waited time worth a row of their own."""

_Cell: TypeAlias = Text | str
_Column: TypeAlias = tuple[str, Callable[[BenchmarkResult], _Cell]]


def milliseconds(value: float) -> str:
    """Return milliseconds with three digits that count, down to a tenth of a microsecond. *Pure.*"""
    for least, decimals in ((100, 0), (10, 1), (1, 2), (0.1, 3)):
        if value >= least:
            return f"{value:.{decimals}f}"
    return f"{value:.4f}"


def print_benchmarks(console: Console, document: ResultDocument) -> None:
    """Print the benchmarks of a document."""
    results = [result for result in document.results if isinstance(result, BenchmarkResult)]
    if results:
        console.print(Text(document.title, style="bold"))
        where = document.environment
        console.print(Text(f"{where.cpu}, {where.cores} cores, {where.system}, {where.python}", style="dim"))
        for table in _tables(results, is_wide=console.width >= _WIDE):
            console.print(table)
    for failure in document.results:
        if isinstance(failure, BenchmarkFailure):
            console.print(Text.assemble((f"{failure.name}: ", "bold red"), sentence(failure.error)))
    for result in results:
        _print_beside(console, result)
    for line in _quiet(results):
        console.print(Text(line, style="dim"))
    if document.stopped:
        console.print(Text("stopped before all samples were taken", style="yellow"))


def _print_beside(console: Console, result: BenchmarkResult) -> None:
    """Print what to know beside the figures: what failed, and notes."""
    for kind, count in sorted(result.errors.items()):
        console.print(Text(f"{result.name}: {count} of {result.samples} samples failed, {kind}", style="red"))
        if (example := result.error_examples.get(kind, "")) and kind not in example:
            console.print(Text(f"  {example}", style="dim"))
    for note in result.notes:
        console.print(Text(f"{result.name}: {note}", style="dim"))
    for found in result.suggestions[:_MOST_SUGGESTIONS]:
        console.print(
            Text.assemble(
                f"{result.name}: ", (found.severity.value, _SEVERITY_STYLES[found.severity.value]), f" {found.title}. "
            )
            + Text(_impact(found), style="dim")
        )
        console.print(Text(f"  {found.advice}", style="dim"))


def _impact(found: Suggestion) -> str:
    """Return what following a suggestion would bring."""
    if found.p95_ms is not None and found.impact_p95_ms is not None:
        return f"p95 would go from {milliseconds(found.p95_ms)} to {milliseconds(found.impact_p95_ms)} ms"
    if found.impact_mb_per_h is not None:
        return f"{found.impact_mb_per_h:.1f} MB/h would no longer be lost"
    return ""


# ---- the tables ----------------------------------------------------------------------------------------------------


def _tables(results: Sequence[BenchmarkResult], *, is_wide: bool) -> list[Table]:
    has_loops = len({result.event_loop for result in results}) > 1
    name: list[_Column] = [("component", lambda result: result.name)]
    if has_loops:
        name.append(("loop", lambda result: result.event_loop.split()[0]))
    if is_wide:
        tables = [_table("latency in ms; aim and margin are of p95", results, name, [*_LATENCY, *_USAGE])]
    else:
        tables = [
            _table("latency in ms; aim and margin are of p95", results, name, _LATENCY),
            _table("how many, and what it took", results, name, _USAGE),
        ]
    split = [result for result in results if result.waited_ms is not None and result.waited_ms.median > _SPLIT_MS]
    if split:
        tables.append(_table("own = our CPU, waited = network, disk and slot, in ms", split, name, _SPLIT))
    return tables


def _table(
    title: str, results: Sequence[BenchmarkResult], names: Sequence[_Column], columns: Sequence[_Column]
) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    for name, _ in names:
        table.add_column(name, no_wrap=True)
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*(cell(result) for _, cell in (*names, *columns)))
    return table


def _aim(result: BenchmarkResult) -> _Cell:
    aim = result.target.aim_p95_ms if result.target is not None else None
    return "" if aim is None else milliseconds(aim)


def _margin(result: BenchmarkResult) -> _Cell:
    verdict = result.target
    if verdict is None or verdict.aim_margin_percent is None:
        return ""
    return Text(f"{verdict.aim_margin_percent:+.0f} %", style="green" if verdict.aim_met else "yellow")


def _must(result: BenchmarkResult) -> _Cell:
    verdict = result.target
    if verdict is None:
        return ""
    if verdict.passed:
        return Text("pass", style="green")
    return Text(f"FAIL {', '.join(check.name for check in verdict.checks if not check.met)}", style="bold red")


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"  # noqa: PLR2004 one decimal while it counts


def _part(stats: LatencyStats | None, percentile: str) -> str:
    return "" if stats is None else milliseconds(getattr(stats, percentile))


_LATENCY: Final[tuple[_Column, ...]] = (
    ("aim", _aim),
    ("margin", _margin),
    ("must", _must),
    ("p50", lambda result: milliseconds(result.latency_ms.median)),
    ("p75", lambda result: milliseconds(result.latency_ms.p75)),
    ("p90", lambda result: milliseconds(result.latency_ms.p90)),
    ("p95", lambda result: milliseconds(result.latency_ms.p95)),
    ("p99", lambda result: milliseconds(result.latency_ms.p99)),
)
_USAGE: Final[tuple[_Column, ...]] = (
    ("success %", lambda result: f"{result.throughput.success_rate_percent:.1f}"),
    ("ops/s", lambda result: _count(result.throughput.ops_per_s)),
    ("peak MB", lambda result: "" if result.resources is None else f"{result.resources.peak_rss_mb:.0f}"),
    ("CPU %", lambda result: "" if result.resources is None else f"{result.resources.avg_cpu_percent:.0f}"),
)
_SPLIT: Final[tuple[_Column, ...]] = (
    ("own p50", lambda result: _part(result.own_ms, "median")),
    ("own p95", lambda result: _part(result.own_ms, "p95")),
    ("own p99", lambda result: _part(result.own_ms, "p99")),
    ("wait p50", lambda result: _part(result.waited_ms, "median")),
    ("wait p95", lambda result: _part(result.waited_ms, "p95")),
    ("wait p99", lambda result: _part(result.waited_ms, "p99")),
)


def _quiet(results: Sequence[BenchmarkResult]) -> list[str]:
    """Say how quiet the machine was, once for all."""
    certificates = [result.noise for result in results if result.noise is not None]
    noisy = [noise for noise in certificates if not noise.quiet]
    if not certificates:
        return []
    if not noisy:
        return ["the machine was quiet"]
    worst = max(noisy, key=lambda noise: noise.cpu_pressure_percent or 0.0)
    told = f"during {len(noisy)} of {len(certificates)} benchmarks; at its worst {'; '.join(worst.reasons)}"
    return [f"the machine was not quiet {told}"]
