"""One trader for each venue and wallet, all configured alike."""

import pytest

from slotzero.errors import MalformedError
from slotzero.localnet import genesis
from slotzero.trading.traders import Traders
from slotzero.units import Lamports, TokenAmount
from slotzero.venues.market import PoolState
from slotzero.venues.pumpfun import FEE_CONFIG, GLOBAL, creator_vault_address
from slotzero.venues.records import PoolTerms
from slotzero.venues.registry import PUMPFUN
from trading_lab import key, pump_pool

FIRST, SECOND, STRANGER = key(1), key(2), key(3)


def configured() -> Traders:
    traders, born = Traders([PUMPFUN], [FIRST, SECOND]), genesis.derive(1)
    traders.configure("pumpfun", [genesis.global_data(born), genesis.fee_config_data(born)])
    return traders


def test_accounts_to_keep_warm_are_the_venues() -> None:
    assert set(configured().config_accounts("pumpfun")) == {GLOBAL, FEE_CONFIG}


@pytest.mark.parametrize("wallet", [FIRST, SECOND, STRANGER])
def test_market_is_its_wallets_and_quotes_alike_for_all(wallet: object) -> None:
    traders, pool = configured(), pump_pool()
    ours, firsts = traders.market(pool, wallet), traders.market(pool)  # type: ignore[arg-type]
    (trade,) = ours.buy(TokenAmount(1_000), Lamports(10))[-1:]
    assert wallet in [meta.pubkey for meta in trade.accounts]
    assert ours.quote_buy(pool.reserves, TokenAmount(10**9)) == firsts.quote_buy(pool.reserves, TokenAmount(10**9))
    assert (ours.user_tokens == firsts.user_tokens) == (wallet == FIRST)


def test_settings_that_cannot_be_read_change_nobody() -> None:
    traders, pool = configured(), pump_pool()
    before = [traders.market(pool, wallet).quote_buy(pool.reserves, TokenAmount(10**9)) for wallet in (FIRST, SECOND)]
    with pytest.raises(MalformedError):
        traders.configure("pumpfun", [b"garbage", None])
    after = [traders.market(pool, wallet).quote_buy(pool.reserves, TokenAmount(10**9)) for wallet in (FIRST, SECOND)]
    assert before == after


@pytest.mark.parametrize("wallet", [FIRST, SECOND, STRANGER])
def test_market_of_any_wallet_is_fitted_to_the_pools_terms_and_the_newest_settings(wallet: object) -> None:
    traders, pool = configured(), pump_pool()
    market = traders.market(pool, wallet)  # type: ignore[arg-type]
    terms = PoolTerms(creator=key(7), creator_fee_bps=0)
    state = PoolState(reserves=pool.reserves, is_complete=False, terms=terms)
    fitting = market.fitting(state)
    assert fitting.topped_up == (creator_vault_address(key(7)),)
    assert (fitting.user_tokens, fitting.deposits) == (market.user_tokens, market.deposits)
    born, others = genesis.derive(1), genesis.derive(2)
    traders.configure("pumpfun", [genesis.global_data(others), genesis.fee_config_data(born)])
    named = {meta.pubkey for meta in fitting.fitting(state).buy(TokenAmount(1), Lamports(10))[-1].accounts}
    assert named & {*others.fee_recipients}
    assert named & {*others.buyback_recipients}
    assert wallet in named
