import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotzero.safety import Decision, Evidence, Verdict, combine


def found(decision: Decision, reason: str = "r", layer: str = "l") -> Evidence:
    return Evidence(layer=layer, decision=decision, reason=reason, detail="")


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([], "UNSURE"),
        (["ALLOW"], "ALLOW"),
        (["ALLOW", "ALLOW"], "ALLOW"),
        (["ALLOW", "UNSURE"], "UNSURE"),
        (["UNSURE", "DENY"], "DENY"),
        (["ALLOW", "DENY"], "DENY"),
    ],
)
def test_combination_fails_closed(decisions: list[Decision], expected: Decision) -> None:
    assert combine(found(decision) for decision in decisions) == expected


@given(st.lists(st.sampled_from(["ALLOW", "DENY", "UNSURE"]), max_size=6), st.randoms(use_true_random=False))
def test_combination_does_not_depend_on_order(decisions: list[Decision], shuffle: object) -> None:
    evidence = [found(decision) for decision in decisions]
    shuffled = sorted(evidence, key=lambda _: shuffle.random())  # type: ignore[attr-defined]  # a random.Random
    assert combine(evidence) == combine(shuffled)


def test_reasons_are_denials_first_each_once_and_notes_stand_apart() -> None:
    verdict = Verdict(
        decision="DENY",
        evidence=(
            found("UNSURE", "not_answered_in_time"),
            found("ALLOW", "passed"),
            found("ALLOW", "metadata_mutable"),
            found("DENY", "transfer_fee"),
            found("DENY", "transfer_fee"),
        ),
        facts_decision="DENY",
        depends_on=(),
    )
    assert verdict.reasons == ("transfer_fee", "not_answered_in_time")
    assert verdict.notes == ("metadata_mutable",)
