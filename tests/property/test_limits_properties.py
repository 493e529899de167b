"""The limits against a naive model that counts everything anew each time, and against the journal's own state."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from slotzero.trading.filters import Refusal
from slotzero.trading.journal import (
    Event,
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSent,
    IntentSigned,
    IntentUnknown,
    JournalState,
    PositionOpened,
)
from slotzero.trading.limits import Limits, LimitsRules, SpendRequest, fold
from slotzero.units import BlockHeight, Lamports, LamportsDelta, Slot, TokenAmount, WallNs
from trading_lab import key, pump_pool

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
WALLETS = tuple(key(number) for number in range(3))
POOL = pump_pool()
TOKENS = 1_000


class Model:
    """Everything that happened, counted anew for each question."""

    def __init__(self, rules: LimitsRules, overhead: int) -> None:
        self.rules = rules
        self.overhead = overhead
        self.spent: list[tuple[str, int, Pubkey, int]] = []
        self.buying: set[str] = set()
        self.unread: dict[str, int] = {}
        """What a buy whose position is open already counts as until it is read."""
        self.held: dict[str, int] = {}
        self.values: dict[str, int] = {}
        self.cash = self.high = 0
        self.has_tripped = False

    def total(self, now: int, span: int, wallet: Pubkey | None = None) -> int:
        return sum(cost for _, at, of, cost in self.spent if now - at < span and wallet in (None, of))

    def refusal(self, wallet: Pubkey, lamports: int, now: int) -> str | None:
        rules, cost = self.rules, lamports + self.overhead
        found = {
            "drawdown_breaker": self.has_tripped,
            "limit_trade": 0 < rules.trade_lamports < lamports,
            "limit_open_positions": 0 < rules.open_positions <= len(self.buying) + len(self.held),
            "limit_wallet": 0 < rules.wallet_day_lamports < self.total(now, DAY, wallet) + cost,
            "limit_hour": 0 < rules.hour_lamports < self.total(now, HOUR) + cost,
            "limit_day": 0 < rules.day_lamports < self.total(now, DAY) + cost,
        }
        return next((reason for reason, is_so in found.items() if is_so), None)

    def settle(self, intent: str, cost: int) -> None:
        self.buying.discard(intent)
        self.cash += self.unread.pop(intent, 0)
        self.spent = [(i, at, of, max(cost, 0) if i == intent else old) for i, at, of, old in self.spent]

    def weigh(self) -> None:
        equity = self.cash + sum(self.values.values())
        self.high = max(self.high, equity)
        if self.rules.drawdown_lamports and self.high - equity >= self.rules.drawdown_lamports:
            self.has_tripped = True


amounts = st.integers(1, 1_000)
caps = st.one_of(st.just(0), st.integers(1, 3_000)).map(Lamports)
rules = st.builds(
    LimitsRules,
    trade_lamports=caps,
    hour_lamports=caps,
    day_lamports=caps,
    wallet_day_lamports=caps,
    open_positions=st.integers(0, 4),
    drawdown_lamports=caps,
)
STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, HOUR), st.integers(0, DAY)),
        st.one_of(
            st.tuples(st.just("buy"), st.sampled_from(WALLETS), amounts),
            st.tuples(
                st.sampled_from(["landed", "failed", "expired", "abandoned", "unknown", "opened"]),
                st.integers(0, 9),
                amounts,
            ),
            st.tuples(st.just("sell"), st.integers(0, 9), st.integers(1, TOKENS)),
            st.tuples(st.just("mark"), st.integers(0, 9), st.integers(0, 2_000)),
        ),
    ),
    max_size=50,
)


def signed(intent: str, wallet: Pubkey, lamports: int) -> IntentSigned:
    return IntentSigned(
        intent=intent,
        side="buy",
        signature=intent,
        raw=b"",
        last_valid_block_height=BlockHeight(1),
        mint=POOL.mint,
        wallet=wallet,
        tokens=TokenAmount(TOKENS),
        quoted_lamports=Lamports(lamports),
        limit_lamports=Lamports(lamports),
        reason="new_pool",
        pool=POOL,
    )


@settings(max_examples=200, deadline=None)
@given(given_rules=rules, overhead=st.integers(0, 50), steps=STEPS)
def test_limits_decide_as_the_naive_model_does_and_fold_to_the_same(  # noqa: PLR0912 one flat row per event
    given_rules: LimitsRules, overhead: int, steps: list[tuple[int, tuple[str, object, int]]]
) -> None:
    made = Limits(given_rules, overhead_lamports=Lamports(overhead))
    model, journal = Model(given_rules, overhead), JournalState()
    written: list[tuple[WallNs, Event]] = []
    now, buys = WallNs(10**18), 0

    def write(event: Event) -> None:
        journal.apply(event, now)
        made.record(event, now)
        written.append((now, event))

    for later, (what, which, number) in steps:
        now = WallNs(now + later)
        if what == "buy":
            assert isinstance(which, Pubkey)
            answer = made.check(SpendRequest(wallet=which, lamports=Lamports(number)), now)
            expected = model.refusal(which, number, now)
            assert (answer.reason if isinstance(answer, Refusal) else None) == expected
            if expected is not None:
                continue
            buys += 1
            intent = f"buy {buys}"
            write(signed(intent, which, number))
            model.spent.append((intent, now, which, number + overhead))
            model.buying.add(intent)
            for cap, span, wallet in (
                (given_rules.hour_lamports, HOUR, None),
                (given_rules.day_lamports, DAY, None),
                (given_rules.wallet_day_lamports, DAY, which),
            ):
                assert not cap or model.total(now, span, wallet) <= cap
        elif what in ("sell", "mark"):
            if not model.held:
                continue
            assert isinstance(which, int)
            position = sorted(model.held)[which % len(model.held)]
            if what == "mark":
                made.mark(position, Lamports(number))
                model.values[position] = number
            else:
                tokens = min(number, model.held[position])
                buy = journal.intents[position].signed
                intent = f"sell {len(written)}"
                write(
                    msgspec.structs.replace(
                        buy, intent=intent, side="sell", tokens=TokenAmount(tokens), position=position, pool=None
                    )
                )
                left = model.held[position] - tokens
                write(
                    IntentLanded(
                        intent=intent, slot=Slot(1), lamports_delta=LamportsDelta(7), tokens_held=TokenAmount(left)
                    )
                )
                model.cash += 7
                model.values[position] = model.values[position] * left // model.held[position]
                model.held[position] = left
                if not left:
                    del model.held[position], model.values[position]
            model.weigh()
        else:
            if not (begun := sorted(model.buying | model.unread.keys())):
                continue
            assert isinstance(which, int)
            intent = begun[which % len(begun)]
            is_early = intent in model.unread
            match what:
                case "opened" if not is_early:
                    write(PositionOpened(intent=intent, slot=Slot(1), tokens_held=TokenAmount(TOKENS)))
                    quoted = journal.intents[intent].signed.quoted_lamports
                    model.buying.discard(intent)
                    model.unread[intent], model.cash = quoted, model.cash - quoted
                    model.held[intent], model.values[intent] = TOKENS, quoted
                case "landed":
                    cost = min(number, journal.intents[intent].signed.limit_lamports + overhead)
                    delta = LamportsDelta(-cost)
                    write(
                        IntentLanded(intent=intent, slot=Slot(1), lamports_delta=delta, tokens_held=TokenAmount(TOKENS))
                    )
                    model.settle(intent, cost)
                    model.cash -= cost
                    if not is_early:
                        model.held[intent], model.values[intent] = TOKENS, cost
                case "failed":
                    write(IntentFailed(intent=intent, slot=Slot(1), reason="", lamports_delta=LamportsDelta(-overhead)))
                    model.settle(intent, overhead)
                    model.cash -= overhead
                case "expired":
                    write(IntentSent(intent=intent))
                    write(IntentExpired(intent=intent))
                    model.settle(intent, 0)
                case "abandoned" if journal.intents[intent].state == "signed":
                    write(IntentAbandoned(intent=intent, reason=""))
                    model.settle(intent, 0)
                case "unknown":
                    write(IntentUnknown(intent=intent, reason=""))
            if is_early and what in ("failed", "expired"):
                model.held.pop(intent, None)
                model.values.pop(intent, None)
            model.weigh()
        view = made.view(now)
        assert view.hour_lamports == model.total(now, HOUR)
        assert view.day_lamports == model.total(now, DAY)
        assert view.buys_under_way == len(model.buying) == len(journal.open_intents()) - len(model.unread)
        assert view.open_positions == len(model.held) == len(journal.held_positions())
        assert view.equity == model.cash + sum(model.values.values())
        assert (view.high_water, bool(view.state.tripped)) == (model.high, model.has_tripped)
    again = fold(given_rules, written, overhead_lamports=Lamports(overhead)).view(now)
    live = made.view(now)
    assert (again.hour_lamports, again.day_lamports, again.buys_under_way, again.open_positions) == (
        live.hour_lamports,
        live.day_lamports,
        live.buys_under_way,
        live.open_positions,
    )
