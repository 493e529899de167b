"""The top of a report: the verdict in figures, and one row for each benchmark on one axis. Pure."""

from collections.abc import Sequence

from slotzero.perf.load_document import load_outcomes
from slotzero.perf.load_types import LoadResult
from slotzero.perf.result_file import ResultDocument
from slotzero.perf.types import BenchmarkFailure, BenchmarkResult, Interval, sentence
from slotzero.web.report.charts import bullet, bullet_axis
from slotzero.web.report.records import ReportPart
from slotzero.web.report.text import DASH, duration, number, percent, plain, signed_percent, slug

__all__ = ["address", "chip", "failures", "headline", "overview_table", "results_of"]

_NS: float = 1e6


def results_of(document: ResultDocument) -> list[BenchmarkResult]:
    """Return the benchmarks that have a result."""
    return [result for result in document.results if isinstance(result, BenchmarkResult)]


def address(place: int, result: BenchmarkResult) -> str:
    """Return the address of a benchmark's section: `place` tells result files apart."""
    return f"r{place}-{slug(result.name)}-{slug(result.event_loop.split(' ')[0])}"


def chip(kind: str, text: str) -> str:
    """Return a short verdict: its words say what its colour says."""
    return f'<span class="chip {kind}">{plain(text)}</span>'


def verdict_chips(result: BenchmarkResult) -> str:
    """Return the target's and the aim's verdict."""
    target = result.target
    if target is None:
        return chip("none", "no target")
    found = [chip("good", "✓ must met") if target.passed else chip("bad", "✗ must missed")]
    if target.passed and target.confident is False:
        found.append(chip("warn", "? not surely"))
    if target.aim_met is not None:
        found.append(chip("good", "✓ aim met") if target.aim_met else chip("warn", "○ aim missed"))
    return " ".join(found)


def headline(parts: Sequence[ReportPart]) -> str:
    """Return the page's verdict in a few figures."""
    cards = []
    results = [result for part in parts for result in results_of(part.document)]
    failed = sum(isinstance(outcome, BenchmarkFailure) for part in parts for outcome in part.document.results)
    judged = [result.target for result in results if result.target is not None]
    loads = [run for part in parts if part.document.kind == "load" for run in load_outcomes(part.document, part.name)]
    if loads:
        met = sum(isinstance(run, LoadResult) and run.passed for run in loads)
        kind = "good" if met == len(loads) else "bad"
        cards.append(_card(kind, f"{met} of {len(loads)}", "load runs passed"))
    if judged or failed:
        met = sum(target.passed for target in judged)
        of = len(judged) + failed
        cards.append(_card("good" if met == of else "bad", f"{met} of {of}", "limits that must be kept are kept"))
    aims = [target for target in judged if target.aim_met is not None]
    if aims:
        met = sum(bool(target.aim_met) for target in aims)
        cards.append(_card("good" if met == len(aims) else "warn", f"{met} of {len(aims)}", "aims are reached"))
    if results:
        samples = sum(result.samples for result in results)
        errors = sum(sum(result.errors.values()) for result in results)
        rate = 100 * (samples - errors) / samples
        kind = "good" if not errors else "warn"
        cards.append(_card(kind, percent(rate), f"of {number(samples)} calls succeeded"))
        noisy = sum(result.noise is not None and not result.noise.quiet for result in results)
        cards.append(
            _card("warn", f"{noisy} of {len(results)}", "were measured while the machine was busy otherwise")
            if noisy
            else _card("good", "quiet", "machine: nothing else disturbed the measurements")
        )
    return f'<ul class="verdict">{"".join(cards)}</ul>' if cards else ""


def overview_table(place: int, document: ResultDocument) -> str:
    """Return one row for each benchmark."""
    rows = "".join(_row(place, result) for result in results_of(document))
    if not rows:
        return ""
    return (
        '<p class="small soft">p50 is what half of the calls stay under, p95 what 95 of 100 do. <span class="wide">'
        "The bar runs from p50 to p95, the thin line across its end is where p95 lies with 95 % certainty; ▾ is the "
        "aim, the red line the limit that must be kept. One axis for all, and each mark is a hundred times the one "
        'before.</span></p><div class="scroll" role="group" aria-label="Overview of all benchmarks" tabindex="0">'
        '<table class="overview">'
        '<thead><tr><th scope="col">Benchmark</th><th scope="col">p50</th><th scope="col">p95</th>'
        f'<th scope="col" class="line-cell"><span class="unseen">on one axis</span>{bullet_axis()}</th>'
        '<th scope="col" class="wide">aim</th>'
        '<th scope="col" class="wide">to the aim</th><th scope="col" class="wide">must</th>'
        '<th scope="col" class="wide">success</th><th scope="col" class="wide">calls/s</th>'
        f'<th scope="col">verdict</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def failures(document: ResultDocument) -> str:
    """Return the benchmarks that have no result, and why."""
    return "".join(
        f'<div class="notice bad"><strong>{plain(failure.name)}</strong> has no result: '
        f"{plain(sentence(failure.error))}</div>"
        for failure in document.results
        if isinstance(failure, BenchmarkFailure)
    )


def _card(kind: str, figure: str, words: str) -> str:
    return f'<li class="{kind}"><strong>{plain(figure)}</strong>{plain(words)}</li>'


def _row(place: int, result: BenchmarkResult) -> str:
    stats, target = result.latency_ms, result.target
    aim = None if target is None else target.aim_p95_ms
    must = None if target is None else target.p95_ms
    found = stats.intervals.get("p95")
    label = f"{result.name}: p50 {duration(stats.median * _NS)}, p95 {duration(stats.p95 * _NS)}"
    drawn = bullet(
        stats.median * _NS,
        stats.p95 * _NS,
        None if found is None else Interval(found.low * _NS, found.high * _NS),
        None if aim is None else aim * _NS,
        None if must is None else must * _NS,
        label,
    )
    margin = None if target is None else target.aim_margin_percent
    cells = (
        f'<th scope="row"><a href="#{address(place, result)}">{plain(result.name)}</a></th>',
        f"<td>{duration(stats.median * _NS)}</td>",
        f"<td><strong>{duration(stats.p95 * _NS)}</strong></td>",
        f'<td class="line-cell">{drawn}</td>',
        f'<td class="wide">{DASH if aim is None else duration(aim * _NS)}</td>',
        f'<td class="wide">{DASH if margin is None else signed_percent(margin)}</td>',
        f'<td class="wide">{DASH if must is None else duration(must * _NS)}</td>',
        f'<td class="wide">{percent(result.throughput.success_rate_percent)}</td>',
        f'<td class="wide">{number(result.throughput.ops_per_s)}</td>',
        f"<td>{verdict_chips(result)}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"
