"""Whatever befalls a keystore's bytes: it opens to the very same keys, or it is one sentence. Never another key."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slotzero.secret import Secret
from slotzero.trading.wallets import KeystoreDamagedError, KeystoreError, WrongPasswordError, open_keystore
from wallet_lab import PASSWORD, address, new_keystore

RIGHT = Secret(PASSWORD)


def opened(path: Path) -> list[tuple[str, str]] | str:
    """Return what is in the keystore, or the sentence."""
    try:
        with open_keystore(path, RIGHT) as keystore:
            return [(wallet.name, str(wallet.address)) for wallet in keystore.wallets]
    except KeystoreError as error:
        return str(error)


def test_flipped_bit_in_any_byte_is_noticed(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    raw = path.read_bytes()
    for at in range(len(raw)):
        for bit in {at % 8, (5 * at + 3) % 8}:  # all 5,800 were flipped once; two of each byte take a second
            damaged = bytearray(raw)
            damaged[at] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(KeystoreDamagedError) as caught:
                open_keystore(path, RIGHT)
            assert "\n" not in str(caught.value)
            assert str(address(1)) not in str(caught.value)
    path.write_bytes(raw)
    assert opened(path) == [("w1", str(address(1)))]


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    raw = path.read_bytes()
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(KeystoreDamagedError):
            open_keystore(path, RIGHT)


@given(raw=st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_file_is_a_sentence(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "keys" / "keystore.json"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(raw)
    path.chmod(0o600)
    with pytest.raises(KeystoreDamagedError):
        open_keystore(path, RIGHT)


@given(password=st.text(max_size=40))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_other_password_opens_it(tmp_path: Path, password: str) -> None:
    path = tmp_path / "keys" / "keystore.json"
    if not path.exists():
        new_keystore(tmp_path, 1)
    if password != PASSWORD:
        with pytest.raises(WrongPasswordError):
            open_keystore(path, Secret(password))


_WRITER = """
import sys
from pathlib import Path
from slotzero.secret import Secret
from slotzero.trading.wallets import edit_keystore
sys.path.insert(0, sys.argv[2])
from wallet_lab import PASSWORD, wallet_key
with edit_keystore(Path(sys.argv[1]), Secret(PASSWORD)) as keystore:
    number = len(keystore.wallets)
    while True:
        number += 1
        keystore.add(f"w{number}", wallet_key(number))
        keystore.save()
        print(number, flush=True)
"""


def test_killed_writer_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = new_keystore(tmp_path, 1)
    tests = str(Path(__file__).parent.parent)
    for saves in (1, 2, 5, 9, 3, 7):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), tests], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(saves)]
            os.kill(writer.pid, signal.SIGKILL)
            told += [int(line) for line in writer.stdout if line.endswith("\n")]
        found = opened(path)
        assert isinstance(found, list), found
        # What was told to be saved is there; at most the next one is there untold.
        assert len(found) in (told[-1], told[-1] + 1)
        assert found == [(f"w{number}", str(address(number))) for number in range(1, len(found) + 1)]
        assert (path.stat().st_mode & 0o777) == 0o600
