"""Stored frames and transactions, run through the same detection as live ones.

A file is one JSON document, an array of them, or one on each line (NDJSON). A document is

* a log notification as a WebSocket feed sends it;
* what getTransaction answers, the bare result or the whole JSON-RPC reply, in any encoding and version;
* a transaction of a block as blockSubscribe sends it, or a whole blockNotification of at most 1 MB;
* a line of a recording (`detection.recording`): the frame in it counts, other lines are passed over.

Of a transaction the inner instructions decide, and its log where they are not recorded: logs are cut or missing more
often. Replies to a subscription are counted as frames and otherwise passed over. What cannot be read is counted under
its reason, and only a file without any JSON in it is refused as a whole.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import msgspec
from msgspec import Struct

from slotzero.detection.detector import MAX_FRAME_BYTES, Detector
from slotzero.detection.frames import UNREADABLE
from slotzero.detection.records import DropReason, ReplayReport
from slotzero.detection.transactions import TransactionDocument, executed_calls, log_notification
from slotzero.errors import MalformedError, UsageError
from slotzero.units import MonoNs
from slotzero.venues.registry import VENUES, Venue

if TYPE_CHECKING:
    from slotzero.venues.records import NewPool

__all__ = ["Replay", "replay_file"]

_WHOLE_FILE_BYTES: Final = 64_000_000
_BEGINS_AS_JSON: Final = re.compile(rb'(\[\s*)*(\{\s*(["}]|\Z)|["\]\d-]|(true|false|null)\b|\Z)')
"""Also what was cut. `[section]` of some other format is none."""
_NO_CLOCK: Final = MonoNs(0)  # nobody read the frame just now; the result must not depend on when it is replayed


class _Kind(Struct):
    """What is looked at to tell what a document is."""

    method: str | None = None
    params: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    transaction: msgspec.Raw = msgspec.Raw()


class _RecordedLine(Struct):
    kind: str
    frame: msgspec.Raw = msgspec.Raw()


class _Block(Struct):
    transactions: list[TransactionDocument] | None = None


class _BlockValue(Struct):
    slot: int
    block: _Block | None


class _BlockResult(Struct):
    value: _BlockValue


class _BlockParams(Struct):
    result: _BlockResult


_RECORDED: Final = b'{"kind":"'
_RECORDED_LINE: Final = msgspec.json.Decoder(_RecordedLine)
_KIND: Final = msgspec.json.Decoder(_Kind)
_TRANSACTION: Final = msgspec.json.Decoder(TransactionDocument)
_BLOCK: Final = msgspec.json.Decoder(_BlockParams)
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Replay:
    """Feeds documents to a detector, one after the other. A machine: no I/O.

    Args:
        venues: Which venues' creations count; all of them unless chosen.
    """

    def __init__(self, venues: Sequence[Venue] | None = None) -> None:
        self._detector = Detector(tuple(VENUES.values()) if venues is None else venues, verifies_pools=True)
        self._creations: list[NewPool] = []

    def feed(self, document: bytes) -> None:
        """Take one document; what it is not is counted as a malformed frame."""
        if document.startswith(_RECORDED):
            with suppress(*UNREADABLE):  # a damaged line stays what it is, and is counted
                line = _RECORDED_LINE.decode(document)
                if line.kind != "frame":
                    return
                document = bytes(line.frame)
        if len(document) > MAX_FRAME_BYTES:
            self._detector.drop_document(DropReason.FRAME_TOO_LARGE)
            return
        try:
            self._read(document)
        except (MalformedError, *UNREADABLE):
            self._detector.drop_document(DropReason.MALFORMED_FRAME)

    def report(self) -> ReplayReport:
        """Return what was found so far."""
        stats = self._detector.stats
        return ReplayReport(creations=list(self._creations), dropped=stats.dropped, frames=stats.frames)

    def _read(self, document: bytes) -> None:
        kind = _KIND.decode(document)
        result = bytes(kind.result)
        if kind.method == "blockNotification":
            self._read_block(kind.params)
        elif kind.method is not None:
            self._creations += self._detector.examine(document, _NO_CLOCK)
        elif bytes(kind.transaction):
            self._read_transaction(_TRANSACTION.decode(document))
        elif result.isdigit() or result in {b"true", b"false"}:  # the reply to a subscription
            self._detector.pass_over()
        else:
            self._read_transaction(_TRANSACTION.decode(result))

    def _read_block(self, params: msgspec.Raw) -> None:
        value = _BLOCK.decode(params).result.value
        for document in (value.block and value.block.transactions) or []:
            try:
                self._read_transaction(document, value.slot)
            except MalformedError:
                self._detector.drop_document(DropReason.MALFORMED_FRAME)

    def _read_transaction(self, document: TransactionDocument, slot: int | None = None) -> None:
        notification, calls = log_notification(document, slot), executed_calls(document)
        self._creations += self._detector.on_transaction(notification, calls, _NO_CLOCK)


def replay_file(path: Path, venues: Sequence[Venue] | None = None) -> ReplayReport:
    """Replay a stored file. *Does I/O.*

    Args:
        path: The file; its name ends in .gz where it is compressed. One with a document on each line may have any
            length.
        venues: Which venues' creations count; all of them unless chosen.

    Raises:
        UsageError: The file cannot be read.
        MalformedError: There is no JSON in it.
    """
    replay, documents, foreign = Replay(venues), 0, 0
    try:
        with _opened(path) as file:
            for document in _documents(file, str(path)):
                documents += 1
                foreign += _BEGINS_AS_JSON.match(document) is None
                replay.feed(document)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise MalformedError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    if documents and foreign == documents:
        raise MalformedError(_no_json(str(path)))
    return replay.report()


def _opened(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _documents(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield the documents of a file, which is NDJSON when its first line is a whole document."""
    first = _next_line(file)
    if first is None:
        raise MalformedError(f"{name} is empty; expected a stored notification, transaction, or one on each line")
    if first[:1] not in {b"{", b"["}:
        raise MalformedError(_no_json(name))
    if len(first) > MAX_FRAME_BYTES or _is_json(first):
        yield from _items(first)
    else:
        file.seek(0)
        whole = file.read(_WHOLE_FILE_BYTES + 1).strip()
        if len(whole) <= _WHOLE_FILE_BYTES and _is_json(whole):
            yield from _items(whole)
            return
        file.seek(0)
        _next_line(file)
        yield first
        following = _next_line(file)
        if following is None or following[:1] not in {b"{", b"["}:
            return  # one document that was cut, not lines of documents
        yield from _items(following)
    while (line := _next_line(file)) is not None:
        yield from _items(line)


def _no_json(name: str) -> str:
    return f"{name} holds no JSON; expected a stored notification, transaction, or one on each line"


def _items(document: bytes) -> Iterator[bytes]:
    """Yield the elements of an array of documents, or the document."""
    items = [document]
    if document[:1] == b"[":
        with suppress(*UNREADABLE):  # whoever reads it will say so
            items = [bytes(item) for item in _ARRAY.decode(document)]
    yield from items


def _is_json(document: bytes) -> bool:
    try:
        msgspec.json.decode(document, type=msgspec.Raw)
    except UNREADABLE:
        return False
    return True


def _next_line(file: BinaryIO) -> bytes | None:
    """Return the next line that is not blank, at most a little more than the largest frame of it; None at the end."""
    while line := file.readline(MAX_FRAME_BYTES + 2):
        if len(line) > MAX_FRAME_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(MAX_FRAME_BYTES)) and not rest.endswith(b"\n"):
                pass  # the rest of a line that is too large anyway
        if stripped := line.strip():
            return stripped
    return None
