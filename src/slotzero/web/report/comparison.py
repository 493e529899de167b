"""Two result files beside one another: what changed, and how little that may mean. Pure."""

from typing import Final

from slotzero.perf.types import BenchmarkResult, Interval
from slotzero.web.report.charts import cumulative
from slotzero.web.report.overview import results_of
from slotzero.web.report.records import ReportPart, distribution_of
from slotzero.web.report.text import DASH, attr, duration, percent, plain, signed_percent

__all__ = ["comparison_section"]

_NS: Final = 1e6
_FIELDS: Final = (("p50", "median"), ("p95", "p95"), ("p99", "p99"))


def comparison_section(base: ReportPart, new: ReportPart) -> str:
    """Return the comparison of what both have."""
    before = {_key(result): result for result in results_of(base.document)}
    pairs = [(before[_key(result)], result) for result in results_of(new.document) if _key(result) in before]
    if not pairs:
        return '<h2 id="compare">Comparison</h2><p class="notice">The two results have no benchmark in common.</p>'
    rows = "".join(_row(old, now) for old, now in pairs)
    charts = "".join(_figure(base.name, new.name, old, now) for old, now in pairs)
    return (
        f'<h2 id="compare">Comparison</h2><p>{plain(base.name)} is the base, {plain(new.name)} the new one; + is '
        f"slower. {_caution(base, new)}"
        '<p class="small soft">Changes are corrected by the reference work, a fixed piece of work timed beside '
        "every benchmark, so most of a slower or busier machine is taken out. “Overlap” says that the intervals of p95 "
        'overlap: then even the direction is open.</p><div class="scroll" role="group" tabindex="0" '
        'aria-label="Comparison of both results"><table><thead><tr><th scope="col">Benchmark</th>'
        '<th scope="col">p50</th><th scope="col">change</th><th scope="col">p95</th><th scope="col">change</th>'
        '<th scope="col" class="wide">p99</th><th scope="col" class="wide">change</th>'
        '<th scope="col">p95 intervals</th><th scope="col" class="wide">machine</th></tr></thead>'
        f'<tbody>{rows}</tbody></table></div><div class="charts">{charts}</div>'
    )


def reference_factor(old: BenchmarkResult, new: BenchmarkResult) -> float | None:
    """Return how much longer the reference work took beside `new`, or None where it is not known for both. *Pure.*"""
    if old.noise is None or new.noise is None or old.noise.reference != new.noise.reference:
        return None
    before = old.noise.reference_before_us + old.noise.reference_after_us
    after = new.noise.reference_before_us + new.noise.reference_after_us
    return after / before if before > 0 and after > 0 else None


def _key(result: BenchmarkResult) -> tuple[str, str]:
    return result.name, result.event_loop.split(" ")[0]


def _caution(base: ReportPart, new: ReportPart) -> str:
    text = (
        "These are two stored results, measured at different times: a hint where to look, not a verdict. "
        "<code>slotzero compare REVISION REVISION</code> measures both in turns and judges.</p>"
    )
    one, other = base.document.environment, new.document.environment
    if one.fingerprint != other.fingerprint:
        differ = [
            f"{name} ({plain(getattr(one, name))} against {plain(getattr(other, name))})"
            for name in ("cpu", "cores_usable", "system", "python", "event_loop")
            if getattr(one, name) != getattr(other, name)
        ]
        text += (
            '<div class="notice bad"><strong>Not comparable:</strong> they were measured in different surroundings'
            f"{': ' + ', '.join(differ) if differ else ''}.</div>"
        )
    return text


def _row(old: BenchmarkResult, new: BenchmarkResult) -> str:
    factor = reference_factor(old, new)
    cells = []
    for name, field in _FIELDS:
        before, after = float(getattr(old.latency_ms, field)), float(getattr(new.latency_ms, field))
        kind = ' class="wide"' if name == "p99" else ""
        change = (after / (factor or 1.0) / before - 1) * 100 if before else 0.0
        cells.append(f"<td{kind}>{duration(before * _NS)} → {duration(after * _NS)}</td>")
        cells.append(f"<td{kind}><strong>{signed_percent(change)}</strong></td>")
    apart = _apart(old.latency_ms.intervals.get("p95"), new.latency_ms.intervals.get("p95"), factor or 1.0)
    shown = "unknown" if factor is None else signed_percent((factor - 1) * 100)
    return (
        f'<tr><th scope="row">{plain(new.name)}</th>{"".join(cells)}<td>{apart}</td><td class="wide">{shown}</td></tr>'
    )


def _apart(old: Interval | None, new: Interval | None, factor: float) -> str:
    if old is None or new is None:
        return "too few calls"
    low, high = new.low / factor, new.high / factor
    if low > old.high:
        return "apart: slower"
    return "apart: faster" if high < old.low else "overlap"


def _figure(base: str, new: str, old: BenchmarkResult, now: BenchmarkResult) -> str:
    one, other = distribution_of(old), distribution_of(now)
    if not one.total or not other.total:
        return ""
    label = f"Share of calls within a duration, {now.name}: base p95 {duration(old.latency_ms.p95 * _NS)}, new p95 "
    label += duration(now.latency_ms.p95 * _NS)
    drawn = cumulative([(base, one), (new, other)], (), label, None)
    share = percent(100 * abs(now.latency_ms.median / old.latency_ms.median - 1)) if old.latency_ms.median else DASH
    return (
        f'<figure aria-label="{attr(now.name)}">{drawn}<figcaption><b>{plain(now.name)}.</b> Further right is slower; '
        f"the medians are {share} apart as measured.</figcaption></figure>"
    )
