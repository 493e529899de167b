"""The shelf of emergency sells: what lies there, how long it is good, and that no two are the same bytes."""

from slotzero.solana.transaction import RecentBlockhash, unit_limit_of
from slotzero.trading.emergency_shelf import EmergencyShelf
from slotzero.trading.fee_policy import FeeChoice, FeePolicy, FeeRequest, FeeRules
from slotzero.units import BlockHeight, ComputeUnits, Lamports, MonoNs, TokenAmount
from trading_lab import BLOCKHASH, SIGNER, pump_pool, pump_trader, trade_in

POOL = pump_pool()
MARKET = pump_trader().market(POOL)
HELD = TokenAmount(1_000)
FRESH = RecentBlockhash(hash=BLOCKHASH.hash, last_valid_block_height=BlockHeight(150))


def fees() -> FeeChoice:
    request = FeeRequest(
        venue="pumpfun",
        kind="sell",
        purpose="emergency",
        hot_accounts=(),
        stake_lamports=Lamports(100_000_000),
    )
    choice = FeePolicy(FeeRules(), {("pumpfun", "sell"): ComputeUnits(100_000)}).choose(request, MonoNs(0))
    assert isinstance(choice, FeeChoice)
    return choice


def laid(held: int = HELD, *, salt: int = 0) -> EmergencyShelf:
    shelf = EmergencyShelf(SIGNER, MARKET)
    shelf.lay(TokenAmount(held), blockhash=FRESH, fees=fees(), salt=salt)
    return shelf


def test_all_a_half_and_a_quarter_lie_there_at_any_price_and_close_nothing() -> None:
    shelf = laid()
    for tokens in (1_000, 500, 250):
        ready = shelf.take(tokens, BlockHeight(0))
        assert ready is not None
        trade = trade_in(ready.signed.raw)
        assert (trade.side, trade.tokens, trade.limit, trade.closes) == ("sell", tokens, 0, False)
        assert ready.tokens == tokens


def test_a_sell_is_taken_once() -> None:
    shelf = laid()
    assert shelf.take(1_000, BlockHeight(0)) is not None
    assert shelf.take(1_000, BlockHeight(0)) is None


def test_another_amount_is_not_there() -> None:
    assert laid().take(999, BlockHeight(0)) is None


def test_what_can_no_longer_land_is_not_given_out() -> None:
    assert laid().take(1_000, BlockHeight(149)) is not None
    assert laid().take(1_000, BlockHeight(150)) is None


def test_it_is_good_while_enough_blocks_are_left_and_it_fits_what_is_held() -> None:
    shelf = laid()
    assert shelf.is_good(HELD, BlockHeight(50))
    assert not shelf.is_good(HELD, BlockHeight(51))
    assert not shelf.is_good(HELD - 1, BlockHeight(0))
    assert not EmergencyShelf(SIGNER, MARKET).is_good(0, BlockHeight(0))


def test_no_two_sells_are_the_same_bytes_over_a_new_laying_within_one_blockhash() -> None:
    raws = []
    for salt in (0, 3, 6):
        shelf = laid(salt=salt)
        raws += [ready.signed.raw for tokens in (1_000, 500, 250) if (ready := shelf.take(tokens, BlockHeight(0)))]
    assert len(set(raws)) == 9
    assert len({unit_limit_of(raw) for raw in raws}) == 9


def test_shares_of_almost_nothing_are_left_out() -> None:
    shelf = laid(held=1)
    assert shelf.take(1, BlockHeight(0)) is not None
    assert shelf.take(0, BlockHeight(0)) is None
