"""From a stream's update to the fee market: whose prices count, and for what."""

from solders.pubkey import Pubkey

from slotzero.detection.landed_prices import LandedPrice
from slotzero.engine.price_feed import PriceFeed
from slotzero.errors import MalformedError
from slotzero.trading.fee_policy import FeeMarket
from slotzero.units import MicroLamportsPerCu, Slot
from slotzero.venues.registry import PUMPFUN
from trading_lab import SIGNER, key

CURVE, STRANGER = key(1), key(2)
PROGRAM = bytes(PUMPFUN.program)


def fed(*updates: LandedPrice | None) -> tuple[FeeMarket, PriceFeed]:
    """A market that follows the curve, told of `updates`; None is one that cannot be read."""
    left = list(updates)

    def read(_: bytes) -> LandedPrice:
        if (landed := left.pop(0)) is None:
            raise MalformedError("no Geyser update")
        return landed

    market = FeeMarket(span_slots=150, min_samples=1)
    market.follow([CURVE])
    feed = PriceFeed(market, venues=[PUMPFUN], ours=[SIGNER.pubkey], read=read)
    for _ in updates:
        feed.on_update(b"update")
    return market, feed


def landed(price: int, *, payer: Pubkey = STRANGER, program: bytes = PROGRAM) -> LandedPrice:
    return LandedPrice(
        slot=Slot(5),
        price=MicroLamportsPerCu(price),
        payer=bytes(payer),
        accounts=(bytes(payer), bytes(CURVE), program),
        written=(bytes(payer), bytes(CURVE)),
    )


def test_strangers_price_counts_for_the_venue_and_the_followed_curve() -> None:
    market, _ = fed(landed(7), landed(9))
    assert market.landed_at("pumpfun", 100) == (9, 2)
    assert market.landed((CURVE,), 100) == (9, 2)


def test_our_own_price_and_that_of_another_program_count_for_nothing() -> None:
    market, _ = fed(landed(7, payer=SIGNER.pubkey), landed(9, program=bytes(key(9))))
    assert market.landed_at("pumpfun", 100) is None
    assert market.landed((CURVE,), 100) is None


def test_update_that_cannot_be_read_is_counted_and_the_next_is_taken() -> None:
    market, feed = fed(None, landed(7))
    assert feed.malformed == 1
    assert market.landed_at("pumpfun", 50) == (7, 1)
