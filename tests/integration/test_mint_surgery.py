"""What the surgeon writes, the real Token-2022 program must accept and enforce."""

import pytest
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.localnet.mint_surgery import (
    account_with_transfer_fee_amount,
    mint_with_freeze_authority,
    mint_with_transfer_fee,
)
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM, associated_token_address
from slotzero.solana.token import AccountState, TokenAccount, TransferFeeAmount, parse_token_account
from token_lab import (
    CLOSE_AUTHORITY,
    DEFAULT_OPEN,
    PERMANENT_DELEGATE,
    ROBBER,
    TokenLab,
    key,
    transfer_fee,
)

NAMES = ("Coin", "C", "https://example.org/coin.json")
BUYER, OTHER = key(10), key(11)


@pytest.fixture
def lab() -> TokenLab:
    return TokenLab()


def held(lab: TokenLab, owner: Pubkey, mint: Pubkey) -> TokenAccount:
    at = associated_token_address(owner, mint, TOKEN_2022_PROGRAM)
    return parse_token_account(lab.data(at), TOKEN_2022_PROGRAM)


def withheld(account: TokenAccount) -> int:
    amount = account.extension(TransferFeeAmount)
    assert amount is not None
    return amount.withheld


def tax(lab: TokenLab, mint: Pubkey, bps: int) -> None:
    lab.rewrite(mint, mint_with_transfer_fee(lab.data(mint), ROBBER, transfer_fee_bps=bps))


@pytest.mark.parametrize("names", [NAMES, None], ids=["with metadata", "82 bytes"])
def test_added_freeze_authority_freezes_for_real(lab: TokenLab, names: tuple[str, str, str] | None) -> None:
    mint = lab.mint(names=names)
    lab.open_account(BUYER, mint)
    lab.run(lab.moving(mint, lab.market, BUYER, 1000))
    assert lab.try_run(lab.freezing(mint, BUYER, ROBBER)) is not None

    lab.rewrite(mint, mint_with_freeze_authority(lab.data(mint), TOKEN_2022_PROGRAM, ROBBER))
    lab.run(lab.moving(mint, BUYER, lab.market, 1))
    lab.run(lab.freezing(mint, BUYER, ROBBER))

    assert held(lab, BUYER, mint).state is AccountState.FROZEN
    error = lab.try_run(lab.moving(mint, BUYER, lab.market, 1))
    assert error is not None
    assert "Account is frozen" in error


@pytest.mark.parametrize("names", [NAMES, None], ids=["with metadata", "82 bytes"])
def test_added_transfer_fee_withholds_for_real_in_both_directions(
    lab: TokenLab, names: tuple[str, str, str] | None
) -> None:
    mint = lab.mint(names=names)
    vault = associated_token_address(lab.market, mint, TOKEN_2022_PROGRAM)
    tax(lab, mint, 9000)
    born_after = lab.open_account(BUYER, mint)

    lab.run(lab.moving(mint, lab.market, BUYER, 1000))
    assert held(lab, BUYER, mint).amount == 100
    assert withheld(held(lab, BUYER, mint)) == 900

    assert lab.try_run(lab.moving(mint, BUYER, lab.market, 100)) is not None  # the vault is older than the fee
    lab.rewrite(vault, account_with_transfer_fee_amount(lab.data(vault)))
    lab.run(lab.moving(mint, BUYER, lab.market, 100))
    assert held(lab, BUYER, mint).amount == 0
    assert withheld(held(lab, lab.market, mint)) == 90
    assert len(lab.data(vault)) == len(lab.data(born_after))


def test_fee_added_by_surgery_has_the_layout_of_one_made_by_instruction(lab: TokenLab) -> None:
    made = lab.mint(transfer_fee(9000))
    rewritten = lab.mint()
    tax(lab, rewritten, 9000)
    assert lab.data(rewritten) == lab.data(made)


def test_length_of_a_multisig_is_avoided_as_the_program_does(lab: TokenLab) -> None:
    recipes = (PERMANENT_DELEGATE, CLOSE_AUTHORITY, DEFAULT_OPEN)
    made = lab.mint(*recipes, transfer_fee(100), freeze_authority=ROBBER)
    rewritten = lab.mint(*recipes, freeze_authority=ROBBER)
    assert len(lab.data(rewritten)) == 243
    tax(lab, rewritten, 100)
    assert len(lab.data(rewritten)) == len(lab.data(made)) == 357
    lab.open_account(BUYER, rewritten)
    lab.run(lab.moving(rewritten, lab.market, BUYER, 1000))
    assert held(lab, BUYER, rewritten).amount == 990


def test_plain_165_byte_account_can_receive_after_surgery(lab: TokenLab) -> None:
    mint = lab.mint()
    at = lab.open_account(BUYER, mint)
    plain = lab.data(at)[:165]
    tax(lab, mint, 2500)
    lab.rewrite(at, account_with_transfer_fee_amount(plain))
    lab.run(lab.moving(mint, lab.market, BUYER, 1000))
    assert (held(lab, BUYER, mint).amount, withheld(held(lab, BUYER, mint))) == (750, 250)


def test_freeze_authority_and_fee_together_both_hold(lab: TokenLab) -> None:
    mint = lab.mint(names=NAMES)
    tax(lab, mint, 1000)
    lab.rewrite(mint, mint_with_freeze_authority(lab.data(mint), TOKEN_2022_PROGRAM, ROBBER))
    lab.open_account(BUYER, mint)
    lab.open_account(OTHER, mint)
    lab.run(lab.moving(mint, lab.market, BUYER, 1000))
    lab.run(lab.moving(mint, BUYER, OTHER, 900))
    lab.run(lab.freezing(mint, OTHER, ROBBER))
    assert held(lab, OTHER, mint).amount == 810
    assert held(lab, OTHER, mint).state is AccountState.FROZEN


def test_classic_mint_takes_a_freeze_authority_and_no_fee(lab: TokenLab) -> None:
    mint = lab.mint(program=TOKEN_PROGRAM)
    data = lab.data(mint)
    assert mint_with_freeze_authority(data, TOKEN_PROGRAM, ROBBER)[46:50] == b"\1\0\0\0"
    extended = mint_with_transfer_fee(data, ROBBER, transfer_fee_bps=1)
    with pytest.raises(MalformedError):
        mint_with_freeze_authority(extended, TOKEN_PROGRAM, ROBBER)


@pytest.mark.parametrize("bps", [-1, 10_001])
def test_fee_out_of_range_is_a_bug(lab: TokenLab, bps: int) -> None:
    with pytest.raises(ValueError, match="0 to 10000"):
        mint_with_transfer_fee(lab.data(lab.mint()), ROBBER, transfer_fee_bps=bps)


def test_second_fee_is_a_bug(lab: TokenLab) -> None:
    with pytest.raises(ValueError, match="must not have a transfer fee yet"):
        mint_with_transfer_fee(lab.data(lab.mint(transfer_fee(5))), ROBBER, transfer_fee_bps=5)
