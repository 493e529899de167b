"""Two versions of a small program, measured by real workers."""

from pathlib import Path

import msgspec
import pytest

from compare_lab import QUICK, TICK, program, side
from slotzero.cli.compare import as_text
from slotzero.errors import WorkerError
from slotzero.perf.compare.course import LaunchPlan
from slotzero.perf.compare.design import Design
from slotzero.perf.compare.paired import Missing, PairedRun, Workload
from slotzero.perf.types import Verdict
from slotzero.workloads.comparing import compare_revisions

TICKS = Workload(name="tick", target="toy:tick", component="FILTERS")
STEADY = Workload(name="steady", target="toy:steady")
TELLING = """
import asyncio, contextlib
import toy


@contextlib.asynccontextmanager
async def tell():
    async def sample():
        await asyncio.sleep(0.001)
        return toy.TOOK_NS

    yield sample
"""


def run(base: Path, new: Path, *workloads: Workload, seed: int = 1, block_timeout_ms: int = 60_000) -> PairedRun:
    return PairedRun(
        side(base), side(new, "NEW"), workloads, seed=seed, design=QUICK, block_timeout_ms=block_timeout_ms
    )


def test_planted_slowdown_is_caught_and_confirmed_and_the_rest_is_not(tmp_path: Path) -> None:
    base = program(tmp_path / "base", TICK.format(turns=600))
    new = program(tmp_path / "new", TICK.format(turns=780))
    outcome = run(base, new, TICKS, STEADY).run()
    verdicts = {(line.name, line.metric): line for line in outcome.comparisons}
    median = verdicts["tick", "median"]
    assert (median.verdict, median.confirmed) == (Verdict.REGRESSED, True)
    assert 15 < median.effect_percent < 45
    assert not [line for line in outcome.comparisons if line.name == "steady" and line.verdict is Verdict.REGRESSED]
    assert outcome.base_ns["tick"]["median"] < outcome.new_ns["tick"]["median"]
    assert outcome.missing == []
    assert outcome.noise.reference_before_us > 0


def test_copy_of_a_version_does_not_regress(tmp_path: Path) -> None:
    base = program(tmp_path / "base", TICK.format(turns=600))
    new = program(tmp_path / "new", TICK.format(turns=600))
    outcome = run(base, new, TICKS, STEADY).run()
    assert Verdict.REGRESSED not in {line.verdict for line in outcome.comparisons}


@pytest.fixture
def telling(tmp_path: Path) -> Workload:
    """A workload that tells whatever time the version's `toy` says, slow as it is itself."""
    package = tmp_path / "workloads"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "telling.py").write_text(TELLING)
    return Workload(name="told", target="telling:tell", package=str(package))


def test_time_that_calls_tell_is_what_is_compared(tmp_path: Path, telling: Workload) -> None:
    base = program(tmp_path / "base", "TOOK_NS = 1_000\n")
    new = program(tmp_path / "new", "TOOK_NS = 1_300\n")
    outcome = run(base, new, telling).run()
    assert {(line.verdict, line.confirmed, line.effect_percent) for line in outcome.comparisons} == {
        (Verdict.REGRESSED, True, 30.0)
    }
    assert (outcome.told, outcome.loops) == (("told",), {})  # short as it is, nothing is timed in groups
    assert outcome.new_ns["told"] == dict.fromkeys(("median", "p75", "p90", "p95"), 1_300)


def test_document_says_which_lines_are_own_time(tmp_path: Path, telling: Workload) -> None:
    folder = program(tmp_path / "toy", "TOOK_NS = 1_000\n")
    document = compare_revisions(
        str(folder), str(folder), folder=folder, workloads=[telling], seed=1, design=Design(looks=(3,), rounds=4)
    )
    assert "told: own time (own_ms) of whole snipes on a chain with manual slots" in "\n".join(document.notes)
    assert "\ntold: own time (own_ms) of whole snipes on a chain with manual slots" in as_text(document)


def test_workload_one_version_lacks_is_left_out_and_named(tmp_path: Path) -> None:
    base = program(tmp_path / "base", "def steady():\n    return sum(range(500))\n")
    new = program(tmp_path / "new", TICK.format(turns=600))
    outcome = run(base, new, TICKS, STEADY).run()
    assert outcome.missing == [
        Missing(name="tick", side="BASE", reason="AttributeError: module 'toy' has no attribute 'tick'")
    ]
    assert {line.name for line in outcome.comparisons} == {"steady"}


def test_workload_that_fails_in_one_version_is_left_out_and_named(tmp_path: Path) -> None:
    base = program(tmp_path / "base", TICK.format(turns=600))
    new = program(tmp_path / "new", "def steady():\n    raise ValueError('spoilt')\n")
    outcome = run(base, new, STEADY).run()
    assert outcome.missing == [Missing(name="steady", side="NEW", reason="ValueError: spoilt")]
    assert outcome.comparisons == []


def test_hang_ends_the_comparison_with_a_sentence(tmp_path: Path) -> None:
    base = program(tmp_path / "base", TICK.format(turns=600))
    new = program(tmp_path / "new", "import time\ndef steady():\n    time.sleep(600)\n")
    with pytest.raises(WorkerError, match=r"the worker of NEW did not answer within 0.5 s while trying steady"):
        run(base, new, STEADY, block_timeout_ms=500).run()


def test_workloads_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different names"):
        run(tmp_path, tmp_path, STEADY, STEADY)


@pytest.mark.parametrize("launches", [3, 4])
def test_stopped_comparison_ends_with_what_the_last_look_had(tmp_path: Path, launches: int) -> None:
    base = program(tmp_path / "base", TICK.format(turns=600))
    new = program(tmp_path / "new", TICK.format(turns=1200))
    begun = 0

    def on_launch(_plan: LaunchPlan) -> None:
        nonlocal begun
        begun += 1
        if begun > launches:
            raise KeyboardInterrupt

    run = PairedRun(side(base), side(new, "NEW"), [TICKS], seed=1, design=QUICK, on_launch=on_launch)
    outcome = run.run()
    assert (outcome.stopped, outcome.launches) == (True, launches)
    assert [line.metric for line in outcome.comparisons] == ["median", "p75", "p90", "p95"]
    assert {(line.launches, line.confirmed) for line in outcome.comparisons} == {(3, None)}


def test_comparison_stopped_before_its_first_look_has_nothing(tmp_path: Path) -> None:
    base = program(tmp_path / "base", TICK.format(turns=600))

    def on_launch(_plan: LaunchPlan) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PairedRun(side(base), side(base, "NEW"), [TICKS], seed=1, design=QUICK, on_launch=on_launch).run()


def test_event_loops_are_compared_by_giving_each_version_its_own(tmp_path: Path) -> None:
    which = "import asyncio\nasync def loop():\n    raise LookupError(type(asyncio.get_running_loop()).__module__)\n"
    base = program(tmp_path / "base", which)
    uvloops = msgspec.structs.replace(side(base), event_loop="uvloop")
    (first,) = PairedRun(side(base), side(base), [Workload(name="l", target="toy:loop")], seed=1).run().missing
    (second,) = PairedRun(uvloops, uvloops, [Workload(name="l", target="toy:loop")], seed=1).run().missing
    assert first.reason == "LookupError: asyncio.unix_events"
    assert second.reason == "LookupError: uvloop"
