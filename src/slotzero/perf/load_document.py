"""Load results as result files (`slotzero.result/1`, kind "load")."""

from collections.abc import Sequence

import msgspec

from slotzero.errors import UsageError
from slotzero.perf.environment import Passport
from slotzero.perf.load_types import LoadOutcome, LoadResult
from slotzero.perf.result_file import ResultDocument

__all__ = ["load_document", "load_outcomes"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(LoadOutcome).decode


def load_document(outcomes: Sequence[LoadOutcome], environment: Passport, *, title: str = "") -> ResultDocument:
    """Return the document of some load runs. *Pure.*"""
    return ResultDocument(
        kind="load",
        environment=environment,
        other=tuple(msgspec.Raw(_encode(outcome)) for outcome in outcomes),
        title=title or ", ".join(outcome.scenario for outcome in outcomes),
        stopped=any(isinstance(outcome, LoadResult) and outcome.stopped == "interrupted" for outcome in outcomes),
    )


def load_outcomes(document: ResultDocument, name: str) -> tuple[LoadOutcome, ...]:
    """Return the load runs of a document. *Pure.*

    Args:
        document: Of kind "load".
        name: What to call it in the text of an error.

    Raises:
        UsageError: It holds something else, or is damaged.
    """
    if document.kind != "load":
        raise UsageError(f"{name} holds benchmarks, not load runs")
    try:
        return tuple(_decode(bytes(result)) for result in document.other)
    except msgspec.MsgspecError as error:
        raise UsageError(f"{name} is damaged: {error}; measure again with `slotzero load --json FILE`") from error
