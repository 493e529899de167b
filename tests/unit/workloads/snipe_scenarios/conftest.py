"""A chain of a scenario's own, and who makes its coins."""

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
def maker(chain: Chain) -> CoinMaker:
    venue, fees = chain.account(GLOBAL), chain.account(FEE_CONFIG)
    assert venue is not None
    assert fees is not None
    maker = CoinMaker(
        5,
        decode_global(venue.data),
        decode_fee_config(fees.data),
        token_rent=chain.svm.rent_exempt_minimum(TOKEN_ACCOUNT_BYTES),
        climb_every=2,
    )
    for wallet in maker.wallets:
        chain.set_account(wallet, Account(10**15, b"", SYSTEM_PROGRAM))
    return maker
