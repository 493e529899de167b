import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slotzero.perf.exports import EXPORTS, bencher, github_action_benchmark, pytest_benchmark
from slotzero.perf.result_file import benchmark_document
from slotzero.perf.types import BenchmarkFailure, NoSuccess
from stored_results import document, machine, result

FAILED = BenchmarkFailure(component=None, name="fails", error=NoSuccess(errors={"E": 1}, message="no"))


def exported(name: str) -> Any:
    return json.loads(EXPORTS[name](benchmark_document([result(), FAILED], machine()), "abc123"))


def test_github_action_benchmark_has_a_row_for_each_percentile() -> None:
    rows = exported("github-action-benchmark")
    assert [row["name"] for row in rows] == [f"FILTERS {name}" for name in ("p50", "p75", "p90", "p95", "p99")]
    first = rows[0]
    assert set(first) == {"name", "unit", "value", "range", "extra"}
    assert (first["unit"], first["value"]) == ("ms", pytest.approx(0.1, rel=0.02))
    low, high = map(float, first["range"].split(" .. "))
    assert low < first["value"] < high
    assert first["extra"].startswith("n=500\n")
    assert first["extra"].endswith("abc123")


def test_bencher_has_numbers_only_in_nanoseconds_with_bounds() -> None:
    measures = exported("bencher")["FILTERS"]
    assert set(measures) == {f"latency-{name}" for name in ("p50", "p75", "p90", "p95", "p99")} | {
        "throughput",
        "success-rate",
    }
    for measure in measures.values():
        assert set(measure) <= {"value", "lower_value", "upper_value"}
        assert all(isinstance(value, int | float) for value in measure.values())
    p50 = measures["latency-p50"]
    assert p50["lower_value"] < p50["value"] < p50["upper_value"]
    assert p50["value"] == pytest.approx(100_000, rel=0.02)
    assert measures["success-rate"]["value"] == 100


def test_pytest_benchmark_has_seconds_and_the_commit() -> None:
    saved = exported("pytest-benchmark")
    assert saved["commit_info"]["id"] == "abc123"
    (entry,) = saved["benchmarks"]
    stats = entry["stats"]
    assert (entry["name"], stats["rounds"], stats["median"]) == ("FILTERS", 500, pytest.approx(1e-4, rel=0.02))
    assert stats["min"] <= stats["q1"] <= stats["median"] <= stats["q3"] <= stats["max"]
    assert entry["extra_info"]["p95"] > stats["median"]


def test_quartile_comes_from_the_histogram_where_there_are_no_samples() -> None:
    with_samples, without = (
        json.loads(pytest_benchmark(document(one)))["benchmarks"][0]["stats"]["q1"]
        for one in (result(), result(samples_ns=None))
    )
    assert without == pytest.approx(with_samples, rel=0.005)


def test_one_benchmark_on_two_loops_keeps_both() -> None:
    both = document(result(), result(event_loop="asyncio 3.11"))
    assert set(json.loads(bencher(both))) == {"FILTERS on uvloop", "FILTERS on asyncio"}
    assert len(json.loads(github_action_benchmark(both))) == 10


def test_pytest_benchmarks_own_compare_reads_two_of_ours(tmp_path: Path) -> None:
    for name, speed in (("0001_old", 1.0), ("0002_new", 1.3)):
        (tmp_path / f"{name}.json").write_bytes(pytest_benchmark(document(result(speed=speed), result("PRIVACY"))))
    command = [sys.executable, "-m", "pytest_benchmark", "compare", "0001_old.json", "0002_new.json"]
    done = subprocess.run(
        [*command, "--columns", "median,mean,iqr", "--csv", "table.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "FILTERS (0001_old)" in done.stdout
    assert "FILTERS (0002_new)" in done.stdout
    assert "(1.30)" in done.stdout
    assert (tmp_path / "table.csv").read_text().count("\n") == 5
