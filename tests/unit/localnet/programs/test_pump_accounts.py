"""Every account of every instruction is checked: a wrong one is refused, one at a time."""

import pytest
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from pump_trades import TRADES, USER, Stage, accounts_in, creation, empty_world, stage
from pump_world import key, swapped
from slotzero.venues.pumpfun import buy, create_associated_token_account

STRANGER = key(77)
OTHER_MINT, OTHER_USER, OTHER_CREATOR = key(301), key(302), key(303)

# Accounts nobody looks at: create_v2 names five of the mayhem program, which cannot take part here; a v2 trade names
# the user's quote account, which a curve priced in SOL does not touch.
UNCHECKED = {"create_v2": set(range(9, 14)), "buy_v2": {15}, "buy_exact_quote_in_v2": {15}, "sell_v2": {15}}
ACCOUNTS = {"buy": 18, "buy_exact_sol_in": 18, "sell": 16, "buy_v2": 27, "buy_exact_quote_in_v2": 27, "sell_v2": 26}
SIGNER = {"buy": 6, "buy_exact_sol_in": 6, "sell": 6, "buy_v2": 13, "buy_exact_quote_in_v2": 13, "sell_v2": 13}

# Accounts a trade names as writable and does not write on a curve priced in SOL: the quote side of a v2 trade, and the
# volume accumulator of its sell. (The payer is writable in any case.)
NEVER_WRITTEN = {
    "buy_v2": {7, 9, 12, 15, 17, 21},
    "buy_exact_quote_in_v2": {7, 9, 12, 15, 17, 21},
    "sell_v2": {7, 9, 12, 15, 17, 19, 20},
}


@pytest.fixture(scope="module")
def traded() -> Stage:
    """Two coins of two creators and two users, all of them in use: what a swap could be mistaken for."""
    made = stage()
    made.world.fund(OTHER_USER, 10**13)
    other = accounts_in(made.world, OTHER_MINT, OTHER_USER, OTHER_CREATOR)
    create = creation(OTHER_MINT, user=OTHER_USER)
    data = bytes(create.data[:-34]) + bytes(OTHER_CREATOR) + b"\0\0"
    made.world.run(OTHER_USER, Instruction(create.program_id, data, create.accounts))
    made.world.run(OTHER_USER, create_associated_token_account(other), buy(other, 10**13, 10**12))
    return made


def with_flags(instruction: Instruction, index: int, *, is_signer: bool, is_writable: bool) -> Instruction:
    metas = list(instruction.accounts)
    metas[index] = AccountMeta(metas[index].pubkey, is_signer=is_signer, is_writable=is_writable)
    return Instruction(instruction.program_id, instruction.data, metas)


@pytest.mark.parametrize("name", TRADES)
def test_trade_with_a_strangers_account_is_refused(traded: Stage, name: str) -> None:
    instruction = traded.good(name)
    assert len(instruction.accounts) == ACCOUNTS[name]
    assert traded.attempt(instruction) is None
    accepted = {i for i in range(ACCOUNTS[name]) if traded.attempt(swapped(instruction, i, STRANGER)) is None}
    assert accepted == UNCHECKED.get(name, set())


@pytest.mark.parametrize("name", TRADES)
def test_trade_with_the_same_account_of_another_coin_and_user_is_refused(traded: Stage, name: str) -> None:
    other = Stage(world=traded.world, accounts=accounts_in(traded.world, OTHER_MINT, OTHER_USER, OTHER_CREATOR))
    instruction = traded.good(name)
    pairs = zip(instruction.accounts, other.good(name).accounts, strict=True)
    theirs = {i: their.pubkey for i, (mine, their) in enumerate(pairs) if their.pubkey != mine.pubkey}
    assert len(theirs) > ACCOUNTS[name] // 3
    accepted = {i for i, account in theirs.items() if traded.attempt(swapped(instruction, i, account)) is None}
    assert accepted == UNCHECKED.get(name, set())


@pytest.mark.parametrize("name", TRADES)
def test_trade_with_a_read_only_account_it_must_write_is_refused(traded: Stage, name: str) -> None:
    instruction = traded.good(name)
    writable = {i for i, meta in enumerate(instruction.accounts) if meta.is_writable} - {SIGNER[name]}
    accepted = {
        i for i in writable if traded.attempt(with_flags(instruction, i, is_signer=False, is_writable=False)) is None
    }
    assert accepted == NEVER_WRITTEN.get(name, set())


@pytest.mark.parametrize("name", TRADES)
def test_trade_the_user_has_not_signed_is_refused(traded: Stage, name: str) -> None:
    changed = with_flags(traded.good(name), SIGNER[name], is_signer=False, is_writable=True)
    assert traded.world.attempt(OTHER_USER, changed) == 3010


@pytest.mark.parametrize("index", range(16))
def test_creation_with_a_strangers_account_is_refused(index: int) -> None:
    world = empty_world()
    instruction = creation()
    assert world.attempt(USER, instruction) is None
    # A stranger's mint leads to other derived addresses, so its curve does not fit; a stranger's user has no lamports.
    is_accepted = world.attempt(USER, swapped(instruction, index, STRANGER)) is None
    assert is_accepted == (index in UNCHECKED["create_v2"])


@pytest.mark.parametrize("index", [0, 5])
def test_creation_that_is_not_signed_is_refused(index: int) -> None:
    world = empty_world()
    world.fund(STRANGER, 10**12)
    assert world.attempt(STRANGER, with_flags(creation(), index, is_signer=False, is_writable=True)) == 3010


@pytest.mark.parametrize("index", [0, 2, 3])
def test_creation_with_a_read_only_account_it_must_write_is_refused(index: int) -> None:
    changed = with_flags(creation(), index, is_signer=index == 0, is_writable=False)
    assert empty_world().attempt(USER, changed) == 2000


@pytest.mark.parametrize("name", ["buy", "sell"])
def test_trade_for_a_user_whose_token_account_is_not_the_associated_one_is_accepted(traded: Stage, name: str) -> None:
    elsewhere = key(404)
    traded.world.put(elsewhere, traded.world.data(traded.accounts.user_tokens)[:165], traded.accounts.token_program)
    assert traded.attempt(swapped(traded.good(name), 5, elsewhere)) is None
    traded.world.svm.set_account(elsewhere, None)


def test_mint_of_a_coin_that_does_not_exist_is_refused(traded: Stage) -> None:
    unknown = accounts_in(traded.world, Pubkey.from_bytes(b"\7" * 32), USER)
    assert traded.attempt(buy(unknown, 10**12, 10**12)) == 3012
