"""The registry's text says what prometheus-client's parser reads, in both formats; the ten names are as promised."""

import math
import subprocess
import threading
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from monitoring_lab import needs_service
from observe_lab import TARGETS, benchmark, busy_bot, busy_lab, finished
from slotzero.clock import TestClock
from slotzero.observe.lab import LabFeed
from slotzero.observe.metrics import Family, Histogram, Registry

TEN = {
    "benchmark_duration_ms": ("histogram", {"component"}),
    "benchmark_success_rate": ("gauge", {"component"}),
    "benchmark_throughput_ops": ("gauge", {"component"}),
    "benchmark_memory_mb": ("gauge", {"component"}),
    "benchmark_cpu_percent": ("gauge", {"component"}),
    "benchmark_total": ("counter", {"component"}),
    "benchmark_errors_total": ("counter", {"component", "type"}),
    "load_test_requests_total": ("counter", {"scenario", "status"}),
    "load_test_duration_ms": ("histogram", {"scenario"}),
    "load_test_concurrency": ("gauge", {"scenario"}),
}


def samples(text: bytes, *, openmetrics: bool = False) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    parse: Any = parse_openmetrics if openmetrics else parse_text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
        for family in parse(text.decode())
        for sample in family.samples
    }


def held(registry: Registry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What the cells hold, spelt out the long way."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in registry.families():
        for values, cell in family.cells().items():
            labels = dict(zip(family.labels, values, strict=True))
            if isinstance(cell, Histogram):
                for index, bound in enumerate([*cell.bounds, math.inf]):
                    spelt = "+Inf" if bound == math.inf else str(float(bound))
                    key = tuple(sorted({**labels, "le": spelt}.items()))
                    found[f"{family.name}_bucket", key] = sum(cell.counts[: index + 1])
                plain = tuple(sorted(labels.items()))
                found[f"{family.name}_sum", plain] = cell.total
                found[f"{family.name}_count", plain] = sum(cell.counts)
            elif cell.value is not None:
                found[family.name, tuple(sorted(labels.items()))] = cell.value
    return found


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize("fill", [busy_lab, busy_bot])
def test_text_of_a_full_registry_is_read_as_what_the_cells_hold(fill: Any, openmetrics: bool) -> None:  # noqa: FBT001 a parameter
    registry = Registry()
    fill(registry)
    expected = held(registry)
    assert samples(registry.render(openmetrics=openmetrics), openmetrics=openmetrics) == expected
    assert registry.series() == len(expected)


@pytest.mark.parametrize("fill", [busy_lab, busy_bot])
def test_a_process_that_has_seen_everything_stays_under_500_series(fill: Any) -> None:
    registry = Registry()
    fill(registry)
    assert registry.series() < 500


def test_the_ten_metrics_have_the_promised_types_and_labels() -> None:
    registry = Registry()
    busy_lab(registry)
    families = {family.name: family for family in parse_text(registry.render().decode())}
    for name, (kind, labels) in TEN.items():
        family = families[name.removesuffix("_total")]
        assert family.type == kind, name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == labels, sample


def test_every_alert_limit_and_target_is_a_bucket_bound() -> None:
    registry = Registry()
    busy_lab(registry)
    found = samples(registry.render())
    limits = {"DETECTION": 1_000.0, "HONEYPOT": 3_000.0, "EXECUTION": 2_500.0, "FULL_FLOW": 6_000.0}
    for component, target in TARGETS.items():
        for limit in {float(target.p95_ms), limits.get(component.value, float(target.p95_ms))}:
            key = (("component", component.value), ("le", str(limit)))
            assert ("benchmark_duration_ms_bucket", key) in found, (component, limit)


def test_strange_label_text_survives_the_round_trip() -> None:
    registry = Registry()
    strange = 'a "quoted" \\ back\nslash {é}, le="1"'
    registry.counter("strange_total", "Strange.", "what").at(strange).add(2)
    key = ("strange_total", (("what", strange),))
    assert samples(registry.render()) == {key: 2}
    assert samples(registry.render(openmetrics=True), openmetrics=True) == {key: 2}


def test_a_full_family_counts_what_is_new_under_other() -> None:
    family: Family[Any] = Registry().counter("errors_total", "Errors.", "type")
    for number in range(1_000):
        family.at(f"type {number}").add()
    cells = family.cells()
    assert len(cells) == 65
    assert cells["other",].value == 1_000 - 64


def test_histogram_counts_a_value_on_a_bound_as_within_it() -> None:
    cell = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.0001, 2.0, 2.5):
        cell.observe(value)
    assert cell.counts == [2, 2, 1]
    assert cell.total == pytest.approx(7.0001)


def test_unknown_gauge_prints_no_line_until_it_is_known() -> None:
    registry = Registry()
    gauge = registry.gauge("level", "Level.").at()
    assert samples(registry.render()) == {}
    gauge.set(0)
    assert samples(registry.render()) == {("level", ()): 0}


def test_counter_never_goes_back() -> None:
    cell = Registry().counter("seen_total", "Seen.").at()
    cell.reach(7)
    cell.reach(3)
    assert cell.value == 7


def test_scrapes_beside_a_writer_are_each_consistent() -> None:
    registry = Registry()
    cell = registry.histogram("took_ms", "Took.", "component", bounds=lambda _: (1.0, 2.0, 3.0)).at("X")
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for value in (0.5, 1.5, 2.5, 3.5):
                cell.observe(value)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        before = 0.0
        for _ in range(300):
            found = samples(registry.render())
            labels = (("component", "X"),)
            buckets = [found["took_ms_bucket", (*labels, ("le", le))] for le in ("1.0", "2.0", "3.0", "+Inf")]
            assert buckets == sorted(buckets)
            assert found["took_ms_count", labels] == buckets[-1] >= before
            before = buckets[-1]
    finally:
        stop.set()
        writer.join()


def test_what_will_be_measured_is_shown_at_zero_before() -> None:
    registry = Registry()
    feed = LabFeed(registry, targets=TARGETS, clock=TestClock())
    feed.expect(components=["EXECUTION"], scenarios=["HEAVY"])
    found = samples(registry.render())
    assert found["benchmark_total", (("component", "EXECUTION"),)] == 0
    assert found["benchmark_duration_ms_bucket", (("component", "EXECUTION"), ("le", "2500.0"))] == 0
    assert found["load_test_requests_total", (("scenario", "HEAVY"), ("status", "ok"))] == 0


def test_benchmark_of_ones_own_callable_is_shown_by_its_name() -> None:
    registry = Registry()
    feed = LabFeed(registry, targets=TARGETS, clock=TestClock())
    feed.on_benchmark(finished(benchmark("my decoder", [0.02] * 50)))
    assert samples(registry.render())["benchmark_duration_ms_count", (("component", "my decoder"),)] == 50


@pytest.mark.parametrize("fill", [busy_lab, busy_bot])
def test_promtool_dislikes_exactly_the_three_promised_names(fill: Any) -> None:
    needs_service("promtool")
    registry = Registry()
    fill(registry)
    text = registry.render()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    disliked = {line.split(" ", 1)[0] for line in (done.stdout + done.stderr).decode().splitlines() if line}
    promised = {"benchmark_duration_ms", "benchmark_memory_mb", "load_test_duration_ms"}
    ours = {"benchmark_target_ms"}
    assert disliked == (promised | ours if fill is busy_lab else set())
