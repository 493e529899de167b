"""Whatever the market, the past and the request: no cap is exceeded, and the same past gives the same choice."""

from bisect import bisect_left, insort

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from slotzero.trading.fee_policy import (
    ExpiredSend,
    FeeChoice,
    FeePolicy,
    FeeRequest,
    FeeRules,
    FeeVariation,
    PriceWindow,
    TipFloor,
    UnitTable,
)
from slotzero.trading.fee_policy.records import TransactionKind
from slotzero.trading.sliding_sum import SlidingSum
from slotzero.units import ComputeUnits, Lamports, MicroLamportsPerCu, MonoNs
from trading_lab import key

HOUR_NS = 3_600_000_000_000
ACCOUNTS = tuple(key(number) for number in range(3))
KINDS: tuple[TransactionKind, ...] = ("first_buy", "buy", "sell", "sell_and_close")

lamports = st.one_of(st.integers(0, 50_000), st.integers(0, 10**7), st.integers(0, 10**10)).map(Lamports)
bps = st.integers(0, 10_000)
prices = st.one_of(st.just(0), st.integers(0, 10_000), st.integers(0, 10**10))


@st.composite
def rules(draw: st.DrawFn) -> FeeRules:
    return FeeRules(
        min_price=MicroLamportsPerCu(draw(st.integers(0, 10_000))),
        default_price=MicroLamportsPerCu(draw(prices)),
        min_price_samples=draw(st.integers(1, 20)),
        escalation_bps=draw(st.integers(12_500, 20_000)),
        max_bid_lamports=draw(lamports),
        max_hour_lamports=draw(lamports),
        exit_reserve_bps=draw(bps),
        max_share_bps=draw(bps),
        min_unit_samples=draw(st.integers(1, 20)),
    )


@st.composite
def requests(draw: st.DrawFn) -> FeeRequest:
    expired = st.builds(ExpiredSend, price=prices.map(MicroLamportsPerCu), tip_lamports=lamports)
    swing = st.integers(-2_000, 2_000)
    return FeeRequest(
        venue="pumpfun",
        kind=draw(st.sampled_from(KINDS)),
        purpose=draw(st.sampled_from(["entry", "exit", "emergency"])),
        hot_accounts=draw(st.sampled_from([(), ACCOUNTS[:1], ACCOUNTS])),
        stake_lamports=draw(lamports),
        takes_tip=draw(st.booleans()),
        min_tip_lamports=draw(st.integers(0, 1_000_000).map(Lamports)),
        expired=draw(st.none() | expired),
        variation=draw(st.builds(FeeVariation, limit_bps=st.integers(0, 2_000), price_bps=swing, tip_bps=swing)),
    )


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("landed"), st.sampled_from(ACCOUNTS), st.integers(0, 400), prices),
        st.tuples(st.just("units"), st.sampled_from(KINDS), st.integers(1, 1_400_000)),
        st.tuples(st.just("tips"), lamports),
        st.tuples(st.just("choose"), requests(), st.integers(0, HOUR_NS // 3), st.booleans()),
    ),
    max_size=60,
)


def run(made: FeePolicy, steps: list[tuple[object, ...]], given_rules: FeeRules) -> list[object]:
    now, sent, answers = 0, list[tuple[int, int]](), list[object]()
    for step in steps:
        match step:
            case ("landed", account, int() as slot, int() as price):
                made.market.on_landed(account, slot, price)  # type: ignore[arg-type] # drawn as a key
            case ("units", kind, int() as units):
                made.units.observe(("pumpfun", kind), units)  # type: ignore[arg-type] # drawn as a kind
            case ("tips", int() as tip):
                tip = Lamports(tip)
                made.on_tip_floor(TipFloor(at=MonoNs(now), p25=tip, p50=tip, p75=tip, p95=tip, p99=tip))
            case ("choose", FeeRequest() as request, int() as later, bool() as expires):
                now += later
                choice = made.choose(request, MonoNs(now))
                answers.append(choice)
                if not isinstance(choice, FeeChoice):
                    assert request.purpose == "entry"
                    continue
                bid = choice.bid_lamports
                last_hour = sum(paid for at, paid in sent if now - at < HOUR_NS)
                hour = given_rules.max_hour_lamports
                if request.purpose == "entry":
                    hour = Lamports(hour * (10_000 - given_rules.exit_reserve_bps) // 10_000)
                    assert choice.price >= given_rules.min_price
                    assert not request.takes_tip or choice.tip_lamports >= request.min_tip_lamports
                assert 0 < choice.limit <= 1_400_000
                assert bid <= given_rules.max_bid_lamports
                assert bid == 0 or last_hour + bid <= hour
                assert bid * 10_000 <= request.stake_lamports * given_rules.max_share_bps
                assert choice.tip_lamports == 0 or request.takes_tip
                entry = made.charge(bid, MonoNs(now))
                if expires:
                    made.settle(entry, 0)
                else:
                    sent.append((now, bid))
    return answers


@settings(max_examples=150, deadline=None)
@given(given_rules=rules(), steps=STEPS)
def test_caps_are_never_exceeded_and_choices_are_deterministic(
    given_rules: FeeRules, steps: list[tuple[object, ...]]
) -> None:
    seeds = {("pumpfun", kind): ComputeUnits(150_000) for kind in KINDS}
    first = run(FeePolicy(given_rules, seeds), steps, given_rules)
    assert run(FeePolicy(given_rules, seeds), steps, given_rules) == first
    assert msgspec.json.encode(first)  # a trace can hold every answer


@settings(max_examples=100, deadline=None)
@given(observed=st.lists(st.integers(1, 1_400_000), min_size=1, max_size=700))
def test_limit_covers_99_percent_of_what_was_observed_plus_a_tenth(observed: list[int]) -> None:
    table = UnitTable({}, FeeRules(min_unit_samples=1, unit_margin_units=ComputeUnits(0)))
    for units in observed:
        table.observe(("pumpfun", "buy"), units)
    kept = sorted(observed[-512:])
    p99 = kept[-(-99 * len(kept) // 100) - 1]
    assert table.limit(("pumpfun", "buy"))[0] == min(-(-p99 * 11 // 10), 1_400_000)


@settings(max_examples=100, deadline=None)
@given(
    samples=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 50)), max_size=120),
    percent=st.integers(1, 100),
    span=st.integers(1, 200),
)
def test_price_window_against_sorting_everything(samples: list[tuple[int, int]], percent: int, span: int) -> None:
    window, newest = PriceWindow(span), 0
    for slot, price in samples:
        window.add(slot, price)
        newest = max(newest, slot)
    kept = list[int]()
    for slot, price in samples:
        if slot > newest - span:
            insort(kept, price)
    expected = kept[-(-percent * len(kept) // 100) - 1] if kept else None
    assert window.percentile(percent, newest) == expected
    assert bisect_left(kept, 51) == len(window)


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 100), st.integers(-1, 20), st.integers(0, 100)), max_size=60
    ),
    room=st.sampled_from([8, 13, 1_000]),
)
def test_sliding_sum_against_a_list_of_everything(steps: list[tuple[int, int, int, int]], room: int) -> None:
    window = SlidingSum(100, max_entries=room)
    late = 0 if room == 1_000 else -(-400 // room)
    model: list[list[int]] = []
    entries = []
    now = 0
    for later, amount, amends, to in steps:
        now += later
        entries.append(window.add(now, amount))
        model.append([now, amount])
        if 0 <= amends < len(entries) and now - model[amends][0] < 100:
            window.amend(entries[amends], to)
            model[amends][1] = to
        total = window.total(now)
        assert len(window) <= room
        assert sum(amount for at, amount in model if now - at < 100) <= total
        assert total <= sum(amount for at, amount in model if now - at < 100 + late)
    assert (window.total(now + 100), len(window)) == (0, 0)
