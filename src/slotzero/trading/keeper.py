"""The keeper of one position: watches pool, mint, token account and trades, and sells when the machines say so.

A frame is decoded, the position valued, the rug watch and the exit rules applied and the sell signed in the frame's own
callback; only what follows awaits. Each sell is a task of its own, so that an emergency sell can overtake one that is
under way.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal, assert_never

from msgspec import Struct
from solders.instruction import Instruction
from solders.system_program import TransferParams, transfer

from slotzero.clock import add_ms, elapsed_ns, later
from slotzero.errors import EndpointError, MalformedError
from slotzero.solana.account_watch import AccountUpdate
from slotzero.solana.rpc import TransactionRecord
from slotzero.solana.token import parse_mint
from slotzero.solana.transaction import RecentBlockhash, SignedTransaction, Signer, compute_budget, sign, unit_limit_of
from slotzero.trace import Component, Stamp, Trace
from slotzero.trading.context import RaisedAlert, TradingContext
from slotzero.trading.emergency_shelf import EmergencyShelf
from slotzero.trading.exit_rules import (
    Closed,
    ExitCommand,
    ExitMachine,
    ExitSignal,
    ExitView,
    FailedFor,
    GiveUp,
    Graduated,
    Note,
    Sell,
    rug_signal,
)
from slotzero.trading.fee_policy import ExpiredSend, FeeChoice, FeeRequest, TransactionKind, expired_send
from slotzero.trading.filters import Refusal
from slotzero.trading.journal import (
    IntentSent,
    IntentSigned,
    IntentState,
    JournalState,
    PositionGraduated,
    PositionRecord,
    PositionStuck,
)
from slotzero.trading.limits import halt_changed
from slotzero.trading.order import Confirmed, Expired, Failed, Outcome
from slotzero.trading.plan import SellPlan, plan_sell
from slotzero.trading.pool_watch import PoolWatch
from slotzero.trading.rug_rules import (
    MintObserved,
    PoolObserved,
    RugAlert,
    RugWatch,
    observed_mint,
    observed_token_account,
)
from slotzero.trading.sliding_sum import Entry
from slotzero.units import BPS, BlockHeight, ComputeUnits, Lamports, MonoNs, Slot
from slotzero.venues.market import Market, PoolState

__all__ = ["PositionKeeper"]

log = logging.getLogger(__name__)

_RETRY_MS: Final = 200
"""Between reads of a pool whose state is not there or not confirmed yet: about half a slot."""


class _Signed(Struct, frozen=True, kw_only=True):
    """A sell that is signed, and what is written down of it."""

    signed: SignedTransaction
    event: IntentSigned
    fees: FeeChoice
    kind: TransactionKind
    charge: Entry


class PositionKeeper:
    """Holds one position until it is closed, kept elsewhere, or cannot be sold.

    Args:
        context: The run.
        position: Its record in the journal's state.
        watch: The watch on its pool; the keeper closes it.
        market: Its pool, for the position's wallet.
        opened_at: When the buy was confirmed.
        opened_slot: The slot it landed in.
        trace: The snipe's stamps; the exit's are added.
    """

    def __init__(
        self,
        context: TradingContext,
        position: PositionRecord,
        watch: PoolWatch,
        market: Market,
        *,
        opened_at: MonoNs,
        opened_slot: Slot = Slot(0),  # noqa: B008 a number
        trace: Trace,
    ) -> None:
        self._context = context
        self._position = position
        self._watch = watch
        self._market = market
        self._opened_slot = opened_slot
        self._trace = trace
        self._signer: Signer = context.signers[position.wallet]
        self._machine = ExitMachine(
            market,
            tokens=position.tokens,
            bought=position.bought,
            quoted_lamports=position.quoted_lamports,
            opened_at=opened_at,
            rules=context.exit_rules,
        )
        self._rug = RugWatch(
            context.rug_rules,
            wallet=position.wallet,
            creator=market.pool.creator,
            mint=None,
            tokens=position.tokens,
            opened_slot=opened_slot,
        )
        self._shelf = EmergencyShelf(self._signer, market)
        self._leave: list[Callable[[], None]] = []
        self._selling: set[asyncio.Task[object]] = set()
        self._used_limits = _used_limits(context.journal.state, position)
        self._shelf_limits: set[int] = set()
        """Those of them that lie on the shelf and may be used again when they have been replaced."""
        self._expired: ExpiredSend | None = None
        self._rent = Lamports(0)
        """What a sell pays into each account that collects fees: 0 but from one that failed for want of it to the next
        that lands."""
        self._why = ""
        self._timer: asyncio.Task[None] | None = None
        self._armed_for: MonoNs | None = None
        self._over = asyncio.Event()
        self.ended = asyncio.Event()
        """Set by who runs it, when it has ended."""

    # ---- looking inside --------------------------------------------------------------------------------------------

    @property
    def value_lamports(self) -> Lamports | None:
        """What the position would bring now, or None when that is not known."""
        return self._machine.value_lamports

    @property
    def trouble(self) -> str:
        """Why the newest sell that failed did so; "" = none has."""
        return self._why

    def view(self) -> ExitView:
        """Return the exit machine as a page shows it."""
        return self._machine.view(self._context.clock.mono_ns())

    # ---- a life ----------------------------------------------------------------------------------------------------

    def signal(self, signal: ExitSignal) -> None:
        """Take an order by hand, the end of the run, or a late verdict; once there is a price to sell at."""
        if self._watch.state is None:
            self._watch.signal(signal)
            return
        now = self._context.clock.mono_ns()
        self._act(self._machine.on_signal(signal, now), now)

    async def run(self) -> None:
        """Hold, and sell. Returns when the position is closed, kept, stuck, or its sell unknown. *Does I/O.*

        *Cancellation: leaves the position in the journal, a sell under way unknown.*
        """
        try:
            self._watch_all()
            self._own(self._know_mint())
            await self._first_state()
            await self._over.wait()
            while self._selling:  # an overtaken sell has an end of its own to be written down
                await asyncio.wait(self._selling)
        finally:
            self._close()

    def _watch_all(self) -> None:
        context, pool = self._context, self._market.pool
        mint = context.reads.watch(pool.mint, "processed", self._on_mint)
        tokens = context.reads.watch(self._market.user_tokens, "processed", self._on_tokens)
        self._leave = [
            mint.cancel,
            tokens.cancel,
            context.trades.follow(
                pool.venue, pool.mint, lambda trade: self._alert(self._rug.on_trade(trade), trade.mono_frame)
            ),
        ]

    def _close(self) -> None:
        self._over.set()
        self._watch.close()
        for leave in self._leave:
            leave()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._selling:
            task.cancel()

    async def _know_mint(self) -> None:
        """Read the mint once: what its later changes are compared with."""
        pool = self._market.pool
        try:
            (account,) = await self._context.reads.get([pool.mint], "processed")
            mint = None if account is None else parse_mint(account.data, pool.token_program)
        except (EndpointError, MalformedError) as error:
            log.warning("the mint %s was not read, its first change goes unnoticed: %s", pool.mint, error)
            return
        if (
            mint is None
        ):  # the node lags behind the buy; the mint's first change is then what later ones are held against
            return
        self._alert(self._rug.on_mint(MintObserved(slot=self._opened_slot, mint=mint)), self._context.clock.mono_ns())

    async def _first_state(self) -> None:
        while self._watch.state is None:
            await self._watch.read()
            if self._watch.state is None:
                await self._context.clock.sleep_until(add_ms(self._context.clock.mono_ns(), _RETRY_MS))
        self._watch.serve(self._on_state, self.signal)  # what was said already comes before what the price says
        self._on_state(self._watch.state, self._watch.slot, None)
        self.lay_shelf()

    # ---- what is observed: synchronous -----------------------------------------------------------------------------

    def _on_state(self, state: PoolState, slot: Slot, read_at: MonoNs | None) -> None:
        """Value the position anew and apply all rules. *Hot path.*"""
        now = self._context.clock.mono_ns() if read_at is None else read_at
        self._fit(state)
        alerts = self._rug.on_pool(PoolObserved(slot=slot, state=state))
        if alerts:
            self._alert(alerts, now)
        self._act(self._machine.on_state(state, now), now)
        limits = self._context.limits
        is_open = self._position.state == "open"  # one that is stuck has a price and no value
        if is_open and limits.mark(self._position.id, self._machine.value_lamports):
            self._context.journal.append(halt_changed(limits))
        if read_at is not None:
            took = elapsed_ns(read_at, self._context.clock.mono_ns())
            self._context.timings.add(Component.POSITION_MONITOR, took)

    def _fit(self, state: PoolState) -> None:
        """Trade on the terms of now: a creator who has gone, or a receiver of fees, would make every sell fail."""
        market = self._market.fitting(state)
        if market is self._market:
            return
        log.warning("%s has other terms of trade now", market.pool.mint)
        self._market = self._machine.pricer = market
        self._shelf.refit(market)
        self.lay_shelf()

    def _on_mint(self, update: AccountUpdate, now: MonoNs) -> None:
        try:
            seen = observed_mint(update, self._market.pool.token_program)
        except MalformedError as error:
            log.warning("the mint %s cannot be read any more: %s", self._market.pool.mint, error)
            return
        self._alert(self._rug.on_mint(seen), now)

    def _on_tokens(self, update: AccountUpdate, now: MonoNs) -> None:
        try:
            seen = observed_token_account(update, self._market.pool.token_program)
        except MalformedError as error:
            log.warning("our token account of %s cannot be read any more: %s", self._market.pool.mint, error)
            return
        self._alert(self._rug.on_token_account(seen), now)

    def _alert(self, alerts: list[RugAlert], now: MonoNs) -> None:
        for alert in alerts:
            mint = self._market.pool.mint
            log.info("%s of %s: %s", alert.signal, mint, alert.detail)
            self._context.alerts.append(RaisedAlert(mint=mint, alert=alert))
            signal = rug_signal(alert)
            if self._watch.state is None:  # nothing can be priced yet: it is told again with the first price
                self._watch.signal(signal)
                continue
            sells = self._act(self._machine.on_signal(signal, now), now)
            if sells:
                took = elapsed_ns(now, self._context.clock.mono_ns())
                self._context.timings.add(Component.RUG_DETECTION, took)

    # ---- what is done ----------------------------------------------------------------------------------------------

    def _act(self, commands: list[ExitCommand], now: MonoNs) -> int:
        """Carry commands out; sells are signed here and sent by tasks. Returns how many sells there were."""
        sells = 0
        for command in commands:
            if self._over.is_set():
                break
            match command:
                case Sell():
                    sells += 1
                    self._begin(command, now)
                case Note(detail=detail):
                    log.info("%s: %s", self._market.pool.mint, detail)
                case Graduated():
                    self._own(self._graduate())
                case GiveUp(is_all=True):
                    self._own(self._stick(self._why))
                case GiveUp(reason=reason, attempts=attempts):
                    log.warning("%s: %s is given up after %d attempts", self._market.pool.mint, reason, attempts)
                case Closed(lost_tokens=lost):
                    if lost and self._position.state == "open":
                        self._own(self._stick(f"lost: {lost} units were taken from the wallet"))
                    else:
                        self._over.set()
                case _:
                    assert_never(command)
        self._arm()
        return sells

    def _own(self, work: Coroutine[Any, Any, object]) -> None:
        task = self._context.tasks.create_task(work, name=f"position {self._market.pool.mint}")
        self._selling.add(task)
        task.add_done_callback(self._selling.discard)

    def _arm(self) -> None:
        """Arm the one timer for the machine's next deadline, if that has changed."""
        deadline = None if self._over.is_set() else self._machine.next_deadline()
        if deadline == self._armed_for:
            return
        self._armed_for = deadline
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if deadline is not None:
            self._timer = self._context.tasks.create_task(self._ring(deadline), name="exit timer")

    async def _ring(self, deadline: MonoNs) -> None:
        await self._context.clock.sleep_until(deadline)
        self._armed_for = self._timer = None
        now = self._context.clock.mono_ns()
        self._act(self._machine.on_time(now), now)

    async def _graduate(self) -> None:
        """End the guarding once it is confirmed that the curve is complete: a processed block can be dropped."""
        while (state := self._watch.state) is not None and state.is_complete and not self._over.is_set():
            if await self._is_complete_for_good():
                if self._position.state == "open":  # not if its sell has landed: that is written down already
                    await self._context.journal.append(PositionGraduated(intent=self._position.id))
                self._over.set()
                return
            await self._context.clock.sleep_until(add_ms(self._context.clock.mono_ns(), _RETRY_MS))

    async def _is_complete_for_good(self) -> bool:
        try:
            (account,) = await self._context.rpc.get_multiple_accounts([self._market.state_account], "confirmed")
            return account is not None and self._market.decode_state(account.data).is_complete
        except (EndpointError, MalformedError) as error:
            log.info("whether %s has graduated was not read: %s", self._market.pool.mint, error)
            return False

    async def _stick(self, reason: str) -> None:
        if self._position.state != "closed":
            await self._context.journal.append(PositionStuck(intent=self._position.id, reason=reason))
        self._over.set()

    # ---- a sell ----------------------------------------------------------------------------------------------------

    def _begin(self, sell: Sell, now: MonoNs) -> None:
        """Sign a sell at once where that is possible, and let a task do the rest."""
        if self._trace.at(Stamp.TRIGGERED) is None:
            self._trace.mark(Stamp.TRIGGERED, now)
        delay_ns = 0
        if sell.urgency == "normal" and sell.attempt == 0:
            delay_ns = self._context.privacy.plan("exit", Lamports(0)).delay_ns
        ready = None if delay_ns else self._signed(sell, self._context.blockhashes.usable(now))
        self._own(self._sell(sell, ready, later(now, delay_ns)))

    async def _sell(self, sell: Sell, ready: "_Signed | Refusal | None", begins_at: MonoNs) -> None:
        """Write one sell down, send and settle it, and tell the machines."""
        context = self._context
        if ready is None:
            await context.clock.sleep_until(begins_at)
            ready = self._signed(sell, await context.blockhashes.wait_usable())
        assert ready is not None, "with a blockhash it is signed or refused"
        if isinstance(ready, Refusal):
            await self._failed(sell, ready.detail, "other")
            return
        if self._is_closed:  # the sell it was to overtake has landed meanwhile
            context.fees.settle(ready.charge, 0)
            return
        await context.journal.append(ready.event)
        outcome = await context.desk.execute(ready.signed, on_sent=lambda now: self._sent(ready, now), is_exit=True)
        if isinstance(outcome, Confirmed) and self._trace.at(Stamp.EXIT_CONFIRMED) is None:
            self._trace.mark(Stamp.EXIT_CONFIRMED, context.clock.mono_ns())
        if isinstance(outcome, Failed):  # what it cost is asked beside the next attempt, which need not wait for that
            self._own(self._account(ready, outcome))
            if _is_for_rent(outcome.err):
                await self._learn_rent()
            why = f"failed: {self._market.explain(outcome.err)}"
            await self._failed(sell, why, "price" if self._market.is_slippage(outcome.err) else "other")
            return
        state = await self._account(ready, outcome)
        if state == "landed":
            self._landed(sell, ready)
            return
        cause: FailedFor = "other"
        if isinstance(outcome, Expired):
            self._expired = expired_send(ready.fees, outcome)
            cause = "other" if outcome.was_sent else "unsent"
        intent = context.journal.state.intents[ready.event.intent]
        await self._failed(sell, f"{intent.state}: {intent.reason}", cause)

    async def _account(self, ready: _Signed, outcome: Outcome) -> IntentState:
        """Write down what a sell has done to the wallet, as soon as the node says so."""
        state = await self._context.accountant.settle(
            ready.event, outcome, self._market, on_record=lambda record: self._learn(ready, record)
        )
        self._context.fees.settle(ready.charge, 0 if state == "expired" else ready.fees.bid_lamports)
        return state

    @property
    def _is_closed(self) -> bool:
        return self._position.state == "closed"

    def _sent(self, ready: _Signed, now: MonoNs) -> None:
        self._context.journal.append(IntentSent(intent=ready.event.intent))
        if self._trace.at(Stamp.EXIT_SENT) is None:
            self._trace.mark(Stamp.EXIT_SENT, now)

    def _landed(self, sell: Sell, ready: _Signed) -> None:
        self._expired, self._rent = None, Lamports(0)
        self._rug.on_sell_settled(sell.id, tokens=sell.tokens, quote_out=ready.event.quoted_lamports)
        delta = self._context.journal.state.intents[ready.event.intent].lamports_delta
        now = self._context.clock.mono_ns()
        self._act(self._machine.on_fill(sell.id, tokens_sold=sell.tokens, received=max(delta, 0), now=now), now)
        if self._is_closed:
            self._over.set()
        else:
            self.lay_shelf()

    async def _failed(self, sell: Sell, why: str, cause: FailedFor) -> None:
        """Tell the machine that a sell has not happened, with the pool as it is now."""
        self._why = why
        log.info("sell %d of %s %s", sell.attempt + 1, self._market.pool.mint, why)
        self._rug.on_sell_settled(sell.id, tokens=0, quote_out=0)
        await self._watch.read()  # the feed may have been silent: what failed was then priced from the past
        now = self._context.clock.mono_ns()
        self._act(self._machine.on_failed(sell.id, cause, now), now)

    def _signed(self, sell: Sell, blockhash: RecentBlockhash | None) -> "_Signed | Refusal | None":
        """Price and sign a sell from the pool's current state. *Hot path* (about 100 us).

        Without a blockhash only what lies on the shelf can be had; else it is None.
        """
        assert self._watch.state is not None, "a position is not sold before its first price"
        plan = plan_sell(self._market, self._watch.state.reserves, sell.tokens, sell.slippage_bps)
        if isinstance(plan, Refusal):
            return plan
        if sell.urgency == "emergency" and sell.slippage_bps == BPS and not self._rent:
            ready = self._shelf.take(sell.tokens, self._context.blockhashes.block_height)
            if ready is not None:
                self._shelf_limits.discard(unit_limit_of(ready.signed.raw) or 0)
                return self._noted(sell, plan, ready.signed, ready.fees, "sell")
        if blockhash is None:
            return None
        # A stranger's gift of one unit makes the closing fail, so only the first attempt carries it.
        closes = sell.is_all and sell.attempt == 0 and sell.urgency == "normal"
        kind: TransactionKind = "sell_and_close" if closes else "sell"
        fees = self._fees(sell, plan, kind)
        instructions = [
            *compute_budget(self._own_limit(fees.limit), fees.price),
            *self._rent_paid(),
            *self._market.sell(plan.tokens, plan.limit_lamports, closes_account=closes),
        ]
        return self._noted(sell, plan, sign(self._signer, instructions, blockhash), fees, kind)

    def _noted(
        self, sell: Sell, plan: SellPlan, signed: SignedTransaction, fees: FeeChoice, kind: TransactionKind
    ) -> _Signed:
        if self._trace.at(Stamp.EXIT_SIGNED) is None:
            self._trace.mark(Stamp.EXIT_SIGNED, self._context.clock.mono_ns())
        self._rug.on_sell_sent(sell.id, tokens=plan.tokens, quote_out=plan.quoted_lamports)
        event = IntentSigned(
            intent=self._context.identities.intent_id(),
            side="sell",
            signature=signed.signature,
            raw=signed.raw,
            last_valid_block_height=signed.last_valid_block_height,
            mint=self._market.pool.mint,
            wallet=self._position.wallet,
            tokens=plan.tokens,
            quoted_lamports=plan.quoted_lamports,
            limit_lamports=plan.limit_lamports,
            reason=sell.reason,
            position=self._position.id,
        )
        charge = self._context.fees.charge(fees.bid_lamports, self._context.clock.mono_ns())
        return _Signed(signed=signed, event=event, fees=fees, kind=kind, charge=charge)

    async def _learn_rent(self) -> None:
        """Pay the rent of what collects fees from now on: the chain lets no account hold less, and the fee is less."""
        try:
            self._rent = await self._context.rpc.get_minimum_balance(0, purpose="account")
        except (EndpointError, MalformedError) as error:
            log.warning("the least balance of an account is not known: %s", error)

    def _rent_paid(self) -> list[Instruction]:
        if not self._rent:
            return []
        return [
            transfer(TransferParams(from_pubkey=self._position.wallet, to_pubkey=account, lamports=self._rent))
            for account in self._market.topped_up
        ]

    def _learn(self, ready: _Signed, record: TransactionRecord) -> None:
        self._context.fees.learn((self._market.pool.venue, ready.kind), ready.fees, record)

    def _fees(self, sell: Sell, plan: SellPlan, kind: TransactionKind) -> FeeChoice:
        context, started = self._context, self._context.clock.mono_ns()
        purpose: Literal["exit", "emergency"] = "emergency" if sell.urgency == "emergency" else "exit"
        choice = context.fees.choose(
            FeeRequest(
                venue=self._market.pool.venue,
                kind=kind,
                purpose=purpose,
                hot_accounts=(self._market.state_account,),
                stake_lamports=plan.quoted_lamports,
                expired=self._expired,
                variation=context.privacy.plan(purpose, Lamports(0)).fees,
            ),
            started,
        )
        assert isinstance(choice, FeeChoice), "an exit is never refused"
        context.timings.add(Component.FEE_OPTIMIZATION, elapsed_ns(started, context.clock.mono_ns()))
        return choice

    def _own_limit(self, limit: ComputeUnits) -> ComputeUnits:
        """Return a unit limit no sell of ours has had: two attempts within one blockhash must not be the same bytes.

        The chain would take the second for the first, and the journal would count one failure twice. That holds for
        sells of an earlier run, and of a keeper before this one, too.
        """
        while limit in self._used_limits and limit > 1:
            limit = ComputeUnits(limit - 1)
        self._used_limits.add(limit)
        return limit

    # ---- the shelf -------------------------------------------------------------------------------------------------

    def lay_shelf(self) -> bool:
        """Sign the emergency sells anew if they have grown old. Returns whether that was so. *About 200 us.*"""
        context, state = self._context, self._watch.state
        held, now = self._machine.view(context.clock.mono_ns()).held_tokens, context.clock.mono_ns()
        blockhash = context.blockhashes.current(now)
        height = BlockHeight(0) if blockhash is None else context.blockhashes.block_height
        if blockhash is None or state is None or not held or self._shelf.is_good(held, height):
            return False
        plan = plan_sell(self._market, state.reserves, held, BPS)
        if isinstance(plan, Refusal):
            return False
        sell = Sell(id=0, tokens=held, reason="rug", urgency="emergency", slippage_bps=BPS, attempt=0, is_all=True)
        fees = self._fees(sell, plan, "sell")
        self._used_limits -= self._shelf_limits
        salt = 0
        while any(fees.limit - salt - place in self._used_limits for place in range(3)):
            salt += 3
        self._shelf_limits = {fees.limit - salt - place for place in range(3)}
        self._used_limits |= self._shelf_limits
        self._shelf.lay(held, blockhash=blockhash, fees=fees, salt=salt)
        return True


def _is_for_rent(err: object) -> bool:
    """Tell whether a transaction failed since an account but its payer's would have held less than its rent. *Pure.*"""
    found = err.get("InsufficientFundsForRent") if isinstance(err, dict) else None
    return isinstance(found, dict) and found.get("account_index") != 0


def _used_limits(state: JournalState, position: PositionRecord) -> set[int]:
    """Return the unit limits that earlier keepers of a position have sold it with."""
    if not position.sells:
        return set()
    return {limit for signed in state.sells_of(position.id) if (limit := unit_limit_of(signed.raw)) is not None}
