"""The sniper on an embedded chain: start the chain or join a running one, fund wallets of its own, run the engine.

The wallets' keys are derived from the chain's genesis hash, so they are worthless anywhere else and a restarted bot
finds them again. A chain is joined only at a loopback address and only when it says it is a slotzero localnet:
nothing here signs for another cluster.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Final

from slotzero.clock import Clock, SystemClock, add_ms, is_due
from slotzero.config import ClusterSettings, Settings, is_loopback
from slotzero.engine import Engine
from slotzero.errors import LocalnetError, UsageError
from slotzero.hook import Hook, ignore
from slotzero.localnet.process import running_localnet
from slotzero.secret import Secret, redacted_url
from slotzero.solana.endpoints import EndpointPool
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import Signer
from slotzero.trading.journal import MAIN_BOT, ExternalTransfer, Journal, open_journal
from slotzero.units import LAMPORTS_PER_SOL, Lamports, LamportsDelta
from slotzero.workloads.bot_run import BotRun, Cluster, endpoint_specs, run_bot, state_folder

__all__ = ["journal_path", "localnet_signer", "snipe_on_localnet"]

_FUNDING: Final = Lamports(100 * LAMPORTS_PER_SOL)
_FUNDED_WITHIN_MS: Final = 10_000
_LOOK_EVERY_MS: Final = 10
_SILENT_SLOTS: Final = 10


def localnet_signer(genesis: str, bot: str = MAIN_BOT, number: int = 0) -> Signer:
    """Return a wallet that a bot has on the chain with this genesis hash. *Pure.*"""
    owner = genesis if bot == MAIN_BOT else f"{genesis} {bot}"
    if number:
        owner += f" #{number}"
    return Signer(Secret(hashlib.sha256(b"slotzero localnet wallet " + owner.encode()).digest()))


def journal_path(genesis: str) -> Path:
    """Return the file a chain's journal is in when nothing else is asked for: in the user's state folder."""
    return state_folder() / "localnet" / genesis[:16] / "journal.sqlite3"


async def snipe_on_localnet(
    settings: Settings,
    *,
    until_closed: int | None = None,
    for_s: float | None = None,
    on_engine: Callable[[Engine], None] | None = None,
    hook: Hook = ignore,
) -> BotRun:
    """Run the sniper on an embedded chain until it has done what was asked. *Does I/O.*

    Args:
        settings: The configuration; `cluster.rpc_url` = "" starts a chain and ends it with the run.
        until_closed: Stop when so many positions have been closed.
        for_s: Stop after so many seconds.
        on_engine: Called with the engine before it runs, to stop it or to look inside.
        hook: Is told what happens.

    Raises:
        SlotzeroError: What went wrong, possibly inside an ExceptionGroup.
    """
    clock = SystemClock()
    timeout_ms = settings.cluster.call_timeout_ms
    async with (
        _chain(settings) as chain,
        EndpointPool(endpoint_specs(chain), clock=clock, timeout_ms=timeout_ms) as rpc,
    ):
        genesis = await _genesis_of_a_localnet(rpc)
        book = open_journal(settings.journal, genesis, default=journal_path(genesis), clock=clock)
        signers = [localnet_signer(genesis, book.bot, number) for number in range(settings.wallets.count)]

        async def fund(journal: Journal) -> None:
            for signer in signers:
                await _fund(rpc, signer, settings, journal, clock)

        return await run_bot(
            settings,
            chain,
            rpc=rpc,
            genesis=genesis,
            book=book,
            signers=signers,
            rng=Random(settings.localnet.seed),  # noqa: S311 a run that can be repeated, with worthless money
            clock=clock,
            prepare=fund,
            until_closed=until_closed,
            for_s=for_s,
            on_engine=on_engine,
            hook=hook,
        )


@asynccontextmanager
async def _chain(settings: Settings) -> AsyncIterator[Cluster]:
    cluster = settings.cluster
    if cluster.rpc_url:
        for url in _addresses(cluster):
            if not is_loopback(url):
                raise UsageError(
                    f"{redacted_url(url)} is not on this machine, and --cluster localnet joins only a chain that is; "
                    "leave [cluster] rpc_url empty to start one"
                )
        yield Cluster(
            name="localnet",
            rpc=(cluster.rpc_url, *cluster.other_rpc_urls),
            ws=(cluster.ws_url, *cluster.other_ws_urls),
            slot_ms=None,
            silent_after_ms=cluster.silent_after_ms or None,
            seed=settings.localnet.seed,
            geyser=cluster.geyser_url,
            jito=cluster.jito_url,
        )
        return
    localnet = settings.localnet
    arguments = (
        *("--launches-per-s", str(localnet.launches_per_s)),
        *("--trap-percent", str(localnet.trap_percent)),
        *("--rivals-per-coin", str(localnet.rivals_per_coin)),
    )
    async with running_localnet(slot_ms=localnet.slot_ms, seed=localnet.seed, arguments=arguments) as endpoints:
        yield Cluster(
            name="localnet",
            rpc=(endpoints.rpc,),
            ws=(endpoints.ws,),
            slot_ms=localnet.slot_ms,
            silent_after_ms=_silence(settings),
            seed=localnet.seed,
        )


def _addresses(cluster: ClusterSettings) -> list[str]:
    """Return every address a run would talk to."""
    single = [url for url in (cluster.rpc_url, cluster.ws_url, cluster.geyser_url, cluster.jito_url) if url]
    return [*single, *cluster.other_rpc_urls, *cluster.other_ws_urls]


def _silence(settings: Settings) -> int | None:
    """Return after how long a feed without a slot is dead; None where slots come only with transactions."""
    slot_ms, silent_ms = settings.localnet.slot_ms, settings.cluster.silent_after_ms
    if not slot_ms or not silent_ms:
        return None
    return max(silent_ms, _SILENT_SLOTS * slot_ms)


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
