"""The report's page put together: one file with its styles and drawings in it. Pure but for reading those."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final

from slotzero import __version__
from slotzero.perf.compare.document import CompareDocument
from slotzero.perf.environment import Passport
from slotzero.perf.evidence import Evidence
from slotzero.perf.load_document import load_outcomes
from slotzero.perf.suggest import ranked, suggest
from slotzero.perf.types import BenchmarkResult, Suggestion
from slotzero.web.report.advice import advice_list
from slotzero.web.report.comparison import comparison_section, judged_section
from slotzero.web.report.load_section import load_section
from slotzero.web.report.overview import failures, headline, overview_table, results_of
from slotzero.web.report.records import ReportPart
from slotzero.web.report.section import benchmark_section
from slotzero.web.report.text import attr, number, plain

__all__ = ["render_report"]

_OPEN_AT_FIRST: Final = 2
"""So many benchmarks are shown unfolded; of more, only their headings."""
_MOST_ADVICE: Final = 12
_PAIR: Final = 2
_FEW_NAMES: Final = 3
_TERMS: Final = (
    (
        "p50, p95, p99",
        "What 50, 95 and 99 of 100 calls stay under. p95 is what targets are about: the slow calls count.",
    ),
    (
        "aim and must",
        "The aim is what the component is built for. The must is generous: to miss it says that it is broken.",
    ),
    (
        "interval",
        "Measured again, a percentile comes out somewhat different. In 95 of 100 cases its true value is in it.",
    ),
    (
        "own and waited",
        "Own is our CPU at work, which better code shortens. Waited is the network, the disk, the slot.",
    ),
    ("warm-up", "Calls before the counted ones, so that caches and connections are as they are in a longer run."),
    ("quiet", "Whether anything else used the machine. When it was not, differences of some percent mean nothing."),
)


def render_report(parts: Sequence[ReportPart], *, judged: Sequence[CompareDocument] = (), title: str = "") -> str:
    """Return the page.

    Args:
        parts: The result files, in the order given; exactly two of benchmarks are compared as well.
        judged: What `slotzero compare` has said.
        title: The page's name; made of what was measured when empty.
    """
    style, script = _asset("report.css"), _asset("report.js")
    is_pair = [part.document.kind for part in parts] == ["benchmark"] * _PAIR
    name = title or _name(parts, is_comparison=is_pair or not parts)
    about = " · ".join(dict.fromkeys(part.document.title for part in parts if part.document.title))
    body = [
        _head(name, about, parts),
        _inside(parts, judged, is_pair=is_pair),
        '<main class="wrap" id="content">',
        _advice(parts),
        *(judged_section(place, found) for place, found in enumerate(judged)),
        comparison_section(*parts) if is_pair else "",
        *(_part(place, part, is_only=len(parts) == 1) for place, part in enumerate(parts)),
        _guide(),
        *(_environment(place, part, is_only=len(parts) == 1) for place, part in enumerate(parts)),
        f"<footer>Made by slotzero {plain(__version__)}.",
        " This page loads nothing from anywhere.</footer></main>",
    ]
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; img-src data:"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{attr(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><link rel="icon" href="data:,"><title>{plain(name)}</title><style>{style}</style></head>'
        f"<body>{''.join(body)}<script>{script}</script></body></html>\n"
    )


def _name(parts: Sequence[ReportPart], *, is_comparison: bool) -> str:
    if is_comparison:
        return "Comparison of two versions"
    return "Load report" if all(part.document.kind == "load" for part in parts) else "Benchmark report"


def _head(name: str, about: str, parts: Sequence[ReportPart]) -> str:
    measured = ""
    if parts:
        environment = parts[-1].document.environment
        when = datetime.fromtimestamp(environment.ts_ms / 1_000, UTC)
        measured = (
            f'<p class="small soft">{when:%d %B %Y, %H:%M} UTC · {plain(environment.cpu)}, {environment.cores_usable} '
            f"cores · {plain(environment.python)} · {plain(environment.event_loop)}</p>"
        )
    stopped = any(part.document.stopped for part in parts)
    notice = '<p class="notice">A run was stopped early: what follows is what it had.</p>' if stopped else ""
    return (
        '<a class="skip" href="#content">To the content</a><header class="top wrap"><div class="bar-top"><div>'
        f'<h1>{plain(name)}</h1><p class="soft">{plain(about)}</p>{measured}</div>'
        '<div><button id="all" type="button" hidden>Open all</button> '
        f'<button id="theme" type="button" hidden>Dark colours</button></div></div>{notice}{headline(parts)}</header>'
    )


def _inside(parts: Sequence[ReportPart], judged: Sequence[CompareDocument], *, is_pair: bool) -> str:
    items = [("#suggestions", "Suggestions")] if _benchmarks(parts) else []
    items += [(f"#judged{place}", "Comparison") for place, _ in enumerate(judged)]
    items += [("#compare", "Comparison")] if is_pair else []
    items += [(f"#part{place}", _heading(part, is_only=len(parts) == 1)) for place, part in enumerate(parts)]
    items += [("#guide", "How to read this")]
    items += [("#environment0", "Environment")] if parts else []
    links = "".join(f'<li><a href="{address}">{plain(label)}</a></li>' for address, label in items)
    return f'<nav class="inside" aria-label="Parts of this page"><ul tabindex="0" aria-label="Parts">{links}</ul></nav>'


def _advice(parts: Sequence[ReportPart]) -> str:
    """Return what to change, of the newest result. What is said of several benchmarks in the same words stands once."""
    measured = _benchmarks(parts)
    if not measured:
        return ""
    said: dict[tuple[str, str], tuple[Suggestion, list[str]]] = {}
    for result in results_of(measured[-1].document):
        for found in _suggestions(result):
            # What has no estimate of its own is the same remark, whatever figures stand in it.
            key = (found.rule, "" if found.impact_p95_ms is None and found.impact_mb_per_h is None else found.title)
            said.setdefault(key, (found, []))[1].append(result.name)
    whose = {id(found): names for found, names in said.values()}
    order = ranked(found for found, _ in said.values())[:_MOST_ADVICE]
    if not order:
        return (
            '<h2 id="suggestions">Suggestions</h2><p>Nothing stands out. <code>slotzero bench --profile</code> takes a '
            "second look, with a profile and the stages of each call.</p>"
        )
    names = [_names(whose[id(found)]) for found in order]
    return (
        '<h2 id="suggestions">Suggestions</h2><p>What to change, the most rewarding first.</p>'
        f"{advice_list(order, of=names)}"
    )


def _benchmarks(parts: Sequence[ReportPart]) -> list[ReportPart]:
    return [part for part in parts if part.document.kind == "benchmark"]


def _heading(part: ReportPart, *, is_only: bool) -> str:
    kind = "Load" if part.document.kind == "load" else "Benchmarks"
    return kind if is_only else f"{kind}: {part.name}"


def _suggestions(result: BenchmarkResult) -> Sequence[Suggestion]:
    """Return what the second look found, or what the figures alone say."""
    return result.suggestions or suggest(Evidence(name=result.name, component=result.component, result=result))


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _FEW_NAMES else f"{len(names)} benchmarks"


def _part(place: int, part: ReportPart, *, is_only: bool) -> str:
    results = results_of(part.document)
    heading = _heading(part, is_only=is_only)
    if part.document.kind == "load":
        outcomes = load_outcomes(part.document, part.name)
        runs = "".join(load_section(place, run, is_open=len(outcomes) <= _OPEN_AT_FIRST) for run in outcomes)
        return f'<h2 id="part{place}">{plain(heading)}</h2><p class="soft">{plain(part.document.title)}</p>{runs}'
    sections = "".join(
        benchmark_section(
            place, result, links=part.links.get(result.name, ()), is_open=is_only and len(results) <= _OPEN_AT_FIRST
        )
        for result in results
    )
    table = overview_table(place, part.document)
    return (
        f'<h2 id="part{place}">{plain(heading)}</h2><p class="soft">{plain(part.document.title)}</p>'
        f"{failures(part.document)}{table}{sections}"
    )


def _guide() -> str:
    terms = "".join(f"<div><dt><b>{term}</b></dt><dd>{text}</dd></div>" for term, text in _TERMS)
    return f'<h2 id="guide">How to read this</h2><dl class="facts guide">{terms}</dl>'


def _environment(place: int, part: ReportPart, *, is_only: bool) -> str:
    found = part.document.environment
    facts = {
        **_machine(found),
        **{f"library {name}": version for name, version in found.libraries.items()},
        **{name.replace("_", " "): value for name, value in found.extra.items()},
    }
    heading = "Environment" if is_only else f"Environment: {part.name}"
    items = "".join(f"<div><dt>{plain(name)}</dt><dd>{plain(value)}</dd></div>" for name, value in facts.items())
    return f'<h2 id="environment{place}">{plain(heading)}</h2><div class="card"><dl class="facts">{items}</dl></div>'


def _machine(found: Passport) -> dict[str, str]:
    facts = {
        "CPU": found.cpu,
        "cores (usable)": f"{found.cores} ({found.cores_usable})",
        "system": f"{found.system}, {found.machine}",
        "virtual machine": {True: "yes", False: "no", None: "unknown"}[found.virtual],
        "Python": found.python,
        "event loop": found.event_loop,
        "slotzero": found.slotzero,
        "clock source": found.clock_source or "unknown",
        "frequency governor": found.governor or "unknown",
        "collector thresholds": ", ".join(map(str, found.gc_thresholds)),
        "fingerprint": found.fingerprint,
    }
    if found.memory_mb is not None:
        facts["memory"] = f"{number(found.memory_mb)} MB"
    if found.load_1m is not None:
        facts["load of the last minute"] = number(found.load_1m)
    if found.flags:
        facts["beware"] = "; ".join(found.flags)
    return facts


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
