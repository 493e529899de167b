"""Reading files that hold secrets: refused where anybody else can read them, and bounded.

Messages name the file and what to do, never anything of its content.
"""

import os
import shlex
import stat
from pathlib import Path
from typing import Final

from slotzero.errors import UsageError
from slotzero.secret import Secret

__all__ = ["check_private_folder", "read_private"]

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_CHUNK: Final = 65_536


def read_private(path: Path, *, what: str, max_bytes: int, accepts_pipe: bool = False) -> Secret[bytearray]:
    """Return the content of a file that nobody else may read. *Does I/O.*

    Args:
        path: The file.
        what: What it is, for errors: "a keystore".
        max_bytes: A larger one is refused.
        accepts_pipe: Whether a pipe will do, such as `/dev/fd/3`; it has no mode to be judged by.

    Raises:
        UsageError: It is absent, unreadable, too large, no regular file, or open to others.
    """
    # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever where a file was expected.
    flags = os.O_RDONLY | os.O_CLOEXEC | (0 if accepts_pipe else os.O_NONBLOCK)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise UsageError(f"{path} cannot be opened ({error.strerror}); name {what}") from error
    try:
        _check_file(os.fstat(descriptor), path, what=what, accepts_pipe=accepts_pipe)
        content = _read(descriptor, max_bytes)
    finally:
        os.close(descriptor)
    if isinstance(content, str):
        raise UsageError(f"{path} {content}; name {what}")
    return content


def check_private_folder(folder: Path) -> None:
    """Refuse a folder that others may look into, and one that is not there. *Does I/O.*

    Raises:
        UsageError: With the command that mends it.
    """
    try:
        found = folder.stat()
    except OSError as error:
        raise UsageError(f"{folder} cannot be looked at ({error.strerror}); name a folder of your own") from error
    if not stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{folder} is no folder; name one of your own")
    if found.st_uid != os.geteuid():
        raise UsageError(f"{folder} belongs to another user; keep keys in a folder of your own")
    if found.st_mode & _OTHERS:
        raise UsageError(
            f"{folder} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}); "
            f"run `chmod 700 {shlex.quote(str(folder))}`, or keep keys in a folder of their own"
        )


def _check_file(found: os.stat_result, path: Path, *, what: str, accepts_pipe: bool) -> None:
    if accepts_pipe and not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is no regular file; name {what}")
    if found.st_uid != os.geteuid():
        raise UsageError(f"{path} belongs to another user; name {what} of your own")
    if found.st_mode & _OTHERS:
        raise UsageError(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}); "
            f"run `chmod 600 {shlex.quote(str(path))}`, and take the key for known if others use this machine"
        )


def _read(descriptor: int, max_bytes: int) -> Secret[bytearray] | str:
    """Return the content or why there is none; it raises nothing, so no traceback passes by the bytes."""
    content = bytearray()
    try:
        while len(content) <= max_bytes and (chunk := os.read(descriptor, _CHUNK)):
            content += chunk
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if len(content) <= max_bytes:
        return Secret(content)
    content[:] = bytes(len(content))
    return f"is larger than {max_bytes:_} bytes"
