"""Small programs in two versions, for tests of comparisons."""

import os
import subprocess
import sys
from pathlib import Path

import slotzero as slotzero_package
from slotzero.perf.compare.design import Design
from slotzero.perf.compare.workers import Side

SOURCES = Path(slotzero_package.__file__).parent.parent
QUICK = Design(looks=(3, 6), rounds=6, calls=40)
"""Small, and with room to go on where other tests make noise."""
TICK = """
import asyncio


async def naps():
    await asyncio.sleep(0.005)  # some seconds for each launch


async def tick():
    total = 0
    for number in range({turns}):
        total = (total * 31 + number) % 1_000_003
    return total


def steady():
    total = 0
    for number in range(600):
        total = (total * 31 + number) % 1_000_003
    return total
"""


def side(folder: Path, label: str = "BASE") -> Side:
    """A version whose sources are a folder."""
    return Side(label=label, python=sys.executable, paths=(str(folder),), root=str(folder.resolve()))


def program(folder: Path, text: str) -> Path:
    """Write a module `toy` into a folder and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.py").write_text(text)
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Run git, as nobody in particular."""
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "A Tester"), ("EMAIL", "tester@example.org"))
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**clean, **who, "GIT_CONFIG_GLOBAL": os.devnull},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> None:
    """Commit everything there is."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)


def slotzero(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "slotzero", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", "PYTHONPATH": str(SOURCES), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
