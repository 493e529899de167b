from hypothesis import given
from hypothesis import strategies as st

from slotzero.perf.evidence import SampleRecord, Stage
from slotzero.perf.replay import critical_path, replayed_ns
from slotzero.units import DurationNs, MonoNs

TOOK = 1_000


@st.composite
def samples(draw: st.DrawFn) -> SampleRecord:
    """Samples whose stages lie within one another, as a tape writes them."""
    stages: list[Stage] = []
    for place in range(draw(st.integers(0, 8))):
        parent = draw(st.integers(-1, place - 1))
        low, length = (0, TOOK) if parent < 0 else (stages[parent].start_ns, stages[parent].took_ns)
        start = draw(st.integers(low, low + length))
        took = draw(st.integers(0, low + length - start))
        stages.append(Stage(name=f"s{place}", start_ns=DurationNs(start), took_ns=DurationNs(took), parent=parent))
    return SampleRecord(start=MonoNs(0), took_ns=DurationNs(TOOK), stages=tuple(stages))


@given(samples())
def test_replaying_what_was_recorded_gives_what_was_recorded(sample: SampleRecord) -> None:
    leaves = set(range(len(sample.stages))) - {stage.parent for stage in sample.stages}

    assert replayed_ns(sample, {place: sample.stages[place].took_ns for place in leaves}) == TOOK


@given(samples(), st.data())
def test_a_shorter_stage_never_makes_the_whole_longer_nor_gains_more_than_it_gave(
    sample: SampleRecord, data: st.DataObject
) -> None:
    if not sample.stages:
        return
    place = data.draw(st.integers(0, len(sample.stages) - 1))
    old = sample.stages[place].took_ns
    new = data.draw(st.integers(0, old))

    after = replayed_ns(sample, {place: new})

    assert TOOK - (old - new) <= after <= TOOK


@given(samples())
def test_critical_path_adds_up_to_the_whole(sample: SampleRecord) -> None:
    assert sum(critical_path(sample).values()) == TOOK
