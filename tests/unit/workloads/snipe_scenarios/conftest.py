"""A chain of a scenario's own, and who makes its coins."""

from collections.abc import Callable

import pytest
from solders.account import Account

from slotzero.localnet.chain import Chain, ChainConfig
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.venues.pumpfun import FEE_CONFIG, GLOBAL, decode_fee_config, decode_global
from slotzero.workloads.snipe_scenarios.coins import TOKEN_ACCOUNT_BYTES, CoinMaker


@pytest.fixture
def chain() -> Chain:
    return Chain(ChainConfig(slot_ms=60_000))


@pytest.fixture
def maker_of(chain: Chain) -> Callable[[int], CoinMaker]:
    """Return who makes coins of which one in so many climbs."""
    venue, fees = chain.account(GLOBAL), chain.account(FEE_CONFIG)
    assert venue is not None
    assert fees is not None
    rent = chain.svm.rent_exempt_minimum(TOKEN_ACCOUNT_BYTES)
    settings = decode_global(venue.data), decode_fee_config(fees.data)
    return lambda climb_every: CoinMaker(5, *settings, token_rent=rent, climb_every=climb_every)


@pytest.fixture
def maker(chain: Chain, maker_of: Callable[[int], CoinMaker]) -> CoinMaker:
    maker = maker_of(2)
    for wallet in maker.wallets:
        chain.set_account(wallet, Account(10**15, b"", SYSTEM_PROGRAM))
    return maker
