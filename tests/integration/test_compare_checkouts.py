"""Versions checked out side by side, each with its own environment."""

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest

from compare_lab import QUICK, commit, git, program
from slotzero.errors import UsageError
from slotzero.perf.compare.checkouts import checked_out, commit_of, differing_pins, is_revision
from slotzero.perf.compare.paired import PairedRun, Workload

LOCK = """
# a comment
Alpha==1.0 \\
    --hash=sha256:00
beta==2.0 ; python_version < "3.12" \\
    --hash=sha256:00
beta==3.0 ; python_version >= "3.12"
gamma==1.5 ; sys_platform == "win32"
"""


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"alpha": "1.0", "beta": "2.0"}, []),
        ({"alpha": "1.0", "beta": "3.0", "gamma": "1.5"}, []),
        ({"alpha": "1.1", "beta": "3.0"}, ["alpha 1.0 is pinned, 1.1 is installed"]),
        ({"beta": "3.0"}, ["alpha 1.0 is pinned, nothing is installed"]),
        ({"alpha": "1.0", "beta": "9"}, ["beta 2.0 or 3.0 is pinned, 9 is installed"]),
        ({"alpha": "1.0", "beta": "2.0", "gamma": "2"}, ["gamma 1.5 is pinned, 2 is installed"]),
    ],
)
def test_pins_are_held_against_what_is_installed(installed: dict[str, str], expected: list[str]) -> None:
    assert differing_pins(LOCK, installed.get) == expected


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = program(tmp_path / "repository", "def steady():\n    return sum(range(300))\n")
    commit(folder, "first")
    return folder


def test_revision_is_checked_out_and_removed_again(repository: Path) -> None:
    (repository / "toy.py").write_text("changed, not committed")
    with checked_out("HEAD", repository) as made:
        root = Path(made.root)
        assert (root / "toy.py").read_text().startswith("def steady")
        assert (made.commit, made.python) == (git(repository, "rev-parse", "HEAD"), sys.executable)
        assert made.side("BASE").label == f"BASE (HEAD {made.commit[:10] if made.commit else ''})"
        assert made.side("BASE").paths == (made.root,)
    assert not root.exists()
    assert git(repository, "worktree", "list").count("\n") == 0


def test_checkout_that_git_was_interrupted_in_adding_is_removed_too(repository: Path) -> None:
    with checked_out("HEAD", repository) as made:
        git(repository, "worktree", "lock", "--reason", "initializing", made.root)  # what git leaves behind then
        (Path(made.root) / ".git").unlink()
    assert git(repository, "worktree", "list").count("\n") == 0


def test_folder_is_used_as_it_stands(repository: Path) -> None:
    with checked_out(str(repository), Path.cwd()) as made:
        assert (made.root, made.commit) == (str(repository), None)
    assert (repository / "toy.py").exists()


def test_sources_under_src_come_first(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    program(folder / "src", "")
    with checked_out(str(folder), tmp_path) as made:
        assert made.side("NEW").paths == (str(folder / "src"),)


def test_what_git_does_not_know_is_refused(repository: Path, tmp_path: Path) -> None:
    assert is_revision("HEAD", repository)
    assert not is_revision("nowhere", repository)
    assert commit_of("HEAD", tmp_path) is None
    with (
        pytest.raises(UsageError, match="git knows no commit 'nowhere'"),
        checked_out("nowhere", repository),
    ):
        pass


def wheel(folder: Path) -> str:
    """Make a distribution `toydep` by hand and return its hash."""
    folder.mkdir()
    path = folder / "toydep-1.0-py3-none-any.whl"
    files = {
        "toydep.py": "TURNS = 300\n",
        "toydep-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: toydep\nVersion: 1.0\n",
        "toydep-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    files["toydep-1.0.dist-info/RECORD"] = "".join(f"{name},,\n" for name in files)
    with zipfile.ZipFile(path, "w") as made:
        for name, text in files.items():
            made.writestr(name, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_version_with_other_pins_gets_an_environment_of_its_own_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = wheel(tmp_path / "wheels")
    folder = program(tmp_path / "project", "import toydep\ndef steady():\n    return sum(range(toydep.TURNS))\n")
    (folder / "requirements").mkdir()
    (folder / "requirements" / "run.lock").write_text(f"toydep==1.0 --hash=sha256:{digest}\n")
    commit(folder, "first")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    reports: list[str] = []
    with (
        checked_out("HEAD", folder, report=reports.append) as base,
        checked_out(str(folder), folder, report=reports.append) as new,
    ):
        assert base.python == new.python != sys.executable
        assert base.environment == ("an environment of its own, made from its lock file (1 pin differs from here)")
        workload = Workload(name="steady", target="toy:steady")
        outcome = PairedRun(base.side("BASE"), new.side("NEW"), [workload], seed=1, design=QUICK).run()
    assert outcome.missing == []
    assert reports == [
        f"making an environment for {(base.commit or '')[:10]}: toydep 1.0 is pinned, nothing is installed"
    ]


def test_environment_that_cannot_be_made_is_one_sentence(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "requirements").mkdir()
    (repository / "requirements" / "run.lock").write_text(f"toydep==7.0 --hash=sha256:{'0' * 64}\n")
    commit(repository, "unheard of")
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=r"-m venv .* failed: .*Not a directory"), checked_out("HEAD", repository):
        pass
    assert git(repository, "worktree", "list").count("\n") == 0
