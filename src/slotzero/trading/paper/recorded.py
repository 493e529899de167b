"""A recorded chain: what a recording says is told again at its instants, in a time of its own.

`Chronicle` is the chain's state as far as it was recorded, `RecordedRpc` answers from it, `RecordedPubSub` moves it on
and tells of it. Nothing here opens a socket. After the recording's last line the chain stands still but for its slots,
which go on at their pace so that what is open can come to its end.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec
from msgspec import Struct

from slotzero.clock import Clock, elapsed_ns, later
from slotzero.detection.recording import (
    AccountSeen,
    BlockhashRead,
    Ended,
    FeesRead,
    FrameRead,
    Header,
    Line,
    Missed,
    Ready,
    SlotSeen,
    account_of,
    read_lines,
)
from slotzero.errors import MalformedError, RpcError
from slotzero.solana.rpc import AccountInfo, Purpose, Rpc
from slotzero.trading.paper.pubsub import PaperPubSub
from slotzero.trading.paper.wire import account_frame, account_json, with_context
from slotzero.units import DurationNs, MonoNs, Slot
from slotzero.venues.registry import VENUES

if TYPE_CHECKING:
    from picows import WSMsgType, WSTransport

__all__ = ["Chronicle", "RecordedPubSub", "RecordedRpc", "RecordingIndex", "index_recording"]

T = TypeVar("T")

_NOT_RECORDED: Final = -32601
_DEFAULT_SLOT_NS: Final = 400_000_000
_READ_WITHIN_NS: Final = 3_000_000_000
"""An account that was read so much later than it is asked for is not what is being waited for."""
_AFTER_NS: Final = 1_000
"""What is known at an instant is known to whoever asks a moment later."""
_SLOT_GAPS: Final = 10_000
_RENT_OVERHEAD_BYTES: Final = 128
_VALID_BLOCKS: Final = 150


class RecordingIndex(Struct, frozen=True, kw_only=True):
    """What a first look through a recording has found.

    Attributes:
        ready_at: From when on things are as they came.
        ended_at: The instant of the last line.
        slot_ns: Median time between two slots.
        first_seen: When each account was known for the first time.
        is_whole: It was closed in order.
    """

    header: Header
    ready_at: MonoNs
    ended_at: MonoNs
    slot_ns: DurationNs
    first_seen: dict[str, MonoNs]
    frames: int
    gaps: int
    is_whole: bool


def index_recording(path: Path) -> RecordingIndex:
    """Look through a recording once. *Does I/O.*

    Raises:
        UsageError: It cannot be read.
        MalformedError: It is none, or it ends before anything was heard.
    """
    first_seen: dict[str, MonoNs] = {}
    slots: list[MonoNs] = []
    counts: Counter[str] = Counter()
    header, ready_at, last = None, None, MonoNs(0)
    for line in read_lines(path):
        last = line.at
        counts[type(line).__name__] += 1
        match line:
            case Header():
                header = line
            case Ready():
                ready_at = line.at
            case AccountSeen():
                account_of(line)  # a damaged one is told now, not in the middle of a trade
                first_seen.setdefault(line.key, line.at)
            case SlotSeen() if len(slots) < _SLOT_GAPS:
                slots.append(line.at)
    if header is None or ready_at is None:
        raise MalformedError(f"{path} ends before anything was heard; there is nothing to replay")
    gaps = [elapsed_ns(one, other) for one, other in pairwise(slots)]
    return RecordingIndex(
        header=header,
        ready_at=ready_at,
        ended_at=last,
        slot_ns=DurationNs(median_low(gaps) if gaps else _DEFAULT_SLOT_NS),
        first_seen=first_seen,
        frames=counts["FrameRead"],
        gaps=counts["Missed"],
        is_whole=counts["Ended"] == 1,
    )


class Chronicle:
    """The chain as a recording knows it, at one instant that moves on.

    Args:
        path: The recording.
        index: What a first look has found in it.
    """

    def __init__(self, path: Path, index: RecordingIndex) -> None:
        self.index = index
        self.slot = Slot(0)
        self.blockhash: BlockhashRead | None = None
        self.fees: dict[int, int] = {}
        self._accounts: dict[str, tuple[AccountInfo | None, Slot]] = {}
        self._lines = read_lines(path)
        for line in self._lines:
            if isinstance(line, Ready):
                break
            self.apply(line)

    def lines(self) -> Iterator[Line]:
        """Yield what comes after the beginning, in order; whoever takes a line applies it at its instant."""
        return self._lines

    def apply(self, line: Line) -> None:
        """Let a line have happened."""
        match line:
            case AccountSeen():
                self.slot = max(self.slot, line.slot)
                known = self._accounts.get(line.key)
                if known is None or line.slot >= known[1]:
                    self._accounts[line.key] = (account_of(line), line.slot)
            case SlotSeen():
                self.slot = max(self.slot, line.slot)
            case BlockhashRead():
                self.slot = max(self.slot, line.slot)
                self.blockhash = line
            case FeesRead():
                self.fees.update(line.fees)
                for slot in sorted(self.fees)[:-_VALID_BLOCKS]:
                    del self.fees[slot]
            case Header() | FrameRead() | Ready() | Missed() | Ended():
                pass

    def account(self, key: str) -> AccountInfo | None:
        """Return an account as it is now; None for one that is not there or was not recorded."""
        known = self._accounts.get(key)
        return None if known is None else known[0]

    def known_at(self, key: str) -> MonoNs:
        """Return the instant from which on an account is known; 0 for one that never is."""
        return self.index.first_seen.get(key, MonoNs(0))


class RecordedRpc(Rpc):
    """An endpoint of the recorded chain. Each answer takes as long as the recorder's own calls did.

    Args:
        chronicle: What it knows.
        clock: The replay's time.
    """

    def __init__(self, chronicle: Chronicle, *, clock: Clock) -> None:
        super().__init__("the recording")
        self._chronicle = chronicle
        self._clock = clock

    async def _call(self, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        self.calls[purpose] += 1
        chronicle = self._chronicle
        newest = chronicle.blockhash
        if newest is None:
            raise MalformedError("the recording holds no blockhash; nothing can be signed")
        keys = params[0] if method == "getMultipleAccounts" else []
        await self._clock.sleep_until(self._answered_at(keys, newest.took_ns))
        newest = chronicle.blockhash or newest
        value: object
        match method:
            case "getMultipleAccounts":
                accounts = [account_json(chronicle.account(key)) for key in keys]
                value = with_context(chronicle.slot, accounts)
            case "getLatestBlockhash":
                value = with_context(
                    newest.slot,
                    {"blockhash": newest.hash, "lastValidBlockHeight": newest.last_valid_block_height},
                )
            case "getBlockHeight":
                value = max(0, newest.last_valid_block_height - _VALID_BLOCKS)
            case "getGenesisHash":
                value = chronicle.index.header.genesis
            case "getMinimumBalanceForRentExemption":
                empty = chronicle.index.header.empty_account_rent
                value = empty + empty * params[0] // _RENT_OVERHEAD_BYTES
            case "getRecentPrioritizationFees":
                value = [{"slot": slot, "prioritizationFee": fee} for slot, fee in sorted(chronicle.fees.items())]
            case _:
                raise RpcError(self.endpoint, _NOT_RECORDED, f"{method} was not recorded", None)
        return msgspec.convert(value, result)

    def _answered_at(self, keys: list[str], took_ns: DurationNs) -> MonoNs:
        """Return when an answer can have been there: not before the recorder had the accounts itself."""
        now = self._clock.mono_ns()
        latest = max((self._chronicle.known_at(key) for key in keys), default=MonoNs(0))
        if not now < latest <= later(now, _READ_WITHIN_NS):
            latest = now
        return max(later(now, took_ns), later(latest, _AFTER_NS))


class _Call(Struct):
    id: int
    method: str
    params: list[Any]


class RecordedPubSub(PaperPubSub):
    """A client of the recorded chain: the server is in here.

    Args:
        *args: As of `PaperPubSub`.
        chronicle: What is told, and moved on by the telling.
        **kwargs: As of `PaperPubSub`.
    """

    def __init__(self, *args: Any, chronicle: Chronicle, **kwargs: Any) -> None:  # noqa: ANN401 another's arguments
        super().__init__(*args, **kwargs)
        self._chronicle = chronicle
        self._programs = {venue.name: str(venue.program) for venue in VENUES.values()}
        self._served: dict[tuple[str, str], list[int]] = {}
        self._served_as: dict[int, tuple[str, str]] = {}
        self._last_number = 0

    async def _connect_once(self, url: str) -> str | None:  # noqa: ARG002 there is no address
        # The client sees of its transport what `send` and `disconnect` are: no socket is behind it.
        self._connected(cast("WSTransport", self))
        await self._tell()
        raise AssertionError("a recorded chain goes on until it is cancelled")

    # ---- the server's side -----------------------------------------------------------------------------------------

    def send(self, _kind: "WSMsgType", body: bytes) -> None:
        """Take a request and answer it in the next turn of the loop."""
        call = msgspec.json.decode(body, type=_Call)
        reply: object = True
        if call.method.endswith("Unsubscribe"):
            self._forget(int(call.params[0]))
        else:
            self._last_number += 1
            reply = self._last_number
            subject = (call.method, _subject(call))
            self._served.setdefault(subject, []).append(self._last_number)
            self._served_as[self._last_number] = subject
        answer = msgspec.json.encode({"jsonrpc": "2.0", "result": reply, "id": call.id})
        asyncio.get_running_loop().call_soon(lambda: self._frame(answer, self._clock.mono_ns()))

    def disconnect(self, *, graceful: bool = True) -> None:
        """Never needed: the server refuses nothing."""
        raise AssertionError(f"a recorded chain does not disconnect ({graceful=})")

    def _forget(self, number: int) -> None:
        subject = self._served_as.pop(number)
        self._served[subject].remove(number)
        if not self._served[subject]:
            del self._served[subject]

    async def _tell(self) -> None:
        clock, chronicle = self._clock, self._chronicle
        for line in chronicle.lines():
            await clock.sleep_until(line.at)
            chronicle.apply(line)
            match line:
                case FrameRead():
                    self._deliver("logsSubscribe", self._programs.get(line.venue, ""), bytes(line.frame))
                case AccountSeen() if line.is_change:
                    frame = account_frame(account_of(line), line.slot)
                    self._deliver("accountSubscribe", line.key, frame)
                case SlotSeen():
                    self._deliver("slotSubscribe", "", _slot_frame(line.slot))
        while True:
            await clock.sleep_until(later(clock.mono_ns(), chronicle.index.slot_ns))
            chronicle.slot = Slot(chronicle.slot + 1)
            self._deliver("slotSubscribe", "", _slot_frame(chronicle.slot))

    def _deliver(self, method: str, key: str, frame: bytes) -> None:
        now = self._clock.mono_ns()
        for number in tuple(self._served.get((method, key), ())):
            if number in self._served_as:
                self._frames += 1
                self._bytes += len(frame)
                self._notify(number, frame, now)


def _subject(call: _Call) -> str:
    """Return what a subscription is about: a program's logs, an account, nothing."""
    match call.params:
        case [{"mentions": [str(program)]}, *_]:
            return program
        case [str(key), *_]:
            return key
        case _:
            return ""


def _slot_frame(slot: Slot) -> bytes:
    result = {"parent": max(0, slot - 1), "root": 0, "slot": slot}
    return msgspec.json.encode(
        {"jsonrpc": "2.0", "method": "slotNotification", "params": {"result": result, "subscription": 0}}
    )
