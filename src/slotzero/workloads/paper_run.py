"""The sniper on paper: the configured endpoints are read, nothing is sent to them, fills are computed in a fork.

The wallets' keys follow from the cluster's genesis hash and the model's seed: nobody is meant to send them money, and
nothing that is signed with them leaves this process. Each run has a book of its own, so that no paper position is taken
for one of an earlier run, nor for a real one.
"""

import asyncio
import functools
import hashlib
from collections.abc import Callable
from random import Random

from msgspec import Struct, structs

from slotzero.clock import Clock, SystemClock
from slotzero.config import Settings
from slotzero.engine import Engine
from slotzero.errors import UsageError
from slotzero.hook import Hook, ignore
from slotzero.secret import Secret
from slotzero.solana.endpoints import EndpointPool
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import Signer
from slotzero.trading.identities import Identities, SystemIdentities
from slotzero.trading.journal import (
    Event,
    ExternalTransfer,
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSigned,
    Journal,
    open_journal,
)
from slotzero.trading.paper import DEFAULT_LIMIT_NS, Fork, ForkRunner, PaperBook, PaperDesk, PaperPubSub, PaperRpc
from slotzero.trading.paper.report import PaperFill
from slotzero.units import DurationNs, LamportsDelta, WallNs
from slotzero.venues.registry import VENUES
from slotzero.workloads.bot_run import (
    PAPER,
    BotRun,
    Cluster,
    configured_cluster,
    endpoint_specs,
    run_bot,
    state_folder,
)

__all__ = ["PaperParts", "Slippage", "open_desk", "paper_cluster", "paper_signers", "snipe_on_paper", "trade_on_paper"]


class PaperParts(Struct, frozen=True, kw_only=True):
    """What a paper run is wired from.

    Attributes:
        cluster: Where; it names no block engine, which would be a way out.
        upstream: Reads the real chain.
        open_pubsub: Makes the client of its notifications, given the desk and what `PubSub` takes.
        identities: Where ids come from.
        genesis: Which chain it is.
        is_replay: Whether everything must come out the same again: then nothing depends on what the machine does.
    """

    cluster: Cluster
    upstream: Rpc
    open_pubsub: Callable[..., PubSub]
    clock: Clock
    identities: Identities
    genesis: str
    is_replay: bool = False


def paper_signers(settings: Settings, genesis: str) -> list[Signer]:
    """Return the paper wallets of a chain. *Pure.*"""
    owners = [f"{genesis} {settings.paper.seed} #{number}" for number in range(settings.wallets.count)]
    return [Signer(Secret(hashlib.sha256(b"slotzero paper wallet " + owner.encode()).digest())) for owner in owners]


async def snipe_on_paper(
    settings: Settings,
    *,
    until_closed: int | None = None,
    for_s: float | None = None,
    on_engine: Callable[[Engine], None] | None = None,
    hook: Hook = ignore,
) -> BotRun:
    """Run the sniper on the configured endpoints without sending anything. *Does I/O.*

    Args:
        settings: The configuration; `[cluster]` names the endpoints, `[paper]` what is charged.
        until_closed: Stop when so many positions have been closed.
        for_s: Stop after so many seconds.
        on_engine: Called with the engine before it runs.
        hook: Is told what happens.

    Raises:
        UsageError: No endpoints are configured.
        SlotzeroError: What went wrong, possibly inside an ExceptionGroup.
    """
    clock, cluster = SystemClock(), paper_cluster(settings)
    timeout_ms = settings.cluster.call_timeout_ms
    async with EndpointPool(endpoint_specs(cluster), clock=clock, timeout_ms=timeout_ms) as pool:
        genesis = await pool.get_genesis_hash()
        chain = f"{PAPER}{genesis} {clock.wall_ns()}"
        path = state_folder() / "paper" / genesis[:16] / "journal.sqlite3"
        book = open_journal(settings.journal, chain, default=path, clock=clock)
        parts = PaperParts(
            cluster=cluster,
            upstream=pool,
            open_pubsub=PaperPubSub,
            clock=clock,
            identities=SystemIdentities(),
            genesis=genesis,
        )
        async with asyncio.TaskGroup() as tasks:
            health = tasks.create_task(pool.run(), name="endpoints")
            try:
                run = await trade_on_paper(
                    settings, parts, book, until_closed=until_closed, for_s=for_s, on_engine=on_engine, hook=hook
                )
                # The engine sees one paper endpoint; the real ones behind it are what a person wants to know of.
                return structs.replace(run, report=structs.replace(run.report, endpoints=pool.stats()))
            finally:
                health.cancel()


def paper_cluster(settings: Settings) -> Cluster:
    """Return the endpoints that are read. *Pure.* Raises UsageError when none are configured."""
    if not settings.cluster.rpc_url:
        raise UsageError(
            "--cluster paper reads real endpoints; set [cluster] rpc_url and ws_url, for a first try to those that a "
            "running `slotzero localnet` prints"
        )
    return configured_cluster(settings, "paper", seed=settings.localnet.seed, sends=False)


async def trade_on_paper(
    settings: Settings,
    parts: PaperParts,
    book: Journal,
    *,
    until_closed: int | None = None,
    for_s: float | None = None,
    on_engine: Callable[[Engine], None] | None = None,
    hook: Hook = ignore,
) -> BotRun:
    """Run the engine behind a paper node. *Does I/O.*

    Args:
        settings: The configuration.
        parts: The chain that is read, and by whose time.
        book: The journal, not entered.
        until_closed: As of `snipe_on_paper`, and so are the others.
        for_s: Likewise.
        on_engine: Likewise.
        hook: Likewise.
    """
    assert not parts.cluster.jito, "a block engine would be a way out"
    clock, lamports = parts.clock, LamportsDelta(settings.paper.wallet_lamports)
    limit_ns = None if parts.is_replay else DEFAULT_LIMIT_NS
    desk, signers = await open_desk(settings, parts.upstream, parts.genesis, clock=clock, limit_ns=limit_ns)
    rpc = PaperRpc(parts.upstream, desk, clock=clock)
    slippage = Slippage(desk.fill)
    book.listen(slippage.on_event)

    async def endow(journal: Journal) -> None:
        for signer in signers:
            await journal.append(ExternalTransfer(wallet=signer.pubkey, lamports_delta=lamports, reason="paper money"))

    async with asyncio.TaskGroup() as tasks:
        landing = tasks.create_task(desk.run(), name="paper desk")
        try:
            run = await run_bot(
                settings,
                parts.cluster,
                rpc=rpc,
                genesis=parts.genesis,
                book=book,
                signers=signers,
                rng=Random(parts.cluster.seed),  # noqa: S311 paper money
                clock=clock,
                prepare=endow,
                until_closed=until_closed,
                for_s=for_s,
                on_engine=on_engine,
                hook=hook,
                identities=parts.identities,
                open_pubsub=functools.partial(parts.open_pubsub, desk=desk),
            )
        finally:
            landing.cancel()
            desk.close()
    return structs.replace(run, paper=desk.report(rpc.forwarded, slippage_lamports=slippage.total()))


async def open_desk(
    settings: Settings, upstream: Rpc, genesis: str, *, clock: Clock, limit_ns: DurationNs | None = DEFAULT_LIMIT_NS
) -> tuple[PaperDesk, list[Signer]]:
    """Return a desk in front of a chain that knows the venues' programs, and the wallets that have paper money there.

    *Does I/O.* The caller closes the desk; `limit_ns` is the `ForkRunner`'s.
    """
    signers = paper_signers(settings, genesis)
    book = PaperBook([signer.pubkey for signer in signers], settings.paper.wallet_lamports)
    runner = ForkRunner(Fork(await upstream.get_minimum_balance(0)), limit_ns=limit_ns)
    desk = PaperDesk(upstream, runner, book, settings.paper, clock=clock)
    await desk.warm(venue.program for venue in VENUES.values())
    return desk, signers


class Slippage:
    """How much worse a run's fills were than what was quoted when they were signed, added up as they land.

    Args:
        fill_of: Returns what became of a signature, None for what has not landed or is no longer known.
    """

    def __init__(self, fill_of: Callable[[str], PaperFill | None]) -> None:
        self._fill_of = fill_of
        self._open: dict[str, IntentSigned] = {}
        self._settled = 0

    def on_event(self, event: Event, _wall_ns: WallNs) -> None:
        """Take in an event of the journal."""
        if isinstance(event, IntentSigned):
            self._open[event.intent] = event
        elif isinstance(event, IntentLanded):
            signed = self._open.pop(event.intent, None)
            self._settled += 0 if signed is None else self._worse(signed)
        elif isinstance(event, IntentFailed | IntentExpired | IntentAbandoned):
            self._open.pop(event.intent, None)

    def total(self) -> int:
        """Return the sum, with what has landed and nobody has been told of."""
        return self._settled + sum(self._worse(signed) for signed in self._open.values())

    def _worse(self, signed: IntentSigned) -> int:
        fill = self._fill_of(signed.signature)
        if fill is None or fill.failed_by is not None:
            return 0
        quoted = signed.quoted_lamports
        return (-quoted if signed.side == "buy" else quoted) - fill.traded_lamports
