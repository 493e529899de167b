"""When, how much and how urgently a position is sold: a pure machine of states, times, signals and fills.

Rules are measured in lamports for the whole rest that is held: what it would bring now, fees off, against its share of
what the buy was quoted at. Partial sells shrink both sides alike.

What is to be sold and what is under way are kept apart. A sell that failed is tried again with a looser limit until it
is done or given up; its trigger is not asked again. In an emergency everything held is sold at once, even where a
smaller sell is still under way: whichever lands first, the other finds too few tokens and fails, so nothing is sold
twice. That is safe for sells alone.
"""

from slotzero.clock import add_ms, elapsed_ns, is_due, later, ms
from slotzero.trading.exit_rules.records import (
    Closed,
    ExitCommand,
    ExitReason,
    ExitRules,
    ExitSignal,
    ExitView,
    FailedFor,
    GiveUp,
    Graduated,
    Note,
    Sell,
    SellPricer,
    Urgency,
)
from slotzero.units import BPS, Lamports, MonoNs, TokenAmount
from slotzero.venues.market import PoolState

__all__ = ["ExitMachine"]


class ExitMachine:
    """One open position.

    Every `on_...` returns what to do now, in order. Afterwards `next_deadline` says when to call `on_time`.

    Args:
        pricer: Where it is sold.
        tokens: What is held, positive.
        quoted_lamports: What `bought` were quoted at when bought.
        opened_at: When the buy was confirmed.
        rules: The `[exits]` section.
        bought: What the buy brought, for a position an earlier run has sold a part of; None = `tokens`. Steps of the
            ladder that the part sold pays for count as taken.
    """

    def __init__(
        self,
        pricer: SellPricer,
        *,
        tokens: TokenAmount,
        quoted_lamports: Lamports,
        opened_at: MonoNs,
        rules: ExitRules,
        bought: TokenAmount | None = None,
    ) -> None:
        if tokens <= 0:
            raise ValueError(f"a position has tokens, got {tokens}")
        self.pricer = pricer
        """May be another from one call to the next: what it sells at has changed."""
        self._rules = rules
        self._bought = max(int(tokens), int(bought or 0))
        self._quoted = int(quoted_lamports)
        self._opened_at = opened_at
        self._too_old_at = add_ms(opened_at, rules.max_hold_ms)
        self._held = int(tokens)
        self._sold = self._received = self._lost = 0
        self._value: int | None = None
        self._state: PoolState | None = None
        self._rung = 0
        self._cumulative_bps = 0
        self._peak = 0
        """The highest value since the trailing stop was armed; 0 = it is not."""
        self._is_at_break_even = False
        self._tight: int | None = None
        self._tightens_next = False
        self._wanted = 0
        self._reason: ExitReason = "take_profit"
        self._urgency: Urgency = "normal"
        self._exits_all = self._is_stuck = self._has_graduated = False
        self._selling: dict[int, int] = {}
        self._overtaker: int | None = None
        self._next_id = 1
        self._attempt = 0
        self._retry_at: MonoNs | None = None
        self._pass_rungs(self._bought - self._held)
        self._measure()

    # ---- what happens ----------------------------------------------------------------------------------------------

    def on_state(self, state: PoolState, now: MonoNs) -> list[ExitCommand]:
        """Take the pool's state: value the rest anew and apply the rules. *Hot path* (about 5 us)."""
        self._state = state
        self._revalue()
        had_graduated, self._has_graduated = self._has_graduated, state.is_complete
        if state.is_complete and not had_graduated and self._held:
            return [Graduated()]
        return self._decide(now)

    def on_time(self, now: MonoNs) -> list[ExitCommand]:
        """Apply the rules at `now` to the newest state."""
        return self._decide(now)

    def on_signal(self, signal: ExitSignal, now: MonoNs) -> list[ExitCommand]:
        """Take a signal: a rug alert, an order by hand, the end of the run, a late verdict. *Hot path.*"""
        commands: list[ExitCommand] = []
        if signal.held_tokens is not None:
            commands += self._lose(signal.held_tokens)
        if not self._held:
            return commands
        match signal.act:
            case "note":
                return [*commands, Note(detail=signal.detail)]
            case "tighten":
                self._tightens_next = True
                self._tighten()
                commands.append(Note(detail=f"stop tightened, {signal.detail}"))
            case "exit_now":
                self._want(signal)
        return commands + self._decide(now)

    def on_fill(self, sell: int, *, tokens_sold: int, received: int, now: MonoNs) -> list[ExitCommand]:
        """Take a sell that landed, perhaps in part; what it left is sold again. An unknown number is passed over.

        Args:
            sell: Its number.
            tokens_sold: What has left our account by it; 0 counts as a failure.
            received: What it brought, in lamports.
            now: When that became known.
        """
        if sell not in self._selling:
            return []
        if tokens_sold <= 0:
            return self.on_failed(sell, "other", now)
        self._forget(sell)
        sold = min(tokens_sold, self._held)
        self._sold += sold
        self._received += received
        self._wanted = max(self._wanted - sold, 0)
        self._attempt, self._retry_at, self._is_stuck = 0, None, False
        self._keep(self._held - sold)
        return self._closed() or self._decide(now)

    def on_failed(self, sell: int, cause: FailedFor, now: MonoNs) -> list[ExitCommand]:
        """Take a sell that has not happened and no longer can. An unknown number is passed over."""
        if sell not in self._selling:
            return []
        was_overtaken = self._overtaker is not None and sell != self._overtaker
        self._forget(sell)
        if was_overtaken or not self._held:  # it lost against the emergency sell: no failure of ours
            return self._decide(now)
        if cause != "unsent":  # no endpoint took it: nothing was attempted
            self._attempt += 1
        most = self._rules.max_emergency_attempts if self._urgency == "emergency" else self._rules.max_attempts
        if self._attempt >= most:
            return self._give_up()
        self._retry_at = None if cause == "price" else add_ms(now, self._rules.retry_ms)
        return self._decide(now)

    def on_balance(self, tokens: int) -> list[ExitCommand]:
        """Take what our account holds where that is less than it should be. More is a stranger's gift: no position."""
        return self._lose(tokens)

    def next_deadline(self) -> MonoNs | None:
        """Return when `on_time` next has something to do, or None when only an event can change anything."""
        if not self._held or self._is_kept:
            return None
        found: list[MonoNs] = []
        if self._retry_at is not None and self._to_sell():
            found.append(self._retry_at)
        if not self._exits_all:
            found.append(self._too_old_at)
            if (decayed := self._decays_at()) is not None:
                found.append(decayed)
        return min(found, default=None)

    # ---- looking inside --------------------------------------------------------------------------------------------

    def view(self, now: MonoNs) -> ExitView:
        """Return the machine as a page shows it. *Pure.*"""
        stop, reason = self._stop(now)
        return ExitView(
            held_tokens=TokenAmount(self._held),
            sold_tokens=TokenAmount(self._sold),
            selling_tokens=TokenAmount(min(sum(self._selling.values()), self._held)),
            received_lamports=Lamports(self._received),
            value_lamports=None if self._value is None else Lamports(self._value),
            stop_lamports=Lamports(stop),
            stop_reason=reason,
            rungs_left=len(self._rules.ladder) - self._rung,
            exit=self._reason if self._exits_all else None,
            is_graduated=self._is_kept,
            is_stuck=self._is_stuck,
        )

    @property
    def value_lamports(self) -> Lamports | None:
        """What the rest would bring now, venue fees taken off; None when that is not known."""
        return None if self._value is None else Lamports(self._value)

    @property
    def _is_kept(self) -> bool:
        return self._state is not None and self._state.is_complete

    # ---- the rules -------------------------------------------------------------------------------------------------

    def _decide(self, now: MonoNs) -> list[ExitCommand]:
        if not self._held or self._is_kept:
            return []
        if not self._exits_all:
            self._apply(now)
        return self._issue(now)

    def _apply(self, now: MonoNs) -> None:
        """Apply the rules in the order take profit, stops, age."""
        value = self._value
        if value is not None:
            self._climb(value)
            if self._exits_all:
                return
            if self._peak or (self._rules.trail_bps and value >= self._trail_arm_at):
                self._peak = max(value, self._peak)
            if self._rules.break_even_at_bps and value >= self._break_even_arm_at:
                self._is_at_break_even = True
            stop, reason = self._stop(now)
            if value <= stop:
                self._exit_all(reason)
                return
        if is_due(self._too_old_at, now):
            self._exit_all("max_hold")

    def _climb(self, value: int) -> None:
        """Take every rung that `value` has reached; each is taken once."""
        ladder = self._rules.ladder
        while self._rung < len(ladder) and value >= self._rung_at:
            before = self._bought * self._cumulative_bps // BPS
            self._cumulative_bps = min(self._cumulative_bps + ladder[self._rung].share_bps, BPS)
            share = self._bought * self._cumulative_bps // BPS - before
            self._rung += 1
            self._measure()
            if self._cumulative_bps == BPS or self._wanted + share >= self._held:
                self._exit_all("take_profit")
                return
            self._wanted += share
            self._reason = "take_profit"

    def _pass_rungs(self, sold: int) -> None:
        """Count the rungs that `sold` tokens pay for as taken."""
        for rung in self._rules.ladder[:-1]:
            share_bps = self._cumulative_bps + rung.share_bps
            if self._bought * share_bps // BPS > sold:
                return
            self._cumulative_bps = share_bps
            self._rung += 1

    def _stop(self, now: MonoNs) -> tuple[int, ExitReason]:
        """Return the highest of the stops in force at `now`, and whose it is."""
        level = self._stop_loss_at
        reason: ExitReason = "stop_loss"
        if self._rules.decay_to_ms and (decayed := self._below(self._decayed_bps(now))) > level:
            level, reason = decayed, "time_decay"
        if self._is_at_break_even and self._break_even_at > level:
            level, reason = self._break_even_at, "break_even"
        if self._peak and (trailed := self._peak * (BPS - self._rules.trail_bps) // BPS) > level:
            level, reason = trailed, "trailing_stop"
        if self._tight is not None and self._tight > level:
            level, reason = self._tight, "tightened"
        return level, reason

    def _decayed_bps(self, now: MonoNs) -> int:
        rules = self._rules
        start, span = ms(rules.decay_from_ms), ms(rules.decay_to_ms - rules.decay_from_ms)
        past = min(elapsed_ns(later(self._opened_at, start), now), span)
        return rules.stop_loss_bps - (rules.stop_loss_bps - rules.decay_stop_bps) * past // span

    def _decays_at(self) -> MonoNs | None:
        """Return when the tightening stop will have reached the present value; None when it never will."""
        rules, value = self._rules, self._value
        if not rules.decay_to_ms or value is None or not self._basis:
            return None
        most_bps = BPS - (-(-value * BPS // self._basis))  # value <= stop as soon as the stop's bps are at most this
        steps, drop = rules.stop_loss_bps - rules.decay_stop_bps, rules.stop_loss_bps - most_bps
        if drop <= 0 or drop > steps:
            return None
        span = ms(rules.decay_to_ms - rules.decay_from_ms)
        return later(add_ms(self._opened_at, rules.decay_from_ms), -(-drop * span // steps))

    def _below(self, bps: int) -> int:
        return self._basis * (BPS - bps) // BPS

    # ---- what is to be sold ----------------------------------------------------------------------------------------

    def _want(self, signal: ExitSignal) -> None:
        if signal.urgency == "emergency" and self._urgency != "emergency":
            self._urgency, self._attempt, self._retry_at = "emergency", 0, None
        if self._is_stuck:
            self._is_stuck, self._attempt, self._retry_at = False, 0, None
        if signal.share_bps < BPS and signal.urgency == "normal":
            self._wanted = min(self._wanted + self._held * signal.share_bps // BPS, self._held)
            if not self._exits_all:
                self._reason = signal.reason
            return
        if not self._exits_all or signal.urgency == "emergency":
            self._exit_all(signal.reason)

    def _exit_all(self, reason: ExitReason) -> None:
        self._exits_all, self._wanted, self._reason = True, self._held, reason

    def _to_sell(self) -> int:
        """Return how many tokens are to be sold and not under way yet."""
        if self._is_stuck or self._overtaker is not None:
            return 0
        if self._urgency == "emergency" and self._exits_all:
            return self._held
        return max(min(self._wanted, self._held) - sum(self._selling.values()), 0)

    def _issue(self, now: MonoNs) -> list[ExitCommand]:
        tokens = self._to_sell()
        if not tokens or (self._retry_at is not None and not is_due(self._retry_at, now)):
            return []
        self._retry_at = None
        is_emergency = self._urgency == "emergency"
        ladder = self._rules.emergency_ladder_bps if is_emergency else self._rules.slippage_ladder_bps
        sell = Sell(
            id=self._next_id,
            tokens=TokenAmount(tokens),
            reason=self._reason,
            urgency=self._urgency,
            slippage_bps=ladder[min(self._attempt, len(ladder) - 1)],
            attempt=self._attempt,
            is_all=tokens == self._held,
            competes_with=tuple(self._selling) if is_emergency else (),
        )
        self._next_id += 1
        self._selling[sell.id] = tokens
        if is_emergency:
            self._overtaker = sell.id
        return [sell]

    def _forget(self, sell: int) -> None:
        del self._selling[sell]
        if sell == self._overtaker:
            self._overtaker = None

    def _give_up(self) -> list[ExitCommand]:
        gave_up = GiveUp(reason=self._reason, attempts=self._attempt, is_all=self._exits_all)
        self._attempt, self._retry_at = 0, None
        if self._exits_all:
            self._is_stuck = True
        else:  # a rung, or a part by hand: the rest goes on under its rules
            self._wanted = sum(self._selling.values())
        return [gave_up]

    # ---- what is held ----------------------------------------------------------------------------------------------

    def _lose(self, tokens: int) -> list[ExitCommand]:
        if tokens >= self._held:
            return []
        self._lost += self._held - tokens
        self._keep(tokens)
        return self._closed()

    def _keep(self, tokens: int) -> None:
        """Hold `tokens` from now on; what is measured in lamports for the whole rest shrinks with it."""
        before, self._held = self._held, tokens
        if not before:  # a sell has landed after its tokens were gone
            return
        self._peak = self._peak * tokens // before
        if self._tight is not None:
            self._tight = self._tight * tokens // before
        self._measure()
        self._revalue()

    def _closed(self) -> list[ExitCommand]:
        if self._held:
            return []
        return [Closed(received_lamports=Lamports(self._received), lost_tokens=TokenAmount(self._lost))]

    def _revalue(self) -> None:
        self._value = None
        if self._state is not None and self._held:
            quote = self.pricer.quote_sell(self._state.reserves, TokenAmount(self._held))
            self._value = None if quote is None else int(quote.net)
        self._tighten()

    def _tighten(self) -> None:
        """Draw the stop closer to the present value, or to the next one that is known."""
        if self._tightens_next and self._value is not None:
            self._tightens_next = False
            self._tight = max(self._tight or 0, self._value * (BPS - self._rules.tighten_bps) // BPS)

    def _measure(self) -> None:
        """Work out the thresholds of the rest, once for each change of it."""
        rules = self._rules
        self._basis = self._quoted * self._held // self._bought
        self._stop_loss_at = self._below(rules.stop_loss_bps)
        self._trail_arm_at = self._below(-rules.trail_arm_bps)
        self._break_even_arm_at = self._below(-rules.break_even_at_bps)
        self._break_even_at = self._below(-rules.break_even_offset_bps)
        if self._rung < len(rules.ladder):
            self._rung_at = self._below(-rules.ladder[self._rung].gain_bps)
