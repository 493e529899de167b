import copy
import json
import pickle
import traceback
from pathlib import Path

import pytest
from solders.keypair import Keypair

from slotzero.errors import UsageError
from slotzero.secret import Secret
from slotzero.trading.wallets import KeyFileError, WalletKey, parse_key, read_key_file
from wallet_lab import private

KEYPAIR = Keypair.from_seed(bytes(range(1, 33)))
NUMBERS = json.dumps(list(bytes(KEYPAIR)))
BASE58 = str(KEYPAIR)
OTHER = Keypair.from_seed(bytes(range(2, 34)))


@pytest.mark.parametrize(
    "text",
    [NUMBERS, NUMBERS + "\n", f" \t{NUMBERS}\r\n", json.dumps(list(bytes(KEYPAIR)), indent=1), BASE58, BASE58 + "\n"],
)
def test_key_of_another_tool_is_read(tmp_path: Path, text: str) -> None:
    key = read_key_file(private(tmp_path, "id.json", text))
    assert key.address == KEYPAIR.pubkey()
    assert bytes(key.seed.reveal()) == bytes(range(1, 33))
    assert key.signer().sign(b"message") == bytes(KEYPAIR.sign_message(b"message"))


SWAPPED = bytes(KEYPAIR)[32:] + bytes(KEYPAIR)[:32]
BAD = {
    "empty": b"",
    "blank": b" \n",
    "half a list": NUMBERS[:60].encode(),
    "63 numbers": json.dumps(list(bytes(KEYPAIR))[:63]).encode(),
    "65 numbers": json.dumps([*bytes(KEYPAIR), 7]).encode(),
    "a seed alone": json.dumps(list(bytes(KEYPAIR))[:32]).encode(),
    "a number too large": json.dumps([*bytes(KEYPAIR)[:63], 256]).encode(),
    "a number far too large": json.dumps([*bytes(KEYPAIR)[:63], 10**40]).encode(),
    "a negative number": json.dumps([*bytes(KEYPAIR)[:63], -1]).encode(),
    "a fraction": json.dumps([*bytes(KEYPAIR)[:63], 1.5]).encode(),
    "texts": json.dumps([str(n) for n in bytes(KEYPAIR)]).encode(),
    "nested": b"[" * 2_000,
    "an object": json.dumps({"secret": list(bytes(KEYPAIR))}).encode(),
    "halves of two keys": json.dumps([*bytes(KEYPAIR)[:32], *bytes(OTHER)[32:]]).encode(),
    "halves swapped": json.dumps(list(SWAPPED)).encode(),
    "the seed twice": json.dumps(list(bytes(KEYPAIR)[:32] * 2)).encode(),
    "zeros": json.dumps([0] * 64).encode(),
    "hex": bytes(KEYPAIR).hex().encode(),
    "base58 of 63 bytes": BASE58[:-1].encode(),
    "an address": str(KEYPAIR.pubkey()).encode(),
    "base58 with a zero": ("0" + BASE58[1:]).encode(),
    "base58 of halves of two keys": (BASE58[:60] + str(OTHER)[60:]).encode(),
    "not UTF-8": b"\xff\xfe" + BASE58.encode(),
    "a recovery phrase": b"legal winner thank year wave sausage worth useful legal winner thank yellow",
    "the raw 64 bytes": bytes(KEYPAIR),
    "larger than any key": b"[" + b"1," * 4_000 + b"1]",
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_bad_key_is_one_sentence_without_any_of_it(tmp_path: Path, content: bytes) -> None:
    path = private(tmp_path, "bad.key", content)
    with pytest.raises(UsageError) as caught:
        read_key_file(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert "\n" not in sentence
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    leaks = [bytes(KEYPAIR)[:8].hex(), BASE58[:12], BASE58[20:40], NUMBERS[1:40], "sausage", str(OTHER)[60:80]]
    leaks += [repr(bytes(KEYPAIR)[:6])[2:-1], str(KEYPAIR.pubkey())[:12]]
    for leak in leaks:
        assert leak not in shown.replace(repr(content), "")


def test_parsing_names_its_source_and_not_its_content() -> None:
    with pytest.raises(KeyFileError, match=r"^the prompt holds 63 numbers where 64 were expected; "):
        parse_key(Secret(bytearray(BAD["63 numbers"])), "the prompt")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_file_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path, "my key.json", NUMBERS)
    path.chmod(mode)
    with pytest.raises(UsageError, match=r"run `chmod 600 '.*my key.json'`"):
        read_key_file(path)
    path.chmod(0o600)
    assert read_key_file(path).address == KEYPAIR.pubkey()


def test_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be opened"):
        read_key_file(tmp_path / "absent")
    with pytest.raises(UsageError, match="no regular file"):
        read_key_file(tmp_path)


def test_wiped_key_is_zeros_and_signs_no_more(tmp_path: Path) -> None:
    key = read_key_file(private(tmp_path, "id.json", NUMBERS))
    buffer, copy = key.seed.reveal(), key.copy()
    key.wipe()
    assert buffer == bytearray(32)
    assert key.is_wiped
    assert key.address == KEYPAIR.pubkey()
    with pytest.raises(ValueError, match="wiped"):
        key.signer()
    assert not copy.is_wiped


def test_key_is_not_printed_or_pickled() -> None:
    key = WalletKey.generate()
    assert repr(key) == f"WalletKey({key.address})"
    assert bytes(key.seed.reveal()).hex() not in repr(vars(type(key))) + repr(key.seed)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.deepcopy(key)


def test_seed_of_another_length_is_no_key() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        WalletKey(Secret(bytearray(31)))
    with pytest.raises(ValueError, match="zeros"):
        WalletKey(Secret(bytearray(32)))
