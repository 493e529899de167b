"""The trades of the few coins somebody holds, out of a feed of all trades."""

import logging

import pytest
from solders.pubkey import Pubkey

from log_lines import PUMP, STRANGER, Log, frame
from pump_event_bytes import MINT, create_event, trade_event
from slotzero.detection.records import PoolTrade
from slotzero.detection.trade_router import TradeRouter
from slotzero.units import MonoNs
from slotzero.venues.registry import PUMPFUN

NOW = MonoNs(5)
NEIGHBOUR = Pubkey.from_bytes(bytes(MINT)[:31] + bytes([bytes(MINT)[31] ^ 1]))
"""A mint whose first 31 bytes are the same: the look-up cannot tell it apart, the handler must not be told of it."""


def told(*payloads: bytes, program: str = PUMP) -> bytes:
    log = Log().invoke(program)
    for payload in payloads:
        log.data(payload)
    return frame(log.success().lines)


def trade_of(mint: Pubkey, tokens: int = 1) -> bytes:
    return trade_event(mint=mint, tokens=tokens)


def following(*mints: Pubkey) -> tuple[TradeRouter, list[PoolTrade]]:
    router, heard = TradeRouter([PUMPFUN]), list[PoolTrade]()
    for mint in mints:
        router.follow("pumpfun", mint, heard.append)
    return router, heard


def test_each_trade_of_a_followed_coin_is_handed_on() -> None:
    router, heard = following(MINT)
    router.on_frame(told(create_event(), trade_of(MINT, 1), trade_of(MINT, 2)), NOW)
    assert [(trade.tokens, trade.mono_frame) for trade in heard] == [(1, 5), (2, 5)]


def test_trades_of_others_are_passed_over_even_in_the_same_frame() -> None:
    router, heard = following(MINT)
    other = Pubkey.new_unique()
    router.on_frame(told(trade_of(other, 1), trade_of(MINT, 2), trade_of(other, 3)), NOW)
    router.on_frame(told(trade_of(other, 4)), NOW)
    assert [trade.tokens for trade in heard] == [2]


def test_coins_that_differ_in_their_last_byte_alone_are_told_apart() -> None:
    router = TradeRouter([PUMPFUN])
    heard: dict[str, list[int]] = {"ours": [], "neighbour": []}
    router.follow("pumpfun", MINT, lambda trade: heard["ours"].append(trade.tokens))
    router.on_frame(told(trade_of(NEIGHBOUR, 1)), NOW)
    leave = router.follow("pumpfun", NEIGHBOUR, lambda trade: heard["neighbour"].append(trade.tokens))
    router.on_frame(told(trade_of(NEIGHBOUR, 2), trade_of(MINT, 3)), NOW)
    leave()
    router.on_frame(told(trade_of(NEIGHBOUR, 4), trade_of(MINT, 5)), NOW)
    assert heard == {"ours": [3, 5], "neighbour": [2]}


def test_who_has_left_hears_nothing_and_may_leave_twice() -> None:
    router, heard = TradeRouter([PUMPFUN]), list[PoolTrade]()
    leave = router.follow("pumpfun", MINT, heard.append)
    leave()
    leave()
    router.on_frame(told(trade_of(MINT)), NOW)
    assert heard == []


def test_trade_that_a_stranger_wrote_into_its_log_is_none() -> None:
    router, heard = following(MINT)
    router.on_frame(told(trade_of(MINT), program=STRANGER), NOW)
    assert heard == []


def test_frame_that_cannot_be_read_is_counted_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    router, heard = following(MINT)
    with caplog.at_level(logging.WARNING):
        router.on_frame(told(trade_of(MINT)[:100]), NOW)
        router.on_frame(told(trade_of(MINT))[:-40], NOW)
    assert router.malformed == 2
    assert "cannot be read" in caplog.text
    router.on_frame(told(trade_of(MINT)), NOW)
    assert len(heard) == 1


def test_venue_that_is_not_followed_is_a_bug() -> None:
    with pytest.raises(ValueError, match="unpack"):
        TradeRouter([PUMPFUN]).follow("nowhere", MINT, lambda _: None)
