"""Commands that wait for a person: what Ctrl-C and Ctrl-D do at their questions, on a terminal of their own."""

import os
import pty
import select
import sys
import time
from pathlib import Path

import pytest

from live_lab import LIMITS, LiveDesk

# Python 3.12 warns of any fork beside threads; this child does nothing but become another program.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

ENDPOINTS = '[cluster]\nrpc_url = "http://127.0.0.1:1"\nws_url = "ws://127.0.0.1:1"\n'
PASSWORD, CONFIRMATION = b"Password of the keystore", b"to begin"
CTRL_C, CTRL_D = b"\x03", b"\x04"
_WITHIN_S = 30.0


def answered(command: list[str], question: bytes, key: bytes) -> tuple[int, str]:
    """Run a command on a terminal, press a key at its question, and return its exit code and all it said."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(command[0], command)  # noqa: S606 the child of the fork
    said, is_pressed, deadline = b"", False, time.perf_counter() + _WITHIN_S
    try:
        while time.perf_counter() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    read = os.read(terminal, 4_096)
                except OSError:  # how Linux tells that nobody has it open any more
                    break
                if not read:
                    break
                said += read
            elif question in said and not is_pressed:  # quiet since it asked: it is waiting
                os.write(terminal, key)
                is_pressed = True
        else:
            os.kill(pid, 9)
            pytest.fail(f"it did not end: {said!r}")
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    return os.waitstatus_to_exitcode(status), said.decode()


def live_run(folder: Path, *, asks_for_password: bool) -> list[str]:
    desk = LiveDesk.made(folder)
    config = folder / "live.toml"
    config.write_text(ENDPOINTS + LIMITS + desk.wallets)
    password = [] if asks_for_password else ["--password-file", str(desk.password)]
    return [sys.executable, "-m", "slotzero", "run", "--cluster", "live", "--config", str(config), *password]


@pytest.mark.parametrize("question", [PASSWORD, CONFIRMATION])
def test_ctrl_c_at_a_question_ends_the_run_at_once(tmp_path: Path, question: bytes) -> None:
    code, said = answered(live_run(tmp_path, asks_for_password=question == PASSWORD), question, CTRL_C)
    assert code == 130
    assert "Traceback" not in said


def test_ctrl_c_at_the_password_of_a_command_that_moves_money_ends_it_at_once(tmp_path: Path) -> None:
    desk = LiveDesk.made(tmp_path)
    command = [sys.executable, "-m", "slotzero", "wallet", "reclaim", "--keystore", str(desk.keystore)]
    code, said = answered(command, PASSWORD, CTRL_C)
    assert code == 130
    assert "Traceback" not in said


def test_ctrl_d_at_the_confirmation_is_no_confirmation(tmp_path: Path) -> None:
    code, said = answered(live_run(tmp_path, asks_for_password=False), CONFIRMATION, CTRL_D)
    assert code == 2
    assert "not confirmed, so nothing was signed" in said
    assert "Traceback" not in said
