"""What a wallet has bought, added up in cells: no buy is lost, and none leaves a window too early."""

from hypothesis import given
from hypothesis import strategies as st

from slotzero.trading.journal.purchases import Purchases
from slotzero.units import Lamports, WallNs
from trading_lab import key

S = 10**9
DAY = 24 * 3_600 * S
buys = st.lists(st.tuples(st.integers(0, 2 * DAY), st.integers(0, 10**9)), max_size=60)


def made(*bought: tuple[int, int]) -> Purchases:
    purchases = Purchases()
    for at, spent in bought:
        purchases.add(key(1), spent=Lamports(spent), at=WallNs(at))
    return purchases


def test_wallet_that_bought_nothing_has_nothing() -> None:
    assert (list(made().cells(key(2))), made().older(key(2))) == ([], 0)


def test_buys_within_ten_seconds_count_from_the_youngest_on() -> None:
    (cell,) = made((12 * S, 3), (19 * S, 4), (15 * S, 5)).cells(key(1))
    assert (cell.at, cell.spent, cell.buys) == (19 * S, 12, 3)


def test_day_old_buys_are_only_counted() -> None:
    purchases = made((0, 3), (5 * S, 3), (DAY + 20 * S, 4))
    assert purchases.older(key(1)) == 2
    assert [(cell.at, cell.spent) for cell in purchases.cells(key(1))] == [(DAY + 20 * S, 4)]


def test_a_week_of_a_buy_a_second_stays_small() -> None:
    purchases = Purchases()
    for second in range(0, 7 * 24 * 3_600, 7):
        purchases.add(key(1), spent=Lamports(1), at=WallNs(second * S))
    cells = list(purchases.cells(key(1)))
    assert len(cells) < 8_700
    assert purchases.older(key(1)) + sum(cell.buys for cell in cells) == len(range(0, 7 * 24 * 3_600, 7))


@given(buys)
def test_no_window_of_a_day_is_summed_too_low(bought: list[tuple[int, int]]) -> None:
    purchases = made(*bought)
    cells = list(purchases.cells(key(1)))
    assert purchases.older(key(1)) + sum(cell.buys for cell in cells) == len(bought)
    assert [cell.at for cell in cells] == sorted(cell.at for cell in cells)
    newest = max((at for at, _ in bought), default=0)
    for span in (DAY, 3_600 * S):
        exact = sum(spent for at, spent in bought if at > newest - span)
        assert sum(cell.spent for cell in cells if cell.at > newest - span) >= exact


def test_wallets_are_apart() -> None:
    purchases = made((0, 3))
    purchases.add(key(2), spent=Lamports(5), at=WallNs(0))
    assert [[cell.spent for cell in purchases.cells(key(number))] for number in (1, 2)] == [[3], [5]]
