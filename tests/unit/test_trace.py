"""One snipe's stamps: which interval is ours, which was waited, and what is said when stamps are missing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotzero.trace import COMPONENTS, Component, Span, Stamp, Trace

LINE: dict[Stamp, int] = {
    Stamp.CAUSE: 100,
    Stamp.FRAME: 200,
    Stamp.POOL: 210,
    Stamp.FILTERED: 213,
    Stamp.PLANNED: 220,
    Stamp.SIGNED: 260,
    Stamp.GATED: 1_260,
    Stamp.SENT: 1_270,
    Stamp.CONFIRMED: 5_270,
    Stamp.TRIGGERED: 9_000,
    Stamp.EXIT_SIGNED: 9_050,
    Stamp.EXIT_SENT: 9_950,
    Stamp.EXIT_CONFIRMED: 12_000,
    Stamp.VERDICT: 1_110,
}


def trace(*, without: tuple[Stamp, ...] = (), **moved: int) -> Trace:
    made = Trace()
    for stamp, at in LINE.items():
        if stamp not in without:
            made.mark(stamp, moved.get(stamp.name, at))
    return made


def figures(component: Component, made: Trace) -> tuple[int, int | None, int | None, str]:
    span = made.span(component)
    assert isinstance(span, Span)
    assert span.component is component
    return span.total_ns, span.own_ns, span.waited_ns, span.starts_at


@pytest.mark.parametrize(
    ("component", "total", "own", "waited"),
    [
        (Component.DETECTION, 110, 10, 100),
        (Component.FILTERS, 3, 3, 0),
        (Component.EXECUTION, 5_050, 40 + 10, 5_000),
        (Component.FULL_FLOW, 5_170, 10 + 3 + 7 + 40 + 10, 5_100),
        (Component.EXIT, 3_000, 50, 2_950),
    ],
)
def test_component_is_split_into_own_and_waited_time(component: Component, total: int, own: int, waited: int) -> None:
    assert figures(component, trace()) == (total, own, waited, "chain")


def test_verdict_stands_beside_the_line_and_its_time_is_not_split() -> None:
    assert figures(Component.HONEYPOT, trace()) == (900, None, None, "chain")
    late = trace(VERDICT=8_000)
    assert figures(Component.FULL_FLOW, late) == figures(Component.FULL_FLOW, trace())


@pytest.mark.parametrize("component", [Component.DETECTION, Component.FULL_FLOW])
def test_without_the_chains_own_instant_it_starts_at_the_frame(component: Component) -> None:
    with_cause, without = trace().span(component), trace(without=(Stamp.CAUSE,)).span(component)
    assert with_cause is not None
    assert without is not None
    assert without.starts_at == "frame"
    assert without.total_ns == with_cause.total_ns - 100
    assert without.own_ns == with_cause.own_ns


@pytest.mark.parametrize("component", list(COMPONENTS))
def test_component_whose_end_was_not_reached_has_no_span(component: Component) -> None:
    first, last = COMPONENTS[component]
    assert trace(without=(last,)).span(component) is None
    if first is not Stamp.CAUSE:
        assert trace(without=(first,)).span(component) is None
    else:
        assert trace(without=(first, Stamp.FRAME)).span(component) is None


def test_component_a_snipe_does_not_measure_has_no_span() -> None:
    assert [c for c in Component if trace().span(c) is not None] == [c for c in Component if c in COMPONENTS]
    assert [span.component for span in trace().spans()] == list(COMPONENTS)
    assert Trace().spans() == []


def test_interval_over_missing_stamps_counts_as_the_stamp_says_that_ends_it() -> None:
    assert figures(Component.EXECUTION, trace(without=(Stamp.SIGNED, Stamp.GATED))) == (5_050, 1_050, 4_000, "chain")
    assert figures(Component.EXECUTION, trace(without=(Stamp.SENT,))) == (5_050, 40, 5_010, "chain")


def test_stamp_set_again_is_moved() -> None:
    made = trace()
    made.mark(Stamp.EXIT_CONFIRMED, 20_000)
    assert made.at(Stamp.EXIT_CONFIRMED) == 20_000
    assert figures(Component.EXIT, made)[0] == 11_000


def test_clock_of_a_chain_ahead_of_ours_gives_no_negative_time() -> None:
    assert figures(Component.DETECTION, trace(CAUSE=5_000)) == (0, 0, 0, "chain")
    assert figures(Component.DETECTION, trace(CAUSE=205)) == (5, 5, 0, "chain")


def test_stamps_are_given_by_name_without_those_not_reached() -> None:
    made = Trace()
    made.mark(Stamp.FRAME, 7)
    made.mark(Stamp.VERDICT, 9)
    assert made.as_dict() == {"frame": 7, "verdict": 9}
    assert (made.at(Stamp.FRAME), made.at(Stamp.POOL)) == (7, None)


@given(st.dictionaries(st.sampled_from(list(Stamp)), st.integers(0, 10**6)))
def test_own_and_waited_add_up_to_the_whole_whatever_was_stamped(stamps: dict[Stamp, int]) -> None:
    made = Trace()
    for stamp, at in stamps.items():
        made.mark(stamp, at)
    for span in made.spans():
        assert span.total_ns >= 0
        if span.own_ns is None or span.waited_ns is None:
            assert span.component is Component.HONEYPOT
        else:
            assert span.own_ns >= 0
            assert span.waited_ns >= 0
            assert span.own_ns + span.waited_ns == span.total_ns
