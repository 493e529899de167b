"""Where a keystore's password comes from: a terminal, a file or a pipe; from the environment only when asked for.

Never from the command line, which every user of the machine can read. A `str` cannot be overwritten, so a password
stays in memory until its place is used again; it is held as a `Secret` so that nothing prints it.
"""

import contextlib
import getpass
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from slotzero.errors import UsageError
from slotzero.secret import Secret
from slotzero.trading.wallets.keys import wipe
from slotzero.trading.wallets.private_files import read_private

__all__ = ["PASSWORD_VARIABLE", "PasswordSource", "forbid_core_dumps"]

PASSWORD_VARIABLE: Final = "SLOTZERO_PASSWORD"  # noqa: S105 a variable's name
_MAX_BYTES: Final = 4_096
_MIN_NEW_CHARS: Final = 10


class PasswordSource:
    """Asks for a password, once, where the user said it is.

    Args:
        file: A file that nobody else may read, or a pipe such as `/dev/fd/3`; its first line is the password.
        from_environment: Whether to take `SLOTZERO_PASSWORD`. Children inherit an environment and other processes of
            the user can read it, so it is taken out at once, and never looked at otherwise.
    """

    def __init__(self, *, file: Path | None = None, from_environment: bool = False) -> None:
        if file is not None and from_environment:
            raise UsageError("a password comes from a file or from the environment; name one of the two")
        self._file = file
        self._from_environment = from_environment

    def read(self, *, is_new: bool = False) -> Secret[str]:
        """Return the password. *Does I/O.* Waits for a person when it comes from the terminal.

        Args:
            is_new: Whether it is to be set: it is asked for twice, and must not be short.

        Raises:
            UsageError: There is none, or it is too short, or there is nobody to ask.
        """
        password = self._read(is_new=is_new)
        if not password.reveal():
            raise UsageError("the password is empty; give one")
        if is_new and len(password.reveal()) < _MIN_NEW_CHARS:
            raise UsageError(f"a new password must have at least {_MIN_NEW_CHARS} characters; several words are good")
        return password

    def _read(self, *, is_new: bool) -> Secret[str]:
        if self._file is not None:
            return _from_file(self._file)
        if self._from_environment:
            return _from_environment()
        password = _from_terminal("New password of the keystore: " if is_new else "Password of the keystore: ")
        if is_new and _from_terminal("The same again: ").reveal() != password.reveal():
            raise UsageError("the two passwords differ; try again")
        return password


def forbid_core_dumps() -> None:
    """Let a crash of this process write no image of its memory, keys included. Where the system has such a limit."""
    import resource  # noqa: PLC0415 POSIX only, and only for this

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _from_file(file: Path) -> Secret[str]:
    content = read_private(file, what="a password file", max_bytes=_MAX_BYTES, accepts_pipe=True)
    try:
        password = _first_line(content)
    finally:
        wipe(content.reveal())
    if password is None:
        raise UsageError(f"{file} is no UTF-8 text; write the password on its first line")
    return password


def _first_line(content: Secret[bytearray]) -> Secret[str] | None:
    try:
        return Secret(bytes(content.reveal()).split(b"\n", 1)[0].removesuffix(b"\r").decode())
    except UnicodeDecodeError:
        return None


def _from_environment() -> Secret[str]:
    if PASSWORD_VARIABLE not in os.environ:
        raise UsageError(f"{PASSWORD_VARIABLE} is not set; set it, or use --password-file")
    return Secret(os.environ.pop(PASSWORD_VARIABLE))


def _from_terminal(prompt: str) -> Secret[str]:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password; use --password-file FILE")
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would show what is typed
        try:
            with _interruptible():
                return Secret(getpass.getpass(prompt, stream=sys.stderr))
        except (getpass.GetPassWarning, EOFError, UnicodeDecodeError):
            pass
    raise UsageError("the terminal cannot ask for a password without showing it; use --password-file FILE")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the wait: an event loop's own handler would only take note of it, and the loop stands still."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
