"""Taking accounts off the chain: what is gone then, who is told, and what stays whoever asks."""

import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain_world import MINT, MINT_2022, SOL, WALLETS, World, home, open_home, pay
from slotzero.errors import UsageError
from slotzero.localnet.events import AccountSet, ChainEvent
from slotzero.localnet.genesis import CLUSTER_OWNERS, fixed_keys
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM
from slotzero.solana.tips import TIP_ACCOUNTS
from slotzero.venues.pumpfun import FEE_CONFIG, GLOBAL
from slotzero.venues.pumpfun.addresses import PUMP_PROGRAM

ALICE, BOB = WALLETS[0], WALLETS[1]
HOMES = [home(ALICE.pubkey(), MINT), home(ALICE.pubkey(), MINT_2022)]
CLOCK = Pubkey.from_string("SysvarC1ock11111111111111111111111111111111")
FORGOTTEN_AFTER = 33
"""Slots: then the removal is finalized."""


@pytest.fixture
def world() -> World:
    world = World()
    world.land(open_home(ALICE, MINT), open_home(ALICE, MINT_2022))
    world.land(open_home(BOB, MINT), by=BOB)
    world.chain.advance(FORGOTTEN_AFTER)
    return world


def remove(world: World, *keys: Pubkey) -> object:
    return world.call("slotzero_removeAccounts", [str(key) for key in keys])


def owned(world: World, owner: Keypair, commitment: str = "processed") -> set[str]:
    which = {"mint": str(MINT)}
    options = {"commitment": commitment, "encoding": "base64"}
    return {str(row["pubkey"]) for row in world.value("getTokenAccountsByOwner", str(owner.pubkey()), which, options)}


def test_removed_accounts_are_gone_from_chain_and_indexes_and_counted(world: World) -> None:
    before = world.chain.stats().token_accounts
    assert remove(world, *HOMES) == 2
    assert [world.chain.account(key) for key in HOMES] == [None, None]
    assert owned(world, ALICE) == set()
    assert owned(world, BOB) == {str(home(BOB.pubkey(), MINT))}
    stats = world.call("slotzero_stats")
    assert isinstance(stats, dict)
    assert (stats["tokenAccounts"], stats["removedAccounts"]) == (before - 2, 2)


def test_a_removal_has_commitments_like_any_write(world: World) -> None:
    remove(world, HOMES[0])
    world.chain.advance()
    assert owned(world, ALICE, "confirmed") == set()
    assert owned(world, ALICE, "finalized") == {str(HOMES[0])}
    world.chain.advance(FORGOTTEN_AFTER)
    assert owned(world, ALICE, "finalized") == set()


def test_nothing_of_removed_accounts_is_kept_once_the_removal_is_finalized(world: World) -> None:
    tokens, undo = world.chain._tokens, world.chain._undo
    remove(world, *HOMES, MINT_2022)
    world.chain.advance(FORGOTTEN_AFTER)
    assert ALICE.pubkey() not in tokens._by_owner
    assert MINT_2022 not in tokens._by_mint
    assert not any(entries for _, entries in tokens._left)
    assert not any(before for _, before in undo._slots)


def test_a_removed_account_can_be_made_again(world: World) -> None:
    remove(world, HOMES[0])
    assert world.land(open_home(ALICE, MINT)).err is None
    world.chain.advance(FORGOTTEN_AFTER)
    assert owned(world, ALICE, "finalized") == {str(HOMES[0])}


def test_listeners_are_told_of_each_removal_and_of_nothing_that_was_not_there(world: World) -> None:
    events: list[ChainEvent] = []
    world.chain.add_listener(events.append)
    nobody = Keypair().pubkey()
    assert remove(world, HOMES[0], nobody, HOMES[0]) == 1
    (event,) = events
    assert isinstance(event, AccountSet)
    assert (event.write.key, event.write.account) == (HOMES[0], None)
    assert world.chain.stats().removed == 1


@pytest.mark.parametrize(
    "key",
    [SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, PUMP_PROGRAM, CLOCK, GLOBAL, FEE_CONFIG, TIP_ACCOUNTS[0]],
    ids=["native", "token", "venue", "sysvar", "global", "fees", "tips"],
)
def test_what_the_chain_needs_is_refused_and_then_nothing_is_removed(world: World, key: Pubkey) -> None:
    answer = remove(world, HOMES[0], key)
    assert isinstance(answer, dict)
    assert answer["code"] == -32602
    assert answer["message"] == (
        f"Invalid params: {key} cannot be removed: it is a program, a sysvar or an account of the genesis"
    )
    assert None not in (world.chain.account(HOMES[0]), world.chain.account(key))
    assert world.chain.stats().removed == 0


def test_everything_a_new_chain_holds_is_refused(world: World) -> None:
    chain = world.chain
    held = {key for owner in CLUSTER_OWNERS for key, _ in chain.svm.program_accounts(owner)}
    for key in held | fixed_keys(chain.genesis):
        assert chain.account(key) is not None
        with pytest.raises(UsageError, match=str(key)):
            chain.remove_accounts([key])
    assert world.land(pay(BOB.pubkey())).err is None


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "Invalid params: expected the addresses as a list, got nothing"),
        (["x"], "Invalid params: expected the addresses as a list, got a string"),
        ([[7]], "Invalid params: expected an address as a string, got a number"),
        ([[str(MINT)] * 101], "Too many inputs provided; max 100"),
    ],
    ids=["nothing", "no list", "no address", "too many"],
)
def test_bad_input_is_told(world: World, params: list[object], message: str) -> None:
    answer = world.call("slotzero_removeAccounts", *params)
    assert answer == {"code": -32602, "message": message}


def test_a_wallet_can_be_removed_and_comes_back_with_a_payment(world: World) -> None:
    key = Keypair().pubkey()
    world.chain.set_account(key, Account(SOL, b"", SYSTEM_PROGRAM))
    assert remove(world, key) == 1
    world.land(pay(key))
    account = world.chain.account(key)
    assert account is not None
    assert account.lamports == SOL
