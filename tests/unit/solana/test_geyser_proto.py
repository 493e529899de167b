"""The generated classes are what the .proto files say, and what a stranger's updates are told apart by."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotzero.solana.geyser import update_kind
from slotzero.solana.geyser_proto import build
from slotzero.solana.geyser_proto import geyser_pb2 as geyser


def test_checked_in_classes_are_reproduced(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--check"]) == 0
    assert "4 files, reproduced" in capsys.readouterr().out


def test_check_names_what_differs_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in build._HERE.glob("*.proto"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(build, "_HERE", tmp_path)
    assert build.main(["--check"]) == 1
    assert "geyser_pb2.py is not what the .proto files give" in capsys.readouterr().err
    assert list(tmp_path.glob("*.py*")) == []
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0
    (tmp_path / "geyser.proto").write_text("syntax = nonsense")
    assert build.main(["--check"]) == 2
    assert "the generator refused the files" in capsys.readouterr().err


@given(
    filters=st.lists(st.text(max_size=200), max_size=4),
    kind=st.sampled_from([("slot", 3), ("transaction", 4), ("ping", 6), ("pong", 9)]),
)
def test_kind_of_an_update_is_read_past_its_filters(filters: list[str], kind: tuple[str, int]) -> None:
    bodies = {
        "slot": geyser.SubscribeUpdate(slot=geyser.SubscribeUpdateSlot(slot=5)),
        "transaction": geyser.SubscribeUpdate(transaction=geyser.SubscribeUpdateTransaction(slot=5)),
        "ping": geyser.SubscribeUpdate(ping=geyser.SubscribeUpdatePing()),
        "pong": geyser.SubscribeUpdate(pong=geyser.SubscribeUpdatePong(id=1)),
    }
    update = bodies[kind[0]]
    update.filters.extend(filters)
    update.mono_ns = 7
    assert update_kind(update.SerializeToString()) == kind[1]


@given(st.binary(max_size=64))
def test_kind_of_anything_else_is_no_error(data: bytes) -> None:
    assert update_kind(data) >= 0


def test_kind_of_an_update_without_one_is_zero() -> None:
    assert update_kind(b"") == 0
    assert update_kind(geyser.SubscribeUpdate(filters=["a", "b"]).SerializeToString()) == 0
