import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from slotzero.errors import UsageError
from slotzero.trading.wallets.passwords import PasswordSource
from wallet_lab import private


@pytest.mark.parametrize("text", ["open sesame!", "open sesame!\n", "open sesame!\r\n", "open sesame!\nsecond line"])
def test_password_is_the_first_line_of_a_file(tmp_path: Path, text: str) -> None:
    source = PasswordSource(file=private(tmp_path, "p", text))
    assert source.read().reveal() == "open sesame!"


def test_blanks_belong_to_a_password(tmp_path: Path) -> None:
    assert PasswordSource(file=private(tmp_path, "p", " a b \n")).read().reveal() == " a b "


def test_pipe_is_accepted_as_a_file() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"from a pipe\n")
    os.close(writing)
    try:
        assert PasswordSource(file=Path(f"/dev/fd/{reading}")).read().reveal() == "from a pipe"
    finally:
        os.close(reading)


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"", "empty"), (b"\nx", "empty"), (b"\xff\n", "no UTF-8"), (b"x" * 5_000, "larger")]
)
def test_file_without_a_password_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        PasswordSource(file=private(tmp_path, "p", content)).read()


def test_password_file_open_to_others_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path, "p", "open sesame!")
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        PasswordSource(file=path).read()


def test_new_password_must_not_be_short(tmp_path: Path) -> None:
    source = PasswordSource(file=private(tmp_path, "p", "123456789"))
    assert source.read().reveal() == "123456789"
    with pytest.raises(UsageError, match="at least 10 characters") as caught:
        source.read(is_new=True)
    assert "123456789" not in str(caught.value)


def test_environment_is_looked_at_only_when_asked_and_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLOTZERO_PASSWORD", "open sesame!")
    with pytest.raises(UsageError, match="no terminal"):
        PasswordSource().read()
    assert PasswordSource(from_environment=True).read().reveal() == "open sesame!"
    assert "SLOTZERO_PASSWORD" not in os.environ
    with pytest.raises(UsageError, match="is not set"):
        PasswordSource(from_environment=True).read()


def test_two_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name one of the two"):
        PasswordSource(file=tmp_path / "p", from_environment=True)


def test_terminal_is_asked_twice_for_a_new_password() -> None:
    code = (
        "import pty, os, sys\n"
        "pid, terminal = pty.fork()\n"
        "if not pid:\n"
        "    from slotzero.trading.wallets.passwords import PasswordSource\n"
        "    from slotzero.errors import UsageError\n"
        "    for number in range(2):\n"
        "        try:\n"
        "            print('GOT', PasswordSource().read(is_new=True).reveal()[::-1], flush=True)\n"
        "        except UsageError as error:\n"
        "            print('REFUSED', error, flush=True)\n"
        "    os._exit(0)\n"
        "def until(what):\n"
        "    seen = b''\n"
        "    while what not in seen:\n"
        "        seen += os.read(terminal, 1000)\n"
        "    return seen\n"
        "said = b''\n"
        "for answer in (b'open sesame!', b'open sesame!', b'open sesame!', b'another one'):\n"
        "    said += until(b': ')\n"
        "    os.write(terminal, answer + b'\\n')\n"
        "said += until(b'try again')\n"
        "sys.stdout.write(said.decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "GOT !emases nepo" in done.stdout
    assert "REFUSED the two passwords differ; try again" in done.stdout
    assert "open sesame!" not in done.stdout


def test_core_dumps_are_forbidden() -> None:
    code = (
        "import resource; from slotzero.trading.wallets import forbid_core_dumps; forbid_core_dumps(); "
        "print(resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "(0, 0)"
    assert resource.getrlimit(resource.RLIMIT_CORE)[0] is not None
