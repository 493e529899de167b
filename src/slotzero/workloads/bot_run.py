"""One run of the bot on some cluster: journal, limits, engine and control socket, from start-up to the last word."""

import asyncio
import contextlib
import logging
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
from slotzero.solana.rpc import Commitment, Rpc
from slotzero.solana.transaction import Signer
from slotzero.trading.identities import Identities
from slotzero.trading.journal import ExternalTransfer, Journal, PositionRecord
from slotzero.trading.limits import Limits
from slotzero.trading.paper import PaperReport
from slotzero.trading.probe import read_rent
from slotzero.trading.rules import buy_overhead, limits_rules
from slotzero.trading.wallets.ledger import WalletLedger
from slotzero.trading.wallets.passwords import PasswordSource
from slotzero.units import DurationNs, Lamports, LamportsDelta, Slot
from slotzero.venues.registry import VENUES

if TYPE_CHECKING:
    from slotzero.solana.geyser import GeyserEndpoint

__all__ = [
    "MOVED_OUTSIDE",
    "PAPER",
    "BotRun",
    "Cluster",
    "ClusterName",
    "RunStart",
    "configured_cluster",
    "endpoint_specs",
    "run_bot",
    "state_folder",
]

MOVED_OUTSIDE: Final = "moved outside of trading before a run began"
"""The reason in the journal for money that came or left while no run of this bot was under way."""

PAPER: Final = "paper "
"""How the name of a paper run's chain in a journal begins; no later run has the same one."""

log = logging.getLogger(__name__)

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


class RunStart(Struct, frozen=True, kw_only=True):
    """How wallets and journal stood when a run began.

    Attributes:
        lamports: What the wallets held, before the first order of the run.
        moved_lamports: What had come (negative: left) by no order of this bot since the journal last agreed with the
            wallets. The journal has taken it in, so that it is told once. None = it could not be told apart, and what
            is unexplained may be older than the run.
        has_open_orders: Whether an order of an earlier run had no end yet.
        traded_lamports: What the orders of all earlier runs had brought.
        closed_positions: Ids of the positions in memory that earlier runs had closed; `left_positions`: those that
            they had left held, or with a buy without an end.
        forgotten_positions: How many closed ones were no longer in memory.
    """

    lamports: Lamports
    moved_lamports: LamportsDelta | None
    has_open_orders: bool
    traded_lamports: LamportsDelta
    closed_positions: frozenset[str]
    left_positions: frozenset[str]
    forgotten_positions: int


class BotRun(Struct, frozen=True, kw_only=True):
    """What a run did, and what the chain says the wallets gained.

    Attributes:
        start: How it began.
        end_lamports: The wallets' balance at the end, read from the chain.
        expected_lamports: What it should be by the journal.
        all_runs_lamports: What all orders of the journal have brought, earlier runs' and failed ones included.
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
    start: RunStart
    end_lamports: Lamports
    expected_lamports: int
    all_runs_lamports: LamportsDelta
    paper: PaperReport | None = None

    @property
    def change_lamports(self) -> LamportsDelta:
        """What the wallets changed by in this run, whatever did it."""
        return LamportsDelta(self.end_lamports - self.start.lamports)

    @property
    def unexplained_lamports(self) -> LamportsDelta:
        """What the wallets hold beyond what the journal says: 0, or tell why."""
        return LamportsDelta(self.end_lamports - self.expected_lamports)

    @property
    def pnl_lamports(self) -> LamportsDelta:
        """What trading has changed the wallets by in this run.

        It is what the landed transactions of its orders did. Where an order has no end yet, or had none when the run
        began, nobody knows all of them: then it is the wallets' whole change.
        """
        if self.start.has_open_orders or self.report.unknown_open:
            return self.change_lamports
        return LamportsDelta(self.all_runs_lamports - self.start.traded_lamports)

    @property
    def positions(self) -> tuple[PositionRecord, ...]:
        """Those held in this run, as far as they are in memory; an earlier run may have bought them."""
        earlier = self.start.closed_positions
        return tuple(position for position in self.report.positions if position.id not in earlier)

    @property
    def forgotten_positions(self) -> int:
        """How many positions of this run are no longer in memory."""
        earlier = self.start.closed_positions
        earlier_now = sum(position.id in earlier for position in self.report.positions)
        return self.report.forgotten_positions - self.start.forgotten_positions - (len(earlier) - earlier_now)


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
        overhead_lamports=buy_overhead(settings.fees, rent),
    )
    ledger = WalletLedger()
    book.listen(limits.record)
    book.listen(ledger.on_event)
    async with book as journal, contextlib.AsyncExitStack() as until_ended:
        start = await _start(rpc, journal, ledger, signers, prepare)
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
        began = clock.mono_ns()
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
            start=start,
            end_lamports=end,
            expected_lamports=sum(ledger.expected_of(signer.pubkey) for signer in signers),
            all_runs_lamports=ledger.traded_lamports,
        )


def _geyser(settings: Settings, cluster: Cluster) -> "Sequence[GeyserEndpoint]":
    if not cluster.geyser:
        return ()
    from slotzero.solana.geyser import GeyserEndpoint  # noqa: PLC0415 it loads gRPC

    file = settings.cluster.geyser_token_file
    token = PasswordSource(file=Path(file).expanduser()).read() if file else None
    return (GeyserEndpoint(url=Secret(cluster.geyser), token=token),)


async def _start(
    rpc: Rpc,
    journal: Journal,
    ledger: WalletLedger,
    signers: Sequence[Signer],
    prepare: Callable[[Journal], Awaitable[None]],
) -> RunStart:
    """Have the run prepared, and say how wallets and journal stand before it. *Does I/O.*"""
    has_open_orders, traded, state = ledger.has_open_orders, ledger.traded_lamports, journal.state
    moved = await _take_in_moved(rpc, journal, ledger, signers)
    await prepare(journal)
    held = frozenset(position.id for position in state.held_positions())
    return RunStart(
        lamports=Lamports(sum(await _balances(rpc, signers, "processed"))),
        moved_lamports=moved,
        has_open_orders=has_open_orders,
        traded_lamports=traded,
        closed_positions=frozenset(state.positions.keys() - held),
        left_positions=held | {intent.signed.intent for intent in state.open_intents()},
        forgotten_positions=state.forgotten_positions,
    )


async def _take_in_moved(
    rpc: Rpc, journal: Journal, ledger: WalletLedger, signers: Sequence[Signer]
) -> LamportsDelta | None:
    """Let the journal agree with what the wallets hold, where no order can be why it does not. *Does I/O.*

    Call it before anything is sent. An order without an end (an earlier run was killed in the middle of it) may have
    landed without being booked: nothing is taken in then, recovery books it, and a later run begins with every order
    ended. Nor is anything where no endpoint knows the newest slot the journal knows, or where the newest slots are not
    of one mind: a landed order would look like money that was moved.

    Returns:
        What was moved, of all wallets together; None where it cannot be told.
    """
    if ledger.has_open_orders:
        return None
    known = [signer for signer in signers if signer.pubkey in journal.state.funded]
    newest, moved = journal.state.newest_slot, 0
    try:
        confirmed = await _balances(rpc, known, "confirmed", newest)
        processed = await _balances(rpc, known, "processed", newest)
    except EndpointError as error:
        log.info("the journal is not held against the wallets at this start: %s", error)
        return None
    if confirmed != processed:
        return None
    for signer, balance in zip(known, confirmed, strict=True):
        if delta := LamportsDelta(balance - ledger.expected_of(signer.pubkey)):
            transfer = ExternalTransfer(wallet=signer.pubkey, lamports_delta=delta, reason=MOVED_OUTSIDE)
            await journal.append(transfer)
            moved += delta
    return LamportsDelta(moved)


async def _balance_at_last(rpc: Rpc, signers: Sequence[Signer], clock: Clock) -> Lamports:
    """Return what the wallets hold, patiently: a whole run's report hangs on it. Raises EndpointError."""
    for _ in range(_LAST_TRIES):
        with contextlib.suppress(EndpointError):
            return Lamports(sum(await _balances(rpc, signers, "processed")))
        await clock.sleep_until(add_ms(clock.mono_ns(), _LAST_PAUSE_MS))
    return Lamports(sum(await _balances(rpc, signers, "processed")))


async def _balances(
    rpc: Rpc, signers: Sequence[Signer], commitment: Commitment, min_context_slot: Slot | None = None
) -> list[Lamports]:
    """Return what each wallet holds. Raises EndpointError."""
    return await asyncio.gather(
        *(rpc.get_balance(signer.pubkey, commitment, min_context_slot=min_context_slot) for signer in signers)
    )
