"""Where a fork's VM runs: on the event loop while that is cheap, in a process of its own as soon as it is not.

Most trades take 0.2 to 0.4 ms, less than a process costs that is asked and answers. A heavy program takes milliseconds,
in which nothing else of the bot would move. So what runs take is measured, and the median of the newest decides. There
is no way back: a program does not become cheaper, and a change costs the start of a process.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from statistics import median_low
from typing import Final

from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from slotzero.clock import as_ms, elapsed_ns, mono_ns
from slotzero.solana.rpc import AccountInfo
from slotzero.trading.paper.fork import Fork, ForkRun
from slotzero.units import DurationNs, Lamports, Slot

__all__ = ["DEFAULT_LIMIT_NS", "ForkRunner"]

log = logging.getLogger(__name__)

DEFAULT_LIMIT_NS: Final = DurationNs(2_000_000)
"""The loop is never to be blocked for more than 5 ms, and a median leaves half of the runs above it."""
_RUNS: Final = 8

_Accounts = Mapping[Pubkey, AccountInfo | None]


class ForkRunner:
    """Runs transactions one after the other.

    Args:
        fork: The VM of this process, which knows the programs.
        limit_ns: The median beyond which runs leave the loop; None = never, for runs that must come out the same again.
    """

    def __init__(self, fork: Fork, *, limit_ns: DurationNs | None = None) -> None:
        self.fork = fork
        self._limit = limit_ns
        self._taken: deque[DurationNs] = deque(maxlen=_RUNS)
        self._pool: ProcessPoolExecutor | None = None
        self._known: set[Pubkey] = set()

    @property
    def is_away(self) -> bool:
        """Whether runs have left the loop."""
        return self._pool is not None

    @property
    def median_ns(self) -> DurationNs | None:
        """What the newest runs took, wherever they ran; None before the first, and where nothing depends on it."""
        return median_low(self._taken) if self._taken else None

    async def run(
        self, transaction: VersionedTransaction, accounts: _Accounts, *, slot: Slot, unix_s: int, is_signed: bool
    ) -> ForkRun:
        """Run a transaction on accounts as they are given: see `Fork.run`. *Cancellation: safe.*"""
        if (pool := self._pool) is not None:
            try:
                return await self._run_away(pool, transaction, accounts, slot, unix_s, is_signed=is_signed)
            except BrokenProcessPool:
                if pool is self._pool:  # the first of all that have waited
                    log.warning("the process of the paper fork has ended; another one is started")
                    self._begin_pool()
        began = mono_ns()
        run = self.fork.run(transaction, accounts, slot=slot, unix_s=unix_s, is_signed=is_signed)
        self._note(elapsed_ns(began, mono_ns()))
        return run

    def close(self) -> None:
        """End the process, if there is one."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _note(self, took: DurationNs) -> None:
        if self._limit is None:
            return
        self._taken.append(took)
        if self._pool is not None or len(self._taken) < _RUNS:
            return
        median = median_low(self._taken)
        if median > self._limit:
            log.warning("paper runs take %.1f ms: they leave the event loop for a process of their own", as_ms(median))
            self._begin_pool()

    def _begin_pool(self) -> None:
        self._known.clear()
        self._pool = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(self.fork.empty_account_rent,),
        )

    async def _run_away(
        self,
        pool: ProcessPoolExecutor,
        transaction: VersionedTransaction,
        accounts: _Accounts,
        slot: Slot,
        unix_s: int,
        *,
        is_signed: bool,
    ) -> ForkRun:
        new = {key: elf for key, elf in self.fork.programs.items() if key not in self._known}
        running = pool.submit(_run, new, transaction, dict(accounts), slot, unix_s, is_signed)
        run, took = await asyncio.wrap_future(running)
        if pool is self._pool:  # not before: a run that is given up may never get there
            self._known.update(new)
        self._note(took)
        return run


# ---- in the other process ------------------------------------------------------------------------------------------

_fork: Fork


def _begin(empty_account_rent: Lamports) -> None:
    global _fork  # noqa: PLW0603 the process has no other state
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the bot, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _fork = Fork(empty_account_rent)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "this runs in the other process alone"
    parent.join()
    os._exit(0)


def _run(
    programs: dict[Pubkey, bytes],
    transaction: VersionedTransaction,
    accounts: dict[Pubkey, AccountInfo | None],
    slot: Slot,
    unix_s: int,
    is_signed: bool,  # noqa: FBT001 over the wire
) -> tuple[ForkRun, DurationNs]:
    for key, elf in programs.items():
        if key not in _fork.programs:
            _fork.add_program(key, elf)
    began = mono_ns()
    run = _fork.run(transaction, accounts, slot=slot, unix_s=unix_s, is_signed=is_signed)
    return run, elapsed_ns(began, mono_ns())
