from pathlib import Path

import pytest
from msgspec import structs
from solders.pubkey import Pubkey

from pump_captures import account_document
from slotzero.localnet import genesis
from slotzero.solana.addresses import WSOL_MINT
from slotzero.solana.svm import Svm
from slotzero.venues.pumpfun import GLOBAL, PUMP_PROGRAM, decode_fee_config, decode_global

# What differs from mainnet on purpose: whose keys they are, and what the program cannot create.
OUR_OWN = {
    "authority",
    "fee_recipients",
    "reserved_fee_recipients",
    "buyback_fee_recipients",
    "is_mayhem_enabled",
    "is_cashback_enabled",
}


def data_at(svm: Svm, address: Pubkey) -> bytes:
    account = svm.get_account(address)
    assert account is not None
    return account.data


def test_same_seed_gives_the_same_chain_and_another_seed_another() -> None:
    assert genesis.derive(7) == genesis.derive(7)
    assert genesis.derive(7).faucet.pubkey() != genesis.derive(8).faucet.pubkey()


def test_everybody_has_a_key_of_their_own() -> None:
    who = genesis.derive(1)
    keys = [
        who.faucet.pubkey(),
        who.authority,
        *who.fee_recipients,
        *who.reserved_fee_recipients,
        *who.buyback_recipients,
    ]
    assert len(set(keys)) == len(keys) == 26


def test_install_places_the_program_and_every_account() -> None:
    svm = Svm()
    who = genesis.install(svm, 3)
    assert who == genesis.derive(3)
    program = svm.get_account(PUMP_PROGRAM)
    assert program is not None
    assert program.executable
    for address, account in genesis.genesis_accounts(who, svm.rent_exempt_minimum):
        assert svm.get_account(address) == account
    settings = decode_global(data_at(svm, GLOBAL))
    assert settings.fee_recipients == who.fee_recipients
    assert settings.reserved_fee_recipients == who.reserved_fee_recipients
    assert settings.buyback_fee_recipients == who.buyback_recipients
    faucet = svm.get_account(who.faucet.pubkey())
    assert faucet is not None
    assert faucet.lamports == genesis.FAUCET_LAMPORTS


def test_every_account_holds_the_rent_it_needs() -> None:
    svm = Svm()
    for address, account in genesis.genesis_accounts(genesis.derive(1), svm.rent_exempt_minimum):
        assert account.lamports >= svm.rent_exempt_minimum(len(account.data)), address


def test_settings_accounts_have_mainnets_sizes() -> None:
    assert len(genesis.global_data(genesis.derive(1))) == 1088
    assert len(genesis.fee_config_data(genesis.derive(1))) == 4097


@pytest.mark.fixtures
def test_global_says_what_mainnets_says(mainnet_fixtures: Path) -> None:
    real = account_document(mainnet_fixtures / "accounts/pumpfun/global.2026-10-10.json")
    ours = genesis.global_data(genesis.derive(1))
    assert len(ours) == len(real)
    theirs = structs.asdict(decode_global(real))
    differences = {name for name, value in structs.asdict(decode_global(ours)).items() if value != theirs[name]}
    assert differences == OUR_OWN
    assert ours[1005:1046] == real[1005:1046]  # the second quote's start and mint, which nothing here decodes
    assert ours[145] == real[145]
    assert ours[1087] == real[1087]


@pytest.mark.fixtures
def test_fee_config_says_what_mainnets_says(mainnet_fixtures: Path) -> None:
    real = account_document(mainnet_fixtures / "accounts/pump_fees/fee_config_pump.2026-10-10.json")
    ours = genesis.fee_config_data(genesis.derive(1))
    assert decode_fee_config(ours) == decode_fee_config(real)
    assert (ours[:9], ours[41:]) == (real[:9], real[41:])  # all but the administrator


@pytest.mark.fixtures
def test_wsol_mint_is_mainnets(mainnet_fixtures: Path) -> None:
    svm = Svm()
    genesis.install(svm, 1)
    assert data_at(svm, WSOL_MINT) == account_document(mainnet_fixtures / "accounts/spl/wsol_mint.json")
