"""Launch coins on the embedded chain and play their scripts, with real transactions of real wallets.

The launcher runs in the chain's own process and submits to the chain directly: a creation and the rewrite that makes
it a trap are one synchronous call, so no request can come between. As with the chain, whoever calls owns the time:
`catch_up` does what is due, `run` is the thin loop around it with one timer.

Bounded: at most `MAX_LIVE_COINS` coins are played at once, each with one entry in the heap; what the pace would launch
beyond is skipped and counted. A coin is forgotten with the last line of its script, or when its last buyer has been
frozen, if that is later.
"""

import asyncio
import heapq
import itertools
import logging
from collections import Counter
from typing import Final, assert_never

from msgspec import Struct
from solders.account import Account
from solders.pubkey import Pubkey

from slotzero.clock import Clock, SystemClock, elapsed_ns, is_due, later
from slotzero.localnet.chain import Chain
from slotzero.localnet.launcher.actors import PURSE_LAMPORTS, Actor, Actors, mint_signer
from slotzero.localnet.launcher.coins import Action, Buy, CoinScript, Sell, script_coin
from slotzero.localnet.launcher.desk import Desk
from slotzero.localnet.launcher.freezer import Freezer
from slotzero.localnet.launcher.mix import CoinKind, CoinPlan, Flavour, Mix, plan_coin, seeded
from slotzero.localnet.launcher.traps import set_freeze_trap, set_trap_fee
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.units import BasisPoints, DurationNs, MonoNs
from slotzero.venues.pumpfun import TradeAccounts, create_v2
from slotzero.venues.records import Reserves

__all__ = ["MAX_LIVE_COINS", "Launcher", "LauncherConfig", "LauncherStats"]

logger = logging.getLogger(__name__)

MAX_LIVE_COINS: Final = 20_000

_STEPS_PER_TURN: Final = 2
"""Steps between two turns of the loop: requests are served in between. A trade takes 0.3-0.7 ms, a launch 1-2 ms."""
_MAX_BEHIND: Final = DurationNs(1_000_000_000)
"""How late a launch may be made up for. Later ones are skipped: a burst would measure itself."""
_NS_PER_S: Final = 1_000_000_000
_SLOWEST_PER_S: Final = 1e-6
"""What a slower pace is taken for: one coin in eleven days."""


class LauncherConfig(Struct, frozen=True, kw_only=True):
    """What a launcher launches, and how fast.

    Attributes:
        seed: What all it decides follows from.
        launches_per_s: Its mean pace; the gaps vary by half. 0 = only what `Launcher.launch` is asked for.
    """

    seed: int = 7
    launches_per_s: float = 0.0
    mix: Mix = Mix()


class LauncherStats(Struct, frozen=True, kw_only=True, rename="camel"):
    """What a launcher has done.

    Attributes:
        launched: Coins by kind.
        flavours: The same coins by flavour.
        front_run: Honest coins with a rival's large buy right behind the creation.
        launch_failures: Creations that failed, by reason.
        skipped_launches: Left out because the launcher was too late or had too many coins on its hands.
        trades: Rivals' and creators' trades after the creation that succeeded.
        trade_failures: Those that failed, by reason. Some are meant to.
        freezes: Buyers' token accounts frozen.
        freeze_failures: Those that could not be, by reason.
        spared_freezes: Buyers let off because too many were waiting.
        waiting_freezes: Buyers to be frozen.
        live_coins: Coins whose script is not over, or whose buyers are not all frozen.
    """

    launched: dict[str, int]
    flavours: dict[str, int]
    front_run: int
    launch_failures: dict[str, int]
    skipped_launches: int
    trades: int
    trade_failures: dict[str, int]
    freezes: int
    freeze_failures: dict[str, int]
    spared_freezes: int
    waiting_freezes: int
    live_coins: int


class _Coin:
    """A coin while it is played."""

    __slots__ = ("accounts", "creator", "launch_reserves", "launched_at", "next_action", "script")

    def __init__(
        self,
        script: CoinScript,
        creator: Actor,
        accounts: TradeAccounts,
        *,
        launch_reserves: Reserves,
        launched_at: MonoNs,
    ) -> None:
        self.script = script
        self.creator = creator
        self.accounts = {creator.pubkey: accounts}
        self.launch_reserves = launch_reserves
        self.launched_at = launched_at
        self.next_action = 0

    @property
    def mint(self) -> Pubkey:
        return self.accounts[self.creator.pubkey].mint

    @property
    def action(self) -> Action | None:
        """The next line of the script, or None at its end."""
        actions = self.script.actions
        return actions[self.next_action] if self.next_action < len(actions) else None


class Launcher:
    """Launch coins and play their scripts.

    Creating one funds its wallets: do it before the chain's first slot has passed. Several launchers on one chain need
    different seeds.

    Args:
        chain: Where; it is called from this launcher's thread only.
        config: What and how fast.
        clock: The one the chain goes by.
    """

    def __init__(self, chain: Chain, config: LauncherConfig, *, clock: Clock | None = None) -> None:
        self.config = config
        self.actors = Actors(config.seed)
        self._chain = chain
        self._clock = clock or SystemClock()
        for address in self.actors.addresses:
            chain.set_account(address, Account(PURSE_LAMPORTS, b"", SYSTEM_PROGRAM))
        self._desk = Desk(chain)
        self._freezer = Freezer(chain, self._desk, self.actors.addresses, self._wake)

        self._pace = seeded(config.seed, "pace")
        pace = config.launches_per_s
        self._mean_gap_ns = round(_NS_PER_S / max(pace, _SLOWEST_PER_S)) if pace > 0 else None
        self._next_launch = None if self._mean_gap_ns is None else later(self._clock.mono_ns(), self._gap_ns())
        self._next_index = 0
        self._order = itertools.count()
        self._queue: list[tuple[MonoNs, int, _Coin]] = []
        self._sleeper: asyncio.Task[object] | None = None

        self._launched: Counter[CoinKind] = Counter()
        self._flavours: Counter[Flavour] = Counter()
        self._front_run = 0
        self._launch_failures: Counter[str] = Counter()
        self._skipped = 0
        self._trades = 0
        self._trade_failures: Counter[str] = Counter()

    # What is asked of it ----------------------------------------------------------------------------------------

    def launch(self, script: CoinScript) -> Pubkey | None:
        """Launch one coin now, and do all that its script has at that very instant; the rest follows by `catch_up`.

        Returns:
            Its mint; None when the creation failed, which is counted (and logged the first time).
        """
        creator, mint = self.actors.creators[script.creator], mint_signer(script.seed, script.index)
        accounts = self._accounts_of(creator, script, mint.pubkey)
        creation = create_v2(
            user=creator.pubkey,
            mint=mint.pubkey,
            creator=creator.pubkey,
            name=script.name,
            symbol=script.symbol,
            uri=script.uri,
        )
        instructions = [creation]
        if script.creator_buy_lamports:
            reserves = self._desk.launch_reserves
            instructions += self._desk.buy(accounts, reserves, script.creator_buy_lamports, BasisPoints(0))
        failure = self._desk.submit(instructions, creator, mint)
        if failure is not None:
            if not self._launch_failures[failure]:
                logger.warning("a coin could not be launched (%s); further ones are only counted", failure)
            self._launch_failures[failure] += 1
            return None

        launched_at = self._clock.mono_ns()
        self._set_trap(script, accounts, creator)
        reserves = self._desk.reserves(accounts.curve)
        coin = _Coin(script, creator, accounts, launch_reserves=reserves, launched_at=launched_at)
        self._launched[script.kind] += 1
        self._flavours[script.plan.flavour] += 1
        self._front_run += script.plan.is_front_run
        while (action := coin.action) is not None and not action.after:
            self._act(coin, action)
        self._enqueue(coin)
        self._wake()
        return coin.mint

    def launch_planned(self, plan: CoinPlan) -> Pubkey | None:
        """Launch the next coin of this launcher's own series, of the kind that `plan` says. Returns what `launch` does.

        Raises:
            ValueError: The plan does not fit together.
        """
        script = script_coin(self.config.seed, self._next_index, plan)
        self._next_index += 1
        return self.launch(script)

    def catch_up(self, most: int | None = None) -> bool:
        """Do what is due, at most `most` steps of it (None: all). Returns whether something due may be left."""
        self._chain.catch_up()
        done = 0
        while self._step():
            done += 1
            if done == most:
                return True
        return False

    @property
    def next_deadline(self) -> MonoNs | None:
        """When something is due next, freezes apart: they follow slots. None when nothing is planned."""
        trade = self._queue[0][0] if self._queue else None
        if self._next_launch is None or trade is None:
            return self._next_launch or trade
        return min(self._next_launch, trade)

    async def run(self) -> None:
        """Launch and trade for ever. *Cancellation: safe; nothing is half done at an await.*"""
        async with asyncio.TaskGroup() as tasks:
            while True:
                if self.catch_up(_STEPS_PER_TURN):
                    await asyncio.sleep(0)
                else:
                    await self._sleep(tasks)

    def stats(self) -> LauncherStats:
        """Return what it has done so far."""
        return LauncherStats(
            launched={kind.value: self._launched[kind] for kind in CoinKind},
            flavours={flavour.value: self._flavours[flavour] for flavour in Flavour},
            front_run=self._front_run,
            launch_failures=dict(self._launch_failures),
            skipped_launches=self._skipped,
            trades=self._trades,
            trade_failures=dict(self._trade_failures),
            freezes=self._freezer.frozen,
            freeze_failures=dict(self._freezer.failures),
            spared_freezes=self._freezer.spared,
            waiting_freezes=self._freezer.waiting,
            live_coins=self._live_coins,
        )

    # Time -------------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Do one thing that is due; tell whether there was one."""
        now = self._clock.mono_ns()
        if self._freezer.is_due:
            self._freezer.freeze_next()
        elif self._queue and is_due(self._queue[0][0], now):
            coin = heapq.heappop(self._queue)[2]
            action = coin.action
            assert action is not None, "a coin at the end of its script is in no queue"
            self._act(coin, action)
            self._enqueue(coin)
        elif self._next_launch is not None and is_due(self._next_launch, now):
            self._launch_next(self._next_launch, now)
        else:
            return False
        return True

    async def _sleep(self, tasks: asyncio.TaskGroup) -> None:
        """Sleep to the next deadline, or until `_wake`."""
        self._sleeper = tasks.create_task(self._rest(self.next_deadline), name="launcher timer")
        try:
            await asyncio.wait((self._sleeper,))
        finally:
            self._sleeper = None

    async def _rest(self, deadline: MonoNs | None) -> None:
        if deadline is None:
            await asyncio.Event().wait()
        else:
            await self._clock.sleep_until(deadline)

    def _wake(self) -> None:
        """End the sleep: something is due, or the next deadline is another."""
        if self._sleeper is not None:
            self._sleeper.cancel()

    def _gap_ns(self) -> DurationNs:
        assert self._mean_gap_ns is not None, "only a launcher with a pace has gaps"
        return DurationNs(self._mean_gap_ns * self._pace.randrange(500, 1_500) // 1_000)

    def _launch_next(self, planned: MonoNs, now: MonoNs) -> None:
        assert self._mean_gap_ns is not None, "only a launcher with a pace launches by itself"
        behind = elapsed_ns(planned, now)
        if behind > _MAX_BEHIND:
            self._skipped += behind // self._mean_gap_ns
            planned = now
        self._next_launch = later(planned, self._gap_ns())
        if self._live_coins >= MAX_LIVE_COINS:
            self._skipped += 1
            return
        seed, index = self.config.seed, self._next_index
        self._next_index += 1
        self.launch(script_coin(seed, index, plan_coin(self.config.mix, seed, index)))

    # Coins ------------------------------------------------------------------------------------------------------

    @property
    def _live_coins(self) -> int:
        return len(self._queue) + self._freezer.lingering

    def _set_trap(self, script: CoinScript, accounts: TradeAccounts, creator: Actor) -> None:
        match script.kind:
            case CoinKind.HONEST:
                return
            case CoinKind.TRAP_FREEZE:
                set_freeze_trap(self._chain, accounts.mint, creator.pubkey)
                self._freezer.watch(accounts.mint, accounts.curve, creator)
            case CoinKind.TRAP_FEE:
                receivers = [accounts.curve_tokens]
                if script.creator_buy_lamports:
                    receivers.append(accounts.user_tokens)
                set_trap_fee(self._chain, accounts.mint, receivers, creator.pubkey)
            case _:
                assert_never(script.kind)

    def _enqueue(self, coin: _Coin) -> None:
        """Plan the coin's next line, or forget the coin."""
        if (action := coin.action) is None:
            self._freezer.release(coin.mint)
        else:
            heapq.heappush(self._queue, (later(coin.launched_at, action.after), next(self._order), coin))

    def _act(self, coin: _Coin, action: Action) -> None:
        """Trade. A wallet that has nothing to sell (its buy failed, or it has sold) does nothing, uncounted."""
        coin.next_action += 1
        actor = coin.creator if action.rival is None else self.actors.rivals[action.rival]
        accounts = coin.accounts.get(actor.pubkey)
        if accounts is None:
            accounts = coin.accounts[actor.pubkey] = self._accounts_of(actor, coin.script, coin.mint)
        desk = self._desk
        match action:
            case Buy(slippage=slippage):
                reserves = coin.launch_reserves if action.prices_from_launch else desk.reserves(accounts.curve)
                instructions = desk.buy(accounts, reserves, action.spend_lamports, slippage)
                if not instructions:  # strangers have bought all there was
                    self._trade_failures["nothing_to_buy"] += 1
            case Sell(share=share):
                # A token account that withheld a fee cannot be closed by its owner alone.
                instructions = desk.sell(accounts, share, may_close=coin.script.kind is not CoinKind.TRAP_FEE)
            case _:
                assert_never(action)
        if not instructions:
            return
        failure = desk.submit(instructions, actor)
        if failure is None:
            self._trades += 1
        else:
            self._trade_failures[failure] += 1

    def _accounts_of(self, actor: Actor, script: CoinScript, mint: Pubkey) -> TradeAccounts:
        creator = self.actors.creators[script.creator].pubkey
        return self._desk.accounts(actor, mint=mint, creator=creator, choice=script.index)
