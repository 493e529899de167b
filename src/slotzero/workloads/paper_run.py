"""The sniper on paper: the configured endpoints are read, nothing is sent to them, fills are computed in a fork.

The wallets' keys follow from the cluster's genesis hash and the model's seed: nobody is meant to send them money, and
nothing that is signed with them leaves this process. Each run has a book of its own, so that no paper position is taken
for one of an earlier run, nor for a real one.
"""

import asyncio
import functools
import hashlib
from collections.abc import Callable, Sequence
from random import Random

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, SystemClock, elapsed_ns
from slotzero.config import Settings
from slotzero.engine import Engine, EngineReport
from slotzero.errors import UsageError
from slotzero.secret import Secret
from slotzero.solana.endpoints import EndpointPool, EndpointSpec
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import Signer
from slotzero.trading.identities import Identities, SystemIdentities
from slotzero.trading.journal import ExternalTransfer, Journal, open_journal
from slotzero.trading.limits import Limits
from slotzero.trading.paper import Fork, PaperBook, PaperDesk, PaperPubSub, PaperRpc
from slotzero.trading.probe import read_rent
from slotzero.trading.rules import limits_rules
from slotzero.units import Lamports, LamportsDelta
from slotzero.venues.registry import VENUES
from slotzero.workloads.localnet_run import LocalnetRun, journal_path

__all__ = ["PaperParts", "paper_chain", "paper_signers", "snipe_on_paper", "trade_on_paper"]


class PaperParts(Struct, frozen=True, kw_only=True):
    """What a paper run is wired from.

    Attributes:
        upstream: Reads the real chain.
        open_pubsub: Makes the client of its notifications, given the desk and what `PubSub` takes.
        identities: Where ids come from.
        genesis: Which chain it is.
        seed: Of the engine's variations.
    """

    upstream: Rpc
    ws_urls: tuple[str, ...]
    open_pubsub: Callable[..., PubSub]
    clock: Clock
    identities: Identities
    genesis: str
    seed: int
    silent_after_ms: int | None
    cluster: str


def paper_signers(settings: Settings, genesis: str) -> list[Signer]:
    """Return the paper wallets of a chain. *Pure.*"""
    owners = [f"{genesis} {settings.paper.seed} #{number}" for number in range(settings.wallets.count)]
    return [Signer(Secret(hashlib.sha256(b"slotzero paper wallet " + owner.encode()).digest())) for owner in owners]


def paper_chain(genesis: str, clock: Clock) -> str:
    """Return the name a run's events have in a journal: no other run's, and no real one's."""
    return f"paper {genesis} {clock.wall_ns()}"


async def snipe_on_paper(
    settings: Settings,
    *,
    until_closed: int | None = None,
    for_s: float | None = None,
    on_engine: Callable[[Engine], None] | None = None,
) -> LocalnetRun:
    """Run the sniper on the configured endpoints without sending anything. *Does I/O.*

    Args:
        settings: The configuration; `[cluster]` names the endpoints, `[paper]` what is charged.
        until_closed: Stop when so many positions have been closed.
        for_s: Stop after so many seconds.
        on_engine: Called with the engine before it runs.

    Raises:
        UsageError: No endpoints are configured.
        SlotzeroError: What went wrong, possibly inside an ExceptionGroup.
    """
    cluster, clock = settings.cluster, SystemClock()
    if not cluster.rpc_url:
        raise UsageError(
            "--cluster paper reads real endpoints; set [cluster] rpc_url and ws_url, for a first try to those that a "
            "running `slotzero localnet` prints"
        )
    specs = [EndpointSpec(rpc=Secret(url)) for url in (cluster.rpc_url, *cluster.other_rpc_urls)]
    async with EndpointPool(specs, clock=clock, timeout_ms=cluster.call_timeout_ms) as pool:
        genesis = await pool.get_genesis_hash()
        book = open_journal(
            settings.journal, paper_chain(genesis, clock), default=journal_path(f"paper-{genesis}"), clock=clock
        )
        parts = PaperParts(
            upstream=pool,
            ws_urls=(cluster.ws_url, *cluster.other_ws_urls),
            open_pubsub=PaperPubSub,
            clock=clock,
            identities=SystemIdentities(),
            genesis=genesis,
            seed=settings.localnet.seed,
            silent_after_ms=cluster.silent_after_ms or None,
            cluster="paper",
        )
        async with asyncio.TaskGroup() as tasks:
            health = tasks.create_task(pool.run(), name="endpoints")
            try:
                return await trade_on_paper(
                    settings, parts, book, until_closed=until_closed, for_s=for_s, on_engine=on_engine
                )
            finally:
                health.cancel()


async def trade_on_paper(
    settings: Settings,
    parts: PaperParts,
    book: Journal,
    *,
    until_closed: int | None = None,
    for_s: float | None = None,
    on_engine: Callable[[Engine], None] | None = None,
) -> LocalnetRun:
    """Run the engine behind a paper node. *Does I/O.*

    Args:
        settings: The configuration.
        parts: The chain that is read, and by whose time.
        book: The journal, not entered.
        until_closed: As of `snipe_on_paper`, and so are the others.
        for_s: Likewise.
        on_engine: Likewise.
    """
    clock = parts.clock
    signers = paper_signers(settings, parts.genesis)
    wallets = [signer.pubkey for signer in signers]
    rent = await read_rent(parts.upstream)
    desk = PaperDesk(
        parts.upstream,
        Fork(rent.empty_account_lamports),
        PaperBook(wallets, settings.paper.wallet_lamports),
        settings.paper,
        clock=clock,
    )
    await desk.warm(venue.program for venue in VENUES.values())
    rpc = PaperRpc(parts.upstream, desk, clock=clock)
    limits = Limits(
        limits_rules(settings.limits, open_positions=settings.trade.max_open_positions),
        overhead_lamports=Lamports(rent.first_trade_lamports + settings.fees.max_bid_lamports),
    )
    book.listen(limits.record)
    async with book as journal:
        for wallet in wallets:
            await journal.append(_endowment(wallet, settings.paper.wallet_lamports))
        engine = Engine(
            settings,
            rpc=rpc,
            ws_urls=parts.ws_urls,
            silent_after_ms=parts.silent_after_ms,
            journal=journal,
            signers=signers,
            venues=tuple(VENUES.values()),
            clock=clock,
            limits=limits,
            rent=rent,
            rng=Random(parts.seed),  # noqa: S311 paper money
            identities=parts.identities,
            open_pubsub=functools.partial(parts.open_pubsub, desk=desk),
        )
        if on_engine is not None:
            on_engine(engine)
        start, began = _balance(desk, wallets), clock.mono_ns()
        report = await _run(engine, desk, until_closed, for_s)
        return LocalnetRun(
            report=report,
            genesis=parts.genesis,
            journal=journal.location,
            slot_ms=None,
            seed=parts.seed,
            duration_ns=elapsed_ns(began, clock.mono_ns()),
            start_lamports=start,
            end_lamports=_balance(desk, wallets),
            expected_lamports=report.expected_lamports,
            cluster=parts.cluster,
            paper=desk.report(rpc.forwarded, slippage_lamports=_slippage(desk, journal)),
        )


async def _run(engine: Engine, desk: PaperDesk, until_closed: int | None, for_s: float | None) -> EngineReport:
    async with asyncio.TaskGroup() as tasks:
        landing = tasks.create_task(desk.run(), name="paper desk")
        try:
            return await engine.run(until_closed=until_closed, for_s=for_s)
        finally:
            landing.cancel()


def _balance(desk: PaperDesk, wallets: Sequence[Pubkey]) -> Lamports:
    return Lamports(sum(desk.book.balance(wallet) for wallet in wallets))


def _slippage(desk: PaperDesk, journal: Journal) -> int:
    """Return how much worse this run's fills were than what was quoted when they were signed."""
    worse = 0
    for intent in journal.state.intents.values():
        fill = desk.fill(intent.signed.signature)
        if fill is not None and fill.failed_by is None:
            quoted = intent.signed.quoted_lamports
            worse += (-quoted if intent.signed.side == "buy" else quoted) - fill.traded_lamports
    return worse


def _endowment(wallet: Pubkey, lamports: Lamports) -> ExternalTransfer:
    return ExternalTransfer(wallet=wallet, lamports_delta=LamportsDelta(lamports), reason="paper money")
