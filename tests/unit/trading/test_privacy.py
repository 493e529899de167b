"""Variations by a seeded chance, and what remains visible on chain."""

from collections.abc import Sequence
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from slotzero.trading.fee_policy import NO_VARIATION
from slotzero.trading.privacy import (
    Finding,
    LinkabilityRules,
    Privacy,
    PrivacyPlan,
    PrivacyRules,
    PrivatePurpose,
    WalletTransaction,
    linkability_report,
)
from slotzero.units import ComputeUnits, DurationNs, Lamports, MicroLamportsPerCu, Slot
from trading_lab import key

RULES = PrivacyRules()
SOL = Lamports(1_000_000_000)
ALICE, BOB, CAROL, DAVE = (key(number) for number in range(1, 5))
BANK, EXCHANGE = key(90), key(91)
WALLETS = (ALICE, BOB, CAROL, DAVE)


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 a test is repeated


def privacy(rules: PrivacyRules = RULES, seed: int = 1) -> Privacy:
    return Privacy(rules, seeded(seed))


# ---- variations ----------------------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_plans() -> None:
    purposes: list[PrivatePurpose] = ["entry", "exit", "funding", "emergency", "entry"]
    first, second = privacy(), privacy()
    assert [first.plan(p, SOL, WALLETS) for p in purposes] == [second.plan(p, SOL, WALLETS) for p in purposes]
    assert privacy(seed=2).plan("entry", SOL) != privacy(seed=3).plan("entry", SOL)


def test_everything_off_changes_nothing() -> None:
    off = PrivacyRules(
        exit_jitter_ms=0, funding_jitter_ms=0, size_noise_bps=0, limit_variation_bps=0, bid_variation_bps=0
    )
    assert privacy(off).plan("exit", SOL) == PrivacyPlan(
        delay_ns=DurationNs(0), lamports=SOL, fees=NO_VARIATION, wallet=None
    )
    assert privacy(off).plan("entry", SOL).lamports == SOL


def test_no_trade_is_delayed_by_default_and_an_exit_is_where_the_rules_say_so() -> None:
    made, patient = privacy(), privacy(PrivacyRules(exit_jitter_ms=250))
    assert {made.plan("entry", SOL).delay_ns for _ in range(50)} == {0}
    assert {made.plan("exit", SOL).delay_ns for _ in range(50)} == {0}
    assert {made.plan("emergency", SOL).delay_ns for _ in range(50)} == {0}
    assert len({patient.plan("exit", SOL).delay_ns for _ in range(50)}) == 50


def test_emergency_is_never_delayed_and_never_bids_less_whatever_the_rules() -> None:
    made = privacy(PrivacyRules(entry_jitter_ms=10_000, exit_jitter_ms=10_000, bid_variation_bps=5_000))
    plans = [made.plan("emergency", SOL) for _ in range(200)]
    assert all(plan.delay_ns == 0 and plan.lamports == SOL for plan in plans)
    assert all(plan.fees.price_bps >= 0 and plan.fees.tip_bps >= 0 for plan in plans)


def test_cost_of_delays_is_told_apart_by_purpose() -> None:
    made = privacy()
    delays = [made.plan("exit", SOL).delay_ns for _ in range(10)]
    made.plan("entry", SOL)
    costs = {cost.purpose: (cost.count, cost.total_ns, cost.longest_ns) for cost in made.costs()}
    assert costs == {
        "entry": (1, 0, 0),
        "exit": (10, sum(delays), max(delays)),
        "emergency": (0, 0, 0),
        "funding": (0, 0, 0),
    }


def test_wallet_is_chosen_by_the_hook() -> None:
    def last(candidates: Sequence[Pubkey], _rng: Random) -> Pubkey:
        return candidates[-1]

    made = Privacy(RULES, seeded(1), choose=last)
    assert made.plan("entry", SOL, WALLETS).wallet == DAVE
    assert made.plan("entry", SOL).wallet is None
    assert made.choose((ALICE, BOB)) == BOB


def test_every_wallet_is_chosen_sooner_or_later_without_a_hook() -> None:
    made = privacy()
    assert {made.choose(WALLETS) for _ in range(200)} == set(WALLETS)


def test_choice_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one address"):
        privacy().choose(())


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    lamports=st.integers(0, 10**12).map(Lamports),
    noise=st.integers(0, 10_000),
    jitter=st.integers(0, 5_000),
    variation=st.integers(0, 5_000),
    purpose=st.sampled_from(["entry", "exit", "emergency", "funding"]),
)
def test_variations_stay_within_their_bounds(
    seed: int, lamports: Lamports, noise: int, jitter: int, variation: int, purpose: PrivatePurpose
) -> None:
    rules = PrivacyRules(
        entry_jitter_ms=jitter,
        exit_jitter_ms=jitter,
        funding_jitter_ms=jitter,
        size_noise_bps=noise,
        limit_variation_bps=variation,
        bid_variation_bps=variation,
    )
    plan = privacy(rules, seed).plan(purpose, lamports)
    assert 0 <= plan.delay_ns <= jitter * 1_000_000
    assert plan.lamports <= lamports
    assert plan.lamports >= (lamports * (10_000 - noise) // 10_000 if purpose == "entry" else lamports)
    assert plan.lamports > 0 or lamports == 0
    assert 0 <= plan.fees.limit_bps <= variation
    assert -variation <= plan.fees.price_bps <= variation
    assert -variation <= plan.fees.tip_bps <= variation


# ---- linkability ---------------------------------------------------------------------------------------------------


def transaction(wallet: Pubkey, number: int, **changes: object) -> WalletTransaction:
    """A buy like no other."""
    plain = WalletTransaction(
        wallet=wallet,
        slot=Slot(1_000 * number),
        kind="buy",
        lamports=Lamports(100_000_000 + number),
        unit_limit=ComputeUnits(100_000 + number),
        unit_price=MicroLamportsPerCu(50_000 + number),
        tip_lamports=Lamports(10_000 + number),
        mint=key(1_000 + number),
        creator=key(2_000 + number),
    )
    return msgspec.structs.replace(plain, **changes)


def moved_money(wallet: Pubkey, kind: str, counterparty: Pubkey, slot: int = 1) -> WalletTransaction:
    return transaction(wallet, slot, kind=kind, counterparty=counterparty, mint=None, creator=None)


def only(found: Sequence[Finding]) -> Finding:
    (finding,) = found
    return finding


def test_unlike_wallets_are_not_tied() -> None:
    report = linkability_report(WALLETS, [transaction(wallet, number) for number, wallet in enumerate(WALLETS * 5)])
    assert report.findings == ()
    assert report.groups == ((ALICE,), (BOB,), (CAROL,), (DAVE,))
    assert report.transactions == 20


def test_one_source_of_funds_ties_for_certain_and_an_exchange_only_weakly() -> None:
    funded = [moved_money(wallet, "funding", BANK) for wallet in (ALICE, CAROL)]
    finding = only(linkability_report(WALLETS, funded).findings)
    assert (finding.kind, finding.strength, finding.wallets, finding.count) == (
        "shared_funding",
        "certain",
        (ALICE, CAROL),
        2,
    )
    assert linkability_report(WALLETS, funded).groups == ((ALICE, CAROL), (BOB,), (DAVE,))
    report = linkability_report(WALLETS, funded, LinkabilityRules(shared_sources=frozenset({BANK})))
    assert only(report.findings).strength == "weak"
    assert len(report.groups) == 4


def test_transfer_between_own_wallets_and_common_sweep_are_found() -> None:
    report = linkability_report(
        WALLETS,
        [
            moved_money(ALICE, "sweep", BOB),
            moved_money(BOB, "funding", ALICE),
            moved_money(CAROL, "sweep", BANK),
            moved_money(BOB, "sweep", BANK, slot=9),
            moved_money(DAVE, "sweep", EXCHANGE),
            moved_money(EXCHANGE, "sweep", BANK),  # nobody of ours
        ],
    )
    assert [(f.kind, f.wallets, f.count) for f in report.findings] == [
        ("own_transfer", (ALICE, BOB), 2),
        ("shared_destination", (BOB, CAROL), 2),
    ]
    assert report.groups == ((ALICE, BOB, CAROL), (DAVE,))


def test_same_coins_within_slots_are_likely_and_merely_same_coins_weak() -> None:
    together = [transaction(ALICE, n) for n in range(3)]
    together += [transaction(BOB, n + 50, slot=Slot(1_000 * n + 2), mint=key(1_000 + n)) for n in range(3)]
    apart = [transaction(CAROL, n + 90, slot=Slot(1_000 * n + 3), mint=key(1_000 + n)) for n in range(3)]
    report = linkability_report(WALLETS, together + apart)
    assert [(f.kind, f.strength, f.wallets) for f in report.findings] == [
        ("same_moment", "likely", (ALICE, BOB)),
        ("same_moment", "likely", (BOB, CAROL)),
        ("shared_coins", "weak", (ALICE, BOB)),
        ("shared_coins", "weak", (ALICE, CAROL)),
        ("shared_coins", "weak", (BOB, CAROL)),
    ]
    assert linkability_report(WALLETS, together[:2] + together[3:5]).findings == ()


def test_same_creators_are_a_weak_tie() -> None:
    buys = [transaction(ALICE, n) for n in range(3)] + [
        transaction(BOB, n + 50, creator=key(2_000 + n)) for n in range(3)
    ]
    finding = only(linkability_report(WALLETS, buys).findings)
    assert (finding.kind, finding.strength, finding.count) == ("shared_creators", "weak", 3)


def test_habit_of_one_wallet_is_told_and_of_several_ties_them() -> None:
    round_size = Lamports(100_000_000)
    alone = [transaction(ALICE, n, lamports=round_size) for n in range(3)]
    finding = only(linkability_report(WALLETS, alone).findings)
    assert (finding.kind, finding.strength, finding.wallets, finding.count) == ("same_size", "weak", (ALICE,), 3)
    assert finding.detail.endswith("made 3 buys of exactly 100000000 lamports")
    both = alone + [transaction(DAVE, n + 50, lamports=round_size) for n in range(3)]
    report = linkability_report(WALLETS, both)
    assert (only(report.findings).strength, report.groups[0]) == ("likely", (ALICE, DAVE))


def test_size_that_is_rare_among_a_wallets_buys_is_no_habit() -> None:
    buys = [transaction(ALICE, n) for n in range(10)]
    buys += [transaction(ALICE, n + 50, lamports=Lamports(5)) for n in range(3)]
    assert linkability_report(WALLETS, buys).findings == ()


def test_fixed_fees_are_a_fingerprint_and_varied_ones_are_none() -> None:
    fixed = {
        "unit_limit": ComputeUnits(160_000),
        "unit_price": MicroLamportsPerCu(100_000),
        "tip_lamports": Lamports(0),
    }
    trades = [transaction(wallet, n + 20 * i, **fixed) for i, wallet in enumerate((BOB, CAROL)) for n in range(4)]
    report = linkability_report(WALLETS, trades)
    assert (only(report.findings).kind, only(report.findings).wallets) == ("fee_fingerprint", (BOB, CAROL))
    assert "unit limit 160000, unit price 100000 and tip 0" in report.findings[0].detail
    made = privacy()
    varied = []
    for trade in trades:
        fees = made.plan("entry", trade.lamports).fees
        limit = ComputeUnits(trade.unit_limit * (10_000 + fees.limit_bps) // 10_000)
        price = MicroLamportsPerCu(trade.unit_price * (10_000 + fees.price_bps) // 10_000)
        varied.append(msgspec.structs.replace(trade, unit_limit=limit, unit_price=price))
    assert linkability_report(WALLETS, varied).findings == ()


def test_report_does_not_depend_on_the_order_of_transactions() -> None:
    chance = seeded(7)
    seen = [
        transaction(chance.choice(WALLETS), n, mint=key(1_000 + n % 7), slot=Slot(n % 7), lamports=Lamports(n % 3 + 1))
        for n in range(60)
    ] + [moved_money(wallet, "funding", BANK) for wallet in WALLETS]
    shuffled = seen[:]
    chance.shuffle(shuffled)
    assert set(linkability_report(WALLETS, shuffled).findings) == set(linkability_report(WALLETS, seen).findings)
    assert linkability_report(WALLETS, shuffled).groups == (WALLETS,)
