"""Start-up, which is recovery: settle what is open, hold the journal against the wallet, take up what is held.

The journal says what should be in the wallet, the chain says what is. Where they differ, the difference is told and
nothing is guessed: tokens that no position explains are left alone, more tokens than a position has are no part of it,
and a position whose tokens are gone or frozen is kept and shown as stuck, not sold for a fee that brings nothing.

What an open intent may still decide is compared once it is settled. The wallet is read at a slot no older than the
newest the journal has seen land, so a node that lags behind does not make a position look empty.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Literal

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import add_ms, earlier, elapsed_ns
from slotzero.errors import EndpointError, MalformedError
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.token import AccountState, TokenAccount, parse_token_account
from slotzero.solana.transaction import SignedTransaction
from slotzero.trace import Trace
from slotzero.trading.context import TradingContext
from slotzero.trading.fees import offered_fees
from slotzero.trading.journal import Intent, IntentSigned, PositionRecord, PositionStuck
from slotzero.trading.pool_watch import PoolWatch
from slotzero.trading.sniper import Sniper
from slotzero.trading.traders import Traders
from slotzero.units import NS_PER_MS, Slot, TokenAmount
from slotzero.venues.market import Market

__all__ = ["Difference", "Recovery", "compare"]

log = logging.getLogger(__name__)

_ATTEMPTS: Final = 5
_RETRY_MS: Final = 200
_READ_WITHIN_S: Final = 3
"""Until the wallet is read nobody guards the positions, so a slow node is not waited for."""
_FEE_WINDOW_NS: Final = 3_600_000 * NS_PER_MS
_MAX_KEPT: Final = 1_000
"""Anybody can put a thousand tokens into a wallet."""


class Difference(Struct, frozen=True, kw_only=True):
    """Something the journal and the wallet do not agree on.

    Attributes:
        kind: `missing_tokens`: the wallet holds fewer than the position has. `frozen`: it holds them and cannot move
            them. `extra_tokens`: it holds more. `unknown_tokens`: it holds some of a mint without an open position.
            `unread`: the wallet could not be read, and nothing was compared.
        mint: None where all of the wallet is meant.
        detail: One sentence for a person.
    """

    kind: Literal["missing_tokens", "frozen", "extra_tokens", "unknown_tokens", "unread"]
    wallet: Pubkey
    mint: Pubkey | None
    journal_tokens: TokenAmount
    chain_tokens: TokenAmount
    detail: str


def compare(
    wallet: Pubkey,
    positions: Iterable[PositionRecord],
    accounts: Iterable[TokenAccount],
    *,
    undecided: AbstractSet[Pubkey],
) -> list[Difference]:
    """Hold positions against the token accounts of their wallet. *Pure.*

    Args:
        wallet: Whose.
        positions: The journal's, closed ones too.
        accounts: All there are.
        undecided: Mints an open intent may still change; they are left out.
    """
    open_tokens: Counter[Pubkey] = Counter()
    closed: set[Pubkey] = set()
    for position in positions:
        if position.wallet != wallet or position.pool.mint in undecided:
            continue
        if position.state == "closed":
            closed.add(position.pool.mint)
        else:
            open_tokens[position.pool.mint] += position.tokens
    held: Counter[Pubkey] = Counter()
    frozen: set[Pubkey] = set()
    for account in accounts:
        if account.mint in undecided:
            continue
        held[account.mint] += account.amount
        if account.state is AccountState.FROZEN and account.amount:
            frozen.add(account.mint)
    return [
        found
        for mint in dict.fromkeys([*open_tokens, *held])
        if (found := _difference(wallet, mint, open_tokens[mint], held[mint], mint in frozen, mint in closed))
    ]


def _difference(
    wallet: Pubkey,
    mint: Pubkey,
    journal: int,
    chain: int,
    is_frozen: bool,  # noqa: FBT001
    was_held: bool,  # noqa: FBT001
) -> Difference | None:
    kind: Literal["missing_tokens", "frozen", "extra_tokens", "unknown_tokens"]
    if chain < journal:
        kind, detail = "missing_tokens", f"the journal holds {journal} of {mint}, the wallet {chain}"
    elif journal and is_frozen:
        kind, detail = "frozen", f"the {journal} of {mint} that the journal holds are frozen"
    elif journal and chain > journal:
        kind, detail = (
            "extra_tokens",
            f"the journal holds {journal} of {mint}, the wallet {chain}; the rest is left alone",
        )
    elif chain > journal:
        why = "its position is closed" if was_held else "no position that is open or closed of late explains them"
        kind, detail = "unknown_tokens", f"the wallet holds {chain} of {mint}; {why}; they are left alone"
    else:
        return None
    return Difference(
        kind=kind,
        wallet=wallet,
        mint=mint,
        journal_tokens=TokenAmount(journal),
        chain_tokens=TokenAmount(chain),
        detail=detail,
    )


class Recovery:
    """Takes up what earlier runs of this chain have left: the same code for a restart and for a crash.

    Args:
        context: The run.
        sniper: Keeps what is taken up.
        traders: How each venue's pools are traded.
    """

    def __init__(self, context: TradingContext, sniper: Sniper, traders: Traders) -> None:
        self._context = context
        self._sniper = sniper
        self._traders = traders
        self.count = 0
        """How many intents and positions were taken up."""
        self.differences: list[Difference] = []

    async def start(self) -> None:
        """Compare the wallet with the journal, and take up what is open or held, each in a task of the run's.

        Call it before the first new order is sent. *Does I/O.*
        """
        state, sniper = self._context.journal.state, self._sniper
        unsettled: dict[str, list[Intent]] = {}
        for intent in state.open_intents():
            unsettled.setdefault(intent.signed.position or intent.signed.intent, []).append(intent)
        undecided = {intent.signed.mint for intents in unsettled.values() for intent in intents}
        self._recall()
        self._recall_fees()
        held = state.held_positions()
        ids = dict.fromkeys([*unsettled, *(position.id for position in held)])
        sniper.taking_up.update(ids)
        sniper.working.update(intent.signed.intent for intents in unsettled.values() for intent in intents)
        wallets = dict.fromkeys([*self._context.signers, *(position.wallet for position in held)])
        for wallet in wallets:
            await self._compare(wallet, undecided=undecided)
        for position_id in ids:
            signed = state.intents[position_id].signed
            assert signed.pool is not None, "a buy carries its pool"
            market = self._traders.market(signed.pool, signed.wallet)
            take_up = self._take_up(position_id, unsettled.get(position_id, []), market)
            sniper.own(self._context.tasks.create_task(take_up, name=f"recover {signed.mint}"))
            self.count += 1

    def take_up_again(self, position: PositionRecord) -> None:
        """Watch and sell a position that was given up in this run, once what is open of it is settled.

        One that is being taken up already is sold when that is done.
        """
        sniper = self._sniper
        sniper.to_sell.add(position.id)
        if position.id in sniper.taking_up:
            return
        sniper.taking_up.add(position.id)
        market = self._traders.market(position.pool, position.wallet)
        sniper.own(
            self._context.tasks.create_task(self._sell_again(position, market), name=f"again {position.pool.mint}")
        )

    async def _sell_again(self, position: PositionRecord, market: Market) -> None:
        sniper = self._sniper
        try:
            if (before := sniper.keepers.get(position.id)) is not None:  # it has given up and is about to end
                await before.ended.wait()
            for intent in self._context.journal.state.open_intents():
                if intent.signed.position == position.id:
                    await self._settle(intent.signed, market)
        finally:
            sniper.taking_up.discard(position.id)
        if position.state != "closed":
            position.state = "open"
            await sniper.keep(position.id, market, PoolWatch(self._context, market), Trace())

    def _recall(self) -> None:
        """Let the wallets' caps count what earlier runs have bought, in the order of time, and what may land yet."""
        clock, book = self._context.clock, self._context.book
        purchases, wall_ns, mono_ns = self._context.journal.state.purchases, clock.wall_ns(), clock.mono_ns()
        for wallet in book.wallets:
            book.recall_uses(wallet, purchases.older(wallet))
            for cell in purchases.cells(wallet):
                at = earlier(mono_ns, elapsed_ns(cell.at, wall_ns))
                book.recall(wallet, spent=cell.spent, at=at, buys=cell.buys)
        for intent in self._context.journal.state.open_intents():
            signed = intent.signed
            if signed.side == "buy" and signed.wallet in book.wallets:
                most = self._sniper.most_cost(signed.limit_lamports)
                self._sniper.left_open[signed.intent] = book.reserve(signed.wallet, most)

    def _recall_fees(self) -> None:
        """Let the fee policy's hour count what the transactions of earlier runs have offered, or may offer yet."""
        clock = self._context.clock
        wall_ns, mono_ns = clock.wall_ns(), clock.mono_ns()
        for intent in sorted(self._context.journal.state.intents.values(), key=lambda intent: intent.signed_wall_ns):
            age_ns = elapsed_ns(intent.signed_wall_ns, wall_ns)
            if age_ns < _FEE_WINDOW_NS and intent.state not in ("expired", "abandoned"):
                self._context.fees.charge(offered_fees(intent.signed.raw).bid_lamports, earlier(mono_ns, age_ns))

    async def _take_up(self, position_id: str, intents: Sequence[Intent], market: Market) -> None:
        trace, is_known = Trace(), asyncio.Event()
        settle = self._settle_all(intents, market, is_known)
        settling = self._context.tasks.create_task(settle, name=f"settle {market.pool.mint}")
        try:
            await is_known.wait()
            is_kept = await self._hold(position_id, market, trace, is_compared=bool(intents))
            await settling
        finally:
            settling.cancel()
            await asyncio.wait([settling])
        if is_kept:
            self._sniper.tell_end(position_id, trace)

    async def _settle_all(self, intents: Sequence[Intent], market: Market, is_known: asyncio.Event) -> None:
        """Settle what is open of one position: its sells first, since its buy may be unreadable and the position held.

        `is_known` is set as soon as it is known whether there is something to guard, at the end at the latest.
        """
        try:
            for intent in sorted(intents, key=lambda intent: intent.signed.side == "buy"):
                await self._settle(intent.signed, market, on_held=is_known.set)
        finally:
            is_known.set()

    async def _hold(self, position_id: str, market: Market, trace: Trace, *, is_compared: bool) -> bool:
        """Guard the position to its end, if there is one that can be sold. Returns whether there was."""
        sniper, context = self._sniper, self._context
        try:
            position = context.journal.state.positions.get(position_id)
            if position is None or position.state == "closed":
                return False
            if is_compared:
                await self._compare(position.wallet, mint=position.pool.mint)
        finally:
            sniper.taking_up.discard(position_id)
        for difference in self.differences:
            is_its = (difference.wallet, difference.mint) == (position.wallet, position.pool.mint)
            if is_its and difference.kind in ("missing_tokens", "frozen"):
                await self._keep_as_stuck(position, difference.detail)
                return False
        if position.wallet not in self._context.signers:
            await self._keep_as_stuck(position, f"its wallet {position.wallet} is none of this run's")
            return False
        position.state = "open"  # one that was stuck is tried again at each start
        age_ns = elapsed_ns(position.opened_wall_ns, context.clock.wall_ns())
        await sniper.guard(position_id, market, PoolWatch(context, market), trace, age_ns)
        return True

    async def _keep_as_stuck(self, position: PositionRecord, reason: str) -> None:
        if (position.state, position.reason) != ("stuck", reason):
            await self._context.journal.append(PositionStuck(intent=position.id, reason=reason))

    async def _settle(self, signed: IntentSigned, market: Market, on_held: Callable[[], None] | None = None) -> None:
        """Learn what became of an intent that an earlier run may have sent. Sends nothing.

        `on_held` is called when a buy's position is open, though its transaction cannot be read yet.
        """
        context = self._context
        try:
            transaction = SignedTransaction(
                raw=signed.raw,
                signature=signed.signature,
                last_valid_block_height=signed.last_valid_block_height,
            )
            outcome = await context.desk.execute(transaction, may_send=False)
            told = on_held if signed.side == "buy" else None
            state = await context.accountant.settle(signed, outcome, market, on_held=told)
            if (reservation := self._sniper.left_open.pop(signed.intent, None)) is not None:
                self._sniper.settle_reservation(signed.intent, reservation, state)
        finally:
            self._sniper.working.discard(signed.intent)

    # ---- the wallet ------------------------------------------------------------------------------------------------

    async def _compare(
        self, wallet: Pubkey, *, mint: Pubkey | None = None, undecided: AbstractSet[Pubkey] = frozenset()
    ) -> None:
        """Compare one wallet, or one mint of it, and tell what differs."""
        positions = self._context.journal.state.positions.values()
        try:
            async with asyncio.timeout(_READ_WITHIN_S):
                accounts = await self._read(wallet, mint)
        except (EndpointError, MalformedError, TimeoutError) as error:
            why = f"no answer within {_READ_WITHIN_S} s" if isinstance(error, TimeoutError) else str(error)
            detail = f"the token accounts of {wallet} could not be read, so nothing was compared: {why}"
            none = TokenAmount(0)
            unread = Difference(
                kind="unread", wallet=wallet, mint=mint, journal_tokens=none, chain_tokens=none, detail=detail
            )
            self._tell([unread])
            return
        chosen = [position for position in positions if mint is None or position.pool.mint == mint]
        self._tell(compare(wallet, chosen, accounts, undecided=undecided))

    async def _read(self, wallet: Pubkey, mint: Pubkey | None) -> list[TokenAccount]:
        newest = self._context.journal.state.newest_slot
        programs = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM) if mint is None else (None,)
        accounts: list[TokenAccount] = []
        for program in programs:
            accounts += await self._read_some(wallet, program=program, mint=mint, newest=newest)
        return accounts

    async def _read_some(
        self, wallet: Pubkey, *, program: Pubkey | None, mint: Pubkey | None, newest: Slot | None
    ) -> list[TokenAccount]:
        clock = self._context.clock
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                found = await self._context.rpc.get_token_accounts_by_owner(
                    wallet, "confirmed", program=program, mint=mint, min_context_slot=newest, purpose="startup"
                )
            except EndpointError as error:
                if attempt == _ATTEMPTS:
                    raise
                log.info("the token accounts of %s are asked for again: %s", wallet, error)
                await clock.sleep_until(add_ms(clock.mono_ns(), _RETRY_MS))
            else:
                return [parse_token_account(account.data, account.owner) for _, account in found]
        raise AssertionError("the last attempt returns or raises")

    def _tell(self, found: Sequence[Difference]) -> None:
        """Keep and log what was found: strangers' tokens, which may be without number, in part and in one line."""
        unknown = [difference for difference in found if difference.kind == "unknown_tokens"]
        for difference in found:
            if difference.kind != "unknown_tokens":
                self.differences.append(difference)
                log.warning("%s: %s", difference.kind, difference.detail)
        if unknown:
            self.differences += unknown[: max(0, _MAX_KEPT - len(self.differences))]
            log.warning("unknown_tokens: %s (%d such mints)", unknown[0].detail, len(unknown))
