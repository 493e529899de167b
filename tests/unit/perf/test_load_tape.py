"""The tape and the timeline: memory that does not grow, merging that is exact."""

import math
import random
import tracemalloc

import msgspec
from msgspec.structs import replace

from slotzero.perf.classify import ErrorClass, Fault
from slotzero.perf.histogram import RELATIVE_ERROR, Histogram
from slotzero.perf.load_tape import (
    MOST_WINDOWS,
    ErrorTally,
    LoadTape,
    Sums,
    Timeline,
    merge_windows,
    merged_details,
    window_figures,
)
from slotzero.perf.load_types import Window
from slotzero.perf.stats import nearest_rank

MS = 1_000_000


def durations(seed: int, number: int) -> list[int]:
    draw = random.Random(seed)  # noqa: S311 repeatable, not secret
    return [round(draw.lognormvariate(math.log(80 * MS), 0.6)) for _ in range(number)]


def window(at_s: float, values: list[int], span_s: float = 10.0) -> Window:
    headline = Histogram()
    headline.fold(values)
    return Window(
        at_s=at_s,
        span_s=span_s,
        ops=len(values),
        errors=1,
        started=len(values),
        missed=0,
        in_flight=3,
        ops_per_s=len(values) / span_s,
        cpu_percent=12.5,
        rss_mb=61.25,
        extra={"cpu_percent:bot": 17.25, "rss_mb:bot": 80.5},
        **window_figures(headline),
    )


def test_a3_percentiles_are_within_the_stated_error_and_shards_merge_to_the_whole() -> None:
    values = durations(5, 20_000)
    whole, shards = Histogram(), [Histogram() for _ in range(4)]
    whole.fold(values)
    for number, shard in enumerate(shards):
        shard.fold(values[number::4])
    merged = Histogram()
    for shard in shards:
        merged.merge(shard)
    assert merged == whole
    ordered = sorted(values)
    for percent in (50, 95, 99, 99.9):
        exact = nearest_rank(ordered, percent)
        assert abs(merged.percentile(percent) - exact) <= RELATIVE_ERROR * exact <= 0.008 * exact


def test_a9_a_day_of_windows_is_held_in_25_mb() -> None:
    made = [window(0, durations(seed, 1_000)) for seed in range(10)]
    sent = [msgspec.msgpack.encode(one) for one in made]
    timeline = Timeline()
    tracemalloc.start()
    try:
        for number in range(MOST_WINDOWS):
            timeline.append(msgspec.msgpack.decode(sent[number % 10], type=Window))  # nothing of it is shared
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(timeline.windows) == 8_640
    assert held < 25_000_000


def test_timeline_beyond_its_bound_merges_the_oldest_and_loses_nothing() -> None:
    timeline = Timeline(most=10)
    for number in range(35):
        timeline.append(window(number * 10.0, durations(number, 50)))
        assert len(timeline.windows) <= 10
    windows = timeline.windows
    assert sum(found.ops for found in windows) == 35 * 50
    assert sum(found.span_s for found in windows) == 350
    assert [found.at_s for found in windows[1:]] == [before.at_s + before.span_s for before in windows[:-1]]
    assert windows[0].span_s > windows[-1].span_s == 10


def test_windows_one_after_another_merge_exactly() -> None:
    first, second = durations(1, 300), durations(2, 500)
    merged = merge_windows(window(0, first), window(10, second))
    assert merged == replace(window(0, [*first, *second], span_s=20.0), errors=2)


def test_windows_of_two_shards_lie_beside_each_other() -> None:
    merged = merge_windows(window(0, durations(1, 300)), window(0, durations(2, 500)), beside=True)
    assert (merged.span_s, merged.ops, merged.ops_per_s, merged.in_flight) == (10.0, 800, 80.0, 6)
    assert (merged.cpu_percent, merged.rss_mb) == (25.0, 122.5)


def test_window_without_a_success_has_no_latency() -> None:
    empty = window(0, [])
    assert (empty.p95_ms, empty.histogram) == (None, None)
    merged = merge_windows(empty, window(10, [5 * MS]))
    assert merged.p95_ms == 5.0


def test_tape_folds_what_the_loops_append() -> None:
    tape = LoadTape(is_open=True)
    for value in (3, 1, 2):
        tape.service.append(value * MS)
        tape.response.append(value * 2 * MS)
        tape.lateness.append(value * MS)
    tape.fail(Fault(ErrorClass.SERVER, "status:500"), "no", 7 * MS)
    assert tape.succeeded == 3
    headline, lateness, errors = tape.cut()
    assert (headline.count, headline.max_ns, lateness.count, errors) == (3, 6 * MS, 3, 1)
    assert (tape.sums.service.count, tape.sums.response.count, tape.sums.error.count) == (3, 3, 1)
    assert tape.headline is tape.sums.response
    assert tape.cut()[0].count == 0
    assert tape.succeeded == 3


def test_tape_takes_a_success_back() -> None:
    tape = LoadTape(is_open=False)
    tape.service.append(5)
    tape.service.append(9)
    assert tape.take_back() == 9
    assert tape.succeeded == 1


def test_sums_survive_their_bytes_and_merge() -> None:
    one, two = Sums.empty(), Sums.empty()
    one.service.fold(durations(1, 100))
    two.service.fold(durations(2, 100))
    two.error.record(4)
    again = Sums.from_bytes(two.to_bytes())
    one.merge(again)
    assert (one.service.count, one.error.count) == (200, 1)


def test_error_details_of_shards_are_one_list() -> None:
    one, two = ErrorTally(), ErrorTally()
    refused, late = Fault(ErrorClass.CONNECTION, "refused"), Fault(ErrorClass.TIMEOUT, "operation")
    for _ in range(3):
        one.add(refused, "first")
    two.add(refused, "second")
    for _ in range(2):
        two.add(late, "late")
    merged = merged_details([one.details(), two.details()])
    assert [(found.code, found.count, found.example) for found in merged] == [
        ("refused", 4, "first"),
        ("operation", 2, "late"),
    ]
