"""The choice of fees on distributions made here: synthetic, shaped after what busy launches look like.

`quiet_market` has most transactions at a few thousand micro-lamports with a thin tail; `hot_launch` is bimodal, with
bots far above everybody else, as on a curve in its first slots. No recorded mainnet prices are in this repository.
"""

from random import Random

import msgspec
import pytest

from slotzero.trading.fee_policy import (
    Expectation,
    ExpiredSend,
    FeeChoice,
    FeeMarket,
    FeePolicy,
    FeeRequest,
    FeeRules,
    FeeVariation,
    PriceWindow,
    Purpose,
    TipFloor,
    UnitTable,
    expired_send,
)
from slotzero.trading.filters import Refusal
from slotzero.trading.order import Confirmed, Expired, Failed
from slotzero.units import ComputeUnits, Lamports, MicroLamportsPerCu, MonoNs, Slot
from trading_lab import key

CURVE, VAULT = key(1), key(2)
RULES = FeeRules()
NOW = MonoNs(5_000_000_000_000)
HOUR_NS = 3_600_000_000_000


def quiet_market(seed: int, count: int = 400) -> list[int]:
    """Log-normal around 3,000 micro-lamports, a fifth of all at 0 (no price set). Synthetic."""
    rng = Random(seed)  # noqa: S311 a synthetic distribution
    return [0 if rng.random() < 0.2 else int(rng.lognormvariate(8, 0.8)) for _ in range(count)]


def hot_launch(seed: int, count: int = 400) -> list[int]:
    """Retail around 150,000 and a third of bots around 3,000,000 micro-lamports. Synthetic."""
    rng = Random(seed)  # noqa: S311 a synthetic distribution
    return [int(rng.lognormvariate(14.9 if rng.random() < 0.33 else 11.9, 0.5)) for _ in range(count)]


def policy(rules: FeeRules = RULES) -> FeePolicy:
    return FeePolicy(rules, {("pumpfun", "buy"): ComputeUnits(160_000), ("pumpfun", "sell"): ComputeUnits(120_000)})


def fed(prices: list[int], rules: FeeRules = RULES) -> FeePolicy:
    made = policy(rules)
    for index, price in enumerate(prices):
        made.market.on_landed(CURVE, 1_000 + index // 10, price)
    return made


def request(purpose: Purpose = "entry", **changes: object) -> FeeRequest:
    plain = FeeRequest(
        venue="pumpfun",
        kind="buy",
        purpose=purpose,
        hot_accounts=(CURVE, VAULT),
        stake_lamports=Lamports(100_000_000),
    )
    return msgspec.structs.replace(plain, **changes)


def chosen(made: FeePolicy, wanted: FeeRequest, now: int = NOW) -> FeeChoice:
    choice = made.choose(wanted, MonoNs(now))
    assert isinstance(choice, FeeChoice), choice
    return choice


# ---- unit limit ----------------------------------------------------------------------------------------------------


def test_limit_is_the_seed_until_enough_was_observed() -> None:
    table = UnitTable({("pumpfun", "buy"): ComputeUnits(160_000)}, RULES)
    for _ in range(49):
        table.observe(("pumpfun", "buy"), 80_000)
    assert table.limit(("pumpfun", "buy")) == (160_000, "limit 160000: the seed, 49 of 50 observations")
    table.observe(("pumpfun", "buy"), 80_000)
    assert table.limit(("pumpfun", "buy")) == (88_000, "limit 88000: p99 of 50 observations 80000 + 8000")


def test_limit_is_p99_plus_a_tenth_rounded_up() -> None:
    table = UnitTable({}, RULES)
    for units in range(1, 201):
        table.observe(("pumpfun", "sell"), units * 1_000 + 1)
    assert table.limit(("pumpfun", "sell"))[0] == 217_802  # p99 of 200 is the 198th: 198,001 x 1.1 = 217,801.1


def test_limit_forgets_what_is_older_than_the_newest_512() -> None:
    table = UnitTable({}, RULES)
    for _ in range(512):
        table.observe(("pumpfun", "sell"), 300_000)
    for _ in range(512):
        table.observe(("pumpfun", "sell"), 50_000)
    assert table.limit(("pumpfun", "sell"))[0] == 55_000


def test_limit_never_exceeds_what_a_transaction_may_request() -> None:
    table = UnitTable({}, RULES)
    for _ in range(60):
        table.observe(("pumpfun", "buy"), 1_390_000)
    limit, why = table.limit(("pumpfun", "buy"))
    assert limit == 1_400_000
    assert why.endswith("cut to 1400000, the most a transaction may request")


def test_limit_rises_at_once_when_one_ran_out_of_units_and_relaxes_after_512() -> None:
    table = UnitTable({}, RULES)
    for _ in range(60):
        table.observe(("pumpfun", "buy"), 80_000)
    table.observe_exhausted(("pumpfun", "buy"), 88_000)
    assert table.limit(("pumpfun", "buy")) == (132_000, "limit 132000: one ran out of units lately")
    for _ in range(511):
        table.observe(("pumpfun", "buy"), 80_000)
    assert table.limit(("pumpfun", "buy"))[0] == 132_000
    table.observe(("pumpfun", "buy"), 80_000)
    assert table.limit(("pumpfun", "buy"))[0] == 88_000


def test_unit_table_is_bounded_and_drops_the_longest_unobserved() -> None:
    table = UnitTable({}, RULES)
    for number in range(300):
        for _ in range(50):
            table.observe((f"venue {number}", "buy"), 10_000)
    assert table.evicted == 44
    assert table.limit(("venue 0", "buy"))[0] == 200_000
    assert table.limit(("venue 299", "buy"))[0] == 11_000


@pytest.mark.parametrize("units", [0, -1, 1_400_001])
def test_impossible_consumption_is_refused(units: int) -> None:
    with pytest.raises(ValueError, match="a transaction consumes"):
        UnitTable({}, RULES).observe(("pumpfun", "buy"), units)


# ---- prices --------------------------------------------------------------------------------------------------------


def test_price_window_counts_by_slot_whatever_the_order_of_arrival() -> None:
    window = PriceWindow(10)
    for slot, price in [(105, 5), (100, 1), (109, 9), (103, 3)]:
        window.add(slot, price)
    assert window.percentile(50, 109) == 3
    assert window.percentile(1, 112) == 3
    assert window.percentile(1, 113) == 5
    assert window.percentile(100, 200) is None


def test_price_window_full_drops_the_oldest_slots() -> None:
    window = PriceWindow(10_000)
    for slot in range(2_000):
        window.add(slot, slot)
    assert len(window) == 1_024
    assert window.percentile(1, 2_000) == 976 + 10


def test_market_takes_the_dearest_of_the_accounts_with_enough_prices() -> None:
    market = FeeMarket(span_slots=150, min_samples=3)
    for price in (10, 20, 30):
        market.on_landed(CURVE, 5, price)
        market.on_landed(VAULT, 5, price * 2)
    market.on_landed(key(3), 5, 1_000_000)  # one price is no market
    assert market.landed((CURVE, VAULT, key(3), key(4)), 50) == (40, 3)
    assert market.landed((key(4),), 50) is None


def test_prices_age_by_the_slot_even_when_none_lands() -> None:
    market = FeeMarket(span_slots=150, min_samples=1)
    market.on_landed(CURVE, 100, 7)
    market.on_slot(249)
    assert market.landed((CURVE,), 50) == (7, 1)
    market.on_slot(250)
    assert market.landed((CURVE,), 50) is None


def test_floors_are_replaced_whole_and_bounded() -> None:
    market = FeeMarket(span_slots=150, min_samples=1)
    market.on_floors((slot, slot) for slot in range(1_000))
    assert market.floor(1) == 851
    assert market.newest_slot == 999
    market.on_floors([(1_000, 3)])
    assert market.floor(50) == 3


def test_prices_of_a_venue_count_for_the_venue_and_for_the_accounts_that_are_followed() -> None:
    market = FeeMarket(span_slots=150, min_samples=3)
    market.follow([CURVE])
    for price in (10, 20, 30):
        market.on_transaction("pumpfun", 5, price, [bytes(CURVE), bytes(VAULT)])
        market.on_transaction("pumpfun", 5, 7 * price, [bytes(VAULT)])
    assert market.landed((CURVE, VAULT), 50) == (20, 3)
    assert market.landed_at("pumpfun", 100) == (210, 6)
    assert market.landed_at("elsewhere", 50) is None
    market.on_slot(155)
    assert market.landed_at("pumpfun", 50) is None


def test_account_that_is_followed_again_does_not_make_room() -> None:
    market = FeeMarket(span_slots=150, min_samples=1)
    market.on_landed(CURVE, 5, 7)
    for number in range(10, 400):
        market.follow([CURVE, key(number)])
    assert market.landed((CURVE,), 50) == (7, 1)


def test_market_is_bounded_in_accounts() -> None:
    market = FeeMarket(span_slots=150, min_samples=1)
    for number in range(300):
        market.on_landed(key(number), 5, number)
    assert market.evicted == 44
    assert market.landed((key(43),), 50) is None
    assert market.landed((key(44),), 50) == (44, 1)


# ---- the choice ----------------------------------------------------------------------------------------------------


def test_first_choice_uses_seed_and_default_and_says_so() -> None:
    assert chosen(policy(), request()) == FeeChoice(
        limit=ComputeUnits(160_000),
        price=MicroLamportsPerCu(100_000),
        tip_lamports=Lamports(0),
        reasons=(
            "limit 160000: the seed, 0 of 50 observations",
            "price 100000: the default, too few prices have landed on its accounts",
        ),
    )


@pytest.mark.parametrize(("purpose", "percent"), [("entry", 75), ("exit", 50), ("emergency", 95)])
def test_price_is_the_percentile_of_its_purpose(purpose: Purpose, percent: int) -> None:
    prices = hot_launch(1)
    made = fed(prices, FeeRules(max_bid_lamports=Lamports(10**9), max_share_bps=10_000))
    choice = chosen(made, request(purpose))
    assert choice.price == sorted(prices)[percent * 4 - 1]
    assert choice.reasons[1] == f"price {choice.price}: p{percent} of 400 landed prices"


def test_floor_of_the_slots_is_the_least_bid() -> None:
    made = fed(quiet_market(1))
    made.market.on_floors([(1_040, 50_000), (1_041, 70_000), (1_042, 90_000)])
    choice = chosen(made, request())
    assert (choice.price, choice.reasons[1]) == (70_000, "price 70000: p50 of the slots' floors")


@pytest.mark.parametrize("floors", [(), (3_000_000,) * 150])
def test_without_landed_prices_an_emergency_outbids_an_exit_which_bids_no_less_than_an_entry(
    floors: tuple[int, ...],
) -> None:
    made = policy()
    made.market.on_floors(enumerate(floors))
    entry, leaving, emergency = (
        chosen(made, request(purpose, kind="sell")).price for purpose in ("entry", "exit", "emergency")
    )
    assert emergency == 3 * leaving
    assert leaving >= entry


def test_emergency_by_the_floors_says_what_it_was_multiplied_by_and_keeps_to_the_cap() -> None:
    made = policy(FeeRules(emergency_multiplier_bps=25_001, max_bid_lamports=Lamports(20_000)))
    made.market.on_floors([(1, 200_001)])
    choice = chosen(made, request("emergency", kind="sell"))
    assert choice.reasons[1] == "price 500023: p50 of the slots' floors, x 25001 bps in an emergency"
    assert choice.bid_lamports <= 20_000


def test_emergency_with_landed_prices_bids_its_percentile_and_nothing_on_top() -> None:
    made = fed([40_000] * 100)
    assert chosen(made, request("emergency")).price == 40_000


def test_fresh_curve_is_priced_by_what_landed_on_its_venue_until_it_has_prices_of_its_own() -> None:
    made = policy()
    for price in range(1, 101):
        made.market.on_transaction("pumpfun", 5, price * 10_000, [])
    choice = chosen(made, request(hot_accounts=(CURVE,)))
    assert (choice.price, choice.reasons[1]) == (
        750_000,
        "price 750000: p75 of 100 prices that landed on pumpfun",
    )
    for _ in range(30):  # the choice has made the curve a followed account
        made.market.on_transaction("pumpfun", 6, 44_000, [bytes(CURVE)])
    assert chosen(made, request(hot_accounts=(CURVE,))).reasons[1] == "price 44000: p75 of 30 landed prices"


def test_market_at_zero_bids_the_least_we_bid() -> None:
    choice = chosen(fed([0] * 100), request())
    assert (choice.price, choice.reasons[1]) == (1_000, "price 1000: the least we bid")


def test_expiry_raises_the_price_by_half_and_only_an_expiry_does() -> None:
    made = policy()
    first = chosen(made, request())
    again = chosen(made, request(expired=expired_send(first, Expired())))
    assert (again.price, again.reasons[1]) == (150_000, "price 150000: 100000 has expired, x 15000 bps")
    for outcome in (Confirmed(Slot(5)), Failed(Slot(5), {})):
        with pytest.raises(ValueError, match="only an expired send"):
            expired_send(first, outcome)


def test_expiry_of_what_was_never_sent_raises_nothing_and_takes_nothing_back() -> None:
    made = policy()
    sent = expired_send(chosen(made, request()), Expired())
    raised = chosen(made, request(expired=sent))
    again = chosen(made, request(expired=expired_send(raised, Expired(was_sent=False))))
    assert (raised.price, again.price) == (150_000, 150_000)
    assert again.reasons[1] == "price 150000: 150000 was never sent"
    first = expired_send(chosen(made, request()), Expired(was_sent=False))
    assert chosen(made, request(expired=first)).price == 100_000


def test_market_above_the_raised_price_wins() -> None:
    expired = ExpiredSend(price=MicroLamportsPerCu(10_000), tip_lamports=Lamports(0))
    choice = chosen(fed([40_000] * 100), request(expired=expired))
    assert (choice.price, choice.reasons[1]) == (40_000, "price 40000: p75 of 100 landed prices")


def test_tip_follows_a_fresh_floor_and_falls_back_to_the_paths_least() -> None:
    made = policy()
    paid = request(takes_tip=True, min_tip_lamports=Lamports(10_000))
    assert chosen(made, paid).reasons[2] == "tip 10000: the least the path takes, no fresh tip floor"
    made.on_tip_floor(
        TipFloor(
            at=NOW,
            p25=Lamports(1_000),
            p50=Lamports(30_000),
            p75=Lamports(50_000),
            p95=Lamports(900_000),
            p99=Lamports(5_000_000),
        )
    )
    assert chosen(made, paid).tip_lamports == 30_000
    assert chosen(made, paid).reasons[2] == "tip 30000: p50 of the landed tips"
    emergency = chosen(made, msgspec.structs.replace(paid, purpose="emergency"))
    assert emergency.tip_lamports == 900_000
    assert chosen(made, paid, NOW + 60_000_000_000).tip_lamports == 10_000
    assert chosen(made, request()).tip_lamports == 0


def test_expired_tip_is_raised_too() -> None:
    expired = ExpiredSend(price=MicroLamportsPerCu(100_000), tip_lamports=Lamports(10_001))
    choice = chosen(policy(), request(takes_tip=True, min_tip_lamports=Lamports(10_000), expired=expired))
    assert choice.tip_lamports == 15_002
    assert choice.reasons[2] == "tip 15002: 10001 has expired, x 15000 bps"


def test_cap_cuts_the_tip_to_the_paths_least_before_the_price() -> None:
    made = policy(FeeRules(max_bid_lamports=Lamports(20_000)))
    tips = TipFloor(at=NOW, p25=Lamports(0), p50=Lamports(90_000), p75=Lamports(0), p95=Lamports(0), p99=Lamports(0))
    made.on_tip_floor(tips)
    choice = chosen(made, request(takes_tip=True, min_tip_lamports=Lamports(5_000)))
    assert (choice.tip_lamports, choice.price, choice.bid_lamports) == (5_000, 93_750, 20_000)
    assert choice.reasons[3] == "the cap of a transaction allows 20000 lamports: cut to price 93750 and tip 5000"


def test_entry_that_cannot_afford_its_least_bid_is_refused_and_an_exit_goes_out_with_nothing() -> None:
    rules = FeeRules(max_hour_lamports=Lamports(1_000_000), exit_reserve_bps=3_000)
    made = policy(rules)
    made.charge(700_000, NOW)
    refused = made.choose(request(), NOW)
    assert isinstance(refused, Refusal)
    assert refused.reason == "fee_cap"
    assert refused.detail.startswith("the cap of the hour leaves 0 lamports")
    assert chosen(made, request("exit")).bid_lamports == 16_000  # the reserve is there for it
    made.charge(300_000, NOW)
    last = chosen(made, request("emergency", takes_tip=True, min_tip_lamports=Lamports(1_000)))
    assert (last.price, last.tip_lamports, last.bid_lamports, last.cost_lamports) == (0, 0, 0, 5_000)


def test_hour_slides_to_the_nanosecond_and_an_expired_bid_is_given_back() -> None:
    made = policy(FeeRules(max_hour_lamports=Lamports(20_000), exit_reserve_bps=0))
    entry = made.charge(16_000, NOW)
    assert isinstance(made.choose(request(hot_accounts=()), MonoNs(NOW + HOUR_NS - 1)), FeeChoice)
    assert chosen(made, request(), NOW + HOUR_NS - 1).bid_lamports == 4_000
    assert chosen(made, request(), NOW + HOUR_NS).bid_lamports == 16_000
    made.settle(entry, 0)
    assert chosen(made, request()).bid_lamports == 16_000


def test_bid_is_at_most_its_share_of_the_stake() -> None:
    choice = chosen(policy(), request(stake_lamports=Lamports(200_000)))
    assert choice.bid_lamports == 10_000
    assert choice.reasons[2].startswith("the cap of 500 bps of the stake allows 10000 lamports")


def test_entry_whose_gain_does_not_pay_its_fees_is_refused() -> None:
    gain = Expectation(gain_lamports=Lamports(100_000), chance_bps=3_000, exit_fee_lamports=Lamports(5_000))
    choice = chosen(policy(), request(expectation=gain))
    # 70 % x 30,000 = 21,000 against 70 % x (5,000 + 16,000 + 5,000) + 10 % x 21,000 = 20,300
    assert choice.reasons[-1] == "worth it: expected gain 21000, expected fees 20300 lamports"
    refused = policy().choose(request(expectation=msgspec.structs.replace(gain, chance_bps=2_800)), NOW)
    assert isinstance(refused, Refusal)
    assert refused.reason == "fee_expected_value"
    assert refused.detail == (
        "an expected gain of 19600 lamports does not pay expected fees of 20300, with 7000 bps landing and 1000 failing"
    )
    assert isinstance(policy().choose(request("exit", expectation=gain), NOW), FeeChoice)


def test_margin_must_be_earned_on_top() -> None:
    gain = Expectation(gain_lamports=Lamports(100_000), chance_bps=3_000, exit_fee_lamports=Lamports(5_000))
    assert isinstance(policy(FeeRules(min_margin_bps=1_000)).choose(request(expectation=gain), NOW), Refusal)


def test_own_outcomes_replace_the_assumed_odds() -> None:
    made = policy()
    gain = Expectation(gain_lamports=Lamports(100_000), chance_bps=3_000, exit_fee_lamports=Lamports(5_000))
    for _ in range(25):
        made.on_outcome("failed")
        made.on_outcome("landed")
    refused = made.choose(request(expectation=gain), NOW)  # half of what is sent lands and fails: 15,000 < 23,500
    assert isinstance(refused, Refusal)
    assert "5000 bps landing and 5000 failing" in refused.detail
    for _ in range(512):
        made.on_outcome("landed")
    assert isinstance(made.choose(request(expectation=gain), NOW), FeeChoice)


def test_failed_sends_do_not_pay_the_tip() -> None:
    rules = FeeRules(landed_bps=5_000, failed_bps=5_000)
    gain = Expectation(gain_lamports=Lamports(1_000_000), chance_bps=10_000, exit_fee_lamports=Lamports(0))
    choice = chosen(policy(rules), request(expectation=gain, takes_tip=True, min_tip_lamports=Lamports(100_000)))
    assert choice.reasons[-1] == "worth it: expected gain 500000, expected fees 71000 lamports"


def test_variation_moves_every_choice_but_never_below_what_it_must_be() -> None:
    varied = FeeVariation(limit_bps=250, price_bps=-1_000, tip_bps=-1_000)
    choice = chosen(policy(), request(variation=varied, takes_tip=True, min_tip_lamports=Lamports(10_000)))
    assert (choice.limit, choice.price, choice.tip_lamports) == (164_000, 90_000, 10_000)
    assert choice.reasons[0].endswith("varied to 164000")
    cheap = chosen(fed([0] * 100), request(variation=varied))
    assert cheap.price == 1_000


def test_variation_also_hides_the_cap() -> None:
    rules = FeeRules(max_bid_lamports=Lamports(10_000))
    bids = {
        chosen(policy(rules), request(variation=FeeVariation(limit_bps=0, price_bps=by, tip_bps=0))).bid_lamports
        for by in (0, 200, -500, 700)
    }
    assert bids == {10_000, 9_800, 9_500, 9_300}
