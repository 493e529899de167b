"""The keeper of one position: watches its pool, and sells it when a rule fires.

The pool's state is watched from before the buy is sent, so the first price is there when the position is. A frame is
decoded, the position valued and the rules applied in the frame's own callback; only the sell that follows awaits.
"""

import asyncio
import logging
from typing import Final

from slotzero.clock import add_ms, elapsed_ns
from slotzero.errors import EndpointError, MalformedError
from slotzero.solana.account_watch import AccountUpdate, watch_account
from slotzero.solana.transaction import SignedTransaction, compute_budget, sign
from slotzero.trace import Stamp, Trace
from slotzero.trading.context import TradingContext
from slotzero.trading.exits import ExitReason, Holding
from slotzero.trading.filters import Refusal
from slotzero.trading.journal import Intent, IntentSent, IntentSigned, PositionRecord, PositionStuck, new_intent_id
from slotzero.trading.order import Confirmed
from slotzero.trading.plan import SellPlan, plan_sell
from slotzero.units import BPS, ComputeUnits, Lamports, MicroLamportsPerCu, MonoNs, Slot
from slotzero.venues.market import Market, PoolState

__all__ = ["PoolWatch", "PositionKeeper"]

log = logging.getLogger(__name__)

_NS_PER_S: Final = 1_000_000_000
_RETRY_MS: Final = 200
"""Between attempts that failed for another reason than the price: about one slot."""


class PoolWatch:
    """The newest state of one pool, from its account's changes.

    Args:
        context: The run.
        market: Which pool.
    """

    def __init__(self, context: TradingContext, market: Market) -> None:
        self._context = context
        self._market = market
        self.state: PoolState | None = None
        self._slot = Slot(0)
        self.holding: Holding | None = None
        self.triggered: asyncio.Future[tuple[ExitReason, MonoNs]] = asyncio.get_running_loop().create_future()
        self._subscription = watch_account(context.pubsub, market.state_account, "processed", self._on_update)

    def close(self) -> None:
        """End the subscription."""
        self._subscription.cancel()
        self.triggered.cancel()

    def trigger(self, reason: ExitReason, now: MonoNs) -> None:
        """Ask for the position to be sold; the first reason counts."""
        if not self.triggered.done():
            self.triggered.set_result((reason, now))

    async def read(self) -> None:
        """Read the state instead of waiting for its next change; an older one than is known counts for nothing.

        An endpoint that fails or lags leaves the state as it is. *Does I/O.*
        """
        try:
            reply = await self._context.rpc.accounts_at([self._market.state_account], "processed")
            (account,) = reply.value
            if account is not None and (self.state is None or reply.slot > self._slot):
                self._take(account.data, reply.slot, self._context.clock.mono_ns())
        except (EndpointError, MalformedError) as error:
            log.warning("the state of %s was not read: %s", self._market.pool.mint, error)

    def _on_update(self, update: AccountUpdate, now: MonoNs) -> None:
        if update.slot < self._slot:
            return  # overtaken by a read
        try:
            self._take(update.data, update.slot, now)
        except MalformedError as error:
            log.warning("the state of %s cannot be read: %s", self._market.pool.mint, error)
            return
        if self.holding is not None:
            self._context.revaluations.append(elapsed_ns(now, self._context.clock.mono_ns()))

    def _take(self, data: bytes, slot: Slot, now: MonoNs) -> None:
        self.state, self._slot = self._market.decode_state(data), slot
        if self.holding is None:
            return
        reason = self.holding.on_state(self.state, now).exit
        if self.state.is_complete:
            reason = "graduated"  # wakes the keeper, which would otherwise wait for a rule that cannot fire any more
        if reason is not None:
            self.trigger(reason, now)


class PositionKeeper:
    """Holds one position until it is closed or cannot be sold.

    Args:
        context: The run.
        position: Its record in the journal's state.
        watch: The watch on its pool; the keeper closes it.
        opened_at: When the buy was confirmed.
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
        trace: Trace,
    ) -> None:
        self._context = context
        self._position = position
        self._watch = watch
        self._market = market
        self._trace = trace
        self.holding = Holding(
            market,
            tokens=position.tokens,
            quoted_lamports=position.quoted_lamports,
            opened_at=opened_at,
            rules=context.settings.exits,
        )

    @property
    def value_lamports(self) -> Lamports | None:
        """What the position would bring now, or None when that is not known."""
        return self.holding.value_lamports

    def exit(self, reason: ExitReason) -> None:
        """Sell now."""
        self._watch.trigger(reason, self._context.clock.mono_ns())

    async def run(self) -> None:
        """Hold, then sell. Returns when the position is closed, stuck, or its sell unknown. *Does I/O.*

        *Cancellation: leaves the position in the journal, a sell under way unknown.*
        """
        try:
            await self._first_state()
            self._watch.holding = self.holding
            if self._watch.state is not None and self._watch.state.is_complete:
                await self._stuck("graduated: its curve is complete and trades elsewhere")
                return
            reason, at = await self._held()
            self._trace.mark(Stamp.TRIGGERED, at)
            await self._sell(reason)
        finally:
            self._watch.close()

    async def _first_state(self) -> None:
        while self._watch.state is None:
            await self._watch.read()
            if self._watch.state is None:
                await self._context.clock.sleep_until(add_ms(self._context.clock.mono_ns(), _RETRY_MS))
        self.holding.state = self._watch.state

    async def _held(self) -> tuple[ExitReason, MonoNs]:
        """Wait for a rule to fire: on a change of the pool, or when the position has grown too old."""
        clock = self._context.clock
        while not self._watch.triggered.done():
            now = clock.mono_ns()
            if (reason := self.holding.evaluate(now).exit) is not None:
                self._watch.trigger(reason, now)
                break
            try:
                async with asyncio.timeout(elapsed_ns(now, self.holding.deadline) / _NS_PER_S):
                    await asyncio.shield(self._watch.triggered)
            except TimeoutError:
                continue  # too old now; or the loop's timer was early, and the rest is waited for
        return self._watch.triggered.result()

    async def _sell(self, reason: ExitReason) -> None:
        """Try until the position is gone: each attempt prices anew and accepts twice the slippage of the last."""
        exits, slippage_bps = self._context.settings.exits, int(self._context.settings.trade.exit_slippage_bps)
        why = ""
        for attempt in range(exits.max_attempts):
            assert self._watch.state is not None
            if self._watch.state.is_complete:
                why = "graduated: its curve is complete and trades elsewhere"
                break
            plan = plan_sell(self._market, self._watch.state.reserves, self._position.tokens, slippage_bps)
            if isinstance(plan, Refusal):
                why = plan.detail
            else:
                intent = await self._attempt(reason, plan, is_first=attempt == 0)
                if self._position.state == "closed" or intent.is_open:
                    return
                why = f"{intent.state}: {intent.reason}"
                slippage_bps = min(2 * max(slippage_bps, 1), BPS)
            log.info("sell %d of %s %s", attempt + 1, self._market.pool.mint, why)
            await self._context.clock.sleep_until(add_ms(self._context.clock.mono_ns(), _RETRY_MS))
            await self._watch.read()  # the feed may have been silent: what failed was then priced from the past
        await self._stuck(why)

    async def _attempt(self, reason: ExitReason, plan: SellPlan, *, is_first: bool) -> Intent:
        """Sign, write down, send and settle one sell."""
        context, trace = self._context, self._trace
        signed = sign(
            context.wallet.signer,
            [
                *compute_budget(self._unit_limit(), _price(context)),
                # A stranger's gift of one unit makes the closing fail, so only the first attempt carries it.
                *self._market.sell(plan.tokens, plan.limit_lamports, closes_account=is_first),
            ],
            await context.blockhashes.wait_current(),
        )
        if is_first:
            trace.mark(Stamp.EXIT_SIGNED, context.clock.mono_ns())
        event = self._event(signed, reason, plan)
        await context.journal.append(event)

        def on_sent(now: MonoNs) -> None:
            context.journal.append(IntentSent(intent=event.intent))
            if is_first:
                trace.mark(Stamp.EXIT_SENT, now)

        outcome = await context.desk.execute(signed, on_sent=on_sent)
        if isinstance(outcome, Confirmed):
            trace.mark(Stamp.EXIT_CONFIRMED, context.clock.mono_ns())
        await context.accountant.settle(event, outcome, self._market)
        return context.journal.state.intents[event.intent]

    def _unit_limit(self) -> ComputeUnits:
        """One unit less than the sell before it: two attempts within one blockhash must not be the same bytes.

        The chain would take the second for the first, and the journal would count one failure twice.
        """
        return ComputeUnits(max(1, self._context.settings.fees.sell_unit_limit - self._position.sells))

    def _event(self, signed: SignedTransaction, reason: ExitReason, plan: SellPlan) -> IntentSigned:
        return IntentSigned(
            intent=new_intent_id(),
            side="sell",
            signature=signed.signature,
            raw=signed.raw,
            last_valid_block_height=signed.last_valid_block_height,
            mint=self._market.pool.mint,
            wallet=self._context.wallet.pubkey,
            tokens=plan.tokens,
            quoted_lamports=plan.quoted_lamports,
            limit_lamports=plan.limit_lamports,
            reason=reason,
            position=self._position.id,
        )

    async def _stuck(self, reason: str) -> None:
        await self._context.journal.append(PositionStuck(intent=self._position.id, reason=reason))


def _price(context: TradingContext) -> MicroLamportsPerCu:
    return context.settings.fees.unit_price_microlamports_per_cu
