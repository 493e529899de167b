"""The how-to on distributed load: its program runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/how-to/distributed-load.md"


def test_program_of_the_page_runs(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    program = tmp_path / "orders.py"
    program.write_text(found[1])
    folders = os.pathsep.join(path for path in sys.path if path)
    output = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": folders},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert output.returncode == 0, output.stderr
    assert re.match(r"\w+ \d+ LatencyStats", output.stdout), output.stdout


def test_options_named_on_the_page_exist() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "slotzero", "load", "--help"],
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    commands = re.findall(r"slotzero load .*", PAGE.read_text())
    named = {option for command in commands for option in re.findall(r"--[a-z-]+", command)}
    assert named
    assert all(option in help_text for option in named)
