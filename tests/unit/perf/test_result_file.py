"""Result files: what is written comes back, what is older still loads, what is broken is one sentence."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from slotzero.errors import UsageError
from slotzero.perf import BenchmarkOptions, BenchmarkResult, BenchmarkService
from slotzero.perf.environment import passport
from slotzero.perf.histogram import Histogram
from slotzero.perf.result_file import (
    SCHEMA,
    ResultDocument,
    baseline_path,
    benchmark_document,
    decode_document,
    encode_document,
    read_result_file,
    require_writable,
    write_result_file,
)
from slotzero.trace import Component
from stored_results import result, stored

# What the contract promises of a benchmark result; others read these names.
PROMISED = {
    "component": None,
    "samples": None,
    "warmup": None,
    "errors": None,
    "latency_ms": {"min", "max", "mean", "median", "p75", "p90", "p95", "p99", "p999", "std_dev"},
    "own_ms": None,
    "waited_ms": None,
    "throughput": {"total_ops", "ops_per_s", "success_rate_percent"},
    "resources": {"peak_rss_mb", "python_heap_mb", "avg_cpu_percent", "peak_cpu_percent"},
    "target": None,
    "starts_at": None,
    "histogram": None,
}


@pytest.fixture
async def document() -> ResultDocument:
    service = BenchmarkService()
    options = BenchmarkOptions(component=Component.FILTERS, samples=20, labels={"branch": "main"})
    good = await service.run(lambda: None, options)
    bad = await service.run(lambda: 1 / 0, BenchmarkOptions(name="divides", samples=3, collect_resources=False))
    return benchmark_document([good, bad], passport(extra={"slot_ms": "200"}), title="two of them")


def as_json(document: ResultDocument) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encode_document(document))
    return decoded


def test_a_document_comes_back_as_it_was(document: ResultDocument, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    write_result_file(file, document)
    assert read_result_file(file) == document


def test_the_document_has_the_promised_names(document: ResultDocument) -> None:
    found = as_json(document)
    assert (found["schema"], found["kind"]) == (SCHEMA, "benchmark") == ("slotzero.result/1", "benchmark")
    assert found["environment"]["extra"] == {"slot_ms": "200"}
    result, failure = found["results"]
    assert (result["outcome"], failure["outcome"]) == ("measured", "failed")
    assert failure["error"]["type"] == "no_success"
    for name, inner in PROMISED.items():
        assert name in result
        if inner:
            assert inner <= set(result[name])


def test_writing_replaces_in_one_step_and_leaves_nothing_else(document: ResultDocument, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text("older")
    write_result_file(file, document)
    assert [made.name for made in tmp_path.iterdir()] == ["result.json"]
    (tmp_path / "by_hand").touch()
    assert file.stat().st_mode == (tmp_path / "by_hand").stat().st_mode


def test_a_place_that_cannot_be_written_is_one_sentence(document: ResultDocument, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        write_result_file(tmp_path / "absent" / "result.json", document)


def test_a_pipe_is_written_into_and_stays(document: ResultDocument, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    require_writable(pipe)
    write_result_file(pipe, document)
    assert pipe.is_fifo()
    reader.join(30)
    assert read == [encode_document(document)]


def test_a_link_stays_and_what_it_leads_to_is_replaced(document: ResultDocument, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    file, link, new = tmp_path / "kept" / "result.json", tmp_path / "link.json", tmp_path / "new.json"
    file.write_text("older")
    link.symlink_to(file)
    new.symlink_to(tmp_path / "kept" / "absent.json")
    for place in (link, new):
        require_writable(place)
        write_result_file(place, document)
        assert place.is_symlink()
        assert read_result_file(place.readlink()) == document
    assert sorted(made.name for made in file.parent.iterdir()) == ["absent.json", "result.json"]


def test_a_place_that_can_never_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    circle, astray = tmp_path / "circle", tmp_path / "astray"
    circle.symlink_to(circle)
    astray.symlink_to(tmp_path / "absent" / "result.json")
    for place, why in ((circle, "symbolic links"), (astray, "there is no folder"), (tmp_path, "it is a folder")):
        with pytest.raises(UsageError, match=f"cannot be written: .*{why}"):
            require_writable(place)


def test_results_of_other_kinds_are_kept_as_they_stand(document: ResultDocument) -> None:
    found = as_json(document)
    found |= {"kind": "load", "results": [{"scenario": "HEAVY", "anything": [1, 2]}]}
    loaded = decode_document(json.dumps(found).encode(), "x.json")
    assert loaded.results == ()
    assert json.loads(bytes(loaded.other[0])) == {"scenario": "HEAVY", "anything": [1, 2]}
    again = decode_document(encode_document(loaded), "x.json")
    assert bytes(again.other[0]) == bytes(loaded.other[0])


def test_fields_of_tomorrow_are_passed_over_and_absent_ones_have_defaults(document: ResultDocument) -> None:
    found = as_json(document)
    found["tomorrow"] = found["results"][0]["tomorrow"] = found["environment"]["tomorrow"] = 1
    for name in ("noise", "notes", "sharing", "samples_ns", "warmup_ns", "resources", "steady"):
        del found["results"][0][name]
    loaded = decode_document(json.dumps(found).encode(), "x.json").results[0]
    assert isinstance(loaded, BenchmarkResult)
    assert loaded.resources is None
    assert loaded.latency_ms == document.results[0].latency_ms  # type: ignore[union-attr]  # the measured one


def test_a_file_of_the_version_before_still_loads(document: ResultDocument) -> None:
    found = as_json(document)
    result = found["results"][0]
    older = {
        "schema": "slotzero.result/0",
        "environment": found["environment"],
        "results": [
            {
                "component": "FILTERS",
                "samples": 20,
                "warmup": 10,
                "latency": {
                    name: value for name, value in result["latency_ms"].items() if name not in ("count", "std_dev")
                },
                "throughput": result["throughput"],
            }
        ],
    }
    (loaded,) = decode_document(json.dumps(older).encode(), "old.json").results
    assert isinstance(loaded, BenchmarkResult)
    assert (loaded.name, loaded.latency_ms.count) == ("FILTERS", 20)
    assert loaded.latency_ms.p95 == result["latency_ms"]["p95"]
    assert loaded.latency_ms.std_dev is None
    assert Histogram.from_text(loaded.histogram).count == 0


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no result file of slotzero, or is damaged"),
        (b"\xff\xfe\x00", "no result file of slotzero, or is damaged"),
        (b"[1, 2]", "no result file of slotzero, or is damaged"),
        (b"[" * 100_000, "no result file of slotzero, or is damaged"),
        (b"{}", "it names no schema"),
        (b'{"schema": "other/1"}', 'its schema is "other/1", expected slotzero.result/1'),
        (b'{"schema": "slotzero.result/x"}', "is no result file"),
        (b'{"schema": "slotzero.result/2"}', "reads up to slotzero.result/1; update slotzero"),
        (b'{"schema": "slotzero.result/99999999999999999999"}', "update slotzero"),
        (b'{"schema": "slotzero.result/1"}', "is damaged"),
        (b'{"schema": "slotzero.result/0", "results": 5}', "is damaged: `results` must be a list"),
        (b'{"schema": "slotzero.result/0", "results": [5]}', "is damaged: each of `results` must be an object"),
        (b'{"schema": "slotzero.result/0"}', "is damaged"),
    ],
)
def test_what_is_no_result_file_is_one_sentence(data: bytes, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode_document(data, "some.json")
    assert str(caught.value).startswith("some.json ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_anywhere_is_one_sentence(document: ResultDocument) -> None:
    data = encode_document(document).rstrip()
    for length in range(0, len(data), max(len(data) // 97, 1)):
        with pytest.raises(UsageError):
            decode_document(data[:length], "cut.json")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("histogram",), "AAAA"),
        (("histogram",), Histogram().to_text()[:-4]),
        (("latency_ms", "count"), 21),
        (("latency_ms", "p95"), "fast"),
        (("samples",), None),
        (("outcome",), "other"),
    ],
)
def test_a_file_that_contradicts_itself_is_one_sentence(
    document: ResultDocument, place: tuple[str, ...], value: object
) -> None:
    found = as_json(document)
    inner = found["results"][0]
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(UsageError, match="is damaged"):
        decode_document(json.dumps(found).encode(), "x.json")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("results", 0, "latency_ms", "p95"), -1.0),
        (("results", 0, "latency_ms", "max"), 1e308),
        (("results", 0, "latency_ms", "intervals", "median", "low"), 1e308),
        (("results", 0, "latency_ms", "intervals", "median", "high"), -1e308),
        (("results", 0, "latency_ms", "intervals", "median", "high"), 0.0),
        (("environment", "ts_ms"), 10**18),
        (("environment", "ts_ms"), 2**63),
    ],
)
def test_figures_that_no_measurement_gives_are_damage(
    place: tuple[str | int, ...], value: float, tmp_path: Path
) -> None:
    found = json.loads(stored(tmp_path / "x.json", result()).read_bytes())
    inner = found
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(UsageError, match="is damaged"):
        decode_document(json.dumps(found).encode(), "x.json")


def test_an_absent_file_and_a_folder_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_result_file(tmp_path / "absent.json")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_result_file(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slotzero.perf.result_file._MOST_BYTES", 10)
    file = tmp_path / "large.json"
    file.write_bytes(b" " * 11)
    with pytest.raises(UsageError, match="larger than"):
        read_result_file(file)


def test_baselines_have_a_place_in_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert baseline_path("main-1.2") == tmp_path / "slotzero" / "baselines" / "main-1.2.json"
    for wrong in ("", "../up", "a/b", ".hidden", "x" * 65, "white space"):
        with pytest.raises(UsageError, match="a baseline's name"):
            baseline_path(wrong)
