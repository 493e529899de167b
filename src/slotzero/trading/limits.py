"""What may be risked: spending caps, open positions, a drawdown breaker and the kill switch. A pure machine.

The machine is a fold of the journal's own events, live and after a restart alike: `fold` over the journal gives the
limits as they stood. A buy counts from the moment it is signed, with the most it can cost; when it has landed, with
what it really took; when it can no longer land, with nothing. An unknown one keeps counting: it may have been spent.

Equity is what all landed transactions have changed in the wallet, plus what open positions would bring now; its
highest value so far is the high-water mark. Rent that a position will give back counts as lost until it has come back,
which errs on the safe side; and so does what is stuck, which would bring nothing now whatever its price says.

Windows are measured on the wall clock, since they must survive a restart. A clock that is set back makes amounts count
longer; one that is set forward frees them early, which nothing here can know.
"""

from collections.abc import Iterable
from typing import Final, Self, assert_never

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.trading.filters import Refusal
from slotzero.trading.journal import (
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
from slotzero.trading.sliding_sum import Entry, SlidingSum
from slotzero.units import NS_PER_MS, Lamports, LamportsDelta, WallNs

__all__ = ["Limits", "LimitsRules", "LimitsState", "LimitsView", "SpendRequest", "fold", "halt_changed"]

_HOUR_NS: Final = 3_600_000 * NS_PER_MS
_DAY_NS: Final = 24 * _HOUR_NS
_MAX_WALLETS: Final = 4_096
"""Beyond it a wallet that has never spent is refused: forgetting another's spending would lift its cap."""


class LimitsRules(Struct, frozen=True, kw_only=True):
    """The `[limits]` section; 0 = no such limit.

    Attributes:
        trade_lamports: The most one buy may spend at its slippage limit, rent and network fees not counted.
        hour_lamports: The most all buys of any 60 minutes may cost, rent and fees counted; likewise the day.
        wallet_day_lamports: The same for each wallet and any 24 hours.
        open_positions: Positions and buys under way together; what is stuck or has graduated takes no room.
        drawdown_lamports: How far equity may fall below its highest value before buying stops.
    """

    trade_lamports: Lamports = Lamports(0)
    hour_lamports: Lamports = Lamports(0)
    day_lamports: Lamports = Lamports(0)
    wallet_day_lamports: Lamports = Lamports(0)
    open_positions: int = 3
    drawdown_lamports: Lamports = Lamports(0)


class SpendRequest(Struct, frozen=True, kw_only=True):
    """A buy that is about to be signed; `lamports` is what it may spend at its slippage limit."""

    wallet: Pubkey
    lamports: Lamports


class LimitsState(Struct, frozen=True, kw_only=True):
    """What trades do not tell: written down as `HaltChanged` at each change.

    Attributes:
        killed: Why the kill switch is on; "" = it is off.
        tripped: Why the breaker has tripped; "" = it has not.
        high_water: The highest equity so far.
    """

    killed: str = ""
    tripped: str = ""
    high_water: LamportsDelta = LamportsDelta(0)


class LimitsView(Struct, frozen=True, kw_only=True):
    """The limits as a page shows them."""

    hour_lamports: Lamports
    day_lamports: Lamports
    buys_under_way: int
    open_positions: int
    equity: LamportsDelta
    high_water: LamportsDelta
    state: LimitsState


class _Open(Struct, kw_only=True):
    """An intent without an end: what it was charged, or which position it sells.

    Attributes:
        quoted: What a buy counts as in equity since its position was opened before it could be read; None = it was not.
    """

    signed: IntentSigned
    charges: tuple[Entry, ...]
    quoted: int | None = None


class _Position(Struct, kw_only=True):
    tokens: int
    value: int
    is_kept: bool = False
    """Whether it is stuck or graduated: held, but nothing that a new buy has to wait for."""


class Limits:
    """The limits of one run.

    Args:
        rules: The `[limits]` section.
        overhead_lamports: The most that rent and network fees add to a buy beyond its own limit.
    """

    def __init__(self, rules: LimitsRules, *, overhead_lamports: Lamports) -> None:
        self._rules = rules
        self._overhead = int(overhead_lamports)
        self._hour = SlidingSum(_HOUR_NS)
        self._day = SlidingSum(_DAY_NS)
        self._wallets: dict[Pubkey, SlidingSum] = {}
        self._open: dict[str, _Open] = {}
        self._buying = self._kept = 0
        self._positions: dict[str, _Position] = {}
        self._cash = self._values = 0
        self._killed = self._tripped = ""
        self._high_water = 0

    # ---- asking ----------------------------------------------------------------------------------------------------

    def check(self, request: SpendRequest, now: WallNs) -> Refusal | None:
        """Return the first limit a buy would break, or None. *Hot path* (about 2 us).

        Between this and `record` of the signed intent nothing may await, or another buy takes the same room.
        """
        rules, cost = self._rules, request.lamports + self._overhead
        if self._killed:
            return Refusal(reason="kill_switch", detail=f"the kill switch is on: {self._killed}")
        if self._tripped:
            return Refusal(reason="drawdown_breaker", detail=self._tripped)
        if 0 < rules.trade_lamports < request.lamports:
            detail = f"a buy of {request.lamports} lamports, the most is {rules.trade_lamports}"
            return Refusal(reason="limit_trade", detail=detail)
        open_now = self._buying + len(self._positions) - self._kept
        if 0 < rules.open_positions <= open_now:
            detail = f"{open_now} positions are open or being bought, the most is {rules.open_positions}"
            return Refusal(reason="limit_open_positions", detail=detail)
        wallet = self._wallets.get(request.wallet)
        if rules.wallet_day_lamports and wallet is None and len(self._wallets) >= _MAX_WALLETS:
            return Refusal(reason="limit_wallet", detail=f"{_MAX_WALLETS} wallets have spent already")
        for reason, window, most, span in (
            ("limit_wallet", wallet, rules.wallet_day_lamports, "24 hours with this wallet"),
            ("limit_hour", self._hour, rules.hour_lamports, "60 minutes"),
            ("limit_day", self._day, rules.day_lamports, "24 hours"),
        ):
            if not most:
                continue
            spent = 0 if window is None else window.total(now)
            if spent + cost > most:
                detail = f"{spent} lamports spent in {span}, {cost} more would exceed {most}"
                return Refusal(reason=reason, detail=detail)
        return None

    def view(self, now: WallNs) -> LimitsView:
        """Return the limits as a page shows them."""
        return LimitsView(
            hour_lamports=Lamports(self._hour.total(now)),
            day_lamports=Lamports(self._day.total(now)),
            buys_under_way=self._buying,
            open_positions=len(self._positions),
            equity=LamportsDelta(self._equity),
            high_water=LamportsDelta(self._high_water),
            state=self.state,
        )

    @property
    def state(self) -> LimitsState:
        """What trades do not tell, for keeping."""
        return LimitsState(killed=self._killed, tripped=self._tripped, high_water=LamportsDelta(self._high_water))

    @property
    def is_halted(self) -> bool:
        """Whether nothing is bought at all until a person says so."""
        return bool(self._killed or self._tripped)

    # ---- being told ------------------------------------------------------------------------------------------------

    def record(self, event: Event, wall_ns: WallNs) -> None:
        """Fold one event of the journal in, in the journal's order. The same signed intent twice counts once.

        Raises:
            ValueError: It names an intent that is not open.
        """
        match event:
            case IntentSigned():
                self._signed(event, wall_ns)
            case HaltChanged():
                self._killed, self._tripped, self._high_water = event.killed, event.tripped, event.high_water
            case PositionOpened():
                self._opened_early(event)
            case PositionStuck():
                self._keep(event.intent)
                self.mark(event.intent, Lamports(0))
            case PositionGraduated():
                self._keep(event.intent)
            case ExternalTransfer() | IntentSent() | IntentUnknown():
                pass  # no trade; may still land
            case IntentExpired() | IntentAbandoned() | IntentFailed() | IntentLanded():
                self._ended(event)
            case _:
                assert_never(event)

    def mark(self, position: str, value_lamports: Lamports | None) -> bool:
        """Take what an open position would bring now; None = not known, the last value stays. *Hot path.*

        A position that is not open is passed over. Returns whether this has tripped the breaker just now.
        """
        held = self._positions.get(position)
        if held is None or value_lamports is None:
            return False
        self._values += value_lamports - held.value
        held.value = value_lamports
        return self._weigh()

    def kill(self, reason: str) -> None:
        """Put the kill switch on: nothing is bought until `revive`. The first reason stays."""
        self._killed = self._killed or reason or "no reason was given"

    def revive(self) -> None:
        """Take the kill switch off. Only a person does that."""
        self._killed = ""

    def reset_breaker(self) -> None:
        """Let buying go on after a drawdown; it is measured from the present equity from now on."""
        self._tripped = ""
        self._high_water = self._equity

    def restore(self, state: LimitsState) -> None:
        """Take back what was kept before a restart, after `fold`."""
        self._killed, self._tripped = state.killed, state.tripped or self._tripped
        self._high_water = max(self._high_water, state.high_water)
        self._weigh()

    # ---- the fold --------------------------------------------------------------------------------------------------

    def _signed(self, event: IntentSigned, wall_ns: WallNs) -> None:
        if event.intent in self._open:
            return
        charges: tuple[Entry, ...] = ()
        if event.side == "buy":
            cost = event.limit_lamports + self._overhead
            wallet = self._wallets.get(event.wallet)
            if wallet is None and len(self._wallets) < _MAX_WALLETS:
                wallet = self._wallets[event.wallet] = SlidingSum(_DAY_NS)
            windows = (self._hour, self._day) if wallet is None else (self._hour, self._day, wallet)
            charges = tuple(window.add(wall_ns, cost) for window in windows)
            self._buying += 1
        self._open[event.intent] = _Open(signed=event, charges=charges)

    def _ended(self, event: IntentExpired | IntentAbandoned | IntentFailed | IntentLanded) -> None:
        intent = self._open.pop(event.intent, None)
        if intent is None:
            raise ValueError(f"{type(event).__name__} names intent {event.intent}, which is not open")
        if intent.quoted is not None:
            self._cash += intent.quoted
        elif intent.signed.side == "buy":
            self._buying -= 1
        match event:
            case IntentLanded():
                self._landed(intent, event)
            case IntentFailed():
                self._settle(intent, event.lamports_delta)
                self._drop(event.intent)
            case IntentExpired() | IntentAbandoned():
                self._charge(intent, 0)
                self._drop(event.intent)
        self._weigh()

    def _keep(self, position_id: str) -> None:
        position = self._positions.get(position_id)
        if position is not None and not position.is_kept:
            position.is_kept = True
            self._kept += 1

    def _charge(self, intent: _Open, lamports: int) -> None:
        signed = intent.signed
        windows = (self._hour, self._day, self._wallets.get(signed.wallet))
        for window, entry in zip(windows, intent.charges, strict=False):
            if window is not None:
                window.amend(entry, lamports)

    def _settle(self, intent: _Open, delta: int) -> None:
        """Take what a landed transaction changed in the wallet."""
        self._cash += delta
        self._charge(intent, max(-delta, 0))

    def _landed(self, intent: _Open, event: IntentLanded) -> None:
        self._settle(intent, event.lamports_delta)
        signed = intent.signed
        if signed.side == "buy":
            if event.tokens_held > 0 and intent.quoted is None:
                self._hold(signed.intent, event.tokens_held, max(-event.lamports_delta, 0))
            return
        position = self._positions.get(signed.position or "")
        if position is None:
            return
        left = min(max(position.tokens - signed.tokens, 0), event.tokens_held)
        value = position.value * left // max(position.tokens, 1)
        self._values += value - position.value
        position.tokens, position.value = left, value
        if not left:
            self._drop(signed.position or "")

    def _opened_early(self, event: PositionOpened) -> None:
        intent = self._open.get(event.intent)
        if intent is None or intent.signed.side != "buy" or intent.quoted is not None:
            raise ValueError(f"PositionOpened names intent {event.intent}, which is no open buy")
        self._buying -= 1
        intent.quoted = int(intent.signed.quoted_lamports)
        self._cash -= intent.quoted
        self._hold(event.intent, event.tokens_held, intent.quoted)

    def _hold(self, position_id: str, tokens: int, cost: int) -> None:
        """Add a position; it is worth its cost until it is first marked."""
        self._positions[position_id] = _Position(tokens=tokens, value=cost)
        self._values += cost

    def _drop(self, position_id: str) -> None:
        position = self._positions.pop(position_id, None)
        if position is not None:
            self._values -= position.value
            self._kept -= position.is_kept

    @property
    def _equity(self) -> int:
        return self._cash + self._values

    def _weigh(self) -> bool:
        """Compare equity with its high-water mark; return whether the breaker has tripped just now."""
        equity = self._equity
        self._high_water = max(self._high_water, equity)
        most = self._rules.drawdown_lamports
        if not most or self._tripped or self._high_water - equity < most:
            return False
        self._tripped = f"equity fell {self._high_water - equity} lamports below its highest, the most is {most}"
        return True

    @classmethod
    def folded(cls, rules: LimitsRules, events: Iterable[tuple[WallNs, Event]], *, overhead_lamports: Lamports) -> Self:
        """Return the limits as a journal's events leave them. *Pure.*"""
        limits = cls(rules, overhead_lamports=overhead_lamports)
        for wall_ns, event in events:
            limits.record(event, wall_ns)
        return limits


def fold(rules: LimitsRules, events: Iterable[tuple[WallNs, Event]], *, overhead_lamports: Lamports) -> Limits:
    """Return the limits as the events of one journal leave them, oldest first. *Pure.*

    A kill switch, a breaker that tripped on unrealised losses and a high-water mark of unrealised gains are known as of
    the newest `HaltChanged` among them.
    """
    return Limits.folded(rules, events, overhead_lamports=overhead_lamports)


def halt_changed(limits: Limits) -> HaltChanged:
    """Return what is to be written down of limits whose state has changed. *Pure.*"""
    state = limits.state
    return HaltChanged(killed=state.killed, tripped=state.tripped, high_water=state.high_water)
