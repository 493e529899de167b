"""How an operation of a load run ended: what the loops of both models share.

Whatever a callable raises is a failed operation and nothing else: an extension's panic is no `Exception`, a text can
itself raise, and a classifier is somebody else's code. None of them may end the user that met it, since a user that is
gone is not missed by any figure. What escapes all the same is a fault of the generator (`broke`), and such a run does
not pass.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from slotzero.perf.classify import ErrorClass, Fault, classify, classify_result, message_of
from slotzero.perf.load_tape import LoadTape
from slotzero.perf.load_types import LoadError, NotAsync, ResultClassifier
from slotzero.perf.types import HookFailed, UnawaitedResult
from slotzero.perf.unawaited import unawaited

__all__ = ["NotAsyncError", "OperationEnd"]

_MOST_TYPES: Final = 1_000
_MOST_TEXT: Final = 500
_OVERDUE: Final = Fault(ErrorClass.TIMEOUT, "operation")
_CANCELLED: Final = Fault(ErrorClass.UNKNOWN, "cancelled")


class NotAsyncError(Exception):
    """The callable returned a value of the type named instead of something to await."""


class OperationEnd:
    """Sorts out how an operation ended.

    Args:
        tape: Where to.
        classify_value: Looks at returned values; None for HTTP statuses.
        timeout_ns: Operations that take as long or longer are timeouts.
        abandon: Called when the run cannot go on.
    """

    def __init__(
        self,
        tape: LoadTape,
        *,
        classify_value: ResultClassifier | None,
        timeout_ns: int,
        abandon: Callable[[LoadError], None],
    ) -> None:
        self._tape = tape
        self._classify_value = classify_value or classify_result
        self._is_own = classify_value is not None
        self._abandon = abandon
        self.timeout_ns = timeout_ns
        self.plain: set[type] = set()
        self.is_ending = False
        self.broken = 0
        self.first_broken = ""
        self.left = 0

    def failed(self, error: BaseException, took: int, *, is_struck: bool) -> None:
        """Count an operation that raised."""
        if is_struck:
            self._tape.fail(_OVERDUE, "it took too long and was cancelled", took)
        elif isinstance(error, asyncio.CancelledError):
            if self.is_ending:
                self._tape.interrupted += 1
            else:
                self._tape.fail(_CANCELLED, "it was cancelled by itself", took)
        elif isinstance(error, NotAsyncError):
            self._abandon(NotAsync(returned=str(error)))
        elif isinstance(error, GeneratorExit):
            raise error  # the loop is gone, and so is who would go on
        else:
            self._tape.fail(classify(error), f"{type(error).__name__}: {message_of(error)}", took)

    def overdue(self) -> None:
        """Take back a success that came after its timeout."""
        self._tape.fail(_OVERDUE, "it came back, too late", self._tape.take_back())

    def examine(self, value: object) -> None:
        """Look at a value that the operation recorded last has returned."""
        try:
            if (nobody := unawaited(value)) is not None:
                self._tape.take_back()
                self._abandon(UnawaitedResult(returned=nobody))
                return
            fault = _checked(self._classify_value(value))
            is_plain = not self._is_own and not hasattr(value, "status") and not hasattr(value, "status_code")
        except BaseException as error:  # noqa: BLE001 somebody else's classifier; without it no result can be trusted
            message = message_of(error)[:_MOST_TEXT]
            self._abandon(HookFailed(hook="check", kind=type(error).__name__, message=message))
            return
        if fault is not None:
            self._tape.fail(fault, f"it returned {type(value).__name__}", self._tape.take_back())
        elif is_plain:
            if len(self.plain) >= _MOST_TYPES:
                self.plain.clear()
            self.plain.add(type(value))

    def broke(self, error: BaseException) -> None:
        """Note that the task around an operation has ended with an error of its own."""
        self.broken += 1
        self.first_broken = self.first_broken or f"{type(error).__name__}: {message_of(error)}"[:_MOST_TEXT]

    def troubles(self, begun: int) -> list[str]:
        """Return what speaks against the run's own books, one sentence each. *Pure.* Asked at the end.

        Args:
            begun: Operations begun in all.
        """
        found = []
        if self.left:
            found.append(
                f"{self.left} operations did not end when they were cancelled and were left behind: "
                "let asyncio.CancelledError pass in the callable"
            )
        if self.broken:
            found.append(
                f"{self.broken} tasks of the generator ended with an error of their own ({self.first_broken}): "
                "their operations are missing"
            )
        tape = self._tape
        missing = begun - tape.succeeded - tape.errors.total - tape.interrupted
        if missing:
            found.append(f"{missing} of {begun} operations begun are in no count of those that ended")
        return found


def _checked(fault: object) -> Fault | None:
    """Return what a classifier said. Raises TypeError for what is no Fault: an annotation binds nobody."""
    if fault is None:
        return None
    if isinstance(fault, Fault) and {type(fault.kind), type(fault.code)} == {ErrorClass, str}:
        return fault
    raise TypeError(f"a result classifier returns a Fault or None, this one returned a value of {type(fault).__name__}")
