"""A traded replay in front of a person."""

import logging
from pathlib import Path
from typing import TextIO

import msgspec
from rich.console import Console
from rich.logging import RichHandler

from slotzero.clock import as_ms, elapsed_ns
from slotzero.config import load
from slotzero.observe.console import print_summary
from slotzero.observe.faults import first_fault
from slotzero.observe.logs import TerminalFormatter
from slotzero.observe.run_document import latencies, run_document
from slotzero.observe.session import with_seed
from slotzero.workloads.replay_run import TradedReplay, replay_trading

__all__ = ["replay_document", "replay_session"]


def replay_session(
    *, path: Path, config: Path | None, seed: int | None, journal: Path | None, as_json: bool, stdout: TextIO
) -> None:
    """Trade a recording and show what came of it.

    Args:
        path: The recording.
        config: The configuration's file, or None for the defaults.
        seed: Takes the place of the configured one, or None.
        journal: Where the journal is kept, or None.
        as_json: Print the document instead of tables.
        stdout: Where the result goes.

    Raises:
        SlotzeroError: What went wrong.
    """
    handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=False)
    handler.setFormatter(TerminalFormatter())
    logging.basicConfig(level=logging.ERROR, handlers=[handler], force=True)
    try:
        replay = replay_trading(with_seed(load(config), seed), path, journal=journal)
    except BaseExceptionGroup as group:
        raise first_fault(group) from group
    if as_json:
        stdout.write(msgspec.json.encode(replay_document(replay)).decode() + "\n")
        return
    print_summary(Console(file=stdout), replay.run)
    stdout.write(f"journal sha256 {replay.journal_sha256}\n")


def replay_document(replay: TradedReplay) -> dict[str, object]:
    """Return the document of a replay: that of its run, and what was replayed. *Pure.*

    What is measured in own time is left out: a replay's time stands still while the program works.
    """
    index, document = replay.index, run_document(replay.run)
    del document["own_ms"], document["loop_delay_ms"]
    timed = {c.value: whole for c, (whole, _) in latencies(replay.run.report).items() if whole.p99 > 0}
    figures = document["latency_ms"]
    assert isinstance(figures, dict)
    return document | {
        "latency_ms": {name: figures[name] for name in timed},
        "recording": {
            "genesis": index.header.genesis,
            "frames": index.frames,
            "gaps": index.gaps,
            "is_whole": index.is_whole,
            "duration_s": round(as_ms(elapsed_ns(index.ready_at, index.ended_at)) / 1000, 3),
            "slot_ms": round(as_ms(index.slot_ns), 3),
        },
        "journal_sha256": replay.journal_sha256,
    }
