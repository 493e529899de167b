"""How operations end: nothing a callable, its exceptions or a classifier do may end the user that met it."""

import asyncio
from collections.abc import Callable

import pytest

from slotzero.perf.classify import ErrorClass, Fault, classify, message_of
from slotzero.perf.load_tape import LoadTape
from slotzero.perf.load_types import LoadError, load_sentence
from slotzero.perf.operation_end import OperationEnd


class Panic(BaseException):
    """What an extension written in Rust raises when it panics."""


class MuteError(Exception):
    def __str__(self) -> str:
        raise Panic


class TouchyError(Exception):
    """Looks like an answer of httpx, and panics when it is looked at."""

    __module__ = "httpx"

    @property
    def response(self) -> object:
        raise Panic


TouchyError.__name__ = "HTTPStatusError"


class Ended:
    def __init__(self, classify_value: Callable[[object], Fault | None] | None = None) -> None:
        self.tape = LoadTape(is_open=False)
        self.abandoned: list[LoadError] = []
        self.ends = OperationEnd(
            self.tape, classify_value=classify_value, timeout_ns=1_000, abandon=self.abandoned.append
        )

    def returned(self, value: object) -> None:
        self.tape.service.append(5)
        self.ends.examine(value)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (Panic("overflow"), "Panic", "Panic: overflow"),
        (SystemExit(0), "SystemExit", "SystemExit: 0"),
        (KeyboardInterrupt(), "KeyboardInterrupt", "KeyboardInterrupt: "),
        (BaseExceptionGroup("both", [Panic("one")]), "Panic", "BaseExceptionGroup: both (1 sub-exception)"),
        (MuteError(), "MuteError", "MuteError: (its text could not be made)"),
        (TouchyError("503"), "HTTPStatusError", "HTTPStatusError: 503"),
    ],
)
def test_whatever_is_raised_is_a_failed_operation(error: BaseException, code: str, text: str) -> None:
    ended = Ended()
    ended.ends.failed(error, 7, is_struck=False)
    detail = ended.tape.errors.details()[0]
    assert (detail.kind, detail.code, detail.example, detail.count) == ("unknown", code, text, 1)
    assert list(ended.tape.failed) == [7]


def test_classifying_never_raises() -> None:
    assert classify(TouchyError()) == Fault(ErrorClass.UNKNOWN, "HTTPStatusError")
    assert message_of(MuteError()) == "(its text could not be made)"


def test_coroutine_that_is_thrown_away_is_no_failed_operation() -> None:
    ended = Ended()
    with pytest.raises(GeneratorExit):
        ended.ends.failed(GeneratorExit(), 7, is_struck=False)
    assert ended.tape.errors.total == 0


def test_own_end_of_the_run_interrupts_and_another_cancellation_fails() -> None:
    ended = Ended()
    ended.ends.failed(asyncio.CancelledError(), 7, is_struck=False)
    ended.ends.is_ending = True
    ended.ends.failed(asyncio.CancelledError(), 7, is_struck=False)
    assert (ended.tape.errors.total, ended.tape.interrupted) == (1, 1)


def _panics(value: object) -> Fault | None:
    del value
    raise Panic("in the classifier")


@pytest.mark.parametrize(
    ("classifier", "words"),
    [
        (_panics, "the check around a sample failed with Panic: in the classifier"),
        (lambda _: "boo", "a result classifier returns a Fault or None, this one returned a value of str"),
        (lambda _: True, "this one returned a value of bool"),
        (lambda _: Fault("network", "dns"), "this one returned a value of Fault"),  # type: ignore[arg-type]
    ],
)
def test_classifier_that_cannot_be_trusted_ends_the_run_with_its_reason(
    classifier: Callable[[object], Fault | None], words: str
) -> None:
    ended = Ended(classifier)
    ended.returned("a value")
    assert len(ended.abandoned) == 1
    assert words in load_sentence(ended.abandoned[0])
    assert ended.tape.errors.total == 0


def test_fault_of_a_classifier_takes_the_success_back() -> None:
    ended = Ended(lambda _: Fault(ErrorClass.RATE_LIMIT, "slow"))
    ended.returned("a value")
    assert (ended.abandoned, ended.tape.succeeded, ended.tape.errors.by_class["rate_limit"]) == ([], 0, 1)


def test_books_that_agree_are_no_trouble() -> None:
    ended = Ended()
    ended.tape.service.append(5)
    ended.tape.interrupted = 2
    ended.ends.failed(ValueError(), 7, is_struck=False)
    assert ended.ends.troubles(begun=4) == []


def test_operations_that_are_in_no_count_are_a_trouble() -> None:
    ended = Ended()
    ended.tape.service.append(5)
    assert ended.ends.troubles(begun=3) == ["2 of 3 operations begun are in no count of those that ended"]


def test_tasks_that_broke_and_operations_left_behind_are_troubles() -> None:
    ended = Ended()
    ended.ends.broke(RuntimeError("first"))
    ended.ends.broke(RuntimeError("second"))
    ended.ends.left = 3
    left, broken = ended.ends.troubles(begun=0)
    assert left.startswith("3 operations did not end when they were cancelled")
    assert "2 tasks of the generator ended with an error of their own (RuntimeError: first)" in broken
