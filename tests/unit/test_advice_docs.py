"""The page about finding what is slow: its program runs, its rules and options exist."""

import re
import subprocess
import sys
from pathlib import Path

from slotzero.cli.bench import bench
from slotzero.perf import suggest

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "find-what-is-slow.md").read_text()
SOURCES = Path(suggest.__file__).parent


def test_program_of_the_page_runs() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert ended.returncode == 0, ended.stderr
    assert "missed" in ended.stdout


def test_page_names_every_rule_and_no_other() -> None:
    known = set(re.findall(r'rule="([a-z-]+)"', "".join(file.read_text() for file in SOURCES.glob("*.py"))))
    table = PAGE.partition("| rule |")[2].partition("\n\n")[0]

    assert set(re.findall(r"`([a-z-]+)`", table)) == known


def test_options_of_the_page_exist() -> None:
    known = {name.replace("_", "-") for name in bench.__annotations__}

    assert {"profile", "memory"} <= known
