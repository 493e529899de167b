"""The driver: launches pools on the chain, has rivals buy them, and learns from the chain what the bot did.

One operation is one honest pool: from the moment its creation is sent until the chain has confirmed that the bot has
sold what it bought, or until something is known to have gone wrong. Whatever else makes the market (traps, rivals) is
sent along without being waited for, and counted.

The bot has no say in whether an operation succeeded: its wallet's trades are read from the chain. It is asked only
which pools it has refused, since nothing of that can be seen on a chain; a refusal is an error in any case.
"""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Final

import msgspec
from msgspec import Struct
from solders.hash import Hash
from solders.pubkey import Pubkey

from slotzero.clock import Clock, add_ms, as_ms
from slotzero.detection.frames import read_notification
from slotzero.detection.trades import decode_trades
from slotzero.errors import MalformedError, SlotzeroError
from slotzero.localnet.render import base64_text
from slotzero.perf.classify import ErrorClass, Fault
from slotzero.solana.pubsub import PubSub
from slotzero.units import LatencyMs, MonoNs
from slotzero.venues.registry import PUMPFUN
from slotzero.workloads.snipe_scenarios.coins import Coin, CoinMaker, accounts_of_mint
from slotzero.workloads.snipe_scenarios.line import ChainLines
from slotzero.workloads.snipe_scenarios.outcomes import Bought, Ended, PoolBook
from slotzero.workloads.snipe_scenarios.sweep import Sweeper

__all__ = ["Driver", "DriverStats"]

log = logging.getLogger(__name__)

_PREFLIGHT: Final = {"encoding": "base64", "preflightCommitment": "processed"}
_UNCHECKED: Final = {"encoding": "base64", "skipPreflight": True}
_BLOCKHASH_MS: Final = 1_000
_RIVAL_MS: Final = (250, 850)
"""When a rival buys, counted from the creation: a sniper's buy has landed by then."""
_CLIMB_MS: Final = (0, 120)
"""When a climbing coin's rival buys, counted from the confirmation of the bot's buy. All that was confirmed with one
slot is told at its end: without this those rivals would come in one burst, and the bot's sells with them. The sell is
confirmed with the end of the next slot either way."""
_TRAP_KINDS: Final = ("trap_freeze", "trap_fee")


class _Blockhash(Struct):
    blockhash: str


class _Latest(Struct):
    value: _Blockhash


class _Message(Struct):
    accountKeys: list[str]  # noqa: N815 the wire's own name


class _Inner(Struct):
    message: _Message


class _Transaction(Struct):
    transaction: _Inner


class DriverStats(Struct, frozen=True, kw_only=True):
    """What the driver has done.

    Attributes:
        sent_failures: Rivals' buys and traps that could not be sent, by kind.
        late_buys: Pools the bot bought after their operation had been given up.
        unreadable: Notifications that could not be read.
        answered_p99_ms: How long a transaction took from being sent to its answer, or None when there was none: it
            waits to be executed, is executed, and is answered with others that came with it.
        swept: Pools and traps taken off the chain again; `not_swept` those that were over and stay.
    """

    launched: int
    traps: int
    traps_bought: int
    traps_refused: int
    rival_buys: int
    late_buys: int
    sent_failures: dict[str, int]
    refused: dict[str, int]
    unreadable: int
    answered_p99_ms: LatencyMs | None
    swept: int
    not_swept: int


class Driver:
    """Launches pools and follows each to its end.

    Args:
        lines: To the chain.
        pubsub: Where the bot's trades are heard; whoever owns it runs it.
        bot_wallets: The bot's wallets.
        maker: Makes the coins.
        clock: Time.
        trap_every: After so many honest pools a trap is launched; 0 = never.
        rivals: How many rivals buy each honest pool; 0 = none, and no pool climbs.
        seed: What the rivals' timing follows from.
        sweep_after_s: How long after its end a pool or a trap is taken off the chain; 0 = never.
    """

    def __init__(
        self,
        lines: ChainLines,
        pubsub: PubSub,
        *,
        bot_wallets: tuple[Pubkey, ...],
        maker: CoinMaker,
        clock: Clock,
        trap_every: int,
        rivals: int,
        seed: int,
        sweep_after_s: float = 0,
    ) -> None:
        self.book = PoolBook()
        self._lines = lines
        self._maker = maker
        self._clock = clock
        self._trap_every = trap_every
        self._rivals = rivals
        self._random = Random(seed)  # noqa: S311 when a rival buys, no secret
        self._wallets = frozenset(bot_wallets)
        self._sweeper = Sweeper(
            lines, clock, after_s=sweep_after_s, is_held=self.book.is_held, on_swept=self.book.forget
        )
        self._blockhash = Hash.default()
        self._ends: dict[Pubkey, tuple[asyncio.Future[Fault | None], Coin]] = {}
        self._traps = itertools.cycle(_TRAP_KINDS)
        self._failed_sends: Counter[str] = Counter()
        self._launched = self._trap_count = self._rival_buys = self._unreadable = 0
        for wallet in bot_wallets:
            pubsub.subscribe(
                "logsSubscribe", [{"mentions": [str(wallet)]}, {"commitment": "confirmed"}], self._on_frame
            )

    # ---- an operation ----------------------------------------------------------------------------------------------

    async def snipe(self) -> Fault | None:
        """Launch an honest pool and wait for its end. Returns what went wrong, or None.

        *Cancellation: the pool is forgotten.*
        """
        coin, creation = self._maker.next_coin(self._blockhash)
        ended: asyncio.Future[Fault | None] = asyncio.get_running_loop().create_future()
        self._ends[coin.mint] = (ended, coin)
        self.book.launch(coin.mint)
        self._launched += 1
        try:
            await self._lines.call("sendTransaction", base64_text(creation), _PREFLIGHT)
            self._send_rivals(coin)
            if self._trap_every and coin.index % self._trap_every == 0:
                self._launch_trap()
            return await ended
        finally:
            self.book.give_up(coin.mint)
            del self._ends[coin.mint]
            self._sweeper.add(coin.mint, partial(self._maker.accounts_of, coin, self._rivals))

    def _send_rivals(self, coin: Coin) -> None:
        """Plan the rivals' buys; a climbing coin's first one waits for the bot instead."""
        call_later = asyncio.get_running_loop().call_later
        for place in range(1 if coin.climbs else 0, self._rivals):
            call_later(self._random.randint(*_RIVAL_MS) / 1_000, self._send_rival, coin, place)

    def _send_rival(self, coin: Coin, place: int, *, is_large: bool = False) -> None:
        raw = self._maker.rival_buy(coin, place, self._blockhash, is_large=is_large)
        self._rival_buys += 1
        sent = self._lines.call("sendTransaction", base64_text(raw), _UNCHECKED)
        sent.add_done_callback(partial(self._count_failure, "rival_buy"))

    def _launch_trap(self) -> None:
        options = {"kind": next(self._traps), "rivals": 0}
        self._lines.call("slotzero_launch", options).add_done_callback(self._trap_launched)

    def _trap_launched(self, done: asyncio.Future[msgspec.Raw]) -> None:
        if not self._count_failure("trap", done):
            self._trap_count += 1
            mint = Pubkey.from_string(msgspec.json.decode(done.result(), type=str))
            self.book.launch_trap(mint)
            self._sweeper.add(mint, partial(accounts_of_mint, mint))

    def _count_failure(self, kind: str, done: asyncio.Future[msgspec.Raw]) -> bool:
        is_failed = done.cancelled() or done.exception() is not None
        self._failed_sends[kind] += is_failed
        return is_failed

    # ---- what is heard ---------------------------------------------------------------------------------------------

    def _on_frame(self, frame: bytes, now: MonoNs) -> None:
        """Read a confirmed transaction of the bot's wallet."""
        try:
            trades = decode_trades(frame, PUMPFUN, now)
            if not trades and (notification := read_notification(frame)).is_failed:
                self._look_into(notification.signature)
        except MalformedError as error:
            self._unreadable += 1
            log.warning("a transaction of the bot's cannot be read: %s", error)
            return
        for trade in trades:
            if trade.user in self._wallets:
                self._tell(self.book.on_trade(trade.mint, is_buy=trade.is_buy, tokens=trade.tokens))

    def on_refusal(self, mint: str, reason: str) -> None:
        """Take in that the bot has refused a pool."""
        self._tell(self.book.on_refusal(Pubkey.from_string(mint), reason))

    def _look_into(self, signature: str) -> None:
        """Read a failed transaction: its log does not say which pool it was about."""
        options = {"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
        self._lines.call("getTransaction", signature, options).add_done_callback(self._looked_into)

    def _looked_into(self, done: asyncio.Future[msgspec.Raw]) -> None:
        if self._count_failure("look_up", done):
            return
        with suppress(msgspec.MsgspecError):  # then the pool ends by its timeout
            keys = set(msgspec.json.decode(done.result(), type=_Transaction).transaction.message.accountKeys)
            for mint in self.book.pending():
                if str(mint) in keys:
                    self._tell(self.book.on_failed_buy(mint))

    def _tell(self, event: Bought | Ended | None) -> None:
        if event is None or (entry := self._ends.get(event.mint)) is None:
            return
        ended, coin = entry
        if isinstance(event, Bought):
            if coin.climbs and self._rivals:
                delay_s = self._random.randint(*_CLIMB_MS) / 1_000
                asyncio.get_running_loop().call_later(delay_s, partial(self._send_rival, coin, 0, is_large=True))
        elif not ended.done():
            ended.set_result(None if not event.fault else Fault(ErrorClass.SERVER, event.fault, "check"))

    # ---- upkeep ----------------------------------------------------------------------------------------------------

    async def refresh_blockhash(self) -> None:
        """Take the newest blockhash. *Does I/O.*"""
        latest = await self._lines.ask(_Latest, "getLatestBlockhash", {"commitment": "processed"})
        self._blockhash = Hash.from_string(latest.value.blockhash)

    async def keep_up(self, on_second: Callable[[], None] | None = None) -> None:
        """Refresh the blockhash and sweep once a second until cancelled; without an answer the old hash is kept."""
        while True:
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), _BLOCKHASH_MS))
            with suppress(SlotzeroError):
                await self.refresh_blockhash()
            await self._sweeper.sweep()
            if on_second is not None:
                on_second()

    def stats(self) -> DriverStats:
        """Return what it has done so far."""
        book, answered = self.book, self._lines.answered
        return DriverStats(
            launched=self._launched,
            traps=self._trap_count,
            traps_bought=book.traps_bought,
            traps_refused=book.traps_refused.total(),
            rival_buys=self._rival_buys,
            late_buys=book.late_buys,
            sent_failures=dict(self._failed_sends),
            refused=dict(book.refused),
            unreadable=self._unreadable,
            answered_p99_ms=as_ms(round(answered.percentile(99))) if answered.count else None,
            swept=self._sweeper.swept,
            not_swept=self._sweeper.not_swept,
        )
