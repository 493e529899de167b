"""The recording's file: what goes in comes out, and what is damaged is told in one sentence."""

import gzip
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from slotzero.detection.recording import (
    SCHEMA,
    AccountSeen,
    BlockhashRead,
    Ended,
    FrameRead,
    Header,
    Line,
    Ready,
    RecordingWriter,
    SlotSeen,
    account_line,
    account_of,
    read_lines,
)
from slotzero.detection.replay import replay_file
from slotzero.errors import MalformedError, UsageError
from slotzero.solana.rpc import AccountInfo
from slotzero.trading.paper.recorded import index_recording
from slotzero.units import DurationNs, Lamports, MonoNs, Slot, WallNs

KEY = Pubkey.from_bytes(bytes(range(32)))
FRAME = (
    b'{"jsonrpc":"2.0","method":"logsNotification","params":{"result":{"context":{"slot":5},'
    b'"value":{"signature":"s","err":null,"logs":[]}},"subscription":1}}'
)
HEADER = Header(
    at=MonoNs(100),
    schema=SCHEMA,
    genesis="g",
    wall_ns=WallNs(7),
    venues=["pumpfun"],
    empty_account_rent=Lamports(650_240),
    commitment="processed",
)


def lines() -> list[Line]:
    return [
        HEADER,
        account_line(KEY, account(b"x" * 5_000), Slot(3), MonoNs(110), is_change=False),
        BlockhashRead(at=MonoNs(120), slot=Slot(3), hash="h", last_valid_block_height=153, took_ns=DurationNs(9)),
        Ready(at=MonoNs(130)),
        SlotSeen(at=MonoNs(140), slot=Slot(4)),
        FrameRead(at=MonoNs(150), venue="pumpfun", frame=msgspec.Raw(FRAME)),
        account_line(KEY, None, Slot(5), MonoNs(160), is_change=True),
        Ended(at=MonoNs(170), frames=1, pools=0),
    ]


def account(data: bytes) -> AccountInfo:
    return AccountInfo(lamports=Lamports(5), owner=KEY, data=data, executable=False)


def written(path: Path, content: list[Line] | None = None) -> Path:
    with RecordingWriter(path) as writer:
        for line in content or lines():
            writer.write(line)
    return path


@pytest.mark.parametrize("name", ["r.ndjson", "r.ndjson.gz"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    found = list(read_lines(path))
    assert found == lines()
    frame = found[5]
    assert isinstance(frame, FrameRead)
    assert bytes(frame.frame) == FRAME
    assert path.stat().st_size < 5_000, "account data is compressed"
    index = index_recording(path)
    assert (index.ready_at, index.ended_at, index.frames, index.is_whole) == (130, 170, 1, True)
    assert index.first_seen == {str(KEY): 110}


@settings(deadline=None)
@given(st.binary(max_size=10_000), st.booleans(), st.integers(1, 2**63))
def test_account_survives_its_line(data: bytes, executable: bool, lamports: int) -> None:  # noqa: FBT001 drawn
    info = AccountInfo(lamports=Lamports(lamports), owner=KEY, data=data, executable=executable)
    line = account_line(KEY, info, Slot(1), MonoNs(1), is_change=False)
    again = msgspec.json.decode(msgspec.json.encode(line), type=AccountSeen)
    assert account_of(again) == info


def test_existing_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.ndjson"
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists and is not overwritten"), RecordingWriter(path):
        pass
    assert path.read_text() == "precious"


def test_place_that_cannot_be_written_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be made"), RecordingWriter(tmp_path / "nowhere" / "r.ndjson"):
        pass


def test_instants_never_go_back(tmp_path: Path) -> None:
    content = [*lines()[:4], SlotSeen(at=MonoNs(1), slot=Slot(4))]
    assert [line.at for line in read_lines(written(tmp_path / "r", content))] == [100, 110, 120, 130, 130]


def test_frame_of_several_lines_becomes_one(tmp_path: Path) -> None:
    pretty = msgspec.json.format(FRAME, indent=2)
    content = [*lines()[:4], FrameRead(at=MonoNs(150), venue="pumpfun", frame=msgspec.Raw(pretty))]
    frame = list(read_lines(written(tmp_path / "r", content)))[-1]
    assert isinstance(frame, FrameRead)
    assert msgspec.json.decode(frame.frame) == msgspec.json.decode(FRAME)


def test_last_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "r")
    path.write_bytes(path.read_bytes()[:-20])
    assert len(list(read_lines(path))) == len(lines()) - 1
    assert not index_recording(path).is_whole


DAMAGE = {
    "empty": (b"", "is no recording"),
    "text": (b"hello\n", "is no recording"),
    "another document": (FRAME, "is no recording"),
    "no header": (msgspec.json.encode(Ready(at=MonoNs(1))) + b"\n", "is no recording"),
    "another schema": (
        msgspec.json.encode(msgspec.structs.replace(HEADER, schema="slotzero.recording/9")),
        "recording/9",
    ),
    "header alone": (msgspec.json.encode(HEADER) + b"\n", "ends before anything was heard"),
    "a hole": (
        msgspec.json.encode(HEADER) + b"\n{broken\n" + msgspec.json.encode(Ready(at=MonoNs(200))) + b"\n",
        "line 2",
    ),
    "back in time": (
        msgspec.json.encode(HEADER) + b"\n" + msgspec.json.encode(Ready(at=MonoNs(1))) + b"\n",
        "back in time",
    ),
    "damaged account": (
        msgspec.json.encode(HEADER)
        + b"\n"
        + msgspec.json.encode(AccountSeen(at=MonoNs(101), slot=Slot(1), key="k", lamports=Lamports(1), data="AAAA"))
        + b"\n",
        "damaged",
    ),
}


@pytest.mark.parametrize(("content", "said"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_told_in_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "r.ndjson"
    path.write_bytes(content)
    with pytest.raises(MalformedError, match=said):
        index_recording(path)


def test_damaged_gzip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "r.gz"
    path.write_bytes(gzip.compress(b"x" * 10_000)[:30])
    with pytest.raises(MalformedError):
        index_recording(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(MalformedError, match="no gzip"):
        index_recording(path)


def test_file_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        index_recording(tmp_path / "none")


def test_data_that_inflates_beyond_an_account_is_refused() -> None:
    huge = account_line(KEY, account(b"\0" * (16 << 20) + b"\0"), Slot(1), MonoNs(1), is_change=False)
    with pytest.raises(MalformedError, match="larger than an account"):
        account_of(huge)


@pytest.mark.parametrize("name", ["r.ndjson", "r.ndjson.gz"])
def test_decoding_replay_counts_the_frames_of_a_recording_alone(tmp_path: Path, name: str) -> None:
    report = replay_file(written(tmp_path / name))
    assert (report.frames, report.dropped) == (1, {})


def test_decoding_replay_of_a_damaged_gzip_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "r.gz")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(MalformedError, match="damaged"):
        replay_file(path)


def test_recording_is_readable_by_its_maker_at_least(tmp_path: Path) -> None:
    assert stat.S_IMODE(written(tmp_path / "r").stat().st_mode) & 0o600 == 0o600
