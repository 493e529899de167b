"""The step of our own CI, and the how-to's commands, run as they stand."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compare_lab import SOURCES, TICK, commit, git, program, slotzero
from stored_results import result, stored

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = ROOT / "docs" / "how-to" / "performance-in-ci.md"


def ci(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [folder / ".ci" / "compare", "--workload", "toy:tick"],
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "PYTHON": sys.executable, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with our step and one commit."""
    folder = program(tmp_path / "project", TICK.format(turns=500))
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "compare", folder / ".ci" / "compare")
    commit(folder, "first")
    return folder


def test_step_fails_on_a_large_slowdown_unless_the_message_accepts_it(repository: Path) -> None:
    program(repository, TICK.format(turns=900))
    commit(repository, "slower")
    failed = ci(repository)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "say why with a line 'perf-accepted: reason'" in failed.stdout
    git(repository, "commit", "--quiet", "--amend", "--message", "slower\n\nperf-accepted: it now checks its input")
    accepted = ci(repository)
    assert accepted.returncode == 0
    assert accepted.stdout.endswith("performance: slower by 25 % or more, accepted: it now checks its input\n")


def test_step_passes_where_there_is_nothing_to_compare(repository: Path) -> None:
    first = ci(repository)
    assert (first.returncode, first.stdout) == (0, "performance: there is no commit before this one to compare with\n")
    (repository / "notes.md").write_text("words")
    commit(repository, "words")
    words = ci(repository)
    assert (words.returncode, words.stdout) == (0, "performance: this commit changes no code and no dependency\n")


def test_step_passes_where_the_two_cannot_be_compared(repository: Path) -> None:
    program(repository, "gone = True\n")
    commit(repository, "no such function any more")
    done = ci(repository)
    assert done.returncode == 0
    assert "cannot be compared (exit code 2); nothing is concluded" in done.stdout


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_commands_of_the_how_to_work(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "orders.py").write_text(TICK.format(turns=500).replace("tick", "place"))
    commit(folder, "first")
    commit(folder, "second")
    stored(folder / "before.json", result())
    stored(folder / "out.json", result(seed=2))
    ran = 0
    for line in commands():
        words = line.split()
        assert words[0] == "slotzero"
        if line == "slotzero compare HEAD~1 HEAD":
            continue  # all components of the sniper: tested on the sniper
        quick = ["--launches", "3"] if "--workload" in words else []
        done = slotzero(folder, *words[1:], *quick, XDG_STATE_HOME=str(tmp_path / "state"))
        assert done.returncode == 0, f"{line}: {done.stderr}{done.stdout}"
        ran += 1
    assert ran >= 8
