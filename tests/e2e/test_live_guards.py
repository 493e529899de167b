"""What keeps `--cluster live` from trading: each guard alone, exit 2, one sentence, and nothing sent."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot_process import run_commands
from live_lab import LIMITS, LiveDesk
from stage_chain import staged_chain
from staged_bot import bot_config

Spoil = Callable[[LiveDesk], object]


def wrong_password(desk: LiveDesk) -> None:
    desk.password.write_text("not that one\n")


def of_three(without: str) -> str:
    return "".join(line for line in LIMITS.splitlines(keepends=True) if not line.startswith(without))


GUARDS: dict[str, tuple[Spoil, str, tuple[str, ...], str]] = {
    "no limits": (lambda _: None, "", ("--yes-i-mean-it",), "trade_lamports, hour_lamports, day_lamports"),
    "one limit missing": (lambda _: None, of_three("day"), ("--yes-i-mean-it",), "[limits] day_lamports"),
    "not confirmed": (lambda _: None, LIMITS, (), "not confirmed, so nothing was signed"),
    "keystore open to others": (lambda desk: desk.keystore.chmod(0o644), LIMITS, ("--yes-i-mean-it",), "chmod 600"),
    "password open to others": (lambda desk: desk.password.chmod(0o640), LIMITS, ("--yes-i-mean-it",), "chmod 600"),
    "wrong password": (wrong_password, LIMITS, ("--yes-i-mean-it",), "password"),
    "no keystore": (lambda desk: desk.keystore.unlink(), LIMITS, ("--yes-i-mean-it",), "keystore"),
    "a gate that lets traps through": (
        lambda _: None,
        LIMITS + '[safety]\ngate = "facts"\n',
        ("--yes-i-mean-it",),
        'live trading needs "all"',
    ),
    "no endpoints": (lambda _: None, LIMITS, ("--yes-i-mean-it",), "live trading needs your own endpoints"),
}


@dataclass(frozen=True)
class Refused:
    """What a guarded run said, and where it would have written."""

    folder: Path
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Refused]:
    """All guards tried in one process, one after the other, on one chain, which has received nothing."""
    calls: dict[str, tuple[Path, list[str]]] = {}
    with staged_chain() as stage:
        for guard, (spoil, text, arguments, _) in GUARDS.items():
            folder = tmp_path_factory.mktemp("guard")
            desk = LiveDesk.made(folder)
            desk.fund(stage)
            config = bot_config(folder, stage, text + desk.wallets)
            if guard == "no endpoints":
                config.write_text("[journal]" + config.read_text().partition("[journal]")[2])
            spoil(desk)
            run = ["run", "--config", str(config), *desk.arguments, *arguments, "--json", "--for", "5"]
            calls[guard] = (folder, run)
        before = len(stage.received())
        done = run_commands([run for _, run in calls.values()])
        assert len(stage.received()) == before, "something was sent"
    return {guard: Refused(folder, *said) for (guard, (folder, _)), said in zip(calls.items(), done, strict=True)}


@pytest.mark.parametrize("guard", GUARDS)
def test_guard_alone_keeps_a_live_run_from_beginning(refused: dict[str, Refused], guard: str) -> None:
    found, told = refused[guard], GUARDS[guard][3]
    assert (found.code, found.out) == (2, "")
    said = found.err.splitlines()
    assert said[-1].startswith("slotzero: ")
    assert sum(line.startswith("slotzero: ") for line in said) == 1
    assert len(said) == 1 or guard == "not confirmed", "there the warning comes first"
    assert told in said[-1]
    assert not (found.folder / "journal.sqlite3").exists(), "nothing was even written down"
