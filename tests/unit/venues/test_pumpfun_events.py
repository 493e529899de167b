"""Event decoders on bytes written field by field, in every layout there has been."""

import pytest

from pump_event_bytes import (
    COMPLETE,
    MINT,
    TOKEN_2022,
    USER,
    create_event,
    create_fields,
    i64,
    trade_event,
    trade_fields,
)
from slotzero.errors import MalformedError
from slotzero.solana.addresses import TOKEN_PROGRAM
from slotzero.venues.pumpfun import (
    CompleteEvent,
    CreateEvent,
    TradeEvent,
    curve_address,
    decode_complete,
    decode_create,
    decode_event,
    decode_trade,
    decode_trade_summary,
)
from slotzero.venues.pumpfun.quote import USDC_MINT


def test_creation_of_today_gives_every_field() -> None:
    event = decode_create(create_event(name="ä" * 8, symbol="", creator_fee_bps=120) + b"a tail from the future")
    assert (event.name, event.symbol, event.uri) == ("ä" * 8, "", "https://coin.example/1")
    assert (event.mint, event.pool, event.user, event.creator) == (MINT, curve_address(MINT), USER, USER)
    assert (event.timestamp, event.token_supply, event.token_program) == (1_785_715_045, 10**15, TOKEN_2022)
    assert (event.reserves.virtual_quote, event.reserves.real_quote) == (30_000_000_000, 0)
    assert (event.quote_mint, event.creator_fee_bps, event.is_mayhem) == (None, 120, False)


@pytest.mark.parametrize("kept", range(7, 21))
def test_creation_of_an_older_layout_has_defaults_in_its_missing_tail(kept: int) -> None:
    fields = create_fields(
        creator=MINT, virtual_token=9, virtual_sol=8, real_token=7, creator_fee_bps=5, virtual_quote=6
    )
    event = decode_create(b"".join(fields[:kept]))
    assert event.user == USER
    assert event.creator == (MINT if kept >= 8 else USER)
    assert event.timestamp == (1_785_715_045 if kept >= 9 else 0)
    if kept < 13:  # the constants of the time stand in until the event says all four
        assert event.reserves.virtual_token == 1_073_000_000_000_000
        assert event.token_supply == 10**15
    else:
        assert (event.reserves.virtual_token, event.reserves.real_token) == (9, 7)
        assert event.reserves.virtual_quote == (6 if kept >= 18 else 8)
    assert event.token_program == (TOKEN_2022 if kept >= 14 else TOKEN_PROGRAM)
    assert event.creator_fee_bps == (5 if kept >= 19 else 0)


def test_creation_priced_in_another_token_takes_the_quotes_reserves() -> None:
    event = decode_create(create_event(virtual_sol=0, quote_mint=USDC_MINT, virtual_quote=4_292_000_000))
    assert event.quote_mint == USDC_MINT
    assert event.reserves.virtual_quote == 4_292_000_000


@pytest.mark.parametrize("cut", [1, 2, 9, 20, 41, 60, 100, 200, 241])
def test_creation_cut_inside_a_field_is_malformed(cut: int) -> None:
    whole = create_event()
    ends = {len(b"".join(create_fields()[:kept])) for kept in range(7, 21)}
    if len(whole) - cut not in ends:
        with pytest.raises(MalformedError):
            decode_create(whole[:-cut])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        create_event()[1:],
        trade_event(),
        create_fields()[0] + b"\xff\xff\xff\xff" + bytes(300),
        create_fields()[0] + b"\2\0\0\0\xff\xfe" + bytes(300),
    ],
)
def test_what_is_no_creation_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_create(payload)


def test_trade_of_today_gives_every_field() -> None:
    event = decode_trade(trade_event(holders=3) + b"more")
    assert (event.mint, event.user, event.is_buy) == (MINT, USER, True)
    assert (event.tokens, event.quote_amount, event.timestamp) == (34_199_203_154_141, 987_654_320, 1_785_715_045)
    assert (event.reserves.virtual_token, event.reserves.real_quote) == (1_038_800_796_845_859, 987_654_320)
    assert (event.protocol_bps, event.protocol_fee, event.creator_bps, event.creator_fee) == (
        95,
        9_382_717,
        30,
        2_962_963,
    )
    assert (event.fee_recipient, event.creator, event.is_volume_tracked, event.instruction) == (USER, USER, True, "buy")
    assert (event.cashback_bps, event.cashback, event.buyback_bps, event.buyback_fee) == (5, 6, 5_000, 4_691_358)
    assert (event.holder_rewards_bps, event.holder_rewards, event.creator_fee_unclaimed) == (7, 8, 9)
    assert event.quote_mint is None


@pytest.mark.parametrize("kept", range(11, 37))
def test_trade_of_an_older_layout_has_defaults_in_its_missing_tail(kept: int) -> None:
    payload = b"".join(trade_fields(quote_amount=11, virtual_quote=12, real_quote=13, holders=2)[:kept])
    event = decode_trade(payload)
    assert event.tokens == 34_199_203_154_141
    assert event.protocol_bps == (95 if kept >= 13 else 0)
    assert event.creator == (USER if kept >= 15 else None)
    assert event.instruction == ("buy" if kept >= 23 else "")
    assert event.buyback_bps == (5_000 if kept >= 27 else 0)
    assert event.quote_amount == (11 if kept >= 33 else 987_654_320)
    assert event.reserves.virtual_quote == (12 if kept >= 33 else 30_987_654_320)
    assert event.creator_fee_unclaimed == (9 if kept >= 36 else 0)
    assert (event.holder_rewards_bps, event.holder_rewards) == (7 if kept >= 34 else 0, 8 if kept >= 35 else 0)


def test_trade_cut_anywhere_is_read_at_field_ends_and_malformed_elsewhere() -> None:
    fields = trade_fields(holders=2)
    whole = b"".join(fields)
    ends = {len(b"".join(fields[:kept])) for kept in range(11, len(fields) + 1)}
    for size in range(len(whole)):
        if size in ends:
            decode_trade(whole[:size])
        else:
            with pytest.raises(MalformedError):
                decode_trade(whole[:size])


@pytest.mark.parametrize("is_buy", [True, False])
def test_summary_of_a_trade_says_the_same_as_the_whole(is_buy: bool) -> None:  # noqa: FBT001 a parameter of the case
    for payload in (
        trade_event(is_buy=is_buy),
        b"".join(trade_fields(is_buy=is_buy)[:11]),
        trade_event(is_buy=is_buy, sol=0, virtual_sol=0, real_sol=0, quote_mint=USDC_MINT, quote_amount=5),
    ):
        summary, event = decode_trade_summary(payload), decode_trade(payload)
        for field in ("mint", "user", "is_buy", "tokens", "quote_amount", "reserves"):
            assert getattr(summary, field) == getattr(event, field)


@pytest.mark.parametrize("payload", [b"", create_event(), trade_event()[:128]])
def test_summary_of_what_is_no_trade_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_trade_summary(payload)


def test_completion_is_read_with_and_without_its_quote() -> None:
    old = COMPLETE + bytes(USER) + bytes(MINT) + bytes(curve_address(MINT)) + i64(5)
    assert decode_complete(old) == decode_complete(old + bytes(32))
    assert decode_complete(old + bytes(USDC_MINT)).quote_mint == USDC_MINT
    assert (decode_complete(old).mint, decode_complete(old).timestamp) == (MINT, 5)
    for bad in (old[:-1], old + b"\0", create_event()):
        with pytest.raises(MalformedError):
            decode_complete(bad)


def test_event_is_told_by_its_discriminator() -> None:
    complete = COMPLETE + bytes(USER) + bytes(MINT) + bytes(curve_address(MINT)) + i64(5)
    assert isinstance(decode_event(create_event()), CreateEvent)
    assert isinstance(decode_event(trade_event()), TradeEvent)
    assert isinstance(decode_event(complete), CompleteEvent)
    assert decode_event(b"\0" * 100) is None
    assert decode_event(b"") is None
