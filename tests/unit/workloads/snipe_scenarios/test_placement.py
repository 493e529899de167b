"""Who runs on which core while a scenario runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slotzero.workloads.snipe_scenarios.placement import cores, kept_apart

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system keeps nobody to cores")


def test_the_chain_has_a_core_of_its_own_for_a_while() -> None:
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("there is one core")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as chain:
        with kept_apart(chain.pid) as core:
            own, mine = os.sched_getaffinity(chain.pid), os.sched_getaffinity(0)
            assert own == {core}
            assert mine == before - own
            threads = [os.sched_getaffinity(int(thread.name)) for thread in Path("/proc/self/task").iterdir()]
            assert all(mine == of_thread for of_thread in threads)
            born = subprocess.run(
                [sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"], capture_output=True, check=True
            )
            assert {int(core) for core in born.stdout.split()} == mine
            assert set(cores()) == before
        assert os.sched_getaffinity(0) == before
        chain.kill()


def test_on_a_single_core_nobody_is_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slotzero.workloads.snipe_scenarios.placement.cores", lambda: (0,))
    before = os.sched_getaffinity(0)
    with kept_apart(os.getpid()) as core:
        assert core is None
        assert os.sched_getaffinity(0) == before


def test_a_chain_that_has_ended_moves_nobody() -> None:
    before = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", ""]) as chain:
        chain.wait()
        with kept_apart(chain.pid) as core:
            assert core is None
            assert os.sched_getaffinity(0) == before
