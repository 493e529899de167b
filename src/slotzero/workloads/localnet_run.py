"""The sniper on an embedded chain: start the chain or join a running one, fund wallets of its own, run the engine.

The wallets' keys are derived from the chain's genesis hash, so they are worthless anywhere else and a restarted bot
finds them again. A chain is joined only at a loopback address and only when it says it is a slotzero localnet:
nothing here signs for another cluster.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

from msgspec import Struct

from slotzero.clock import Clock, SystemClock, add_ms, elapsed_ns, is_due
from slotzero.config import Settings, is_loopback
from slotzero.engine import Engine, EngineReport
from slotzero.errors import LocalnetError, UsageError
from slotzero.localnet.process import running_localnet
from slotzero.secret import Secret, redacted_url
from slotzero.solana.endpoints import EndpointPool, EndpointSpec
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import Signer
from slotzero.trading.journal import MAIN_BOT, ExternalTransfer, Journal, open_journal
from slotzero.trading.limits import Limits
from slotzero.trading.paper import PaperReport
from slotzero.trading.probe import read_rent
from slotzero.trading.rules import limits_rules
from slotzero.units import LAMPORTS_PER_SOL, DurationNs, Lamports, LamportsDelta
from slotzero.venues.registry import VENUES

__all__ = ["LocalnetRun", "journal_path", "localnet_signer", "snipe_on_localnet"]

_FUNDING: Final = Lamports(100 * LAMPORTS_PER_SOL)
_FUNDED_WITHIN_MS: Final = 10_000
_LOOK_EVERY_MS: Final = 10
_SILENT_SLOTS: Final = 10


class LocalnetRun(Struct, frozen=True, kw_only=True):
    """What a run did, and what the chain says the wallets gained.

    Attributes:
        start_lamports: The wallets' balance before the first order of this run.
        end_lamports: Its balance at the end, read from the chain.
        expected_lamports: What it should be by the journal.
        journal: Where that is.
        cluster: What was traded on, as the command line names it.
        paper: What was charged, where nothing was sent.
    """

    report: EngineReport
    genesis: str
    journal: str
    slot_ms: int | None
    seed: int
    duration_ns: DurationNs
    start_lamports: Lamports
    end_lamports: Lamports
    expected_lamports: int
    cluster: str = "localnet"
    paper: PaperReport | None = None

    @property
    def unexplained_lamports(self) -> LamportsDelta:
        """What the wallets hold beyond what the journal says, all runs on this chain included: 0, or tell why."""
        return LamportsDelta(self.end_lamports - self.expected_lamports)


class _Chain(Struct, frozen=True, kw_only=True):
    rpc: tuple[str, ...]
    ws: tuple[str, ...]
    slot_ms: int | None


def localnet_signer(genesis: str, bot: str = MAIN_BOT, number: int = 0) -> Signer:
    """Return a wallet that a bot has on the chain with this genesis hash. *Pure.*"""
    owner = genesis if bot == MAIN_BOT else f"{genesis} {bot}"
    if number:
        owner += f" #{number}"
    return Signer(Secret(hashlib.sha256(b"slotzero localnet wallet " + owner.encode()).digest()))


def journal_path(genesis: str) -> Path:
    """Return the file a chain's journal is in when nothing else is asked for: in the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "slotzero" / "localnet" / genesis[:16] / "journal.sqlite3"


async def snipe_on_localnet(
    settings: Settings,
    *,
    until_closed: int | None = None,
    for_s: float | None = None,
    on_engine: Callable[[Engine], None] | None = None,
) -> LocalnetRun:
    """Run the sniper on an embedded chain until it has done what was asked. *Does I/O.*

    Args:
        settings: The configuration; `cluster.rpc_url` = "" starts a chain and ends it with the run.
        until_closed: Stop when so many positions have been closed.
        for_s: Stop after so many seconds.
        on_engine: Called with the engine before it runs, to stop it or to look inside.

    Raises:
        SlotzeroError: What went wrong, possibly inside an ExceptionGroup.
    """
    clock = SystemClock()
    timeout_ms = settings.cluster.call_timeout_ms
    async with _chain(settings) as chain, EndpointPool(_specs(chain), clock=clock, timeout_ms=timeout_ms) as rpc:
        genesis = await _genesis_of_a_localnet(rpc)
        book = open_journal(settings.journal, genesis, default=journal_path(genesis), clock=clock)
        signers = [localnet_signer(genesis, book.bot, number) for number in range(settings.wallets.count)]
        rent = await read_rent(rpc)
        limits = Limits(
            limits_rules(settings.limits, open_positions=settings.trade.max_open_positions),
            overhead_lamports=Lamports(rent.first_trade_lamports + settings.fees.max_bid_lamports),
        )
        book.listen(limits.record)
        async with book as journal:
            for signer in signers:
                await _fund(rpc, signer, settings, journal, clock)
            engine = Engine(
                settings,
                rpc=rpc,
                ws_urls=chain.ws,
                silent_after_ms=_silence(settings, chain),
                journal=journal,
                signers=signers,
                venues=tuple(VENUES.values()),
                clock=clock,
                limits=limits,
                rent=rent,
                rng=Random(settings.localnet.seed),  # noqa: S311 a run that can be repeated, with worthless money
            )
            if on_engine is not None:
                on_engine(engine)
            start, began = await _balance(rpc, signers), clock.mono_ns()
            report = await engine.run(until_closed=until_closed, for_s=for_s)
            return LocalnetRun(
                report=report,
                genesis=genesis,
                journal=journal.location,
                slot_ms=chain.slot_ms,
                seed=settings.localnet.seed,
                duration_ns=elapsed_ns(began, clock.mono_ns()),
                start_lamports=start,
                end_lamports=await _balance(rpc, signers),
                expected_lamports=report.expected_lamports,
            )


async def _balance(rpc: Rpc, signers: Sequence[Signer]) -> Lamports:
    return Lamports(sum([await rpc.get_balance(signer.pubkey, "processed") for signer in signers]))


@asynccontextmanager
async def _chain(settings: Settings) -> AsyncIterator[_Chain]:
    cluster = settings.cluster
    if cluster.rpc_url:
        for url in (cluster.rpc_url, cluster.ws_url, *cluster.other_rpc_urls, *cluster.other_ws_urls):
            if not is_loopback(url):
                raise UsageError(
                    f"{redacted_url(url)} is not on this machine, and --cluster localnet joins only a chain that is; "
                    "leave [cluster] rpc_url empty to start one"
                )
        yield _Chain(
            rpc=(cluster.rpc_url, *cluster.other_rpc_urls), ws=(cluster.ws_url, *cluster.other_ws_urls), slot_ms=None
        )
        return
    localnet = settings.localnet
    arguments = (
        *("--launches-per-s", str(localnet.launches_per_s)),
        *("--trap-percent", str(localnet.trap_percent)),
        *("--rivals-per-coin", str(localnet.rivals_per_coin)),
    )
    async with running_localnet(slot_ms=localnet.slot_ms, seed=localnet.seed, arguments=arguments) as endpoints:
        yield _Chain(rpc=(endpoints.rpc,), ws=(endpoints.ws,), slot_ms=localnet.slot_ms)


def _specs(chain: _Chain) -> list[EndpointSpec]:
    return [EndpointSpec(rpc=Secret(url)) for url in chain.rpc]


def _silence(settings: Settings, chain: _Chain) -> int | None:
    """Return after how long a feed without a slot is dead; None where slots come only with transactions."""
    if chain.slot_ms == 0 or settings.cluster.silent_after_ms == 0:
        return None
    return max(settings.cluster.silent_after_ms, _SILENT_SLOTS * (chain.slot_ms or 0))


async def _genesis_of_a_localnet(rpc: Rpc) -> str:
    version = await rpc.get_version()
    if "slotzero-localnet" not in version:
        raise UsageError(
            f"{redacted_url(rpc.endpoint)} is no slotzero localnet, and nothing is signed for another cluster; "
            "start one with `slotzero localnet`, or leave [cluster] rpc_url empty"
        )
    return await rpc.get_genesis_hash()


async def _fund(rpc: Rpc, signer: Signer, settings: Settings, journal: Journal, clock: Clock) -> None:
    """Ask the faucet for money when a wallet cannot pay for what it may buy, and tell the journal."""
    balance = await rpc.get_balance(signer.pubkey, "processed")
    if balance and signer.pubkey not in journal.state.funded:
        await journal.append(_transfer(signer, balance, "held at the first start"))
    need = settings.trade.buy_lamports * (settings.trade.max_open_positions + 1)
    if balance > need:
        return
    amount = Lamports(max(_FUNDING, 2 * need))
    await rpc.request_airdrop(signer.pubkey, amount)
    deadline = add_ms(clock.mono_ns(), _FUNDED_WITHIN_MS)
    while await rpc.get_balance(signer.pubkey, "processed") < balance + amount:
        if is_due(deadline, clock.mono_ns()):
            raise LocalnetError("the embedded chain's faucet did not fund the wallet")
        await asyncio.sleep(_LOOK_EVERY_MS / 1000)
    await journal.append(_transfer(signer, amount, "funded by the embedded chain's faucet"))


def _transfer(signer: Signer, lamports: int, reason: str) -> ExternalTransfer:
    return ExternalTransfer(wallet=signer.pubkey, lamports_delta=LamportsDelta(lamports), reason=reason)
