"""Two versions beside one another: of two stored results, or as `slotzero compare` has judged them. Pure."""

from typing import Final

from slotzero.perf.compare.document import CompareDocument
from slotzero.perf.compare.stored import by_title, compare_stored, fallen_success, surroundings_apart
from slotzero.perf.types import BenchmarkResult
from slotzero.web.report.charts import cumulative
from slotzero.web.report.overview import results_of
from slotzero.web.report.records import ReportPart, distribution_of
from slotzero.web.report.text import attr, duration, plain, signed_percent
from slotzero.web.report.verdicts import verdict_table

__all__ = ["comparison_section", "judged_section"]

_NS: Final = 1e6
_LEGEND: Final = (
    '<p class="small soft">+ is slower. The shaded band is the smallest change that counts, the line where the true '
    "change lies with 95 % certainty. REGRESSED and IMPROVED: surely beyond the band. SUSPECT: beyond it, but not in "
    "every launch. EQUIVALENT: surely within it. INCONCLUSIVE: measured too little to say.</p>"
)


def comparison_section(base: ReportPart, new: ReportPart) -> str:
    """Return the comparison of two stored results."""
    before, after = results_of(base.document), results_of(new.document)
    lines, left_out = compare_stored(before, after)
    old = by_title(before)
    pairs = [(name, old[name], now) for name, now in by_title(after).items() if name in old]
    if not pairs:
        return '<h2 id="compare">Comparison</h2><p class="notice">The two results have no benchmark in common.</p>'
    values = {
        (name, metric): f"{_of(one, metric)} → {_of(now, metric)}"
        for name, one, now in pairs
        for metric in ("median", "p75", "p90", "p95")
    }
    missing = "".join(f"<li>{plain(one.name)}: {plain(one.reason)}</li>" for one in left_out)
    listed = f'<ul class="notes small">{missing}</ul>' if missing else ""
    fallen = "".join(f'<div class="notice bad">{plain(one)}.</div>' for one in fallen_success(before, after))
    charts = "".join(_figure(name, base.name, new.name, one, now) for name, one, now in pairs)
    return (
        f'<h2 id="compare">Comparison</h2><p>{plain(base.name)} is the base, {plain(new.name)} the new one. These are '
        "two stored results, measured at different times and compared as multiples of a fixed piece of work that was "
        "timed beside each: a hint where to look. <code>slotzero compare REVISION REVISION</code> measures both in "
        f"turns and sees far smaller changes.</p>{_caution(base, new)}{fallen}{_LEGEND}"
        f"{verdict_table(lines, values) if lines else ''}"
        f'{listed}<div class="charts">{charts}</div>'
    )


def judged_section(place: int, found: CompareDocument) -> str:
    """Return what `slotzero compare` has judged."""
    values = {
        (name, metric): f"{duration(value)} → {duration(found.new_ns[name][metric])}"
        for name, metrics in found.base_ns.items()
        for metric, value in metrics.items()
        if metric in found.new_ns.get(name, {})
    }
    how = f"measured in turns, {found.launches} launches" if found.kind == "paired" else "two stored results"
    suite = (
        ""
        if found.suite_effect_percent is None
        else f" All medians together: {signed_percent(found.suite_effect_percent)}."
    )
    notes = [*found.notes, *(f"{name}: {why}" for name, why in found.missing.items())]
    if found.stopped:
        notes.append("it was stopped before everything was decided")
    items = "".join(f"<li>{plain(note)}</li>" for note in notes)
    listed = f'<ul class="notes small">{items}</ul>' if items else ""
    return (
        f'<h2 id="judged{place}">Comparison: {plain(found.base.name)} and {plain(found.new.name)}</h2>'
        f"<p>{plain(found.new.name)} against {plain(found.base.name)}, {how}: <b>{found.verdict.value}</b>.{suite}</p>"
        f"{_LEGEND}{verdict_table(found.comparisons, values)}{listed}"
    )


def _of(result: BenchmarkResult, metric: str) -> str:
    return duration(float(getattr(result.latency_ms, metric)) * _NS)


def _caution(base: ReportPart, new: ReportPart) -> str:
    one, other = base.document.environment, new.document.environment
    surroundings = surroundings_apart(one, other)
    if one.fingerprint == other.fingerprint and not surroundings:
        return ""
    machines = {
        name: (str(getattr(one, name)), str(getattr(other, name)))
        for name in ("cpu", "cores_usable", "system", "python", "event_loop")
        if getattr(one, name) != getattr(other, name)
    }
    differ = [f"{name} ({plain(was)} against {plain(now)})" for name, (was, now) in (machines | surroundings).items()]
    return (
        '<div class="notice bad"><strong>Not comparable:</strong> they were measured in different surroundings'
        f"{': ' + ', '.join(differ) if differ else ''}.</div>"
    )


def _figure(name: str, base: str, new: str, old: BenchmarkResult, now: BenchmarkResult) -> str:
    one, other = distribution_of(old), distribution_of(now)
    if not one.total or not other.total:
        return ""
    label = f"Share of calls within a duration, {name}: base p95 {_of(old, 'p95')}, new p95 {_of(now, 'p95')}"
    drawn = cumulative([(base, one), (new, other)], (), label, None)
    return (
        f'<figure aria-label="{attr(name)}">{drawn}<figcaption><b>{plain(name)}.</b> Share of calls within a duration, '
        "as measured; further right is slower.</figcaption></figure>"
    )
