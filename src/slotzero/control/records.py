"""What goes over the control socket: one JSON object a line, a request and its reply."""

from pathlib import Path
from typing import Final, Literal

from msgspec import UNSET, Struct, UnsetType

__all__ = ["MAX_LINE", "PositionView", "Refusals", "Reply", "Request", "Status", "sockets_folder"]

MAX_LINE: Final = 4_000_000
"""The longest line either side reads: some ten thousand positions."""


class Request(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of a bot.

    Attributes:
        position: For "close": the id of a position, or how it begins.
        reason: For "panic": why.
        since: For "refusals": how many of them are known already.
    """

    command: Literal["status", "close", "panic", "resume", "refusals"]
    position: str = ""
    reason: str = ""
    since: int = 0


class Refusals(Struct, frozen=True, kw_only=True):
    """Pools that were not bought.

    Attributes:
        count: How many so far; what to ask with the next time.
        newest: Mint and reason of those after the ones known, oldest first. At most 10,000 are remembered.
    """

    count: int
    newest: tuple[tuple[str, str], ...]


class PositionView(Struct, frozen=True, kw_only=True):
    """One position as it stands; amounts in lamports, None where they are not known.

    Attributes:
        reason: Why it is in its state; of an open one, why its newest sell failed.
        opened_ms: Wall clock, milliseconds since 1970.
    """

    id: str
    mint: str
    symbol: str
    venue: str
    wallet: str
    state: str
    reason: str
    tokens: int
    quoted_lamports: int
    value_lamports: int | None
    stop_lamports: int | None
    pnl_lamports: int
    opened_ms: int | None = None


class Status(Struct, frozen=True, kw_only=True):
    """How a bot stands.

    Attributes:
        positions: Held ones first, then those of this journal that are closed, newest first.
        buys_under_way: Signed, and without an end yet.
        halted: Why nothing is bought; "" = buying goes on.
    """

    pid: int
    detected: int
    bought: int
    closed: int
    refused: dict[str, int]
    failed: dict[str, int]
    buys_under_way: int
    halted: str
    positions: tuple[PositionView, ...]


class Reply(Struct, frozen=True, kw_only=True):
    """What a bot answers: `status` (or `refusals`) when it did what was asked, else `error`, one sentence."""

    status: Status | UnsetType = UNSET
    refusals: Refusals | UnsetType = UNSET
    error: str | UnsetType = UNSET


def sockets_folder(state: Path) -> Path:
    """Return where running bots have their sockets, each named after its process."""
    return state / "bots"
