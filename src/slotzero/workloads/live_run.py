"""The sniper with real money: the guards that must be passed first, then the same run as everywhere.

Nothing is signed before every guard has been passed: endpoints and a keystore in the configuration, the three limits
set, a password that opens the keystore, and a confirmation that names what may be lost.
"""

import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from msgspec import Struct

from slotzero.clock import SystemClock
from slotzero.config import Settings
from slotzero.engine import Engine
from slotzero.errors import UsageError
from slotzero.hook import Hook, ignore
from slotzero.solana.endpoints import EndpointPool
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import Signer
from slotzero.trading.journal import ExternalTransfer, Journal, open_journal
from slotzero.trading.wallets import Keystore, PasswordSource, forbid_core_dumps, keystore_path, open_keystore
from slotzero.units import LamportsDelta, format_sol
from slotzero.workloads.bot_run import BotRun, configured_cluster, endpoint_specs, run_bot, state_folder

__all__ = ["CONFIRMATION", "Confirm", "LiveRequest", "live_problems", "snipe_live"]

CONFIRMATION: Final = "trade real money"
"""What a person types before the first live order."""

Confirm = Callable[[str], bool]
"""Shows what is about to happen and returns whether the person has typed `CONFIRMATION`."""


class LiveRequest(Struct, frozen=True, kw_only=True):
    """How a live run is allowed.

    Attributes:
        passwords: Where the keystore's password comes from.
        confirm: Asks the person; None when the command line has said so already (`--yes-i-mean-it`).
        while_asking: Entered while a person is waited for, which stops the event loop.
    """

    passwords: PasswordSource
    confirm: Confirm | None
    while_asking: Callable[[], AbstractContextManager[None]] = nullcontext


def live_problems(settings: Settings) -> list[str]:
    """Return what keeps a configuration from trading live, one sentence each. *Pure.*"""
    cluster, limits = settings.cluster, settings.limits
    problems = []
    if not cluster.rpc_url:
        problems.append("[cluster] rpc_url and ws_url are not set: live trading needs your own endpoints")
    unset = [
        name
        for name, value in (
            ("trade_lamports", limits.trade_lamports),
            ("hour_lamports", limits.hour_lamports),
            ("day_lamports", limits.day_lamports),
        )
        if not value
    ]
    if unset:
        problems.append(f"[limits] {', '.join(unset)}: live trading needs these set, in lamports")
    if settings.safety.gate != "all":
        problems.append(f'[safety] gate is "{settings.safety.gate}": live trading needs "all"')
    return problems


async def snipe_live(
    settings: Settings,
    request: LiveRequest,
    *,
    until_closed: int | None = None,
    for_s: float | None = None,
    on_engine: Callable[[Engine], None] | None = None,
    hook: Hook = ignore,
) -> BotRun:
    """Trade on the configured endpoints until told to stop. *Does I/O.*

    Args:
        settings: The configuration.
        request: How it is allowed.
        until_closed: Stop when so many positions have been closed.
        for_s: Stop after so many seconds.
        on_engine: Called with the engine before it runs.
        hook: Is told what happens.

    Raises:
        UsageError: A guard was not passed; nothing was signed.
        SlotzeroError: What went wrong later, possibly inside an ExceptionGroup.
    """
    if problems := live_problems(settings):
        raise UsageError("; ".join(problems))
    signers = _unlock(settings, request)
    clock = SystemClock()
    cluster = configured_cluster(settings, "live", seed=0, sends=True)
    timeout_ms = settings.cluster.call_timeout_ms
    async with EndpointPool(endpoint_specs(cluster), clock=clock, timeout_ms=timeout_ms) as rpc:
        genesis = await rpc.get_genesis_hash()
        book = open_journal(settings.journal, genesis, default=_journal_path(genesis), clock=clock)

        async def note_holdings(journal: Journal) -> None:
            await _note_holdings(rpc, journal, signers)

        return await run_bot(
            settings,
            cluster,
            rpc=rpc,
            genesis=genesis,
            book=book,
            signers=signers,
            rng=secrets.SystemRandom(),
            clock=clock,
            prepare=note_holdings,
            until_closed=until_closed,
            for_s=for_s,
            on_engine=on_engine,
            hook=hook,
        )


def _unlock(settings: Settings, request: LiveRequest) -> list[Signer]:
    """Open the keystore and have the person confirm. Waits for both: nothing else is running yet."""
    forbid_core_dumps()
    path = keystore_path(settings.wallets.keystore)
    with request.while_asking(), open_keystore(path, request.passwords.read()) as keystore:
        signers = _signers(keystore, settings)
        _confirmed(request, settings, signers)
    return signers


def _signers(keystore: Keystore, settings: Settings) -> list[Signer]:
    names = settings.wallets.names or tuple(wallet.name for wallet in keystore.wallets if not wallet.is_retired)
    if not names:
        raise UsageError("the keystore holds no wallet that trades; `slotzero wallet new` makes one")
    return [keystore.signer(name) for name in dict.fromkeys(names)]


def _confirmed(request: LiveRequest, settings: Settings, signers: Sequence[Signer]) -> None:
    limits = settings.limits
    told = (
        f"This trades real money with {', '.join(str(signer.pubkey) for signer in signers)}: at most "
        f"{format_sol(limits.trade_lamports)} SOL a buy, {format_sol(limits.hour_lamports)} SOL an hour and "
        f"{format_sol(limits.day_lamports)} SOL a day. Most who snipe new tokens lose what they put in."
    )
    if request.confirm is not None and not request.confirm(told):
        raise UsageError(
            f'not confirmed, so nothing was signed; type "{CONFIRMATION}" when asked, or pass --yes-i-mean-it'
        )


def _journal_path(genesis: str) -> Path:
    return state_folder() / "live" / genesis[:16] / "journal.sqlite3"


async def _note_holdings(rpc: Rpc, journal: Journal, signers: Sequence[Signer]) -> None:
    """Write down what each wallet holds and no intent explains, so that the books can be held against the chain."""
    for signer in signers:
        if signer.pubkey in journal.state.funded:
            continue
        balance = await rpc.get_balance(signer.pubkey, "confirmed")
        if not balance:
            raise UsageError(f"the wallet {signer.pubkey} holds nothing; send SOL to it first")
        transfer = ExternalTransfer(
            wallet=signer.pubkey, lamports_delta=LamportsDelta(balance), reason="held at the first start"
        )
        await journal.append(transfer)
