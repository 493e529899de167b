"""Base58 of byte strings other than keys, hashes and signatures (those read and print themselves)."""

from typing import Final

from slotzero.errors import MalformedError

__all__ = ["base58_decode"]

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {letter: value for value, letter in enumerate(_ALPHABET)}


def base58_decode(text: str, max_chars: int) -> bytes:
    """Return the bytes `text` stands for. *Pure.*

    Args:
        text: What came from outside.
        max_chars: Longer texts are refused unread, since decoding is quadratic.

    Raises:
        MalformedError: It is too long or holds a letter that base58 does not know.
    """
    if len(text) > max_chars:
        raise MalformedError(f"a base58 text of {len(text)} characters is longer than {max_chars}")
    number = 0
    try:
        for letter in text:
            number = number * 58 + _DIGITS[letter]
    except KeyError as error:
        raise MalformedError(f"{error.args[0]!r} is no base58 letter") from error
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
