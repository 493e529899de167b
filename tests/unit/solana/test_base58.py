"""Base58 of instruction data."""

import pytest

from slotzero.errors import MalformedError
from slotzero.solana.base58 import base58_decode


@pytest.mark.parametrize(
    ("text", "raw"), [("", b""), ("1", b"\0"), ("2", b"\1"), ("11z", b"\0\0\x39"), ("84eT", b"\x15\x07\x00")]
)
def test_known_text_gives_its_bytes(text: str, raw: bytes) -> None:
    assert base58_decode(text, 100) == raw


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "a b", "é"])
def test_letter_outside_the_alphabet_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="no base58 letter"):
        base58_decode(text, 100)


def test_text_past_the_limit_is_refused_unread() -> None:
    with pytest.raises(MalformedError, match="longer than 3"):
        base58_decode("0000", 3)
