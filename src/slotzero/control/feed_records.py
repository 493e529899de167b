"""What a bot tells whoever watches it: one JSON object a line, each with what is new since the one before."""

from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from slotzero.control.records import Status, sockets_folder
from slotzero.tracing import SnipeTrace

__all__ = ["FEED_LINE", "BotView", "FeedAsk", "FeedFrame", "Hello", "LogLine", "MetricsText", "feed_path"]

FEED_LINE: Final = 8_000_000
"""The longest line a watcher reads."""


class FeedAsk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a watcher asks for: frames until it leaves, or one scrape."""

    what: Literal["frames", "metrics", "openmetrics"]


class MetricsText(Struct, frozen=True, kw_only=True, tag="metrics"):
    """One scrape."""

    text: str


class Hello(Struct, frozen=True, kw_only=True):
    """Who is watched.

    Attributes:
        slot_ms: Of the chain it trades on, as configured.
        ts_ms: When it started, milliseconds since 1970.
    """

    pid: int
    version: str
    cluster: str
    slot_ms: int
    ts_ms: int


class LogLine(Struct, frozen=True, kw_only=True):
    """One line of the log. `trace_id` and `mint` are "" outside of a snipe."""

    ts_ns: int
    level: str
    logger: str
    message: str
    trace_id: str = ""
    mint: str = ""


class BotView(Struct, frozen=True, kw_only=True):
    """The bot's state, once a second; amounts in lamports.

    Attributes:
        status: As the control socket tells it.
    """

    status: Status
    in_flight: int
    waiting: int
    value_lamports: int
    pnl_lamports: int
    balance_lamports: int
    loop_p50_ms: float
    loop_p99_ms: float
    loop_max_ms: float
    double_buys: int
    lost_intents: int
    unknown_open: int
    reads_without_rpc_bps: int
    reads_asked: int
    frames: int
    rpc_calls: int
    endpoints: dict[str, str]


class FeedFrame(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="frame"):
    """What is new.

    Attributes:
        hello: In the first frame only.
        spans: By component, what it took and the own share of it (None where it is not told apart), in nanoseconds.
        dropped: Spans left out of `spans` since there were too many.
        snipes: Traces; the first frame has the newest and the slowest ones the bot remembers.
    """

    mono_ns: int
    hello: Hello | None = None
    spans: dict[str, list[tuple[int, int | None]]] = {}
    dropped: int = 0
    snipes: tuple[SnipeTrace, ...] = ()
    logs: tuple[LogLine, ...] = ()
    view: BotView | None = None


def feed_path(state: Path, pid: int) -> Path:
    """Return where the bot of a process is watched."""
    return sockets_folder(state) / f"{pid}.feed"
