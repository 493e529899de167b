"""Stored results as OpenMetrics: read by prometheus-client's parser, a step at each run's time, clashes refused."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from typer.testing import CliRunner

from observe_lab import benchmark, load
from slotzero.cli.main import app
from slotzero.errors import UsageError
from slotzero.observe.backfill import history, version_of
from slotzero.perf.environment import Passport, passport
from slotzero.perf.result_file import ResultDocument, benchmark_document, encode_document
from slotzero.perf.types import BenchmarkFailure, BenchmarkResult, NoSuccess

START_S = 1_790_000_000


def where(revision: str = "abc", ts_s: int = START_S) -> Passport:
    return msgspec.structs.replace(passport(), ts_ms=ts_s * 1_000, extra={"revision": revision})


def document(*results: BenchmarkResult, revision: str = "abc", ts_s: int = START_S) -> ResultDocument:
    return benchmark_document(results, where(revision, ts_s))


def points(*documents: ResultDocument) -> dict[str, list[tuple[dict[str, str], float, float]]]:
    """Every sample, by name: labels, value, time.

    One instant is read at a time: prometheus-client's parser takes a histogram's second instant for duplicates of its
    first. What reads the whole text is promtool, in tests/e2e/test_monitoring.py.
    """
    parse: Any = text_string_to_metric_families
    lines = list(history([("", document) for document in documents]))
    assert lines[-1] == "# EOF"
    found: dict[str, list[tuple[dict[str, str], float, float]]] = {}
    for instant in sorted({line.rsplit(" ", 1)[1] for line in lines if line[0] != "#"}):
        at_once = [line.removesuffix(f" {instant}") for line in lines if line[0] == "#" or line.endswith(f" {instant}")]
        for family in parse("\n".join(at_once) + "\n"):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value, float(instant)))
    return found


def test_lines_of_a_group_stand_together_in_the_order_of_time() -> None:
    lines = list(history([("", document(benchmark("EXIT", [200.0] * 9), benchmark("EXECUTION", [200.0] * 9)))]))
    exits = [line for line in lines if line.startswith("benchmark_duration_ms") and 'component="EXIT"' in line]
    first = lines.index(exits[0])
    assert lines[first : first + len(exits)] == exits
    times = [int(line.rsplit(" ", 1)[1]) for line in exits]
    assert times == sorted(times)


def test_version_can_be_named() -> None:
    named = [("before", document(benchmark("EXIT", [2.0] * 9))), ("after", document(benchmark("EXIT", [3.0] * 9)))]
    text = "\n".join(history(named))
    assert 'instance="before",version="before"' in text
    assert 'instance="after",version="after"' in text


def test_run_is_a_step_at_its_time_that_stays_in_sight() -> None:
    found = points(document(benchmark("EXECUTION", [200.0] * 30, errors={"TimeoutError": 2})))
    total = found["benchmark_total"]
    assert {(labels["job"], labels["component"]) for labels, _, _ in total} == {("slotzero-history", "EXECUTION")}
    assert [value for _, value, at in total if at < START_S] == [0] * 4
    assert [value for _, value, at in total if at >= START_S] == [32] * 21
    buckets = {labels["le"]: value for labels, value, at in found["benchmark_duration_ms_bucket"] if at == START_S}
    assert buckets["150.0"] == 0
    assert buckets["200.0"] == buckets["+Inf"] == 30
    assert {labels["type"] for labels, _, _ in found["benchmark_errors_total"]} == {"TimeoutError"}
    assert {value for _, value, _ in found["benchmark_target_ms"]} == {1_500}


def test_later_run_of_a_version_goes_on_from_the_earlier_one() -> None:
    first = document(benchmark("EXIT", [200.0] * 30))
    second = document(benchmark("EXIT", [200.0] * 50), ts_s=START_S + 3_600)
    values = [value for _, value, _ in points(second, first)["benchmark_total"]]
    assert values == [0] * 4 + [30] * 25 + [80] * 21


def test_two_versions_are_two_instances() -> None:
    found = points(document(benchmark("EXIT", [200.0] * 9)), document(benchmark("EXIT", [300.0] * 9), revision="def"))
    instances = {labels["instance"] for labels, _, _ in found["benchmark_success_rate"]}
    assert instances == {version_of(where("abc")), version_of(where("def"))}
    assert all(labels["version"] == labels["instance"] for labels, _, _ in found["benchmark_success_rate"])


def test_load_result_brings_its_requests_and_durations() -> None:
    raw = msgspec.Raw(msgspec.json.encode(load([700.0] * 40, {"timeout": 4})))
    found = points(ResultDocument(kind="load", environment=where(), other=(raw,)))
    at_end = {labels["status"]: value for labels, value, at in found["load_test_requests_total"] if at == START_S}
    assert at_end == {"ok": 40, "timeout": 4}
    assert {value for _, value, _ in found["load_test_concurrency"]} == {100}


def test_failed_benchmark_is_left_out() -> None:
    failure = BenchmarkFailure(component="EXIT", name="EXIT", error=NoSuccess(errors={"X": 1}, message="no"))
    assert points(benchmark_document([failure], where())) == {}


def test_strange_names_survive() -> None:
    name = 'a "b" \\ \n c'
    found = points(document(msgspec.structs.replace(benchmark("EXIT", [1.0] * 9), component=None, name=name)))
    assert {labels["component"] for labels, _, _ in found["benchmark_total"]} == {name}


def test_two_results_of_one_version_at_one_time_are_refused() -> None:
    one = document(benchmark("EXIT", [200.0] * 9))
    with pytest.raises(UsageError, match="less than 360 s apart"):
        list(history([("", one), ("", document(benchmark("EXIT", [200.0] * 9), ts_s=START_S + 60))]))


def test_load_result_that_cannot_be_read_is_one_sentence() -> None:
    broken = ResultDocument(kind="load", environment=where(), other=(msgspec.Raw(b'{"outcome": "measured"}'),))
    with pytest.raises(UsageError, match="a load result cannot be read"):
        list(history([("", broken)]))


def test_command_writes_to_stdout_or_to_a_file(tmp_path: Path) -> None:
    stored = tmp_path / "result.json"
    stored.write_bytes(encode_document(document(benchmark("EXIT", [200.0] * 9))))
    printed = CliRunner().invoke(app, ["dashboards", "backfill", str(stored)])
    assert printed.exit_code == 0
    assert printed.stdout.endswith("# EOF\n")
    written = CliRunner().invoke(app, ["dashboards", "backfill", str(stored), "--out", str(tmp_path / "history.om")])
    assert written.exit_code == 0
    assert (tmp_path / "history.om").read_text() == printed.stdout
    assert "promtool tsdb create-blocks-from openmetrics" in written.stdout


def test_command_takes_a_name_before_a_file(tmp_path: Path) -> None:
    for name in ("old.json", "a=b.json"):
        (tmp_path / name).write_bytes(encode_document(document(benchmark("EXIT", [200.0] * 9))))
    named = CliRunner().invoke(app, ["dashboards", "backfill", f"before={tmp_path / 'old.json'}"])
    assert 'instance="before"' in named.stdout
    plain = CliRunner().invoke(app, ["dashboards", "backfill", str(tmp_path / "a=b.json")])
    assert plain.exit_code == 0, "a file of that name is a file"


def test_thresholds_come_from_measured_results(tmp_path: Path) -> None:
    stored = tmp_path / "result.json"
    stored.write_bytes(encode_document(document(benchmark("EXECUTION", [200.0] * 99))))
    folder = str(tmp_path / "out")
    done = CliRunner().invoke(app, ["dashboards", "export", folder, "--thresholds-from", str(stored)])
    assert done.exit_code == 0, done.output
    measured = (tmp_path / "out" / "prometheus" / "measured.yml").read_text()
    assert "SlotzeroSlowerThanMeasured" in measured
    assert "> 500 and on" in measured  # 200 * 1.1 (its interval) * 1.5 = 330, the next bound is 500
    assert "measured.yml" in (tmp_path / "out" / "prometheus" / "prometheus.yml").read_text()
    assert (tmp_path / "out" / "prometheus" / "alerts.yml").exists(), "beside the literal seven, not in their place"


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema": "slotzero.result/9"}', b"\xff\xfe"])
def test_file_that_is_no_result_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    stored = tmp_path / "x.json"
    stored.write_bytes(content)
    for command in (["backfill", str(stored)], ["export", str(tmp_path), "--thresholds-from", str(stored)]):
        done = CliRunner().invoke(app, ["dashboards", *command])
        assert isinstance(done.exception, UsageError)
        assert "\n" not in str(done.exception)
