"""A planted hot function, seen by both samplers; and the files drawn of a profile."""

import asyncio
import json
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

import msgspec
import pytest
from msgspec import Struct, field

from evidence_lab import block, evidence, pause, sample, stage
from slotzero.errors import UsageError
from slotzero.perf.diagnosis import Diagnosis, diagnose, memory_profile, write_profile
from slotzero.perf.profile.flame import flame_svg
from slotzero.perf.profile.pyspy import PySpy
from slotzero.perf.profile.records import Frame, Profile, Stack, from_collapsed, own_weights, to_collapsed
from slotzero.perf.profile.sample_trace import trace_json
from slotzero.perf.profile.speedscope import speedscope_json
from slotzero.perf.profile.trim import OTHERS, trimmed
from slotzero.perf.types import BenchmarkOptions, Profiler

SVG = "{http://www.w3.org/2000/svg}"


def planted_hot_function(rounds: int) -> int:
    total = 0
    for number in range(rounds):
        total = (total * 31 + number) % 1_000_003
    return total


def planted_minor_function() -> int:
    return planted_hot_function.__code__.co_firstlineno + sum(range(300))


async def planted_sample() -> int:
    await asyncio.sleep(0.001)
    return planted_minor_function() + planted_hot_function(80_000)


# The schema of speedscope's files (https://www.speedscope.app/file-format-schema.json), as far as we use it.


class _Frame(Struct, forbid_unknown_fields=True):
    name: str
    file: str = ""
    line: int = 0
    col: int = 0


class _Shared(Struct, forbid_unknown_fields=True):
    frames: list[_Frame]


class _Sampled(Struct, forbid_unknown_fields=True, rename="camel"):
    type: Literal["sampled"]
    name: str
    unit: Literal["none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"]
    start_value: float
    end_value: float
    samples: list[list[int]]
    weights: list[float]


class _Speedscope(Struct, forbid_unknown_fields=True, rename="camel"):
    schema: Literal["https://www.speedscope.app/file-format-schema.json"] = field(name="$schema")
    shared: _Shared
    profiles: list[_Sampled]
    name: str = ""
    exporter: str = ""
    active_profile_index: int = 0


def _require_speedscope(data: bytes) -> _Speedscope:
    document = msgspec.json.decode(data, type=_Speedscope)
    for profile in document.profiles:
        assert len(profile.samples) == len(profile.weights)
        assert all(0 <= place < len(document.shared.frames) for stack in profile.samples for place in stack)
        assert profile.end_value - profile.start_value == pytest.approx(sum(profile.weights))
    return document


def _require_svg(text: str) -> ET.Element:
    root = ET.fromstring(text)  # noqa: S314 our own text
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title") is not None
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    return root


@pytest.mark.parametrize("profiler", ["in-process", "py-spy"])
async def test_planted_hot_function_is_the_widest_own_frame(profiler: Profiler, tmp_path: Path) -> None:
    if profiler == "py-spy":
        started = await PySpy.start()
        if isinstance(started, str):
            pytest.skip(started)
        await started.stop()

    found = await diagnose(planted_sample, BenchmarkOptions(name="planted", samples=250, warmup=5), profiler=profiler)

    assert isinstance(found, Diagnosis)
    assert found.profile is not None
    assert found.profile.source == profiler
    (widest, weight), *_ = own_weights(found.profile)
    assert widest.function == "planted_hot_function"
    assert weight > found.profile.total_ns / 2
    assert all("slotzero/perf" not in str(frame) for stack in found.profile.stacks for frame in stack.frames)
    hot = [suggestion for suggestion in found.suggestions if suggestion.rule == "hot-function"]
    assert "planted_hot_function" in hot[0].subject

    paths = {path.name.partition(".")[2]: path for path in write_profile(tmp_path / "new", found)}
    assert set(paths) == {"flame.svg", "speedscope.json", "stacks.txt", "slowest.trace.json"}
    root = _require_svg(paths["flame.svg"].read_text())
    widths = {
        (title.text or "").partition(" (")[0]: float(box.attrib["width"])
        for box, title in ((group.find(f"{SVG}rect"), group.find(f"{SVG}title")) for group in root.iter(f"{SVG}g"))
        if box is not None and title is not None
    }
    assert widths["planted_hot_function"] > 600
    document = _require_speedscope(paths["speedscope.json"].read_bytes())
    assert "planted_hot_function" in {frame.name for frame in document.shared.frames}


async def test_window_leaves_the_warm_up_out() -> None:
    calls = 0

    def only_when_warming_up() -> None:
        planted_hot_function(400_000)

    def measured() -> None:
        planted_hot_function(80_000)

    def fn() -> None:
        nonlocal calls
        calls += 1
        (only_when_warming_up if calls <= 5 else measured)()

    found = await diagnose(fn, BenchmarkOptions(name="x", samples=60, warmup=5), profiler="in-process")

    assert isinstance(found, Diagnosis)
    assert found.profile is not None
    names = {frame.function for stack in found.profile.stacks for frame in stack.frames}
    assert not {name for name in names if "only_when_warming_up" in name}


async def test_other_task_that_uses_the_cpu_is_shown_apart() -> None:
    async def other() -> None:
        while True:
            planted_hot_function(80_000)
            await asyncio.sleep(0)

    async def fn() -> None:
        await asyncio.sleep(0.003)

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(other())
        found = await diagnose(fn, BenchmarkOptions(name="x", samples=200), profiler="in-process")
        running.cancel()

    assert isinstance(found, Diagnosis)
    assert found.profile is not None
    others = [stack for stack in found.profile.stacks if stack.frames[0] == OTHERS]
    heaviest = max(others, key=lambda stack: stack.weight_ns)
    assert heaviest.frames[-1].function == "planted_hot_function"


async def test_diagnosis_without_a_profiler_has_evidence_and_a_trace(tmp_path: Path) -> None:
    found = await diagnose(planted_sample, BenchmarkOptions(name="a/b", samples=5), profiler="none")

    assert isinstance(found, Diagnosis)
    assert found.profile is None
    assert [path.name for path in write_profile(tmp_path, found)] == ["a-b.slowest.trace.json"]


async def test_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    found = await diagnose(planted_sample, BenchmarkOptions(name="x", samples=5), profiler="none")
    assert isinstance(found, Diagnosis)
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot be written to"):
        write_profile(tmp_path / "file", found)


async def test_memory_profile_is_a_capture_and_pages_that_load_nothing(tmp_path: Path) -> None:
    pytest.importorskip("memray", reason="memray is in the extra `profile`")
    kept: list[bytearray] = []

    def fn() -> None:
        kept.append(bytearray(100_000))

    made = await memory_profile(fn, BenchmarkOptions(name="x", samples=20), tmp_path)

    assert isinstance(made, tuple)
    assert [path.name for path in made] == ["x.memray", "x.memory-peak.html", "x.memory-kept.html"]
    pages = [page.read_text() for page in made[1:]]
    assert all("test_profile.py" in page for page in pages)
    assert not any('src="http' in page or 'rel="stylesheet" href="http' in page for page in pages)


# Pure


def _profile() -> Profile:
    main, parse = Frame("main", "app.py", 1), Frame("<lambda>", 'a"b&c.py', 7)
    return Profile(
        stacks=(Stack((main, parse), 30_000), Stack((main,), 10_000)),
        source="in-process",
        window_ns=100_000,
        interval_us=1_000,
        taken=4,
    )


def test_collapsed_stacks_come_back() -> None:
    profile = _profile()

    stacks = from_collapsed(to_collapsed(profile).splitlines(), weight_ns=1_000)

    assert stacks == profile.stacks
    assert from_collapsed(["", "no count", "py-spy> 1x"], weight_ns=1) == ()
    assert from_collapsed(["a;b 3", "a;b 4"], weight_ns=2) == (Stack((Frame("a"), Frame("b")), 14),)


def test_drawings_escape_what_names_hold() -> None:
    root = _require_svg(flame_svg(_profile(), "<script>\x00 & co"))

    assert "".join(root.find(f"{SVG}title").itertext()) == "<script>? & co"  # type: ignore[union-attr]  # it is there
    _require_speedscope(speedscope_json(_profile(), "<script>"))


def test_empty_profile_draws_and_writes() -> None:
    empty = Profile(stacks=(), source="py-spy", window_ns=0, interval_us=1, taken=0)

    _require_svg(flame_svg(empty, "nothing"))
    _require_speedscope(speedscope_json(empty, "nothing"))
    assert own_weights(empty) == []


def test_lab_is_cut_out_and_what_waits_too() -> None:
    wrapper = Frame("EvidenceWatch.wrap.<locals>.awaited", "slotzero/perf/evidence_watch.py", 1)
    loop = Frame("BaseEventLoop._run_once", "asyncio/base_events.py", 1)
    app = Frame("snipe", "app.py", 3)
    loop_of_c = (Frame("main", "slotzero/perf/worker.py"), Frame("Runner.run", "asyncio/runners.py"))
    stacks = (
        Stack((*loop_of_c, app), 64),
        Stack((*loop_of_c, Frame("measure", "slotzero/perf/benchmark.py")), 128),
        Stack((loop, Frame("measure", "slotzero/perf/benchmark.py"), wrapper, app), 1),
        Stack((loop, Frame("measure", "slotzero/perf/benchmark.py")), 2),
        Stack((loop, Frame("EpollSelector.select", "selectors.py")), 4),
        Stack((loop, app), 8),
        Stack((loop,), 16),
        Stack((wrapper, Frame("StageTape.own", "slotzero/perf/stages.py")), 32),
    )

    left = trimmed(Profile(stacks=stacks, source="x", window_ns=1, interval_us=1, taken=1), "title")

    assert left.stacks == (
        Stack((OTHERS, app), 72),
        Stack((Frame("title"), app), 1),
        Stack((OTHERS, Frame("the event loop")), 16),
    )


def test_trace_of_a_sample_nests_and_sets_parallel_stages_beside() -> None:
    one = sample(
        10,
        stage("plan", 0, 2),
        stage("verdict", 1, 7, own=False),
        stage("call", 1, 6, own=False, parent=1, endpoint="node"),
        start=100,
    )
    seen = evidence([one], blocks=(block(103, 2), block(200, 9)), pauses=(pause(104, 1),))

    events = json.loads(trace_json(one, seen, title="FULL_FLOW"))["traceEvents"]

    complete = {(event["name"], event["tid"]): (event["ts"], event["dur"]) for event in events if event["ph"] == "X"}
    assert complete == {
        ("FULL_FLOW", 1): (0, 10_000),
        ("plan", 1): (0, 2_000),
        ("verdict", 2): (1_000, 7_000),
        ("call", 2): (1_000, 6_000),
        ("poll (feed.py:7)", 90): (3_000, 2_000),
        ("gc", 91): (4_000, 1_000),
    }
    assert {event["args"]["name"] for event in events if event["ph"] == "M"} >= {"FULL_FLOW", "garbage collector"}
