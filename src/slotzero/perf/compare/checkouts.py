"""Two versions of a program side by side: git worktrees, each with the environment its lock file asks for. *Does I/O.*

A revision is checked out into a worktree of its own that is removed at the end. Its environment is made from its
`requirements/run.lock`: where everything the lock pins is installed in the running interpreter in that version, that
interpreter serves (the quick way); otherwise a virtual environment is made once and kept by the lock's content. A
version without a lock file gets the running interpreter. Either way the version's own sources come first on the path,
and nothing is installed anywhere else.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from msgspec import Struct

from slotzero.errors import UsageError
from slotzero.perf.compare.workers import EventLoop, Side

__all__ = ["LOCK", "Checkout", "checked_out", "commit_of", "differing_pins", "is_revision"]

LOCK: Final = "requirements/run.lock"
_PIN: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)[ \t]*(;[^\\\n]*)?", re.MULTILINE)
_SHORT: Final = 10
_READY: Final = ".complete"


class Checkout(Struct, frozen=True, kw_only=True):
    """A version that can be run.

    Attributes:
        name: As it was asked for.
        commit: Its full hash, or None for a folder with changes of its own.
        root: Where its files are.
        python: The interpreter with its dependencies.
        environment: Where that came from, one sentence.
    """

    name: str
    commit: str | None
    root: str
    python: str
    environment: str

    def side(self, role: str, event_loop: EventLoop = "asyncio") -> Side:
        """Return what a worker of this version is started with."""
        shown = self.name if self.commit is None else f"{self.name} {self.commit[:_SHORT]}"
        sources = Path(self.root) / "src"
        path = sources if sources.is_dir() else Path(self.root)
        root = str(Path(self.root).resolve())
        return Side(
            label=f"{role} ({shown})",
            python=self.python,
            paths=(str(path),),
            root=root,
            cwd=self.root,
            event_loop=event_loop,
        )


def commit_of(name: str, folder: Path) -> str | None:
    """Return the full hash of the commit that git knows by this name here, or None."""
    return _git_says(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")


def is_revision(name: str, folder: Path) -> bool:
    """Tell whether git knows a commit by this name here."""
    return commit_of(name, folder) is not None


@contextmanager
def checked_out(name: str, folder: Path, *, report: Callable[[str], None] = lambda _text: None) -> Iterator[Checkout]:
    """Make a version ready to run, and clean up behind it.

    Args:
        name: A revision as git understands it, or the path of a folder, which is used as it stands.
        folder: Somewhere in the repository.
        report: Told what takes time.

    Raises:
        UsageError: There is no such revision, or its environment cannot be made.
    """
    if Path(name).is_dir():
        root = Path(name).resolve()
        python, environment = _environment(root, report)
        yield Checkout(name=name, commit=None, root=str(root), python=python, environment=environment)
        return
    commit = commit_of(name, folder)
    if commit is None:
        raise UsageError(f"git knows no commit {name!r} in {folder}; give a revision, a folder or a result file")
    parent = Path(tempfile.mkdtemp(prefix="slotzero-compare-"))
    tree = parent / commit[:_SHORT]
    try:
        _git(folder, "worktree", "add", "--quiet", "--detach", str(tree), commit)
        python, environment = _environment(tree, report)
        yield Checkout(name=name, commit=commit, root=str(tree), python=python, environment=environment)
    finally:
        _git_says(folder, "worktree", "unlock", str(tree))  # git keeps one locked that it was interrupted in adding
        _git_says(folder, "worktree", "remove", "--force", str(tree))
        shutil.rmtree(parent, ignore_errors=True)
        _git_says(folder, "worktree", "prune")


def differing_pins(lock: str, installed: Callable[[str], str | None]) -> list[str]:
    """Return which pins of a lock file the installed versions do not meet, one sentence each. *Pure.*

    A pin with a marker (another system, another Python) may be absent; a package pinned twice must meet one of them.

    Args:
        lock: The text of a lock file.
        installed: Returns a package's version, or None.
    """
    pins: dict[str, list[tuple[str, bool]]] = {}
    for name, pinned, marker in _PIN.findall(lock):
        pins.setdefault(name.lower(), []).append((pinned, bool(marker)))
    found = []
    for name, wanted in pins.items():
        here = installed(name)
        if here is None and all(is_conditional for _, is_conditional in wanted):
            continue
        if here not in [pinned for pinned, _ in wanted]:
            asked = " or ".join(pinned for pinned, _ in wanted)
            found.append(f"{name} {asked} is pinned, {here or 'nothing'} is installed")
    return found


def _environment(root: Path, report: Callable[[str], None]) -> tuple[str, str]:
    lock = root / LOCK
    if not lock.is_file():
        return sys.executable, "the running interpreter: it has no lock file"
    text = lock.read_text()
    differing = differing_pins(text, _installed)
    if not differing:
        return sys.executable, "the running interpreter: it has what the lock file pins"
    key = hashlib.sha256(f"{sys.version}\n{text}".encode()).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "slotzero" / "environments" / key
    python = home / "bin" / "python"
    if not (home / _READY).exists():
        report(f"making an environment for {root.name}: {differing[0]}")
        shutil.rmtree(home, ignore_errors=True)
        _must([sys.executable, "-m", "venv", str(home)], root)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        _must([*pip, "--require-hashes", "-r", str(lock)], root)
        (home / _READY).touch()
    return str(
        python
    ), f"an environment of its own, made from its lock file ({len(differing)} pin{_s(len(differing))} from here)"


def _s(count: int) -> str:
    return " differs" if count == 1 else "s differ"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str:
    return _must(["git", "-C", str(folder), *arguments], folder)


def _git_says(folder: Path, *arguments: str) -> str | None:
    """Return what git printed, or None when it failed."""
    try:
        return _git(folder, *arguments)
    except UsageError:
        return None


def _must(command: list[str], cwd: Path) -> str:
    try:
        done = subprocess.run(  # noqa: S603 git, venv and pip, with arguments of ours
            command, cwd=cwd, env=_without_git(os.environ), capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be run: {error.strerror or error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UsageError(f"`{' '.join(command[:5])} ...` failed: {lines[-1]}")
    return done.stdout.strip()


def _without_git(variables: Mapping[str, str]) -> dict[str, str]:
    """A hook of git's points these at its own repository."""
    return {name: value for name, value in variables.items() if name not in {"GIT_DIR", "GIT_WORK_TREE", "PYTHONPATH"}}
