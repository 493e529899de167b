"""Kill the bot again and again, at chosen stages, and let the chain say whether money was lost.

    python crash_harness.py --store sqlite --kills 140
    python crash_harness.py --store postgresql --kills 140     # PostgreSQL must be installed, or --url given

One chain lives through it all. Each life of the bot ends by SIGKILL at the n-th time it reaches a stage (`crash_bot`),
or at any instant (stage "any"). A last life settles what is open, sells what is held and ends; then `chain_judge`,
which asks the chain alone, holds what it finds against the books.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bot_process import finish, journal_events, localnet
from chain_judge import HAS_END, BookedIntent, Books, Judgement, judge
from crash_bot import STAGES
from postgres_lab import fresh_database, running_postgres

__all__ = ["Crashed", "books_of", "crash", "postgres_events"]

SLOT_MS = 50
LAUNCHES_PER_S = 10
CHAIN = (
    *("--slot-ms", str(SLOT_MS), "--launches-per-s", str(LAUNCHES_PER_S), "--trap-percent", "10"),
    *("--rivals-per-coin", "1", "--history", "1000000"),
)
EXPIRED_WITHIN_S = 160 * SLOT_MS / 1000
"""What was signed and never sent can land for 150 blocks."""
BOT = Path(__file__).with_name("crash_bot.py")
TRADING = """
[trade]
buy_lamports = 10_000_000
max_open_positions = 30
[exits]
max_hold_ms = 400
[orders]
rebroadcast_ms = 100
status_poll_ms = 100
[safety]
budget_ms = 5_000
"""
_LIFE_S = 12.0
"""A life that has not reached its stage by then is killed all the same."""


@dataclass
class Crashed:
    """What a crash test came to."""

    judgement: Judgement
    kills: Counter[str]
    document: dict[str, Any]
    events: list[dict[str, Any]]
    duration_s: float

    @property
    def recovered_in_between(self) -> int:
        """Intents an earlier life had left without an end."""
        return sum(1 for event in self.events if event["event"] == "IntentUnknown")


def postgres_events(url: str, bot: str = "main") -> list[dict[str, Any]]:
    """Read a bot's events as another program would."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT kind, body FROM slotzero.events JOIN slotzero.journals ON journals.id = journal"
            " WHERE bot = %s ORDER BY seq",
            (bot,),
        ).fetchall()
    return [{"event": kind, **json.loads(body)} for kind, body in rows]


def books_of(document: dict[str, Any], events: list[dict[str, Any]]) -> Books:
    """What the bot says, from its journal as a stranger reads it and from its last words."""
    ends: dict[str, str] = {}
    for event in events:
        if event["event"] not in (
            "ExternalTransfer",
            "HaltChanged",
            "PositionGraduated",
            "PositionOpened",
            "PositionStuck",
        ):
            ends[event["intent"]] = event["event"]
    return Books(
        wallet=document["wallet"]["address"],
        intents=[
            BookedIntent(
                signature=event["signature"], side=event["side"], mint=event["mint"], end=ends[event["intent"]]
            )
            for event in events
            if event["event"] == "IntentSigned"
        ],
        held={row["mint"]: row["tokens"] for row in document["positions"] if row["state"] != "closed"},
        expected_lamports=sum(event.get("lamports_delta", 0) for event in events),
    )


def crash(folder: Path, journal: str, *, kills: int, seed: int, quiet: bool = True) -> Crashed:
    """Run the crash test.

    Args:
        folder: For the configuration and the bots' stderr.
        journal: The `[journal]` section's lines.
        kills: How often the bot is killed: every stage in turn, and one kill in eight at any instant.
        seed: Of the stages' turns and the chain.
        quiet: Whether to keep progress to oneself.
    """
    chance, began = random.Random(seed), time.monotonic()  # noqa: S311,TID251 a test's own dice and watch
    counts: Counter[str] = Counter()
    with localnet(*CHAIN, "--seed", str(seed)) as chain:
        config = folder / "slotzero.toml"
        cluster = f'[cluster]\nrpc_url = "{chain["rpc"]}"\nws_url = "{chain["ws"]}"\n'
        config.write_text(f"{cluster}[journal]\n{journal}\n{TRADING}")
        for number, stage in enumerate(itertools.islice(itertools.cycle((*STAGES, "any")), kills)):
            counts[one_life(config, folder, stage, nth=chance.randrange(1, 9), seed=seed * 1_000 + number)] += 1
            if not quiet and (number + 1) % 10 == 0:
                say(f"{number + 1} kills in {time.monotonic() - began:.0f} s: {dict(sorted(counts.items()))}")  # noqa: TID251
        last = start(config, folder, "never", 1, 0, "--for", str(EXPIRED_WITHIN_S + 4), "--json")
        code, out, err = finish(last, timeout_s=120)
        assert code == 0, err
        document = json.loads(out)
        events = read_events(journal)
        judgement = judge(chain["rpc"], [document["wallet"]["address"]], [books_of(document, events)])
    return Crashed(judgement, counts, document, events, time.monotonic() - began)  # noqa: TID251


def read_events(journal: str) -> list[dict[str, Any]]:
    name, _, value = journal.partition(" = ")
    return journal_events(Path(json.loads(value))) if name == "path" else postgres_events(json.loads(value))


def one_life(config: Path, folder: Path, stage: str, *, nth: int, seed: int) -> str:
    """Let the bot live until it is killed. Returns the stage at which it was."""
    bot = start(config, folder, "never" if stage == "any" else stage, nth, seed)
    life_s = random.Random(seed).uniform(0.5, 3.0) if stage == "any" else _LIFE_S  # noqa: S311
    try:
        _, err = bot.communicate(timeout=life_s)
    except subprocess.TimeoutExpired:
        bot.send_signal(signal.SIGKILL)
        _, err = bot.communicate(timeout=20)
        stage = "any"
    assert bot.returncode == -signal.SIGKILL, f"the bot ended by itself ({bot.returncode}): {err.decode()[-3_000:]}"
    return stage


def start(config: Path, folder: Path, stage: str, nth: int, seed: int, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, str(BOT), stage, str(nth), str(seed), "run", "--config", str(config), *arguments]
    environment = {**os.environ, "XDG_STATE_HOME": str(folder), "NO_COLOR": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def store(name: str, url: str | None, folder: Path) -> Iterator[str]:
    """The `[journal]` section for a store, made for the time of the block."""
    if name == "sqlite":
        yield f"path = {json.dumps(str(folder / 'journal.sqlite3'))}"
        return
    with running_postgres() if url is None else contextlib.nullcontext(url) as server, fresh_database(server) as made:
        yield f"url = {json.dumps(made)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--url", help="a PostgreSQL server to make a database on; default: one is started")
    parser.add_argument("--kills", type=int, default=140)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, store(options.store, options.url, Path(folder)) as journal:
        result = crash(Path(folder), journal, kills=options.kills, seed=options.seed, quiet=False)
    said = result.judgement
    opened = Counter(event["event"] for event in result.events)
    say(f"\n{options.store}: {sum(result.kills.values())} kills, {result.duration_s:.0f} s")
    say("kills by stage: " + ", ".join(f"{stage} {count}" for stage, count in sorted(result.kills.items())))
    say("journal: " + ", ".join(f"{kind} {count}" for kind, count in sorted(opened.items())))
    say(f"the bot: {result.document['snipes']} {result.document['invariants']}")
    say("the chain: " + json.dumps({**vars(said), "details": said.details[:20]}, indent=1))
    assert HAS_END
    sys.exit(bool(said.faults))


if __name__ == "__main__":
    main()
