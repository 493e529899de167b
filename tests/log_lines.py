"""Logs as the runtime writes them, and frames that carry them, for tests of who emitted what."""

import base64
import json
from collections.abc import Sequence

from slotzero.venues.pumpfun import PUMP_PROGRAM

PUMP = str(PUMP_PROGRAM)
SYSTEM = "11111111111111111111111111111111"
TOKEN_2022 = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105 a program id
STRANGER = "GpmL2vNNQq2Fm3yJH6vP4CApVwANhiiZHbsonWKDJhJd"
SIGNATURE = "4zGWmZL3dQxvngXjiXz4pjjoikHb4uWdcDrRCan86f3ffPGcLypHDEoNYRtjFCbseCPdsEfHrcKx8krnccmw8RBj"


class Log:
    """Writes a log line by line and keeps the stack as the runtime does."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stack: list[str] = []
        self.emitters: list[str] = []  # of each data line, in order

    def invoke(self, program: str) -> "Log":
        self.stack.append(program)
        self.lines.append(f"Program {program} invoke [{len(self.stack)}]")
        return self

    def success(self) -> "Log":
        self.lines.append(f"Program {self.stack.pop()} success")
        return self

    def failed(self, why: str = "custom program error: 0x1") -> "Log":
        self.lines.append(f"Program {self.stack.pop()} failed: {why}")
        return self

    def consumed(self) -> "Log":
        self.lines.append(f"Program {self.stack[-1]} consumed 1714 of 133413 compute units")
        return self

    def say(self, text: str) -> "Log":
        self.lines.append(f"Program log: {text}")
        return self

    def data(self, *fields: bytes) -> "Log":
        self.emitters.append(self.stack[-1] if self.stack else "")
        self.lines.append("Program data: " + " ".join(base64.b64encode(field).decode() for field in fields))
        return self

    def cut(self) -> "Log":
        self.lines.append("Log truncated")
        return self

    def call(self, program: str) -> "Log":
        """A call that does nothing, as a token program's."""
        return self.invoke(program).consumed().success()


def frame(
    lines: Sequence[str],
    *,
    err: object = None,
    signature: str = SIGNATURE,
    mono_ns: int | None = None,
    is_compact: bool = True,
) -> bytes:
    """A log notification with these lines, in the compact form nodes send unless told otherwise."""
    context = {"slot": 436863945} if mono_ns is None else {"slot": 436863945, "monoNs": mono_ns}
    document = {
        "jsonrpc": "2.0",
        "method": "logsNotification",
        "params": {
            "result": {"context": context, "value": {"signature": signature, "err": err, "logs": list(lines)}},
            "subscription": 7,
        },
    }
    text = (
        json.dumps(document, separators=(",", ":"), ensure_ascii=False)
        if is_compact
        else json.dumps(document, indent=1)
    )
    return text.encode()
