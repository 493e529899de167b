"""Instruction builders: data, shapes and choices; addresses and flags are compared with the chain's elsewhere."""

import struct

import pytest
from solders.keypair import Keypair

from slotzero.solana.addresses import ATA_PROGRAM, TOKEN_PROGRAM, associated_token_address
from slotzero.venues.pumpfun import (
    PUMP_PROGRAM,
    Global,
    TradeAccounts,
    buy,
    buy_exact_sol_in,
    create_associated_token_account,
    create_v2,
    curve_address,
    fee_recipients,
    sell,
    trade_accounts,
    user_volume_accumulator_address,
    wallet_accounts,
)
from slotzero.venues.records import Reserves

KEYS = [Keypair.from_seed(bytes([n]) * 32).pubkey() for n in range(1, 9)]
USER, MINT, CREATOR, FEE, BUYBACK = KEYS[:5]


def accounts(*, is_cashback: bool = False) -> TradeAccounts:
    return trade_accounts(
        wallet_accounts(USER),
        mint=MINT,
        creator=CREATOR,
        fee_recipient=FEE,
        buyback_recipient=BUYBACK,
        is_cashback=is_cashback,
    )


def test_buy_carries_amount_limit_and_tracking() -> None:
    instruction = buy(accounts(), 7, 9)
    assert instruction.program_id == PUMP_PROGRAM
    assert bytes(instruction.data) == bytes.fromhex("66063d1201daebea") + struct.pack("<QQ", 7, 9) + b"\0"
    assert bytes(buy(accounts(), 7, 9, is_volume_tracked=True).data)[-1:] == b"\1"
    assert len(instruction.accounts) == 18


def test_buy_exact_in_differs_from_buy_in_its_data_alone() -> None:
    instruction = buy_exact_sol_in(accounts(), 7, 9)
    assert bytes(instruction.data) == bytes.fromhex("38fc74089edfcd5f") + struct.pack("<QQ", 7, 9) + b"\0"
    assert instruction.accounts == buy(accounts(), 7, 9).accounts


def test_sell_of_a_cashback_coin_carries_the_volume_accumulator_before_the_pair() -> None:
    plain, cashback = sell(accounts(), 7, 9), sell(accounts(is_cashback=True), 7, 9)
    assert bytes(plain.data) == bytes.fromhex("33e685a4017f83ad") + struct.pack("<QQ", 7, 9)
    assert (len(plain.accounts), len(cashback.accounts)) == (16, 17)
    assert cashback.accounts[14].pubkey == user_volume_accumulator_address(USER)
    assert cashback.accounts[14].is_writable
    assert cashback.accounts[:14] + cashback.accounts[15:] == plain.accounts


def test_curve_that_is_given_is_not_derived_again() -> None:
    other = trade_accounts(
        wallet_accounts(USER), mint=MINT, creator=CREATOR, fee_recipient=FEE, buyback_recipient=BUYBACK, curve=KEYS[6]
    )
    assert other.curve == KEYS[6]
    assert accounts().curve == curve_address(MINT)


def test_token_account_is_created_idempotently_for_the_coins_token_program() -> None:
    instruction = create_associated_token_account(accounts())
    assert instruction.program_id == ATA_PROGRAM
    assert bytes(instruction.data) == b"\1"
    assert instruction.accounts[1].pubkey == accounts().user_tokens
    old = trade_accounts(
        wallet_accounts(USER),
        mint=MINT,
        creator=CREATOR,
        fee_recipient=FEE,
        buyback_recipient=BUYBACK,
        token_program=TOKEN_PROGRAM,
    )
    assert old.user_tokens == associated_token_address(USER, MINT, TOKEN_PROGRAM)
    assert create_associated_token_account(old).accounts[5].pubkey == TOKEN_PROGRAM
    assert buy(old, 1, 1).accounts[8].pubkey == TOKEN_PROGRAM


def test_creation_leaves_options_off_unless_they_are_wanted() -> None:
    def data(bps: int = 0, *, is_holder_reward: bool = False) -> bytes:
        instruction = create_v2(
            user=USER,
            mint=MINT,
            creator=CREATOR,
            name="näme",
            symbol="SYM",
            uri="u",
            creator_fee_bps=bps,
            is_holder_reward=is_holder_reward,
        )
        assert len(instruction.accounts) == 16
        return bytes(instruction.data)

    head = bytes.fromhex("d6904cec5f8b31b4") + b"\5\0\0\0n\xc3\xa4me" + b"\3\0\0\0SYM" + b"\1\0\0\0u"
    assert data() == head + bytes(CREATOR) + b"\0\0"
    assert data(200) == data() + struct.pack("<Q", 200) + b"\0"
    assert data(is_holder_reward=True) == data() + struct.pack("<Q", 0) + b"\1"


def settings(protocol: int, reserved: int, buyback: int) -> Global:
    return Global(
        authority=USER,
        initial_reserves=Reserves(virtual_token=1, virtual_quote=1, real_token=1, real_quote=0),
        token_supply=1,  # type: ignore[arg-type] # a plain number will do
        protocol_bps=95,
        creator_bps=5,
        pool_migration_fee_lamports=0,
        fee_recipients=tuple(KEYS[:protocol]),
        reserved_fee_recipients=tuple(KEYS[4 : 4 + reserved]),
        buyback_fee_recipients=tuple(KEYS[6 : 6 + buyback]),
        buyback_bps=5000,
        is_create_v2_enabled=True,
        is_mayhem_enabled=True,
        is_cashback_enabled=True,
        is_creator_fee_configurable=True,
        max_creator_fee_bps=300,
        is_holder_reward_enabled=True,
    )


def test_fee_recipients_follow_the_choice_and_the_kind_of_coin() -> None:
    some = settings(3, 2, 2)
    assert fee_recipients(some, is_mayhem=False) == (KEYS[0], KEYS[6])
    assert fee_recipients(some, is_mayhem=False, choice=5) == (KEYS[2], KEYS[7])
    assert fee_recipients(some, is_mayhem=True, choice=1) == (KEYS[5], KEYS[7])


@pytest.mark.parametrize("counts", [(0, 1, 1), (1, 1, 0)])
def test_global_without_recipients_is_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no fee recipient"):
        fee_recipients(settings(*counts), is_mayhem=False)
