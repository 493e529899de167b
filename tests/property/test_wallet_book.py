"""The book against a model that writes everything down and adds it up anew for each question."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simple_wallet import Wallet
from slotzero.trading.filters import Refusal
from slotzero.trading.wallets import Reservation, WalletBook, WalletCaps
from slotzero.units import Lamports
from wallet_lab import address, wallet_key

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
KEYS = [address(number) for number in range(1, 6)]
AMOUNTS = st.integers(0, 120).map(Lamports)


class Paid:
    def __init__(self, reservation: Reservation) -> None:
        self.reservation = reservation
        self.wallet = reservation.wallet
        self.state = "reserved"
        self.spent = 0
        self.at = 0


class BookMachine(RuleBasedStateMachine):
    @initialize(
        policy=st.sampled_from(["round_robin", "least_used", "fresh_every_n"]),
        caps=st.builds(
            WalletCaps,
            max_spend_per_hour_lamports=st.none() | st.integers(0, 400).map(Lamports),
            max_spend_per_day_lamports=st.none() | st.integers(0, 900).map(Lamports),
            max_open_positions=st.none() | st.integers(1, 4),
            max_at_risk_lamports=st.none() | st.integers(0, 300).map(Lamports),
        ),
        balances=st.lists(st.integers(0, 500), min_size=1, max_size=5),
        per_wallet=st.integers(1, 4),
    )
    def begin(self, policy: Any, caps: WalletCaps, balances: list[int], per_wallet: int) -> None:
        self.book = WalletBook(policy, caps, buys_per_wallet=per_wallet)
        self.policy, self.caps, self.per_wallet, self.now = policy, caps, per_wallet, 0
        self.balances = dict(zip(KEYS, balances, strict=False))
        self.kept = 7
        for key, balance in self.balances.items():
            self.book.add(key, balance=Lamports(balance), kept=Lamports(self.kept))
        self.buys: list[Paid] = []

    # ---- the model's answers ---------------------------------------------------------------------------------------

    def of(self, key: Any, *states: str) -> list[Paid]:
        return [buy for buy in self.buys if buy.wallet == key and buy.state in states]

    def reserved(self, key: Any) -> int:
        return sum(buy.reservation.lamports for buy in self.of(key, "reserved"))

    def at_risk(self, key: Any) -> int:
        return self.reserved(key) + sum(buy.spent for buy in self.of(key, "held"))

    def spent(self, key: Any, span: int) -> int:
        return sum(b.spent for b in self.of(key, "held", "closed", "failed") if b.at > self.now - span)

    def can_pay(self, key: Any, lamports: int) -> bool:
        caps, uses = self.caps, len(self.of(key, "reserved", "held", "closed", "failed"))
        pending = self.reserved(key) + lamports
        return (
            pending + self.kept <= self.balances[key]
            and (self.policy != "fresh_every_n" or uses < self.per_wallet)
            and (caps.max_open_positions is None or len(self.of(key, "reserved", "held")) < caps.max_open_positions)
            and (caps.max_at_risk_lamports is None or self.at_risk(key) + lamports <= caps.max_at_risk_lamports)
            and (
                caps.max_spend_per_hour_lamports is None
                or self.spent(key, HOUR) + pending <= caps.max_spend_per_hour_lamports
            )
            and (
                caps.max_spend_per_day_lamports is None
                or self.spent(key, DAY) + pending <= caps.max_spend_per_day_lamports
            )
        )

    # ---- what happens ----------------------------------------------------------------------------------------------

    @rule(lamports=AMOUNTS)
    def choose(self, lamports: Lamports) -> None:
        able = [key for key in self.balances if self.can_pay(key, lamports)]
        outcome = self.book.choose(lamports, self.now)
        if not able:
            assert isinstance(outcome, Refusal)
            return
        assert isinstance(outcome, Reservation)
        assert outcome.wallet in able
        assert outcome.lamports == lamports
        if self.policy == "least_used":
            uses = {key: len(self.of(key, "reserved", "held", "closed", "failed")) for key in able}
            assert uses[outcome.wallet] == min(uses.values())
        if self.policy == "fresh_every_n":
            assert outcome.wallet == able[0]
        self.buys.append(Paid(outcome))

    @precondition(lambda self: any(buy.state == "reserved" for buy in self.buys))
    @rule(data=st.data(), is_held=st.booleans())
    def commit(self, data: Any, is_held: Any) -> None:
        buy = data.draw(st.sampled_from([b for b in self.buys if b.state == "reserved"]))
        buy.spent = data.draw(st.integers(0, buy.reservation.lamports))
        buy.at = self.now
        self.book.commit(buy.reservation, spent=Lamports(buy.spent), now=self.now, is_held=is_held)
        buy.state = "held" if is_held else "failed"
        self.balances[buy.wallet] -= buy.spent
        self.book.on_balance(buy.wallet, Lamports(self.balances[buy.wallet]))

    @precondition(lambda self: any(buy.state == "reserved" for buy in self.buys))
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        buy = data.draw(st.sampled_from([b for b in self.buys if b.state == "reserved"]))
        self.book.release(buy.reservation)
        buy.state = "released"

    @precondition(lambda self: any(buy.state == "held" for buy in self.buys))
    @rule(data=st.data())
    def close(self, data: Any) -> None:
        buy = data.draw(st.sampled_from([b for b in self.buys if b.state == "held"]))
        self.book.close(buy.reservation)
        buy.state = "closed"

    @rule(data=st.data(), change=st.integers(-100, 300))
    def balance_changes(self, data: Any, change: int) -> None:
        key = data.draw(st.sampled_from(list(self.balances)))
        self.balances[key] = max(0, self.balances[key] + change)
        self.book.on_balance(key, Lamports(self.balances[key]))

    @rule(by=st.sampled_from([1, HOUR // 7, HOUR - 1, HOUR, 5 * HOUR, DAY]))
    def time_passes(self, by: int) -> None:
        self.now += by

    # ---- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def books_agree(self) -> None:
        for key in getattr(self, "balances", {}):
            standing = self.book.standing(key, self.now)
            assert standing.reserved_lamports == self.reserved(key)
            assert standing.at_risk_lamports == self.at_risk(key)
            assert standing.open_positions == len(self.of(key, "reserved", "held"))
            assert standing.spent_hour_lamports == self.spent(key, HOUR)
            assert standing.spent_day_lamports == self.spent(key, DAY)
            assert standing.free_lamports == self.balances[key] - self.reserved(key) - self.kept

    @invariant()
    def no_cap_is_exceeded(self) -> None:
        for key in getattr(self, "balances", {}):
            standing, caps = self.book.standing(key, self.now), self.caps
            pending = standing.reserved_lamports
            for value, cap in (
                (standing.open_positions, caps.max_open_positions),
                (standing.at_risk_lamports, caps.max_at_risk_lamports),
                (standing.spent_hour_lamports + pending, caps.max_spend_per_hour_lamports),
                (standing.spent_day_lamports + pending, caps.max_spend_per_day_lamports),
            ):
                assert cap is None or value <= cap


TestBook = BookMachine.TestCase
TestBook.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


@given(
    balance=st.integers(0, 1_000),
    kept=st.integers(0, 300),
    steps=st.lists(st.tuples(st.sampled_from(["reserve", "release", "balance"]), st.integers(0, 600)), max_size=30),
)
@settings(max_examples=150, deadline=None)
def test_book_of_one_wallet_is_the_single_wallet(balance: int, kept: int, steps: list[tuple[str, int]]) -> None:
    single = Wallet(wallet_key(1).signer(), balance=Lamports(balance), kept=Lamports(kept))
    book = WalletBook()
    book.add(KEYS[0], balance=Lamports(balance), kept=Lamports(kept))
    reservations: list[Reservation] = []
    for step, amount in steps:
        if step == "reserve":
            outcome = book.choose(Lamports(amount), 0)
            assert isinstance(outcome, Reservation) is single.reserve(amount)
            if isinstance(outcome, Reservation):
                reservations.append(outcome)
        elif step == "release" and reservations:
            reservation = reservations.pop(amount % len(reservations))
            book.release(reservation)
            single.release(reservation.lamports)
        elif step == "balance":
            single.balance = Lamports(amount)
            book.on_balance(KEYS[0], Lamports(amount))
        assert book.free(KEYS[0]) == single.free


@given(count=st.integers(1, 8), rounds=st.integers(1, 5), policy=st.sampled_from(["round_robin", "least_used"]))
def test_rotation_is_fair(count: int, rounds: int, policy: Any) -> None:
    book = WalletBook(policy)
    keys = [address(number) for number in range(1, count + 1)]
    for key in keys:
        book.add(key, balance=Lamports(1_000), kept=Lamports(0))
    chosen = [book.choose(Lamports(1), 0) for _ in range(count * rounds)]
    assert [c.wallet for c in chosen if isinstance(c, Reservation)] == keys * rounds


@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 120)), max_size=40),
    policy=st.sampled_from(["round_robin", "least_used", "fresh_every_n"]),
)
@settings(max_examples=60, deadline=None)
def test_same_calls_give_the_same_choices(steps: list[tuple[int, int]], policy: Any) -> None:
    def play() -> list[object]:
        book = WalletBook(policy, WalletCaps(max_open_positions=3), buys_per_wallet=2)
        for key in KEYS:
            book.add(key, balance=Lamports(300), kept=Lamports(0))
        said: list[object] = []
        open_: list[Reservation] = []
        for kind, amount in steps:
            if kind < 2 or not open_:
                outcome = book.choose(Lamports(amount), 0)
                said.append(outcome)
                if isinstance(outcome, Reservation):
                    open_.append(outcome)
            elif kind == 2:
                book.release(open_.pop(amount % len(open_)))
            else:
                book.commit(open_.pop(0), spent=Lamports(0), now=0, is_held=False)
        return said

    assert play() == play()
