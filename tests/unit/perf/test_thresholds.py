"""Thresholds: over the run, in windows, without data, and as text."""

import pytest

from slotzero.perf.thresholds import Threshold, ThresholdWatch, parse_threshold


def test_run_threshold_is_met_by_the_runs_own_figure() -> None:
    watch = ThresholdWatch((Threshold(metric="p95_ms", limit=400), Threshold(metric="success_percent", limit=99)))
    results = watch.results({"p95_ms": 400.0, "success_percent": 98.9}, 1_000)
    assert [(found.name, found.limit, found.value, found.met) for found in results] == [
        ("p95_ms<=400", 400, 400.0, True),
        ("success_percent>=99", 99, 98.9, False),
    ]
    assert results[1].why == "it was 98.9"


def test_no_data_is_missed() -> None:
    watch = ThresholdWatch((Threshold(metric="p95_ms", limit=1), Threshold(metric="p95_ms", limit=1, scope="window")))
    results = watch.results({}, 0)
    assert [found.met for found in results] == [False, False]
    assert [found.why for found in results] == ["there is no data", "no window held enough data"]


def test_run_with_too_few_samples_is_missed() -> None:
    watch = ThresholdWatch((Threshold(metric="p99_ms", limit=100, min_samples=100),))
    assert watch.results({"p99_ms": 1.0}, 99)[0].why == "99 operations are too few to judge, 100 are needed"
    assert watch.results({"p99_ms": 1.0}, 100)[0].met


def test_window_threshold_keeps_the_worst_window_and_the_first_miss() -> None:
    watch = ThresholdWatch((Threshold(metric="p95_ms", limit=100, scope="window"),))
    for at_s, p95 in enumerate((50.0, 150.0, 90.0, 300.0)):
        assert watch.window(at_s, {"p95_ms": p95}, 10) is None
    found = watch.results({"p95_ms": 60.0}, 40)[0]
    assert (found.value, found.met, found.at_s, found.bad_windows) == (300.0, False, 1, 2)
    assert found.why == "missed in 2 of 4 windows"


def test_window_threshold_passes_over_grace_and_thin_windows() -> None:
    limit = Threshold(metric="ops_per_s", limit=90, scope="window", grace_s=2, min_samples=5)
    watch = ThresholdWatch((limit,))
    watch.window(0, {"ops_per_s": 1.0}, 10)
    watch.window(1, {"ops_per_s": 1.0}, 10)
    watch.window(2, {"ops_per_s": 1.0}, 4)
    watch.window(3, {"ops_per_s": 95.0}, 10)
    assert watch.results({}, 34)[0].met


def test_bad_windows_must_come_in_a_row() -> None:
    limit = Threshold(metric="errors", limit=0, scope="window", windows=2, abort=True)
    watch = ThresholdWatch((limit,))
    assert [watch.window(at_s, {"errors": bad}, 10) for at_s, bad in enumerate((1.0, 0.0, 1.0))] == [None] * 3
    assert watch.window(3, {"errors": 4.0}, 10) == "errors<=0 window abort was missed at 3.0 s with 4"
    assert watch.window(4, {"errors": 4.0}, 10) is None


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("p95_ms<=400", Threshold(metric="p95_ms", limit=400)),
        (" success_percent >= 99.5 ", Threshold(metric="success_percent", limit=99.5)),
        ("p99_ms<=900 window", Threshold(metric="p99_ms", limit=900, scope="window")),
        ("errors.timeout<=3 window abort", Threshold(metric="errors.timeout", limit=3, scope="window", abort=True)),
        ("rss_mb:chain<=400", Threshold(metric="rss_mb:chain", limit=400)),
    ],
)
def test_threshold_is_read_from_text_and_written_back(text: str, made: Threshold) -> None:
    assert parse_threshold(text) == made
    assert parse_threshold(made.name) == made


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("p95", "reads like"),
        ("p95_ms<400", "reads like"),
        ("p95_ms<=4.4.4", "a limit is a number"),
        ("p94_ms<=4", "no figure is called"),
        ("p95_ms>=4", "write p95_ms<=4"),
        ("success_percent<=4", "write success_percent>=4"),
    ],
)
def test_text_that_is_no_threshold_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse_threshold(text)


@pytest.mark.parametrize("changes", [{"windows": 0}, {"min_samples": -1}, {"grace_s": -1.0}, {"abort": True}])
def test_threshold_that_cannot_be_judged_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"at least|abort"):
        Threshold(metric="p95_ms", limit=1, **changes)  # type: ignore[arg-type]  # wrong on purpose
