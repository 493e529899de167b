"""The exit machine under any order of events, beside a chain that lands what it can; and against the simple rules."""

from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from simple_exits import Holding
from slotzero.config import ExitsSettings
from slotzero.trading.exit_rules import (
    Closed,
    ExitCommand,
    ExitMachine,
    ExitRules,
    ExitSignal,
    Rung,
    Sell,
    manual_signal,
    rule_problems,
)
from slotzero.units import BPS, BasisPoints, Lamports, MonoNs, TokenAmount
from slotzero.venues.market import Market, PoolState
from slotzero.venues.records import Reserves, SellQuote

MS = 1_000_000


class PaperPool:
    """A constant product of two reserves, with one percent of fees; it cannot pay from nothing."""

    def quote_sell(self, reserves: Reserves, tokens: TokenAmount) -> SellQuote | None:
        out = tokens * reserves.virtual_quote // (reserves.virtual_token + tokens)
        fee = -(-out // 100)
        if out > reserves.real_quote:
            return None
        return SellQuote(
            tokens=tokens,
            out=Lamports(out),
            protocol_fee=Lamports(fee),
            creator_fee=Lamports(0),
            net=Lamports(out - fee),
        )


states = st.builds(
    PoolState,
    reserves=st.builds(
        Reserves,
        virtual_token=st.just(1_000_000),
        virtual_quote=st.integers(1, 4_000_000),
        real_token=st.just(1_000_000),
        real_quote=st.sampled_from([0, 10_000, 10**9]),
    ),
    is_complete=st.sampled_from([False] * 9 + [True]),
)


@st.composite
def rules(draw: st.DrawFn) -> ExitRules:
    gains = sorted(draw(st.sets(st.integers(1, 20_000), max_size=4)))
    shares = [draw(st.integers(1, BPS // len(gains))) for _ in gains]
    stop = draw(st.integers(1, 9_999))
    arm = draw(st.integers(0, 5_000))
    ends = draw(st.sampled_from([0, 50]))
    made = ExitRules(
        ladder=tuple(Rung(gain_bps=gain, share_bps=share) for gain, share in zip(gains, shares, strict=True)),
        stop_loss_bps=stop,
        trail_arm_bps=draw(st.integers(0, 5_000)),
        trail_bps=draw(st.integers(0, 5_000)),
        break_even_at_bps=arm,
        break_even_offset_bps=draw(st.integers(0, arm - 1)) if arm else 0,
        max_hold_ms=draw(st.integers(1, 200)),
        decay_from_ms=draw(st.integers(0, 49)) if ends else 0,
        decay_to_ms=ends,
        decay_stop_bps=draw(st.integers(0, stop - 1)) if ends else 0,
        retry_ms=draw(st.integers(1, 20)),
        max_attempts=draw(st.integers(1, 4)),
        max_emergency_attempts=draw(st.integers(1, 6)),
    )
    assert rule_problems(made) == []
    return made


signals = st.builds(
    ExitSignal,
    act=st.sampled_from(["exit_now", "tighten", "note"]),
    reason=st.sampled_from(["rug", "manual", "drain"]),
    urgency=st.sampled_from(["normal", "emergency"]),
    detail=st.just(""),
    share_bps=st.sampled_from([1, 2_500, BPS]),
    held_tokens=st.none(),
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.one_of(
            states,
            signals,
            st.just("time"),
            st.just("deadline"),
            st.tuples(st.sampled_from(["lands", "lands in part", "price", "other"]), st.integers(0, 9)),
            st.tuples(st.just("taken"), st.integers(0, 1_000)),
        ),
    ),
    max_size=60,
)


class Chain:
    """What the machine's sells meet: tokens that are there once, and a judge of every command."""

    def __init__(self, machine: ExitMachine, tokens: int, given: ExitRules) -> None:
        self.machine = machine
        self.rules = given
        self.tokens = tokens
        self.bought = tokens
        self.under_way: dict[int, Sell] = {}
        self.seen: list[Sell] = []
        self.is_complete = self.has_closed = False
        self.received = self.rungs = 0

    def take(self, commands: list[ExitCommand]) -> None:
        for command in commands:
            assert not self.has_closed, "nothing is commanded after the end"
            match command:
                case Sell():
                    self.judge(command)
                case Closed(received_lamports=received):
                    assert self.tokens == 0
                    assert received == self.received
                    self.has_closed = True
                case _:
                    pass

    def judge(self, sell: Sell) -> None:
        assert not self.is_complete, "nothing can be sold on a complete curve"
        assert 0 < sell.tokens <= self.tokens, "never more than is held"
        assert sell.is_all == (sell.tokens == self.tokens)
        assert not self.seen or sell.id > self.seen[-1].id
        competing = {self.under_way[other].id for other in sell.competes_with}
        apart = sum(other.tokens for other in self.under_way.values() if other.id not in competing)
        assert apart + sell.tokens <= self.tokens, "sells that do not compete fit beside each other"
        assert not competing or sell.urgency == "emergency"
        if sell.urgency == "emergency":
            assert all(other.urgency == "normal" for other in self.under_way.values())
        ladder = self.rules.emergency_ladder_bps if sell.urgency == "emergency" else self.rules.slippage_ladder_bps
        assert sell.slippage_bps == ladder[min(sell.attempt, len(ladder) - 1)]
        self.under_way[sell.id] = sell
        self.seen.append(sell)

    def settle(self, how: str, which: int, now: MonoNs) -> None:
        if not self.under_way:
            return
        number = sorted(self.under_way)[which % len(self.under_way)]
        sell = self.under_way.pop(number)
        if how.startswith("lands") and sell.tokens <= self.tokens:  # else the account holds too little: it fails
            sold = max(sell.tokens // 2, 1) if how == "lands in part" else sell.tokens
            self.tokens -= sold
            self.received += 7
            self.take(self.machine.on_fill(number, tokens_sold=sold, received=7, now=now))
        else:
            self.take(self.machine.on_failed(number, "other" if how == "other" else "price", now))

    def finish(self, now: int) -> None:
        """Whatever went before: orders in an emergency end it, a fresh one after each giving up."""
        for _ in range(100):
            if self.has_closed or self.is_complete:
                return
            if not self.under_way:
                now += 10**9
                self.take(self.machine.on_time(MonoNs(now)))
                self.take(self.machine.on_signal(manual_signal(urgency="emergency"), MonoNs(now)))
            self.settle("lands", 0, MonoNs(now))
        raise AssertionError("the position was never closed")


@settings(max_examples=200, deadline=None)
@given(given_rules=rules(), quoted=st.integers(1, 10**7), tokens=st.integers(1, 100_000), steps=STEPS)
def test_any_order_of_events_never_sells_more_than_is_held(
    given_rules: ExitRules, quoted: int, tokens: int, steps: list[tuple[int, object]]
) -> None:
    now = 10 * MS
    machine = ExitMachine(
        PaperPool(),
        tokens=TokenAmount(tokens),
        quoted_lamports=Lamports(quoted),
        opened_at=MonoNs(now),
        rules=given_rules,
    )
    chain = Chain(machine, tokens, given_rules)
    for later, step in steps:
        now += later * MS
        at = MonoNs(now)
        before = machine.view(at)
        match step:
            case PoolState():
                chain.is_complete = step.is_complete
                chain.take(machine.on_state(step, at))
            case ExitSignal():
                chain.take(machine.on_signal(step, at))
            case "time":
                chain.take(machine.on_time(at))
            case "deadline":
                if (deadline := machine.next_deadline()) is not None and deadline > now:
                    now = deadline
                    chain.take(machine.on_time(MonoNs(now)))
                    again = machine.next_deadline()
                    assert again is None or again > now, "what was due has been done"
            case ("taken", int() as left):
                if left < chain.tokens:
                    chain.tokens = left
                    chain.take(machine.on_balance(left))
            case (str() as how, int() as which):
                chain.settle(how, which, at)
        after = machine.view(MonoNs(now))
        assert after.held_tokens == chain.tokens
        assert after.received_lamports == chain.received
        assert after.rungs_left <= before.rungs_left
        assert after.exit is not None or before.exit is None, "an exit is not taken back"
        assert chain.has_closed == (chain.tokens == 0)
        if chain.has_closed:
            assert machine.next_deadline() is None
    chain.finish(now)


@settings(max_examples=200, deadline=None)
@given(
    take_profit=st.integers(1, 30_000),
    stop_loss=st.integers(1, 9_999),
    max_hold=st.integers(1, 500),
    quoted=st.integers(1, 10**6),
    tokens=st.integers(1, 10**6),
    steps=st.lists(st.tuples(st.integers(0, 60), st.none() | states), max_size=30),
)
def test_one_rung_and_a_stop_decide_as_the_simple_rules_do(
    take_profit: int,
    stop_loss: int,
    max_hold: int,
    quoted: int,
    tokens: int,
    steps: list[tuple[int, PoolState | None]],
) -> None:
    opened = MonoNs(5 * MS)
    simple = Holding(
        cast("Market", PaperPool()),
        tokens=TokenAmount(tokens),
        quoted_lamports=Lamports(quoted),
        opened_at=opened,
        rules=ExitsSettings(take_profit_bps=take_profit, stop_loss_bps=BasisPoints(stop_loss), max_hold_ms=max_hold),
    )
    machine = ExitMachine(
        PaperPool(),
        tokens=TokenAmount(tokens),
        quoted_lamports=Lamports(quoted),
        opened_at=opened,
        rules=ExitRules(
            ladder=(Rung(gain_bps=take_profit, share_bps=BPS),), stop_loss_bps=stop_loss, max_hold_ms=max_hold
        ),
    )
    now = int(opened)
    for later, state in steps:
        now += later * MS
        at = MonoNs(now)
        expected = simple.evaluate(at) if state is None else simple.on_state(state, at)
        commands = machine.on_time(at) if state is None else machine.on_state(state, at)
        found = [command.reason for command in commands if isinstance(command, Sell)]
        assert found == ([] if expected.exit is None else [expected.exit])
        assert machine.value_lamports == expected.value_lamports
        if found:
            return


@settings(max_examples=200, deadline=None)
@given(given_rules=rules(), percent=st.integers(90, 300), state=states, early=st.integers(1, 10**9))
def test_nothing_happens_before_the_deadline_while_the_pool_stands_still(
    given_rules: ExitRules, percent: int, state: PoolState, early: int
) -> None:
    opened = MonoNs(10 * MS)
    quote = PaperPool().quote_sell(state.reserves, TokenAmount(1_000))
    quoted = max((0 if quote is None else quote.net) * percent // 100, 1)
    machine = ExitMachine(
        PaperPool(), tokens=TokenAmount(1_000), quoted_lamports=Lamports(quoted), opened_at=opened, rules=given_rules
    )
    if machine.on_state(state, opened):
        return
    deadline = machine.next_deadline()
    assert deadline is not None
    assert machine.on_time(MonoNs(max(deadline - early, opened))) == [] or deadline <= opened
    commands = machine.on_time(deadline)
    assert [command.tokens for command in commands if isinstance(command, Sell)] == [1_000]
