"""What the code says of a command and its options is what --help shows of them."""

import re
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from slotzero.cli.main import app

COMMAND = typer.main.get_command(app)


def pages(command: object, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from pages(below, *path, name)


def texts(path: tuple[str, ...]) -> list[str]:
    command: object = COMMAND
    for name in path:
        command = getattr(command, "commands")[name]  # noqa: B009 a group's, which typer does not declare
    options = [getattr(option, "help", "") for option in getattr(command, "params", ())]
    return [text for text in (getattr(command, "help", ""), getattr(command, "epilog", ""), *options) if text]


def words(text: str) -> list[str]:
    return re.sub(r"[│╭╮╰╯]", " ", text.replace("`", "")).split()


@pytest.mark.parametrize("path", list(pages(COMMAND)), ids=" ".join)
def test_help_of_a_command_shows_every_word_that_is_said_of_it(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    shown = set(words(result.stdout))
    assert [word for text in texts(path) for word in words(text) if word not in shown] == []


@pytest.mark.parametrize(
    ("command", "section"),
    [("run", "[paper]"), ("run", "[limits]"), ("record", "[cluster]"), ("top", "[tui]")],
)
def test_help_names_the_sections_of_the_configuration_in_brackets(command: str, section: str) -> None:
    assert section in CliRunner().invoke(app, [command, "--help"]).stdout
