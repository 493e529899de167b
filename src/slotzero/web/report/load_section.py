"""One load run of a report: the verdict first, then the timeline, then the figures. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

from slotzero.errors import MalformedError
from slotzero.perf.histogram import Histogram
from slotzero.perf.load_types import (
    LoadFailure,
    LoadOutcome,
    LoadResult,
    Verdict,
    Window,
    load_sentence,
)
from slotzero.perf.types import PERCENTILES, LatencyStats
from slotzero.web.report.charts import cumulative, density
from slotzero.web.report.load_blocks import further_figures
from slotzero.web.report.load_charts import Series, latency_over_time, over_time
from slotzero.web.report.load_health import generator_health, resources
from slotzero.web.report.overview import chip
from slotzero.web.report.records import Distribution, distribution_of_histogram
from slotzero.web.report.text import DASH, attr, duration, number, percent, plain, slug

__all__ = ["load_section", "verdict_chip"]

_NS: Final = 1e6
_FEW: Final = 2
_SAYS: Final[dict[Verdict, str]] = {
    "ok": "The generator did what it was asked: the figures are those of the target.",
    "generator_limited": "The generator did not keep up: the figures say more of it than of the target.",
    "chain_limited": "The embedded chain did not keep up: the figures say more of it than of the bot.",
    "degraded": "A part of the generator was lost on the way: the figures are of what is left.",
}


def verdict_chip(result: LoadResult) -> str:
    """Return whether the run passed, and what it is worth. One that somebody has interrupted did neither."""
    if result.stopped == "interrupted":
        found = chip("warn", "○ interrupted")
    else:
        found = chip("good", "✓ passed") if result.passed else chip("bad", "✗ not passed")
    if result.generator.verdict != "ok":
        found += " " + chip("warn", result.generator.verdict.replace("_", " "))
    return found


def load_section(place: int, outcome: LoadOutcome, *, is_open: bool) -> str:
    """Return everything about one load run."""
    if isinstance(outcome, LoadFailure):
        return (
            f'<div class="notice bad"><strong>{plain(outcome.scenario)}</strong> has no result: '
            f"{plain(load_sentence(outcome.error))}</div>"
        )
    result = outcome
    parts = [
        f'<details class="card" id="r{place}-{slug(result.scenario)}"{" open" if is_open else ""}>',
        f"<summary><h3>{plain(result.scenario)}</h3> {verdict_chip(result)}",
        f'<span class="figure soft">{number(result.achieved_ops_per_s)} a second</span></summary>',
        f"<p>{_in_words(result)}</p>",
        _thresholds(result),
        f'<div class="charts">{_charts(result)}</div>',
        _percentiles(result),
        _errors(result),
        resources(result),
        generator_health(result.generator),
        further_figures(result),
        _notes(result),
        "</details>",
    ]
    return "".join(parts)


def _in_words(result: LoadResult) -> str:
    if result.model == "open":
        load = (
            f"{number(result.offered_ops_per_s)} operations a second were begun, whether or not earlier ones had ended"
        )
    else:
        load = f"{number(result.concurrency)} users began an operation as soon as their last one had ended"
    text = [f"For {number(result.duration_s)} s, {load}."]
    text.append(
        f" Of {number(result.total_ops)} operations <b>{percent(result.success_rate_percent)}</b> succeeded, "
        f"{number(result.achieved_ops_per_s)} a second."
    )
    if result.latency_ms is not None:
        kind = (
            "counted from the instant they should have begun" if result.model == "open" else "counted from their start"
        )
        text.append(
            f" Half took under <b>{duration(result.latency_ms.median * _NS)}</b>, 95 of 100 under "
            f"<b>{duration(result.latency_ms.p95 * _NS)}</b>, {kind}."
        )
    if result.missed_starts:
        text.append(f" {number(result.missed_starts)} planned operations never began.")
    text.append(f" {_SAYS[result.generator.verdict]}")
    if result.stopped != "completed":
        text.append(f" The run was {result.stopped}.")
    return "".join(text)


def _charts(result: LoadResult) -> str:
    # What is left of a window when the run ends is too short for a rate.
    windows = [one for one in result.timeline if one.span_s >= result.timeline[0].span_s / 2]
    drawn = []
    if len(windows) >= _FEW:
        drawn.append(
            _figure(
                over_time(
                    [("begun", _points(windows, _rate_started)), ("succeeded", _points(windows, _rate))],
                    "Operations a second over time",
                    "a second",
                ),
                "<b>Rate.</b> Operations begun and succeeded a second; where the lines part, work piles up or fails.",
            )
        )
        series: list[Series] = [
            (name, [(window.at_s, value * _NS) for window in windows if (value := getattr(window, field)) is not None])
            for name, field in (("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms"))
        ]
        if any(points for _, points in series):
            drawn.append(
                _figure(
                    latency_over_time(series, "Latency over time"),
                    "<b>Latency.</b> Of each stretch of the run; a line that climbs is a queue that grows.",
                )
            )
        drawn.append(
            _figure(
                over_time([("in flight", _points(windows, _in_flight))], "Operations in flight over time", "in flight"),
                "<b>In flight.</b> How many operations were under way.",
            )
        )
        lost = [("failed", _points(windows, _errors_of)), ("missed", _points(windows, _missed))]
        if any(value for _, points in lost for _, value in points):
            drawn.append(
                _figure(
                    over_time(lost, "Failed and missed operations over time", "in a stretch"),
                    "<b>Failures.</b> Operations that failed, and planned ones that never began.",
                )
            )
        drawn += _machine(windows)
    found = _distribution(result)
    stats = result.latency_ms
    if found.total and stats is not None:
        marks = [("p50", stats.median * _NS), ("p95", stats.p95 * _NS), ("p99", stats.p99 * _NS)]
        drawn.append(
            _figure(
                density(found, marks, f"Distribution of {result.scenario}"),
                "<b>Distribution.</b> How many operations took how long.",
            )
        )
        drawn.append(
            _figure(
                cumulative(
                    [(result.scenario, found)], marks, f"Share of operations by duration: {result.scenario}", None
                ),
                "<b>Share within.</b> How many of 100 operations took at most so long (ECDF).",
            )
        )
    return "".join(drawn)


def _machine(windows: Sequence[Window]) -> list[str]:
    drawn = []
    for field, title, unit, about in (
        ("cpu_percent", "CPU", "% CPU", "100 % is one core kept busy."),
        ("rss_mb", "Memory", "MB", "What the process holds; a line that goes on rising is a leak."),
    ):
        series: list[Series] = [
            ("driver", [(w.at_s, value) for w in windows if (value := getattr(w, field)) is not None])
        ]
        names = sorted({name for w in windows for name in w.extra if name.startswith(f"{field}:")})
        series += [
            (name.partition(":")[2], [(w.at_s, w.extra[name]) for w in windows if name in w.extra])
            for name in names[:_FEW]
        ]
        if any(points for _, points in series):
            drawn.append(_figure(over_time(series, f"{title} over time", unit), f"<b>{title}.</b> {about}"))
    return drawn


def _thresholds(result: LoadResult) -> str:
    if not result.thresholds:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{plain(one.name)}</th><td>{DASH if one.value is None else number(one.value)}</td>'
        f"<td>{chip('good', '✓ met') if one.met else chip('bad', '✗ missed')}</td>"
        f'<td class="text">{plain(one.why)}</td></tr>'
        for one in result.thresholds
    )
    return _table(
        "Thresholds",
        f"Thresholds of {result.scenario}",
        '<th scope="col">limit</th><th scope="col">measured</th><th scope="col">verdict</th>'
        '<th scope="col" class="text">why</th>',
        rows,
    )


def _percentiles(result: LoadResult) -> str:
    columns = [("headline", result.latency_ms), ("service", result.service_ms), ("response", result.response_ms)]
    known: list[tuple[str, LatencyStats]] = [(name, stats) for name, stats in columns if stats is not None]
    if not known:
        return ""
    fields = ("min", *PERCENTILES, "max", "mean")
    rows = "".join(
        f'<tr><th scope="row">{"p50" if field == "median" else "p99.9" if field == "p999" else field}</th>'
        + "".join(f"<td>{duration(float(getattr(stats, field)) * _NS)}</td>" for _, stats in known)
        + "</tr>"
        for field in fields
    )
    head = "".join(f'<th scope="col">{name}</th>' for name, _ in known)
    return _table("Percentiles", f"Percentiles of {result.scenario}", f'<th scope="col">percentile</th>{head}', rows)


def _errors(result: LoadResult) -> str:
    if not result.error_details:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{plain(one.kind)}</th><td>{number(one.count)}</td><td>{plain(one.code)}</td>'
        f'<td>{plain(one.origin)}</td><td class="text">{plain(one.example)}</td></tr>'
        for one in sorted(result.error_details, key=lambda one: -one.count)
    )
    head = '<th scope="col">class</th><th scope="col">operations</th><th scope="col">code</th>'
    head += '<th scope="col">where</th><th scope="col" class="text">the first said</th>'
    return _table("Failures", f"Failures of {result.scenario}", head, rows)


def _notes(result: LoadResult) -> str:
    notes = [f"after {number(one.at_s)} s: {one.what}" for one in result.incidents]
    for one in result.shards:
        why = f", {one.why}" if one.why else ""
        notes.append(f"shard {one.shard} on {one.worker}: {one.state}, {number(one.total_ops)} operations{why}")
    notes += result.notes
    if not notes:
        return ""
    items = "".join(f"<li>{plain(note)}</li>" for note in notes)
    return f'<h4>To know beside</h4><ul class="notes small">{items}</ul>'


def _distribution(result: LoadResult) -> Distribution:
    if result.histogram is None:
        return Distribution(values_ns=(), counts=(), running=())
    try:
        return distribution_of_histogram(Histogram.from_text(result.histogram))
    except MalformedError:
        return Distribution(values_ns=(), counts=(), running=())


def _points(windows: Sequence[Window], value: Callable[[Window], float]) -> list[tuple[float, float]]:
    return [(window.at_s, value(window)) for window in windows]


def _rate(window: Window) -> float:
    return window.ops / window.span_s if window.span_s > 0 else 0.0


def _rate_started(window: Window) -> float:
    return window.started / window.span_s if window.span_s > 0 else 0.0


def _in_flight(window: Window) -> float:
    return window.in_flight


def _errors_of(window: Window) -> float:
    return window.errors


def _missed(window: Window) -> float:
    return window.missed


def _table(heading: str, label: str, head: str, rows: str) -> str:
    return (
        f'<h4>{heading}</h4><div class="scroll" role="group" tabindex="0" aria-label="{attr(label)}"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _figure(drawing: str, caption: str) -> str:
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"
