"""The README stays true: its commands exist, its figures name the command that prints them, it stays short."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot_process import localnet, run_commands
from slotzero.cli.main import app
from staged_bot import within

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("slotzero ")
]


@pytest.mark.parametrize("line", COMMANDS)
def test_command_of_the_readme_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    result = CliRunner().invoke(app, [*words, "--help"])  # options are parsed before the help is shown
    assert result.exit_code == 0, result.output


def test_check_of_the_readme_judges_a_token_of_the_readmes_localnet() -> None:
    (chain_line,) = [line for line in COMMANDS if line.startswith("slotzero localnet")]
    (check_line,) = [line for line in COMMANDS if line.startswith("slotzero check")]
    launching = chain_line.partition("--port 8899")[2].split()  # the port may be taken here
    with localnet(*launching) as chain:
        check = [*check_line.split()[1:], "--rpc", chain["rpc"]]

        def judged() -> str | None:
            ((code, out, err),) = run_commands([check])
            assert code in (0, 1), err
            return out or None

        verdict = within(60, judged, "a token to be launched").split()[0]
    assert verdict in ("ALLOW", "DENY")


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target}"


def test_files_the_readme_names_exist() -> None:
    for path in set(re.findall(r"`?((?:docs|benchmarks)/[\w/.-]+\.(?:md|py))`?", README)):
        assert (ROOT / path).exists(), path


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150
