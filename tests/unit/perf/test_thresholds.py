"""Thresholds: over the run, in windows, without data, and as text."""

import math

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


def test_throughput_of_an_empty_window_is_a_datum() -> None:
    limits = (
        Threshold(metric="ops_per_s", limit=50, scope="window", abort=True),
        Threshold(metric="total_ops", limit=1, scope="window"),
    )
    watch = ThresholdWatch(limits)
    assert watch.window(0, {"ops_per_s": 200.0, "total_ops": 200.0}, 200, is_in_plan=True) is None
    why = watch.window(1, {"ops_per_s": 0.0, "total_ops": 0.0}, 0, is_in_plan=True)
    assert why == "ops_per_s>=50 window abort was missed at 1.0 s with 0"
    assert [(found.value, found.bad_windows, found.met) for found in watch.results({}, 200)] == [(0.0, 1, False)] * 2


def test_throughput_is_not_judged_outside_of_the_plan() -> None:
    watch = ThresholdWatch((Threshold(metric="ops_per_s", limit=50, scope="window", abort=True),))
    assert watch.window(0, {"ops_per_s": 60.0}, 60, is_in_plan=True) is None
    assert watch.window(1, {"ops_per_s": 3.0}, 3, is_in_plan=False) is None
    found = watch.results({}, 63)[0]
    assert (found.value, found.met) == (60.0, True)


def test_throughput_where_the_plans_end_is_not_known_is_judged_by_windows_with_operations() -> None:
    watch = ThresholdWatch((Threshold(metric="ops_per_s", limit=50, scope="window"),))
    watch.window(0, {"ops_per_s": 60.0}, 60)
    watch.window(1, {"ops_per_s": 0.0}, 0)
    assert watch.results({}, 60)[0].met


@pytest.mark.parametrize(
    "metric", ["missed_starts", "errors", "errors.timeout", "rss_mb:bot", "cpu_percent", "probe:x"]
)
def test_what_is_not_of_operations_is_judged_in_empty_windows_too(metric: str) -> None:
    watch = ThresholdWatch((Threshold(metric=metric, limit=5, scope="window"),))
    watch.window(0, {metric: 9.0}, 0, is_in_plan=True)
    assert watch.results({}, 10)[0].why == "missed in 1 of 1 windows"


@pytest.mark.parametrize("metric", ["p95_ms", "service_p95_ms", "error_percent"])
def test_latencies_and_shares_pass_over_thin_windows(metric: str) -> None:
    watch = ThresholdWatch((Threshold(metric=metric, limit=5, scope="window", min_samples=5),))
    watch.window(0, {metric: 9.0}, 4, is_in_plan=True)
    watch.window(1, {metric: 2.0}, 5, is_in_plan=False)
    assert watch.results({}, 10)[0].met


def test_last_value_of_a_probe_stands_for_the_run() -> None:
    watch = ThresholdWatch((Threshold(metric="probe:x", limit=5),))
    for at_s, said in enumerate((9.0, 3.0)):
        watch.window(at_s, {"probe:x": said}, 0, is_in_plan=True)
    watch.window(2, {}, 0, is_in_plan=True)
    found = watch.results({"p95_ms": 1.0}, 10)[0]
    assert (found.value, found.met) == (3.0, True)


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


@pytest.mark.parametrize(
    "changes",
    [
        {"windows": 0},
        {"windows": 1.5},
        {"min_samples": -1},
        {"grace_s": -1.0},
        {"grace_s": math.nan},
        {"abort": True},
        {"limit": math.nan},
        {"limit": math.inf},
        {"scope": "widnow"},
    ],
)
def test_threshold_that_cannot_be_judged_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"at least|abort|whole|finite|scope"):
        Threshold(**{"metric": "p95_ms", "limit": 1.0, **changes})  # type: ignore[arg-type]  # wrong on purpose
