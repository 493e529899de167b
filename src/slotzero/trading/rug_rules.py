"""The rug watch of one open position: a pure machine, observed facts in, alerts out.

Three accounts and one stream of trades are observed: the pool's state, the mint, our token account, and who trades.
Each fact is compared with what was true when the position was opened; what has got worse is a signal, and a table says
what a signal leads to: sell now, tighten the stop, or note it.

The pool's real quote reserve is what everybody's exit is paid from. How much of it has left is measured against the
highest reserve in force during the last slots, so a drain in many small steps counts like one in a single step. What
our own sells take out is not a drain, not even while they are under way.

A signal is told when it appears, and again only after its cause had gone: a drain that goes on is one alert.

Source of the facts: the token programs' own rules (an authority that is None stays None, the extensions of a mint are
fixed at its creation), so some changes seen here can only come from an account that was closed and made anew.
"""

from collections import deque
from collections.abc import Collection, Iterator
from typing import Final, Literal, get_args

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.detection.records import PoolTrade
from slotzero.solana.account_watch import AccountUpdate
from slotzero.solana.token import (
    AccountState,
    DefaultAccountState,
    Mint,
    Pausable,
    PermanentDelegate,
    TokenAccount,
    TransferFeeConfig,
    TransferHook,
    extension_name,
    parse_mint,
    parse_token_account,
)
from slotzero.units import BPS, Lamports, Slot, TokenAmount
from slotzero.venues.market import PoolState

__all__ = [
    "MintObserved",
    "PoolObserved",
    "RugAct",
    "RugAlert",
    "RugRules",
    "RugSignal",
    "RugWatch",
    "TokenAccountObserved",
    "observed_mint",
    "observed_token_account",
]

RugAct = Literal["exit_now", "tighten", "note"]
RugSignal = Literal[
    "drain_slot",
    "drain_window",
    "outflow",
    "creator_dump",
    "insider_dump",
    "frozen",
    "balance_fell",
    "account_closed",
    "account_taken",
    "supply_up",
    "authority_set",
    "fee_raised",
    "permanent_delegate",
    "transfer_hook",
    "paused",
    "default_frozen",
    "extension_added",
    "mint_closed",
]


class RugRules(Struct, frozen=True, kw_only=True):
    """Thresholds, and what each signal leads to. The defaults are those of the `[rug]` section.

    Attributes:
        drain_slot_bps: The share of the real quote reserve that may leave within one slot.
        drain_window_bps: The share that may leave within `window_slots`.
        outflow_bps: The share whose leaving within `window_slots` is told as a milder signal.
        creator_dump_bps: The share of the reserve that the creator may take out within `window_slots`; the insiders
            together likewise.
        min_outflow_lamports: What leaves is looked at only from this amount on: in a tiny pool every sell is a drain.
        frozen: Only noted, because an account that is frozen cannot sell; every attempt would cost its fee.
    """

    window_slots: int = 10
    drain_slot_bps: int = 4_000
    drain_window_bps: int = 6_000
    outflow_bps: int = 3_000
    creator_dump_bps: int = 2_000
    insider_dump_bps: int = 3_000
    min_outflow_lamports: Lamports = Lamports(50_000_000)

    drain_slot: RugAct = "exit_now"
    drain_window: RugAct = "exit_now"
    outflow: RugAct = "tighten"
    creator_dump: RugAct = "exit_now"
    insider_dump: RugAct = "exit_now"
    frozen: RugAct = "note"
    balance_fell: RugAct = "exit_now"
    account_closed: RugAct = "note"
    account_taken: RugAct = "note"
    supply_up: RugAct = "exit_now"
    authority_set: RugAct = "exit_now"
    fee_raised: RugAct = "exit_now"
    permanent_delegate: RugAct = "exit_now"
    transfer_hook: RugAct = "exit_now"
    paused: RugAct = "exit_now"
    default_frozen: RugAct = "tighten"
    extension_added: RugAct = "exit_now"
    mint_closed: RugAct = "exit_now"


class PoolObserved(Struct, frozen=True, kw_only=True):
    """The pool's state after a change, at `slot`."""

    slot: Slot
    state: PoolState


class MintObserved(Struct, frozen=True, kw_only=True):
    """The mint after a change; None = its account is gone."""

    slot: Slot
    mint: Mint | None


class TokenAccountObserved(Struct, frozen=True, kw_only=True):
    """Our token account after a change; None = it is gone."""

    slot: Slot
    account: TokenAccount | None


class RugAlert(Struct, frozen=True, kw_only=True):
    """A signal, and what the table says to do.

    Attributes:
        held_tokens: What is left to us, where the signal is that something was taken; else None.
        detail: One sentence for a person with the values found.
    """

    signal: RugSignal
    act: RugAct
    slot: Slot
    detail: str
    held_tokens: TokenAmount | None = None


def observed_mint(update: AccountUpdate, token_program: Pubkey) -> MintObserved:
    """Read a change of the mint's account; the token program is known from the pool. *Pure.*

    Raises:
        MalformedError: It is no mint any more.
    """
    return MintObserved(slot=update.slot, mint=parse_mint(update.data, token_program) if update.data else None)


def observed_token_account(update: AccountUpdate, token_program: Pubkey) -> TokenAccountObserved:
    """Read a change of our token account. *Pure.*

    Raises:
        MalformedError: It is no token account any more.
    """
    account = parse_token_account(update.data, token_program) if update.data else None
    return TokenAccountObserved(slot=update.slot, account=account)


class _HighestSince:
    """The highest value in force within the last slots. A value is in force until the next one replaces it.

    Kept is a descending list of what was replaced, one entry for a slot at most: bounded by the span.
    """

    __slots__ = ("_replaced", "_span")

    def __init__(self, span_slots: int) -> None:
        self._span = span_slots
        self._replaced: deque[tuple[int, int]] = deque()

    def replace(self, value: int, slot: int) -> int:
        """Take note that `value` was in force until `slot`, and return the highest since `span` slots before it."""
        replaced = self._replaced
        while replaced and replaced[0][0] + self._span < slot:
            replaced.popleft()
        while replaced and replaced[-1][1] <= value:
            replaced.pop()
        if not replaced or replaced[-1][0] < slot:
            replaced.append((slot, value))
        return replaced[0][1]


class _SumSince:
    """The sum of what happened within the last slots: one entry for a slot, bounded by the span."""

    __slots__ = ("_entries", "_span", "_total")

    def __init__(self, span_slots: int) -> None:
        self._span = span_slots
        self._entries: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, amount: int, slot: int) -> int:
        entries = self._entries
        if entries and slot <= entries[-1][0]:  # a frame that came late counts at the newest slot
            slot, before = entries.pop()
            entries.append((slot, before + amount))
        else:
            entries.append((slot, amount))
        self._total += amount
        while entries[0][0] + self._span < slot:
            self._total -= entries.popleft()[1]
        return self._total


class RugWatch:
    """Watches one position. Facts of a slot before the buy's, or before one already seen, are passed over.

    Args:
        rules: The `[rug]` section.
        wallet: Ours: its own trades are no dump.
        creator: Whose sells are watched.
        insiders: Others whose sells are watched together (bundled buyers, wallets the creator funded).
        mint: The mint as it was judged before the buy; None = the first observation is what later ones are compared
            with.
        tokens: What the buy brought.
        opened_slot: The slot the buy landed in.
    """

    def __init__(
        self,
        rules: RugRules,
        *,
        wallet: Pubkey,
        creator: Pubkey,
        insiders: Collection[Pubkey] = (),
        mint: Mint | None,
        tokens: TokenAmount,
        opened_slot: Slot,
    ) -> None:
        self._rules = rules
        self._wallet = wallet
        self._creator = creator
        self._insiders = frozenset(insiders) - {creator, wallet}
        self._mint = mint
        self._acts: Final[dict[RugSignal, RugAct]] = {name: getattr(rules, name) for name in get_args(RugSignal)}
        self._raised: set[RugSignal] = set()
        self._pool_slot = self._account_slot = self._mint_slot = int(opened_slot)
        self._in_slot = _HighestSince(0)
        self._in_window = _HighestSince(rules.window_slots)
        self._reserve: int | None = None
        self._creator_out = _SumSince(rules.window_slots)
        self._insiders_out = _SumSince(rules.window_slots)
        self._held = int(tokens)
        self._own_out = 0
        self._selling: dict[int, tuple[int, int]] = {}

    @property
    def held_tokens(self) -> TokenAmount:
        """What we hold as far as is known, sells under way not taken off."""
        return TokenAmount(self._held)

    # ---- what we do ourselves --------------------------------------------------------------------------------------

    def on_sell_sent(self, sell: int, *, tokens: int, quote_out: int) -> None:
        """Expect a sell of ours, named by a number: until it is settled it may take that much out of pool and account.

        Args:
            sell: Its number.
            tokens: How many it sells.
            quote_out: What the pool pays for them, fees not taken off, as quoted.
        """
        self._selling[sell] = (tokens, quote_out)

    def on_sell_settled(self, sell: int, *, tokens: int, quote_out: int) -> None:
        """Take what became of a sell of ours; both amounts are 0 when it did not land."""
        self._selling.pop(sell, None)
        self._held = max(self._held - tokens, 0)
        self._own_out += quote_out

    # ---- what is observed ------------------------------------------------------------------------------------------

    def on_pool(self, seen: PoolObserved) -> list[RugAlert]:
        """Take the pool's state. *Hot path* (about 2 us)."""
        if seen.state.is_complete:  # the reserves move to another venue: that is no drain
            self._reserve = None
            self._in_slot, self._in_window = _HighestSince(0), _HighestSince(self._rules.window_slots)
            return []
        return self._on_reserve(seen.state.reserves.real_quote, seen.slot)

    def on_trade(self, trade: PoolTrade) -> list[RugAlert]:
        """Take a trade in the pool, with the reserves it left. *Hot path* (about 3 us)."""
        alerts: list[RugAlert] = []
        if not trade.is_buy and trade.user != self._wallet:
            if trade.user == self._creator:
                alerts += self._on_dump("creator_dump", self._creator_out, self._rules.creator_dump_bps, trade)
            elif trade.user in self._insiders:
                alerts += self._on_dump("insider_dump", self._insiders_out, self._rules.insider_dump_bps, trade)
        return alerts + self._on_reserve(trade.reserves.real_quote, trade.slot)

    def on_token_account(self, seen: TokenAccountObserved) -> list[RugAlert]:
        """Take the state of our token account. *Hot path* (about 2 us)."""
        if seen.slot < self._account_slot:
            return []
        self._account_slot = slot = seen.slot
        least = self._held - sum(tokens for tokens, _ in self._selling.values())
        account = seen.account
        alerts: list[RugAlert] = []
        if self._appears("account_closed", is_so=account is None and least > 0):  # a sell of everything closes it
            alerts.append(self._alert("account_closed", slot, "our token account was closed with tokens in it", held=0))
        if account is None:
            return alerts
        if self._appears("account_taken", is_so=account.owner != self._wallet):
            told = f"our token account belongs to {account.owner} now"
            alerts.append(self._alert("account_taken", slot, told, held=0))
        if self._appears("frozen", is_so=account.state is AccountState.FROZEN):
            alerts.append(self._alert("frozen", slot, "our token account is frozen"))
        if account.amount < least:  # each further loss is one of its own
            told = f"our balance fell to {account.amount} without us, at least {least} were expected"
            self._held = int(account.amount)
            alerts.append(self._alert("balance_fell", slot, told, held=account.amount))
        return alerts

    def on_mint(self, seen: MintObserved) -> list[RugAlert]:
        """Take the state of the mint; what has changed is told once, against what was known before. *Hot path.*"""
        if seen.slot < self._mint_slot:
            return []
        self._mint_slot = seen.slot
        if self._appears("mint_closed", is_so=seen.mint is None):
            return [self._alert("mint_closed", seen.slot, "the mint was closed")]
        if seen.mint is None:
            return []
        before, self._mint = self._mint, seen.mint
        if before is None:
            return []
        found = [*_base_changes(before, seen.mint), *_extension_changes(before, seen.mint)]
        return [self._alert(signal, seen.slot, told) for signal, told in found]

    # ---- the rules -------------------------------------------------------------------------------------------------

    def _on_reserve(self, real_quote: int, slot: Slot) -> list[RugAlert]:
        if slot < self._pool_slot:
            return []
        self._pool_slot = slot
        rules, before = self._rules, self._reserve
        self._reserve = real_quote + self._own_out
        if before is None:
            return []
        in_slot, in_window = self._in_slot.replace(before, slot), self._in_window.replace(before, slot)
        ours = self._own_out + sum(quote_out for _, quote_out in self._selling.values())
        thresholds: tuple[tuple[RugSignal, int, int], ...] = (
            ("drain_slot", in_slot, rules.drain_slot_bps),
            ("drain_window", in_window, rules.drain_window_bps),
            ("outflow", in_window, rules.outflow_bps),
        )
        alerts: list[RugAlert] = []
        for signal, high, most_bps in thresholds:
            highest = high - ours  # without what we took out ourselves, or are about to
            left = highest - real_quote
            is_drained = left >= rules.min_outflow_lamports and left * BPS >= most_bps * highest
            if self._appears(signal, is_so=is_drained):
                slots = 1 if signal == "drain_slot" else rules.window_slots + 1
                told = f"{left} of {highest} lamports ({left * BPS // highest} bps) left the pool within {slots} slots"
                alerts.append(self._alert(signal, slot, told))
        return alerts

    def _on_dump(self, signal: RugSignal, taken: _SumSince, most_bps: int, trade: PoolTrade) -> list[RugAlert]:
        out = taken.add(trade.quote_amount, trade.slot)
        reserve = trade.reserves.real_quote + out
        is_dump = out >= self._rules.min_outflow_lamports and out * BPS >= most_bps * reserve
        if not self._appears(signal, is_so=is_dump):
            return []
        slots = self._rules.window_slots + 1
        told = f"{trade.user} and its like took {out} of {reserve} lamports out of the pool within {slots} slots"
        return [self._alert(signal, trade.slot, told)]

    def _appears(self, signal: RugSignal, *, is_so: bool) -> bool:
        """Tell whether a signal is new: it is so now and was not before."""
        if not is_so:
            self._raised.discard(signal)
            return False
        is_new = signal not in self._raised
        self._raised.add(signal)
        return is_new

    def _alert(self, signal: RugSignal, slot: Slot, detail: str, *, held: int | None = None) -> RugAlert:
        left = None if held is None else TokenAmount(held)
        return RugAlert(signal=signal, act=self._acts[signal], slot=slot, detail=detail, held_tokens=left)


def _base_changes(before: Mint, after: Mint) -> Iterator[tuple[RugSignal, str]]:
    if after.supply > before.supply:
        yield "supply_up", f"the supply rose from {before.supply} to {after.supply}"
    for name, old, new in (
        ("mint", before.mint_authority, after.mint_authority),
        ("freeze", before.freeze_authority, after.freeze_authority),
    ):
        if new is not None and new != old:
            yield "authority_set", f"the {name} authority is {new} now, it was {_who(old)}"


def _extension_changes(  # noqa: C901, PLR0912 - one flat row per type
    before: Mint, after: Mint
) -> Iterator[tuple[RugSignal, str]]:
    if before.extensions == after.extensions:
        return
    kinds = {extension.kind for extension in before.extensions}
    for extension in after.extensions:
        if extension.kind not in kinds:
            yield "extension_added", f"the mint has {extension_name(extension.kind)} now, it had not"
        match extension:
            case TransferFeeConfig():
                yield from _fee_changes(before.extension(TransferFeeConfig), extension)
            case PermanentDelegate(delegate=Pubkey() as delegate):
                old = before.extension(PermanentDelegate)
                if old is None or old.delegate != delegate:
                    yield "permanent_delegate", f"{delegate} may move or burn our tokens now"
            case TransferHook(program=Pubkey() as program):
                hook = before.extension(TransferHook)
                if hook is None or hook.program != program:
                    yield "transfer_hook", f"every transfer calls {program} now"
            case Pausable(is_paused=True):
                pausable = before.extension(Pausable)
                if pausable is None or not pausable.is_paused:
                    yield "paused", "all transfers are paused"
            case DefaultAccountState(state=AccountState.FROZEN):
                default = before.extension(DefaultAccountState)
                if default is None or default.state is not AccountState.FROZEN:
                    yield "default_frozen", "new token accounts start frozen: nobody can buy"
            case _:
                pass


def _fee_changes(before: TransferFeeConfig | None, after: TransferFeeConfig) -> Iterator[tuple[RugSignal, str]]:
    old = (0, 0) if before is None else (before.newer.bps, before.newer.maximum)
    fee = after.newer
    if fee.bps > old[0] or (fee.bps and fee.maximum > old[1]):
        yield "fee_raised", f"a transfer will cost {fee.bps} bps, at most {fee.maximum}; it was {old[0]} bps"


def _who(key: Pubkey | None) -> str:
    return "nobody" if key is None else str(key)
