"""What the exit machine is told, what it commands, and the rules it follows."""

from typing import Final, Literal, Protocol

from msgspec import Struct

from slotzero.trading.rug_rules import RugAct, RugAlert
from slotzero.units import BPS, Lamports, TokenAmount
from slotzero.venues.records import Reserves, SellQuote

__all__ = [
    "DRAIN",
    "HONEYPOT",
    "Closed",
    "ExitCommand",
    "ExitReason",
    "ExitRules",
    "ExitSignal",
    "ExitView",
    "FailedFor",
    "GiveUp",
    "Graduated",
    "Note",
    "Rung",
    "Sell",
    "SellPricer",
    "Urgency",
    "manual_signal",
    "rug_signal",
    "rule_problems",
]

ExitReason = Literal[
    "take_profit",
    "stop_loss",
    "trailing_stop",
    "break_even",
    "time_decay",
    "tightened",
    "max_hold",
    "honeypot",
    "rug",
    "manual",
    "drain",
]
"""Why a position is sold; "tightened" = a stop that a milder rug signal drew closer."""
Urgency = Literal["normal", "emergency"]
FailedFor = Literal["price", "unsent", "other"]
"""Why a sell did not happen: the price had moved beyond its limit; it expired and no endpoint had ever taken it (which
is no attempt); or anything else (expired, no path, not priced)."""


class Rung(Struct, frozen=True, kw_only=True):
    """One step of the take-profit ladder: at a gain of `gain_bps`, sell `share_bps` of what was bought."""

    gain_bps: int
    share_bps: int


class ExitRules(Struct, frozen=True, kw_only=True):
    """When a position is sold. Gains and losses are measured from what the tokens were quoted at; 0 = rule is off.

    Attributes:
        ladder: In ascending order of gain; shares that reach 10,000 together sell everything with the last rung.
        trail_arm_bps: The gain from which on the highest value is followed by a stop `trail_bps` below it.
        break_even_at_bps: The gain that moves the stop up to the entry, plus `break_even_offset_bps`.
        decay_from_ms: From this age on the stop loss tightens linearly, until it is `decay_stop_bps` at `decay_to_ms`.
        tighten_bps: How far below the value of that moment a rug signal that only tightens puts the stop.
        slippage_ladder_bps: What the first, second ... attempt accepts below the quote; the last one repeats.
        emergency_ladder_bps: The same in an emergency; 10,000 = any price.
        retry_ms: The pause after an attempt that failed for another reason than the price.
        max_attempts: Attempts without any progress before a sell is given up; likewise in an emergency.
    """

    ladder: tuple[Rung, ...] = (Rung(gain_bps=2_500, share_bps=BPS),)
    stop_loss_bps: int = 2_000
    trail_arm_bps: int = 0
    trail_bps: int = 0
    break_even_at_bps: int = 0
    break_even_offset_bps: int = 0
    max_hold_ms: int = 8_000
    decay_from_ms: int = 0
    decay_to_ms: int = 0
    decay_stop_bps: int = 0
    tighten_bps: int = 500
    slippage_ladder_bps: tuple[int, ...] = (1_500, 3_000, 6_000, BPS)
    emergency_ladder_bps: tuple[int, ...] = (BPS,)
    retry_ms: int = 200
    max_attempts: int = 5
    max_emergency_attempts: int = 20


def rule_problems(rules: ExitRules) -> list[str]:
    """Return what is wrong with rules that come from outside, one sentence each; none when they fit. *Pure.*"""
    problems: list[str] = []
    gains = [rung.gain_bps for rung in rules.ladder]
    shares = [rung.share_bps for rung in rules.ladder]
    if any(gain < 1 for gain in gains) or gains != sorted(set(gains)):
        problems.append(f"the ladder's gains must be above 0 and ascend, they were {gains}")
    if any(share < 1 for share in shares) or sum(shares) > BPS:
        problems.append(f"the ladder's shares must be above 0 and at most {BPS} together, they were {shares}")
    if not 0 <= rules.trail_bps < BPS:
        problems.append(f"a trailing stop must lie less than {BPS} bps below, it was {rules.trail_bps}")
    if rules.break_even_offset_bps >= rules.break_even_at_bps > 0:
        problems.append("the break-even stop must lie below the gain that arms it")
    if rules.decay_to_ms and not (
        rules.decay_from_ms < rules.decay_to_ms and rules.decay_stop_bps < rules.stop_loss_bps
    ):
        problems.append("time decay must end after it begins, at a stop tighter than the stop loss")
    if not rules.slippage_ladder_bps or not rules.emergency_ladder_bps:
        problems.append("both slippage ladders need at least one step")
    if any(not 0 <= step <= BPS for step in (*rules.slippage_ladder_bps, *rules.emergency_ladder_bps)):
        problems.append(f"a step of a slippage ladder must be between 0 and {BPS} bps")
    return problems


class SellPricer(Protocol):
    """What the machine asks of a `Market`."""

    def quote_sell(self, reserves: Reserves, tokens: TokenAmount) -> SellQuote | None:
        """Return what a sell brings, or None when the pool cannot serve it."""
        ...


class ExitSignal(Struct, frozen=True, kw_only=True):
    """Something beside price and time that bears on the position.

    Attributes:
        share_bps: How much of what is held to sell, where `act` is "exit_now"; an emergency sells everything.
        held_tokens: What is left of the tokens where some were taken from us, else None.
    """

    act: RugAct
    reason: ExitReason
    urgency: Urgency
    detail: str
    share_bps: int = BPS
    held_tokens: TokenAmount | None = None


DRAIN: Final = ExitSignal(act="exit_now", reason="drain", urgency="normal", detail="the run is ending")
HONEYPOT: Final = ExitSignal(
    act="exit_now", reason="honeypot", urgency="emergency", detail="the verdict came after the buy"
)


def rug_signal(alert: RugAlert) -> ExitSignal:
    """Return what the rug watch's alert means to the exit machine. *Pure.*"""
    return ExitSignal(
        act=alert.act,
        reason="rug",
        urgency="emergency",
        detail=f"{alert.signal}: {alert.detail}",
        held_tokens=alert.held_tokens,
    )


def manual_signal(share_bps: int = BPS, *, urgency: Urgency = "normal") -> ExitSignal:
    """Return a person's order to sell a share of what is held; in an emergency everything is sold. *Pure.*

    Raises:
        ValueError: The share is not above 0 and at most 10,000.
    """
    if not 0 < share_bps <= BPS:
        raise ValueError(f"a share is above 0 and at most {BPS} bps, got {share_bps}")
    return ExitSignal(act="exit_now", reason="manual", urgency=urgency, detail="by hand", share_bps=share_bps)


class Sell(Struct, frozen=True, kw_only=True, tag=True):
    """Sell `tokens` now, priced from the current pool.

    Attributes:
        id: Its number, for `on_fill` and `on_failed`.
        slippage_bps: How much less than quoted is accepted; 10,000 = any price.
        attempt: How many attempts without progress came before it.
        is_all: Everything that is held.
        competes_with: Sells under way that it overtakes: at most one of them and it can land, since the tokens are
            there only once. Only in an emergency.
    """

    id: int
    tokens: TokenAmount
    reason: ExitReason
    urgency: Urgency
    slippage_bps: int
    attempt: int
    is_all: bool
    competes_with: tuple[int, ...] = ()


class Note(Struct, frozen=True, kw_only=True, tag=True):
    """Worth writing down; nothing is sold for it."""

    detail: str


class Graduated(Struct, frozen=True, kw_only=True, tag=True):
    """The pool is complete: nothing trades there any more, the position is kept and shown."""


class GiveUp(Struct, frozen=True, kw_only=True, tag=True):
    """Every attempt failed. What is held is kept and shown; a later signal tries anew.

    Attributes:
        is_all: All that is held was to be sold; else it was a part, and the rest goes on under its rules.
    """

    reason: ExitReason
    attempts: int
    is_all: bool


class Closed(Struct, frozen=True, kw_only=True, tag=True):
    """Nothing is held any more. `lost_tokens` were not sold but taken from us."""

    received_lamports: Lamports
    lost_tokens: TokenAmount


ExitCommand = Sell | Note | Graduated | GiveUp | Closed


class ExitView(Struct, frozen=True, kw_only=True):
    """The machine as a page shows it.

    Attributes:
        value_lamports: What the rest would bring now; None when that is not known.
        stop_lamports: At or below this value the rest is sold; `stop_reason` says which rule put it there.
        rungs_left: Steps of the ladder not taken yet.
    """

    held_tokens: TokenAmount
    sold_tokens: TokenAmount
    selling_tokens: TokenAmount
    received_lamports: Lamports
    value_lamports: Lamports | None
    stop_lamports: Lamports
    stop_reason: ExitReason
    rungs_left: int
    exit: ExitReason | None
    is_graduated: bool
    is_stuck: bool
