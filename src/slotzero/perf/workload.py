"""What can be measured by its name: a callable as it stands, or a workload with surroundings of its own.

A *reference* is `module:callable`. It names a function to measure, or what `@workload` has made of an async generator
that builds the surroundings, yields the callable with its hooks, and takes the surroundings down again::

    @workload
    async def orders(address: str = "127.0.0.1:9000") -> AsyncIterator[Workload]:
        async with connection(address) as line:
            yield Workload(run=line.order, setup=line.warm_up)

Its parameters have defaults and are strings, because they may come from a command line.
"""

import importlib
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

from slotzero.errors import UsageError
from slotzero.perf.timing import Callable0, Check

__all__ = ["Workload", "WorkloadFactory", "load_reference", "workload"]


class Workload:
    """A callable and what belongs to each of its samples, outside of the clock.

    Attributes:
        run: What is measured, sync or async.
        setup: Called before each sample, or None; awaited when it returns something to await.
        teardown: Called after each sample, failed ones included, or None; likewise.
        check: Looks at what a sample returned: None when it is good, else the kind of error it counts as.
        notes: Sentences a reader of the figures should know.
        report: Called once at the end for more sentences, with figures of the workload's own; or None.
    """

    __slots__ = ("check", "notes", "report", "run", "setup", "teardown")

    def __init__(
        self,
        *,
        run: Callable0,
        setup: Callable0 | None = None,
        teardown: Callable0 | None = None,
        check: Check | None = None,
        notes: tuple[str, ...] = (),
        report: Callable[[], tuple[str, ...]] | None = None,
    ) -> None:
        self.run = run
        self.setup = setup
        self.teardown = teardown
        self.check = check
        self.notes = notes
        self.report = report


class WorkloadFactory:
    """Opens a workload; made by `workload`."""

    def __init__(self, make: Callable[..., AsyncIterator[Workload]]) -> None:
        self._make = asynccontextmanager(make)
        self._names = frozenset(inspect.signature(make).parameters)
        self.__doc__ = make.__doc__

    def open(self, **parameters: str) -> AbstractAsyncContextManager[Workload]:
        """Build the surroundings; the workload is there within the `async with` block.

        Raises:
            UsageError: There is no such parameter.
        """
        if unknown := sorted(parameters.keys() - self._names):
            known = ", ".join(sorted(self._names)) or "none"
            raise UsageError(f"this workload has no parameter {', '.join(unknown)}; it has: {known}")
        return self._make(**parameters)


def workload(make: Callable[..., AsyncIterator[Workload]]) -> WorkloadFactory:
    """Mark an async generator that yields one `Workload`."""
    return WorkloadFactory(make)


def load_reference(reference: str) -> Callable0 | WorkloadFactory:
    """Return what `module:callable` names; the callable may be an attribute of an attribute.

    Raises:
        UsageError: There is no such module or callable, or the module cannot be imported.
    """
    module_name, colon, path = reference.partition(":")
    if not colon or not module_name or not path:
        raise UsageError(f"expected module:callable, got {reference!r}")
    try:
        found: object = importlib.import_module(module_name)
    except Exception as error:
        raise UsageError(f"{reference}: the module {module_name} cannot be imported: {error}") from error
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise UsageError(f"{reference}: the module {module_name} has no {path}") from error
    if isinstance(found, WorkloadFactory):
        return found
    if not callable(found):
        raise UsageError(f"{reference} cannot be called: it is a {type(found).__name__}")
    return cast("Callable0", found)
