"""`slotzero dashboards`: files for Grafana, Prometheus and Alertmanager; stored results as Prometheus history."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from slotzero.errors import UsageError

__all__ = ["dashboards_app"]

dashboards_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Files for Grafana, Prometheus and Alertmanager; past results as Prometheus history.",
)


@dashboards_app.command(epilog="Example: slotzero dashboards export monitoring --thresholds-from result.json")
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; an earlier export is replaced.")],
    *,
    thresholds_from: Annotated[
        list[Path] | None,
        typer.Option(metavar="RESULT", help="Write a further rule file with limits from these measured results."),
    ] = None,
    docs: Annotated[
        str, typer.Option(metavar="BASE", help="Where the documentation is, for the alerts' links to their runbooks.")
    ] = "docs",
    grafana: Annotated[
        str, typer.Option(metavar="URL", help="Where Grafana is, for the alerts' links to their dashboard.")
    ] = "http://127.0.0.1:3000",
) -> None:
    """Write both dashboards, provisioning, scrape configuration, alert rules and an Alertmanager example."""
    # Here, so that `slotzero --help` loads none of it.
    from slotzero.observe.dashboards.files import export as write  # noqa: PLC0415
    from slotzero.observe.dashboards.files import exported  # noqa: PLC0415
    from slotzero.observe.rules import Links  # noqa: PLC0415
    from slotzero.perf.result_file import read_result_file  # noqa: PLC0415
    from slotzero.perf.types import BenchmarkResult  # noqa: PLC0415

    measured = [
        result
        for path in thresholds_from or []
        for result in read_result_file(path).results
        if isinstance(result, BenchmarkResult)
    ]
    if thresholds_from and not measured:
        raise UsageError("no benchmark of these files has a result to take limits from; measure with `slotzero bench`")
    files = exported(links=Links(docs=docs, grafana=grafana), measured=measured)
    write(folder, files)
    for name in files:
        typer.echo(str(folder / name))


@dashboards_app.command(epilog="Example: slotzero dashboards backfill before=old.json after=new.json --out history.om")
def backfill(
    results: Annotated[
        list[str],
        typer.Argument(
            metavar="RESULT...", help="Files of `slotzero bench` and `load`; NAME=FILE says what its version is called."
        ),
    ],
    *,
    out: Annotated[Path | None, typer.Option(help="Where to write; without it, to stdout.")] = None,
) -> None:
    """Write stored results as OpenMetrics with timestamps, each version an instance of its own.

    Prometheus takes them with: promtool tsdb create-blocks-from openmetrics history.om DATA_DIRECTORY
    """
    from slotzero.observe.backfill import history  # noqa: PLC0415
    from slotzero.perf.result_file import read_result_file  # noqa: PLC0415

    named = [_named(result) for result in results]
    text = "".join(f"{line}\n" for line in history([(name, read_result_file(path)) for name, path in named]))
    if out is None:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}); name a file in a writable folder") from error
    typer.echo(f"wrote {out}; next: promtool tsdb create-blocks-from openmetrics {out} DATA_DIRECTORY")


def _named(result: str) -> tuple[str, Path]:
    name, equals, path = result.partition("=")
    return (name, Path(path)) if equals and not Path(result).exists() else ("", Path(result))
