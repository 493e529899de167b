"""One run of the bot on some cluster: journal, limits, engine and control socket, from start-up to the last word."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from slotzero.clock import Clock, add_ms, elapsed_ns
from slotzero.config import Settings
from slotzero.control import serve_control
from slotzero.engine import Engine, EngineReport
from slotzero.errors import EndpointError
from slotzero.hook import Hook, ignore
from slotzero.secret import Secret
from slotzero.solana.endpoints import EndpointPool, EndpointSpec
from slotzero.solana.jito import JitoClient
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import Signer
from slotzero.trading.identities import Identities
from slotzero.trading.journal import Journal
from slotzero.trading.limits import Limits
from slotzero.trading.paper import PaperReport
from slotzero.trading.probe import read_rent
from slotzero.trading.rules import limits_rules
from slotzero.trading.wallets.passwords import PasswordSource
from slotzero.units import DurationNs, Lamports, LamportsDelta
from slotzero.venues.registry import VENUES

if TYPE_CHECKING:
    from slotzero.solana.geyser import GeyserEndpoint

__all__ = [
    "BotRun",
    "Cluster",
    "ClusterName",
    "configured_cluster",
    "endpoint_specs",
    "run_bot",
    "state_folder",
]

_LAST_TRIES: Final = 20
_LAST_PAUSE_MS: Final = 500

ClusterName = Literal["localnet", "paper", "live", "replay"]


class Cluster(Struct, frozen=True, kw_only=True):
    """Where the bot trades.

    Attributes:
        rpc: JSON-RPC addresses of one chain; `ws` are their WebSocket sides. They may hold secrets.
        slot_ms: The slot time of an embedded chain that was started for this run; None = an existing chain.
        silent_after_ms: A feed without a slot for so long is dead; None = slots do not come by themselves.
        seed: What an embedded chain follows from.
        geyser: A Geyser stream of the chain, "" = none; `jito`: a block engine, likewise.
    """

    name: ClusterName
    rpc: tuple[str, ...]
    ws: tuple[str, ...]
    slot_ms: int | None
    silent_after_ms: int | None
    seed: int
    geyser: str = ""
    jito: str = ""


class BotRun(Struct, frozen=True, kw_only=True):
    """What a run did, and what the chain says the wallets gained.

    Attributes:
        start_lamports: The wallets' balance before the first order of this run.
        end_lamports: Their balance at the end, read from the chain.
        expected_lamports: What it should be by the journal.
        journal: Where that is.
        paper: What was charged, where nothing was sent.
    """

    report: EngineReport
    cluster: ClusterName
    genesis: str
    journal: str
    slot_ms: int | None
    seed: int
    duration_ns: DurationNs
    start_lamports: Lamports
    end_lamports: Lamports
    expected_lamports: int
    paper: PaperReport | None = None

    @property
    def unexplained_lamports(self) -> LamportsDelta:
        """What the wallets hold beyond what the journal says, all runs on this chain included: 0, or tell why."""
        return LamportsDelta(self.end_lamports - self.expected_lamports)


def state_folder() -> Path:
    """Return the user's folder for what programs keep between runs."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "slotzero"


def configured_cluster(settings: Settings, name: ClusterName, *, seed: int, sends: bool) -> Cluster:
    """Return the cluster behind the user's own endpoints. *Pure.*

    Args:
        settings: The configuration, with endpoints.
        name: As what it is used.
        seed: What chance is derived from.
        sends: Whether anything may be sent there: else it has no block engine, which would be a way out.
    """
    cluster = settings.cluster
    return Cluster(
        name=name,
        rpc=(cluster.rpc_url, *cluster.other_rpc_urls),
        ws=(cluster.ws_url, *cluster.other_ws_urls),
        slot_ms=None,
        silent_after_ms=cluster.silent_after_ms or None,
        seed=seed,
        geyser=cluster.geyser_url,
        jito=cluster.jito_url if sends else "",
    )


def endpoint_specs(cluster: Cluster) -> list[EndpointSpec]:
    """Return a cluster's endpoints for an `EndpointPool`."""
    return [EndpointSpec(rpc=Secret(url)) for url in cluster.rpc]


async def run_bot(
    settings: Settings,
    cluster: Cluster,
    *,
    rpc: Rpc,
    genesis: str,
    book: Journal,
    signers: Sequence[Signer],
    rng: Random,
    clock: Clock,
    prepare: Callable[[Journal], Awaitable[None]],
    until_closed: int | None = None,
    for_s: float | None = None,
    on_engine: Callable[[Engine], None] | None = None,
    hook: Hook = ignore,
    identities: Identities | None = None,
    open_pubsub: Callable[..., PubSub] = PubSub,
) -> BotRun:
    """Run the sniper until it has done what was asked. *Does I/O.*

    Args:
        settings: The configuration.
        cluster: Where.
        rpc: Its endpoints, entered.
        genesis: The chain's genesis hash.
        book: The journal, not entered yet.
        signers: Who pays, at least one.
        rng: Where the variations for privacy come from.
        clock: Time.
        prepare: Called with the open journal before the engine starts: to fund wallets, to write down what they hold.
        until_closed: Stop when so many positions have been closed.
        for_s: Stop after so many seconds.
        on_engine: Called with the engine before it runs, to stop it or to look inside.
        hook: Is told what happens.
        identities: Where ids and fresh addresses come from; None = the system.
        open_pubsub: Makes the client of the WebSocket addresses.

    Raises:
        SlotzeroError: What went wrong, possibly inside an ExceptionGroup.
    """
    rent = await read_rent(rpc)
    limits = Limits(
        limits_rules(settings.limits, open_positions=settings.trade.max_open_positions),
        overhead_lamports=Lamports(rent.first_trade_lamports + settings.fees.max_bid_lamports),
    )
    book.listen(limits.record)
    async with book as journal, contextlib.AsyncExitStack() as until_ended:
        await prepare(journal)
        jito = JitoClient(cluster.jito, timeout_ms=settings.cluster.call_timeout_ms) if cluster.jito else None
        if jito is not None:
            await until_ended.enter_async_context(jito)
        engine = Engine(
            settings,
            rpc=rpc,
            ws_urls=cluster.ws,
            silent_after_ms=cluster.silent_after_ms,
            journal=journal,
            signers=signers,
            venues=tuple(VENUES.values()),
            clock=clock,
            limits=limits,
            rent=rent,
            rng=rng,
            geyser=_geyser(settings, cluster),
            jito=jito,
            hook=hook,
            identities=identities,
            open_pubsub=open_pubsub,
        )
        if cluster.name != "replay":  # whose time stands still for nobody
            await until_ended.enter_async_context(serve_control(engine, state_folder()))
        if on_engine is not None:
            on_engine(engine)
        start, began = await _balance(rpc, signers), clock.mono_ns()
        report = await engine.run(until_closed=until_closed, for_s=for_s)
        end = await _balance_at_last(rpc, signers, clock)
        if isinstance(rpc, EndpointPool):  # what that took is part of the run, too
            report = replace(report, endpoints=rpc.stats())
        return BotRun(
            report=report,
            cluster=cluster.name,
            genesis=genesis,
            journal=journal.location,
            slot_ms=cluster.slot_ms,
            seed=cluster.seed,
            duration_ns=elapsed_ns(began, clock.mono_ns()),
            start_lamports=start,
            end_lamports=end,
            expected_lamports=report.expected_lamports,
        )


def _geyser(settings: Settings, cluster: Cluster) -> "Sequence[GeyserEndpoint]":
    if not cluster.geyser:
        return ()
    from slotzero.solana.geyser import GeyserEndpoint  # noqa: PLC0415 it loads gRPC

    file = settings.cluster.geyser_token_file
    token = PasswordSource(file=Path(file).expanduser()).read() if file else None
    return (GeyserEndpoint(url=Secret(cluster.geyser), token=token),)


async def _balance_at_last(rpc: Rpc, signers: Sequence[Signer], clock: Clock) -> Lamports:
    """Return what the wallets hold, patiently: a whole run's report hangs on it. Raises EndpointError."""
    for _ in range(_LAST_TRIES):
        with contextlib.suppress(EndpointError):
            return await _balance(rpc, signers)
        await clock.sleep_until(add_ms(clock.mono_ns(), _LAST_PAUSE_MS))
    return await _balance(rpc, signers)


async def _balance(rpc: Rpc, signers: Sequence[Signer]) -> Lamports:
    balances = await asyncio.gather(*(rpc.get_balance(signer.pubkey, "processed") for signer in signers))
    return Lamports(sum(balances))
