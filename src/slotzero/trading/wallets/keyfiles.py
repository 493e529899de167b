"""Keys as other tools write them: the Solana CLI's JSON file, and the base58 text that wallets export.

Both hold 64 bytes, a seed and the public key that follows from it. The second half is computed anew and compared, so
a damaged or edited file is refused instead of becoming a wallet nobody has the money of. Formats without that check
(a 32-byte seed, hex) are refused. No error shows a byte of what was read: parsing returns a reason, and the error is
raised where the content is held as a `Secret` only.
"""

import re
from pathlib import Path
from typing import Final

import msgspec
from nacl.bindings import crypto_sign_seed_keypair

from slotzero.errors import MalformedError, UsageError
from slotzero.secret import Secret
from slotzero.solana.base58 import base58_decode
from slotzero.trading.wallets.keys import SECRET_KEY_BYTES, SEED_BYTES, WalletKey, wipe
from slotzero.trading.wallets.private_files import read_private

__all__ = ["KeyFileError", "parse_key", "read_key_file"]

_MAX_FILE_BYTES: Final = 4_096
_MAX_BASE58_CHARS: Final = 90
_HINT: Final = "give the 64 numbers that `solana-keygen` writes, or a 64-byte secret in base58"

_decode_numbers = msgspec.json.Decoder(list[int]).decode


class KeyFileError(UsageError):
    """What was to be imported is no key, or not a whole one. The sentence shows nothing of it."""


def read_key_file(path: Path) -> WalletKey:
    """Return the key in a file. *Does I/O.*

    Raises:
        KeyFileError: It holds no key in a known form, or its two halves do not belong together.
        UsageError: The file cannot be read, or others can read it.
    """
    if _is_like_a_key(str(path)):
        raise KeyFileError(
            "a key was given where a file was expected, and other users of this machine can read command lines: "
            "move its money to a new wallet, and put keys into files of mode 0600"
        )
    content = read_private(path, what="a key file", max_bytes=_MAX_FILE_BYTES)
    try:
        return parse_key(content, str(path))
    finally:
        wipe(content.reveal())


def _is_like_a_key(name: str) -> bool:
    """Tell whether what was given as a file's name is a key itself, which an error would repeat."""
    return name.strip().startswith("[") or re.fullmatch(r"[1-9A-HJ-NP-Za-km-z]{60,}|[0-9a-fA-F]{60,}", name) is not None


def parse_key(content: Secret[bytearray], source: str) -> WalletKey:
    """Return the key a text holds. *Pure.*

    Args:
        content: Solana CLI JSON (64 numbers) or base58 (64 bytes), white space around it ignored.
        source: What errors call it.

    Raises:
        KeyFileError: It is neither, or its two halves do not belong together.
    """
    outcome = _parse(content)
    if isinstance(outcome, str):
        raise KeyFileError(f"{source} {outcome}; {_HINT}")
    return outcome


def _parse(content: Secret[bytearray]) -> WalletKey | str:
    """Return the key, or why there is none. Raises nothing: a traceback through here would pass by the key."""
    text = bytes(content.reveal()).strip()
    if not text:
        return "is empty"
    secret = _numbers(text) if text.startswith(b"[") else _base58(text)
    if isinstance(secret, str):
        return secret
    try:
        return _checked(secret)
    finally:
        wipe(secret)


def _numbers(text: bytes) -> bytearray | str:
    try:
        numbers = _decode_numbers(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "begins like a list of numbers but is none"
    if len(numbers) != SECRET_KEY_BYTES:
        return f"holds {len(numbers)} numbers where {SECRET_KEY_BYTES} were expected"
    try:
        return bytearray(numbers)
    except ValueError:
        return "holds a number that is no byte (0 to 255)"


def _base58(text: bytes) -> bytearray | str:
    if len(text) > _MAX_BASE58_CHARS:
        return f"holds a text of {len(text)} characters, more than a key has"
    try:
        secret = bytearray(base58_decode(text.decode("ascii"), _MAX_BASE58_CHARS))
    except (MalformedError, UnicodeDecodeError):
        return "holds neither a list of numbers nor base58"
    if len(secret) == SECRET_KEY_BYTES:
        return secret
    size = len(secret)
    wipe(secret)
    if size == SEED_BYTES:
        return "holds 32 bytes, an address or half a key"
    return f"holds {size} bytes where {SECRET_KEY_BYTES} were expected"


def _checked(secret: bytearray) -> WalletKey | str:
    if not any(secret[:SEED_BYTES]):
        return "holds a seed of zeros"
    public = crypto_sign_seed_keypair(bytes(secret[:SEED_BYTES]))[0]
    if public != secret[SEED_BYTES:]:
        # The second half is not shown: in a file put together wrongly it may be the secret one.
        return "is damaged: its secret half and its public half do not belong together"
    return WalletKey(Secret(secret[:SEED_BYTES]))
