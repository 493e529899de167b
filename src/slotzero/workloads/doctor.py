"""What must be in order before a bot trades: endpoints, clock, disk, journal, keystore, limits; one finding each.

`linkability` says what the chain shows of the wallets by what they have traded, as the journal's own bytes tell it.
"""

import asyncio
import os
import resource
import tempfile
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, Literal

import aiohttp
from msgspec import Struct

from slotzero.clock import SystemClock, as_ms, elapsed_ns
from slotzero.config import Settings
from slotzero.errors import JournalError, SlotzeroError, UsageError
from slotzero.perf.stats import nearest_rank
from slotzero.secret import redacted_url
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import RpcClient
from slotzero.trading.fees import offered_fees
from slotzero.trading.journal import Intent, JournalState
from slotzero.trading.journal.reading import read_journal
from slotzero.trading.privacy import LinkabilityReport, WalletTransaction, linkability_report
from slotzero.trading.wallets import keystore_path
from slotzero.trading.wallets.private_files import check_private_folder
from slotzero.units import Slot
from slotzero.venues.registry import VENUES
from slotzero.workloads.bot_run import PAPER, state_folder
from slotzero.workloads.live_run import live_problems

__all__ = ["Finding", "examine", "linkability"]

_CALLS: Final = 5
_FEED_S: Final = 3.0
_SLOW_MS: Final = 250.0
_SKEW_S: Final = 2.0
_FSYNCS: Final = 20
_SLOW_FSYNC_MS: Final = 50.0
_FILES: Final = 1_024


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at. "fail" keeps the bot from trading; "warn" does not, but is worth a look."""

    status: Literal["ok", "warn", "fail"]
    name: str
    detail: str


async def examine(settings: Settings, *, with_feeds: bool) -> AsyncIterator[Finding]:
    """Look at everything the configuration names, one finding after the other. *Does I/O.*

    Args:
        settings: The configuration.
        with_feeds: Whether to listen to each feed for some seconds.
    """
    yield _files()
    yield _disk()
    for finding in _journals(settings):
        yield finding
    yield _keystore(settings)
    cluster = settings.cluster
    if not cluster.rpc_url:
        yield _found("ok", "endpoints", "none are set: `slotzero run` starts an embedded chain of its own")
    urls = [url for url in (cluster.rpc_url, *cluster.other_rpc_urls) if url]
    geneses: set[str] = set()
    for url in urls:
        async for finding in _endpoint(url, cluster.call_timeout_ms, geneses):
            yield finding
    if len(geneses) > 1:
        yield _found("fail", "endpoints", "they are of different chains: " + ", ".join(sorted(geneses)))
    if with_feeds:
        for url in (cluster.ws_url, *cluster.other_ws_urls):
            if url:
                yield await _feed(url)
    problems = live_problems(settings)
    if problems:
        yield _found("warn", "live trading", "; ".join(problems))
    else:
        yield _found("ok", "live trading", "limits, endpoints and gate are set; `run --cluster live` asks to confirm")


async def _endpoint(url: str, timeout_ms: int, geneses: set[str]) -> AsyncIterator[Finding]:
    name, clock = redacted_url(url), SystemClock()
    try:
        async with RpcClient(url, timeout_ms=timeout_ms) as rpc:
            version = await rpc.get_version()
            geneses.add(await rpc.get_genesis_hash())
            blockhash = await rpc.get_latest_blockhash("confirmed")
            took = []
            for _ in range(_CALLS):
                began = clock.mono_ns()
                blockhash = await rpc.get_latest_blockhash("confirmed")
                took.append(as_ms(elapsed_ns(began, clock.mono_ns())))
            programs = await rpc.get_multiple_accounts([venue.program for venue in VENUES.values()], "confirmed")
    except SlotzeroError as error:
        yield _found("fail", name, str(error))
        return
    middle = nearest_rank(sorted(took), 50)
    core = version.get("slotzero-localnet") or version.get("solana-core")
    told = f"version {core}, answers in {middle:.1f} ms, last valid block height {blockhash.last_valid_block_height}"
    yield _found("ok" if middle <= _SLOW_MS else "warn", name, told)
    for venue, program in zip(VENUES.values(), programs, strict=True):
        if program is None:
            yield _found("fail", venue.name, f"its program {venue.program} is not on the chain of {name}")
    yield await _clock_against(url, name)


async def _clock_against(url: str, name: str) -> Finding:
    """Hold the machine's clock against the server's Date header: limits and journals are kept in wall-clock time."""
    try:
        body, timeout = {"jsonrpc": "2.0", "id": 1, "method": "getHealth"}, aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url, json=body) as response:
            date = response.headers.get("Date")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return _found("warn", "clock", f"{name} did not answer ({type(error).__name__}), so it was not compared")
    if date is None:
        return _found("ok", "clock", f"{name} does not tell the time, so it was not compared")
    try:
        server_s = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return _found("ok", "clock", f"{name} tells a time that cannot be read, so it was not compared")
    skew = SystemClock().wall_ns() / 1e9 - server_s
    status: Literal["ok", "warn"] = "ok" if -_SKEW_S <= skew <= _SKEW_S + 1 else "warn"
    return _found(status, "clock", f"{skew:+.1f} s against {name}, whose header is in whole seconds")


async def _feed(url: str) -> Finding:
    """Listen for slots and for one venue's transactions for some seconds."""
    name, slots, frames = redacted_url(url), 0, 0

    def on_slot(_frame: bytes, _now: int) -> None:
        nonlocal slots
        slots += 1

    def on_frame(_frame: bytes, _now: int) -> None:
        nonlocal frames
        frames += 1

    pubsub = PubSub(url, clock=SystemClock())
    venue = next(iter(VENUES.values()))
    listening = asyncio.create_task(pubsub.run(), name="doctor's feed")  # noqa: TID251 one task, ended below
    pubsub.subscribe("slotSubscribe", [], on_slot)
    mentions = {"mentions": [str(venue.program)]}
    pubsub.subscribe("logsSubscribe", [mentions, {"commitment": "processed"}], on_frame)
    await asyncio.wait([listening], timeout=_FEED_S)
    if listening.done() and isinstance(fault := listening.exception(), SlotzeroError):
        return _found("fail", name, str(fault))
    listening.cancel()
    await asyncio.wait([listening])
    told = f"{slots} slots and {frames} transactions of {venue.name} in {_FEED_S:.0f} s"
    return _found("ok" if slots else "fail", name, told if slots else f"{told}: the feed is silent")


def _files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = f"{soft} may be open at once"
    if soft < _FILES:
        return _found("warn", "file descriptors", f"{told}; `ulimit -n 4096` before the run allows more")
    return _found("ok", "file descriptors", told)


def _disk() -> Finding:
    """Time what stands between a signature and its send: one write that survives a power cut."""
    folder, clock, took = state_folder(), SystemClock(), []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(_FSYNCS):
                began = clock.mono_ns()
                file.write(bytes(4_096))
                file.flush()
                os.fsync(file.fileno())
                took.append(as_ms(elapsed_ns(began, clock.mono_ns())))
    except OSError as error:
        return _found("fail", "disk", f"{folder} cannot be written ({error.strerror})")
    middle = nearest_rank(sorted(took), 50)
    told = f"a durable write takes {middle:.2f} ms (median of {_FSYNCS}) in {folder}"
    return _found("ok" if middle <= _SLOW_FSYNC_MS else "warn", "disk", told)


def _journals(settings: Settings) -> list[Finding]:
    journal = settings.journal
    if journal.url:
        return [_found("ok", "journal", f"in {redacted_url(journal.url)}, as {journal.bot}")]
    if journal.path:
        path = Path(journal.path).expanduser()
        if not path.exists():
            return [_found("ok", "journal", f"{path}, which the first run writes")]
        return [_journal(path)]
    live = sorted(state_folder().glob("live/*/journal.sqlite3"))
    return [_journal(path) for path in live] or [
        _found("ok", "journal", f"one file for each chain below {state_folder()}")
    ]


def _journal(path: Path) -> Finding:
    try:
        # What a paper run has left is over: no later run takes it up.
        states = [state for chain, state in read_journal(path).items() if not chain.startswith(PAPER)]
    except SlotzeroError as error:
        return _found("fail", "journal", str(error))
    held = sum(len(state.held_positions()) for state in states)
    unsettled = sum(len(state.open_intents()) for state in states)
    halts = [state.halt for state in states if state.halt.killed or state.halt.tripped]
    told = f"{path}: {held} positions held, {unsettled} intents without an end, which the next start settles"
    if halts:
        killed, tripped = halts[0].killed, halts[0].tripped
        why = f"the kill switch is on ({killed})" if killed else f"the drawdown breaker has tripped ({tripped})"
        return _found("warn", "journal", f"{told}; nothing is bought: {why}; `slotzero panic --release` ends that")
    return _found("ok", "journal", told)


def _keystore(settings: Settings) -> Finding:
    path = keystore_path(settings.wallets.keystore)
    if not path.exists():
        return _found("warn", "keystore", f"none at {path}; `slotzero wallet new` makes one, for live trading")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return _found("fail", "keystore", f"{path} has mode {mode:03o}: others may read it; `chmod 600 {path}`")
    try:
        check_private_folder(path.parent)
    except UsageError as error:
        return _found("fail", "keystore", str(error))
    return _found("ok", "keystore", f"{path}, mode {mode:03o}")


def _found(status: Literal["ok", "warn", "fail"], name: str, detail: str) -> Finding:
    return Finding(status=status, name=name, detail=detail)


# ---- linkability -----------------------------------------------------------------------------------------------------


def linkability(settings: Settings) -> LinkabilityReport:
    """Say what ties the wallets of a journal together for anyone who reads the chain. *Does I/O.*

    Looked at are the landed transactions of the journal's file. Where the wallets' money came from before the journal
    began is on the chain, too, and not in it.

    Raises:
        JournalError: There is no journal, or it is in a database.
    """
    if settings.journal.url:
        raise JournalError("the journal is in a database, and only a file is looked at; set [journal] path instead")
    path = Path(settings.journal.path).expanduser() if settings.journal.path else _newest_journal()
    transactions: list[WalletTransaction] = []
    for state in read_journal(path).values():
        transactions += _transactions(state)
    wallets = list(dict.fromkeys(transaction.wallet for transaction in transactions))
    return linkability_report(wallets, transactions)


def _newest_journal() -> Path:
    found = sorted(state_folder().glob("*/*/journal.sqlite3"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else state_folder() / "journal.sqlite3"


def _transactions(state: JournalState) -> list[WalletTransaction]:
    return [_transaction(intent, state) for intent in state.intents.values() if intent.state == "landed"]


def _transaction(intent: Intent, state: JournalState) -> WalletTransaction:
    signed = intent.signed
    offered = offered_fees(signed.raw)
    opened = state.intents.get(signed.position or signed.intent)
    pool = None if opened is None else opened.signed.pool
    return WalletTransaction(
        wallet=signed.wallet,
        slot=intent.slot or Slot(0),
        kind=signed.side,
        lamports=signed.limit_lamports,
        unit_limit=offered.limit,
        unit_price=offered.price,
        tip_lamports=offered.tip_lamports,
        mint=signed.mint,
        creator=None if pool is None else pool.creator,
    )
