"""Which program emitted which data: a walk over a transaction's log, and over its inner instructions.

A program may print any text, so only the shape of a whole line counts. The runtime alone writes lines of the shapes
below; what a program prints stands behind the prefix `Program log: ` (its line breaks stay inside that one line) or,
as base64, behind `Program data: `::

    Program <id> invoke [<height>]        pushes <id>; the first height is 1
    Program <id> success                  pops <id>
    Program <id> failed: <why>            pops <id>
    Program data: <base64>[ <base64>...]  emitted by the program on top
    Log truncated                         the log reached its size limit; lines are missing from here on

An event whose text a foreign program prints therefore has that program on top, never the venue's.

Source: the runtime's log formats (`solana-program-runtime`, stable_log; log_collector for the truncation).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

__all__ = [
    "EVENT_TAG",
    "TRUNCATED",
    "EmittedData",
    "InnerCall",
    "WalkedLog",
    "emitter_before",
    "event_calls",
    "walk",
]

TRUNCATED: Final = "Log truncated"
EVENT_TAG: Final = bytes.fromhex("e445a52e51cb9a1d")
"""How the data of a program's call to itself begins when it carries an event (Anchor's `emit_cpi`)."""

_PROGRAM: Final = "Program "
_DATA: Final = "Program data: "
_ID: Final = "[1-9A-HJ-NP-Za-km-z]{32,44}"
_INVOKE: Final = re.compile(rf"Program ({_ID}) invoke \[([1-9][0-9]{{0,3}})\]")
_RETURN: Final = re.compile(rf"Program ({_ID}) (?:success|failed: .*)", re.DOTALL)


class EmittedData(Struct, frozen=True, kw_only=True):
    """One `Program data:` line.

    Attributes:
        program: The base58 id of the program that emitted it; "" outside of every program.
        text: What stands behind the prefix: base64, several fields separated by spaces.
        index: The line's place in the log.
    """

    program: str
    text: str
    index: int


class WalkedLog(Struct, frozen=True, kw_only=True):
    """What a log said.

    Attributes:
        data: The data lines in order; empty when `problem` is set.
        notes: What programs printed in their own words, with the program that did: (program, whole line). Only lines
            that were asked for.
        is_truncated: Lines are missing; what is there is still attributed correctly up to that point.
        problem: Why the log cannot be one the runtime wrote, or None.
    """

    data: list[EmittedData]
    notes: list[tuple[str, str]]
    is_truncated: bool
    problem: str | None


class InnerCall(Struct, frozen=True, kw_only=True):
    """One instruction a transaction executed, whatever encoding it came in.

    Attributes:
        program: The base58 id of the program called.
        accounts: Their base58 addresses, in order.
        data: The instruction's data; empty where the encoding does not give it.
        height: 1 for an instruction of the transaction itself; None where the encoding does not say.
    """

    program: str
    accounts: Sequence[str]
    data: bytes
    height: int | None


def walk(lines: Iterable[str], notes: frozenset[str] = frozenset()) -> WalkedLog:
    """Walk a transaction's log and attribute every data line to the program that emitted it. *Pure.*

    A log that was cut is walked to the cut: whatever stands behind it is not looked at.

    Args:
        lines: The log's lines, each one an element of the array the node sends.
        notes: Whole lines (`Program log: ...`) to report with the program that printed them.

    Returns:
        The data lines with their emitters. A program that returns without having been invoked, a height that does not
        follow from the stack, or a program still open at the end is a `problem`, and nothing is returned.
    """
    stack: list[str] = []
    data: list[EmittedData] = []
    noted: list[tuple[str, str]] = []
    for index, line in enumerate(lines):
        if line.startswith(_DATA):
            data.append(EmittedData(program=stack[-1] if stack else "", text=line[len(_DATA) :], index=index))
        elif line in notes:
            noted.append((stack[-1] if stack else "", line))
        elif line == TRUNCATED:
            return WalkedLog(data=data, notes=noted, is_truncated=True, problem=None)
        elif line.startswith(_PROGRAM):
            if invoked := _INVOKE.fullmatch(line):
                program, height = invoked.groups()
                if int(height) != len(stack) + 1:
                    return _refused(f"line {index} invokes at height {height} on a stack of {len(stack)}")
                stack.append(program)
            elif returned := _RETURN.fullmatch(line):
                if not stack or stack[-1] != returned.group(1):
                    top = stack[-1] if stack else "nothing"
                    return _refused(f"line {index} returns from {returned.group(1)} while {top} is running")
                stack.pop()
    if stack:
        return _refused(f"the log ends inside {stack[-1]}")
    return WalkedLog(data=data, notes=noted, is_truncated=False, problem=None)


def _refused(problem: str) -> WalkedLog:
    return WalkedLog(data=[], notes=[], is_truncated=False, problem=problem)


def event_calls(calls: Iterable[InnerCall], program: str, event_authority: str) -> list[tuple[bytes, bool]]:
    """Return every call that carries an event, in order: the event, and whether `program` itself emitted it. *Pure.*

    It did when the call went to `program`, named `event_authority` as its one account and came from `program`. Only
    the program can sign for that address and it refuses the call without the signature, so in a transaction that
    succeeded nobody else can have made it; the caller is checked besides, where heights are given.

    Args:
        calls: Every instruction of the transaction in the order of execution, inner ones after their parent.
        program: The base58 id of the venue's program.
        event_authority: Its base58 event authority.

    Returns:
        The event's bytes, its discriminator first, with the verdict.
    """
    events: list[tuple[bytes, bool]] = []
    stack: list[str] = []
    for call in calls:
        caller: str | None = None
        if call.height is not None:
            del stack[call.height - 1 :]
            caller = stack[-1] if stack else ""
            stack.append(call.program)
        if call.data.startswith(EVENT_TAG):
            is_own = call.program == program and list(call.accounts) == [event_authority] and caller in (None, program)
            events.append((call.data[len(EVENT_TAG) :], is_own))
    return events


def emitter_before(text: bytes, at: int) -> bytes | None:
    """Return the program on top of the stack where a log line begins, from the log as JSON text. *Pure.* *Hot path.*

    The same answer as `walk` gives for a log the runtime wrote, without looking at most of it: the runtime prints the
    height with every invocation, so behind an `invoke [h]` and k returns the stack is h - k high, and its top is the
    program of the last `invoke [h - k]`. Only lines of the runtime's own shape count (see the module).

    Do not use it where the log may be inconsistent, nor on text that holds a backslash: only without one is every
    quotation mark the edge of a line.

    Args:
        text: JSON text with the log's lines as an array of strings; no backslash in it.
        at: Where the line in question begins: the index of its opening quotation mark.

    Returns:
        The base58 id; None outside of every program, or where a program failed just before: `walk` that log instead.
    """
    returns = 0
    end = at
    while True:
        invoked = text.rfind(b" invoke [", 0, end)
        position = max(invoked, text.rfind(b' success"', 0, end))
        if position < 0 or text.find(b" failed: ", position, end) >= 0:
            return None
        start = text.rfind(b'"', 0, position) + 1
        if _is_runtime_line(text, start, position):
            if position == invoked:
                break
            returns += 1
        end = position if position > start else start
    if returns == 0:
        return text[start + 8 : position]
    height = int(text[position + 9 : text.find(b"]", position)]) - returns
    needle = b' invoke [%d]"' % height
    while (position := text.rfind(needle, 0, start)) >= 0:
        start = text.rfind(b'"', 0, position) + 1
        if _is_runtime_line(text, start, position):
            return text[start + 8 : position]
    return None


def _is_runtime_line(text: bytes, start: int, position: int) -> bool:
    """Tell whether `Program <id>` stands between `start` and `position`: one word that can be an id.

    What a program prints has at least `log: ` there, and with it a space.
    """
    return (
        32 <= position - start - 8 <= 44  # noqa: PLR2004 the length of a base58 id
        and text.startswith(b"Program ", start)
        and text.find(b" ", start + 8, position) < 0
    )
