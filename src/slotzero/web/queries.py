"""Queries and bodies of the API: read strictly, refused in one sentence. Pure."""

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.datastructures import QueryParams

from slotzero.errors import UsageError
from slotzero.web.runs import RUN_ID

__all__ = [
    "ClosePath",
    "ComparePath",
    "CompareQuery",
    "FormatQuery",
    "LogsQuery",
    "NoQuery",
    "PanicBody",
    "PositionsQuery",
    "RunPath",
    "RunQuery",
    "SnipePath",
    "SnipeQuery",
    "SnipesQuery",
    "read_body",
    "read_path",
    "read_query",
]

_Limit = Annotated[int, Meta(ge=1, le=1_000, description="At most so many.")]
_RunId = Annotated[str, Meta(pattern=RUN_ID, description="A stored run: its file's name without .json.")]
_Format = Annotated[Literal["json", "csv"], Meta(description="JSON, or a table as comma-separated values.")]
_MOST_TEXT: Final = 200


class NoQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing can be asked for."""


class FormatQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to answer."""

    format: _Format = "json"


class PositionsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which positions."""

    state: Annotated[
        Literal["all", "held", "open", "stuck", "graduated", "closed"], Meta(description="`held` is all but closed.")
    ] = "all"
    limit: _Limit = 200
    format: _Format = "json"


class SnipesQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which snipes."""

    order: Annotated[Literal["newest", "slowest"], Meta(description="Newest, or longest to the buy's end, first.")] = (
        "newest"
    )
    outcome: Annotated[
        Literal["all", "refused", "bought", "failed", "unknown", "closed", "stuck"],
        Meta(description="What became of it."),
    ] = "all"
    stages: Annotated[bool, Meta(description="Whether each comes with its stages.")] = False
    limit: _Limit = 50
    format: _Format = "json"


class SnipeQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to answer."""

    format: Annotated[
        Literal["json", "otlp", "perfetto"],
        Meta(description="JSON, OpenTelemetry's JSON, or a file for Perfetto."),
    ] = "json"


class RunQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to answer."""

    format: Annotated[
        Literal["json", "csv", "html", "file"],
        Meta(description="JSON, a table, a self-contained page, or the result file itself."),
    ] = "json"


class CompareQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to answer."""

    format: Annotated[Literal["json", "csv", "html"], Meta(description="JSON, a table, or a self-contained page.")] = (
        "json"
    )


class LogsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="This level and above.")] = "debug"
    limit: _Limit = 200
    format: _Format = "json"


class PanicBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why everything is sold."""

    reason: Annotated[str, Meta(max_length=_MOST_TEXT, description="Kept in the journal.")] = "from the page"


class SnipePath(Struct, frozen=True, kw_only=True):
    """A snipe."""

    id: Annotated[str, Meta(pattern=r"^[1-9A-HJ-NP-Za-km-z]{32,44}$", description="The mint.")]


class RunPath(Struct, frozen=True, kw_only=True):
    """A stored run."""

    run: _RunId


class ComparePath(Struct, frozen=True, kw_only=True):
    """Two stored runs."""

    base: _RunId
    new: _RunId


class ClosePath(Struct, frozen=True, kw_only=True):
    """A position."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The position's id, or how it begins.")]


T = TypeVar("T", bound=Struct)


def read_query(query: QueryParams, kind: type[T]) -> T:
    """Return a query as a record.

    Raises:
        UsageError: Something in it is unknown, given twice or out of range.
    """
    pairs = query.multi_items()
    if len({name for name, _ in pairs}) != len(pairs):
        raise UsageError("each parameter may be given once")
    return _converted(dict(pairs), kind, "the query")


def read_path(values: dict[str, Any], kind: type[T]) -> T:
    """Return a path's variable parts as a record.

    Raises:
        UsageError: They have not the form they must have.
    """
    return _converted(values, kind, "the path")


def read_body(body: bytes, kind: type[T]) -> T:
    """Return a body as a record; an empty one is `{}`.

    Raises:
        UsageError: It is no JSON object of that form.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the body is not what is expected: {error}") from error


def _converted(values: dict[str, Any], kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"{what} is not what is expected: {error}") from error
