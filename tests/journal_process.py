"""A process that uses a journal, for tests that kill it, starve it of disk, or keep it from its file.

    python journal_process.py kills WHERE COUNT SEED    # fork writers and kill -9 each in the middle of its appends
    python journal_process.py full PATH BYTES           # append until the disk is "full"
    python journal_process.py hold WHERE                # open, say so, wait for the end of stdin
    python journal_process.py try PATH                  # open and close, as nobody when started as root
    python journal_process.py race URL BOT FIRST COUNT STEP  # claim mint after mint, say which were got

WHERE is a file's path or a database's URL.

Each prints JSON: what had been promised to be on disk (an event whose future had resolved), or the error met.
"""

import asyncio
import functools
import json
import os
import random
import resource
import signal
import sys

from journal_stores import journal_at
from slotzero.errors import JournalError
from slotzero.trading.journal import Claimed, IntentLanded, IntentSent, IntentSigned, IntentUnknown
from slotzero.units import LamportsDelta, Slot, TokenAmount
from trading_lab import buy_event, pump_pool

NOBODY = 65_534


def say(what: object) -> None:
    sys.stdout.write(json.dumps(what))


def life_of(name: str) -> list[IntentSigned | IntentSent | IntentUnknown | IntentLanded]:
    """The events of one buy."""
    landed = IntentLanded(intent=name, slot=Slot(1), lamports_delta=LamportsDelta(-110), tokens_held=TokenAmount(1_000))
    return [buy_event(name, pool=pump_pool()), IntentSent(intent=name), IntentUnknown(intent=name, reason="r"), landed]


async def write_for_ever(where: str, prefix: str, promised: int) -> None:
    """Append as fast as it goes, in bursts, and write a line for each event that is on disk."""

    def tell(line: bytes, _: object) -> None:
        os.write(promised, line)

    async with journal_at(where) as book:
        for number in range(1_000_000):
            futures = []
            for event in life_of(f"{prefix}.{number}"):
                futures.append(book.append(event))
                line = f"{event.intent} {type(event).__name__}\n".encode()
                futures[-1].add_done_callback(functools.partial(tell, line))
            if number % 3 == 0:
                await futures[-1]


def kills(where: str, count: int, seed: int) -> None:
    chance, promised = random.Random(seed), []  # noqa: S311 a test's own dice
    for turn in range(count):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            asyncio.run(write_for_ever(where, str(turn), write))
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as lines:
            promised += [lines.readline().decode().strip() for _ in range(chance.randrange(1, 60))]
            os.kill(child, signal.SIGKILL)
            promised += [line.decode().strip() for line in lines if line.endswith(b"\n")]
        os.waitpid(child, 0)
    say(promised)


async def fill(where: str, limit: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    written, error, after = [], "", ""
    async with journal_at(where) as book:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        for number in range(10_000):
            name = f"full.{number}"
            try:
                await book.append(buy_event(name))
            except JournalError as met:
                error = str(met)
                break
            written.append(name)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        try:
            await book.append(IntentUnknown(intent=f"full.{len(written)}", reason="the disk has room again"))
        except JournalError as met:
            after = str(met)
    say({"written": written, "error": error, "after": after})


async def hold(where: str) -> None:
    async with journal_at(where):
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


async def attempt(where: str) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setuid(NOBODY)
    try:
        async with journal_at(where):
            say("opened")
    except JournalError as error:
        say(f"{type(error).__name__}: {error}")


async def race(url: str, bot: str, first: int, count: int, step: int) -> None:
    """Claim `count` mints from `first` on, by `step`, as fast as it goes; print those that were got."""
    async with journal_at(url, bot=bot) as book:
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        numbers = range(first, first + count * step, step)
        claims = [book.claim(buy_event(f"{bot}.{number}", pool=pump_pool(number))) for number in numbers]
        outcomes = await asyncio.gather(*claims)
        say([number for number, got in zip(numbers, outcomes, strict=True) if isinstance(got, Claimed)])


def main() -> None:
    mode, where, *rest = sys.argv[1:]
    match mode:
        case "kills":
            kills(where, int(rest[0]), int(rest[1]))
        case "full":
            asyncio.run(fill(where, int(rest[0])))
        case "hold":
            asyncio.run(hold(where))
        case "try":
            asyncio.run(attempt(where))
        case "race":
            asyncio.run(race(where, rest[0], int(rest[1]), int(rest[2]), int(rest[3])))


if __name__ == "__main__":
    main()
