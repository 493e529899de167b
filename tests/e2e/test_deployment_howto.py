"""docs/how-to/deployment.md stays true: its commands are understood, its units and its table are checked."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slotzero.cli.main import app
from slotzero.workloads.targets import SYSTEM_TARGETS, TARGETS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "deployment.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.splitlines() if line
]
IN_A_LINE = re.findall(r"slotzero (?:bench|load) [^`\"\n]*--json", PAGE)
SHORT = {"bench": ("--samples", "3", "--warmup", "1"), "load": ("--duration", "4", "--concurrency", "3"), "report": ()}
"""The page's own lengths are minutes."""


@pytest.mark.parametrize("line", [*COMMANDS, *(f"{line} x.json" for line in IN_A_LINE)])
def test_command_of_the_page_is_understood(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "slotzero"
    result = CliRunner().invoke(app, [*words[1:], "--help"])
    assert result.exit_code == 0, result.output


def test_commands_of_the_page_run_in_their_order(tmp_path: Path) -> None:
    for line in COMMANDS:
        words = shlex.split(line)
        ended = subprocess.run(
            [sys.executable, "-m", *words, *SHORT[words[1]]],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=tmp_path,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
        )
        assert ended.returncode in (0, 1), ended.stderr  # cut short, or on a busy machine, a target may be missed
        assert "Traceback" not in ended.stderr
    assert {"result.json", "load.json", "report.html"} <= {path.name for path in tmp_path.iterdir()}


def test_units_of_the_page_are_accepted_by_systemd(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine")
    names = re.findall(r"`/etc/systemd/system/([\w.-]+)`", PAGE)
    units = re.findall(r"```ini\n(.*?)```", PAGE, flags=re.DOTALL)
    for name, text in zip(names, units, strict=True):
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not [line for line in done.stderr.splitlines() if str(tmp_path) in line], done.stderr


def test_targets_of_the_page_are_those_that_are_judged_by() -> None:
    found = {name: float(ms.replace(",", "")) for name, ms in re.findall(r"\| ([A-Z_]+) \| ([\d,]+) ms ", PAGE)}
    assert found == {component.value: target.p95_ms for component, target in TARGETS.items()}
    whole = f"above {SYSTEM_TARGETS.success_percent:g} %, memory under {SYSTEM_TARGETS.peak_memory_mb:g} MB"
    assert whole in PAGE
    assert f"CPU under {SYSTEM_TARGETS.avg_cpu_percent:g} %" in PAGE


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE))))
def test_link_of_the_page_leads_to_a_heading_that_exists(link: str) -> None:
    path, _, anchor = link.partition("#")
    text = (ROOT / "docs" / "how-to" / path).read_text()
    headings = [heading.lower() for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)]
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading).replace(" ", "-") for heading in headings}
    assert not anchor or anchor in anchors, (anchor, anchors)
