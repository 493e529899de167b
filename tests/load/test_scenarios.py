"""All eight load scenarios in short form: real snipes, with thresholds on success and memory only.

Ten seconds each, and twenty where coins are to be swept. Rates and latencies are no test's business: they are in
`docs/reference/performance.md`.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from bot_process import journal_events
from slotzero.workloads.snipe_scenarios import SCENARIOS

pytestmark = [pytest.mark.load, pytest.mark.timeout(180)]

USERS = {"STRESS": 60, "HEAVY": 40, "SPIKE": 40, "MODERATE": 20, "SUSTAINED": 20, "FAST_SNIPES": 20, "SLOW_SNIPES": 10}
"""Fewer than in the full form: this must hold on a machine that is busy with other things."""
SECONDS = {"SUSTAINED": 20}
LEAST_SUCCESS = {"SLOW_SNIPES": 50.0, "STRESS": 60.0}


def load_command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "slotzero", "load", name, *arguments, "--json", "-"]


def document(output: bytes) -> dict[str, Any]:
    (result,) = json.loads(output)["results"]
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_a_scenario_snipes_and_stays_within_its_memory(name: str) -> None:
    users = ("--concurrency", str(USERS[name])) if name in USERS else ()
    command = load_command(name, "--duration", str(SECONDS.get(name, 10)), *users)
    done = subprocess.run(command, capture_output=True, check=False, timeout=170)
    assert done.stdout, done.stderr.decode()
    result = document(done.stdout)
    assert done.returncode == (0 if result["passed"] else 1)
    assert (result["stopped"], result["model"]) == ("completed", "closed")
    assert result["total_ops"] > 0
    assert result["success_rate_percent"] >= LEAST_SUCCESS.get(name, 90.0), result["error_details"]
    assert result["resources"]["bot"]["peak_rss_mb"] < 500
    assert result["resources"]["chain"]["peak_rss_mb"] < 500
    bot, driver = result["extra"]["bot"], result["extra"]["driver"]
    assert driver["traps"] > 0
    assert driver["traps_bought"] == 0
    assert [bot[name] for name in ("double_buys", "lost_intents", "unexplained_lamports")] == [0, 0, 0]
    assert (driver["swept"] > 0) is (name == "SUSTAINED")
    assert driver["not_swept"] <= driver["late_buys"] + result["total_ops"] / 10
    if name == "SLOW_SNIPES":
        faults = result["extra"]["faults"]
        assert faults["seen_rate_limited"] > 0
        assert faults["unexplained_rate_limited"] == 0
        assert faults["cutConnections"] > 0


@pytest.mark.parametrize("victim", ["bot", "chain"])
def test_killing_a_process_in_the_middle_is_told_and_ends_the_run(victim: str) -> None:
    with tempfile.TemporaryDirectory() as folder:  # not below pytest's: too long for a socket
        running = subprocess.Popen(
            load_command("BASELINE", "--duration", "60"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TMPDIR": folder},
        )
        try:
            wait_for_snipes(running, Path(folder), 60)
            pid = child_of(running, {"bot": "run", "chain": "localnet"}[victim])
            os.kill(pid, signal.SIGKILL)
            output, errors = running.communicate(timeout=100)
        finally:
            if running.poll() is None:
                running.kill()
                running.communicate()
    assert output, errors.decode()
    result = document(output)
    assert running.returncode == 1
    assert (result["passed"], result["stopped"], result["generator"]["verdict"]) == (False, "aborted", "degraded")
    assert any(f"the process {victim} ({pid}) has ended" in incident["what"] for incident in result["incidents"])
    assert result["total_ops"] > 0
    assert result["timeline"]
    silent = {"bot": "the bot left no report of its run", "chain": "the chain does not answer any more"}[victim]
    assert any(silent in note for note in result["notes"])


def wait_for_snipes(running: subprocess.Popen[bytes], folder: Path, events: int) -> None:
    """Wait until the bot's journal knows of so many landed transactions: more than the warm-up has."""
    deadline = time.monotonic() + 90  # noqa: TID251 a test waits for other processes
    while time.monotonic() < deadline:  # noqa: TID251
        assert running.poll() is None, running.stderr and running.stderr.read()
        for journal in folder.glob("slotzero-load-*/journal.sqlite3"):
            landed = sum(event["event"] == "IntentLanded" for event in journal_events(journal))
            if landed >= events:
                return
        time.sleep(0.2)
    raise AssertionError(f"fewer than {events} transactions of the bot landed")


def child_of(running: subprocess.Popen[bytes], command: str) -> int:
    """Return the process id of the child that runs a command of ours."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == running.pid and words[words.index("slotzero") + 1] == command:
                return int(entry.name)
    raise AssertionError(f"no child runs `slotzero {command}`")
