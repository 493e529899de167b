"""Several bots on one PostgreSQL and one chain; the chain alone says whether a pool was bought twice.

python two_bots_harness.py                 # two bots, 200 launches; PostgreSQL must be installed, or --url given
"""

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from bot_process import finish, localnet
from chain_judge import Judgement, Rpc, judge
from crash_harness import books_of, postgres_events, start
from postgres_lab import fresh_database, running_postgres

if TYPE_CHECKING:
    import subprocess

__all__ = ["Together", "snipe_together"]

LAUNCHES_PER_S = 10
MINT_AUTHORITY = "TSLvdd1pWpHVjahSpsvCXUbgwsL3JAcvokwaKt1eokM"
"""Every creation of a coin mentions it."""
BASE = """
[trade]
buy_lamports = 10_000_000
max_open_positions = 50
[exits]
max_hold_ms = 500
[safety]
budget_ms = 5_000
"""


@dataclass
class Together:
    """What came of it."""

    judgement: Judgement
    launches: int
    documents: list[dict[str, Any]]
    kills: int

    @property
    def lost_claims(self) -> int:
        """How often a bot wanted a pool that another had."""
        return sum(int(document["snipes"]["rejected"].get("claimed_elsewhere", 0)) for document in self.documents)


def snipe_together(folder: Path, url: str, *, launches: int, bots: int = 2, seed: int = 5, kills: int = 0) -> Together:
    """Let bots snipe the same launches until there were so many.

    Args:
        folder: For the configurations.
        url: An empty database.
        launches: At least so many while all of them run.
        bots: How many.
        seed: Of the chain.
        kills: How often the first of them is killed and started again meanwhile.
    """
    chain_arguments = ("--slot-ms", "50", "--launches-per-s", str(LAUNCHES_PER_S), "--trap-percent", "0")
    rest = ("--rivals-per-coin", "0", "--history", "1000000", "--seed", str(seed))
    with localnet(*chain_arguments, *rest) as chain:
        names = [f"bot-{number}" for number in range(1, bots + 1)]
        configs = []
        for name in names:
            configs.append(folder / f"{name}.toml")
            configs[-1].write_text(
                f'[cluster]\nrpc_url = "{chain["rpc"]}"\nws_url = "{chain["ws"]}"\n'
                f"[journal]\nurl = {json.dumps(url)}\nbot = {json.dumps(name)}\n{BASE}"
            )
        rpc = Rpc(chain["rpc"])
        running = [begin(config, folder) for config in configs]
        wait_for_all(url, running)
        before = created(rpc)
        for kill in range(kills + 1):
            target = before + LAUNCHES_PER_S + (kill + 1) * launches // (kills + 1)  # a second for the last of them
            while created(rpc) < target:
                time.sleep(0.2)
                assert all(bot.poll() is None for bot in running), "a bot ended by itself"
            if kill < kills:
                running[0].send_signal(signal.SIGKILL)
                running[0].communicate(timeout=20)
                running[0] = begin(configs[0], folder)
                wait_for_all(url, running)
        total = created(rpc) - before
        for bot in running:
            bot.send_signal(signal.SIGINT)
        documents = []
        for bot in running:
            code, out, err = finish(bot, timeout_s=60)
            assert code == 130, err  # interrupted, in order
            documents.append(json.loads(out))
        books = [
            books_of(document, postgres_events(url, name)) for document, name in zip(documents, names, strict=True)
        ]
        judgement = judge(chain["rpc"], [book.wallet for book in books], books)
    return Together(judgement, total, documents, kills)


def begin(config: Path, folder: Path) -> "subprocess.Popen[bytes]":
    return start(config, folder, "never", 1, 0, "--json")


def connected(url: str) -> int:
    """How many bots have their journal open: a signal before that would end one in the middle of its start."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'slotzero' AND datname = current_database()"
    with psycopg.connect(url) as connection:
        (count,) = connection.execute(query).fetchone() or (0,)
    return int(count)


def wait_for_all(url: str, running: "list[subprocess.Popen[bytes]]") -> None:
    while connected(url) < len(running):
        time.sleep(0.1)
        assert all(bot.poll() is None for bot in running), "a bot ended by itself"


def created(rpc: Rpc) -> int:
    """How many coins the chain has seen created."""
    found, options = 0, {"limit": 1_000, "commitment": "confirmed"}
    while page := rpc("getSignaturesForAddress", MINT_AUTHORITY, options):
        found += len(page)
        options["before"] = page[-1]["signature"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a PostgreSQL server to make a database on; default: one is started")
    parser.add_argument("--launches", type=int, default=200)
    parser.add_argument("--bots", type=int, default=2)
    parser.add_argument("--kills", type=int, default=0, help="how often the first bot is killed meanwhile")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    server = running_postgres() if options.url is None else contextlib.nullcontext(options.url)
    with tempfile.TemporaryDirectory() as folder, server as at, fresh_database(at) as url:
        result = snipe_together(
            Path(folder), url, launches=options.launches, bots=options.bots, seed=options.seed, kills=options.kills
        )
    said = result.judgement
    for number, document in enumerate(result.documents, 1):
        sys.stdout.write(f"bot {number}: {document['snipes']} {document['invariants']}\n")
    sys.stdout.write(f"{result.launches} launches, {result.lost_claims} claims lost, {result.kills} kills\n")
    sys.stdout.write("the chain: " + json.dumps({**vars(said), "details": said.details[:20]}, indent=1) + "\n")
    sys.exit(bool(said.faults))


if __name__ == "__main__":
    main()
