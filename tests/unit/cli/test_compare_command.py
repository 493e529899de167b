"""`slotzero compare` and `slotzero history` on stored results."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from compare_lab import commit, git, program
from slotzero.cli.main import app
from slotzero.errors import UsageError
from slotzero.perf.history import History, history_path
from slotzero.perf.result_file import baseline_path, benchmark_document, write_result_file
from slotzero.perf.types import BenchmarkFailure, NoSuccess
from stored_results import machine, result, stored


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


def test_slower_file_exits_1_and_says_how_it_was_compared(tmp_path: Path) -> None:
    base, new = stored(tmp_path / "base.json", result()), stored(tmp_path / "new.json", result(speed=1.4))
    done = run("compare", base, new)
    assert done.exit_code == 1
    assert "REGRESSED" in done.stdout
    assert "measured at different times: percentiles are compared as multiples of the reference work" in done.stdout


def test_columns_of_two_files_show_what_was_measured(tmp_path: Path) -> None:
    base = stored(tmp_path / "base.json", result(), result("CACHE"))
    new = stored(tmp_path / "new.json", result(speed=2.0, reference_us=300))
    done = run("compare", base, new)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FILTERS")]
    medians = [one.latency_ms.median for one in (result(), result(speed=2.0, reference_us=300))]
    assert line.split()[1:6] == ["p50", f"{1e3 * medians[0]:.2f}", "us", f"{1e3 * medians[1]:.2f}", "us"]
    document = json.loads(run("compare", base, new, "--json").stdout)
    assert document["base_ns"].keys() == document["new_ns"].keys() == {"FILTERS"}
    assert document["base_ns"]["FILTERS"]["p95"] == pytest.approx(108_000, rel=0.02)


def test_equal_files_exit_0(tmp_path: Path) -> None:
    base, new = stored(tmp_path / "base.json", result()), stored(tmp_path / "new.json", result(seed=2))
    done = run("compare", base, new, "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert (document["schema"], document["kind"], document["verdict"]) == (
        "slotzero.compare/1",
        "stored",
        "EQUIVALENT",
    )
    assert document["suite_effect_percent"] == pytest.approx(0, abs=1)


def test_regression_under_the_limit_exits_0(tmp_path: Path) -> None:
    base, new = stored(tmp_path / "base.json", result()), stored(tmp_path / "new.json", result(speed=1.4))
    assert run("compare", base, new, "--fail-at", "60").exit_code == 0
    assert run("compare", base, new, "--fail-at", "30").exit_code == 1


def test_results_of_different_machines_are_refused_unless_asked_for(tmp_path: Path) -> None:
    base = stored(tmp_path / "base.json", result())
    new = stored(tmp_path / "new.json", result(), fingerprint="0" * 16, cpu="Another 9000")
    done = run("compare", base, new)
    assert isinstance(done.exception, UsageError)
    assert f"different machines (cpu {machine().cpu} and Another 9000)" in str(done.exception)
    allowed = run("compare", base, new, "--allow-other-machine")
    assert allowed.exit_code == 0
    assert "WARNING: measured on different machines" in allowed.stdout


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cluster": "paper"}, "cluster localnet and paper"),
        ({"slot_ms": "0"}, "slot_ms 200 and 0"),
    ],
)
def test_results_of_different_chains_are_refused_unless_asked_for(
    tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    chain = {"cluster": "localnet", "slot_ms": "200", "seed": "7"}
    base = stored(tmp_path / "base.json", result(), extra=chain)
    new = stored(tmp_path / "new.json", result(speed=3), extra=chain | changed)
    done = run("compare", base, new)
    assert isinstance(done.exception, UsageError)
    assert f"different surroundings ({said})" in str(done.exception)
    allowed = run("compare", base, new, "--allow-other-machine")
    assert allowed.exit_code == 1
    assert "WARNING: measured in different surroundings" in allowed.stdout


def test_results_of_another_seed_are_compared(tmp_path: Path) -> None:
    base = stored(tmp_path / "base.json", result(), extra={"cluster": "localnet", "seed": "7"})
    new = stored(tmp_path / "new.json", result(), extra={"cluster": "localnet", "seed": "8"})
    assert run("compare", base, new).exit_code == 0


def test_benchmark_that_failed_is_said_to_have_failed(tmp_path: Path) -> None:
    base = stored(tmp_path / "base.json", result(), result("CACHE"))
    failure = BenchmarkFailure(component=None, name="CACHE", error=NoSuccess(errors={"X": 3}, message="no pool"))
    new = tmp_path / "new.json"
    write_result_file(new, benchmark_document([result(), failure], machine()))
    done = run("compare", base, new)
    assert "not compared: CACHE, failed in NEW: " in done.stdout
    assert "no pool" in done.stdout


def test_call_that_takes_a_millionth_of_its_time_is_improved(tmp_path: Path) -> None:
    base, new = stored(tmp_path / "base.json", result(speed=1e6)), stored(tmp_path / "new.json", result())
    done = run("compare", base, new, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["suite_effect_percent"] == pytest.approx(-100, abs=0.01)


def test_saved_baseline_is_compared_by_its_name(tmp_path: Path) -> None:
    path = baseline_path("main")
    path.parent.mkdir(parents=True)
    stored(path, result())
    assert run("compare", "--baseline", "main", stored(tmp_path / "new.json", result(speed=1.5))).exit_code == 1


def test_files_without_a_benchmark_in_common_are_refused(tmp_path: Path) -> None:
    base, new = stored(tmp_path / "base.json", result("A")), stored(tmp_path / "new.json", result("B"))
    done = run("compare", base, new)
    assert isinstance(done.exception, UsageError)
    assert "have no benchmark in common that can be compared: A: not in NEW" in str(done.exception)


@pytest.mark.parametrize("content", ["", "{", '{"schema": "else/1"}', '{"schema": "slotzero.result/99"}'])
def test_file_that_is_no_result_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "foreign.json").write_text(content)
    done = run("compare", tmp_path / "foreign.json", stored(tmp_path / "new.json", result()))
    assert isinstance(done.exception, UsageError)
    assert str(done.exception).count("\n") == 0


# ---- history -------------------------------------------------------------------------------------------------------


def filled(tmp_path: Path, *, slower_from: int, runs: int = 24) -> None:
    repository = program(tmp_path, "")
    commit(repository, "before")
    git(repository, "tag", "before")
    commit(repository, "after")
    git(repository, "tag", "after")
    for number in range(runs):
        is_slower = number >= slower_from
        path = stored(tmp_path / f"run{number}.json", result(speed=1.3 if is_slower else 1.0, seed=number, samples=200))
        done = run("history", "add", path, "--commit", git(repository, "rev-parse", "after" if is_slower else "before"))
        assert (done.exit_code, done.stdout) == (0, f"run {number + 1}: {path}\n")


def test_flat_history_shows_nothing(tmp_path: Path) -> None:
    filled(tmp_path, slower_from=99)
    assert run("history", "scan").stdout == "24 runs, nothing seems to have changed\n"
    assert json.loads(run("history", "scan", "--json").stdout)["suspicions"] == []


def test_step_in_the_history_names_the_two_commits_to_compare(tmp_path: Path) -> None:
    filled(tmp_path, slower_from=22)
    done = run("history", "scan")
    before, after = (git(tmp_path, "rev-parse", tag)[:10] for tag in ("before", "after"))
    assert done.exit_code == 0  # advice is no verdict
    assert f"FILTERS median: +30.5 % since {after}, 2 runs ago" in done.stdout
    assert done.stdout.endswith(f"decide it: slotzero compare {before} {after}\n")


def test_history_of_nothing_is_too_short(tmp_path: Path) -> None:
    done = run("history", "scan", "--file", tmp_path / "new.sqlite3")
    assert (done.exit_code, done.stdout) == (
        0,
        "0 runs on this kind of machine: too few to tell, 22 are needed\n",
    )


def test_history_too_short_for_a_judgement_claims_no_quiet(tmp_path: Path) -> None:
    filled(tmp_path, slower_from=8, runs=16)
    assert run("history", "scan").stdout == "16 runs on this kind of machine: too few to tell, 22 are needed\n"
    said = json.loads(run("history", "scan", "--json").stdout)
    assert (said["series"], said["runs_needed"]) == ({"FILTERS": 16}, 22)


def test_history_names_the_benchmarks_it_has_too_few_runs_of(tmp_path: Path) -> None:
    filled(tmp_path, slower_from=99)
    run("history", "add", stored(tmp_path / "new.json", result("CACHE"), result(seed=30, samples=200)))
    assert run("history", "scan").stdout == (
        "25 runs, nothing seems to have changed\ntoo few runs to tell more of CACHE (1): 22 are needed\n"
    )


@pytest.mark.parametrize("name", ["HEAD", "before", "short"])
def test_commit_is_kept_as_its_full_hash(tmp_path: Path, name: str) -> None:
    commit(program(tmp_path, ""), "only")
    git(tmp_path, "tag", "before")
    full = git(tmp_path, "rev-parse", "HEAD")
    path = stored(tmp_path / "one.json", result())
    named = full[:8] if name == "short" else name
    assert run("history", "add", path, "--commit", named).exit_code == 0
    with History(history_path()) as history:
        assert [entry.commit for entry in history.runs()] == [full]
    exported = run("history", "export", path, "--format", "pytest-benchmark", "--commit", named)
    assert json.loads(exported.stdout)["commit_info"]["id"] == full


def test_full_hash_of_another_repository_is_kept(tmp_path: Path) -> None:
    assert run("history", "add", stored(tmp_path / "one.json", result()), "--commit", "A" * 40).exit_code == 0
    with History(history_path()) as history:
        assert [entry.commit for entry in history.runs()] == ["a" * 40]


@pytest.mark.parametrize("name", ["nonsense", "", "abc123", "HEAD"])
@pytest.mark.parametrize("command", [["add"], ["export", "--format", "bencher"]])
def test_commit_that_git_does_not_know_is_refused(tmp_path: Path, command: list[str], name: str) -> None:
    done = run("history", *command, stored(tmp_path / "one.json", result()), "--commit", name)
    assert isinstance(done.exception, UsageError)
    assert f"--commit: git knows no commit {name!r}" in str(done.exception)
    with History(history_path()) as history:
        assert history.runs() == []


def test_commit_of_the_folder_is_taken_where_none_is_given(tmp_path: Path) -> None:
    commit(program(tmp_path, ""), "only")
    run("history", "add", stored(tmp_path / "one.json", result()))
    with History(history_path()) as history:
        assert [entry.commit for entry in history.runs()] == [git(tmp_path, "rev-parse", "HEAD")]


@pytest.mark.parametrize("form", ["github-action-benchmark", "bencher", "pytest-benchmark"])
def test_export_goes_to_a_file_or_stdout(tmp_path: Path, form: str) -> None:
    path, out = stored(tmp_path / "one.json", result()), tmp_path / "out.json"
    printed = run("history", "export", path, "--format", form)
    assert run("history", "export", path, "--format", form, "--out", out).exit_code == 0
    assert json.loads(printed.stdout) == json.loads(out.read_text())
    failed = run("history", "export", path, "--format", form, "--out", tmp_path / "no" / "such")
    assert isinstance(failed.exception, UsageError)
