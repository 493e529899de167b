"""`slotzero wallet` in a process of its own, as a stranger meets it; and no secret in anything it says."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from solders.keypair import Keypair

from wallet_lab import PASSWORD, new_keystore, password_file, private, run_wallet, run_wallet_batch, wallet_key

PLANTED = Keypair.from_seed(bytes(range(101, 133)))
NUMBERS = json.dumps(list(bytes(PLANTED)))
ADDRESS = str(PLANTED.pubkey())


def forms_of(secret: bytes) -> list[str]:
    """Return what a secret may look like in a text."""
    numbers = ", ".join(str(byte) for byte in secret[:6])
    return [secret[:8].hex(), numbers, numbers.replace(" ", ""), repr(secret[:6])[2:-1]]


SECRETS = [*forms_of(bytes(PLANTED)[:32]), str(PLANTED)[:16], str(PLANTED)[30:46], PASSWORD, "open sesame"]


def judged(done: subprocess.CompletedProcess[str], *, expect: int) -> str:
    """Return what a command said, after looking for secrets in it; a refusal is one sentence on stderr."""
    said = done.stdout + done.stderr
    for secret in SECRETS:
        assert secret not in said, done.args
    assert done.returncode == expect, said
    if not expect:
        return done.stdout
    assert done.stdout == ""
    assert done.stderr.startswith("slotzero: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def say(*arguments: str, expect: int = 0, environment: dict[str, str] | None = None) -> str:
    return judged(run_wallet(*arguments, environment=environment), expect=expect)


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    """The options of an empty keystore that opens fast."""
    return ["--keystore", str(new_keystore(tmp_path)), "--password-file", str(password_file(tmp_path))]


def test_keys_go_in_and_only_addresses_come_out(tmp_path: Path, options: list[str]) -> None:
    key_file = private(tmp_path, "id.json", NUMBERS)
    friend = str(wallet_key(5).address)
    calls = [
        ["import", str(key_file), "cold"],
        ["new"],
        ["new", "hot"],
        ["allow", friend],
        ["list", "--json"],
        ["list"],
        ["allow", "--remove", friend],
        ["list", "--json"],
    ]
    said = [judged(done, expect=0) for done in run_wallet_batch([[*call, *options] for call in calls])]
    assert said[0] == f"cold  {ADDRESS}\n"
    assert said[1].startswith("wallet-1  ")
    assert said[2].startswith("hot  ")
    listed = json.loads(said[4])
    assert [wallet["name"] for wallet in listed["wallets"]] == ["cold", "wallet-1", "hot"]
    assert listed["wallets"][0] == {"name": "cold", "address": ADDRESS, "is_retired": False, "successor": None}
    assert listed["allowed"] == [friend]
    assert said[5].splitlines() == [*(line.strip() for line in said[:3]), f"may be swept to  {friend}"]
    assert json.loads(said[7])["allowed"] == []
    assert key_file.read_text() == NUMBERS


def test_first_wallet_makes_the_keystore(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keystore.json"
    secret = private(tmp_path, "p", "open sesame and more\n")
    made = say("new", "--keystore", str(path), "--password-file", str(secret))
    assert made.startswith("wallet-1  ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["kdf"]["memory_bytes"] == 256 << 20
    assert say("list", "--keystore", str(path), "--password-file", str(secret)) == made


def test_a_key_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    good, bad = str(private(tmp_path, "good", NUMBERS)), str(private(tmp_path, "bad", NUMBERS[:-40]))
    readable = private(tmp_path, "readable", NUMBERS)
    readable.chmod(0o644)
    key = str(PLANTED)
    calls = [
        ["import", bad],
        ["import", str(readable)],
        ["import", good, "a name with blanks"],
        ["import", good, key],
        ["import", good, "w1"],
        ["import", key],
        ["import", NUMBERS],
        ["import", bytes(PLANTED)[:32].hex()],
        ["new", key],
        ["allow", key],
        ["sweep", key],
        ["sweep", ADDRESS],
        ["sweep", ADDRESS, key],
        ["rotate", key],
        ["rotate", "nobody"],
        ["fund", key, "--lamports", "5"],
        ["fund", "w1", "--lamports", "5", "--from", key],
        ["reclaim", "--mint", key],
    ]
    options = ["--keystore", str(new_keystore(tmp_path, 1)), "--password-file", str(password_file(tmp_path))]
    for done in run_wallet_batch([[*call, *options] for call in calls]):
        judged(done, expect=2)


def test_wrong_passwords_and_open_files_are_exit_2(tmp_path: Path) -> None:
    keystore, readable = new_keystore(tmp_path, 1), new_keystore(tmp_path / "readable", 1)
    readable.chmod(0o644)
    right, wrong = password_file(tmp_path), private(tmp_path, "wrong", "open sesame!")
    leaked = private(tmp_path, "leaked", PASSWORD)
    leaked.chmod(0o644)
    expected = {
        (keystore, wrong): f"slotzero: the password does not open {keystore}; nothing was changed\n",
        (keystore, None): "there is no terminal",
        (keystore.with_name("other"), right): "there is no keystore",
        (readable, right): f"run `chmod 600 {readable}`",
        (keystore, leaked): f"run `chmod 600 {leaked}`",
    }
    calls = [
        ["list", "--keystore", str(store), *(() if secret is None else ("--password-file", str(secret)))]
        for store, secret in expected
    ]
    for done, sentence in zip(run_wallet_batch(calls), expected.values(), strict=True):
        assert sentence in judged(done, expect=2)


def test_environment_is_used_only_when_a_flag_says_so(tmp_path: Path) -> None:
    keystore = str(new_keystore(tmp_path, 1))
    environment = {"SLOTZERO_PASSWORD": PASSWORD}
    assert "no terminal" in say("list", "--keystore", keystore, environment=environment, expect=2)
    assert say("list", "--keystore", keystore, "--password-from-env", environment=environment).startswith("w1  ")


COMMANDS = ["new", "import", "list", "allow", "fund", "rotate", "sweep", "reclaim"]


def test_every_help_has_an_example_and_no_option_takes_a_secret() -> None:
    for command, done in zip(COMMANDS, run_wallet_batch([[command, "--help"] for command in COMMANDS]), strict=True):
        assert f"Example: slotzero wallet {command}" in done.stdout
        words = done.stdout.split()
        assert "--password-file" in words
        assert "--password" not in words
        assert "--key" not in words


def test_bug_shows_its_traceback_without_the_key(tmp_path: Path) -> None:
    """What a crash prints is the standard traceback: names and lines of code, no values."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "import slotzero.trading.wallets.keystore as keystore\n"
        "def broken(*_): raise ZeroDivisionError('planted')\n"
        "keystore._write = broken\n"
        "from slotzero.cli.main import app, main\n"
        "from slotzero.cli.wallet import wallet_app\n"
        "'wallet' in [g.name for g in app.registered_groups] or app.add_typer(wallet_app, name='wallet')\n"
        "main()\n"
    )
    key_file = private(tmp_path, "id.json", NUMBERS)
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, "wallet", "import", str(key_file)),
            *("--keystore", str(new_keystore(tmp_path)), "--password-file", str(password_file(tmp_path))),
        ],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "planted" in done.stderr
    assert "Traceback" in done.stderr
    for secret in SECRETS:
        assert secret not in done.stdout + done.stderr
