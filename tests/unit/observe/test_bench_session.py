"""What a session of benchmarks finds out before it measures anything."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from slotzero.errors import UsageError
from slotzero.observe import bench_session as module
from slotzero.observe.bench_session import bench_session
from slotzero.workloads.bench_run import BenchPlan, components_named

PLANS = Path(__file__).resolve().parents[3] / "benchmarks" / "journal_plans.py"


@pytest.mark.parametrize("state", ["/dev/null", "/proc"])
def test_baseline_that_cannot_be_kept_is_refused_before_anything_is_measured(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measure(*_: object) -> None:
        raise AssertionError("it has measured")

    monkeypatch.setenv("XDG_STATE_HOME", state)
    monkeypatch.setattr(module, "run_benchmarks", measure)
    plan = BenchPlan(components=components_named(["PRIVACY"]))
    with pytest.raises(UsageError) as failed:
        bench_session(plan, baseline="main", json=None, stdout=io.StringIO())
    assert str(failed.value).startswith(f"the baseline cannot be kept in {state}/slotzero/baselines (")
    assert "set XDG_STATE_HOME to a folder that you may write in" in str(failed.value)


def test_plans_of_the_journal_without_a_database_say_what_is_missing() -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed: it comes with the extra [postgres]")
    done = subprocess.run([sys.executable, PLANS], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        "journal_plans.py: say which empty database to fill: python journal_plans.py postgresql://... [EVENTS]\n"
    )
