import hashlib
from pathlib import Path

import pytest

from slotzero.errors import LocalnetError
from slotzero.localnet import programs
from slotzero.localnet.programs import checksums, load, loader

FOLDER = Path(programs.__file__).parent


def test_checksums_name_every_program_and_source_and_are_true() -> None:
    sums = checksums()
    files = {*FOLDER.glob("*.so"), *FOLDER.rglob("*.[ch]")}
    assert set(sums) == {path.relative_to(FOLDER).as_posix() for path in files}
    for name, digest in sums.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_load_returns_the_checked_in_program() -> None:
    assert load("pump") == (FOLDER / "pump.so").read_bytes()


def test_load_refuses_a_program_that_is_not_there() -> None:
    with pytest.raises(LocalnetError, match="no program 'raydium'"):
        load("raydium")


def test_load_refuses_a_program_whose_checksum_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "checksums", lambda: {"pump.so": "00"})
    with pytest.raises(LocalnetError, match=r"pump\.so is damaged"):
        load("pump")
