"""What an order really did to the wallet, read from the chain and written to the journal.

Quotes and events are not asked: the balance change is that of the landed transaction itself, so the sum over the
journal equals the wallet's change to the lamport.
"""

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from typing import Final

from slotzero.clock import Clock, add_ms
from slotzero.errors import EndpointError, MalformedError
from slotzero.solana.rpc import Rpc, TransactionRecord
from slotzero.solana.token import parse_token_account
from slotzero.trading.journal import (
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSigned,
    IntentState,
    IntentUnknown,
    Journal,
    PositionOpened,
)
from slotzero.trading.order import Confirmed, Expired, Outcome
from slotzero.units import LamportsDelta, Slot, TokenAmount
from slotzero.venues.market import Market

__all__ = ["Accountant"]

log = logging.getLogger(__name__)

_FIRST_DELAY_MS: Final = 25
_MAX_DELAY_MS: Final = 1_000
_UNKNOWN_AFTER: Final = 20
"""Reads, which take some 16 s with the delays between them."""
_LOOK_EVERY_MS: Final = 400
"""How long a position waits for its transaction before the wallet is asked: a slot. And again, until one has told."""


class Accountant:
    """Settles intents in the journal.

    Args:
        rpc: Where landed transactions are read.
        journal: Where it is written.
        clock: For the delay between reads of a node that lags.
        tasks: Owns the reads that go on beside each other; they end with it.
    """

    def __init__(self, rpc: Rpc, journal: Journal, *, clock: Clock, tasks: asyncio.TaskGroup) -> None:
        self._rpc = rpc
        self._journal = journal
        self._clock = clock
        self._tasks = tasks

    async def settle(
        self,
        intent: IntentSigned,
        outcome: Outcome,
        market: Market,
        *,
        on_record: Callable[[TransactionRecord], None] | None = None,
        on_held: Callable[[], None] | None = None,
    ) -> IntentState:
        """Write what became of `intent` and return its new state. *Does I/O.*

        A transaction that landed is asked for until the node gives it: what was bought is not to be forgotten because a
        node was busy for a while. After some 16 s the intent is *unknown*, until it is known. *Cancellation: the intent
        stays open, and the next start settles it.*

        Args:
            intent: What was sent.
            outcome: What the chain says of it.
            market: Puts errors into words.
            on_record: Called with the landed transaction, for whoever learns from it.
            on_held: Of a buy: called when its position is in the journal before its transaction could be read. Nodes
                serve transactions later than accounts, some not at all, and a position must not wait for that to be
                guarded.

        Raises:
            JournalError: It could not be written.
        """
        if isinstance(outcome, Expired):
            await self._journal.append(IntentExpired(intent=intent.intent))
            return "expired"
        looking: asyncio.Task[None] | None = None
        if on_held is not None and isinstance(outcome, Confirmed):
            looking = self._tasks.create_task(self._look(intent, outcome.slot, market, on_held), name="held already?")
        try:
            record = await self._record(intent, outcome.slot)
        finally:
            if looking is not None:
                looking.cancel()
        if on_record is not None:
            on_record(record)
        delta = LamportsDelta(record.payer_after - record.payer_before)
        if isinstance(outcome, Confirmed) and record.err is None:
            landed = IntentLanded(
                intent=intent.intent,
                slot=record.slot,
                lamports_delta=delta,
                tokens_held=_held(record, str(intent.wallet), str(intent.mint)),
            )
            await self._journal.append(landed)
            return "landed"
        reason = market.explain(record.err)
        failed = IntentFailed(intent=intent.intent, slot=record.slot, reason=reason, lamports_delta=delta)
        await self._journal.append(failed)
        return "failed"

    async def _record(self, intent: IntentSigned, slot: Slot) -> TransactionRecord:
        delay_ms, why = _FIRST_DELAY_MS, "the node does not know it"
        for attempt in count(1):
            try:
                if (record := await self._rpc.get_transaction(intent.signature, "confirmed")) is not None:
                    return record
            except (EndpointError, MalformedError) as error:
                why = str(error)
            if attempt == _UNKNOWN_AFTER:
                log.warning("%s of %s landed and cannot be read: %s", intent.side, intent.mint, why)
                reason = f"it landed in slot {slot}, but the node does not give the transaction"
                await self._journal.append(IntentUnknown(intent=intent.intent, reason=reason))
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), delay_ms))
            delay_ms = min(2 * delay_ms, _MAX_DELAY_MS)
        raise AssertionError("it is asked without an end")

    async def _look(self, intent: IntentSigned, slot: Slot, market: Market, on_held: Callable[[], None]) -> None:
        """Open the position as soon as the wallet holds its tokens, unless the transaction comes first."""
        if intent.intent not in self._journal.state.positions:
            tokens = TokenAmount(0)
            while not tokens:
                await self._clock.sleep_until(add_ms(self._clock.mono_ns(), _LOOK_EVERY_MS))
                tokens = await self._tokens(market, slot)
            log.warning("%s is held, but the node does not give the transaction that bought it yet", intent.mint)
            self._journal.append(PositionOpened(intent=intent.intent, slot=slot, tokens_held=tokens))
        on_held()

    async def _tokens(self, market: Market, slot: Slot) -> TokenAmount:
        """Return what the wallet's account of the mint holds in `slot` or later; 0 when that cannot be said."""
        try:
            read = await self._rpc.accounts_at([market.user_tokens], "confirmed", min_context_slot=slot)
            (account,) = read.value
            if account is None:
                return TokenAmount(0)
            return TokenAmount(parse_token_account(account.data, market.pool.token_program).amount)
        except (EndpointError, MalformedError) as error:
            log.info("what %s holds was not read: %s", market.user_tokens, error)
            return TokenAmount(0)


def _held(record: TransactionRecord, owner: str, mint: str) -> TokenAmount:
    """Return what `owner` holds of `mint` after the transaction; a closed account holds nothing."""
    amounts = (b.amount for b in record.token_balances if b.owner == owner and b.mint == mint)
    return TokenAmount(sum(amounts))
