"""One benchmark of a report: in words, in drawings, in tables. Pure."""

from collections.abc import Sequence
from typing import Final

from slotzero.perf.types import PERCENTILES, BenchmarkResult, LatencyStats, ResourceStats
from slotzero.web.report.advice import advice_list
from slotzero.web.report.charts import cumulative, density, line, split_bars, stage_bars, timeline
from slotzero.web.report.overview import address, verdict_chips
from slotzero.web.report.records import distribution_of
from slotzero.web.report.text import DASH, attr, duration, number, percent, plain, signed_percent

__all__ = ["benchmark_section"]

_NS: Final = 1e6
_NAMES: Final = {"median": "p50 (median)", "p999": "p99.9"}
_FEW_POINTS: Final = 3


def benchmark_section(
    place: int, result: BenchmarkResult, *, links: Sequence[tuple[str, str]] = (), is_open: bool = False
) -> str:
    """Return everything about one benchmark.

    Args:
        place: Of its result file on the page.
        result: What was measured.
        links: Files that belong to it: label and address.
        is_open: Whether it is unfolded at first.
    """
    stats = result.latency_ms
    figure = f"p50 {duration(stats.median * _NS)} · p95 {duration(stats.p95 * _NS)}"
    parts = [
        f'<details class="card" id="{address(place, result)}"{" open" if is_open else ""}>',
        f"<summary><h3>{plain(result.name)}</h3> {verdict_chips(result)}",
        f'<span class="figure soft">{figure}</span></summary>',
        f"<p>{_in_words(result)}</p>",
        _links(links),
        f'<div class="charts">{_charts(result)}</div>',
        _suggestions(result),
        _percentiles(result),
        _errors(result),
        _resources(result.resources) if result.resources is not None else "",
        _notes(result),
        "</details>",
    ]
    return "".join(parts)


def _in_words(result: BenchmarkResult) -> str:
    stats, target = result.latency_ms, result.target
    text = [
        f"Half of {number(stats.count)} calls took under <b>{duration(stats.median * _NS)}</b>, ",
        f"95 of 100 under <b>{duration(stats.p95 * _NS)}</b>",
    ]
    interval = stats.intervals.get("p95")
    if interval is not None:
        text.append(f" (with 95 % certainty {duration(interval.low * _NS)} to {duration(interval.high * _NS)})")
    else:
        text.append(" (too few calls to say how sure that is)")
    text.append(f"; the slowest took {duration(stats.max * _NS)}.")
    if target is not None:
        if target.aim_p95_ms is not None and target.aim_margin_percent is not None:
            relation = "under" if target.aim_margin_percent >= 0 else "over"
            text.append(
                f" That is {percent(abs(target.aim_margin_percent))} {relation} the aim of "
                f"{duration(target.aim_p95_ms * _NS)} for p95."
            )
        kept = "is kept" if target.met else "is not kept"
        text.append(f" The limit of {duration(target.p95_ms * _NS)} {kept}.")
    starts = {
        "chain": " The clock starts when the chain executes the cause.",
        "frame": " The clock starts when the frame is read.",
        "mixed": " The clock starts where each trace says.",
    }
    text.append(starts.get(result.starts_at, ""))
    return "".join(text)


def _links(links: Sequence[tuple[str, str]]) -> str:
    if not links:
        return ""
    items = " · ".join(f'<a href="{attr(address)}">{plain(label)}</a>' for label, address in links)
    return f"<p>Profile of a second look: {items}</p>"


def _charts(result: BenchmarkResult) -> str:
    found, stats = distribution_of(result), result.latency_ms
    aim = result.target.aim_p95_ms if result.target else None
    aim_ns = None if aim is None else aim * _NS
    marks = [("p50", stats.median * _NS), ("p95", stats.p95 * _NS), ("p99", stats.p99 * _NS)]
    drawn = []
    if found.total:
        spread = f"{duration(stats.min * _NS)} to {duration(stats.max * _NS)}"
        drawn.append(
            _figure(
                density(found, marks, f"Distribution of {result.name}: {spread}, p50 {duration(stats.median * _NS)}"),
                "<b>Distribution.</b> How many calls took how long; far right is slow.",
            )
        )
        drawn.append(
            _figure(
                cumulative(
                    [(result.name, found)],
                    marks,
                    f"Share of calls of {result.name} by duration: 95 % within {duration(stats.p95 * _NS)}",
                    aim_ns,
                ),
                "<b>Share within.</b> How many of 100 calls took at most so long (ECDF); steep is steady.",
            )
        )
    if result.samples_ns:
        drawn.append(
            _figure(
                timeline(
                    result.samples_ns,
                    f"Durations of {result.name} in the order of the calls",
                    warmup_ns=result.warmup_ns,
                    limit_ns=aim_ns,
                ),
                "<b>In their order.</b> Each call; the shaded ones warmed up and do not count. A slope is a drift, "
                "a comb is something that comes round.",
            )
        )
    drawn += _split(result)
    if result.resources is not None and len(result.resources.timeline) >= _FEW_POINTS:
        points = result.resources.timeline
        memory = line([(point.at_ms / 1e3, point.rss_mb) for point in points], "Memory over time, in MB", "MB")
        drawn.append(_figure(memory, "<b>Memory.</b> What the process holds; a line that goes on rising is a leak."))
        cpu = line([(point.at_ms / 1e3, point.cpu_percent) for point in points], "CPU over time, in percent", "% CPU")
        drawn.append(_figure(cpu, "<b>CPU.</b> 100 % is one core kept busy."))
    return "".join(drawn)


def _split(result: BenchmarkResult) -> list[str]:
    drawn = []
    own, waited = result.own_ms, result.waited_ms
    if own is not None and waited is not None:
        rows = [
            (name, getattr(own, field), getattr(waited, field))
            for name, field in (("p50", "median"), ("p95", "p95"), ("p99", "p99"))
        ]
        drawn.append(
            _figure(
                split_bars(rows, f"Own and waited time of {result.name}"),
                '<b>Own and waited.</b> <span class="key own"></span>own: our CPU was busy. <span class="key waited">'
                "</span>waited: network, disk, slot. Each has percentiles of its own, so they need not add up.",
            )
        )
    if result.stages:
        drawn.append(
            _figure(
                stage_bars(result.stages, f"Stages of {result.name}"),
                "<b>Stages.</b> Where the time of the median call goes, and how much of the whole each stage holds up.",
            )
        )
    return drawn


def _suggestions(result: BenchmarkResult) -> str:
    return f"<h4>Suggestions</h4>{advice_list(result.suggestions, heading='h5')}" if result.suggestions else ""


def _percentiles(result: BenchmarkResult) -> str:
    columns: list[tuple[str, LatencyStats]] = [("latency", result.latency_ms)]
    if result.own_ms is not None and result.waited_ms is not None:
        columns += [("own", result.own_ms), ("waited", result.waited_ms)]
    head = "".join(f'<th scope="col">{name}</th><th scope="col" class="wide">95 % interval</th>' for name, _ in columns)
    rows = [_row("min", [(stats.min, None) for _, stats in columns])]
    for field in PERCENTILES:
        cells = []
        for _, stats in columns:
            interval = stats.intervals.get(field)
            between = None if interval is None else (interval.low, interval.high)
            cells.append((float(getattr(stats, field)), between))
        rows.append(_row(_NAMES.get(field, field), cells))
    rows.append(_row("max", [(stats.max, None) for _, stats in columns]))
    rows.append(_row("mean", [(stats.mean, None) for _, stats in columns]))
    exact = "exact" if result.latency_ms.exact else "within 0.4 %, from a histogram"
    return (
        f'<h4>Percentiles</h4><p class="small soft">{number(result.samples)} calls after {number(result.warmup)} to '
        f"warm up; figures are {exact}. An interval is where the true percentile lies with 95 % certainty; {DASH} is "
        f'too few calls for one.</p><div class="scroll" role="group" tabindex="0" aria-label="Percentiles of '
        f'{attr(result.name)}"><table><thead><tr><th scope="col">percentile</th>{head}'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(name: str, cells: Sequence[tuple[float, tuple[float, float] | None]]) -> str:
    drawn = []
    for value, between in cells:
        shown = DASH if between is None else f"{duration(between[0] * _NS)} {DASH} {duration(between[1] * _NS)}"
        drawn.append(f'<td>{duration(value * _NS)}</td><td class="wide soft">{shown}</td>')
    return f'<tr><th scope="row">{name}</th>{"".join(drawn)}</tr>'


def _errors(result: BenchmarkResult) -> str:
    if not result.errors:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{plain(kind)}</th><td>{count}</td><td class="text">'
        f"{plain(result.error_examples.get(kind, ''))}</td></tr>"
        for kind, count in sorted(result.errors.items(), key=lambda pair: -pair[1])
    )
    return (
        f'<h4>Failed calls</h4><div class="scroll" role="group" tabindex="0" aria-label="Failed calls of '
        f'{attr(result.name)}"><table><thead><tr><th scope="col">kind</th><th scope="col">calls</th>'
        f'<th scope="col" class="text">the first said</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _resources(found: ResourceStats) -> str:
    facts = {
        "peak memory (RSS)": f"{number(found.peak_rss_mb)} MB",
        "memory grown by": f"{number(found.rss_growth_mb)} MB",
        "CPU, mean / busiest": f"{number(found.avg_cpu_percent)} / {number(found.peak_cpu_percent)} %",
        "CPU user / system": f"{number(found.cpu_user_s)} / {number(found.cpu_system_s)} s",
        "garbage collector": f"{found.gc.pauses} pauses, longest {duration(found.gc.max_ms * _NS)}",
        "calls it hit": number(found.gc.samples_hit),
        "context switches": f"{number(found.switches_voluntary)} waiting, {number(found.switches_involuntary)} pushed",
    }
    if found.pss_mb is not None:
        facts["its own share of memory (PSS)"] = f"{number(found.pss_mb)} MB"
    if found.python_heap_mb is not None:
        facts["Python heap at its peak"] = f"{number(found.python_heap_mb)} MB"
    if found.loop_delay is not None:
        delay = found.loop_delay
        facts["event loop answers after"] = f"{duration(delay.p50_ms * _NS)}, p99 {duration(delay.p99_ms * _NS)}"
    if found.peak_fds is not None:
        facts["open files at most"] = number(found.peak_fds)
    if found.children is not None and found.children.peak_count:
        facts["child processes"] = f"{found.children.peak_count}, {number(found.children.peak_rss_mb)} MB"
    if found.machine is not None:
        facts["whole machine's CPU"] = f"{number(found.machine.cpu_percent)} % of {found.machine.cores} cores"
    facts["cost of watching"] = f"{number(found.sampler.cpu_percent)} % of a core"
    return f"<h4>Resources</h4>{_facts(facts)}"


def _notes(result: BenchmarkResult) -> str:
    notes = list(result.notes)
    noise = result.noise
    if noise is not None:
        notes += [f"The machine was not quiet: {reason}." for reason in noise.reasons]
        if noise.aa_floor_percent is not None:
            notes.append(f"Differences below {percent(noise.aa_floor_percent)} cannot be told from chance here.")
        drift = signed_percent(noise.reference_drift_percent)
        notes.append(
            f"A fixed piece of work took {number(noise.reference_before_us)} µs before and "
            f"{number(noise.reference_after_us)} µs after ({drift}); reading the clock takes {noise.clock_floor_ns} ns."
        )
    sharing = {
        "alone": "Measured alone in its process.",
        "process": "Measured in a process of its own.",
        "shared": "Measured together with others in one process.",
    }
    beside = f" Beside it ran {', '.join(result.shared_with)}." if result.shared_with else ""
    notes.append(f"{sharing[result.sharing]}{beside} Event loop: {result.event_loop or 'none'}.")
    if result.stopped:
        notes.append("It was stopped before all calls were made.")
    items = "".join(f"<li>{plain(note)}</li>" for note in notes)
    return f'<h4>To know beside</h4><ul class="notes small">{items}</ul>'


def _facts(facts: dict[str, str]) -> str:
    items = "".join(f"<div><dt>{plain(name)}</dt><dd>{plain(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{items}</dl>'


def _figure(drawing: str, caption: str) -> str:
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"
