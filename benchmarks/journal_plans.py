"""The plans of every query the journal runs on PostgreSQL, on a database of real size. About three minutes.

    python journal_plans.py postgresql://...  [EVENTS]

The database should be an empty one: it is filled with EVENTS (1,000,000) of one bot, a fifth as many of a second bot on
the same chain, and their claims. `docs/reference/journal.md` keeps what this has printed.
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping

import psycopg
from solders.pubkey import Pubkey

from bench_journal import buy
from environment import print_environment
from slotzero.clock import SystemClock, elapsed_ns, mono_ns
from slotzero.trading.journal import IntentLanded, IntentSent, new_intent_id
from slotzero.trading.journal.codec import encode_event
from slotzero.trading.journal.postgres import (
    HOLDERS_QUERY,
    INSERT_AND_CLAIM_QUERY,
    INSERT_QUERY,
    PAGE_QUERY,
    PostgresJournal,
)
from slotzero.units import LamportsDelta, Slot, TokenAmount

CHAIN = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
KINDS = 3
SHOWN = "EXPLAIN (ANALYZE, BUFFERS) "
OUTSIDE = {
    "what one intent went through (a person asks; no index serves it)": (
        "SELECT wall_ns, kind FROM slotzero.events WHERE journal = %(journal)s"
        " AND convert_from(body, 'UTF8') LIKE '%%' || %(intent)s || '%%' ORDER BY seq"
    ),
}


def mint_name(number: int) -> str:
    """Return the address of the mint with this number."""
    return str(Pubkey.from_bytes((1 << 200 | number).to_bytes(32, "big")))


def bodies(count: int, first_mint: int) -> Iterator[tuple[str, bytes, str, str]]:
    """Yield kind, body, intent and mint of events as snipes write them: signed, sent, landed."""
    event = buy(0)
    template = encode_event(event)
    for number in range(count // KINDS):
        intent, mint = new_intent_id(), mint_name(first_mint + number)
        body = template.replace(event.intent.encode(), intent.encode()).replace(str(event.mint).encode(), mint.encode())
        yield "IntentSigned", body, intent, mint
        yield "IntentSent", encode_event(IntentSent(intent=intent)), intent, mint
        landed = IntentLanded(
            intent=intent, slot=Slot(number), lamports_delta=LamportsDelta(-1), tokens_held=TokenAmount(1)
        )
        yield "IntentLanded", encode_event(landed), intent, mint


def fill(connection: psycopg.Connection, journal: int, count: int, *, first_mint: int) -> str:
    """Copy events and claims in; returns the last intent."""
    claims, last = [], ""
    with connection.cursor() as cursor:
        with cursor.copy("COPY slotzero.events (journal, seq, wall_ns, kind, body) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "int8", "int8", "text", "bytea"])
            for seq, (kind, body, intent, mint) in enumerate(bodies(count, first_mint), 1):
                copy.write_row((journal, seq, 1_800_000_000_000_000_000 + seq, kind, body))
                if kind == "IntentSigned":
                    claims.append((CHAIN, mint, journal, intent))
                last = intent
        with cursor.copy("COPY slotzero.claims (chain, mint, journal, intent) FROM STDIN") as copy:
            for row in claims:
                copy.write_row(row)
    return last


def explain(connection: psycopg.Connection, title: str, query: str, values: Mapping[str, object]) -> None:
    """Print a query's plan, measured on the second run, and leave nothing behind."""
    lines: list[tuple[str]] = []
    for _ in range(2):
        with connection.transaction(force_rollback=True):
            lines = connection.execute((SHOWN + query).encode(), values).fetchall()
    print(f"\n{title}\n")
    for (line,) in lines:
        print(f"    {line}")


async def opened(url: str, bot: str) -> tuple[int, float, int]:
    """Open a bot's journal; returns its number, how long that took in seconds, and how many intents it has."""
    start = mono_ns()
    async with PostgresJournal(url, CHAIN, bot=bot, clock=SystemClock()) as journal:
        return journal.number, elapsed_ns(start, mono_ns()) / 1e9, len(journal.state.intents)


def main() -> None:
    """Fill, print plans and sizes."""
    if len(sys.argv) < 2:
        sys.exit(
            "journal_plans.py: say which empty database to fill: python journal_plans.py postgresql://... [EVENTS]"
        )
    url, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    numbers = [asyncio.run(opened(url, bot))[0] for bot in ("main", "second")]
    with psycopg.connect(url, autocommit=True) as connection:
        (version,) = connection.execute("SHOW server_version").fetchone() or ("",)
        print_environment(f"Plans of the journal's queries, PostgreSQL {version}, {count:,} events")
        intent = fill(connection, numbers[0], count, first_mint=0)
        fill(connection, numbers[1], count // 5, first_mint=count)
        connection.execute("VACUUM ANALYZE slotzero.events, slotzero.claims")
        seqs = [count + number for number in range(1, 101)]
        new = {
            "journal": numbers[0],
            "seqs": seqs,
            "walls": [1] * 100,
            "kinds": ["IntentSigned"] * 100,
            "bodies": [encode_event(buy(0))] * 100,
        }
        mints = [mint_name(10**9 + number if number % 10 else number) for number in range(100)]
        claiming = {**new, "chain": CHAIN, "mints": mints, "intents": [intent] * 100}
        page = {"journal": numbers[0], "after": count // 2, "rows": 5_000}
        explain(connection, "a page at the start", PAGE_QUERY, page)
        explain(connection, "a group of 100 events", INSERT_QUERY, new)
        explain(connection, "a group of 100 buys, ten of which come too late", INSERT_AND_CLAIM_QUERY, claiming)
        explain(connection, "who was first", HOLDERS_QUERY, {"chain": CHAIN, "mints": mints[:20:10]})
        for title, query in OUTSIDE.items():
            explain(connection, title, query, {"journal": numbers[0], "intent": intent})
        sizes = connection.execute(
            "SELECT relname, pg_size_pretty(pg_relation_size(oid)) FROM pg_class"
            " WHERE relnamespace = 'slotzero'::regnamespace AND relkind IN ('r', 'i') AND pg_relation_size(oid) > 1e6"
            " ORDER BY pg_relation_size(oid) DESC"
        ).fetchall()
        print("\nsizes: " + ", ".join(f"{name} {size}" for name, size in sizes))
    _, seconds, intents = asyncio.run(opened(url, "main"))
    print(f"start of the bot with {count:,} events ({intents:,} intents): {seconds:.1f} s")


if __name__ == "__main__":
    main()
