"""What is logged, as records: for a file of JSON lines and for the page. A terminal gets human text as before.

Stages log through the standard library. A line that is written inside a snipe's task carries the snipe's trace id: the
task's name ends with the mint. What is unknown to the encoder is never written out, so a `Secret` cannot be.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from slotzero import __version__
from slotzero.clock import Clock
from slotzero.control.feed_records import LogLine
from slotzero.hook import BotEvent, PositionEnded, SnipeDecided
from slotzero.tracing import trace_id_of
from slotzero.units import format_sol

__all__ = ["RecordHandler", "TerminalFormatter", "line_of_event", "log_file_line"]

_MOST_TEXT: Final = 2_000
_MINT: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}")


class _FileLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the file. `ts_ns` is the wall clock."""

    ts_ns: int
    level: str
    logger: str
    message: str
    version: str
    trace_id: str = ""
    mint: str = ""


_encode = msgspec.json.Encoder().encode


def log_file_line(line: LogLine) -> bytes:
    """Return a line of the log file, without its end. *Pure.*"""
    return _encode(
        _FileLine(
            ts_ns=line.ts_ns,
            level=line.level,
            logger=line.logger,
            message=line.message,
            version=__version__,
            trace_id=line.trace_id,
            mint=line.mint,
        )
    )


class TerminalFormatter(logging.Formatter):
    """Writes a record's text with nothing in it that a terminal acts on: nodes and coins have a say in errors."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text; line ends stay."""
        return "".join(char if char.isprintable() or char == "\n" else "?" for char in super().format(record))


class RecordHandler(logging.Handler):
    """Turns the standard library's records into `LogLine`s.

    Args:
        clock: For the wall clock; the library's own is a float.
        sinks: Handed each line; they must not wait.
    """

    def __init__(self, clock: Clock, *sinks: Callable[[LogLine], None]) -> None:
        super().__init__(logging.INFO)
        self._clock = clock
        self._sinks = sinks

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on."""
        mint = _mint_of_task()
        text = record.getMessage()
        if record.exc_info is not None and record.exc_info[0] is not None:
            text += f" ({record.exc_info[0].__name__}: {record.exc_info[1]})"
        # A file's name may hold what no encoder takes; one such line would end the feed, and the run with it.
        text = text.encode(errors="backslashreplace").decode()
        line = LogLine(
            ts_ns=self._clock.wall_ns(),
            level=record.levelname.lower(),
            logger=record.name,
            message=text[:_MOST_TEXT],
            trace_id=trace_id_of(mint) if mint else "",
            mint=mint,
        )
        for sink in self._sinks:
            sink(line)


def line_of_event(event: BotEvent, ts_ns: int) -> LogLine | None:
    """Return the line that tells of a snipe's end; None for events that end none. *Pure.*"""
    match event:
        case SnipeDecided(outcome="bought", slots_to_land=slots):
            level, text = "info", "bought" if slots is None else f"bought, landed {slots} slots after the creation"
        case SnipeDecided(outcome="refused", reason=reason):
            level, text = "debug", f"refused: {reason}"
        case SnipeDecided(outcome=outcome, reason=reason):
            level, text = "warning", f"buy {outcome}: {reason}"
        case PositionEnded(is_stuck=True, reason=reason):
            level, text = "error", f"cannot be sold: {reason}"
        case PositionEnded(reason=reason, pnl_lamports=pnl):
            level, text = "info", f"closed by {reason}, {format_sol(pnl)} SOL"
        case _:
            return None
    return LogLine(
        ts_ns=ts_ns,
        level=level,
        logger="slotzero.snipe",
        message=text,
        trace_id=trace_id_of(event.id),
        mint=event.id,
    )


def _mint_of_task() -> str:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return ""
    last = "" if task is None else task.get_name().rpartition(" ")[2]
    return last if _MINT.fullmatch(last) else ""
