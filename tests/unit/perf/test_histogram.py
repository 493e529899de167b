"""What the histogram's properties do not say: sizes, refusals, accuracy on a distribution of latencies."""

import math
from random import Random

import pytest

from slotzero.errors import MalformedError
from slotzero.perf.histogram import RELATIVE_ERROR, Histogram
from slotzero.perf.stats import nearest_rank, std_dev


def log_normal(count: int) -> list[int]:
    draw = Random(3)  # noqa: S311 a sample, no secret
    return [round(draw.lognormvariate(math.log(200_000), 0.8)) for _ in range(count)]


def test_a_million_of_one_shape_take_few_bytes() -> None:
    made = Histogram()
    for _ in range(10):
        made.fold(log_normal(20_000) * 5)
    assert made.count == 1_000_000
    assert len(made.to_bytes()) < 4_000


def test_every_percentile_of_latencies_is_within_the_error() -> None:
    values = sorted(log_normal(20_000))
    made = Histogram()
    made.fold_ordered(values)
    for permille in range(1, 1_001):
        true = nearest_rank(values, permille / 10)
        assert abs(made.percentile(permille / 10) - true) <= RELATIVE_ERROR * true
    spread = std_dev(values)
    assert spread is not None
    assert made.std_dev_ns == pytest.approx(spread, rel=0.01)


def test_an_empty_one_has_no_figures() -> None:
    empty = Histogram()
    assert empty.count == 0
    assert empty.sum_ns == 0
    assert empty.std_dev_ns is None
    assert empty.buckets() == []
    assert repr(empty) == "Histogram(empty)"
    for figure in ("min_ns", "max_ns", "mean_ns"):
        with pytest.raises(ValueError, match="no figures"):
            getattr(empty, figure)
    with pytest.raises(ValueError, match="at least one sample"):
        empty.percentile(50)


@pytest.mark.parametrize("value", [-1, 2**63])
def test_what_is_no_duration_is_refused_and_nothing_of_its_batch_counted(value: int) -> None:
    made = Histogram()
    with pytest.raises(ValueError, match="a duration is 0 to"):
        made.record(value)
    with pytest.raises(ValueError, match="a duration is 0 to"):
        made.fold([1, 2, value])
    assert made.count == 0


def test_folding_nothing_changes_nothing() -> None:
    made = Histogram()
    made.fold([])
    assert made == Histogram()


def test_it_is_no_key_and_shows_itself() -> None:
    made = Histogram()
    made.record(5)
    with pytest.raises(TypeError):
        hash(made)
    assert repr(made) == "Histogram(1 durations, 5 to 5 ns)"
    assert made != "something else"


def test_another_version_is_refused_by_name() -> None:
    raw = bytearray(Histogram().to_bytes())
    raw[3] = 9
    with pytest.raises(MalformedError, match="version 9, expected 1"):
        Histogram.from_bytes(bytes(raw))


def test_a_huge_one_is_refused_before_it_is_read() -> None:
    with pytest.raises(MalformedError, match="at most"):
        Histogram.from_bytes(bytes(300_000))
