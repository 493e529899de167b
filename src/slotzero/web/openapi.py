"""The OpenAPI document of the API, made of its own records. Pure."""

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from slotzero import __version__
from slotzero.web.records import Problem

__all__ = ["Operation", "openapi"]

_REFS: Final = "#/components/schemas/{name}"
_NAMES: Final = {
    200: "As asked.",
    400: "The request is not what is expected.",
    401: "The token is missing or wrong.",
    403: "The request comes from another web page.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "The bot refused, or is not there.",
    413: "The body is too large.",
    414: "The path or query is too long.",
    421: "The host is no loopback name.",
    429: "Too many viewers.",
    503: "No bot is being watched.",
}
_EVERYWHERE: Final = (400, 403, 408, 413, 414, 421)


class Operation(Struct, frozen=True, kw_only=True):
    """One operation as the document has it.

    Attributes:
        answers: What a success is, by media type; None = not described further.
        statuses: Beside 200 and those of every operation.
        acts: Whether it needs the token.
    """

    method: Literal["get", "post"]
    path: str
    name: str
    summary: str
    answers: dict[str, Any]
    query: type[Struct] | None = None
    variables: type[Struct] | None = None
    body: type[Struct] | None = None
    statuses: tuple[int, ...] = ()
    acts: bool = False


def openapi(operations: list[Operation]) -> bytes:
    """Return the document (OpenAPI 3.1), as JSON."""
    kinds: list[Any] = [Problem]
    for one in operations:
        kinds += [kind for kind in one.answers.values() if kind is not None]
        kinds += [one.body] if one.body is not None else []
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REFS)
    by_kind = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method] = _operation(one, by_kind)
    return msgspec.json.format(
        msgspec.json.encode(
            {
                "openapi": "3.1.0",
                "info": {
                    "title": "slotzero",
                    "version": __version__,
                    "description": "A running bot's live figures, its positions and traces, and the stored runs of "
                    "the performance lab. Loopback only. What acts needs the token that is shown at the start.",
                },
                "paths": paths,
                "components": {
                    "schemas": components,
                    "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
                },
            }
        ),
        indent=1,
    )


def _operation(one: Operation, by_kind: dict[Any, Any]) -> dict[str, object]:
    problem = {"application/json": {"schema": by_kind[Problem]}}
    statuses = sorted({*_EVERYWHERE, *one.statuses, *((401, 409) if one.acts else ())})
    content = {media: {"schema": {} if kind is None else by_kind[kind]} for media, kind in one.answers.items()}
    made: dict[str, object] = {
        "operationId": one.name,
        "summary": one.summary,
        "parameters": [*_parameters(one.variables, "path"), *_parameters(one.query, "query")],
        "responses": {
            "200": {"description": _NAMES[200], "content": content},
            **{str(status): {"description": _NAMES[status], "content": problem} for status in statuses},
        },
    }
    if one.body is not None:
        made["requestBody"] = {"content": {"application/json": {"schema": by_kind[one.body]}}}
    if one.acts:
        made["security"] = [{"token": []}]
    return made


def _parameters(kind: type[Struct] | None, where: Literal["path", "query"]) -> list[dict[str, object]]:
    if kind is None:
        return []
    _, components = msgspec.json.schema_components([kind], ref_template=_REFS)
    schema = components[kind.__name__]
    found = []
    for name, field in schema["properties"].items():
        shape = dict(field)
        text = shape.pop("description", "")
        found.append({"name": name, "in": where, "required": where == "path", "description": text, "schema": shape})
    return found
