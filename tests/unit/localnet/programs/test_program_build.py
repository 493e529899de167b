"""The build's command line, without its compiler: that compiler is no dependency of the tests.

That the source gives the checked-in bytes is what `python -m slotzero.localnet.programs.build --check` proves in CI.
"""

import importlib.util
from pathlib import Path

import pytest

from bpf_objects import BpfObject
from slotzero.localnet.programs import build


def test_missing_compiler_is_one_sentence_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert build.main(["--check"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "requirements/programs.lock" in captured.err


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A programs folder of our own, and a compiler that gives the same object for every source."""
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "pump.c").write_text("/* source */")
    (tmp_path / "sbpf.h").write_text("/* runtime */")
    monkeypatch.setattr(build, "_HERE", tmp_path)
    monkeypatch.setattr(build, "_compile", lambda _source: BpfObject().pack())
    return tmp_path


def test_build_writes_program_header_and_checksums_and_check_then_agrees(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main([]) == 0
    assert {path.name for path in folder.rglob("*")} == {"pump", "pump.c", "keys.h", "sbpf.h", "pump.so", "SHA256SUMS"}
    assert build.main(["--check"]) == 0
    assert "reproduced" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["pump.so", "pump/keys.h", "SHA256SUMS"])
def test_check_names_what_differs_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    build.main([])
    (folder / name).write_bytes(b"something else")
    assert build.main(["--check"]) == 1
    assert f"{name} is not what the source builds" in capsys.readouterr().err
    assert (folder / name).read_bytes() == b"something else"


def test_check_notices_a_changed_source_through_its_checksum(folder: Path) -> None:
    build.main([])
    (folder / "pump" / "pump.c").write_text("/* other source, same program */")
    assert build.main(["--check"]) == 1
