"""Account decoders on bytes written field by field; captured accounts are in the integration tests."""

import struct

import pytest
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.venues.pumpfun import decode_curve, decode_fee_config, decode_global
from slotzero.venues.pumpfun.accounts import CURVE_DISCRIMINATOR, FEE_CONFIG_DISCRIMINATOR, GLOBAL_DISCRIMINATOR

CREATOR = Pubkey.from_string("9UZj4g2A6o2nSRBNhvgomWrR9i1ZAA6xSBBHnaFEFxfe")
QUOTE = Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
HEAD = CURVE_DISCRIMINATOR + struct.pack("<5Q", 1, 2, 3, 4, 5)
CURVE = HEAD + b"\1" + bytes(CREATOR) + b"\1\1" + bytes(QUOTE) + struct.pack("<Q", 250) + b"\1\1"


def test_curve_of_today_gives_every_field() -> None:
    curve = decode_curve(CURVE + bytes(16))  # accounts are larger than their fields
    assert (curve.reserves.virtual_token, curve.reserves.virtual_quote) == (1, 2)
    assert (curve.reserves.real_token, curve.reserves.real_quote, curve.token_supply) == (3, 4, 5)
    assert (curve.creator, curve.quote_mint, curve.creator_fee_bps) == (CREATOR, QUOTE, 250)
    assert curve.is_complete
    assert curve.is_mayhem
    assert curve.is_cashback
    assert curve.can_edit_creator_fee
    assert curve.is_holder_reward


@pytest.mark.parametrize("size", [49, 81, 82, 83, 115, 123, 124, 125])
def test_curve_of_an_older_layout_has_defaults_in_its_missing_tail(size: int) -> None:
    curve = decode_curve(CURVE[:size])
    assert curve.is_complete
    assert curve.creator == (CREATOR if size >= 81 else None)
    assert curve.is_mayhem is (size >= 82)
    assert curve.is_cashback is (size >= 83)
    assert curve.quote_mint == (QUOTE if size >= 115 else None)
    assert curve.creator_fee_bps == (250 if size >= 123 else 0)
    assert curve.is_holder_reward is (size >= 125)


@pytest.mark.parametrize("size", [0, 7, 8, 48, 50, 80, 84, 114, 122])
def test_curve_cut_inside_a_field_is_malformed(size: int) -> None:
    with pytest.raises(MalformedError):
        decode_curve(CURVE[:size])


@pytest.mark.parametrize("decode", [decode_curve, decode_global, decode_fee_config])
def test_account_of_another_kind_is_malformed(decode: object) -> None:
    assert callable(decode)
    with pytest.raises(MalformedError, match="begins with"):
        decode(bytes(2000))


def test_global_skips_empty_slots_and_defaults_what_is_missing() -> None:
    data = bytearray(1087)
    data[:8] = GLOBAL_DISCRIMINATOR
    data[41:73] = bytes(CREATOR)
    data[162 + 64 : 162 + 96] = bytes(QUOTE)
    struct.pack_into("<5Q", data, 73, 10, 20, 30, 40, 95)
    settings = decode_global(bytes(data))
    assert settings.fee_recipients == (CREATOR, QUOTE)
    assert settings.buyback_fee_recipients == ()
    assert (settings.initial_reserves.virtual_token, settings.initial_reserves.virtual_quote) == (10, 20)
    assert (settings.token_supply, settings.protocol_bps) == (40, 95)
    old = decode_global(bytes(data[:113]))
    assert old.fee_recipients == (CREATOR,)
    assert old.protocol_bps == 95
    with pytest.raises(MalformedError, match="ends inside a field"):
        decode_global(bytes(data[:114]))


def fee_config(*, tiers: int = 2, stable: int = 1, has_exotic: bool = True) -> bytes:
    def row(number: int) -> bytes:
        return struct.pack("<3Q", number, number + 1, number + 2)

    def rows(count: int) -> bytes:
        return struct.pack("<I", count) + b"".join(
            (1000 * n).to_bytes(16, "little") + row(10 * n) for n in range(count)
        )

    head = FEE_CONFIG_DISCRIMINATOR + bytes(33) + row(500)
    return head + rows(tiers) + rows(stable) + (row(900) if has_exotic else b"")


def test_fee_config_gives_its_tiers_in_order() -> None:
    config = decode_fee_config(fee_config() + bytes(7))
    assert config.flat.protocol_bps == 501
    assert [(t.market_cap_at_least, t.fees.creator_bps) for t in config.tiers] == [(0, 2), (1000, 12)]
    assert len(config.stable_tiers) == 1
    assert config.exotic.lp_bps == 900


def test_fee_config_without_its_tail_uses_the_flat_row() -> None:
    assert decode_fee_config(fee_config(has_exotic=False)).exotic.lp_bps == 500
    assert decode_fee_config(fee_config()[:65]).tiers == ()


@pytest.mark.parametrize("size", [8, 64, 66, 68, 100, 148, 152, 170])
def test_fee_config_cut_inside_a_field_is_malformed(size: int) -> None:
    with pytest.raises(MalformedError):
        decode_fee_config(fee_config()[:size])


def test_fee_config_that_claims_a_billion_tiers_is_malformed() -> None:
    with pytest.raises(MalformedError, match="tiers"):
        decode_fee_config(fee_config(tiers=0)[:65] + b"\xff\xff\xff\x7f")
