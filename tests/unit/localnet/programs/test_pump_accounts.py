"""Every account of every instruction is checked: a wrong one is refused, one at a time, and for the right reason."""

import pytest
from msgspec import structs
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from pump_trades import CREATOR, MINT, TRADES, USER, Stage, accounts_in, creation, empty_world, placed_stage, stage
from pump_world import Coin, key, shortened, swapped, token_account_data
from slotzero.solana.addresses import TOKEN_PROGRAM
from slotzero.venues.pumpfun import FEE_PROGRAM, PUMP_PROGRAM, buy, create_associated_token_account

STRANGER = key(77)
OTHER_MINT, OTHER_USER, OTHER_CREATOR = key(301), key(302), key(303)

# The accounts of each instruction by what they are. Nobody looks at the five of the mayhem program that create_v2
# names, nor at the user's quote account of a v2 trade, which a curve priced in SOL does not touch: "unchecked".
_LEGACY = "global fee_recipient mint curve curve_tokens user_tokens user system"
_TAIL = "fee_config fee_program curve_v2 buyback"
_BUY = f"{_LEGACY} token_program vault event_authority program global_volume volume {_TAIL}"
_SELL = f"{_LEGACY} vault token_program event_authority program {_TAIL}"
_V2 = (
    "global mint quote_mint token_program quote_program ata_program fee_recipient quote_account buyback quote_account "
    "curve curve_tokens quote_account user user_tokens unchecked vault quote_account sharing_config"
)
_V2_END = "fee_config fee_program system event_authority program"
_BUY_V2 = f"{_V2} global_volume volume quote_account {_V2_END}"
ROLES = {
    "buy": _BUY.split(),
    "buy_exact_sol_in": _BUY.split(),
    "sell": _SELL.split(),
    "buy_v2": _BUY_V2.split(),
    "buy_exact_quote_in_v2": _BUY_V2.split(),
    "sell_v2": f"{_V2} volume quote_account {_V2_END}".split(),
}
_CREATION = (
    "mint mint_authority curve curve_tokens global user system token_program ata_program "
    "unchecked unchecked unchecked unchecked unchecked event_authority program"
)

# What an account nobody has ever used is refused with, in the place of each.
STRANGERS = {
    "global": 2006,
    "fee_recipient": 6000,
    "mint": 2006,
    "curve": 2006,
    "curve_tokens": 3012,
    "user_tokens": 3012,
    "user": 2015,
    "system": 3008,
    "token_program": 3008,
    "vault": 2006,
    "event_authority": 2006,
    "program": 3008,
    "global_volume": 2006,
    "volume": 2006,
    "fee_config": 2006,
    "fee_program": 3008,
    "curve_v2": 6074,
    "buyback": 6057,
    "quote_mint": 6063,
    "quote_program": 6064,
    "ata_program": 3008,
    "quote_account": 2006,
    "sharing_config": 2006,
    "unchecked": None,
}
# What the account another coin and user have in that place is refused with. Those not named here are the same for all.
OTHERS = STRANGERS | {"curve_tokens": 2014, "user_tokens": 2014}


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
    instruction, roles = traded.good(name), ROLES[name]
    assert len(instruction.accounts) == len(roles)
    assert traded.attempt(instruction) is None
    answers = [traded.attempt(swapped(instruction, i, STRANGER)) for i in range(len(roles))]
    assert list(zip(roles, answers, strict=True)) == [(role, STRANGERS[role]) for role in roles]


@pytest.mark.parametrize("name", TRADES)
def test_trade_with_the_same_account_of_another_coin_and_user_is_refused(traded: Stage, name: str) -> None:
    other = Stage(world=traded.world, accounts=accounts_in(traded.world, OTHER_MINT, OTHER_USER, OTHER_CREATOR))
    instruction, theirs = traded.good(name), other.good(name)
    answers = [
        (role, traded.attempt(swapped(instruction, i, their.pubkey)))
        for i, (role, mine, their) in enumerate(zip(ROLES[name], instruction.accounts, theirs.accounts, strict=True))
        if mine.pubkey != their.pubkey
    ]
    assert {"mint", "curve", "curve_tokens", "user_tokens", "user", "vault"} <= {role for role, _ in answers}
    assert answers == [(role, OTHERS[role]) for role, _ in answers]


@pytest.mark.parametrize("name", TRADES)
def test_trade_with_a_read_only_account_it_must_write_is_refused(traded: Stage, name: str) -> None:
    """Except what a trade names as writable and does not write: the quote side of v2, the accumulator of its sell."""
    instruction, roles = traded.good(name), ROLES[name]
    never_written = {"quote_account", "unchecked"} | ({"volume"} if name == "sell_v2" else set())
    answers = [
        (role, traded.attempt(with_flags(instruction, i, is_signer=False, is_writable=False)))
        for i, role in enumerate(roles)
        if instruction.accounts[i].is_writable and role != "user"
    ]
    assert answers == [(role, None if role in never_written else 2000) for role, _ in answers]


@pytest.mark.parametrize("name", TRADES)
def test_trade_whose_user_is_read_only_is_refused(traded: Stage, name: str) -> None:
    changed = with_flags(traded.good(name), ROLES[name].index("user"), is_signer=True, is_writable=False)
    assert traded.world.attempt(OTHER_USER, changed) == 2000


@pytest.mark.parametrize("name", TRADES)
def test_trade_the_user_has_not_signed_is_refused(traded: Stage, name: str) -> None:
    changed = with_flags(traded.good(name), ROLES[name].index("user"), is_signer=False, is_writable=True)
    assert traded.world.attempt(OTHER_USER, changed) == 3010


def test_creation_with_a_strangers_account_is_refused() -> None:
    world = empty_world()
    roles = _CREATION.split()
    assert world.attempt(USER, creation()) is None
    answers = [world.attempt(USER, swapped(creation(), i, STRANGER)) for i in range(len(roles))]
    # The token account is the associated token program's to refuse; a stranger has no lamports to pay with (1).
    codes = STRANGERS | {"mint_authority": 2006, "curve_tokens": "InvalidSeeds", "user": 1}
    expected = [(role, codes[role]) for role in roles]
    assert [(role, answer) for role, answer in zip(roles, answers, strict=True) if role != "curve_tokens"] == [
        pair for pair in expected if pair[0] != "curve_tokens"
    ]
    assert answers[3] == {"InstructionError": [0, "InvalidSeeds"]}


def test_creation_with_the_classic_token_program_is_refused() -> None:
    assert empty_world().attempt(USER, swapped(creation(), 7, TOKEN_PROGRAM)) == 3008


def test_creation_with_too_few_accounts_is_refused() -> None:
    assert empty_world().attempt(USER, shortened(creation(), 15)) == 3005


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


@pytest.mark.parametrize("name", TRADES)
@pytest.mark.parametrize("role", ["curve_tokens", "user_tokens"])
def test_token_account_of_another_owner_program_or_length_is_refused(traded: Stage, name: str, role: str) -> None:
    world, forged, index = traded.world, key(405), ROLES[name].index(role)
    owner = USER if role == "user_tokens" else traded.accounts.curve
    instruction = swapped(traded.good(name), index, forged)
    token_program = traded.accounts.token_program

    world.put(forged, token_account_data(MINT, owner, 10**15), FEE_PROGRAM)
    assert traded.attempt(instruction) == 3007
    world.put(forged, token_account_data(MINT, owner, 10**15)[:164], token_program)
    assert traded.attempt(instruction) == 3007
    world.put(forged, token_account_data(MINT, OTHER_USER, 10**15), token_program)
    assert traded.attempt(instruction) == 2015
    world.put(forged, token_account_data(OTHER_MINT, owner, 10**15), token_program)
    assert traded.attempt(instruction) == 2014
    world.svm.set_account(forged, None)


@pytest.mark.parametrize("name", TRADES)
def test_second_token_account_of_the_curve_is_refused(traded: Stage, name: str) -> None:
    second, index = key(406), ROLES[name].index("curve_tokens")
    traded.world.put(second, token_account_data(MINT, traded.accounts.curve, 10**15), traded.accounts.token_program)
    assert traded.attempt(swapped(traded.good(name), index, second)) == 2006
    traded.world.svm.set_account(second, None)


@pytest.mark.parametrize("name", TRADES)
def test_mint_of_another_program_is_refused(name: str) -> None:
    made = stage()
    made.world.put(MINT, made.world.data(MINT), FEE_PROGRAM)
    assert made.attempt(made.good(name)) == 3007


@pytest.mark.parametrize("name", ["buy", "sell", "buy_v2", "sell_v2"])
def test_cashback_accumulator_that_is_none_is_refused(name: str) -> None:
    bought = Coin(mint=MINT, creator=CREATOR).reserves
    coin = Coin(mint=MINT, creator=CREATOR, is_cashback=True, reserves=structs.replace(bought, real_quote=10**9))
    made = placed_stage(coin)
    address, data = (
        made.accounts.volume_accumulator,
        (bytes.fromhex("56ff700e66359afa") + bytes(USER)).ljust(137, b"\0"),
    )
    for forged, owner in ((data[:136], PUMP_PROGRAM), (data, FEE_PROGRAM)):
        made.world.put(address, forged, owner)
        assert made.attempt(made.good(name)) == 6073
    made.world.put(address, data, PUMP_PROGRAM)
    assert made.attempt(made.good(name)) is None
    index = next(i for i, meta in enumerate(made.good(name).accounts) if meta.pubkey == address)
    read_only = with_flags(made.good(name), index, is_signer=False, is_writable=False)
    assert made.attempt(read_only) == (2000 if name.startswith("buy") else 6073)


def test_mint_of_a_coin_that_does_not_exist_is_refused(traded: Stage) -> None:
    unknown = accounts_in(traded.world, Pubkey.from_bytes(b"\7" * 32), USER)
    assert traded.attempt(buy(unknown, 10**12, 10**12)) == 3012
