"""The second look, in the process of an isolated benchmark."""

from pathlib import Path

from evidence_lab import evidence, sample, stage
from second_look_target import COMPONENT
from slotzero.perf.benchmark import BenchmarkService
from slotzero.perf.second_look import stage_stats
from slotzero.perf.types import BenchmarkOptions, BenchmarkResult, SecondLook, Severity

MS = 1_000_000


async def test_second_look_adds_stages_suggestions_and_files_and_leaves_the_figures(tmp_path: Path) -> None:
    options = BenchmarkOptions(component=COMPONENT, samples=20, warmup=2)
    look = SecondLook(
        samples=30,
        folder=str(tmp_path / "out.profile"),
        relative_to=str(tmp_path),
        profiler="in-process",
        targets_ns={"honeypot": 10 * MS},
    )

    outcome = await BenchmarkService().run_isolated("second_look_target:snipes", options, look=look)

    assert isinstance(outcome, BenchmarkResult), outcome
    assert outcome.samples == 20
    assert float(outcome.latency_ms.median) == 60
    held = {one.name: one.critical_percent for one in outcome.stages}
    assert [one.name for one in outcome.stages][:3] == ["frame under way", "detection", "honeypot"]
    assert 70 < held["honeypot"] < 74  # 43 of 60 ms
    (first, *_) = outcome.suggestions
    assert (first.rule, first.subject, first.severity) == ("slow-stage", "honeypot", Severity.HIGH)
    assert [first.p95_ms, first.impact_p95_ms] == [60.0, 27.0]
    assert set(outcome.files) == {"flame", "speedscope", "stacks", "trace"}
    assert all((tmp_path / name).is_file() for name in outcome.files.values())


async def test_second_look_that_fails_leaves_the_figures_and_a_note(tmp_path: Path) -> None:
    options = BenchmarkOptions(name="unsteady", samples=20, warmup=2)
    look = SecondLook(samples=30, folder=str(tmp_path), relative_to=str(tmp_path), profiler="none")

    outcome = await BenchmarkService().run_isolated("second_look_target:unsteady", options, look=look)

    assert isinstance(outcome, BenchmarkResult), outcome
    assert outcome.samples == 20
    assert outcome.errors == {}
    assert outcome.stages == ()
    (note,) = (note for note in outcome.notes if "second look" in note)
    assert "it has had enough" in note


def test_stages_within_stages_are_part_of_them() -> None:
    one = sample(10, stage("look-up", 1, 8, own=False), stage("call", 2, 6, own=False, parent=0))

    (found,) = stage_stats(evidence([one] * 3))

    assert (found.name, found.count, found.critical_percent) == ("look-up", 3, 80)
    assert [float(found.start_ms), float(found.p50_ms)] == [1, 8]
