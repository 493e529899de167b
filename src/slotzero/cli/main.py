"""The `slotzero` command: the edge at which operating faults become one sentence and an exit code."""

import os
import sys
from typing import Final

import typer

from slotzero.cli.bench import bench
from slotzero.cli.check import check
from slotzero.cli.compare import compare
from slotzero.cli.config import config_app
from slotzero.cli.dashboards import dashboards_app
from slotzero.cli.doctor import doctor
from slotzero.cli.history import history_app
from slotzero.cli.load import load
from slotzero.cli.localnet import localnet
from slotzero.cli.positions import close, panic, positions
from slotzero.cli.record import record
from slotzero.cli.replay import replay
from slotzero.cli.report import report
from slotzero.cli.run import run
from slotzero.cli.serve import serve
from slotzero.cli.top import top
from slotzero.cli.wallet import wallet_app
from slotzero.errors import SlotzeroError, UsageError

__all__ = ["app", "main"]

_FAULT: Final = 1
_WRONG_USE: Final = 2
_INTERRUPTED: Final = 130

app = typer.Typer(
    name="slotzero",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # Rich's own markup swallows `[section]`
    help="A Solana new-pool sniper that proves its own speed on an embedded Solana chain.",
)


app.command()(run)
app.command()(localnet)
app.command()(record)
app.command()(replay)
app.command()(check)
app.command()(compare)
app.command()(positions)
app.command()(close)
app.command()(panic)
app.command()(doctor)
app.command()(load)
app.command()(bench)
app.command()(report)
app.command()(serve)
app.command()(top)
app.add_typer(config_app, name="config")
app.add_typer(dashboards_app, name="dashboards")
app.add_typer(history_app, name="history")
app.add_typer(wallet_app, name="wallet")


def main() -> None:
    """Run the command line and exit."""
    try:
        app()
    except SlotzeroError as error:
        # A node's own words stand in some: nothing in them may act on the terminal.
        said = "".join(char if char.isprintable() or char == "\n" else "?" for char in str(error))
        typer.echo(f"slotzero: {said}", err=True)
        sys.exit(_WRONG_USE if isinstance(error, UsageError) else _FAULT)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # Nobody reads us any more; the interpreter must not try to flush once again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_FAULT)
