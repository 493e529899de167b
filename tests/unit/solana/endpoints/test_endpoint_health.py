from slotzero.solana.endpoints import Health
from slotzero.units import DurationNs, Slot

MS = 1_000_000


def probed(*latencies_ms: int) -> Health:
    health = Health()
    for latency in latencies_ms:
        health.on_probe(DurationNs(latency * MS))
    return health


def test_score_is_the_latency_of_probes_and_a_guess_before_the_first() -> None:
    assert Health().score_ns == 100 * MS
    assert probed(8).score_ns == 8 * MS
    assert probed(8, 16).score_ns == 9 * MS


def test_failures_cost_and_answers_heal() -> None:
    health = probed(8)
    health.on_failure("transport")
    assert health.score_ns == 133 * MS
    after = []
    for _ in range(60):
        health.on_answer()
        after.append(health.score_ns)
    assert after == sorted(after, reverse=True)
    assert after[-1] == 8 * MS


def test_refusal_of_the_question_is_counted_and_costs_nothing() -> None:
    health = probed(8)
    health.on_failure("refused")
    assert (health.score_ns, dict(health.failures)) == (8 * MS, {"refused": 1})


def test_lag_is_the_distance_to_the_newest_slot_told_and_never_negative() -> None:
    health = probed(8)
    health.on_slot("confirmed", Slot(90), Slot(100))
    assert (health.lag_slots, health.score_ns) == (10, 508 * MS)
    health.on_slot("confirmed", Slot(103), Slot(103))
    assert (health.lag_slots, health.slots) == (0, {"confirmed": 103})
