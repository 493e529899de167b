"""The page about benchmarks: its programs run, its options exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from slotzero.cli.bench import bench

PAGE = (Path(__file__).parent.parent.parent / "docs" / "reference" / "benchmarks.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("program", PROGRAMS, ids=["service", "workload"])
def test_every_program_of_the_page_runs(program: str) -> None:
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_every_option_of_the_page_is_one() -> None:
    known = {name.replace("_", "-") for name in bench.__annotations__}
    used = set(re.findall(r"slotzero bench[^\n`]*?--([a-z-]+)", PAGE)) | set(re.findall(r"`--([a-z-]+)", PAGE))
    assert used
    assert used <= known
