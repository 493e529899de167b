"""What orders reserve of a balance, and what a transaction pays the network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotzero.trading.fees import network_fee
from slotzero.trading.wallet import Wallet
from slotzero.units import ComputeUnits, Lamports, MicroLamportsPerCu
from trading_lab import SIGNER


def wallet(balance: int = 1_000, kept: int = 100) -> Wallet:
    return Wallet(SIGNER, balance=Lamports(balance), kept=Lamports(kept))


def test_reservation_takes_up_to_what_is_free() -> None:
    it = wallet()
    assert it.free == 900
    assert not it.reserve(901)
    assert it.free == 900
    assert it.reserve(900)
    assert it.free == 0
    assert not it.reserve(1)


def test_released_reservation_is_free_again() -> None:
    it = wallet()
    it.reserve(400)
    it.reserve(300)
    it.release(400)
    assert it.free == 600


def test_falling_balance_makes_less_free_even_below_nothing() -> None:
    it = wallet()
    it.reserve(900)
    it.balance = Lamports(500)
    assert it.free == -500
    assert not it.reserve(1)
    assert not it.reserve(0)


def test_releasing_more_than_was_reserved_is_a_bug() -> None:
    it = wallet()
    it.reserve(10)
    with pytest.raises(AssertionError):
        it.release(11)


@given(st.lists(st.integers(0, 500), max_size=30))
def test_reservations_together_never_exceed_what_was_free(amounts: list[int]) -> None:
    it = wallet()
    assert sum(amount for amount in amounts if it.reserve(amount)) <= 900


def test_wallet_shows_no_secret() -> None:
    secret = SIGNER._secret.reveal().hex()
    assert secret not in repr(vars(wallet()))


@pytest.mark.parametrize(
    ("units", "price", "fee"),
    [
        (0, 0, 5_000),
        (160_000, 0, 5_000),
        (160_000, 100_000, 21_000),
        (1, 1, 5_001),
        (1_000, 1_000, 5_001),
        (1_001, 1_000, 5_002),
    ],
)
def test_network_fee_is_the_signature_and_the_requested_units_rounded_up(units: int, price: int, fee: int) -> None:
    assert network_fee(ComputeUnits(units), MicroLamportsPerCu(price)) == fee
