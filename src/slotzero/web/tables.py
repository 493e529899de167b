"""Answers as comma-separated values, for spreadsheets. Pure."""

import csv
import io
from collections.abc import Sequence

from msgspec import Struct, structs

__all__ = ["table"]


def table(rows: Sequence[Struct], columns: Sequence[str]) -> str:
    """Return some fields of records as a table with a head. Text that a spreadsheet would run is made harmless."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        values = structs.asdict(row)
        writer.writerow([_cell(values[column]) for column in columns])
    return out.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    # A symbol is a stranger's text; "=..." in it must not be run by whoever opens the file.
    return f"'{value}" if isinstance(value, str) and value[:1] in set("=+-@\t\r") else value
