import pytest

from simple_wallet import Wallet
from slotzero.trading.filters import Refusal
from slotzero.trading.wallets import Reservation, WalletBook, WalletCaps
from slotzero.units import Lamports
from wallet_lab import address, wallet_key

HOUR = 3_600_000_000_000
A, B, C = address(1), address(2), address(3)


def sol(amount: float) -> Lamports:
    return Lamports(int(amount * 1_000))


def book_of(
    *wallets: tuple[object, int], policy: str = "round_robin", caps: WalletCaps | None = None, n: int = 1
) -> WalletBook:
    book = WalletBook(policy, caps, buys_per_wallet=n)  # type: ignore[arg-type] # named by the test's table
    for wallet, balance in wallets:
        book.add(wallet, balance=Lamports(balance), kept=Lamports(0))  # type: ignore[arg-type] # as above
    return book


def chosen(outcome: Reservation | Refusal) -> Reservation:
    assert isinstance(outcome, Reservation), outcome
    return outcome


def refused(outcome: Reservation | Refusal) -> str:
    assert isinstance(outcome, Refusal), outcome
    return outcome.reason


# ---- one wallet: as trading.wallet.Wallet ---------------------------------------------------------------------------


def test_one_wallet_reserves_and_releases_like_the_single_wallet() -> None:
    single = Wallet(wallet_key(1).signer(), balance=sol(10), kept=sol(1))
    book = WalletBook()
    book.add(A, balance=sol(10), kept=sol(1))
    assert book.free(A) == single.free == sol(9)
    reservation = chosen(book.choose(sol(9), 0))
    assert single.reserve(sol(9))
    assert book.free(A) == single.free == 0
    assert refused(book.choose(Lamports(1), 0)) == "insufficient_balance"
    assert not single.reserve(1)
    book.on_balance(A, sol(2))
    single.balance = sol(2)
    assert book.free(A) == single.free == -sol(8)
    book.release(reservation)
    single.release(sol(9))
    assert book.free(A) == single.free == sol(1)


def test_refusal_names_what_was_asked_and_what_is_free() -> None:
    outcome = book_of((A, 100)).choose(Lamports(101), 0)
    assert outcome == Refusal(
        reason="insufficient_balance",
        detail="a buy may cost 101 lamports, the most a wallet has free is 100; wallets: 1 insufficient_balance",
    )


# ---- policies ------------------------------------------------------------------------------------------------------


def test_round_robin_takes_turns_and_passes_over_who_cannot_pay() -> None:
    book = book_of((A, 100), (B, 5), (C, 100))
    assert [chosen(book.choose(Lamports(10), 0)).wallet for _ in range(5)] == [A, C, A, C, A]
    book.on_balance(B, Lamports(100))
    assert [chosen(book.choose(Lamports(10), 0)).wallet for _ in range(4)] == [B, C, A, B]


def test_least_used_prefers_who_has_bought_least_then_the_longest_idle() -> None:
    book = book_of((A, 100), (B, 100), (C, 100), policy="least_used")
    book.recall(A, spent=Lamports(1), at=0)
    first, second = chosen(book.choose(Lamports(1), 0)), chosen(book.choose(Lamports(1), 0))
    assert (first.wallet, second.wallet) == (B, C)
    assert chosen(book.choose(Lamports(1), 0)).wallet == A
    book.release(second)
    assert chosen(book.choose(Lamports(1), 0)).wallet == C
    assert [chosen(book.choose(Lamports(1), 0)).wallet for _ in range(3)] == [B, C, A]


def test_fresh_every_n_stays_for_n_buys_and_stops_when_none_is_fresh() -> None:
    book = book_of((A, 100), (B, 100), policy="fresh_every_n", n=2)
    assert book.unused == 2
    one, two = chosen(book.choose(Lamports(1), 0)), chosen(book.choose(Lamports(1), 0))
    assert {one.wallet, two.wallet} == {A}
    assert book.unused == 1
    assert chosen(book.choose(Lamports(1), 0)).wallet == B
    book.release(two)
    assert chosen(book.choose(Lamports(1), 0)).wallet == A
    book.commit(one, spent=Lamports(1), now=0)
    book.close(one)
    assert chosen(book.choose(Lamports(1), 0)).wallet == B
    assert refused(book.choose(Lamports(1), 0)) == "wallet_used_up"
    book.add(C, balance=Lamports(100), kept=Lamports(0))
    assert chosen(book.choose(Lamports(1), 0)).wallet == C


def test_retired_wallet_is_chosen_no_more_and_keeps_what_it_has() -> None:
    book = book_of((A, 100), (B, 100))
    held = chosen(book.choose(Lamports(10), 0))
    book.retire(A)
    assert [chosen(book.choose(Lamports(10), 0)).wallet for _ in range(2)] == [B, B]
    book.commit(held, spent=Lamports(9), now=0)
    assert book.standing(A, 0).at_risk_lamports == 9
    book.close(held)
    book.retire(B)
    assert refused(book.choose(Lamports(1), 0)) == "no_wallet"
    assert refused(WalletBook().choose(Lamports(1), 0)) == "no_wallet"


# ---- caps ----------------------------------------------------------------------------------------------------------


def test_spend_per_hour_counts_what_is_reserved_and_frees_itself_after_an_hour() -> None:
    book = book_of((A, 10_000), caps=WalletCaps(max_spend_per_hour_lamports=Lamports(100)))
    first = chosen(book.choose(Lamports(60), 0))
    assert refused(book.choose(Lamports(41), 0)) == "max_spend_per_hour"
    second = chosen(book.choose(Lamports(40), 0))
    book.release(second)
    book.commit(first, spent=Lamports(50), now=10)
    assert refused(book.choose(Lamports(51), 10 + HOUR - 1)) == "max_spend_per_hour"
    assert chosen(book.choose(Lamports(51), 10 + HOUR)).wallet == A


def test_spend_per_day_outlasts_the_hour() -> None:
    book = book_of((A, 10_000), caps=WalletCaps(max_spend_per_day_lamports=Lamports(100)))
    book.commit(chosen(book.choose(Lamports(100), 0)), spent=Lamports(100), now=0)
    assert refused(book.choose(Lamports(1), 23 * HOUR)) == "max_spend_per_day"
    assert chosen(book.choose(Lamports(100), 24 * HOUR)).wallet == A


def test_open_positions_and_money_at_risk_are_capped_until_closed() -> None:
    caps = WalletCaps(max_open_positions=2, max_at_risk_lamports=Lamports(100))
    book = book_of((A, 10_000), caps=caps)
    first = chosen(book.choose(Lamports(60), 0))
    assert refused(book.choose(Lamports(41), 0)) == "max_at_risk"
    second = chosen(book.choose(Lamports(10), 0))
    assert refused(book.choose(Lamports(1), 0)) == "max_open_positions"
    book.commit(first, spent=Lamports(55), now=0)
    book.commit(second, spent=Lamports(5), now=0, is_held=False)
    assert book.standing(A, 0).open_positions == 1
    assert refused(book.choose(Lamports(46), 0)) == "max_at_risk"
    book.close(first)
    assert chosen(book.choose(Lamports(100), 0)).lamports == 100


def test_most_frequent_reason_is_counted_and_all_are_told() -> None:
    book = book_of((A, 5), (B, 100), (C, 5), caps=WalletCaps(max_open_positions=1))
    chosen(book.choose(Lamports(10), 0))
    outcome = book.choose(Lamports(10), 0)
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "insufficient_balance"
    assert outcome.detail.endswith("wallets: 2 insufficient_balance, 1 max_open_positions")


def test_restart_forgets_no_cap() -> None:
    book = book_of((A, 10_000), caps=WalletCaps(max_spend_per_hour_lamports=Lamports(100), max_open_positions=2))
    book.recall(A, spent=Lamports(80), at=-HOUR // 2)
    position = book.adopt(A, at_risk=Lamports(80))
    standing = book.standing(A, 0)
    assert (standing.spent_hour_lamports, standing.at_risk_lamports, standing.open_positions) == (80, 80, 1)
    assert (standing.uses, standing.reserved_lamports, standing.free_lamports) == (1, 0, 10_000)
    assert refused(book.choose(Lamports(21), 0)) == "max_spend_per_hour"
    chosen(book.choose(Lamports(20), 0))
    assert refused(book.choose(Lamports(0), 0)) == "max_open_positions"
    book.close(position)
    assert book.standing(A, 0).at_risk_lamports == 20


def test_buy_of_an_earlier_run_that_may_land_yet_is_set_aside_beyond_every_cap_and_ends_as_any_other() -> None:
    caps = WalletCaps(max_spend_per_hour_lamports=Lamports(100), max_open_positions=1)
    book = book_of((A, 1_000), caps=caps)
    left = book.reserve(A, Lamports(150))
    standing = book.standing(A, 0)
    assert (standing.reserved_lamports, standing.open_positions, standing.uses) == (150, 1, 1)
    assert refused(book.choose(Lamports(10), 0)) == "max_open_positions"
    book.commit(left, spent=Lamports(95), now=0, is_held=False)
    assert refused(book.choose(Lamports(10), 0)) == "max_spend_per_hour"
    other = book.reserve(A, Lamports(150))
    book.release(other)
    assert (book.standing(A, 0).uses, book.standing(A, 0).reserved_lamports) == (1, 0)


def test_buy_that_cost_more_than_reserved_is_counted_as_it_is() -> None:
    book = book_of((A, 10_000), caps=WalletCaps(max_spend_per_hour_lamports=Lamports(100)))
    book.commit(chosen(book.choose(Lamports(90), 0)), spent=Lamports(130), now=0)
    assert book.standing(A, 0).spent_hour_lamports == 130
    assert refused(book.choose(Lamports(0), 0)) == "max_spend_per_hour"


# ---- wrong use -----------------------------------------------------------------------------------------------------


def test_reservation_ends_once() -> None:
    book = book_of((A, 100))
    gone = chosen(book.choose(Lamports(1), 0))
    book.release(gone)
    with pytest.raises(KeyError):
        book.release(gone)
    held = chosen(book.choose(Lamports(1), 0))
    with pytest.raises(AssertionError):
        book.close(held)
    assert book.standing(A, 0).reserved_lamports == 1
    book.commit(held, spent=Lamports(1), now=0)
    with pytest.raises(AssertionError):
        book.commit(held, spent=Lamports(1), now=0)
    with pytest.raises(AssertionError):
        book.release(held)
    book.close(held)


def test_wallet_is_added_once_and_a_stranger_is_passed_over() -> None:
    book = book_of((A, 100))
    with pytest.raises(ValueError, match="in the book already"):
        book.add(A, balance=Lamports(1), kept=Lamports(0))
    book.on_balance(B, Lamports(5))
    assert book.wallets == [A]
    with pytest.raises(ValueError, match="at least one buy"):
        WalletBook("fresh_every_n", buys_per_wallet=0)


def test_number_of_wallets_and_reservations_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slotzero.trading.wallets.book._MAX_RESERVATIONS", 3)
    book = WalletBook()
    for number in range(1, 257):
        book.add(address(number), balance=Lamports(100), kept=Lamports(0))
    with pytest.raises(ValueError, match="at most 256"):
        book.add(address(999), balance=Lamports(100), kept=Lamports(0))
    for _ in range(3):
        chosen(book.choose(Lamports(1), 0))
    assert refused(book.choose(Lamports(1), 0)) == "too_many_reservations"


def test_standing_keeps_the_balance_a_wallet_began_with() -> None:
    book = book_of((A, 1_000))
    book.on_balance(A, Lamports(900))
    standing = book.standing(A, 0)
    assert (standing.start_lamports, standing.balance) == (1_000, 900)
