"""What stands around a load scenario: the chain and the bot as processes of their own, the driver in this one."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from slotzero.clock import Clock, SystemClock, add_ms
from slotzero.errors import LocalnetError, SlotzeroError
from slotzero.localnet.endpoints import LocalnetEndpoints
from slotzero.localnet.process import running_localnet
from slotzero.solana.pubsub import PubSub
from slotzero.units import LAMPORTS_PER_SOL, Lamports
from slotzero.venues.pumpfun import FEE_CONFIG, GLOBAL, decode_fee_config, decode_global
from slotzero.workloads.localnet_run import localnet_signer
from slotzero.workloads.snipe_scenarios.bot_child import BotChild, running_bot
from slotzero.workloads.snipe_scenarios.chain_watch import ChainWatch
from slotzero.workloads.snipe_scenarios.coins import TOKEN_ACCOUNT_BYTES, CoinMaker
from slotzero.workloads.snipe_scenarios.driver import Driver
from slotzero.workloads.snipe_scenarios.line import ChainLines
from slotzero.workloads.snipe_scenarios.placement import kept_apart

__all__ = ["Scene", "Stage", "open_scene"]

SLOT_MS: Final = 200
_CHAIN_SEED: Final = 7
_DRIVER_SEED: Final = 1_000_003
"""Not the chain's: that one is the launcher's."""
_HISTORY: Final = 12_000
"""Nobody asks for a transaction half a minute later: that is 20 s of them at 100 snipes a second, in 180 MB."""
_PURSE_LAMPORTS: Final = 5_000_000 * LAMPORTS_PER_SOL
_SYSTEM: Final = "11111111111111111111111111111111"
_WARM_UP: Final = 6
_WARM_UP_AT_ONCE: Final = 3
_WARM_UP_TRIES: Final = 8
_WARM_UP_S: Final = 5.0
_LOOK_MS: Final = 1_000
_BUDGET_MS: Final = 1_000
"""Past the capacity answers take longer than the default allows, and a refused pool is followed by the next launch at
once: the load would grow as the service fails."""
_SAID: Final = 300
_HOUR_LAMPORTS: Final = 1_000 * LAMPORTS_PER_SOL


class Stage(Struct, frozen=True, kw_only=True):
    """What a scenario needs around it.

    Attributes:
        hold_ms: How long a position is held at the most.
        climb_every: One of so many pools is bought up by a rival as soon as the bot holds it, so that it is sold by its
            price; 0 = all are sold by time.
        trap_every: After so many honest pools comes a trap: 4 makes 20 % of all.
        rivals: How many rivals buy each honest pool.
        in_flight: How many pools the bot checks or buys at once; as many more may wait. More than a chain can answer
            only makes all answers late: with 200 users on a busy machine 64 sniped 78 % of the pools, 256 sniped 24 %.
        network: What lies between the bot and the chain.
        arguments: Further ports of the chain.
        bot: Further configuration of the bot.
        slot_ms: How long a slot is.
        sweep_after_s: How long after its end a pool or a trap is taken off the chain; 0 = never.
    """

    hold_ms: int = 1_000
    climb_every: int = 2
    trap_every: int = 4
    rivals: int = 3
    in_flight: int = 64
    network: str = "none"
    arguments: tuple[str, ...] = ()
    bot: str = ""
    slot_ms: int = SLOT_MS
    sweep_after_s: float = 0


class _Account(Struct):
    data: tuple[str, str]


class _Accounts(Struct):
    value: list[_Account]


class Scene:
    """A stage with everything on it up.

    Attributes:
        chain_core: The core the chain has for itself; None if it shares all of them.
        figures: What the chain said of itself when it was last asked, for the load's probe.
        watch: What it has said since the run under way began.
    """

    def __init__(
        self,
        stage: Stage,
        endpoints: LocalnetEndpoints,
        bot: BotChild,
        driver: Driver,
        lines: ChainLines,
        clock: Clock,
        *,
        chain_core: int | None = None,
    ) -> None:
        self.stage = stage
        self.endpoints = endpoints
        self.bot = bot
        self.driver = driver
        self.lines = lines
        self.clock = clock
        self.chain_core = chain_core
        self.figures: dict[str, float] = {}
        self.watch = ChainWatch(clock)

    @property
    def processes(self) -> dict[str, int]:
        """Return the ids of the processes to watch."""
        return {"chain": self.endpoints.pid, "bot": self.bot.pid}

    def probe(self) -> Mapping[str, float]:
        """Return the chain's figures as they were last told."""
        return self.figures

    def bot_said(self) -> str:
        """Return the end of what the bot has written to stderr: about two lines of its log, on one."""
        words = self.bot.last_words() or "nothing"
        return words if len(words) <= _SAID else f"... {words[-_SAID:].partition(' ')[2]}"

    async def look(self) -> None:
        """Ask the chain how it is, once a second, until cancelled."""
        while True:
            with suppress(SlotzeroError):
                stats = await self.chain_stats()
                self.watch.look(stats)
                self.figures = _figures(stats, self.watch)
            await self.clock.sleep_until(add_ms(self.clock.mono_ns(), _LOOK_MS))

    async def chain_stats(self) -> dict[str, Any]:  # a document as any reader sees it
        """Return `slotzero_stats`. *Does I/O.*"""
        return await self.lines.ask(dict[str, Any], "slotzero_stats")


@asynccontextmanager
async def open_scene(stage: Stage) -> AsyncIterator[Scene]:
    """Start chain and bot, warm them up, and end them with the block. *Does I/O.*

    Raises:
        SlotzeroError: One of them did not start, or the first pools were not sniped.
    """
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slotzero-load-")))
        arguments = (
            *("--launch-on-request", "--direct-port", "0", "--network", stage.network),
            *("--history", str(_HISTORY), *stage.arguments),
        )
        endpoints = await stack.enter_async_context(
            running_localnet(slot_ms=stage.slot_ms, seed=_CHAIN_SEED, arguments=arguments)
        )
        assert endpoints.direct is not None, "a direct port was asked for"
        chain_core = stack.enter_context(kept_apart(endpoints.pid))
        try:
            lines = await ChainLines.open(endpoints.direct.rpc)
        except OSError as error:
            raise LocalnetError(f"the embedded chain cannot be reached: {error}") from error
        stack.callback(lines.close)
        maker = await _maker(lines, stage)
        bot = await stack.enter_async_context(running_bot(folder, bot_config(stage, endpoints, folder), clock=clock))
        await bot.ready()
        pubsub = PubSub([endpoints.direct.ws], clock=clock)
        wallet = localnet_signer(endpoints.genesis).pubkey
        driver = Driver(
            lines,
            pubsub,
            bot_wallets=(wallet,),
            maker=maker,
            clock=clock,
            trap_every=stage.trap_every,
            rivals=stage.rivals,
            seed=_DRIVER_SEED,
            sweep_after_s=stage.sweep_after_s,
        )
        scene = Scene(stage, endpoints, bot, driver, lines, clock, chain_core=chain_core)
        await driver.refresh_blockhash()
        async with _alone(), asyncio.TaskGroup() as tasks:
            services = [
                tasks.create_task(pubsub.run(), name="driver pubsub"),
                tasks.create_task(driver.keep_up(), name="driver upkeep"),
                tasks.create_task(scene.look(), name="driver looks"),
                tasks.create_task(bot.follow_refusals(driver.on_refusal), name="driver refusals"),
            ]
            try:
                await _warm_up(scene)
                yield scene
            finally:
                for service in services:
                    service.cancel()


@asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    """Let the one error of a group of tasks out by itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        raise group.exceptions[0] from group


def bot_config(stage: Stage, endpoints: LocalnetEndpoints, folder: Path) -> str:
    """Return the bot's configuration: the defaults, but for what a load of so many positions needs. *Pure.*"""
    rpc, ws = endpoints.rpc, endpoints.ws
    others = ""
    if endpoints.second is not None:
        others = f'other_rpc_urls = ["{endpoints.second.rpc}"]\nother_ws_urls = ["{endpoints.second.ws}"]\n'
    if endpoints.geyser:
        others += f'geyser_url = "{endpoints.geyser}"\n'
    if endpoints.jito:
        others += f'jito_url = "{endpoints.jito}"\n'
    return (
        f'[cluster]\nrpc_url = "{rpc}"\nws_url = "{ws}"\n{others}'
        f'[journal]\npath = "{folder / "journal.sqlite3"}"\n'
        f"[limits]\nsnipes_in_flight = {stage.in_flight}\nwaiting_pools = {stage.in_flight}\n"
        "[trade]\nmax_open_positions = 10000\n"
        f"[exits]\nmax_hold_ms = {stage.hold_ms}\n"
        f"[safety]\nbudget_ms = {_BUDGET_MS}\n"
        f"[fees]\nmax_hour_lamports = {_HOUR_LAMPORTS}\n"
        f"{stage.bot}"
    )


async def _maker(lines: ChainLines, stage: Stage) -> CoinMaker:
    """Read the venue's settings and give everybody money."""
    options = {"encoding": "base64", "commitment": "processed"}
    accounts = await lines.ask(_Accounts, "getMultipleAccounts", [str(GLOBAL), str(FEE_CONFIG)], options)
    venue, fees = (msgspec.convert(account.data[0], bytes) for account in accounts.value)
    maker = CoinMaker(
        _DRIVER_SEED,
        decode_global(venue),
        decode_fee_config(fees),
        token_rent=await lines.ask(Lamports, "getMinimumBalanceForRentExemption", TOKEN_ACCOUNT_BYTES),
        climb_every=stage.climb_every,
    )
    account = {"lamports": _PURSE_LAMPORTS, "owner": _SYSTEM}
    await asyncio.gather(*(lines.call("slotzero_setAccount", str(key), account) for key in maker.wallets))
    return maker


async def _warm_up(scene: Scene) -> None:
    """Let the bot snipe a few pools, so that nothing is done for the first time within the measurement.

    The first ones may come before its feed listens: they are given up soon, and others follow.
    """
    sniped, why = 0, "none was bought in time"
    for _ in range(_WARM_UP_TRIES):
        if scene.bot.has_ended:
            raise SlotzeroError(f"the bot has ended; it said: {scene.bot_said()}")
        rounds = await asyncio.gather(*(_try_once(scene) for _ in range(_WARM_UP_AT_ONCE)))
        sniped += sum(ended is not None and not ended for ended in rounds)
        why = next((ended for ended in rounds if ended), why)
        if sniped >= _WARM_UP:
            return
    raise SlotzeroError(f"of the first pools {sniped} were sniped ({why}); the bot said: {scene.bot_said()}")


async def _try_once(scene: Scene) -> str | None:
    """Return what became of one pool: "" when it was sniped, None when it was given up."""
    try:
        async with asyncio.timeout(_WARM_UP_S + scene.stage.hold_ms / 1_000):
            fault = await scene.driver.snipe()
    except TimeoutError:
        return None
    return "" if fault is None else fault.code


def _figures(stats: dict[str, Any], watch: ChainWatch) -> dict[str, float]:
    return {
        "chain_queue_p99_ms": watch.queue_p99_ms,
        "chain_reads_wait_p99_ms": watch.reads_p99_ms,
        "chain_vm_percent": watch.vm_percent,
        "slot_late_p99_ms": stats["lateness"]["p99Ms"],
        "slot_late_max_ms": stats["lateness"]["maxMs"],
    }
