"""The coins and rivals of a load scenario, on a chain of their own."""

from collections.abc import Callable

from solders.pubkey import Pubkey

from slotzero.localnet.chain import Chain, Landed
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, associated_token_address
from slotzero.solana.token import parse_token_account
from slotzero.units import BPS
from slotzero.venues.pumpfun import curve_address, decode_curve
from slotzero.venues.records import Reserves
from slotzero.workloads.snipe_scenarios.coins import Coin, CoinMaker, accounts_of_mint


def land(chain: Chain, raw: bytes) -> None:
    landed = chain.submit(raw)
    assert isinstance(landed, Landed)
    assert landed.record.err is None


def create(chain: Chain, maker: CoinMaker) -> Coin:
    coin, creation = maker.next_coin(chain.block.blockhash)
    land(chain, creation)
    return coin


def reserves(chain: Chain, mint: Pubkey) -> Reserves:
    account = chain.account(curve_address(mint))
    assert account is not None
    return decode_curve(account.data).reserves


def price_change_bps(chain: Chain, coin: Coin, before: Reserves) -> int:
    after = reserves(chain, coin.mint)
    return (after.virtual_quote * before.virtual_token * BPS) // (after.virtual_token * before.virtual_quote) - BPS


def test_every_second_coin_climbs_and_all_have_mints_of_their_own(chain: Chain, maker: CoinMaker) -> None:
    coins = [create(chain, maker) for _ in range(4)]
    assert [coin.climbs for coin in coins] == [True, False, True, False]
    assert len({coin.mint for coin in coins}) == 4


def test_three_rivals_move_the_price_by_less_than_a_take_profit_and_a_large_buy_by_more(
    chain: Chain, maker: CoinMaker
) -> None:
    coin = create(chain, maker)
    launched = reserves(chain, coin.mint)
    for place in range(3):
        land(chain, maker.rival_buy(coin, place, chain.block.blockhash))
    assert 0 < price_change_bps(chain, coin, launched) < 300
    before = reserves(chain, coin.mint)
    land(chain, maker.rival_buy(coin, 3, chain.block.blockhash, is_large=True))
    assert 4_000 < price_change_bps(chain, coin, before) < 7_000


def test_a_large_buy_lands_behind_all_small_ones_of_a_position(chain: Chain, maker: CoinMaker) -> None:
    coin = create(chain, maker)
    for place in (1, 2, 4):
        land(chain, maker.rival_buy(coin, place, chain.block.blockhash))
    land(chain, maker.rival_buy(coin, 0, chain.block.blockhash, is_large=True))


def test_no_coin_climbs_when_none_is_wanted(chain: Chain, maker_of: Callable[[int], CoinMaker]) -> None:
    maker = maker_of(0)
    assert not any(maker.next_coin(chain.block.blockhash)[0].climbs for _ in range(3))


def test_a_rival_holds_what_it_bought_at_an_address_of_its_own_and_a_seed(chain: Chain, maker: CoinMaker) -> None:
    coin = create(chain, maker)
    land(chain, maker.rival_buy(coin, 0, chain.block.blockhash))
    (tokens,) = set(maker.accounts_of(coin, 1)) - set(accounts_of_mint(coin.mint))
    account = chain.account(tokens)
    assert account is not None
    held = parse_token_account(account.data, account.owner)
    assert held.mint == coin.mint
    assert held.amount > 0
    assert tokens != associated_token_address(held.owner, coin.mint, TOKEN_2022_PROGRAM)
