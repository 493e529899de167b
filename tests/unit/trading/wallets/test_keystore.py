import base64
import hashlib
import json
import os
import re
import stat
import traceback
from pathlib import Path

import pytest
from rich.pretty import pretty_repr

from slotzero.errors import UsageError
from slotzero.secret import Secret
from slotzero.trading.wallets import (
    KdfCost,
    KeystoreDamagedError,
    KeystoreError,
    WalletKey,
    WrongPasswordError,
    create_keystore,
    edit_keystore,
    open_keystore,
)
from slotzero.trading.wallets.keystore import keystore_path
from wallet_lab import CHEAP, PASSWORD, address, new_keystore, wallet_key

RIGHT = Secret(PASSWORD)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_wallets_come_back_as_they_were_put_in(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1, 2)
    with edit_keystore(path, RIGHT) as keystore:
        keystore.add("w3", wallet_key(3))
        keystore.retire("w1", "w3")
        keystore.retire("w2")
        keystore.allow(address(77))
        keystore.allow(address(78))
        keystore.forbid(address(78))
    with open_keystore(path, RIGHT) as keystore:
        assert [(w.name, w.address, w.is_retired, w.successor) for w in keystore.wallets] == [
            ("w1", address(1), True, "w3"),
            ("w2", address(2), True, None),
            ("w3", address(3), False, None),
        ]
        assert keystore.allowed == (address(77),)
        assert keystore.signer("w3").pubkey == address(3)


def test_file_shows_neither_addresses_nor_names_nor_keys(tmp_path: Path) -> None:
    raw = new_keystore(tmp_path, 1).read_text()
    assert raw.count("\n") == 1
    document = json.loads(raw)
    assert document["format"] == "slotzero.keystore"
    assert document["version"] == 1
    assert document["kdf"]["name"] == "argon2id"
    sealed = base64.b64decode(document["box"]["content"])
    for secret in (str(address(1)).encode(), bytes(address(1)), b'"w1"', bytes(wallet_key(1).seed.reveal())):
        assert secret not in raw.encode()
        assert secret not in sealed


def test_saving_twice_uses_another_nonce(tmp_path: Path) -> None:
    path = new_keystore(tmp_path)
    nonces = set()
    for number in range(1, 5):
        with edit_keystore(path, RIGHT) as keystore:
            keystore.add(f"w{number}", wallet_key(number))
        nonces.add(json.loads(path.read_text())["box"]["nonce"])
    assert len(nonces) == 4


def test_edit_without_a_change_leaves_the_file_alone(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    before = path.read_bytes()
    with edit_keystore(path, RIGHT) as keystore:
        assert not keystore.is_changed
    assert path.read_bytes() == before


def test_edit_that_raises_saves_nothing(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    before = path.read_bytes()

    def fail() -> None:
        with edit_keystore(path, RIGHT) as keystore:
            keystore.add("w2", wallet_key(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == before


def test_keys_are_wiped_when_the_keystore_closes(tmp_path: Path) -> None:
    with open_keystore(new_keystore(tmp_path, 1), RIGHT) as keystore:
        key = keystore._keys["w1"]
        signer = keystore.signer("w1")
        assert any(key.seed.reveal())
    assert key.is_wiped
    assert signer.sign(b"m") == wallet_key(1).signer().sign(b"m")


# ---- the password --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["", "correct horse batterz", PASSWORD + " ", PASSWORD.upper(), "\0", "x" * 9_999])
def test_wrong_password_is_always_the_same_sentence(tmp_path: Path, password: str) -> None:
    path = new_keystore(tmp_path, 1)
    before = path.read_bytes()
    with pytest.raises(WrongPasswordError) as caught:
        open_keystore(path, Secret(password))
    assert str(caught.value) == f"the password does not open {path}; nothing was changed"
    assert path.read_bytes() == before


def test_password_is_the_same_composed_and_decomposed(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "k.json"
    create_keystore(path, Secret("caf\u00e9 au lait"), cost=CHEAP)
    open_keystore(path, Secret("cafe\u0301 au lait")).wipe()


def test_changed_password_replaces_the_old_one(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    with edit_keystore(path, RIGHT) as keystore:
        keystore.change_password(Secret("another long one"))
    with pytest.raises(WrongPasswordError):
        open_keystore(path, RIGHT)
    with open_keystore(path, Secret("another long one")) as keystore:
        assert keystore.wallet("w1").address == address(1)
    assert json.loads(path.read_text())["kdf"]["memory_bytes"] == CHEAP.memory_bytes


def test_cost_is_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "k.json"
    create_keystore(path, RIGHT, cost=KdfCost(ops_limit=2, memory_bytes=1 << 20))
    assert json.loads(path.read_text())["kdf"] | {"salt": ""} == {
        "name": "argon2id",
        "ops_limit": 2,
        "memory_bytes": 1 << 20,
        "salt": "",
    }
    open_keystore(path, RIGHT).wipe()


# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "../x", "x" * 33, "a\n", "ä", "\x1b[31m"])
def test_unfit_name_is_refused(tmp_path: Path, name: str) -> None:
    with (
        open_keystore(new_keystore(tmp_path), RIGHT) as keystore,
        pytest.raises(KeystoreError, match="no wallet name") as caught,
    ):
        keystore.add(name, wallet_key(1))
    assert str(caught.value).isprintable()
    assert str(caught.value).startswith(f"a text of {len(name)} characters")


def test_name_or_key_that_is_there_is_refused(tmp_path: Path) -> None:
    with open_keystore(new_keystore(tmp_path, 1), RIGHT) as keystore:
        with pytest.raises(KeystoreError, match="called w1 already"):
            keystore.add("w1", wallet_key(2))
        with pytest.raises(KeystoreError, match="it is called w1"):
            keystore.add("w2", wallet_key(1))
        with pytest.raises(KeystoreError, match="no wallet called w9; known are: w1"):
            keystore.signer("w9")
        with pytest.raises(KeystoreError, match="no wallet called"):
            keystore.retire("w9")
        with pytest.raises(KeystoreError, match="no wallet called"):
            keystore.retire("w1", "w9")
        with pytest.raises(KeystoreError, match="not among"):
            keystore.forbid(address(5))
        assert keystore.free_name() == "wallet-1"


def fail_with(*values: object) -> None:
    raise RuntimeError(f"cannot use {values}")


def test_keystore_and_what_is_in_it_show_no_key(tmp_path: Path) -> None:
    with open_keystore(new_keystore(tmp_path), RIGHT) as keystore:
        keystore.add("w1", wallet_key(2**255 - 19))
        secret = bytes(wallet_key(2**255 - 19).seed.reveal())
        content = keystore._content()
        with pytest.raises(RuntimeError) as caught:
            fail_with(keystore, content)
        shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        shown = re.sub(r" secret = .*", "", shown)
        shown += pretty_repr(keystore) + pretty_repr(content) + pretty_repr(keystore.wallets)
    for form in (repr(secret)[2:-1], secret.hex(), repr(bytearray(secret))[12:-2]):
        assert form not in shown


# ---- damage --------------------------------------------------------------------------------------------------------


def resealed(raw: bytes, **changes: object) -> bytes:
    """Return a changed file with a checksum that fits, as an attacker would write it."""
    document = json.loads(raw)
    for path, value in changes.items():
        *groups, last = path.split("__")
        target = document
        for group in groups:
            target = target[group]
        target[last] = value
    document["sha256"] = ""
    plain = json.dumps(document, separators=(",", ":")).encode()
    document["sha256"] = hashlib.sha256(plain).hexdigest()
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def test_resealing_without_a_change_is_the_file_itself(tmp_path: Path) -> None:
    raw = new_keystore(tmp_path, 1).read_bytes()
    assert resealed(raw) == raw


DAMAGE = {
    "empty": lambda _: b"",
    "a stranger's JSON": lambda _: b'{"wallets": []}',
    "a list": lambda _: b"[1, 2, 3]",
    "deep nesting": lambda _: b"[" * 100_000,
    "not UTF-8": lambda raw: raw.replace(b"slotzero.keystore", b"slotzero.keystor\xff"),
    "a stranger's format": lambda raw: resealed(raw, format="ethereum"),
    "half of it": lambda raw: raw[: len(raw) // 2],
    "without its last byte": lambda raw: raw[:-1],
    "something behind it": lambda raw: raw + b" ",
    "pretty-printed": lambda raw: json.dumps(json.loads(raw), indent=2).encode(),
    "a key more": lambda raw: resealed(raw, note="hello"),
    "a later version": lambda raw: resealed(raw, version=2),
    "a version of 5,000 digits": lambda raw: raw.replace(b'"version":1', b'"version":1' + b"0" * 5_000),
    "a negative version": lambda raw: resealed(raw, version=-1),
    "another derivation": lambda raw: resealed(raw, kdf__name="scrypt"),
    "another cipher": lambda raw: resealed(raw, box__cipher="none"),
    "no work": lambda raw: resealed(raw, kdf__ops_limit=0),
    "endless work": lambda raw: resealed(raw, kdf__ops_limit=1_000_000),
    "endless memory": lambda raw: resealed(raw, kdf__memory_bytes=1 << 40),
    "no memory": lambda raw: resealed(raw, kdf__memory_bytes=1),
    "a short salt": lambda raw: resealed(raw, kdf__salt="AAAA"),
    "no base64": lambda raw: resealed(raw, box__nonce="!" * 32),
    "base64 with loose bits": lambda raw: resealed(raw, kdf__salt="A" * 21 + "B=="),
    "an empty box": lambda raw: resealed(raw, box__content=""),
    "numbers as texts": lambda raw: resealed(raw, kdf__ops_limit="1"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_file_is_one_sentence_and_stays_as_it_is(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    path = new_keystore(tmp_path, 1)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    for attempt in (open_keystore, lambda *a: edit_keystore(*a).__enter__()):
        with pytest.raises(KeystoreDamagedError) as caught:
            attempt(path, RIGHT)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == damaged


def test_later_version_says_so(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    path.write_bytes(resealed(path.read_bytes(), version=7))
    with pytest.raises(KeystoreDamagedError, match="version 7, this program reads version 1"):
        open_keystore(path, RIGHT)


@pytest.mark.parametrize(
    "changes",
    [
        {"kdf__ops_limit": 2},
        {"kdf__memory_bytes": 16_384},
        {"kdf__salt": base64.b64encode(bytes(16)).decode()},
        {"box__nonce": base64.b64encode(bytes(24)).decode()},
        {"box__content": base64.b64encode(bytes(100)).decode()},
    ],
)
def test_attack_that_mends_the_checksum_meets_the_box(tmp_path: Path, changes: dict[str, object]) -> None:
    path = new_keystore(tmp_path, 1)
    path.write_bytes(resealed(path.read_bytes(), **changes))
    with pytest.raises(WrongPasswordError):
        open_keystore(path, RIGHT)


# ---- files and folders ---------------------------------------------------------------------------------------------


def test_file_and_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        path = new_keystore(tmp_path, 1)
        with edit_keystore(path, RIGHT) as keystore:
            keystore.add("w2", wallet_key(2))
    finally:
        os.umask(old)
    assert mode_of(path) == 0o600
    assert mode_of(path.parent) == 0o700
    assert {p.name: mode_of(p) for p in path.parent.iterdir()} == {"keystore.json": 0o600, "keystore.json.lock": 0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o666])
def test_file_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = new_keystore(tmp_path, 1)
    path.chmod(mode)
    with pytest.raises(UsageError, match=re.escape(f"run `chmod 600 {path}`")):
        open_keystore(path, RIGHT)
    with pytest.raises(UsageError, match="chmod 600"), edit_keystore(path, RIGHT):
        pass


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o711, 0o777])
def test_folder_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = new_keystore(tmp_path, 1)
    path.parent.chmod(mode)
    for attempt in (open_keystore, lambda *a: edit_keystore(*a).__enter__(), create_keystore):
        with pytest.raises(UsageError, match=re.escape(f"run `chmod 700 {path.parent}`")):
            attempt(path, RIGHT)
    path.parent.chmod(0o700)


def test_existing_file_is_never_replaced_by_a_new_keystore(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    before = path.read_bytes()
    with pytest.raises(KeystoreError, match="exists and was left as it is"):
        create_keystore(path, RIGHT, cost=CHEAP)
    assert path.read_bytes() == before
    (path.parent / "link").symlink_to(path.parent / "nowhere")
    with pytest.raises(KeystoreError, match="exists"):
        create_keystore(path.parent / "link", RIGHT, cost=CHEAP)


def test_absent_file_and_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be looked at"):
        open_keystore(tmp_path / "no" / "keystore.json", RIGHT)
    path = new_keystore(tmp_path)
    with pytest.raises(UsageError, match="cannot be opened"):
        open_keystore(path.with_name("other.json"), RIGHT)


def test_second_writer_is_refused_while_the_first_writes(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    with edit_keystore(path, RIGHT) as keystore:
        with pytest.raises(KeystoreError, match="another process is editing"), edit_keystore(path, RIGHT):
            pass
        with open_keystore(path, RIGHT) as reader:
            assert len(reader.wallets) == 1
        keystore.add("w2", wallet_key(2))
    with edit_keystore(path, RIGHT) as keystore:
        assert len(keystore.wallets) == 2


def test_keystore_behind_a_link_is_edited_where_it_lies(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    link = tmp_path / "elsewhere" / "link.json"
    link.parent.mkdir(mode=0o700)
    link.symlink_to(path)
    with edit_keystore(link, RIGHT) as keystore:
        keystore.add("w2", wallet_key(2))
        with pytest.raises(KeystoreError, match="another process is editing"), edit_keystore(path, RIGHT):
            pass
    assert link.is_symlink()
    for name in (link, path):
        with open_keystore(name, RIGHT) as keystore:
            assert [wallet.name for wallet in keystore.wallets] == ["w1", "w2"]


def test_keystore_behind_a_link_in_an_open_folder_is_refused(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    link = tmp_path / "elsewhere" / "link.json"
    link.parent.mkdir(mode=0o700)
    link.symlink_to(path)
    path.parent.chmod(0o755)
    with pytest.raises(UsageError, match="is open to other users"):
        open_keystore(link, RIGHT)


def test_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = new_keystore(tmp_path, 1)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(KeystoreError, match=r"cannot be written .No space left on device.; it is as it was"),
        edit_keystore(path, RIGHT) as keystore,
    ):
        keystore.add("w2", wallet_key(2))
    assert path.read_bytes() == before


def test_rest_of_a_crashed_write_is_overwritten(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    rest = path.with_name("keystore.json.new")
    rest.write_bytes(b"x" * 10_000)
    rest.chmod(0o644)
    with edit_keystore(path, RIGHT) as keystore:
        keystore.add("w2", wallet_key(2))
    assert mode_of(path) == 0o600
    assert not rest.exists()
    open_keystore(path, RIGHT).wipe()


def test_default_place_is_in_the_users_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert keystore_path("") == tmp_path / "slotzero" / "wallets" / "keystore.json"
    assert keystore_path("~/k.json") == Path("~/k.json").expanduser()


def test_keystore_takes_no_more_than_its_wallets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slotzero.trading.wallets.keystore._MAX_WALLETS", 3)
    with (
        open_keystore(new_keystore(tmp_path, 1, 2, 3), RIGHT) as keystore,
        pytest.raises(KeystoreError, match="the most it can"),
    ):
        keystore.add("one-more", WalletKey.generate())
