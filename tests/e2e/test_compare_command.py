"""`slotzero compare` as a user runs it: revisions of a repository, in worktrees, by real workers."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stored_results as stored
from compare_lab import SOURCES, TICK, commit, git, program, slotzero
from slotzero.perf.history import History

TOY = ("--workload", "toy:tick", "--launches", "6", "--json")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository: a version, a commit that changes nothing, one that makes it 30 % slower."""
    folder = tmp_path_factory.mktemp("toy")
    program(folder, TICK.format(turns=600))
    commit(folder, "first")
    git(folder, "tag", "first")
    commit(folder, "nothing")
    git(folder, "tag", "nothing")
    program(folder, TICK.format(turns=780))
    commit(folder, "slower")
    git(folder, "tag", "slower")
    return folder


def compared(folder: Path, *arguments: str, code: int) -> dict[str, Any]:
    done = slotzero(folder, "compare", *arguments)
    assert done.returncode == code, done.stderr + done.stdout
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_planted_slowdown_exits_1(toy: Path) -> None:
    document = compared(toy, "nothing", "slower", *TOY, code=1)
    assert (document["schema"], document["kind"], document["verdict"]) == (
        "slotzero.compare/1",
        "paired",
        "REGRESSED",
    )
    median = next(line for line in document["comparisons"] if line["metric"] == "median")
    assert (median["name"], median["confirmed"]) == ("toy:tick", True)
    assert document["new"]["commit"] == git(toy, "rev-parse", "slower")
    assert document["notes"][0] == "BASE runs in the running interpreter: it has no lock file"
    assert document["noise"]["reference"] == "reference/1"
    assert git(toy, "worktree", "list").count("\n") == 0  # nothing is left behind


def test_commit_that_changes_nothing_exits_0_and_a_text_says_so(toy: Path) -> None:
    done = slotzero(toy, "compare", "first", "nothing", "--workload", "toy:tick", "--launches", "3")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.startswith("first -> nothing (paired)\n")
    assert "REGRESSED" not in done.stdout


def test_revision_compared_with_itself_measures_the_machine(toy: Path, tmp_path: Path) -> None:
    done = slotzero(toy, "compare", "first", "first", *TOY, "--launches", "3", XDG_STATE_HOME=str(tmp_path))
    document = json.loads(done.stdout)
    assert "both are the same commit: what differs is this machine's own floor" in document["notes"]
    floor = document["noise"]["aa_floor_percent"]
    assert floor > 0
    assert json.loads((tmp_path / "slotzero" / "own_floor.json").read_text())["percent"] == floor


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("first", "nowhere"), "nowhere is neither a result file nor a git revision nor a folder"),
        (("first",), "give BASE and NEW, or --baseline NAME and NEW"),
        (("first", "slower", "--baseline", "b"), "give BASE and NEW, or --baseline NAME and NEW"),
        (("--baseline", "b", "slower"), "there is no baseline b; save one with"),
        (("first", "toy.py"), "first is a revision and toy.py is a file: compare two of one kind"),
        (("first", "slower", "--component", "LUCK"), "there is no component LUCK; there are DETECTION,"),
        (("first", "slower", "--workload", "toy"), "a workload is named module:callable, got toy"),
        (("first", "slower", "--workload", "toy:luck"), "nothing could be compared; toy:luck is not in BASE: "),
        (("--", "--output=x", "slower"), "--output=x is neither a result file nor"),
    ],
)
def test_wrong_use_is_one_sentence_and_exits_2(
    toy: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = slotzero(toy, "compare", *arguments, XDG_STATE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"slotzero: {said}")
    assert done.stderr.count("\n") == 1


def test_version_that_dies_exits_2_not_1(toy: Path) -> None:
    program(toy / "dead", "import os\ndef tick():\n    os._exit(3)\n")
    done = slotzero(toy, "compare", "first", "dead", "--workload", "toy:tick")
    assert done.returncode == 2
    assert "the worker of NEW (dead) ended with exit code 3 while trying toy:tick" in done.stderr


def checked_out_in(folder: Path) -> int:
    """Count the checkouts; 0 while git cannot, because one is being added right now."""
    with contextlib.suppress(subprocess.CalledProcessError):
        return git(folder, "worktree", "list").count("\n")
    return 0


def test_ctrl_c_exits_130_and_leaves_nothing_behind(toy: Path) -> None:
    command = [sys.executable, "-m", "slotzero", "compare", "first", "slower", "--workload", "toy:naps"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    before_it = checked_out_in(toy)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has it ignored
    try:
        running = subprocess.Popen(command, cwd=toy, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        while checked_out_in(toy) < before_it + 2:  # what a killed try has left counts for nothing
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)
    finally:
        running.kill()
    assert running.returncode == 130
    assert checked_out_in(toy) == before_it


@pytest.fixture(scope="module")
def sniper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this very sniper, and a commit in which the fee policy counts sheep for a third of its time."""
    folder = tmp_path_factory.mktemp("sniper")
    shutil.copytree(SOURCES, folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    commit(folder, "as it is")
    git(folder, "tag", "before")
    policy = folder / "src" / "slotzero" / "trading" / "fee_policy" / "policy.py"
    line = "    def choose("
    text = policy.read_text()
    assert text.count(line) == 1
    policy.write_text(
        text.replace("\nclass FeePolicy", "\nclass _Honest", 1)
        + "\n\nclass FeePolicy(_Honest):\n"
        + "    def choose(self, request, now):\n"
        + "        for _ in range(400):\n"
        + "            pass\n"
        + "        return super().choose(request, now)\n"
    )
    commit(folder, "count sheep")
    git(folder, "tag", "after")
    return folder


def test_planted_slowdown_of_one_component_is_found_there_alone(sniper: Path) -> None:
    parts = ("--component", "FEE_OPTIMIZATION", "--component", "PRIVACY", "--launches", "6", "--json")
    document = compared(sniper, "before", "after", *parts, code=1)
    found = {line["name"] for line in document["comparisons"] if line["verdict"] == "REGRESSED"}
    assert found == {"FEE_OPTIMIZATION"}
    median = next(line for line in document["comparisons"] if line["name"] == "FEE_OPTIMIZATION")
    assert 10 < median["effect_percent"] < 60


def test_suspicion_of_the_history_is_decided_by_a_comparison_of_its_commits(sniper: Path, tmp_path: Path) -> None:
    before, after = (git(sniper, "rev-parse", name) for name in ("before", "after"))
    path = tmp_path / "history.sqlite3"
    with History(path) as history:
        for number in range(42):
            is_old = number < 40
            one = stored.result("FEE_OPTIMIZATION", speed=1.0 if is_old else 1.3, samples=80, seed=number)
            history.add(stored.document(one), commit=before if is_old else after)
    done = slotzero(sniper, "history", "scan", "--confirm", "--file", str(path), "--json")
    assert done.returncode == 1, done.stderr + done.stdout
    said = json.loads(done.stdout)
    assert {(one["before"], one["after"]) for one in said["suspicions"]} == {(before, after)}
    (comparison,) = said["comparisons"]
    verdicts = {line["metric"]: line["verdict"] for line in comparison["comparisons"]}
    assert verdicts["median"] == "REGRESSED"
