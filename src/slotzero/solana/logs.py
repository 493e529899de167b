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
    "event_calls",
    "is_surely_emitted_by",
    "walk",
]

TRUNCATED: Final = "Log truncated"
EVENT_TAG: Final = bytes.fromhex("e445a52e51cb9a1d")
"""How the data of a program's call to itself begins when it carries an event (Anchor's `emit_cpi`)."""

_DATA: Final = "Program data: "
_LOG: Final = "Program log: "
_ID: Final = "[1-9A-HJ-NP-Za-km-z]{32,44}"
_INVOKE: Final = re.compile(rf"Program ({_ID}) invoke \[([1-9][0-9]{{0,3}})\]")
_LINE_BEGIN: Final = b'"Program '
_INVOKED: Final = b" invoke ["
_FAILED: Final = b" failed: "
_RETURNED: Final = b' success"'
_INVOKED_AT: Final = tuple(b' invoke [%d]"' % height for height in range(10))
_ZERO: Final = ord("0")
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
        elif line.startswith(_LOG):
            if line in notes:
                noted.append((stack[-1] if stack else "", line))
        elif line == TRUNCATED:
            return WalkedLog(data=data, notes=noted, is_truncated=True, problem=None)
        elif problem := _follow(stack, line):
            return WalkedLog(data=[], notes=[], is_truncated=False, problem=f"line {index} {problem}")
    if stack:
        return WalkedLog(data=[], notes=[], is_truncated=False, problem=f"the log ends inside {stack[-1]}")
    return WalkedLog(data=data, notes=noted, is_truncated=False, problem=None)


def _follow(stack: list[str], line: str) -> str | None:
    """Push or pop what a line says; return why it cannot, or None."""
    if line.endswith("]") and (invoked := _INVOKE.fullmatch(line)):
        program, height = invoked.groups()
        if int(height) != len(stack) + 1:
            return f"invokes at height {height} on a stack of {len(stack)}"
        stack.append(program)
    elif (line.endswith(" success") or " failed: " in line) and (returned := _RETURN.fullmatch(line)):
        program = returned.group(1)
        if not stack or stack[-1] != program:
            return f"returns from {program} while {stack[-1] if stack else 'nothing'} is running"
        stack.pop()
    return None


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


def is_surely_emitted_by(text: bytes, at: int, program_line: bytes) -> bool:
    """Tell whether a program is certainly on top of the stack where a log line begins. *Pure.* *Hot path* (2-3 us).

    It looks only at what lies between that line and the nearest invocation, and at the last invocation of the right
    height. The runtime prints the height with every invocation, so behind an `invoke [h]` and k returns the stack is
    h - k high, and its top is the program of the last `invoke [h - k]`. Each line taken into account has the runtime's
    own shape in full (see the module); whatever is not beyond doubt is False.

    Do not use it where the log may have been cut, nor on text that holds a backslash: only without one is every
    quotation mark the edge of a line.

    Args:
        text: JSON text with the log's lines as an array of strings; no backslash in it.
        at: Where the line in question begins: the index of its opening quotation mark.
        program_line: `"Program <base58 id>`, how a line of the program's begins, its quotation mark included.

    Returns:
        True when `walk` would say so too; False when it would not, or might not: ask `walk`.
    """
    invoked = text.rfind(_INVOKED, 0, at)
    # The last space before it must be the one behind "Program": one word. What a program prints begins with "log: ".
    word = text.rfind(b" ", 0, max(invoked, 0))
    if (
        text[word - 8 : word + 1] != _LINE_BEGIN
        or text[invoked + 10 : invoked + 12] != b']"'  # a height of one digit, and the end of the line
        or text.find(_FAILED, invoked, at) >= 0
    ):
        return False
    returned = text.find(_RETURNED, invoked, at)
    if returned < 0:
        return text[word - 8 : invoked] == program_line
    height = text[invoked + 9] - _ZERO
    while returned >= 0:
        word = text.rfind(b" ", 0, returned)
        if text[word - 8 : word + 1] != _LINE_BEGIN:
            return False
        height -= 1
        returned = text.find(_RETURNED, returned + len(_RETURNED), at)
    if not 0 < height < len(_INVOKED_AT):
        return False
    outer = text.rfind(_INVOKED_AT[height], 0, invoked)
    return outer >= len(program_line) and text[outer - len(program_line) : outer] == program_line
