"""`slotzero record`: keep a feed for later."""

from pathlib import Path
from typing import Annotated, Final

import typer

__all__ = ["record"]

_INTERRUPTED: Final = 130


def record(
    file: Annotated[Path, typer.Argument(help="The file to make; a name that ends in .gz is compressed.")],
    *,
    config: Annotated[Path | None, typer.Option(help="A TOML file; [cluster] names the endpoints.")] = None,
    for_s: Annotated[float | None, typer.Option("--for", min=0.1, help="End after so many seconds.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="End after so many frames.")] = None,
    max_mb: Annotated[int, typer.Option(min=1, max=100_000, help="End at this size, before compression.")] = 1_000,
) -> None:
    """Keep a feed's frames, with all that `slotzero replay FILE --trade` needs to trade them again.

    Records the configured endpoints, or a `slotzero localnet` at 127.0.0.1:8899. Signs nothing and sends nothing. An
    existing file is not overwritten. Ctrl-C ends it; what was recorded is whole.

    Example: slotzero record feed.ndjson.gz --for 60
    """
    # Here, so that `slotzero --help` loads none of the bot's parts.
    from slotzero.observe.recording_session import record_session  # noqa: PLC0415

    summary, interrupted = record_session(config=config, path=file, for_s=for_s, frames=frames, max_mb=max_mb)
    typer.echo(summary)
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
