import sqlite3
from pathlib import Path
from random import Random

import msgspec
import pytest

from slotzero.errors import UsageError
from slotzero.perf import history as module
from slotzero.perf.history import History
from stored_results import document, machine, result

HERE = machine().fingerprint


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "state" / "history.sqlite3")


def fill(history: History, speeds: list[float]) -> None:
    """Store runs, numbered on, of a machine whose own speed wanders by 20 %."""
    begun = len(history.runs())
    draw = Random(begun)  # noqa: S311 a simulation
    for number, speed in enumerate(speeds, begun):
        mood = 150 * draw.lognormvariate(0, 0.2)
        one = result(speed=speed * draw.lognormvariate(0, 0.024), reference_us=mood, samples=80, seed=number)
        history.add(document(one), commit=f"commit {number}")


def test_run_comes_back_without_its_raw_samples(history: History) -> None:
    number = history.add(document(result()), commit="abc")
    (run,) = history.runs()
    assert (run.id, run.commit, run.fingerprint) == (number, "abc", HERE)
    (kept,) = history.document(number).results
    assert kept == msgspec.structs.replace(result(), samples_ns=None, warmup_ns=())


def test_series_is_over_the_reference_work(history: History) -> None:
    history.add(document(result(reference_us=150)), commit="a")
    history.add(document(result(reference_us=300)), commit="b")
    first, second = history.series("FILTERS", "median", HERE)
    assert second.value_ms == pytest.approx(2 * first.value_ms, rel=1e-3)
    assert second.normalised == pytest.approx(first.normalised, rel=1e-3)
    assert history.series("FILTERS", "median", "another machine") == []


def test_step_of_20_percent_in_60_runs_is_found_within_2_runs_and_names_its_commits(history: History) -> None:
    fill(history, [1.0] * 40 + [1.2, 1.2])
    early = {one.metric: one for one in history.suspicions(HERE)}
    assert (early["median"].found_by, early["median"].before, early["median"].after) == (
        "newest",
        "commit 39",
        "commit 40",
    )
    fill(history, [1.2] * 18)
    late = {one.metric: one for one in history.suspicions(HERE)}["median"]
    assert late.found_by == "change_point"
    assert abs(int(late.after.removeprefix("commit ")) - 40) <= 2
    assert late.change_percent == pytest.approx(20, abs=4)
    assert late.runs_since == pytest.approx(20, abs=2)


def test_60_flat_runs_of_a_wandering_machine_show_nothing(history: History) -> None:
    for _ in range(6):
        fill(history, [1.0] * 10)
        assert history.suspicions(HERE) == []
    assert len(history.runs()) == 60


def test_oldest_runs_go_beyond_the_bound(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_RUNS", 5)
    fill(history, [1.0] * 8)
    assert [run.commit for run in history.runs()] == [f"commit {number}" for number in range(3, 8)]
    assert len(history.series("FILTERS", "median", HERE)) == 5


def test_failed_or_unreferenced_benchmark_is_in_no_series(history: History) -> None:
    history.add(document(result(noise=None), result("PRIVACY")), commit="a")
    assert history.names(HERE) == ["PRIVACY"]


def test_load_result_is_refused(history: History) -> None:
    with pytest.raises(UsageError, match="kind 'load'"):
        history.add(msgspec.structs.replace(document(), kind="load"), commit="a")


def test_unknown_run_is_refused(history: History) -> None:
    with pytest.raises(UsageError, match="has no run 9"):
        history.document(9)


def test_file_that_is_no_history_is_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"this is no database" * 100)
    with pytest.raises(UsageError, match="cannot be used as a history"):
        History(foreign)


def test_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "newer.sqlite3"
    with sqlite3.connect(path) as made:
        made.execute("pragma user_version = 7")
    made.close()
    with pytest.raises(UsageError, match="format 7, this slotzero knows 1"):
        History(path)
