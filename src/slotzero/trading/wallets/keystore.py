"""The keystore: the keys of several wallets in one file, encrypted under one password.

Everything about the wallets is inside the encrypted box (see `sealed`), their addresses too: an address shown from
outside it could have been exchanged, and money would be sent there. So is the list of addresses that may be swept to,
which then cannot be extended without the password.

A save writes beside the file, forces it to disk, reads it back, decrypts it, and only then renames it: a crash leaves
the old file or the new one. Writers exclude one another by a lock file. Nothing here removes a key.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import UsageError
from slotzero.secret import Secret
from slotzero.solana.transaction import Signer
from slotzero.trading.wallets.keys import WalletKey
from slotzero.trading.wallets.private_files import check_private_folder, read_private
from slotzero.trading.wallets.sealed import (
    MODERATE,
    Derivation,
    KdfCost,
    KeystoreContent,
    KeystoreDamagedError,
    KeystoreError,
    WalletEntry,
    derive,
    is_consistent,
    new_derivation,
    parse_file,
    seal,
    unseal,
)

__all__ = [
    "MODERATE",
    "KdfCost",
    "Keystore",
    "KeystoreDamagedError",
    "KeystoreError",
    "KeystoreWallet",
    "WrongPasswordError",
    "create_keystore",
    "edit_keystore",
    "keystore_path",
    "open_keystore",
]

_MAX_FILE_BYTES: Final = 1_000_000
_MAX_WALLETS: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_SUCCESSOR_NONE: Final = ""
_NO_KEYS: Final[Mapping[str, WalletKey]] = {}


class WrongPasswordError(KeystoreError):
    """The password does not open the keystore. The sentence is the same for every password."""


class KeystoreWallet(Struct, frozen=True, kw_only=True):
    """A wallet of a keystore as it may be shown.

    Attributes:
        is_retired: Whether it has been taken out of use; its key is kept.
        successor: The wallet that took its place, or None.
    """

    name: str
    address: Pubkey
    is_retired: bool
    successor: str | None


# ---- the open keystore ---------------------------------------------------------------------------------------------


class Keystore:
    """The wallets of an open keystore. Made by `open_keystore`, `edit_keystore` and `create_keystore`.

    Its keys are wiped when its context ends, as far as Python allows (see `keys`); signers taken from it live on.
    """

    def __init__(self, path: Path, content: KeystoreContent, key: Secret[bytes], kdf: Derivation) -> None:
        self.path = path
        self._key = key
        self._kdf = kdf
        self._keys: dict[str, WalletKey] = {}
        self._retired: dict[str, str] = {}
        self._allowed = [Pubkey.from_bytes(address) for address in content.allowed]
        self._is_changed = False
        for entry in content.wallets:
            self._keys[entry.name] = WalletKey(Secret(entry.seed))
            if entry.is_retired:
                self._retired[entry.name] = entry.successor

    def __repr__(self) -> str:
        """Return its file and how many wallets it has."""
        return f"Keystore({self.path}, {len(self._keys)} wallets)"

    def __enter__(self) -> Self:
        """Begin to use it."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Wipe the keys."""
        self.wipe()

    @property
    def wallets(self) -> tuple[KeystoreWallet, ...]:
        """All wallets, in the order they were added."""
        return tuple(self._shown(name, key) for name, key in self._keys.items())

    @property
    def allowed(self) -> tuple[Pubkey, ...]:
        """The addresses that may be swept to, beside the wallets themselves."""
        return tuple(self._allowed)

    @property
    def is_changed(self) -> bool:
        """Whether something has not been saved yet."""
        return self._is_changed

    def wallet(self, name: str) -> KeystoreWallet:
        """Return the wallet called `name`. Raises KeystoreError when there is none."""
        return self._shown(name, self._found(name))

    def signer(self, name: str) -> Signer:
        """Return what signs for the wallet called `name`. Raises KeystoreError when there is none."""
        return self._found(name).signer()

    def free_name(self, stem: str = "wallet") -> str:
        """Return the first of `wallet-1`, `wallet-2` ... that is not taken."""
        return next(name for number in range(1, _MAX_WALLETS + 2) if (name := f"{stem}-{number}") not in self._keys)

    def add(self, name: str, key: WalletKey) -> KeystoreWallet:
        """Take in a key under a name of its own; it is saved when the edit ends. The keystore wipes its own copy.

        Raises:
            KeystoreError: The name is taken or unfit, the key is there already, or the keystore is full.
        """
        if not _NAME.fullmatch(name):
            # Not shown: it may be a key in the wrong place.
            raise KeystoreError(
                f"a text of {len(name)} characters is no wallet name; use up to 32 letters, digits, '-', '_' and '.', "
                "a letter or digit first"
            )
        if name in self._keys:
            raise KeystoreError(f"there is a wallet called {name} already; choose another name")
        for known, held in self._keys.items():
            if held.address == key.address:
                raise KeystoreError(f"the wallet {key.address} is there already, it is called {known}")
        if len(self._keys) >= _MAX_WALLETS:
            raise KeystoreError(f"{self.path} holds {_MAX_WALLETS} wallets, the most it can; start another keystore")
        self._keys[name] = key.copy()
        self._is_changed = True
        return self.wallet(name)

    def retire(self, name: str, successor: str | None = None) -> None:
        """Take a wallet out of use; its key is kept. Raises KeystoreError when there is none of that name.

        Args:
            name: Which.
            successor: The wallet that takes its place.
        """
        self._found(name)
        if successor is not None:
            self._found(successor)
        self._retired[name] = successor or _SUCCESSOR_NONE
        self._is_changed = True

    def allow(self, address: Pubkey) -> None:
        """Let money be swept to `address`."""
        if address not in self._allowed:
            self._allowed.append(address)
            self._is_changed = True

    def forbid(self, address: Pubkey) -> None:
        """Let no more money be swept to `address`. Raises KeystoreError when it was not allowed."""
        if address not in self._allowed:
            raise KeystoreError(f"{address} is not among the addresses that may be swept to")
        self._allowed.remove(address)
        self._is_changed = True

    def save(self) -> None:
        """Write it, keeping the password and its cost. *Does I/O.* Only within `edit_keystore`.

        Raises:
            KeystoreError: It could not be written; the file is as it was.
        """
        _write(self.path, seal(self._content(), self._key, self._kdf), self._key)
        self._is_changed = False

    def change_password(self, password: Secret[str], cost: KdfCost | None = None) -> None:
        """Put the keystore under another password from the next save on.

        Args:
            password: The new one.
            cost: What trying a password costs from now on; None keeps it.
        """
        cost = cost or KdfCost(ops_limit=self._kdf.ops_limit, memory_bytes=self._kdf.memory_bytes)
        self._kdf = new_derivation(cost)
        self._key = derive(password, self._kdf)
        self._is_changed = True

    def wipe(self) -> None:
        """Overwrite the keys held here."""
        for key in self._keys.values():
            key.wipe()

    def _shown(self, name: str, key: WalletKey) -> KeystoreWallet:
        successor = self._retired.get(name)
        return KeystoreWallet(
            name=name, address=key.address, is_retired=successor is not None, successor=successor or None
        )

    def _found(self, name: str) -> WalletKey:
        if name not in self._keys:
            known = ", ".join(list(self._keys)[:10]) or "none yet"
            called = f"called {name}" if _NAME.fullmatch(name) else f"with a name of {len(name)} characters"
            raise KeystoreError(f"there is no wallet {called}; known are: {known}")
        return self._keys[name]

    def _content(self) -> KeystoreContent:
        return KeystoreContent(
            wallets=[
                WalletEntry(
                    name=name,
                    seed=key.seed.reveal(),
                    is_retired=name in self._retired,
                    successor=self._retired.get(name, _SUCCESSOR_NONE),
                )
                for name, key in self._keys.items()
            ],
            allowed=[bytes(address) for address in self._allowed],
        )


def keystore_path(configured: str) -> Path:
    """Return the keystore's file: the configured one, else one in a folder of its own among the user's data."""
    if configured:
        return Path(configured).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "slotzero" / "wallets" / "keystore.json"


def create_keystore(
    path: Path, password: Secret[str], keys: Mapping[str, WalletKey] = _NO_KEYS, *, cost: KdfCost = MODERATE
) -> None:
    """Write a new keystore. *Does I/O.* Its folder is made when it is absent, for this user alone.

    Args:
        path: Where.
        password: What opens it.
        keys: Its first wallets, by name.
        cost: What trying a password is to cost.

    Raises:
        KeystoreError: There is a file already, a name is unfit, or it cannot be written.
        UsageError: The folder is open to others.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path.parent} cannot be made ({error.strerror}); name a keystore elsewhere") from error
    check_private_folder(path.parent)
    with _locked(path):
        if path.exists() or path.is_symlink():
            raise KeystoreError(f"{path} exists and was left as it is; name another file")
        kdf = new_derivation(cost)
        with Keystore(path, KeystoreContent(wallets=[], allowed=[]), derive(password, kdf), kdf) as keystore:
            for name, key in keys.items():
                keystore.add(name, key)
            keystore.save()


def open_keystore(path: Path, password: Secret[str]) -> Keystore:
    """Read and decrypt a keystore, to look and to sign. *Does I/O.* About 0.8 s at `MODERATE`.

    Raises:
        WrongPasswordError: The password is another one.
        KeystoreDamagedError: The file is damaged, foreign, or of a later version.
        UsageError: The file or its folder is open to others, or cannot be read.
    """
    check_private_folder(path.resolve().parent)
    raw = bytes(read_private(path, what="a keystore", max_bytes=_MAX_FILE_BYTES).reveal())
    file = parse_file(raw, path)
    key = derive(password, file.kdf)
    content = unseal(file, key)
    if content is None:
        raise WrongPasswordError(f"the password does not open {path}; nothing was changed")
    if not is_consistent(content):
        raise KeystoreDamagedError(f"{path} holds something else than wallets; restore a copy of it")
    return Keystore(path, content, key, file.kdf)


@contextlib.contextmanager
def edit_keystore(path: Path, password: Secret[str]) -> Iterator[Keystore]:
    """Open a keystore to change it; what was changed is saved at the end unless the block raised. *Does I/O.*

    Raises:
        KeystoreError: Another process is editing it, or it cannot be written; and all that `open_keystore` raises.
    """
    path = path.resolve()  # a link would be replaced by a file, and what it led to would lack the new key
    check_private_folder(path.parent)
    with _locked(path), open_keystore(path, password) as keystore:
        yield keystore
        if keystore.is_changed:
            keystore.save()


# ---- writing -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the keystore's lock file. Without it two writers would each lose the other's new key, and its money."""
    lock = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise KeystoreError(f"{lock} cannot be made ({error.strerror}); name a keystore elsewhere") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise KeystoreError(f"another process is editing {path}; wait until it has ended") from error
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, raw: bytes, key: Secret[bytes]) -> None:
    """Replace the file by `raw` in one step that a crash cannot halve."""
    new = path.with_name(path.name + ".new")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(new, flags, 0o600)
        try:
            os.fchmod(descriptor, 0o600)  # what a crash left there may have another mode
            with os.fdopen(os.dup(descriptor), "wb") as out:
                out.write(raw)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        written = new.read_bytes()
        if written != raw or unseal(parse_file(written, new), key) is None:
            raise KeystoreError(f"{new} could not be read back, so {path} was left as it was; look at the disk")
        new.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise KeystoreError(f"{path} cannot be written ({error.strerror}); it is as it was") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
