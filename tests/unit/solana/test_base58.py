"""Base58 of instruction data."""

import pytest

from slotzero.errors import MalformedError
from slotzero.solana.base58 import base58_decode, base58_encode

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def by_division(data: bytes) -> str:
    number, letters = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        letters = ALPHABET[digit] + letters
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + letters


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("", b""),
        ("1", b"\0"),
        ("11", b"\0\0"),
        ("2", b"\1"),
        ("11z", b"\0\0\x39"),
        ("84eT", b"\x15\x07\x00"),
        ("StV1DL6CwTryKyV", b"hello world"),
    ],
)
def test_text_and_bytes_stand_for_each_other(text: str, raw: bytes) -> None:
    assert base58_decode(text, 100) == raw
    assert base58_encode(raw) == text


@pytest.mark.parametrize("size", [3, 32, 64, 390, 1232])
def test_long_data_is_what_division_gives(size: int) -> None:
    for data in (bytes(index * 41 % 256 for index in range(1, size + 1)), bytes([255] * size), bytes(2) + b"\1" * size):
        text = by_division(data)
        assert base58_encode(data) == text
        assert base58_decode(text, 2_000) == data


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "a b", "é", "2_2", " 22", "-2", "+2"])
def test_letter_outside_the_alphabet_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="no base58 letter"):
        base58_decode(text, 100)


def test_text_past_the_limit_is_refused_unread() -> None:
    with pytest.raises(MalformedError, match="longer than 3"):
        base58_decode("0000", 3)
