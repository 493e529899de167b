"""The two readers of a log notification."""

import pytest

from log_lines import PUMP, SIGNATURE, Log, frame
from slotzero.detection.frames import read_envelope, read_notification
from slotzero.errors import MalformedError

LINES = Log().invoke(PUMP).say("hi [1]").success().lines


@pytest.mark.parametrize("err", [None, "AccountInUse", {"InstructionError": [0, {"Custom": 6002}]}])
def test_envelope_says_what_the_notification_says(err: object) -> None:
    log_frame = frame(LINES, err=err, mono_ns=77)
    whole, envelope = read_notification(log_frame), read_envelope(log_frame)
    assert envelope is not None
    assert envelope[0].lines == []
    assert log_frame[envelope[1] :].startswith(b'"Program ' + PUMP.encode())
    for notification in (whole, envelope[0]):
        assert (notification.signature, notification.slot, notification.mono_cause) == (SIGNATURE, 436863945, 77)
        assert notification.is_failed is (err is not None)
    assert whole.lines == LINES


def test_envelope_is_left_to_the_whole_reader_where_it_cannot_be_sure() -> None:
    assert read_envelope(frame(['a "quoted" word'])) is None
    assert read_envelope(frame(LINES, is_compact=False)) is None
    assert read_envelope(frame(LINES)[:-1]) is None
    assert read_envelope(b"") is None
    assert read_envelope(b'"logs":[') is None


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b'{"params":{}}',
        b'{"params":{"result":{"context":{"slot":"1"},"value":{"signature":"s","err":null,"logs":[]}}}}',
        b'{"params":{"result":{"context":{"slot":1},"value":{"signature":"s","err":null,"logs":[1]}}}}',
        b'{"params":{"result":{"context":{"slot":1},"value":{"signature":"\xff","err":null,"logs":[]}}}}',
        b"[" * 5_000 + b"]" * 5_000,
        b'{"x":' * 5_000 + b"}" * 5_000,
    ],
)
def test_what_is_no_notification_is_malformed(document: bytes) -> None:
    with pytest.raises(MalformedError, match="no log notification"):
        read_notification(document)


def test_notification_without_a_log_has_no_lines() -> None:
    document = b'{"params":{"result":{"context":{"slot":1},"value":{"signature":"s","err":null,"logs":null}}}}'
    assert read_notification(document).lines == []
