"""Read a compiled program out of the installed package, and make sure that it is the one its checksum names."""

import hashlib
from importlib.resources import files
from typing import Final

from slotzero.errors import LocalnetError

__all__ = ["checksums", "load"]

_PACKAGE: Final = "slotzero.localnet.programs"


def checksums() -> dict[str, str]:
    """Return the SHA-256 of every program and source, by its path below this folder. *Does I/O.*"""
    lines = files(_PACKAGE).joinpath("SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def load(name: str) -> bytes:
    """Return the sBPF file of a program. *Does I/O.*

    Args:
        name: "pump" is the only one so far.

    Raises:
        LocalnetError: The package holds no such program, or its bytes are not those the checksum file names.
    """
    file = f"{name}.so"
    expected = checksums().get(file)
    if expected is None:
        raise LocalnetError(f"the package holds no program {name!r}")
    elf = files(_PACKAGE).joinpath(file).read_bytes()
    actual = hashlib.sha256(elf).hexdigest()
    if actual != expected:
        raise LocalnetError(
            f"{file} is damaged: its SHA-256 should be {expected} and is {actual}; install slotzero anew"
        )
    return elf
