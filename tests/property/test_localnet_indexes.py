"""The chain's indexes against a reader that looks at everything: same answers after any history."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st
from solders.account import Account
from solders.compute_budget import set_compute_unit_price
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain_world import (
    MINT,
    MINT_2022,
    MINTS,
    SOL,
    WALLETS,
    World,
    close,
    give_away,
    home,
    move,
    open_home,
    pay,
    token_account,
)
from slotzero.localnet.commitments import Commitment, slot_at
from slotzero.localnet.events import ChainEvent, TransactionExecuted
from slotzero.localnet.execution import token_balances, unit_price, writable_indexes
from slotzero.localnet.history import TransactionRecord
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.units import Lamports

Operation: TypeAlias = Callable[[World], object]

COMMITMENTS: tuple[Commitment, ...] = ("processed", "confirmed", "finalized")
# Odd places: accounts the admin call writes, among them homes that real transactions use as well.
PLACES = [
    *(Keypair.from_seed(bytes([3, number]).ljust(32, b"\0")).pubkey() for number in range(3)),
    *(home(wallet.pubkey(), mint) for wallet in WALLETS[:2] for mint in MINTS),
]
OWNERS = [*(wallet.pubkey() for wallet in WALLETS), PLACES[0]]

wallets, mints, places = st.sampled_from(WALLETS), st.sampled_from(list(MINTS)), st.sampled_from(PLACES)


def transaction(wallet: Keypair, mint: Pubkey, other: Keypair, kind: str, price: int) -> Operation:
    """An operation that sends a real transaction, which may well fail."""
    steps = {
        "open": [open_home(wallet, mint)],
        "move": [move(wallet, mint, home(other.pubkey(), mint), 5)],
        "close": [close(wallet, mint)],
        "close and open": [close(wallet, mint), open_home(wallet, mint)],
        "give away": [give_away(wallet, mint, other.pubkey())],
        "pay": [pay(other.pubkey(), SOL, wallet)],
        "pay too much": [pay(other.pubkey(), 10**6 * SOL, wallet)],
    }[kind]
    budget = [set_compute_unit_price(price)] if price else []
    return lambda world: world.send(*budget, *steps, by=wallet)


def rewriting(place: Pubkey, account: Account | None) -> Operation:
    return lambda world: world.chain.set_account(place, account)


KINDS = ["open", "move", "close", "close and open", "give away", "pay", "pay too much"]
# Amounts of 0 can be closed, those of 5 moved.
holdings = st.builds(
    token_account,
    mints,
    st.sampled_from(OWNERS),
    st.sampled_from([0, 5, 9]),
    st.sampled_from([None, TOKEN_2022_PROGRAM]),
)
no_holdings = st.sampled_from([None, Account(SOL, b"", SYSTEM_PROGRAM), Account(SOL, bytes(165), TOKEN_PROGRAM)])
operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(transaction, wallets, mints, wallets, st.sampled_from(KINDS), st.sampled_from([0, 7, 1_000])),
    st.builds(rewriting, places, holdings | no_holdings),
    st.builds(lambda wallet: lambda world: world.chain.airdrop(wallet.pubkey(), Lamports(SOL)), wallets),
    st.builds(lambda count: lambda world: world.chain.advance(count), st.sampled_from([1, 1, 2, 33])),
)


class Witness:
    """Remembers everything, in lists."""

    def __init__(self, world: World) -> None:
        self.executed: list[TransactionExecuted] = []
        world.chain.add_listener(self._on_event)

    def _on_event(self, event: ChainEvent) -> None:
        if isinstance(event, TransactionExecuted):
            self.executed.append(event)

    def mentioning(self, key: Pubkey, newest: int) -> list[TransactionRecord]:
        found = [event.record for event in self.executed if key in event.account_keys and event.record.slot <= newest]
        return found[::-1]

    def lowest(self, slot: int, keys: list[Pubkey]) -> int:
        prices = [
            unit_price(message, event.account_keys)
            for event in self.executed
            for message in [event.record.transaction().message]
            if event.record.slot == slot
            and {event.account_keys[index] for index in writable_indexes(message, len(message.account_keys))}
            >= set(keys)
        ]
        return min(prices, default=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(operations, max_size=40))
def test_token_indexes_equal_a_full_scan_at_every_commitment(drawn: list[Operation]) -> None:
    world = World()
    known = {*PLACES, *(home(wallet.pubkey(), mint) for wallet in WALLETS for mint in MINTS)}
    for operation in drawn:
        operation(world)
    for commitment in COMMITMENTS:
        rows = {
            key: token_balances([account])
            for key in known
            if (account := world.chain.account(key, commitment)) is not None
        }
        for owner in OWNERS:
            found = {holding.key for holding in world.chain.token_accounts_of(owner, commitment)}
            assert found == {key for key, balances in rows.items() if [row.owner for row in balances] == [owner]}
        for mint in MINTS:
            found = {holding.key for holding in world.chain.token_accounts_holding(mint, commitment)}
            assert found == {key for key, balances in rows.items() if [row.mint for row in balances] == [mint]}
    now = sum(1 for key in known if (account := world.chain.account(key)) is not None and token_balances([account]))
    assert world.chain.stats().token_accounts == now


@settings(max_examples=40, deadline=None)
@given(drawn=st.lists(operations, max_size=60), history=st.sampled_from([3, 10, 1_000]), data=st.data())
def test_signatures_by_address_equal_a_scan_of_what_is_kept(
    drawn: list[Operation], history: int, data: st.DataObject
) -> None:
    world = World(history=history)
    witness = Witness(world)
    for operation in drawn:
        operation(world)
    kept = [event.record for event in witness.executed][-history:]
    witness.executed = witness.executed[-history:]
    mentioned = {key for event in witness.executed for key in event.account_keys}
    assert world.chain.stats().addresses == len(mentioned)
    cursors = st.sampled_from([None, *kept])
    for key in [*OWNERS, *PLACES, SYSTEM_PROGRAM, TOKEN_PROGRAM]:
        for commitment in ("confirmed", "finalized"):
            before, until = data.draw(cursors), data.draw(cursors)
            limit = data.draw(st.integers(1, 8))
            expected = [
                record
                for record in witness.mentioning(key, slot_at(commitment, world.chain.slot))
                if (before is None or record.number < before.number) and (until is None or record.number > until.number)
            ][:limit]
            ask = partial(world.chain.transactions_mentioning, key, commitment=commitment, limit=limit)
            assert ask(before=before, until=until) == expected


@settings(max_examples=40, deadline=None)
@given(drawn=st.lists(operations, max_size=40), keys=st.lists(st.sampled_from([*OWNERS, *PLACES]), max_size=3))
def test_lowest_prices_equal_a_scan_of_what_landed(drawn: list[Operation], keys: list[Pubkey]) -> None:
    world = World()
    witness = Witness(world)
    for operation in drawn:
        operation(world)
    ended = range(max(1, world.chain.slot - 150), world.chain.slot)
    assert world.chain.lowest_prices(keys) == [(slot, witness.lowest(slot, keys)) for slot in ended]


def test_account_that_leaves_and_returns_stays_listed_once() -> None:
    world = World()
    place, owner = PLACES[0], OWNERS[1]
    for _ in range(3):
        world.chain.set_account(place, token_account(MINT_2022, owner, 1))
        world.chain.set_account(place, None)
        world.chain.advance(2)
        world.chain.set_account(place, token_account(MINT_2022, owner, 2))
    world.chain.advance(40)
    (holding,) = world.chain.token_accounts_of(owner, "finalized")
    assert holding.balance.amount == 2
    world.chain.set_account(place, None)
    world.chain.advance(40)
    assert world.chain.token_accounts_of(owner, "finalized") == []
    assert world.chain.stats().token_accounts == 0


def test_account_rewritten_to_another_mint_moves() -> None:
    world = World()
    place, owner = PLACES[0], OWNERS[1]
    for mint in (MINT, MINT_2022):
        world.chain.set_account(place, token_account(mint, owner, 1, TOKEN_PROGRAM))
    assert [holding.key for holding in world.chain.token_accounts_holding(MINT_2022)] == [place]
    assert world.chain.token_accounts_holding(MINT) == []
    assert [holding.balance.mint for holding in world.chain.token_accounts_of(owner)] == [MINT_2022]


def test_account_that_left_is_listed_as_long_as_the_state_before_can_be_asked_for() -> None:
    world = World()
    place, owner = PLACES[0], OWNERS[1]
    world.chain.set_account(place, token_account(MINT, owner, 1))
    world.chain.advance(40)
    world.chain.set_account(place, None)
    for slots, listed in ((31, [place]), (1, [])):
        world.chain.advance(slots)
        assert [holding.key for holding in world.chain.token_accounts_of(owner, "finalized")] == listed
