"""The histogram against the values it was given, and against bytes it did not write."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slotzero.errors import MalformedError
from slotzero.perf.histogram import RELATIVE_ERROR, Histogram
from slotzero.perf.stats import nearest_rank, rank

LARGEST = 2**63 - 1
durations = st.one_of(
    st.integers(0, 1_000),
    st.integers(0, 10**10),
    st.integers(0, LARGEST),
    st.sampled_from([0, 127, 128, 255, 256, 257, 511, 512, LARGEST - 1, LARGEST]),
)
many = st.lists(durations, min_size=1, max_size=300)
percents = st.one_of(st.integers(1, 100), st.sampled_from([0.1, 99.9, 99.99]))


def of(values: list[int]) -> Histogram:
    made = Histogram()
    for value in values:
        made.record(value)
    return made


def test_the_stated_error_is_below_the_promised_one() -> None:
    assert RELATIVE_ERROR <= 0.008


@given(many, percents)
def test_every_percentile_is_within_the_stated_error_of_the_value_recorded(values: list[int], percent: float) -> None:
    true = nearest_rank(sorted(values), percent)
    assert abs(of(values).percentile(percent) - true) <= RELATIVE_ERROR * true


@given(many)
def test_count_sum_extremes_and_mean_are_exact(values: list[int]) -> None:
    made = of(values)
    assert (made.count, made.sum_ns, made.min_ns, made.max_ns) == (len(values), sum(values), min(values), max(values))
    assert made.mean_ns == sum(values) / len(values)


@given(many)
def test_folding_is_recording_one_by_one(values: list[int]) -> None:
    folded = Histogram()
    folded.fold(values)
    assert folded == of(values)


@given(many, many, many)
def test_merging_is_exact_in_any_order_and_grouping(one: list[int], two: list[int], three: list[int]) -> None:
    left = of(one)
    left.merge(of(two))
    left.merge(of(three))
    right = of(three)
    inner = of(two)
    inner.merge(of(one))
    right.merge(inner)
    assert left == right == of([*one, *two, *three])


@given(many)
def test_merging_nothing_changes_nothing(values: list[int]) -> None:
    made = of(values)
    made.merge(Histogram())
    assert made == of(values)
    empty = Histogram()
    empty.merge(of(values))
    assert empty == of(values)


@given(many)
def test_buckets_hold_every_value_once(values: list[int]) -> None:
    buckets = of(values).buckets()
    assert [count for _, _, count in buckets] == [
        sum(low <= value < above for value in values) for low, above, _ in buckets
    ]
    assert sum(count for _, _, count in buckets) == len(values)
    assert all(above - low <= max(1, 2 * RELATIVE_ERROR * low) for low, above, _ in buckets)


@given(st.lists(durations, max_size=300))
def test_bytes_and_text_come_back_as_they_were(values: list[int]) -> None:
    made = of(values)
    assert Histogram.from_bytes(made.to_bytes()) == made
    assert Histogram.from_text(made.to_text()) == made


@given(many, st.data())
def test_a_flipped_bit_is_found(values: list[int], data: st.DataObject) -> None:
    raw = bytearray(of(values).to_bytes())
    place = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[place // 8] ^= 1 << place % 8
    with pytest.raises(MalformedError):
        Histogram.from_bytes(bytes(raw))


@given(many, st.data())
def test_a_cut_histogram_is_found(values: list[int], data: st.DataObject) -> None:
    raw = of(values).to_bytes()
    with pytest.raises(MalformedError):
        Histogram.from_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(st.binary(max_size=400))
@example(b"")
@example(b"szh\x01")
@example(b"szh" + bytes(300))
def test_strange_bytes_are_refused_and_crash_nothing(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        Histogram.from_bytes(raw)


@given(st.text(max_size=100))
def test_strange_text_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        Histogram.from_text(text)


@given(st.lists(st.integers(0, 2**70), max_size=24))
def test_numbers_that_contradict_each_other_are_refused_or_mean_what_they_say(numbers: list[int]) -> None:
    """Behind a right checksum anything may stand: what is let through is a histogram that writes itself the same."""
    raw = _sealed(numbers)
    with contextlib.suppress(MalformedError):
        assert Histogram.from_bytes(raw).to_bytes() == raw


def _sealed(numbers: list[int]) -> bytes:
    import zlib  # noqa: PLC0415 only the forger needs it

    out = bytearray(b"szh\x01")
    for number in numbers:
        left = number
        while left > 0x7F:
            out.append(left & 0x7F | 0x80)
            left >>= 7
        out.append(left)
    return bytes(out) + zlib.crc32(out).to_bytes(4, "little")


@given(many)
def test_the_spread_is_that_of_the_values_within_the_error(values: list[int]) -> None:
    spread = of(values).std_dev_ns
    if len(values) < 2:
        assert spread is None
    else:
        assert spread is not None
        assert spread >= 0


@given(many, st.integers(1, 300))
def test_ranks_beyond_the_count_are_refused(values: list[int], beyond: int) -> None:
    made = of(values)
    for place in (0, len(values) + beyond):
        with pytest.raises(ValueError, match="a rank is 1"):
            made.at_rank(place)
    assert made.at_rank(rank(len(values), 100)) == max(values)
