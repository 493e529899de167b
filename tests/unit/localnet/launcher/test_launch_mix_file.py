"""A mix from a file: everything may be left out, and all that is wrong is told at once."""

from pathlib import Path

import pytest

from slotzero.errors import ConfigError, UsageError
from slotzero.localnet.launcher import FlavourWeights, Mix, TrapWeights, load_mix, parse_mix


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_mix(text, "mix.toml")
    return caught.value.problems


def test_empty_file_is_the_default_mix() -> None:
    assert parse_mix("", "mix.toml") == Mix()


def test_every_key_is_taken() -> None:
    text = """
    trap_percent = 20
    rivals_per_coin = 50
    front_run_percent = 0
    creator_buy_percent = 100
    [traps]
    fee = 0
    [flavours]
    climbing = 1
    falling = 0
    flat = 0
    """
    assert parse_mix(text, "mix.toml") == Mix(
        trap_percent=20,
        rivals_per_coin=50,
        front_run_percent=0,
        creator_buy_percent=100,
        traps=TrapWeights(fee=0),
        flavours=FlavourWeights(climbing=1, falling=0, flat=0),
    )


def test_all_problems_are_told_at_once() -> None:
    text = """
    trap_percent = 101
    rivals_per_coin = "three"
    rivals = 3
    traps = 5
    front_run_percent = 1.5
    creator_buy_percent = true
    [flavours]
    sideways = 1
    flat = -1
    """
    assert problems(text) == (
        "trap_percent: expected a whole number between 0 and 100, got 101",
        "rivals_per_coin: expected a whole number between 0 and 50, got 'three'",
        (
            "rivals: unknown key, known here: trap_percent, rivals_per_coin, front_run_percent, creator_buy_percent, "
            "traps, flavours"
        ),
        "traps: expected a section, [traps], got 5",
        "front_run_percent: expected a whole number between 0 and 100, got 1.5",
        "creator_buy_percent: expected a whole number between 0 and 100, got true",
        "flavours.sideways: unknown key, known here: climbing, falling, flat",
        "flavours.flat: expected a whole number between 0 and 1_000_000, got -1",
    )


def test_weights_that_choose_nothing_are_refused_beside_other_problems() -> None:
    text = "trap_percent = -1\ntraps = {freeze = 0, fee = 0}\nflavours = {climbing = 0, falling = 0, flat = 0}"
    assert problems(text) == (
        "trap_percent: expected a whole number between 0 and 100, got -1",
        "traps: expected at least one weight above 0, got none",
        "flavours: expected at least one weight above 0, got none",
    )


@pytest.mark.parametrize(
    "text", ["trap_percent = ", "[" * 5000, "a = 1" + "0" * 5000, "trap_percent = 1\ntrap_percent = 2"]
)
def test_text_that_is_no_toml_is_one_problem(text: str) -> None:
    assert len(problems(text)) == 1


def test_what_a_terminal_acts_on_is_not_shown_as_it_is() -> None:
    assert "\x1b" not in " ".join(problems('"\\u001b[31m" = 1\ntrap_percent = "\\u001b[31m"'))


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mix.toml"
    path.write_bytes(b"\xef\xbb\xbftrap_percent = 0\n")
    assert load_mix(path) == Mix(trap_percent=0)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"#" * 200_000], ids=["absent", "no text", "too large"])
def test_unusable_file_is_a_usage_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mix.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"mix\.toml"):
        load_mix(path)
