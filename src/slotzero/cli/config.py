"""`slotzero config`: write a configuration, show the effective one, print its schema."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from slotzero import config
from slotzero.errors import UsageError

__all__ = ["config_app"]

config_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Write, show and describe the configuration file.",
)

DEFAULT_FILE = Path("slotzero.toml")


@config_app.command(epilog="Example: slotzero config init slotzero.toml")
def init(
    file: Annotated[Path, typer.Argument(help="Where to write; an existing file is left as it is.")] = DEFAULT_FILE,
) -> None:
    """Write a commented configuration with every default; it runs as it is."""
    try:
        # For its owner alone: providers put their keys into addresses.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as out:
            out.write(config.render(config.Settings()))
    except FileExistsError as error:
        raise UsageError(
            f"{file} exists and was left as it is; name another file (slotzero config init FILE) or remove it first"
        ) from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}); name a file in a writable folder") from error
    typer.echo(f"wrote {file}; use it with: slotzero run --config {file}")


@config_app.command(epilog="Example: slotzero config show --config slotzero.toml --json")
def show(
    *,
    file: Annotated[Path | None, typer.Option("--config", help="A TOML file; without it, the defaults.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print the effective settings: the file's where it has some, the defaults elsewhere."""
    settings = config.redacted(config.load(file))
    if is_json:
        typer.echo(json.dumps(config.as_document(settings), indent=2))
    else:
        typer.echo(config.render(settings), nl=False)


@config_app.command(epilog="Example: slotzero config schema > slotzero.schema.json")
def schema() -> None:
    """Print the JSON schema of the configuration, for editors and generators."""
    typer.echo(json.dumps(config.json_schema(), indent=2))
