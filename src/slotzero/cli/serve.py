"""`slotzero serve`: the page, the API and /metrics."""

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["serve"]


def serve(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="On loopback; 0 = any free one.")] = 9464,
    bot: Annotated[int | None, typer.Option(help="The bot's process id; without, the one that began last.")] = None,
    runs: Annotated[Path | None, typer.Option(help="The folder of stored results; without, the user's own.")] = None,
    until_stdin_closes: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Serve the live page, the API and /metrics on loopback, until Ctrl-C.

    Shows the bot that runs, as soon as one does, and the stored results: what `slotzero bench --json` and `slotzero
    load --json` have written to the folder `runs` of the user's state folder, and saved baselines. Whatever acts
    (close, panic) needs the token that is shown at the start.

    Example: slotzero serve --port 9464
    """
    # Here, so that `slotzero --help` loads none of the server's parts.
    from slotzero.web.server import ServeRequest, serve_session  # noqa: PLC0415

    request = ServeRequest(port=port, pid=bot, runs=runs, until_stdin_closes=until_stdin_closes)
    serve_session(request, stdout=sys.stdout, stderr=sys.stderr)
