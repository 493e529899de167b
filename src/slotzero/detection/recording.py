"""The file a feed is recorded in: one JSON document on each line, in the order things were learned.

The first line says which chain it is and what the clocks said; what follows carries the monotonic instant at which it
was known. Up to the `ready` line stands what a bot knows before its first frame. Account data is compressed; a file
whose name ends in `.gz` is compressed as a whole.
"""

import gzip
import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Self, cast

import msgspec
from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError, SlotzeroError, UsageError
from slotzero.solana.rpc import AccountInfo
from slotzero.units import DurationNs, Lamports, MonoNs, Slot, WallNs

__all__ = [
    "SCHEMA",
    "AccountSeen",
    "BlockhashRead",
    "Ended",
    "FeesRead",
    "FrameRead",
    "Header",
    "Line",
    "Missed",
    "Ready",
    "RecordingWriter",
    "SlotSeen",
    "account_line",
    "account_of",
    "read_lines",
]

SCHEMA: Final = "slotzero.recording/1"
_MAX_LINE_BYTES: Final = 64 << 20
_MAX_ACCOUNT_BYTES: Final = 16 << 20
_BUFFER_BYTES: Final = 1 << 18


class _Line(Struct, frozen=True, kw_only=True, tag_field="kind", omit_defaults=True):
    """What all lines share: when it was known."""

    at: MonoNs


class Header(_Line, frozen=True, kw_only=True, tag="header"):
    """The first line.

    Attributes:
        wall_ns: What the wall clock said at `at`.
        venues: Whose feeds are recorded.
        empty_account_rent: What the cluster asked for an account without data.
        commitment: Of the feed.
    """

    schema: str
    genesis: str
    wall_ns: WallNs
    venues: list[str]
    empty_account_rent: Lamports
    commitment: str


class AccountSeen(_Line, frozen=True, kw_only=True, tag="account"):
    """An account, read or told; without lamports there is none.

    Attributes:
        data: Compressed, in base64.
        is_change: It was told by a subscription, not asked for.
    """

    slot: Slot
    key: str
    lamports: Lamports = Lamports(0)
    owner: str = "11111111111111111111111111111111"
    data: str = ""
    executable: bool = False
    is_change: bool = False


class FrameRead(_Line, frozen=True, kw_only=True, tag="frame"):
    """A notification of a venue's log subscription, as it came."""

    venue: str
    frame: msgspec.Raw


class SlotSeen(_Line, frozen=True, kw_only=True, tag="slot"):
    """A slot has opened."""

    slot: Slot


class BlockhashRead(_Line, frozen=True, kw_only=True, tag="blockhash"):
    """The newest confirmed blockhash. `took_ns`: how long the call took."""

    slot: Slot
    hash: str
    last_valid_block_height: int
    took_ns: DurationNs


class FeesRead(_Line, frozen=True, kw_only=True, tag="fees"):
    """Slots with the least price that landed in each, those not told before."""

    fees: list[tuple[int, int]]


class Ready(_Line, frozen=True, kw_only=True, tag="ready"):
    """From here on everything is as it came."""


class Missed(_Line, frozen=True, kw_only=True, tag="missed"):
    """Nothing was heard since `since`: the connection was lost."""

    since: MonoNs


class Ended(_Line, frozen=True, kw_only=True, tag="end"):
    """The last line of a recording that was closed in order."""

    frames: int
    pools: int


Line = Header | AccountSeen | FrameRead | SlotSeen | BlockhashRead | FeesRead | Ready | Missed | Ended

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Line]] = msgspec.json.Decoder(Line)
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def account_line(key: Pubkey, account: AccountInfo | None, slot: Slot, at: MonoNs, *, is_change: bool) -> AccountSeen:
    """Return an account as a line. *Pure.*"""
    if account is None:
        return AccountSeen(at=at, slot=slot, key=str(key), is_change=is_change)
    return AccountSeen(
        at=at,
        slot=slot,
        key=str(key),
        lamports=account.lamports,
        owner=str(account.owner),
        data=b64encode(zlib.compress(account.data, 6)).decode() if account.data else "",
        executable=account.executable,
        is_change=is_change,
    )


def account_of(line: AccountSeen) -> AccountInfo | None:
    """Return the account of a line. *Pure.*

    Raises:
        MalformedError: Its data is damaged, or larger than an account can be.
    """
    if line.lamports == 0:
        return None
    try:
        data = b""
        if line.data:
            inflate = zlib.decompressobj()
            data = inflate.decompress(b64decode(line.data, validate=True), _MAX_ACCOUNT_BYTES)
            if not inflate.eof:
                raise MalformedError(f"the recorded account {line.key} is cut or larger than an account can be")
        owner = Pubkey.from_string(line.owner)
    except (zlib.error, Base64Error, ValueError) as error:
        raise MalformedError(f"the recorded account {line.key} is damaged: {error}") from error
    return AccountInfo(lamports=line.lamports, owner=owner, data=data, executable=line.executable)


class RecordingWriter:
    """Writes a new file. Use it as a context manager; what was written is whole whenever it is left.

    Args:
        path: The file, which must not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes_written = 0
        """Before the compression of the whole."""
        self._file: BinaryIO | None = None
        self._last = MonoNs(0)

    def __enter__(self) -> Self:
        """Make the file. Raises UsageError: it exists, or cannot be made."""
        try:
            raw = self.path.open("xb", buffering=_BUFFER_BYTES)
        except FileExistsError:
            raise UsageError(f"{self.path} exists and is not overwritten; name another file") from None
        except OSError as error:
            raise UsageError(f"{self.path} cannot be made: {error.strerror or error}") from error
        if self.path.suffix == ".gz":
            self._raw: BinaryIO | None = raw
            self._file = cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0, compresslevel=5))
        else:
            self._raw, self._file = None, raw
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        try:
            for file in (self._file, self._raw):
                if file is not None:
                    file.close()
        except OSError as error:
            raise SlotzeroError(f"{self.path} could not be closed: {error.strerror or error}") from error

    def write(self, line: Line) -> None:
        """Append a line; its instant is never before that of the one before it.

        Raises:
            SlotzeroError: The disk is full, or gone.
        """
        assert self._file is not None, "the recording is not open"
        if line.at < self._last:
            line = msgspec.structs.replace(line, at=self._last)
        self._last = line.at
        body = _encoder.encode(line)
        if b"\n" in body:  # a node that sends its frames over several lines
            body = _encoder.encode(msgspec.json.decode(body))
        try:
            self._file.write(body + b"\n")
        except OSError as error:
            raise SlotzeroError(f"{self.path} could not be written: {error.strerror or error}") from error
        self.bytes_written += len(body) + 1


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=raw) as file:
                    yield cast("BinaryIO", file)
            else:
                yield raw
    except gzip.BadGzipFile as error:
        raise MalformedError(f"{path} is no gzip file") from error
    except (EOFError, zlib.error) as error:
        raise MalformedError(f"{path} is cut or damaged: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a recording, the header first. *Does I/O.*

    A last line that was cut is left out: a recorder that was killed leaves one.

    Raises:
        UsageError: The file cannot be read.
        MalformedError: It is no recording, one of another schema, or damaged.
    """
    with _opened(path) as file:
        number, last, is_whole = 0, MonoNs(0), True
        while body := file.readline(_MAX_LINE_BYTES):
            number += 1
            if not is_whole:
                raise MalformedError(f"{path} is damaged in line {number - 1}")
            try:
                line = _decoder.decode(body)
            except _UNREADABLE as error:
                if number == 1:
                    raise MalformedError(_NO_RECORDING.format(path=path)) from error
                is_whole = False
                continue
            if (number == 1) != isinstance(line, Header):
                raise MalformedError(_NO_RECORDING.format(path=path))
            if isinstance(line, Header) and line.schema != SCHEMA:
                raise MalformedError(f"{path} is a {line.schema}, this slotzero reads {SCHEMA}")
            if line.at < last:
                raise MalformedError(f"{path} goes back in time in line {number}")
            last = line.at
            yield line
        if number == 0:
            raise MalformedError(_NO_RECORDING.format(path=path))


_NO_RECORDING: Final = "{path} is no recording; `slotzero record FILE` makes one"
