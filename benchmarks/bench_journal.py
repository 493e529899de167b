"""How long an event takes to survive a power cut, and how many a second a store takes. About 20 s for each store.

    python bench_journal.py                         # SQLite, in a folder of its own
    python bench_journal.py postgresql://...        # PostgreSQL as well; the database should be an empty one

`python tests/postgres_lab.py` starts a throw-away server and prints its address. A claim is a buy's intent, what a send
waits for; an append is what comes after. Time runs from the call to the future's result in the loop's thread.
"""

import asyncio
import gc
import sys
import tempfile
import uuid
from pathlib import Path

import msgspec
import uvloop
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from environment import print_environment, print_row
from slotzero.clock import SystemClock, elapsed_ns, mono_ns
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.trading.journal import (
    Claimed,
    IntentLanded,
    IntentSent,
    IntentSigned,
    Journal,
    SqliteJournal,
    new_intent_id,
)
from slotzero.units import BlockHeight, Lamports, LamportsDelta, MonoNs, Slot, TokenAmount
from slotzero.venues.records import NewPool, Reserves

ALONE = 2_000
TOGETHER = 100
ROUNDS = 40
WALLET = Pubkey.from_bytes(bytes(range(32)))


def buy(number: int) -> IntentSigned:
    """Return a buy as large as a real one: 600 bytes of transaction, a pool with its names."""
    mint = Pubkey.from_bytes((1_000_000 + number).to_bytes(32, "big"))
    pool = NewPool(
        venue="pumpfun",
        mint=mint,
        pool=Keypair().pubkey(),
        creator=Keypair().pubkey(),
        user=Keypair().pubkey(),
        name="Grumpy Hamster Wif Hat",
        symbol="GHAMSTER",
        uri="https://ipfs.example/5d41402abc4b2a76b9719d911017c592.json",
        token_program=TOKEN_2022_PROGRAM,
        quote_mint=None,
        reserves=Reserves(virtual_token=10**15, virtual_quote=30 * 10**9, real_token=793 * 10**12, real_quote=0),
        token_supply=TokenAmount(10**15),
        creator_bought=TokenAmount(0),
        creator_fee_bps=0,
        is_mayhem=False,
        is_cashback=False,
        is_holder_reward=False,
        signature="5" * 88,
        slot=Slot(400_000_000),
        mono_cause=None,
        mono_frame=MonoNs(1),
        starts_at="frame",
    )
    return IntentSigned(
        intent=new_intent_id(),
        side="buy",
        signature="4" * 88,
        raw=bytes(range(200)) * 3,
        last_valid_block_height=BlockHeight(380_000_000),
        mint=mint,
        wallet=WALLET,
        tokens=TokenAmount(10**12),
        quoted_lamports=Lamports(99_000_000),
        limit_lamports=Lamports(100_000_000),
        reason="new_pool",
        pool=pool,
    )


async def snipe(journal: Journal, event: IntentSigned, claims: list[int], appends: list[int], calls: list[int]) -> None:
    """Write down what one snipe writes down, and wait for each as a snipe does."""
    start = mono_ns()
    claim = journal.claim(event)
    calls.append(elapsed_ns(start, mono_ns()))
    assert isinstance(await claim, Claimed)
    claims.append(elapsed_ns(start, mono_ns()))
    await timed(journal, IntentSent(intent=event.intent), appends)
    landed = IntentLanded(
        intent=event.intent, slot=Slot(1), lamports_delta=LamportsDelta(-1), tokens_held=TokenAmount(10**12)
    )
    await timed(journal, landed, appends)
    sell = msgspec.structs.replace(
        event, intent=new_intent_id(), side="sell", position=event.intent, pool=None, reason="take_profit"
    )
    await timed(journal, sell, appends)
    await timed(journal, IntentSent(intent=sell.intent), appends)
    out = IntentLanded(intent=sell.intent, slot=Slot(2), lamports_delta=LamportsDelta(1), tokens_held=TokenAmount(0))
    await timed(journal, out, appends)


async def timed(journal: Journal, event: IntentSent | IntentLanded | IntentSigned, into: list[int]) -> None:
    """Append, and keep how long that took to be on disk."""
    start = mono_ns()
    await journal.append(event)
    into.append(elapsed_ns(start, mono_ns()))


async def measure(name: str, journal: Journal) -> None:
    """Print one store's rows."""
    async with journal:
        claims: list[int] = []
        appends: list[int] = []
        calls: list[int] = []
        events = [buy(number) for number in range(ALONE // 6)]
        gc.collect()
        gc.freeze()
        for event in events:
            await snipe(journal, event, claims, appends, calls)
        print_row(f"{name}: a claim with its intent, alone", claims)
        print_row(f"{name}: an append, alone", appends)
        print_row(f"{name}: of a claim, the caller's own time", calls)
        claims, appends, calls = [], [], []
        events = [buy(10_000 + number) for number in range(ROUNDS * TOGETHER)]
        start = mono_ns()
        for first in range(0, len(events), TOGETHER):
            some = events[first : first + TOGETHER]
            await asyncio.gather(*(snipe(journal, event, claims, appends, calls) for event in some))
        seconds = elapsed_ns(start, mono_ns()) / 1e9
        print_row(f"{name}: a claim with its intent, {TOGETHER} snipes at once", claims)
        print_row(f"{name}: an append, {TOGETHER} snipes at once", appends)
        print(f"  {name}: {6 * len(events) / seconds:,.0f} events/s, {len(events) / seconds:,.0f} snipes/s")


async def main(urls: list[str]) -> None:
    """Print everything."""
    print_environment("Journal: from the call until the event is on disk")
    clock, chain = SystemClock(), f"benchmark {uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # not in /tmp, which may be no disk
        await measure("SQLite", SqliteJournal(Path(folder) / "journal", chain, clock=clock))
    for url in urls:
        from slotzero.trading.journal.postgres import PostgresJournal  # noqa: PLC0415 an extra

        await measure("PostgreSQL", PostgresJournal(url, chain, bot="main", clock=clock))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1:]))
