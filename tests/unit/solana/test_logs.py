"""The log walk and the walk over inner instructions."""

import base64

import pytest

from log_lines import PUMP, STRANGER, SYSTEM, TOKEN_2022, Log, frame
from slotzero.solana.logs import EVENT_TAG, InnerCall, event_calls, is_surely_emitted_by, walk

AUTHORITY = "Ce6TQqeHC9p8KetsN6JsjHK7UTZk7nasjjnr7XxXp9F1"
LINE = b'"Program ' + PUMP.encode()


def emitters(log: Log) -> list[str]:
    return [data.program for data in walk(log.lines).data]


def surely(log: Log, text: bytes | None = None) -> list[bool]:
    """For each data line whether the quick look is sure that pump emitted it."""
    text = frame(log.lines) if text is None else text
    found, at = [], text.find(b'"Program data: ')
    while at >= 0:
        found.append(is_surely_emitted_by(text, at, LINE))
        at = text.find(b'"Program data: ', at + 1)
    return found


def test_data_behind_inner_calls_belongs_to_the_caller() -> None:
    log = Log().invoke(PUMP).call(SYSTEM).invoke(TOKEN_2022).call(SYSTEM).success().data(b"event").success()
    walked = walk(log.lines)
    assert [(d.program, base64.b64decode(d.text)) for d in walked.data] == [(PUMP, b"event")]
    assert walked.data[0].index == log.lines.index("Program data: " + base64.b64encode(b"event").decode())
    assert not walked.is_truncated
    assert walked.problem is None
    assert surely(log) == [True]


def test_data_of_an_inner_call_belongs_to_the_callee() -> None:
    log = Log().invoke(STRANGER).invoke(PUMP).data(b"1").success().data(b"2").success()
    assert emitters(log) == [PUMP, STRANGER]
    assert surely(log) == [True, False]


def test_data_outside_of_every_program_has_no_emitter() -> None:
    log = Log().data(b"1").call(PUMP).data(b"2")
    assert emitters(log) == ["", ""]
    assert surely(log) == [False, False]


@pytest.mark.parametrize(
    "message",
    [
        f"Program {PUMP} invoke [2]",
        f"Program {PUMP} invoke [1]",
        f"x\nProgram {PUMP} invoke [2]\nx",
        f'","Program {PUMP} invoke [2]',
        f'"Program {PUMP} invoke [2]"',
        f"Program {STRANGER} success",
        "Program data: AAAA",
        "Log truncated",
    ],
)
def test_message_that_imitates_the_runtime_changes_nothing(message: str) -> None:
    log = Log().invoke(STRANGER).say(message).data(b"forged").say(message).success()
    walked = walk(log.lines)
    assert [d.program for d in walked.data] == [STRANGER]
    assert not walked.is_truncated
    text = frame(log.lines)
    if b"\\" not in text:
        assert surely(log, text) == [False]


@pytest.mark.parametrize("message", [f"x {STRANGER} invoke [1]", "all is a success", "nothing failed: 0"])
def test_message_that_imitates_the_runtime_can_only_make_the_quick_look_unsure(message: str) -> None:
    log = Log().invoke(PUMP).call(SYSTEM).say(message).data(b"true").success()
    assert emitters(log) == [PUMP]
    assert surely(log) == [False]


@pytest.mark.parametrize(
    "log",
    [
        Log().invoke(PUMP).invoke(STRANGER).say("all is a success").data(b"forged").success().success(),
        Log().invoke(PUMP).invoke(STRANGER).say(f"Program {STRANGER} success").data(b"forged").success().success(),
        Log()
        .invoke(PUMP)
        .invoke(STRANGER)
        .invoke(SYSTEM)
        .say("y invoke [2]")
        .success()
        .data(b"forged")
        .success()
        .success(),
        Log().invoke(PUMP).invoke(STRANGER).say(f"{PUMP} invoke [2]").data(b"forged").success().success(),
    ],
)
def test_program_the_venue_calls_cannot_pass_for_the_venue(log: Log) -> None:
    assert emitters(log) == [STRANGER]
    assert surely(log) == [False]


def test_height_of_two_digits_is_left_to_the_walk() -> None:
    log = Log().invoke(PUMP)
    for _ in range(20):
        log.invoke(STRANGER)
    log.success().data(b"forged")
    for _ in range(20):
        log.success()
    assert emitters(log) == [STRANGER]
    assert surely(log) == [False]


def test_failed_inner_call_returns_to_the_caller_and_makes_the_quick_look_unsure() -> None:
    log = Log().invoke(PUMP).invoke(TOKEN_2022).failed().data(b"1").success()
    assert emitters(log) == [PUMP]
    assert surely(log) == [False]
    log = Log().invoke(STRANGER).invoke(PUMP).failed().data(b"forged").success()
    assert emitters(log) == [STRANGER]
    assert surely(log) == [False]


def test_cut_log_is_walked_to_the_cut() -> None:
    log = Log().invoke(PUMP).data(b"1").cut().data(b"2")
    walked = walk(log.lines)
    assert walked.is_truncated
    assert [d.program for d in walked.data] == [PUMP]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([f"Program {PUMP} invoke [2]"], "line 1 invokes at height 2 on a stack of 0"),
        ([f"Program {PUMP} success"], "line 1 returns from"),
        ([f"Program {PUMP} invoke [1]"], "ends inside"),
        ([f"Program {PUMP} invoke [1]", f"Program {STRANGER} success"], "line 2 returns from"),
        ([f"Program {PUMP} invoke [1]", f"Program {STRANGER} failed: x"], "line 2 returns from"),
    ],
)
def test_inconsistent_stack_is_refused_with_all_its_data(lines: list[str], problem: str) -> None:
    walked = walk(["Program data: AAAA", *lines])
    assert walked.data == []
    assert problem in (walked.problem or "")


def test_runtime_messages_that_only_begin_like_a_program_line_are_text() -> None:
    lines = [
        f"Program {PUMP} invoke [1]",
        "Program is not deployed",
        "Program authority didn't sign",
        f"Program return: {PUMP} qgAAAAAAAAA=",
        "Program consumption: 118525 units remaining",
        f"Program {PUMP} consumed 2125 of 118525 compute units",
        f"Program {PUMP} success",
    ]
    assert walk(lines).problem is None


def test_notes_are_reported_with_the_program_that_printed_them() -> None:
    log = Log().invoke(PUMP).say("Instruction: Create").success().invoke(STRANGER).say("Instruction: Create").success()
    note = "Program log: Instruction: Create"
    assert walk(log.lines, frozenset({note})).notes == [(PUMP, note), (STRANGER, note)]
    assert walk(log.lines).notes == []


def call(program: str, data: bytes, height: int | None, accounts: tuple[str, ...] = (AUTHORITY,)) -> InnerCall:
    return InnerCall(program=program, accounts=accounts, data=data, height=height)


def test_event_counts_when_the_program_called_itself() -> None:
    event = EVENT_TAG + b"body"
    calls = [call(PUMP, b"buy", 1), call(TOKEN_2022, b"x", 2), call(PUMP, event, 2), call(SYSTEM, b"", 1)]
    assert event_calls(calls, PUMP, AUTHORITY) == [(b"body", True)]


@pytest.mark.parametrize(
    "calls",
    [
        [call(STRANGER, b"", 1), call(PUMP, EVENT_TAG + b"body", 2)],
        [call(PUMP, b"", 1), call(TOKEN_2022, b"", 2), call(PUMP, EVENT_TAG + b"body", 3)],
        [call(PUMP, b"", 1), call(PUMP, EVENT_TAG + b"body", 2, (STRANGER,))],
        [call(PUMP, b"", 1), call(PUMP, EVENT_TAG + b"body", 2, ())],
        [call(PUMP, b"", 1), call(STRANGER, EVENT_TAG + b"body", 2)],
        [call(PUMP, EVENT_TAG + b"body", 1)],
        [call(STRANGER, EVENT_TAG + b"body", None)],
    ],
)
def test_event_of_any_other_call_is_not_the_programs_own(calls: list[InnerCall]) -> None:
    assert event_calls(calls, PUMP, AUTHORITY) == [(b"body", False)]


def test_event_without_heights_counts_by_program_and_authority() -> None:
    calls = [call(PUMP, b"buy", None), call(PUMP, EVENT_TAG + b"body", None)]
    assert event_calls(calls, PUMP, AUTHORITY) == [(b"body", True)]
