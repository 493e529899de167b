import json
import os
import stat
import tomllib
from pathlib import Path

import click
import pytest
from typer.testing import CliRunner, Result

from slotzero import config
from slotzero.cli.config import config_app
from slotzero.config import Settings
from slotzero.errors import ConfigError, UsageError


def invoke(*args: str) -> Result:
    return CliRunner().invoke(config_app, list(args))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_init_writes_a_file_that_holds_the_defaults() -> None:
    result = invoke("init")
    assert result.exit_code == 0
    assert result.stdout == "wrote slotzero.toml; use it with: slotzero run --config slotzero.toml\n"
    assert config.load(Path("slotzero.toml")) == Settings()


def test_init_writes_to_the_named_file() -> None:
    assert invoke("init", "other.toml").exit_code == 0
    assert config.load(Path("other.toml")) == Settings()


def test_init_writes_a_file_for_its_owner_alone() -> None:
    previous = os.umask(0)
    try:
        assert invoke("init").exit_code == 0
    finally:
        os.umask(previous)
    assert stat.S_IMODE(Path("slotzero.toml").stat().st_mode) == 0o600


def test_init_never_overwrites() -> None:
    file = Path("slotzero.toml")
    file.write_text("mine")
    result = invoke("init")
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == (
        "slotzero.toml exists and was left as it is; name another file (slotzero config init FILE) or remove it first"
    )
    assert file.read_text() == "mine"


def test_init_into_an_absent_folder_is_one_sentence() -> None:
    result = invoke("init", "absent/slotzero.toml")
    assert isinstance(result.exception, UsageError)
    assert "cannot be written (No such file or directory)" in str(result.exception)


def test_show_prints_the_effective_settings_as_a_file_that_runs() -> None:
    Path("my.toml").write_text("[exits]\nmax_attempts = 7\n")
    result = invoke("show", "--config", "my.toml")
    assert result.exit_code == 0
    assert config.parse(result.stdout, "shown") == config.load(Path("my.toml"))
    assert "max_attempts = 7\n" in result.stdout


def test_show_without_a_file_prints_the_defaults() -> None:
    assert invoke("show").stdout == config.render(Settings())


def test_show_json_prints_one_document() -> None:
    result = invoke("show", "--json")
    assert json.loads(result.stdout) == tomllib.loads(config.render(Settings()))


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_show_redacts_addresses(flags: list[str]) -> None:
    Path("my.toml").write_text(
        '[cluster]\nrpc_url = "http://127.0.0.1:1/?key=hunter2"\nws_url = "ws://127.0.0.1:1/hunter2hunter2hunter2"\n'
    )
    result = invoke("show", "--config", "my.toml", *flags)
    assert result.exit_code == 0
    assert "127.0.0.1:1" in result.stdout
    assert "hunter2" not in result.stdout


def test_show_of_a_wrong_file_raises_the_error_with_all_problems() -> None:
    Path("my.toml").write_text("a = 1\nb = 2\n")
    error = invoke("show", "--config", "my.toml").exception
    assert isinstance(error, ConfigError)
    assert len(error.problems) == 2


def test_show_of_an_absent_file_raises_a_usage_error() -> None:
    error = invoke("show", "--config", "absent.toml").exception
    assert isinstance(error, UsageError)
    assert str(error) == "absent.toml does not exist; `slotzero config init absent.toml` writes one"


def test_schema_prints_one_json_document() -> None:
    result = invoke("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("command", ["init", "show", "schema"])
def test_help_has_an_example(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"Example: slotzero config {command}" in click.unstyle(result.stdout)
