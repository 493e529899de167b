"""`slotzero run`: the sniper."""

import enum
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from slotzero.errors import UsageError

__all__ = ["run"]

_INTERRUPTED: Final = 130


class Cluster(enum.StrEnum):
    """What the bot trades on."""

    LOCALNET = "localnet"
    PAPER = "paper"
    LIVE = "live"


def run(
    *,
    config: Annotated[Path | None, typer.Option(help="A TOML file; `slotzero config init` writes one.")] = None,
    cluster: Annotated[Cluster, typer.Option(help="What to trade on.")] = Cluster.LOCALNET,
    until_closed: Annotated[
        int | None, typer.Option(min=1, help="End when so many positions have been closed.")
    ] = None,
    for_s: Annotated[float | None, typer.Option("--for", min=0.1, help="End after so many seconds.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="Everything launched on the embedded chain follows from it."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")] = False,
) -> None:
    """Snipe new pools: detect, check, buy, watch, sell.

    On the embedded chain (the default) everything it needs is started and ended with it. On paper the configured
    endpoints are read and nothing is sent: fills are computed in a fork of the chain. Ctrl-C sells what is held
    and ends; a second Ctrl-C ends at once, and the journal keeps what is held.

    Example: slotzero run --until-closed 3 --seed 7
    """
    if cluster is Cluster.LIVE:
        raise UsageError("--cluster live is not available yet; use --cluster localnet or --cluster paper")
    # Here, so that `slotzero --help` loads none of the bot's parts.
    from slotzero.observe.session import run_session  # noqa: PLC0415

    interrupted = run_session(
        config=config,
        until_closed=until_closed,
        for_s=for_s,
        seed=seed,
        as_json=json,
        stdout=sys.stdout,
        is_paper=cluster is Cluster.PAPER,
    )
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
