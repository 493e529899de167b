"""Trades out of a notification."""

import pytest

from log_lines import PUMP, STRANGER, Log, frame
from pump_event_bytes import MINT, create_event, trade_event
from slotzero.detection import decode_trades
from slotzero.errors import MalformedError
from slotzero.units import MonoNs
from slotzero.venues.registry import PUMPFUN

NOW = MonoNs(3)


def test_trades_come_in_order_and_only_the_venues_own() -> None:
    log = Log().invoke(PUMP).data(create_event()).data(trade_event(tokens=1)).success()
    log.invoke(STRANGER).data(trade_event(tokens=2)).success()
    log.invoke(PUMP).data(trade_event(tokens=3, is_buy=False)).success()
    trades = decode_trades(frame(log.lines, mono_ns=2), PUMPFUN, NOW)
    assert [(trade.tokens, trade.is_buy) for trade in trades] == [(1, True), (3, False)]
    assert (trades[0].mint, trades[0].slot, trades[0].mono_cause, trades[0].mono_frame) == (MINT, 436863945, 2, 3)


def test_failed_transaction_and_frame_without_data_have_no_trades() -> None:
    log = Log().invoke(PUMP).data(trade_event()).success()
    assert decode_trades(frame(log.lines, err="x"), PUMPFUN, NOW) == []
    assert decode_trades(b"nothing", PUMPFUN, NOW) == []


def test_cut_log_gives_the_trades_before_the_cut() -> None:
    log = Log().invoke(PUMP).data(trade_event()).cut().data(trade_event())
    assert len(decode_trades(frame(log.lines), PUMPFUN, NOW)) == 1


@pytest.mark.parametrize(
    "lines",
    [
        Log().data(trade_event()).invoke(PUMP).lines,
        Log().invoke(PUMP).data(trade_event()[:50]).success().lines,
        [f"Program {PUMP} invoke [1]", "Program data: é", f"Program {PUMP} success"],
        [f"Program {PUMP} invoke [1]", "Program data: A", f"Program {PUMP} success"],
    ],
)
def test_what_cannot_be_read_is_malformed(lines: list[str]) -> None:
    with pytest.raises(MalformedError):
        decode_trades(frame(lines), PUMPFUN, NOW)
