"""The registry of venues."""

import base64

from pump_event_bytes import MINT, create_event, trade_event
from slotzero.venues.pumpfun import EVENT_AUTHORITY, PUMP_PROGRAM, curve_address
from slotzero.venues.registry import PUMPFUN, VENUES


def test_every_venue_stands_under_its_name() -> None:
    assert all(name == venue.name for name, venue in VENUES.items())
    assert VENUES["pumpfun"] is PUMPFUN


def test_pumpfun_decodes_its_events_and_derives_its_pools() -> None:
    assert PUMPFUN.program == PUMP_PROGRAM
    assert PUMPFUN.event_authority == EVENT_AUTHORITY
    creation = PUMPFUN.decode_creation(create_event())
    assert creation.pool == PUMPFUN.pool_address(MINT) == curve_address(MINT)
    assert PUMPFUN.decode_trade(trade_event()).mint == creation.mint
    assert base64.b64encode(create_event()).startswith(base64.b64encode(PUMPFUN.creation_event)[:10])
