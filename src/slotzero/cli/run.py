"""`slotzero run`: the sniper."""

import enum
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

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
    password_file: Annotated[
        Path | None,
        typer.Option(help="Live: the keystore's password, on the first line of a file (mode 0600) or pipe."),
    ] = None,
    password_from_env: Annotated[
        bool, typer.Option("--password-from-env", help="Live: take the password from SLOTZERO_PASSWORD.")
    ] = False,
    yes_i_mean_it: Annotated[
        bool, typer.Option("--yes-i-mean-it", help="Live: trade real money without asking, for services.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve page, API and /metrics, as `slotzero serve` does.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Of --serve, on loopback; 0 = any free one.")] = 9464,
    log_file: Annotated[Path | None, typer.Option(help="Append the log to this file, as JSON lines.")] = None,
    trace_file: Annotated[
        Path | None, typer.Option(help="Append each snipe to this file, as a line of OTLP/JSON.")
    ] = None,
    otlp: Annotated[str, typer.Option(help="Send each snipe to this OpenTelemetry collector, over HTTP.")] = "",
) -> None:
    """Snipe new pools: detect, check, buy, watch, sell.

    On the embedded chain (the default) everything it needs is started and ended with it. Ctrl-C sells what is held
    and ends; a second Ctrl-C ends at once, and the journal keeps what is held.

    --cluster paper reads the endpoints of your configuration and sends nothing: fills are computed in a fork of the
    chain, and fees, tips and failed sends are charged as [paper] says.

    --cluster live trades real money on the endpoints of your configuration. It needs [limits] trade_lamports,
    hour_lamports and day_lamports set, a keystore (`slotzero wallet new`), and a typed confirmation.

    Example: slotzero run --until-closed 3 --seed 7
    """
    # Here, so that `slotzero --help` loads none of the bot's parts.
    from slotzero.observe.session import RunRequest, run_session  # noqa: PLC0415
    from slotzero.observe.telling import TellRequest  # noqa: PLC0415

    request = RunRequest(
        config=config,
        cluster=cluster.value,
        until_closed=until_closed,
        for_s=for_s,
        seed=seed,
        as_json=json,
        password_file=password_file,
        password_from_environment=password_from_env,
        is_confirmed=yes_i_mean_it,
        tell=TellRequest(log_file=log_file, trace_file=trace_file, otlp=otlp, serve_port=port if serve else None),
    )
    interrupted = run_session(request, stdout=sys.stdout)
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
