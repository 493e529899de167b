"""The launcher's keys and what they sign."""

import pytest
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from slotzero.localnet.launcher.actors import Actors, freeze_account, mint_signer, signed
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.venues.pumpfun import create_v2


def test_wallets_follow_from_the_seed_and_none_is_another() -> None:
    actors, again, others = Actors(7), Actors(7), Actors(8)
    assert actors.addresses == again.addresses
    assert not actors.addresses & others.addresses
    assert len(actors.addresses) == len(actors.creators) + len(actors.rivals)
    assert mint_signer(7, 1).pubkey != mint_signer(7, 2).pubkey
    assert mint_signer(7, 1).pubkey != mint_signer(8, 1).pubkey


def test_all_signers_sign_in_the_order_of_the_message() -> None:
    payer = Actors(7).creators[0].signer
    for index in range(8):
        mint = mint_signer(7, index)
        instruction = create_v2(
            user=payer.pubkey, mint=mint.pubkey, creator=payer.pubkey, name="Coin", symbol="C", uri=""
        )
        transaction = VersionedTransaction.from_bytes(signed([instruction], Hash.default(), payer, mint))
        assert transaction.verify_with_results() == [True, True]
        assert transaction.message.account_keys[0] == payer.pubkey


def test_oversized_transaction_is_refused() -> None:
    payer = Actors(7).creators[0].signer
    instruction = freeze_account(Pubkey.default(), Pubkey.default(), payer.pubkey, TOKEN_2022_PROGRAM)
    with pytest.raises(ValueError, match="does not fit into 1232"):
        signed([instruction] * 200, Hash.default(), payer)


def test_no_key_is_shown() -> None:
    signer = mint_signer(7, 0)
    assert "redacted" in repr(signer._secret)
