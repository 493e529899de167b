"""The state folded from the journal's events: intents, and the positions that landed buys opened.

A *trade* is a buy with all its sells and the position it opened. Trades under way are all here, and the newest ones
that are over; older ones are on disk alone. What must be known of all of them is kept as sums.
"""

from collections import deque
from typing import Final, Literal, assert_never

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.recent import Recent
from slotzero.trading.journal.events import (
    Event,
    ExternalTransfer,
    HaltChanged,
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSent,
    IntentSigned,
    IntentUnknown,
    PositionGraduated,
    PositionOpened,
    PositionStuck,
)
from slotzero.trading.journal.purchases import Purchases
from slotzero.units import Lamports, LamportsDelta, Slot, TokenAmount, WallNs
from slotzero.venues.records import NewPool

__all__ = ["KEPT_MINTS", "Intent", "IntentState", "JournalState", "PositionRecord"]

KEPT_TRADES: Final = 2_048
"""Trades that are over and still here: some 6 kB each."""
KEPT_MINTS: Final = 16_384
"""The newest mints that are known without asking the store, which knows all of them."""

IntentState = Literal["signed", "sent", "unknown", "landed", "failed", "expired", "abandoned"]
_Advance = IntentSent | IntentExpired | IntentUnknown | IntentAbandoned | IntentFailed | IntentLanded | PositionOpened
OPEN_STATES: Final = frozenset({"signed", "sent", "unknown"})


class Intent(Struct, kw_only=True):
    """One intent and how far it has come."""

    signed: IntentSigned
    signed_wall_ns: WallNs = WallNs(0)
    state: IntentState = "signed"
    slot: Slot | None = None
    lamports_delta: LamportsDelta = LamportsDelta(0)
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the chain still has to be asked what became of it."""
        return self.state in OPEN_STATES


class PositionRecord(Struct, kw_only=True):
    """What is held of one mint after a buy was confirmed.

    Attributes:
        id: The buy's intent.
        bought: What the buy brought; `tokens` is what is left of it.
        quoted_lamports: What they were quoted at, venue fees included: what exits are measured from.
        pnl_lamports: The sum of every balance change this position has caused so far; final when closed and its buy has
            landed. Until the buy's transaction could be read it counts as its quote.
        sells: How many sells of it have been signed.
    """

    id: str
    pool: NewPool
    wallet: Pubkey
    bought: TokenAmount
    tokens: TokenAmount
    quoted_lamports: Lamports
    opened_wall_ns: WallNs
    pnl_lamports: LamportsDelta
    state: Literal["open", "stuck", "graduated", "closed"] = "open"
    reason: str = ""
    sells: int = 0


class JournalState:
    """The fold of one chain's events.

    Args:
        kept: How many trades that are over are kept; None = all, for whoever looks at a journal as a whole.

    Attributes:
        intents: By id: those of the trades under way, and of the newest that are over; likewise `positions`.
        forgotten_positions: How many closed positions are no longer here.
        forgotten_pnl_lamports: What those have brought.
        double_buys: Mints of which more than one buy has landed (of the newest 16,384, unless all is kept).
        bought_mints: The newest that a buy was signed of.
        traded: Every venue and wallet that bought there.
        newest_slot: In which anything of ours has landed.
        purchases: What each wallet has bought.
    """

    def __init__(self, *, kept: int | None = KEPT_TRADES) -> None:
        self.intents: dict[str, Intent] = {}
        self.positions: dict[str, PositionRecord] = {}
        self.forgotten_positions = 0
        self.forgotten_pnl_lamports = LamportsDelta(0)
        self.double_buys = 0
        known = None if kept is None else KEPT_MINTS
        self.bought_mints: Recent[Pubkey] = Recent(known)
        self.traded: set[tuple[str, Pubkey]] = set()
        self.newest_slot: Slot | None = None
        self.purchases = Purchases()
        self._kept = kept
        self._trades: dict[str, list[Intent]] = {}
        """Each trade's intents by the buy's id, which is the position's as well; the buy comes first."""
        self._over: deque[str] = deque()
        self._open: dict[str, Intent] = {}
        self._held_positions: dict[str, PositionRecord] = {}
        self._landed_mints: Recent[Pubkey] = Recent(known)
        self._doubled: set[Pubkey] = set()
        self._booked = 0
        self.external_lamports = LamportsDelta(0)
        """What came in and left by no intent of ours."""
        self.funded: set[Pubkey] = set()
        """The wallets of which that is known."""
        self.halt = HaltChanged(killed="", tripped="", high_water=LamportsDelta(0))
        """What stops buying until a person lets it go on."""

    @property
    def expected_lamports(self) -> int:
        """What the wallets of this journal must hold together, by what it says."""
        return self.external_lamports + self._booked

    def open_intents(self) -> list[Intent]:
        """Return the intents the chain has to be asked about, oldest first."""
        return list(self._open.values())

    def held_positions(self) -> list[PositionRecord]:
        """Return the positions with tokens in them, stuck ones included, oldest first."""
        return list(self._held_positions.values())

    def sells_of(self, position_id: str) -> list[IntentSigned]:
        """Return every sell of a position that was signed, oldest first."""
        return [intent.signed for intent in self._trades.get(position_id, ())[1:]]

    def apply(self, event: Event, wall_ns: WallNs) -> None:
        """Fold one event in. *Pure* but for this object.

        Raises:
            ValueError: The event does not fit the state: an unknown intent or position, or one that has ended.
        """
        if isinstance(event, ExternalTransfer):
            self.external_lamports = LamportsDelta(self.external_lamports + event.lamports_delta)
            self.funded.add(event.wallet)
            return
        if isinstance(event, HaltChanged):
            self.halt = event
            return
        if isinstance(event, IntentSigned):
            self._signed(event, wall_ns)
            return
        intent = self.intents.get(event.intent)
        if intent is None:
            raise ValueError(f"{type(event).__name__} names intent {event.intent}, which the journal does not know")
        if isinstance(event, PositionStuck):
            position = self._held(event.intent)
            position.state, position.reason = "stuck", event.reason
        elif isinstance(event, PositionGraduated):
            position = self._held(event.intent)
            position.state, position.reason = "graduated", "its curve is complete and trades elsewhere"
        elif not intent.is_open:
            raise ValueError(f"intent {event.intent} has ended ({intent.state}) before {type(event).__name__}")
        elif isinstance(event, IntentAbandoned) and intent.state != "signed":
            raise ValueError(f"intent {event.intent} was {intent.state} and cannot be abandoned: it may land")
        else:
            self._advance(intent, event, wall_ns)

    def _signed(self, event: IntentSigned, wall_ns: WallNs) -> None:
        if event.intent in self.intents:
            raise ValueError(f"intent {event.intent} is already in the journal")
        if event.side == "sell":
            position = self._held(event.position)
            position.sells += 1
            trade = self._trades[position.id]
        elif event.pool is None:
            raise ValueError(f"the buy {event.intent} carries no pool")
        else:
            trade = self._trades[event.intent] = []
            self.bought_mints.add(event.mint)
            self.traded.add((event.pool.venue, event.wallet))
        intent = self.intents[event.intent] = self._open[event.intent] = Intent(signed=event, signed_wall_ns=wall_ns)
        trade.append(intent)

    def _held(self, position_id: str | None) -> PositionRecord:
        position = self.positions.get(position_id or "")
        if position is None or position.state == "closed":
            raise ValueError(f"there is no open position {position_id}")
        return position

    def _advance(self, intent: Intent, event: _Advance, wall_ns: WallNs) -> None:
        match event:
            case IntentSent():
                intent.state = "sent"
            case PositionOpened():
                self._opened_early(intent, event, wall_ns)
            case IntentExpired():
                intent.state = "expired"
                self._never_bought(intent)
            case IntentUnknown():
                intent.state, intent.reason = "unknown", event.reason
            case IntentAbandoned():
                intent.state, intent.reason = "abandoned", event.reason
            case IntentFailed():
                intent.state, intent.reason = "failed", event.reason
                self._settled(intent, event.slot, event.lamports_delta)
                self._never_bought(intent)
            case IntentLanded():
                intent.state = "landed"
                self._landed(intent, event, wall_ns)
            case _:
                assert_never(event)
        if not intent.is_open:
            del self._open[intent.signed.intent]
            self._end_trade(intent.signed.position or intent.signed.intent)

    def _end_trade(self, trade_id: str) -> None:
        """Where nothing of a trade is open any more, forget the oldest of those that are over."""
        position = self.positions.get(trade_id)
        is_held = position is not None and position.state != "closed"
        if is_held or any(intent.is_open for intent in self._trades[trade_id]):
            return
        self._over.append(trade_id)
        if self._kept is None or len(self._over) <= self._kept:
            return
        oldest = self._over.popleft()
        for intent in self._trades.pop(oldest):
            del self.intents[intent.signed.intent]
        if (closed := self.positions.pop(oldest, None)) is not None:
            self.forgotten_positions += 1
            self.forgotten_pnl_lamports = LamportsDelta(self.forgotten_pnl_lamports + closed.pnl_lamports)

    def _settled(self, intent: Intent, slot: Slot, delta: LamportsDelta) -> None:
        intent.slot, intent.lamports_delta = slot, delta
        self._booked += delta
        self.newest_slot = slot if self.newest_slot is None else max(self.newest_slot, slot)
        signed = intent.signed
        if signed.side == "buy":
            self.purchases.add(signed.wallet, spent=Lamports(max(-delta, 0)), at=intent.signed_wall_ns)
        position = self.positions.get(signed.position or "")
        if position is not None:
            position.pnl_lamports = LamportsDelta(position.pnl_lamports + delta)

    def _landed(self, intent: Intent, event: IntentLanded, wall_ns: WallNs) -> None:
        self._settled(intent, event.slot, event.lamports_delta)
        signed = intent.signed
        if signed.side == "buy":
            assert signed.pool is not None, "a buy carries its pool"
            if signed.mint in self._landed_mints and signed.mint not in self._doubled:
                self._doubled.add(signed.mint)
                self.double_buys += 1
            self._landed_mints.add(signed.mint)
            if (early := self.positions.get(signed.intent)) is not None:
                early.pnl_lamports = LamportsDelta(early.pnl_lamports + signed.quoted_lamports + event.lamports_delta)
            else:
                self._open_position(intent, signed.pool, event.tokens_held, event.lamports_delta, wall_ns)
            return
        position = self.positions[signed.position or ""]
        # Tokens a stranger sends us are no part of the position; tokens taken from us are no longer in it.
        position.tokens = TokenAmount(min(max(position.tokens - signed.tokens, 0), event.tokens_held))
        position.state, position.reason = ("open" if position.tokens else "closed"), signed.reason
        if not position.tokens:
            self._held_positions.pop(position.id, None)

    def _opened_early(self, intent: Intent, event: PositionOpened, wall_ns: WallNs) -> None:
        signed = intent.signed
        if signed.pool is None or signed.intent in self.positions or not event.tokens_held:
            raise ValueError(f"intent {signed.intent} opens no position of {event.tokens_held} units")
        intent.slot = event.slot
        if intent.state == "signed":
            intent.state = "sent"
        self._open_position(intent, signed.pool, event.tokens_held, LamportsDelta(-signed.quoted_lamports), wall_ns)

    def _open_position(
        self, intent: Intent, pool: NewPool, tokens: TokenAmount, pnl: LamportsDelta, wall_ns: WallNs
    ) -> None:
        signed = intent.signed
        position = self.positions[signed.intent] = PositionRecord(
            id=signed.intent,
            pool=pool,
            wallet=signed.wallet,
            bought=tokens,
            tokens=tokens,
            quoted_lamports=signed.quoted_lamports,
            opened_wall_ns=wall_ns,
            pnl_lamports=pnl,
            state="open" if tokens > 0 else "closed",
            reason="" if tokens > 0 else "nothing_received",
        )
        if position.tokens:
            self._held_positions[position.id] = position

    def _never_bought(self, intent: Intent) -> None:
        """Close what was opened early by a buy that has not landed after all: its confirmed block was dropped."""
        position = self.positions.get(intent.signed.intent)
        if position is None:
            return
        position.pnl_lamports = LamportsDelta(
            position.pnl_lamports + intent.signed.quoted_lamports + intent.lamports_delta
        )
        position.tokens, position.state, position.reason = TokenAmount(0), "closed", "not_bought"
        self._held_positions.pop(position.id, None)
