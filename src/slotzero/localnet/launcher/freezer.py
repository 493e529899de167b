"""The freeze authority at work: whoever buys a freeze trap has its token account frozen two slots later.

Buyers are found in what the chain tells its listeners, whoever they are and however they sent their transaction.
Bounded: at most `MAX_FREEZES` wait; a buyer beyond is spared and counted.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.localnet.chain import Chain
from slotzero.localnet.events import ChainEvent, SlotOpened, TransactionExecuted
from slotzero.localnet.launcher.actors import Actor, freeze_account
from slotzero.localnet.launcher.desk import Desk
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.solana.token import AccountState, parse_token_account
from slotzero.units import Slot

__all__ = ["FREEZE_AFTER_SLOTS", "MAX_FREEZES", "Freezer"]

FREEZE_AFTER_SLOTS: Final = 2
MAX_FREEZES: Final = 10_000


class _Freeze(Struct, frozen=True, kw_only=True):
    slot: Slot
    mint: Pubkey
    token_account: Pubkey


class _Trap:
    __slots__ = ("authority", "curve", "is_over", "marked")

    def __init__(self, authority: Actor, curve: Pubkey) -> None:
        self.authority = authority
        self.curve = curve
        self.is_over = False
        self.marked: set[Pubkey] = set()
        """Token accounts that wait for being frozen."""


class Freezer:
    """Freeze the buyers of freeze traps.

    Args:
        chain: Where.
        desk: What submits.
        accomplices: Owners who are never frozen: the launcher's own wallets.
        on_due: Called, inside the chain's call, when a slot has opened in which somebody is to be frozen.
    """

    def __init__(self, chain: Chain, desk: Desk, accomplices: Collection[Pubkey], on_due: Callable[[], None]) -> None:
        self._chain = chain
        self._desk = desk
        self._accomplices = accomplices
        self._on_due = on_due
        self._traps: dict[Pubkey, _Trap] = {}
        self._waiting: deque[_Freeze] = deque()  # buys come in the order of their slots
        self.frozen = 0
        self.failures: Counter[str] = Counter()
        self.spared = 0
        self.lingering = 0
        """Traps whose script is over and that are kept for buyers who are still to be frozen."""
        chain.add_listener(self._on_event)

    @property
    def waiting(self) -> int:
        """How many buyers are to be frozen."""
        return len(self._waiting)

    @property
    def is_due(self) -> bool:
        """Whether somebody is to be frozen in the open slot."""
        return bool(self._waiting) and self._waiting[0].slot <= self._chain.slot

    def watch(self, mint: Pubkey, curve: Pubkey, authority: Actor) -> None:
        """Freeze every buyer of `mint` from now on, until `release`."""
        self._traps[mint] = _Trap(authority, curve)

    def release(self, mint: Pubkey) -> None:
        """Look for no more buyers of `mint`; those found are still frozen. Nothing happens for another coin."""
        trap = self._traps.get(mint)
        if trap is None:
            return
        if trap.marked:
            trap.is_over = True
            self.lingering += 1
        else:
            del self._traps[mint]

    def freeze_next(self) -> None:
        """Freeze the one who waits longest."""
        freeze = self._waiting.popleft()
        trap = self._traps[freeze.mint]
        trap.marked.discard(freeze.token_account)
        account = self._chain.account(freeze.token_account)
        if account is None:
            self.failures["closed_before"] += 1
        elif parse_token_account(account.data, account.owner).state is not AccountState.FROZEN:
            authority = trap.authority
            instruction = freeze_account(freeze.token_account, freeze.mint, authority.pubkey, TOKEN_2022_PROGRAM)
            failure = self._desk.submit([instruction], authority)
            if failure is None:
                self.frozen += 1
            else:
                self.failures[failure] += 1
        if trap.is_over and not trap.marked:
            self.lingering -= 1
            del self._traps[freeze.mint]

    def _on_event(self, event: ChainEvent) -> None:
        """*Hot path:* called for everything that happens on the chain."""
        match event:
            case TransactionExecuted():
                if self._traps and event.record.err is None:
                    self._mark_buyers(event)
            case SlotOpened(slot=slot):
                if self._waiting and self._waiting[0].slot <= slot:
                    self._on_due()
            case _:
                pass

    def _mark_buyers(self, event: TransactionExecuted) -> None:
        record = event.record
        for balance in record.post_token_balances:
            trap = self._traps.get(balance.mint)
            if trap is None or trap.is_over or balance.owner in self._accomplices or balance.owner == trap.curve:
                continue
            index = balance.account_index
            before = next((b.amount for b in record.pre_token_balances if b.account_index == index), 0)
            token_account = event.account_keys[index]
            if balance.amount <= before or token_account in trap.marked:
                continue
            if len(self._waiting) >= MAX_FREEZES:
                self.spared += 1
                continue
            trap.marked.add(token_account)
            slot = Slot(record.slot + FREEZE_AFTER_SLOTS)
            self._waiting.append(_Freeze(slot=slot, mint=balance.mint, token_account=token_account))
