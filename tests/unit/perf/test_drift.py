"""Slopes that outliers do not move, and tails compared by thirds."""

import random

import pytest

from slotzero.perf.drift import drift_of, slope
from slotzero.perf.histogram import Histogram
from slotzero.perf.load_tape import window_figures
from slotzero.perf.load_types import Window

MS = 1_000_000


def test_slope_of_a_line_is_the_lines() -> None:
    found = slope([(x, 3 + 2 * x) for x in range(10)])
    assert found is not None
    assert (found.value, found.low, found.high, found.points) == (2, 2, 2, 10)


def test_slope_by_hand() -> None:
    # Pairs: 15 slopes of six points; their median is the eighth.
    points = [(0.0, 0.0), (1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 3.0), (5.0, 6.0)]
    found = slope(points)
    pairs = sorted((b - y) / (a - x) for i, (x, y) in enumerate(points) for a, b in points[i + 1 :])
    assert found is not None
    assert found.value == pairs[7] == 1.0
    assert found.low < 1.0 < found.high


def test_slope_is_not_moved_by_a_quarter_of_outliers() -> None:
    draw = random.Random(1)  # noqa: S311 repeatable, not secret
    points = [(float(x), 5.0 * x + draw.gauss(0, 1) + (1_000 if x % 4 == 0 else 0)) for x in range(200)]
    found = slope(points)
    assert found is not None
    assert found.value == pytest.approx(5, abs=0.2)
    assert found.low < 5 < found.high


def test_interval_of_no_trend_holds_zero_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(100):
        draw = random.Random(seed)  # noqa: S311 repeatable, not secret
        found = slope([(float(x), draw.gauss(0, 1)) for x in range(40)])
        assert found is not None
        held += found.low <= 0 <= found.high
    assert 88 <= held <= 100


def test_long_series_is_thinned() -> None:
    found = slope([(float(x), 2.0 * x) for x in range(5_000)])
    assert found is not None
    assert found.points <= 240
    assert found.value == 2


def test_too_few_points_have_no_slope() -> None:
    assert slope([(float(x), 1.0) for x in range(5)]) is None
    assert slope([(1.0, float(y)) for y in range(10)]) is None


def window(at_s: float, latency_ms: float | None, rss_mb: float, bot_mb: float) -> Window:
    headline = Histogram()
    if latency_ms is not None:
        headline.fold([round(latency_ms * MS)] * 100)
    return Window(
        at_s=at_s, span_s=10.0, ops=headline.count, errors=0, started=0, missed=0, in_flight=0, ops_per_s=0.0,
        rss_mb=rss_mb, extra={"rss_mb:bot": bot_mb, "cpu_percent:bot": 5.0}, **window_figures(headline),
    )  # fmt: skip


def test_drift_of_a_run_tells_the_leak_and_the_tail() -> None:
    timeline = [window(at * 10.0, 100 if at < 60 else 110, 50.0, 80 + at * 10 / 3_600 * 36) for at in range(90)]
    found = drift_of(timeline)
    assert set(found.rss_mb_per_h) == {"driver", "bot"}
    assert found.rss_mb_per_h["driver"].value == 0
    assert found.rss_mb_per_h["bot"].value == pytest.approx(36)
    assert found.p99_first_ms == pytest.approx(100, rel=0.004)
    assert found.p99_last_ms == pytest.approx(110, rel=0.004)
    assert found.p99_change_percent == pytest.approx(10, abs=0.9)


def test_start_of_a_run_can_be_left_out() -> None:
    timeline = [window(at * 10.0, 5, 10.0 * at if at < 10 else 100.0, 80) for at in range(60)]
    assert drift_of(timeline, skip_s=100).rss_mb_per_h["driver"].high == 0


def test_run_without_a_success_has_no_tail() -> None:
    found = drift_of([window(at * 10.0, None, 50, 80) for at in range(9)])
    assert (found.p99_first_ms, found.p99_last_ms, found.p99_change_percent) == (None, None, None)
    assert drift_of([]).rss_mb_per_h == {}
