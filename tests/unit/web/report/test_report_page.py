"""The report's page, as text: complete, well-formed, loading nothing, believing nothing."""

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from report_lab import HOSTILE, full_document, judged_document, load_run, measured_document, write
from slotzero.cli.main import app
from slotzero.errors import UsageError
from slotzero.perf.compare.document import encode
from slotzero.perf.load_document import load_outcomes
from slotzero.perf.load_types import GeneratorHealth, LoadResult
from slotzero.perf.result_file import benchmark_document
from slotzero.web.report import ReportPart, render_report
from slotzero.web.report.load_health import generator_health
from slotzero.web.report.load_section import verdict_chip
from slotzero.web.report.scales import Scale, linear_ticks, log_ticks, thinned
from slotzero.web.report.text import DASH, duration, number, percent, plain, signed_percent, slug

_EMPTY = {"meta", "link", "br", "path", "rect", "circle"}


class _Reader(HTMLParser):
    """Reads a page: that elements close, what it links to, what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.scripts += tag == "script"
        if found.get("id"):
            self.ids.append(found["id"] or "")
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _EMPTY:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in _EMPTY:
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids)), "an id is there twice"
    return reader


def _tables(page: str) -> dict[str, list[tuple[str, list[str]]]]:
    """Tables by their captions: each row's first cell, and the others."""
    found = {}
    for table in re.findall(r"<table><caption>.*?</table>", page):
        rows = [
            [unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", table)
        ]
        found[re.search(r"<caption>(.*?)</caption>", table)[1]] = [(row[0], row[1:]) for row in rows]  # type: ignore[index]  # it has one
        assert len(re.findall(r'<th scope="col">', table)) == len(rows[0])
    return found


def _part(name: str = "one", **options: float) -> ReportPart:
    return ReportPart(name=name, document=full_document(**options))  # type: ignore[arg-type]  # seed is whole


def test_page_is_well_formed_and_its_links_lead_somewhere() -> None:
    reader = _read(render_report([_part()]))

    inner = {address[1:] for address in reader.addresses if address.startswith("#")}
    assert inner <= set(reader.ids)
    assert [address for address in reader.addresses if not address.startswith("#")] == ["data:,"]


def test_page_names_nothing_to_load() -> None:
    page = render_report([_part(), _part("two")])

    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)
    assert "@import" not in page
    assert "url(" not in page


def test_what_a_result_says_is_text_and_nothing_else() -> None:
    page = render_report([ReportPart(name=HOSTILE, document=full_document(), links={"FULL_FLOW": ((HOSTILE, "a b"),)})])

    assert _read(page).scripts == 1
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_page_says_what_was_measured_in_words() -> None:
    text = "".join(_read(render_report([_part()])).texts)

    assert "Half of 600 calls took under" in text
    assert "must missed" in text
    assert "METADATA has no result" in text
    assert "Memory grows by 2,000 MB" in text
    assert "p95 would go from 46 ms to 40 ms (13 % less)" in text
    assert "The limit of 500 ms is not kept." in text
    assert "A run was stopped early" in text


def test_suggestions_come_in_the_order_of_their_weight() -> None:
    text = "".join(_read(render_report([_part()])).texts)

    assert text.index("Memory grows by") < text.index("The stage 'honeypot'")


def test_two_results_are_compared_and_three_are_not() -> None:
    two = "".join(_read(render_report([_part("before"), _part("after", seed=2, slower=2.0)])).texts)
    three = "".join(_read(render_report([_part("a"), _part("b"), _part("c")])).texts)

    assert "before is the base, after the new one" in two
    assert "▲ REGRESSED" in two
    assert "no reference work to compare through" in two
    assert "is the base" not in three


def test_results_of_different_surroundings_are_said_to_be_incomparable() -> None:
    one, other = full_document(), full_document()
    elsewhere = replace(other, environment=replace(other.environment, fingerprint="0" * 16))

    page = render_report([ReportPart(name="a", document=one), ReportPart(name="b", document=elsewhere)])

    assert "Not comparable:" in page


def test_results_of_different_chains_are_said_to_be_incomparable() -> None:
    one = full_document()
    local, paper = (
        replace(one, environment=replace(one.environment, extra={"cluster": cluster})) for cluster in ("local", "paper")
    )

    page = render_report([ReportPart(name="a", document=local), ReportPart(name="b", document=paper)])

    assert "Not comparable:" in page
    assert "cluster (local against paper)" in page


async def test_command_writes_the_page_with_links_to_what_lies_beside(tmp_path: Path) -> None:
    document = await measured_document(100)
    (result,) = document.results
    folder = tmp_path / "out.profile"
    folder.mkdir()
    (folder / "short-sleep.flame.svg").write_text("<svg/>")
    with_files = replace(result, files={"flame": "out.profile/short-sleep.flame.svg", "trace": "gone.json"})
    path = write(tmp_path, "out", benchmark_document([with_files], document.environment))
    page = tmp_path / "pages" / "report.html"
    page.parent.mkdir()

    ended = CliRunner().invoke(app, ["report", str(path), "--out", str(page)])

    assert ended.exit_code == 0, ended.output
    addresses = _read(page.read_text(encoding="utf-8")).addresses
    assert "../out.profile/short-sleep.flame.svg" in addresses
    assert not [address for address in addresses if "gone" in address]


def test_command_with_a_file_that_is_no_result_or_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    good = write(tmp_path, "good", full_document())

    foreign = CliRunner().invoke(app, ["report", str(tmp_path / "x.json"), "--out", str(tmp_path / "r.html")])
    nowhere = CliRunner().invoke(app, ["report", str(good), "--out", str(tmp_path / "no" / "r.html")])

    assert isinstance(foreign.exception, UsageError)
    assert isinstance(nowhere.exception, UsageError)
    assert "cannot be written" in str(nowhere.exception)
    assert not (tmp_path / "r.html").exists()


async def test_load_run_has_its_verdict_thresholds_and_failures() -> None:
    page = render_report([ReportPart(name="load", document=await load_run())])

    reader = _read(page)
    text = "".join(reader.texts)
    assert "Load report" in text
    assert "✗ not passed" in text
    assert "error_percent<=1" in text
    assert "ConnectionResetError" in text
    assert "Operations begun and succeeded" in text
    assert "NONE has no result" in text
    assert reader.scripts == 1


async def test_load_run_has_the_health_of_its_generator() -> None:
    tables = _tables(render_report([ReportPart(name="load", document=await load_run())]))

    assert [name for name, _ in tables["Starts"]][1:] == [
        "planned",
        "begun",
        "dropped: no place was free",
        "missed: too late to be begun",
        "still waiting at the end",
        "begun late by, p50",
        "begun late by, p99",
        "the generator's part of it, p99",
        "woken by",
    ]
    assert [name for name, _ in tables["Generator"]][1:] == [
        "verdict",
        "CPU",
        "event loop answers after, p50",
        "event loop answers after, p99",
        "garbage collector pauses",
        "the longest of them",
        "all of them",
        "open files at most",
        "steal time",
    ]


def test_health_of_a_closed_run_on_a_machine_without_counters_has_dashes() -> None:
    health = GeneratorHealth(verdict="generator_limited", reasons=(HOSTILE,), lateness_ms=None, cpu_percent=95.2)
    page = generator_health(health)
    tables = _tables(page)

    assert HOSTILE not in page
    assert dict(tables["Starts"])["begun late by, p99"] == [DASH]
    assert dict(tables["Generator"]) == {
        "figure": ["value"],
        "verdict": ["generator limited"],
        "CPU": ["95.2 %"],
        "event loop answers after, p50": [DASH],
        "event loop answers after, p99": [DASH],
        "garbage collector pauses": ["0"],
        "the longest of them": ["0 ms"],
        "all of them": ["0 ms"],
        "open files at most": [DASH],
        "steal time": [DASH],
    }


async def test_load_run_has_what_bot_and_chain_say_as_tables() -> None:
    tables = _tables(render_report([ReportPart(name="load", document=await load_run())]))

    assert tables["Bot"] == [
        ("figure", ["value"]),
        ("bought", ["1\u202f234"]),
        ("loop delay p99", ["3.21 ms"]),
        ("reads without RPC", ["97.5 %"]),
    ]
    assert tables["Bot, latencies"][:2] == [
        ("stage", ["p50", "p95", "p99"]),
        ("detection", ["123 ms", "123 ms", "123 ms"]),
    ]
    assert tables["Failures"] == [("figure", ["value"]), ("none", [])]
    assert tables["Faults"][1:] == [("HTTP 429", ["12"]), ("cut connections", ["2"]), ("seen rate limited", ["12"])]
    assert tables["Bundles"][1:] == [("accepted", ["0"]), ("landed", [DASH])]
    assert tables["Drift"][1:] == [
        ("p99 change", ["-3.21 %"]),
        ("skipped", ["60 s"]),
        ("bot memory, upper end", ["4.2 MB/h"]),
    ]
    assert tables["Machine"][1:] == [("memory", ["300 MB"]), ("chain CPU per operation", ["0 ms"])]


async def test_steps_of_a_climb_are_the_rows_of_one_table() -> None:
    tables = _tables(render_report([ReportPart(name="load", document=await load_run())]))

    assert tables["Climb"] == [
        ("step", ["users", "operations", "success", "p95", "errors", "verdict"]),
        ("step 1", ["200", "181/s", "99.9 %", "1.53 s", "1", "ok"]),
        ("step 2", ["300", "90.1/s", "0 %", DASH, "9", "chain limited"]),
    ]
    assert tables["Bounded climb"][1:] == [("step 1", ["40", "30.5/s", "100 %", "900 ms", "0", "ok"])]


async def test_interrupted_load_run_is_neither_passed_nor_not() -> None:
    outcome = next(run for run in load_outcomes(await load_run(), "load") if isinstance(run, LoadResult))
    interrupted = replace(outcome, stopped="interrupted", passed=True)

    assert "○ interrupted" in verdict_chip(interrupted)
    assert "passed" not in verdict_chip(interrupted)


def test_what_compare_has_judged_is_shown_with_every_verdict() -> None:
    reader = _read(render_report([], judged=[judged_document()]))
    text = "".join(reader.texts)

    for verdict in ("▲ REGRESSED", "? SUSPECT", "▼ IMPROVED", "= EQUIVALENT", "… INCONCLUSIVE"):
        assert verdict in text
    assert "HEAD against HEAD~1, measured in turns, 6 launches: REGRESSED" in text
    assert "about 9 launches would decide it" in text
    assert "an independent repeat agreed" in text
    assert "1 ms → 2 ms" in text
    assert {address[1:] for address in reader.addresses if address.startswith("#")} <= set(reader.ids)


def test_command_takes_results_and_comparisons_together(tmp_path: Path) -> None:
    judged = tmp_path / "judged.json"
    judged.write_bytes(encode(judged_document()))
    result = write(tmp_path, "result", full_document())
    page = tmp_path / "report.html"

    ended = CliRunner().invoke(app, ["report", str(result), str(judged), "--out", str(page), "--title", "Both"])

    assert ended.exit_code == 0, ended.output
    text = "".join(_read(page.read_text(encoding="utf-8")).texts)
    assert "HEAD against HEAD~1" in text
    assert "FULL_FLOW" in text


def test_comparison_that_is_damaged_is_one_sentence(tmp_path: Path) -> None:
    judged = tmp_path / "judged.json"
    judged.write_text('{"schema": "slotzero.compare/1", "kind": "paired"}')

    ended = CliRunner().invoke(app, ["report", str(judged), "--out", str(tmp_path / "report.html")])

    assert isinstance(ended.exception, UsageError)
    assert "is damaged" in str(ended.exception)


# Figures and axes


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 ns"),
        (7, "7 ns"),
        (999.9, "1 µs"),
        (1_234, "1.23 µs"),
        (45_670, "45.7 µs"),
        (205e6, "205 ms"),
        (2e9, "2 s"),
        (123e9, "123 s"),
    ],
)
def test_duration_has_three_figures_and_a_fitting_unit(value: float, shown: str) -> None:
    assert duration(value) == shown


def test_numbers_are_short() -> None:
    assert number(1_234_567) == "1\u202f234\u202f567"
    assert number(0.012345) == "0.0123"
    assert number(float("nan")) == "\u2013"
    assert percent(99.95) == "100 %"
    assert signed_percent(-3.14) == "\u22123.1 %"
    assert slug("FULL flow/2") == "full-flow-2"
    assert plain("\u202e<b>") == "?&lt;b&gt;"


@pytest.mark.parametrize(("low", "high"), [(1, 10), (3, 5), (100, 1e9), (1.0, 1.44), (9.9e5, 1.01e6)])
def test_logarithmic_axis_has_a_few_ticks_within_its_ends(low: float, high: float) -> None:
    ticks = log_ticks(low, high)

    assert 1 <= len(ticks) <= 7
    assert ticks == sorted(ticks)
    assert all(low * 0.999 <= tick <= high * 1.001 for tick in ticks)


def test_linear_axis_and_places_on_it() -> None:
    assert linear_ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert linear_ticks(3, 3) == [3]
    scale = Scale(low=0, high=10, start=100, end=200)
    assert (scale.at(5), scale.at(-1), scale.at(99)) == (150, 100, 200)
    log = Scale.logarithmic(1, 1, start=0, end=10)
    assert 0 < log.at(1) < 10


def test_thinned_series_keeps_every_spike() -> None:
    values = [1.0] * 1_000
    values[137] = 99.0

    found = thinned(values, 100)

    assert len(found) <= 100
    assert max(most for _, _, most in found) == 99.0
