"""WALLET_ROTATION: a wallet chosen and reserved (and given back, so that the book stays as it is)."""

from collections.abc import Callable

from slotzero.trading.wallets.book import Reservation, WalletBook, WalletCaps
from slotzero.units import Lamports

from .keys import key

__all__ = ["build"]


def build() -> Callable[[], object]:
    """Choose among 16 wallets with every cap set and a day of buys behind them."""
    caps = WalletCaps(
        max_spend_per_hour_lamports=Lamports(10**14),
        max_spend_per_day_lamports=Lamports(10**15),
        max_open_positions=1_000,
        max_at_risk_lamports=Lamports(10**15),
    )
    book, stake = WalletBook("least_used", caps), Lamports(100_000_000)
    wallets = [key(number) for number in range(16)]
    for wallet in wallets:
        book.add(wallet, balance=Lamports(10**13), kept=Lamports(4_000_000))
    for number in range(4_000):
        book.recall(wallets[number % 16], spent=stake, at=number * 10**9)
    now = 4_000 * 10**9

    def rotate() -> None:
        chosen = book.choose(stake, now)
        assert isinstance(chosen, Reservation)
        book.release(chosen)

    return rotate
