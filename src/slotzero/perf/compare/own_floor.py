"""How far two copies of one version seem apart on this machine: measured by comparing a revision with itself.

The figure is kept for a day in the user's state folder, by machine, and stands in the noise certificates of that day.
*Does I/O.*
"""

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from slotzero.perf.types import Comparison

__all__ = ["floor_of", "keep_floor", "kept_floor"]

_DAY_MS: Final = 24 * 3_600_000


class _Kept(Struct):
    fingerprint: str
    ts_ms: int
    percent: float


def floor_of(comparisons: list[Comparison]) -> float | None:
    """Return the farthest bound of any median's interval from 0, in percent; None without one. *Pure.*"""
    reach = [
        max(abs(line.interval.low), abs(line.interval.high))
        for line in comparisons
        if line.metric == "median" and line.interval is not None
    ]
    return round(max(reach), 3) if reach else None


def keep_floor(percent: float, *, fingerprint: str, ts_ms: int) -> None:
    """Keep the figure; a state folder that cannot be written keeps nothing."""
    with contextlib.suppress(OSError):
        path = _path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(_Kept(fingerprint, ts_ms, percent)))


def kept_floor(*, fingerprint: str, ts_ms: int) -> float | None:
    """Return the figure of the last day on this machine, or None."""
    try:
        kept = msgspec.json.decode(_path().read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    is_todays = 0 <= ts_ms - kept.ts_ms <= _DAY_MS
    return kept.percent if is_todays and kept.fingerprint == fingerprint else None


def _path() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "slotzero" / "own_floor.json"
