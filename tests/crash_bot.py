"""The bot with a trip wire: it runs as always, and is dead (SIGKILL) at the n-th time it reaches a stage.

    python crash_bot.py STAGE NTH SEED run --config ...

Stages:
    intent      a buy is signed and on its way to the journal, perhaps half of it
    signed      its intent is on disk and nothing is sent
    sent        it is in the socket: the chain may or may not have it
    landed      the chain has confirmed it and the journal does not know
    held        its position is in the journal
    exit_sent   a sell is in the socket
    exit_landed the chain has confirmed a sell and the journal does not know
    never       no wire: whoever started it kills it
"""

import asyncio
import functools
import os
import random
import signal
import sys
import time
from typing import Any

from slotzero.cli.main import main
from slotzero.solana.rpc import Rpc
from slotzero.trading.accountant import Accountant
from slotzero.trading.journal import IntentLanded, Journal
from slotzero.trading.order import Confirmed

STAGES = ("intent", "signed", "sent", "landed", "held", "exit_sent", "exit_landed")


class Wire:
    """Counts down at its stage."""

    def __init__(self, stage: str, nth: int, seed: int) -> None:
        self.stage = stage
        self.left = nth
        self.chance = random.Random(seed)  # noqa: S311 a test's own dice
        self.sides: dict[bytes, str] = {}

    def reach(self, stage: str, *, within_s: float = 0.0) -> None:
        """Die now, or, with the loop going on, at any instant within so many seconds."""
        if stage != self.stage:
            return
        self.left -= 1
        if self.left != 0:
            return
        if within_s:
            asyncio.get_running_loop().call_later(self.chance.uniform(0, within_s), die)
        else:
            die()


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def install(wire: Wire) -> None:
    """Put the wire across the bot's path."""
    claim, append, send, settle = Journal.claim, Journal.append, Rpc.send_transaction, Accountant.settle

    @functools.wraps(claim)
    def claiming(journal: Any, event: Any) -> Any:
        written = claim(journal, event)
        wire.sides[event.raw] = "buy"
        if wire.stage == "intent" and wire.left == 1:
            time.sleep(wire.chance.uniform(0, 0.001))  # the store's thread writes meanwhile, or has not begun
        wire.reach("intent")
        written.add_done_callback(lambda _: wire.reach("signed"))
        return written

    @functools.wraps(append)
    def appending(journal: Any, event: Any) -> Any:
        written = append(journal, event)
        if isinstance(event, IntentLanded) and journal.state.intents[event.intent].signed.side == "buy":
            written.add_done_callback(lambda _: wire.reach("held", within_s=0.15))
        return written

    @functools.wraps(send)
    async def sending(rpc: Any, raw: bytes, **options: Any) -> Any:
        wire.reach("sent" if wire.sides.get(raw) == "buy" else "exit_sent", within_s=0.006)
        return await send(rpc, raw, **options)

    @functools.wraps(settle)
    async def settling(accountant: Any, intent: Any, outcome: Any, market: Any, **options: Any) -> Any:
        if isinstance(outcome, Confirmed):
            wire.reach("landed" if intent.side == "buy" else "exit_landed")
        return await settle(accountant, intent, outcome, market, **options)

    patches = ((Journal, "claim", claiming), (Journal, "append", appending))
    for owner, name, wired in (*patches, (Rpc, "send_transaction", sending), (Accountant, "settle", settling)):
        setattr(owner, name, wired)


if __name__ == "__main__":
    name, nth, seed, *arguments = sys.argv[1:]
    install(Wire(name, int(nth), int(seed)))
    sys.argv = ["slotzero", *arguments]
    main()
