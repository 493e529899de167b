"""What becomes of pools, as dialogues."""

import pytest
from solders.pubkey import Pubkey

from slotzero.workloads.snipe_scenarios.outcomes import Bought, Ended, PoolBook

COIN, OTHER, TRAP = (Pubkey.from_bytes(bytes([number]) * 32) for number in (1, 2, 3))


@pytest.fixture
def book() -> PoolBook:
    book = PoolBook()
    book.launch(COIN)
    return book


def buy(book: PoolBook, mint: Pubkey = COIN, tokens: int = 100) -> object:
    return book.on_trade(mint, is_buy=True, tokens=tokens)


def sell(book: PoolBook, mint: Pubkey = COIN, tokens: int = 100) -> object:
    return book.on_trade(mint, is_buy=False, tokens=tokens)


def test_a_pool_ends_well_when_all_that_was_bought_is_sold(book: PoolBook) -> None:
    assert buy(book) == Bought(COIN)
    assert (sell(book, tokens=40), book.in_flight) == (None, 1)
    assert (sell(book, tokens=60), book.in_flight) == (Ended(COIN), 0)


def test_a_second_buy_of_a_pool_must_be_sold_too_and_is_no_first_one(book: PoolBook) -> None:
    buy(book)
    assert buy(book, tokens=1) is None
    assert (sell(book), sell(book, tokens=1)) == (None, Ended(COIN))


def test_a_sell_before_the_buy_is_known_does_not_end_a_pool(book: PoolBook) -> None:
    assert sell(book) is None
    assert book.is_open(COIN)


def test_a_refused_pool_ends_with_its_reason_and_a_refused_trap_is_only_counted(book: PoolBook) -> None:
    book.launch_trap(TRAP)
    assert book.on_refusal(TRAP, "freeze_authority") is None
    assert book.on_refusal(COIN, "overloaded") == Ended(COIN, "refused:overloaded")
    assert (dict(book.refused), dict(book.traps_refused)) == ({"overloaded": 1}, {"freeze_authority": 1})


def test_a_failed_buy_ends_a_pool_and_a_failed_sell_does_not(book: PoolBook) -> None:
    book.launch(OTHER)
    buy(book, OTHER)
    assert book.on_failed_buy(OTHER) is None
    assert book.pending() == [COIN]
    assert book.on_failed_buy(COIN) == Ended(COIN, "buy_failed")
    assert book.on_failed_buy(COIN) is None


def test_a_trap_that_is_bought_makes_exactly_one_operation_fail(book: PoolBook) -> None:
    book.launch(OTHER)
    book.launch_trap(TRAP)
    assert buy(book, TRAP) is None
    buy(book, TRAP)
    for mint in (COIN, OTHER):
        buy(book, mint)
    assert [sell(book, mint) for mint in (COIN, OTHER)] == [Ended(COIN, "trap_bought"), Ended(OTHER)]
    assert book.traps_bought == 1


def test_a_trap_bought_before_its_launch_was_answered_counts_as_well(book: PoolBook) -> None:
    buy(book, TRAP)
    assert book.traps_bought == 0
    book.launch_trap(TRAP)
    buy(book)
    assert (book.traps_bought, sell(book)) == (1, Ended(COIN, "trap_bought"))


def test_a_failed_operation_keeps_its_own_fault_and_leaves_the_trap_to_the_next(book: PoolBook) -> None:
    book.launch(OTHER)
    book.launch_trap(TRAP)
    buy(book, TRAP)
    assert book.on_refusal(COIN, "stopping") == Ended(COIN, "refused:stopping")
    buy(book, OTHER)
    assert sell(book, OTHER) == Ended(OTHER, "trap_bought")


def test_a_pool_given_up_is_forgotten_and_a_later_buy_of_it_is_counted(book: PoolBook) -> None:
    book.give_up(COIN)
    book.give_up(COIN)
    assert (buy(book), book.late_buys, book.traps_bought, book.in_flight) == (None, 1, 0, 0)


def test_what_the_bot_may_hold_is_what_it_has_not_sold(book: PoolBook) -> None:
    book.launch_trap(TRAP)
    assert (book.is_held(COIN), book.is_held(OTHER), book.is_held(TRAP)) == (True, False, False)
    buy(book)
    sell(book)
    buy(book, TRAP)
    assert (book.is_held(COIN), book.is_held(TRAP)) == (False, True)


def test_a_pool_given_up_is_held_when_it_was_bought_before_or_is_bought_later(book: PoolBook) -> None:
    buy(book)
    book.give_up(COIN)
    book.launch(OTHER)
    book.give_up(OTHER)
    assert (book.is_held(COIN), book.is_held(OTHER), book.late_buys) == (True, False, 0)
    buy(book, OTHER)
    assert (book.is_held(OTHER), book.late_buys) == (True, 1)


def test_what_is_off_the_chain_is_forgotten(book: PoolBook) -> None:
    book.launch_trap(TRAP)
    book.give_up(COIN)
    for mint in (TRAP, COIN, OTHER):
        book.forget(mint)
    assert (book._traps, book._given_up) == ({}, {})


def test_what_is_remembered_is_bounded(book: PoolBook) -> None:
    for number in range(20_100):
        mint = Pubkey.from_bytes(number.to_bytes(4, "big") * 8)
        book.launch_trap(mint)
        buy(book, Pubkey.from_bytes((number + 10**9).to_bytes(4, "big") * 8))
        book.launch(mint)
        book.give_up(mint)
    assert {len(held) for held in (book._traps, book._strangers, book._given_up)} == {20_000}
