"""Base58 of byte strings other than keys, hashes and signatures (those print themselves)."""

from typing import Final

from slotzero.errors import MalformedError

__all__ = ["base58_decode", "base58_encode"]

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PAIR: Final = 58 * 58
_PAIRS: Final = [first + second for first in _ALPHABET for second in _ALPHABET]
_PAIRS_PER_LIMB: Final = 5
_LIMB: Final = _PAIR**_PAIRS_PER_LIMB
"""Below 2^60: one long division takes ten digits off, the rest is done on small integers."""
_DIGITS: Final = {letter: value for value, letter in enumerate(_ALPHABET)}


def base58_encode(data: bytes) -> str:
    """Return `data` in base58. *Pure.* Quadratic in its length: meant for instruction data, not for accounts."""
    number = int.from_bytes(data, "big")
    pairs: list[str] = []
    while number:
        number, limb = divmod(number, _LIMB)
        for _ in range(_PAIRS_PER_LIMB):
            limb, pair = divmod(limb, _PAIR)
            pairs.append(_PAIRS[pair])
    pairs.reverse()
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(pairs).lstrip("1")


def base58_decode(text: str, max_chars: int) -> bytes:
    """Return the bytes `text` stands for. *Pure.*

    Args:
        text: What came from outside.
        max_chars: Longer texts are refused unread, since decoding is quadratic.

    Raises:
        MalformedError: It is too long or holds a letter that base58 does not know.
    """
    if len(text) > max_chars:
        raise MalformedError(f"base58 text too large: {len(text)} characters (max: {max_chars})")
    number = 0
    for letter in text:
        digit = _DIGITS.get(letter)
        if digit is None:
            raise MalformedError(f"{letter!r} is no base58 letter")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
