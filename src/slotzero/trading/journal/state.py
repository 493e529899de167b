"""The state folded from the journal's events: intents, and the positions that landed buys opened."""

from collections import Counter
from typing import Final, Literal, assert_never

from msgspec import Struct
from solders.pubkey import Pubkey

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
    PositionStuck,
)
from slotzero.units import Lamports, LamportsDelta, Slot, TokenAmount, WallNs
from slotzero.venues.records import NewPool

__all__ = ["Intent", "IntentState", "JournalState", "PositionRecord"]

IntentState = Literal["signed", "sent", "unknown", "landed", "failed", "expired", "abandoned"]
_Outcome = IntentSent | IntentExpired | IntentUnknown | IntentAbandoned | IntentFailed | IntentLanded
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
    """What is held of one mint after a buy landed.

    Attributes:
        id: The buy's intent.
        bought: What the buy brought; `tokens` is what is left of it.
        quoted_lamports: What they were quoted at, venue fees included: what exits are measured from.
        pnl_lamports: The sum of every balance change this position has caused so far; final when closed.
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
    """The fold of one chain's events."""

    def __init__(self) -> None:
        self.intents: dict[str, Intent] = {}
        self.positions: dict[str, PositionRecord] = {}
        self.double_buys = 0
        """Mints of which more than one buy has landed."""
        self._open: dict[str, Intent] = {}
        self._held_positions: dict[str, PositionRecord] = {}
        self._landed_mints: Counter[Pubkey] = Counter()
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
            self._held(event.position).sells += 1
        elif event.pool is None:
            raise ValueError(f"the buy {event.intent} carries no pool")
        self.intents[event.intent] = self._open[event.intent] = Intent(signed=event, signed_wall_ns=wall_ns)

    def _held(self, position_id: str | None) -> PositionRecord:
        position = self.positions.get(position_id or "")
        if position is None or position.state == "closed":
            raise ValueError(f"there is no open position {position_id}")
        return position

    def _advance(self, intent: Intent, event: _Outcome, wall_ns: WallNs) -> None:
        match event:
            case IntentSent():
                intent.state = "sent"
            case IntentExpired():
                intent.state = "expired"
            case IntentUnknown():
                intent.state, intent.reason = "unknown", event.reason
            case IntentAbandoned():
                intent.state, intent.reason = "abandoned", event.reason
            case IntentFailed():
                intent.state, intent.reason = "failed", event.reason
                self._settled(intent, event.slot, event.lamports_delta)
            case IntentLanded():
                intent.state = "landed"
                self._landed(intent, event, wall_ns)
            case _:
                assert_never(event)
        if not intent.is_open:
            del self._open[intent.signed.intent]

    def _settled(self, intent: Intent, slot: Slot, delta: LamportsDelta) -> None:
        intent.slot, intent.lamports_delta = slot, delta
        self._booked += delta
        position = self.positions.get(intent.signed.position or "")
        if position is not None:
            position.pnl_lamports = LamportsDelta(position.pnl_lamports + delta)

    def _landed(self, intent: Intent, event: IntentLanded, wall_ns: WallNs) -> None:
        self._settled(intent, event.slot, event.lamports_delta)
        signed = intent.signed
        if signed.side == "buy":
            assert signed.pool is not None, "a buy carries its pool"
            self._landed_mints[signed.mint] += 1
            self.double_buys += self._landed_mints[signed.mint] == 2  # noqa: PLR2004 counted once for each mint
            position = self.positions[signed.intent] = PositionRecord(
                id=signed.intent,
                pool=signed.pool,
                wallet=signed.wallet,
                bought=event.tokens_held,
                tokens=event.tokens_held,
                quoted_lamports=signed.quoted_lamports,
                opened_wall_ns=wall_ns,
                pnl_lamports=event.lamports_delta,
                state="open" if event.tokens_held > 0 else "closed",
                reason="" if event.tokens_held > 0 else "nothing_received",
            )
            if position.tokens:
                self._held_positions[position.id] = position
            return
        position = self.positions[signed.position or ""]
        # Tokens a stranger sends us are no part of the position; tokens taken from us are no longer in it.
        position.tokens = TokenAmount(min(max(position.tokens - signed.tokens, 0), event.tokens_held))
        position.state, position.reason = ("open" if position.tokens else "closed"), signed.reason
        if not position.tokens:
            self._held_positions.pop(position.id, None)
