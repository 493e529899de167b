"""Notifications of a log subscription, read from the bytes of a WebSocket frame.

Two readers: `read_notification` decodes the whole frame; `read_envelope` decodes what surrounds the log's lines and
leaves those as text, which takes a sixth of the time (the lines are nine tenths of a frame).
"""

from typing import Final

import msgspec
from msgspec import Struct

from slotzero.errors import MalformedError
from slotzero.units import MonoNs, Slot

__all__ = ["DATA_PREFIX", "TRUNCATED_LINE", "UNREADABLE", "Notification", "read_envelope", "read_notification"]

DATA_PREFIX: Final = b'"Program data: '
"""How the array element of a data line begins in JSON text."""
TRUNCATED_LINE: Final = b',"Log truncated"'
"""The array element of a log that was cut: never the first, and no program can print a bare quotation mark."""

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON it cannot read; the last for brackets nested a thousand deep."""

_LOGS: Final = b'"logs":['


class Notification(Struct, frozen=True, kw_only=True, gc=False):
    """A log notification.

    Attributes:
        is_failed: The transaction failed: nothing in its log has happened.
        mono_cause: When the chain executed the transaction, where it says so (the embedded chain does).
        lines: The log; empty from `read_envelope`.
    """

    signature: str
    slot: Slot
    is_failed: bool
    mono_cause: MonoNs | None
    lines: list[str]


class _Context(Struct, gc=False, rename="camel"):
    slot: Slot
    mono_ns: MonoNs | None = None


class _Value(Struct, gc=False):
    signature: str
    err: dict[str, msgspec.Raw] | str | None
    logs: list[str] | None


class _Result(Struct, gc=False):
    context: _Context
    value: _Value


class _Params(Struct, gc=False):
    result: _Result


class _Frame(Struct, gc=False):
    params: _Params


_DECODER: Final = msgspec.json.Decoder(_Frame)


def read_notification(frame: bytes) -> Notification:
    """Read a whole log notification. *Pure.*

    Raises:
        MalformedError: It is no JSON, or no log notification.
    """
    try:
        result = _DECODER.decode(frame).params.result
    except UNREADABLE as error:
        raise MalformedError(f"no log notification: {error}") from error
    return _notification(result)


def read_envelope(frame: bytes) -> tuple[Notification, int] | None:
    """Read a log notification without its lines. *Pure.* *Hot path.*

    Returns:
        The notification and where its lines begin; None when the frame is not in the compact form nodes send, holds a
        backslash (then a quotation mark may belong to a line's text), or is malformed: `read_notification` decides.
    """
    if b"\\" in frame:
        return None
    begin = frame.find(_LOGS) + len(_LOGS)
    end = frame.rfind(b"]")
    # Without a backslash neither edge can be forged: a line cannot hold the quotation marks of `"logs":[`, and what
    # follows the last `]` closes the document only if that bracket closes the array.
    if begin < len(_LOGS) or end < begin:
        return None
    try:
        result = _DECODER.decode(frame[:begin] + frame[end:]).params.result
    except UNREADABLE:
        return None
    return _notification(result), begin


def _notification(result: _Result) -> Notification:
    value, context = result.value, result.context
    return Notification(
        signature=value.signature,
        slot=context.slot,
        is_failed=value.err is not None,
        mono_cause=context.mono_ns,
        lines=value.logs or [],
    )
