"""`slotzero history`: past runs, what seems to have changed, and results for other tools."""

import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

if TYPE_CHECKING:
    from slotzero.perf.history import Suspicion
    from slotzero.workloads.keeping import Decided

__all__ = ["history_app"]

_REGRESSED: Final = 1

history_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Past results: keep them, look for changes, export them.",
)

_File = Annotated[Path | None, typer.Option("--file", help="The history; without it the user's own.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class _Format(enum.Enum):
    GITHUB = "github-action-benchmark"
    BENCHER = "bencher"
    PYTEST = "pytest-benchmark"


@history_app.command()
def add(
    results: Annotated[list[Path], typer.Argument(help="Result files of `slotzero bench --json`, oldest first.")],
    *,
    commit: Annotated[
        str | None, typer.Option(help="The commit they measured; without it the working folder's.")
    ] = None,
    file: _File = None,
) -> None:
    """Store results as runs of the history.

    Example: slotzero history add nightly.json
    """
    from slotzero.perf.history import History, history_path  # noqa: PLC0415
    from slotzero.workloads.keeping import add_results, measured_commit  # noqa: PLC0415

    measured = measured_commit(commit, Path.cwd())
    with History(file or history_path()) as history:
        numbers = add_results(history, results, commit=measured)
    typer.echo("\n".join(f"run {number}: {path}" for number, path in zip(numbers, results, strict=True)))


@history_app.command()
def scan(
    *,
    is_confirmed: Annotated[
        bool, typer.Option("--confirm", help="Compare the commits of each suspicion, paired; that decides.")
    ] = False,
    file: _File = None,
    is_json: _Json = False,
) -> None:
    """Look for changes in the series of this kind of machine. Advice, unless --confirm has it decided.

    A step is told from the machine's mood only where enough runs stand before it; below that it says so. The exit code
    is 1 when a comparison confirms a regression, 0 otherwise.

    Example: slotzero history scan --confirm
    """
    from slotzero.perf.changepoint import FEWEST  # noqa: PLC0415
    from slotzero.perf.history import History, history_path  # noqa: PLC0415
    from slotzero.workloads.keeping import decide  # noqa: PLC0415

    with History(file or history_path()) as history:
        runs = history.runs()
        found = history.suspicions(runs[-1].fingerprint) if runs else []
        lengths = history.lengths(runs[-1].fingerprint) if runs else {}
    decided = decide(found, folder=Path.cwd(), seed=1, report=_progress) if is_confirmed else []
    if is_json:
        comparisons = [one.document for one in decided if one.document is not None]
        said = {
            "schema": "slotzero.history/1",
            "runs": len(runs),
            "series": lengths,
            "runs_needed": FEWEST,
            "suspicions": found,
            "comparisons": comparisons,
        }
        typer.echo(msgspec.json.format(msgspec.json.encode(said), indent=2).decode())
    else:
        typer.echo("\n".join(_lines(len(runs), lengths, found, decided)))
    if any(one.is_regression for one in decided):
        raise typer.Exit(_REGRESSED)


@history_app.command()
def export(
    result: Annotated[Path, typer.Argument(help="A result file of `slotzero bench --json`.")],
    *,
    form: Annotated[_Format, typer.Option("--format", help="Whose format.")],
    out: Annotated[Path | None, typer.Option(help="Where to; without it stdout.")] = None,
    commit: Annotated[str | None, typer.Option(help="The commit it measured; without it the working folder's.")] = None,
) -> None:
    """Write a result in another tool's format.

    Example: slotzero history export out.json --format bencher --out bencher.json
    """
    from slotzero.errors import UsageError  # noqa: PLC0415
    from slotzero.perf.exports import EXPORTS  # noqa: PLC0415
    from slotzero.perf.result_file import read_result_file  # noqa: PLC0415
    from slotzero.workloads.keeping import measured_commit  # noqa: PLC0415

    document = read_result_file(result)
    if document.kind != "benchmark":
        raise UsageError(f"{result} is a result of kind {document.kind!r}; benchmarks are exported")
    text = EXPORTS[form.value](document, measured_commit(commit, Path.cwd()))
    if out is None:
        typer.echo(text.decode())
        return
    try:
        out.write_bytes(text + b"\n")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}") from error


def _lines(runs: int, lengths: dict[str, int], found: "list[Suspicion]", decided: "list[Decided]") -> list[str]:
    from slotzero.perf.changepoint import FEWEST  # noqa: PLC0415

    longest = max(lengths.values(), default=0)
    if not found and longest < FEWEST:
        return [f"{longest} runs on this kind of machine: too few to tell, {FEWEST} are needed"]
    said = _suspected(runs, found, decided) if found else [f"{runs} runs, nothing seems to have changed"]
    short = [f"{name} ({count})" for name, count in lengths.items() if count < FEWEST]
    return [*said, f"too few runs to tell more of {', '.join(short)}: {FEWEST} are needed"] if short else said


def _suspected(runs: int, found: "list[Suspicion]", decided: "list[Decided]") -> list[str]:
    lines = [f"{runs} runs; these series seem to have changed (advice, no verdict):"]
    lines += [
        f"  {one.name} {one.metric}: {one.change_percent:+.1f} % since {one.after[:10] or 'an unnamed commit'}, "
        f"{one.runs_since} run{'s' if one.runs_since != 1 else ''} ago"
        for one in found
    ]
    if not decided:
        pairs = dict.fromkeys((one.before[:10], one.after[:10]) for one in found)
        return [*lines, *(f"decide it: slotzero compare {before} {after}" for before, after in pairs)]
    from slotzero.cli.compare import as_text  # noqa: PLC0415

    for one in decided:
        lines += ["", as_text(one.document) if one.document is not None else f"not decided: {one.reason}"]
    return lines


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        typer.echo(text, err=True)
