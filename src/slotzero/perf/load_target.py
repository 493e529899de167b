"""What a load run is pointed at by name: `module:callable`, a plain async function or a workload."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from slotzero.errors import UsageError
from slotzero.perf.classify import ErrorClass, Fault, classify_result
from slotzero.perf.load_types import ResultClassifier
from slotzero.perf.timing import Callable0, Check
from slotzero.perf.workload import WorkloadFactory, load_reference

__all__ = ["LoadTarget", "open_target"]


class LoadTarget(Struct, frozen=True):
    """An operation, and what looks at its results (None for HTTP statuses)."""

    fn: Callable0
    classify_result: ResultClassifier | None = None


@asynccontextmanager
async def open_target(target: str | Callable0) -> AsyncIterator[LoadTarget]:
    """Build what `target` names, for as long as the context is open. *Does I/O.*

    Args:
        target: `module:callable`, or the callable itself.

    Raises:
        UsageError: There is no such callable, or it is a workload with hooks around each sample, for which a run with
            many operations at once has no place.
    """
    found = load_reference(target) if isinstance(target, str) else target
    if not isinstance(found, WorkloadFactory):
        yield LoadTarget(found)
        return
    async with found.open() as made:
        if made.setup is not None or made.teardown is not None:
            raise UsageError(
                f"{target} has a setup or teardown around each sample, which would be within the clock of operations "
                "that overlap; point the load at a callable without them"
            )
        yield LoadTarget(made.run, None if made.check is None else _classifier(made.check))


def _classifier(check: Check) -> ResultClassifier:
    def classify(value: object) -> Fault | None:
        kind = check(value)
        return classify_result(value) if kind is None else Fault(ErrorClass.UNKNOWN, kind, "check")

    return classify
