"""Stored runs: which are listed, and what of them is read."""

import os
from pathlib import Path

import msgspec
import pytest

from report_lab import full_document
from slotzero.perf.result_file import write_result_file
from slotzero.web.runs import RunStore


def test_of_many_runs_the_newest_are_listed_whatever_their_names(tmp_path: Path) -> None:
    write_result_file(tmp_path / "z.json", full_document())
    data = (tmp_path / "z.json").read_bytes()
    for number in range(505):
        path = tmp_path / f"run-{number:03}.json"
        path.write_bytes(data)
        os.utime(path, ns=(number, number))
    (tmp_path / "a-newest.json").write_bytes(data)
    found = {run.id for run in RunStore(tmp_path).list().runs}
    assert len(found) == 500
    assert {"a-newest", "z", "run-504"} <= found
    assert "run-006" not in found


def test_file_is_read_for_the_list_when_it_is_new_and_not_again(tmp_path: Path) -> None:
    write_result_file(tmp_path / "000.json", full_document())
    data = (tmp_path / "000.json").read_bytes()
    for number in range(1, 100):
        (tmp_path / f"{number:03}.json").write_bytes(data)
    store = RunStore(tmp_path)
    assert len(store.list().runs) == 100
    for path in tmp_path.iterdir():  # as it was to look at, and no result any more
        written = path.stat().st_mtime_ns
        path.write_bytes(b" " * len(data))
        os.utime(path, ns=(written, written))
    (tmp_path / "050.json").write_bytes(b"{}")
    found = store.list()
    assert len(found.runs) == 99
    assert set(found.unreadable) == {"050"}


@pytest.mark.parametrize("name", ["my run", "a#b", "a?b", ".hidden", "a\nb", "x" * 101])
def test_run_whose_name_cannot_be_asked_for_is_told_and_not_listed(tmp_path: Path, name: str) -> None:
    write_result_file(tmp_path / f"{name}.json", full_document())
    found = RunStore(tmp_path).list()
    assert found.runs == ()
    assert "letters, digits" in found.unreadable[name]


@pytest.mark.parametrize("ts_ms", [10**18, -1])
def test_run_of_no_time_that_a_calendar_has_is_damaged_and_hides_no_other(tmp_path: Path, ts_ms: int) -> None:
    write_result_file(tmp_path / "good.json", full_document())
    document = msgspec.json.decode((tmp_path / "good.json").read_bytes())
    document["environment"]["ts_ms"] = ts_ms
    (tmp_path / "bad.json").write_bytes(msgspec.json.encode(document))
    found = RunStore(tmp_path).list()
    assert [run.id for run in found.runs] == ["good"]
    assert "damaged" in found.unreadable["bad"]
