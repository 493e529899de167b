"""The bytes of a keystore: one line of JSON around a box that only the password opens. *Pure*, but for randomness.

The line has its format, its version, how the password becomes a key (argon2id, its cost and its salt), a nonce and a
box (XSalsa20-Poly1305, libsodium's secretbox) with everything about the wallets. A checksum over the whole tells
damage from a wrong password. It protects against nothing else; the box does: what is outside of it either has one
allowed value or goes into the derivation of its key. A file is read only in exactly the form in which it is written.
"""

import hashlib
import unicodedata
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random
from solders.pubkey import Pubkey

from slotzero.errors import UsageError
from slotzero.secret import Secret
from slotzero.trading.wallets.keys import SEED_BYTES, wipe

__all__ = [
    "MODERATE",
    "Derivation",
    "KdfCost",
    "KeystoreContent",
    "KeystoreDamagedError",
    "KeystoreError",
    "SealedFile",
    "WalletEntry",
    "derive",
    "is_consistent",
    "new_derivation",
    "parse_file",
    "seal",
    "unseal",
]

_FORMAT: Final = "slotzero.keystore"
_VERSION: Final = 1
_KDF: Final = "argon2id"
_CIPHER: Final = "xsalsa20-poly1305"
_MOST_OPS: Final = 16
_MOST_MEMORY_BYTES: Final = 1 << 30


class KeystoreError(UsageError):
    """A keystore cannot be used as asked. The file is as it was."""


class KeystoreDamagedError(KeystoreError):
    """The file is truncated, changed, foreign, or of a later version."""


class KdfCost(Struct, frozen=True, kw_only=True):
    """What deriving the key costs whoever tries a password: passes over so many bytes of memory.

    A file says its own. Lower than `MODERATE` is for tests.
    """

    ops_limit: int
    memory_bytes: int


MODERATE: Final = KdfCost(ops_limit=3, memory_bytes=256 << 20)
"""libsodium's *moderate*: 256 MiB, three passes; about 0.8 s for each try."""


class Derivation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a password becomes the box's key. `salt` is base64."""

    name: str
    ops_limit: int
    memory_bytes: int
    salt: str


class _Box(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    cipher: str
    nonce: str
    content: str


class SealedFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A keystore file, its order of keys included. `sha256` is that of the file in which it is empty."""

    format: str
    version: int
    kdf: Derivation
    box: _Box
    sha256: str


class _Header(Struct, frozen=True):
    """What every version of the format will have."""

    format: str
    version: int


class WalletEntry(Struct, kw_only=True, forbid_unknown_fields=True):
    """A wallet inside the box. Its seed is a buffer that its user wipes; `successor` is "" for none."""

    name: str
    seed: bytearray
    is_retired: bool
    successor: str

    def __repr__(self) -> str:
        """Return the name alone."""
        return f"WalletEntry({self.name})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Return the name alone."""
        return [("name", self.name)]


class KeystoreContent(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is inside the box. `allowed` are the addresses that may be swept to, 32 bytes each."""

    wallets: list[WalletEntry]
    allowed: list[bytes]


_read_header = msgspec.json.Decoder(_Header).decode
_read_file = msgspec.json.Decoder(SealedFile).decode
_read_content = msgspec.msgpack.Decoder(KeystoreContent).decode
_content_encoder = msgspec.msgpack.Encoder()


def _checksum(file: SealedFile) -> str:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(file, sha256=""))).hexdigest()


def _render(file: SealedFile) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(file, sha256=_checksum(file))) + b"\n"


def parse_file(raw: bytes, source: Path) -> SealedFile:
    """Return what a keystore file says, everything outside its box judged.

    Raises:
        KeystoreDamagedError: It is damaged, foreign, or of a later version.
    """
    try:
        header = _read_header(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise KeystoreDamagedError(
            f"{source} is no keystore, or only a part of one; name another file or restore a copy of it"
        ) from None
    if header.format != _FORMAT:
        raise KeystoreDamagedError(f"{source} is no keystore of slotzero; name another file")
    if header.version != _VERSION:
        raise KeystoreDamagedError(
            f"{source} is a keystore of version {header.version}, this program reads version {_VERSION}; "
            "use the program that wrote it, or restore a copy"
        )
    try:
        file = _read_file(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        file = None
    if file is None or _render(file) != raw or not _is_sound(file):
        raise KeystoreDamagedError(f"{source} is damaged; restore a copy of it")
    return file


def _is_sound(file: SealedFile) -> bool:
    """Tell whether a file with a right checksum, which anybody can compute, also has values that we write."""
    kdf, box = file.kdf, file.box
    return (
        kdf.name == _KDF
        and box.cipher == _CIPHER
        and pwhash.argon2id.OPSLIMIT_MIN <= kdf.ops_limit <= _MOST_OPS
        and pwhash.argon2id.MEMLIMIT_MIN <= kdf.memory_bytes <= _MOST_MEMORY_BYTES
        and len(_bytes(kdf.salt)) == pwhash.argon2id.SALTBYTES
        and len(_bytes(box.nonce)) == SecretBox.NONCE_SIZE
        and len(_bytes(box.content)) > SecretBox.MACBYTES
    )


def _bytes(text: str) -> bytes:
    """Return what base64 stands for, or nothing when it is written otherwise than we write it."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        return b""
    return data if b64encode(data).decode() == text else b""


def derive(password: Secret[str], kdf: Derivation) -> Secret[bytes]:
    """Return the box's key. As slow as the file says.

    Raises:
        KeystoreError: There is not enough memory.
    """
    # The same password typed on two systems may come composed or decomposed.
    secret = Secret(unicodedata.normalize("NFC", password.reveal()).encode())
    try:
        key = pwhash.argon2id.kdf(
            SecretBox.KEY_SIZE,
            secret.reveal(),
            _bytes(kdf.salt),
            opslimit=kdf.ops_limit,
            memlimit=kdf.memory_bytes,
        )
    except (CryptoError, MemoryError):
        mebibytes = kdf.memory_bytes >> 20
        raise KeystoreError(
            f"there is not enough memory to open a keystore that asks for {mebibytes} MiB; free some and try again"
        ) from None
    return Secret(key)


def new_derivation(cost: KdfCost) -> Derivation:
    """Return a derivation of this cost with a fresh salt."""
    salt = b64encode(random(pwhash.argon2id.SALTBYTES)).decode()
    return Derivation(name=_KDF, ops_limit=cost.ops_limit, memory_bytes=cost.memory_bytes, salt=salt)


def seal(content: KeystoreContent, key: Secret[bytes], kdf: Derivation) -> bytes:
    """Return the file's bytes, under a nonce of its own for each save."""
    nonce = random(SecretBox.NONCE_SIZE)
    plain = bytearray()
    _content_encoder.encode_into(content, plain)
    try:
        sealed = SecretBox(key.reveal()).encrypt(bytes(plain), nonce).ciphertext
    finally:
        wipe(plain)
    box = _Box(cipher=_CIPHER, nonce=b64encode(nonce).decode(), content=b64encode(sealed).decode())
    return _render(SealedFile(format=_FORMAT, version=_VERSION, kdf=kdf, box=box, sha256=""))


def unseal(file: SealedFile, key: Secret[bytes]) -> KeystoreContent | None:
    """Return what the box holds, or None when the key is another one."""
    try:
        plain = SecretBox(key.reveal()).decrypt(_bytes(file.box.content), _bytes(file.box.nonce))
        return _read_content(plain)
    except (CryptoError, msgspec.MsgspecError):
        return None


def is_consistent(content: KeystoreContent) -> bool:
    """Tell whether what came out of a box are wallets, each once."""
    names = {entry.name for entry in content.wallets}
    return (
        len(names) == len(content.wallets)
        and all(len(entry.seed) == SEED_BYTES and any(entry.seed) for entry in content.wallets)
        and all(len(address) == Pubkey.LENGTH for address in content.allowed)
    )
