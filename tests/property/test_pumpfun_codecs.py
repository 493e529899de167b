"""Decoders of bytes from outside: a round trip for what is well formed, one documented error for everything else."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from pump_event_bytes import create_event, create_fields, trade_event, trade_fields
from slotzero.errors import MalformedError
from slotzero.solana.base58 import base58_decode
from slotzero.venues.pumpfun import (
    decode_complete,
    decode_create,
    decode_curve,
    decode_event,
    decode_fee_config,
    decode_global,
    decode_trade,
    decode_trade_summary,
)
from slotzero.venues.pumpfun.accounts import CURVE_DISCRIMINATOR, FEE_CONFIG_DISCRIMINATOR, GLOBAL_DISCRIMINATOR
from slotzero.venues.pumpfun.events import COMPLETE_DISCRIMINATOR, CREATE_DISCRIMINATOR, TRADE_DISCRIMINATOR

U64 = st.integers(0, 2**64 - 1)
KEYS = st.binary(min_size=32, max_size=32).map(Pubkey.from_bytes)
DECODERS: list[tuple[Callable[[bytes], object], bytes]] = [
    (decode_create, CREATE_DISCRIMINATOR),
    (decode_trade, TRADE_DISCRIMINATOR),
    (decode_trade_summary, TRADE_DISCRIMINATOR),
    (decode_complete, COMPLETE_DISCRIMINATOR),
    (decode_curve, CURVE_DISCRIMINATOR),
    (decode_global, GLOBAL_DISCRIMINATOR),
    (decode_fee_config, FEE_CONFIG_DISCRIMINATOR),
]


@pytest.mark.parametrize(("decode", "discriminator"), DECODERS)
@given(body=st.binary(max_size=1_200), is_ours=st.booleans())
def test_random_bytes_are_decoded_or_malformed(
    decode: Callable[[bytes], object],
    discriminator: bytes,
    body: bytes,
    is_ours: bool,  # noqa: FBT001 drawn
) -> None:
    with suppress(MalformedError):  # the one documented outcome besides a record
        decode(discriminator + body if is_ours else body)


@given(
    texts=st.tuples(st.text(max_size=40), st.text(max_size=20), st.text(max_size=80)),
    keys=st.tuples(KEYS, KEYS, KEYS, KEYS),
    numbers=st.tuples(U64, U64, U64, U64, U64),
    tail=st.binary(max_size=30),
)
def test_creation_comes_back_as_it_was_written(
    texts: tuple[str, str, str],
    keys: tuple[Pubkey, Pubkey, Pubkey, Pubkey],
    numbers: tuple[int, int, int, int, int],
    tail: bytes,
) -> None:
    name, symbol, uri = texts
    mint, curve, user, creator = keys
    virtual_token, virtual_quote, real_token, bps, sol = numbers
    event = decode_create(
        create_event(
            name=name,
            symbol=symbol,
            uri=uri,
            mint=mint,
            curve=curve,
            user=user,
            creator=creator,
            virtual_token=virtual_token,
            virtual_sol=sol,
            virtual_quote=virtual_quote,
            real_token=real_token,
            creator_fee_bps=bps,
        )
        + tail
    )
    assert (event.name, event.symbol, event.uri) == texts
    assert (event.mint, event.pool, event.user, event.creator) == keys
    assert (event.reserves.virtual_token, event.reserves.virtual_quote) == (virtual_token, virtual_quote)
    assert (event.reserves.real_token, event.creator_fee_bps) == (real_token, bps)


@given(
    keys=st.tuples(KEYS, KEYS),
    numbers=st.tuples(U64, U64, U64, U64, U64, U64),
    is_buy=st.booleans(),
    holders=st.integers(0, 12),
    tail=st.binary(max_size=30),
)
def test_trade_comes_back_as_it_was_written(
    keys: tuple[Pubkey, Pubkey],
    numbers: tuple[int, int, int, int, int, int],
    is_buy: bool,  # noqa: FBT001 drawn
    holders: int,
    tail: bytes,
) -> None:
    sol, tokens, virtual_sol, virtual_token, real_sol, real_token = numbers
    payload = trade_event(
        mint=keys[0],
        user=keys[1],
        is_buy=is_buy,
        sol=sol,
        tokens=tokens,
        virtual_sol=virtual_sol,
        virtual_token=virtual_token,
        real_sol=real_sol,
        real_token=real_token,
        quote_amount=sol,
        virtual_quote=virtual_sol,
        real_quote=real_sol,
        holders=holders,
    )
    event, summary = decode_trade(payload + tail), decode_trade_summary(payload + tail)
    for said in (event, summary):
        assert (said.mint, said.user, said.is_buy) == (*keys, is_buy)
        assert (said.quote_amount, said.tokens) == (sol, tokens)
        assert (said.reserves.virtual_quote, said.reserves.virtual_token) == (virtual_sol, virtual_token)
        assert (said.reserves.real_quote, said.reserves.real_token) == (real_sol, real_token)
    assert event.creator_fee_unclaimed == 9


@given(size=st.integers(0, 400))
@example(size=129)
def test_event_that_is_cut_is_an_older_layout_or_malformed(size: int) -> None:
    for fields, least in ((create_fields(), 7), (trade_fields(), 11)):
        whole = b"".join(fields)
        ends = {len(b"".join(fields[:kept])) for kept in range(least, len(fields) + 1)}
        cut = whole[:size]
        if len(cut) in ends:
            assert decode_event(cut) is not None
        elif len(cut) >= 8:
            with pytest.raises(MalformedError):
                decode_event(cut)
        else:
            assert decode_event(cut) is None


@given(data=st.binary(max_size=200))
def test_base58_comes_back(data: bytes) -> None:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit] + text
    zeros = len(data) - len(data.lstrip(b"\0"))
    assert base58_decode("1" * zeros + text, 400) == data
