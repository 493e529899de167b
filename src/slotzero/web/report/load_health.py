"""What a load run says of its own generator: whether it kept its plan, and what its process went through. Pure."""

from typing import Final

from slotzero.perf.load_types import GeneratorHealth, LoadResult
from slotzero.web.report.tables import captioned
from slotzero.web.report.text import DASH, attr, duration, number, plain

__all__ = ["generator_health", "resources"]

_NS: Final = 1e6


def generator_health(found: GeneratorHealth) -> str:
    """Return the same figures for every model of load: what a run has none of is a dash."""
    reasons = "".join(f"<li>{plain(reason)}</li>" for reason in found.reasons)
    listed = f'<ul class="notes small">{reasons}</ul>' if reasons else ""
    return (
        f"<h4>Health of the generator</h4>{listed}"
        f'<div class="blocks">{_facts("starts", _starts(found))}{_facts("generator", _generator(found))}</div>'
    )


def resources(result: LoadResult) -> str:
    """Return what each process used, the watched ones included; nothing when none was watched."""
    if not result.resources:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{plain(name)}</th><td>{number(used.avg_cpu_percent)} %</td>'
        f"<td>{number(used.peak_cpu_percent)} %</td><td>{number(used.peak_rss_mb)} MB</td>"
        f"<td>{number(used.rss_growth_mb)} MB</td><td>{_count(used.peak_fds)}</td></tr>"
        for name, used in result.resources.items()
    )
    names = ("process", "CPU, mean", "CPU, busiest", "memory at most", "memory grown", "open files at most")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    label = attr(f"Resources of {result.scenario}")
    return (
        f'<h4>Resources</h4><div class="scroll" role="group" tabindex="0" aria-label="{label}"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _starts(found: GeneratorHealth) -> dict[str, str]:
    late, own = found.lateness_ms, found.dispatch_ms
    return {
        "planned": _count(found.planned),
        "begun": _count(found.started),
        "dropped: no place was free": _count(found.dropped),
        "missed: too late to be begun": _count(found.late),
        "still waiting at the end": _count(found.unstarted),
        "begun late by, p50": _ms(None if late is None else late.median),
        "begun late by, p99": _ms(None if late is None else late.p99),
        "the generator's part of it, p99": _ms(None if own is None else own.p99),
        "woken by": found.pacer or DASH,
    }


def _generator(found: GeneratorHealth) -> dict[str, str]:
    return {
        "verdict": found.verdict.replace("_", " "),
        "CPU": f"{number(found.cpu_percent)} %",
        "event loop answers after, p50": _ms(found.loop_delay_p50_ms),
        "event loop answers after, p99": _ms(found.loop_delay_p99_ms),
        "garbage collector pauses": _count(found.gc_pauses),
        "the longest of them": _ms(found.gc_max_ms),
        "all of them": _ms(found.gc_total_ms),
        "open files at most": _count(found.peak_fds),
        "steal time": DASH if found.steal_percent is None else f"{number(found.steal_percent)} %",
    }


def _facts(caption: str, facts: dict[str, str]) -> str:
    return captioned(caption, ["figure", "value"], [(name, [value]) for name, value in facts.items()])


def _count(value: int | None) -> str:
    return DASH if value is None else number(value)


def _ms(value: float | None) -> str:
    return DASH if value is None else duration(value * _NS) if value > 0 else "0 ms"
