from evidence_lab import sample, stage
from slotzero.perf.replay import REST, critical_path, overlap_ns, replayed_ns

MS = 1_000_000


def test_replay_without_changes_is_what_was_measured() -> None:
    one = sample(10, stage("a", 1, 3), stage("b", 5, 4))

    assert replayed_ns(one, {}) == 10 * MS
    assert replayed_ns(one, {0: 3 * MS}) == 10 * MS


def test_stages_in_sequence_shorter_first_moves_the_rest_up() -> None:
    one = sample(10, stage("a", 1, 3), stage("b", 5, 4))

    assert replayed_ns(one, {0: 1 * MS}) == 8 * MS
    assert replayed_ns(one, {0: 0, 1: 0}) == 3 * MS  # the gaps stay


def test_stage_beside_a_longer_one_changes_nothing() -> None:
    one = sample(10, stage("long", 0, 10), stage("short", 0, 4))

    assert replayed_ns(one, {1: 0}) == 10 * MS
    assert replayed_ns(one, {0: 2 * MS}) == 4 * MS  # now the other one is what is waited for


def test_stage_within_a_stage_shortens_its_whole() -> None:
    one = sample(10, stage("look-up", 1, 8, cache="miss"), stage("call", 2, 6, own=False, parent=0))

    assert replayed_ns(one, {1: 1 * MS}) == 5 * MS
    assert replayed_ns(one, {0: 1 * MS}) == 3 * MS  # what is in it does not matter any more


def test_stage_that_outlives_its_whole_is_not_waited_for() -> None:
    one = sample(10, stage("work", 0, 9), stage("left running", 1, 90, own=False))

    assert replayed_ns(one, {0: 4 * MS}) == 5 * MS


def test_critical_path_adds_up_and_names_what_ended_last() -> None:
    one = sample(12, stage("plan", 0, 2), stage("verdict", 1, 7, own=False), stage("send", 9, 3))

    assert critical_path(one) == {"send": 3 * MS, "verdict": 7 * MS, REST: 1 * MS, "plan": 1 * MS}


def test_critical_path_goes_into_stages() -> None:
    one = sample(10, stage("look-up", 1, 8), stage("call", 2, 6, own=False, parent=0))

    assert critical_path(one) == {REST: 2 * MS, "look-up": 2 * MS, "call": 6 * MS}


def test_overlap_counts_no_instant_twice() -> None:
    assert overlap_ns(10, 10, [(0, 12), (5, 10), (18, 50)]) == 7
    assert overlap_ns(10, 10, [(20, 5)]) == 0
