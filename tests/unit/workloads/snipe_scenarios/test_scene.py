"""What a scenario says of a bot or a chain that is gone: a sentence, not a log."""

import asyncio
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from slotzero.clock import SystemClock
from slotzero.errors import SlotzeroError
from slotzero.workloads.snipe_scenarios import catalogue
from slotzero.workloads.snipe_scenarios.bot_child import BotChild
from slotzero.workloads.snipe_scenarios.scene import Scene, Stage, _warm_up


class Frozen:
    """Lines to a chain that takes every request and answers none."""

    async def ask(self, *_request: object) -> object:
        return await asyncio.Event().wait()


def scene(log: str = "") -> Scene:
    """Return a scene whose bot has ended with that log, and whose chain does not answer."""
    process: Any = SimpleNamespace(returncode=1)
    lines: Any = Frozen()
    unused: Any = None
    clock = SystemClock()
    bot = BotChild(process, BytesIO(log.encode()), Path("absent.sock"), clock)
    return Scene(Stage(), unused, bot, unused, lines, clock)


async def test_a_bot_that_ends_in_the_warm_up_is_told_with_the_end_of_its_log() -> None:
    log = "".join(f"2026-11-27 12:00:{second:02} INFO pool {second} was sniped\n" for second in range(60))
    with pytest.raises(SlotzeroError) as caught:
        await _warm_up(scene(log + "the journal is full\n"))
    said = str(caught.value)
    assert said.startswith("the bot has ended; it said: ... ")
    assert said.endswith("the journal is full")
    assert len(said) < 350


async def test_a_bot_that_ends_in_the_warm_up_without_a_word_is_told_too() -> None:
    with pytest.raises(SlotzeroError, match=r"^the bot has ended; it said: nothing$"):
        await _warm_up(scene())


async def test_a_chain_that_does_not_answer_is_told_with_how_long_it_was_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogue, "_CHAIN_ANSWERS_S", 0.05)
    blocks: dict[str, dict[str, float | None]] = {}
    notes: list[str] = []
    await catalogue._ask_chain(scene(), blocks, notes)
    assert (blocks, notes) == ({}, ["the chain does not answer any more: it did not within 0.05 s"])
