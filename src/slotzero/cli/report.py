"""`slotzero report`: results as one self-contained HTML page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slotzero.errors import UsageError

if TYPE_CHECKING:
    from slotzero.perf.compare.document import CompareDocument
    from slotzero.web.report import ReportPart

__all__ = ["report"]

_LABELS: Final = {
    "flame": "flame graph",
    "speedscope": "speedscope file",
    "stacks": "stacks",
    "trace": "trace of the slowest call",
    "memory_peak": "memory at its peak",
    "memory_kept": "memory that was kept",
}


def report(
    results: Annotated[list[Path], typer.Argument(help="Files of `bench --json`, `load --json` or `compare --json`.")],
    *,
    out: Annotated[Path, typer.Option(help="Where to write the page.")],
    title: Annotated[str, typer.Option(help="The page's heading.")] = "",
) -> None:
    """Write results as one HTML page that loads nothing from anywhere: to read, to print, to attach to a mail.

    Two results of benchmarks are also compared, the first as the base.

    The exit code is 0 when the page is written, 2 for wrong use.

    Example: slotzero report before.json after.json --out report.html
    """
    # Here, so that `slotzero --help` loads nothing of the page.
    from slotzero.web.report import render_report  # noqa: PLC0415

    judged, parts = [], []
    for path in results:
        comparison = _comparison(path)
        if comparison is None:
            parts.append(_part(path, out))
        else:
            judged.append(comparison)
    page = render_report(parts, judged=judged, title=title)
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}") from error
    typer.echo(f"{out}: {len(results)} result{'' if len(results) == 1 else 's'}", err=True)


def _comparison(path: Path) -> "CompareDocument | None":
    """Return what `slotzero compare` has written to a file, or None when it is something else."""
    import msgspec  # noqa: PLC0415 as above

    from slotzero.perf.compare.document import SCHEMA, CompareDocument  # noqa: PLC0415 as above

    try:
        data = path.read_bytes()
        if msgspec.json.decode(data, type=dict[str, object]).get("schema") != SCHEMA:
            return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # whatever it is, `read_result_file` says what is wrong with it
    try:
        return msgspec.json.decode(data, type=CompareDocument)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} is damaged: {error}; compare again with `slotzero compare --json`") from error


def _part(path: Path, out: Path) -> "ReportPart":
    from slotzero.perf.result_file import read_result_file  # noqa: PLC0415 as above
    from slotzero.perf.types import BenchmarkResult  # noqa: PLC0415 as above
    from slotzero.web.report import ReportPart  # noqa: PLC0415 as above

    document = read_result_file(path)
    links = {
        result.name: tuple(
            (_LABELS[kind], _address(path.parent / name, out))
            for kind, name in result.files.items()
            if kind in _LABELS and (path.parent / name).is_file()
        )
        for result in document.results
        if isinstance(result, BenchmarkResult)
    }
    return ReportPart(name=path.stem, document=document, links=links)


def _address(file: Path, out: Path) -> str:
    """Return a file's address from the page, as a link has it."""
    from os.path import relpath  # noqa: PLC0415 pathlib's walk_up is of Python 3.12
    from urllib.parse import quote  # noqa: PLC0415

    return quote(relpath(file.resolve(), out.resolve().parent))
