"""Replay of stored documents: which kinds there are, how files are cut into them, what is counted."""

import base64
import json
from pathlib import Path

import pytest

from log_lines import PUMP, SIGNATURE, STRANGER, Log, frame
from pump_event_bytes import MINT, create_event, trade_event
from slotzero.detection import DropReason, Replay, ReplayReport, replay_file
from slotzero.errors import MalformedError, UsageError
from slotzero.solana.logs import EVENT_TAG
from slotzero.venues.pumpfun import EVENT_AUTHORITY

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
CREATED = Log().invoke(PUMP).data(create_event()).success()
NOTIFICATION = frame(CREATED.lines)


def base58(data: bytes) -> str:
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return text


def self_call(event: bytes, program: str = PUMP, height: int = 2) -> dict[str, object]:
    return {
        "programId": program,
        "accounts": [str(EVENT_AUTHORITY)],
        "data": base58(EVENT_TAG + event),
        "stackHeight": height,
    }


def transaction(
    *inner: dict[str, object], lines: list[str] | None = None, err: object = None, is_recorded: bool = True
) -> dict[str, object]:
    """What getTransaction answers with, in the parsed encoding."""
    return {
        "slot": 5,
        "transaction": {
            "signatures": [SIGNATURE],
            "message": {"accountKeys": [], "instructions": [{"programId": PUMP, "accounts": [], "data": ""}]},
        },
        "meta": {
            "err": err,
            "logMessages": lines,
            "innerInstructions": [{"index": 0, "instructions": list(inner)}] if is_recorded else None,
        },
    }


def replayed(*documents: object) -> ReplayReport:
    replay = Replay()
    for document in documents:
        replay.feed(document if isinstance(document, bytes) else json.dumps(document).encode())
    return replay.report()


def test_notification_gives_its_pool() -> None:
    report = replayed(NOTIFICATION)
    assert [pool.mint for pool in report.creations] == [MINT]
    assert (report.dropped, report.frames) == ({}, 1)
    assert report.creations[0].mono_frame == 0


@pytest.mark.parametrize("is_reply", [True, False])
def test_transaction_gives_its_pool_from_inner_instructions(is_reply: bool) -> None:  # noqa: FBT001 a parameter of the case
    document = transaction(self_call(create_event()), self_call(trade_event(tokens=3)), lines=["Log truncated"])
    report = replayed({"jsonrpc": "2.0", "result": document, "id": 1} if is_reply else document)
    (pool,) = report.creations
    assert (pool.mint, pool.slot, pool.signature, pool.creator_bought) == (MINT, 5, SIGNATURE, 3)
    assert report.dropped == {}


def test_transaction_without_recorded_inner_instructions_falls_back_to_its_log() -> None:
    report = replayed(transaction(lines=CREATED.lines, is_recorded=False))
    assert [pool.mint for pool in report.creations] == [MINT]
    assert replayed(transaction(lines=["Log truncated"], is_recorded=False)).dropped == {DropReason.TRUNCATED_LOG: 1}


def test_transaction_whose_log_alone_holds_the_creation_is_read_from_it() -> None:
    other = {"programId": STRANGER, "accounts": [], "data": "", "stackHeight": 2}
    assert len(replayed(transaction(other, lines=CREATED.lines)).creations) == 1
    forged = Log().invoke(STRANGER).data(create_event()).success().lines
    assert replayed(transaction(other, lines=forged)).dropped == {DropReason.FORGED_EVENT: 1}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (transaction(self_call(create_event()), err="x"), DropReason.FAILED_TRANSACTION),
        (transaction(self_call(create_event(), program=STRANGER)), DropReason.FORGED_EVENT),
        (transaction(self_call(create_event(curve=MINT))), DropReason.FORGED_EVENT),
        (transaction(self_call(create_event()[:-3])), DropReason.MALFORMED_EVENT),
        (transaction(self_call(b"\0" + create_event()[1:]), lines=CREATED.lines[:0]), None),
        (
            transaction(
                self_call(b"\0" + create_event()[1:]),
                lines=Log().invoke(PUMP).say("Instruction: CreateV2").success().lines,
            ),
            DropReason.MALFORMED_EVENT,
        ),
        (b'{"method":"logsNotification"}', DropReason.MALFORMED_FRAME),
        (b'{"result":null}', DropReason.MALFORMED_FRAME),
        (b"{}", DropReason.MALFORMED_FRAME),
        (b"7", DropReason.MALFORMED_FRAME),
        (NOTIFICATION[:-9], DropReason.MALFORMED_FRAME),
        (NOTIFICATION + b" " * 1_000_000, DropReason.FRAME_TOO_LARGE),
        (b'{"jsonrpc":"2.0","result":4711,"id":1}', None),
        (b'{"jsonrpc":"2.0","result":true,"id":1}', None),
    ],
)
def test_document_without_a_pool_is_counted_under_its_reason(document: object, reason: DropReason | None) -> None:
    report = replayed(document)
    assert report.creations == []
    assert report.frames == 1
    assert report.dropped == ({} if reason is None else {reason: 1})


def test_block_gives_the_pools_of_its_transactions_and_counts_the_unreadable() -> None:
    broken = transaction() | {"meta": None}
    block = {
        "method": "blockNotification",
        "params": {
            "result": {
                "context": {"slot": 8},
                "value": {"slot": 8, "block": {"transactions": [broken, transaction(self_call(create_event()))]}},
            }
        },
    }
    report = replayed(block)
    assert [pool.slot for pool in report.creations] == [8]
    assert report.dropped == {DropReason.MALFORMED_FRAME: 1}
    assert report.frames == 2


def test_same_creation_from_two_kinds_of_document_is_one_pool() -> None:
    report = replayed(NOTIFICATION, transaction(self_call(create_event())))
    assert len(report.creations) == 1
    assert report.dropped == {DropReason.DUPLICATE: 1}


def written(path: Path, content: bytes) -> ReplayReport:
    path.write_bytes(content)
    return replay_file(path)


def test_file_of_one_document_may_be_spread_over_lines(tmp_path: Path) -> None:
    pretty = json.dumps(json.loads(NOTIFICATION), indent=2).encode()
    report = written(tmp_path / "pretty.json", b"\n\n" + pretty + b"\n")
    assert (len(report.creations), report.frames) == (1, 1)


def test_file_of_lines_is_read_to_its_end_whatever_stands_between(tmp_path: Path) -> None:
    other = frame(CREATED.lines, signature="another")
    lines = [NOTIFICATION, b"", b"{ broken", b'{"x":"' + b"y" * 1_200_000 + b'"}', other]
    report = written(tmp_path / "feed.ndjson", b"\r\n".join(lines))
    assert len(report.creations) == 2
    assert report.dropped == {DropReason.MALFORMED_FRAME: 1, DropReason.FRAME_TOO_LARGE: 1}
    assert report.frames == 4


def test_file_whose_first_line_is_broken_still_gives_the_others(tmp_path: Path) -> None:
    report = written(tmp_path / "feed.ndjson", NOTIFICATION[:100] + b"\n" + NOTIFICATION + b"\n")
    assert len(report.creations) == 1
    assert report.dropped == {DropReason.MALFORMED_FRAME: 1}


def test_array_of_documents_gives_each(tmp_path: Path) -> None:
    document = b"[" + NOTIFICATION + b",\n" + frame(CREATED.lines, signature="another") + b"]"
    assert len(written(tmp_path / "array.json", document).creations) == 2


@pytest.mark.parametrize("size", [10, 500])
def test_file_that_was_cut_counts_once(tmp_path: Path, size: int) -> None:
    for content in (NOTIFICATION, json.dumps(json.loads(NOTIFICATION), indent=2).encode()):
        report = written(tmp_path / "cut.json", content[:size])
        assert (report.creations, report.dropped) == ([], {DropReason.MALFORMED_FRAME: 1})


def test_file_of_ten_megabytes_is_one_frame_too_large(tmp_path: Path) -> None:
    report = written(tmp_path / "large.json", b'{"params":"' + b"x" * 10_000_000 + b'"}')
    assert report.dropped == {DropReason.FRAME_TOO_LARGE: 1}
    pretty = written(tmp_path / "pretty.json", b'{\n"params":"' + b"x" * 10_000_000 + b'"\n}')
    assert pretty.dropped == {DropReason.FRAME_TOO_LARGE: 1}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        b"hello",
        b"\x7fELF\0\0",
        base64.b64encode(NOTIFICATION),
        b"[paper]\nseed = 1\n",
        b"[paper]\n[[net]]\n",
        b"{% if x %}",
    ],
)
def test_file_without_json_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(MalformedError, match="expected a stored notification"):
        written(tmp_path / "x", content)


@pytest.mark.parametrize("content", [b"[]", b"{ ", b"[ [", b"[paper]\n{}", b"[7, null]", b'["x"]'])
def test_file_with_some_json_is_read(tmp_path: Path, content: bytes) -> None:
    assert written(tmp_path / "x", content).creations == []


def test_file_that_cannot_be_read_is_wrong_use(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            replay_file(path)
