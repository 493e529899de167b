"""`slotzero load` as a command: what it refuses, what it writes, its exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from slotzero.cli.load import load
from slotzero.errors import UsageError
from slotzero.perf.arrivals import Closed, Constant
from slotzero.perf.load_document import load_outcomes
from slotzero.perf.load_types import LoadResult
from slotzero.perf.result_file import read_result_file
from slotzero.perf.thresholds import parse_threshold
from slotzero.workloads.load_run import with_options
from slotzero.workloads.scenarios import SHAPES, find, shape

app = typer.Typer()
app.command()(load)
BLOCKING = """
import time


async def sleep():
    print("first operation", flush=True)
    time.sleep(100)
"""
DEAF = """
import asyncio

tasks = set()


async def listen_to_nobody():
    while True:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass


async def spawn():
    if not tasks:
        tasks.add(asyncio.ensure_future(listen_to_nobody()))
        print("first operation", flush=True)
    await asyncio.sleep(0.01)
"""
QUICK = ["mine", "--target", "cluster_target:short_wait", "--duration", "0.2"]


def invoke(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def test_run_exits_with_0_when_it_says_that_it_passed() -> None:
    result = invoke(*QUICK, "--rate", "100", "--concurrency", "20")
    # On a busy machine the generator may have been late, and then it must not pass.
    assert result.exit_code == (0 if "mine: passed, generator ok" in result.stdout else 1)
    assert "open model, 20 at once" in result.stdout
    assert "20 operations" in result.stdout


def test_missed_threshold_exits_with_1() -> None:
    result = invoke(*QUICK, "--concurrency", "2", "--threshold", "total_ops>=1000000")
    assert result.exit_code == 1
    assert "MISSED total_ops>=1e+06: it was" in result.stdout
    assert "closed model, 2 at once" in result.stdout


def test_failures_are_shown_by_class() -> None:
    result = invoke("mine", "--target", "cluster_target:fail_now_and_then", "--duration", "0.2", "--concurrency", "2")
    assert result.exit_code == 1
    assert "x connection/refused (target): ConnectionRefusedError" in result.stdout


def test_json_is_a_result_document(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    invoke(*QUICK, "--rate", "100", "--json", str(file))
    document = read_result_file(file)
    [outcome] = load_outcomes(document, str(file))
    assert document.kind == "load"
    assert isinstance(outcome, LoadResult)
    assert (outcome.scenario, outcome.model, outcome.total_ops) == ("mine", "open", 20)
    text = json.loads(file.read_text())
    assert (text["schema"], text["kind"], text["results"][0]["scenario"]) == ("slotzero.result/1", "load", "mine")


def test_json_on_stdout_is_one_document_and_nothing_else() -> None:
    result = invoke(*QUICK, "--rate", "50", "--json", "-")
    assert json.loads(result.stdout)["results"][0]["total_ops"] == 10


def test_callable_that_is_not_async_exits_with_1_and_one_sentence() -> None:
    result = invoke("mine", "--target", "cluster_target:not_async", "--duration", "0.1")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("slotzero: mine: the callable returned int")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["NO_SUCH"], "give --target module:callable"),
        (["mine", "--target", "nonsense"], "expected module:callable"),
        (["mine", "--target", "cluster_target:nothing"], "has no nothing"),
        (["HEAVY", "--cluster-address", "local:2"], "give --target|needs --target"),
        ([*QUICK, "--json", "/no/such/folder/out.json"], "cannot be written|no such folder|/no/such/folder"),
        ([*QUICK, "--threshold", "p95"], "a threshold reads like"),
        ([*QUICK, "--ramp-up", "9"], "ramp_up is 0 to the duration"),
        ([*QUICK, "--rate", "inf"], "finite"),
        (["mine", "--target", "cluster_target:with_argument"], "cannot be called without arguments"),
        ([*QUICK, "--cluster-address", "tcp://192.0.2.1:8786"], "neither on this machine nor TLS"),
    ],
)
def test_wrong_use_is_one_sentence(args: list[str], sentence: str) -> None:
    error = invoke(*args).exception
    assert isinstance(error, UsageError)
    assert any(words in str(error) for words in sentence.split("|"))


def test_shapes_are_those_of_the_eight_scenarios() -> None:
    assert {name: (found.most_in_flight, found.duration) for name, found in SHAPES.items()} == {
        "BASELINE": (10, 30),
        "MODERATE": (50, 60),
        "HEAVY": (100, 90),
        "STRESS": (200, 60),
        "SPIKE": (100, 60),
        "SUSTAINED": (50, 300),
        "FAST_SNIPES": (50, 60),
        "SLOW_SNIPES": (30, 60),
    }
    assert shape("fast-snipes") is SHAPES["FAST_SNIPES"]
    assert (shape("mine").scenario, shape("mine").most_in_flight) == ("mine", 10)


def test_options_replace_parts_of_a_shape() -> None:
    nothing = {"concurrency": None, "duration": None, "ramp_up": None, "rate": None}
    base = SHAPES["HEAVY"]
    assert with_options(base, **nothing, thresholds=[]) == base
    closed = with_options(base, concurrency=7, duration=5, ramp_up=2, rate=None, thresholds=["p95_ms<=4"])
    assert (closed.arrivals, closed.duration, closed.ramp_up) == (Closed(users=7), 5, 2)
    assert [found.name for found in closed.thresholds] == ["success_percent>=90", "p95_ms<=4"]
    opened = with_options(base, concurrency=7, duration=5, ramp_up=2, rate=50, thresholds=[])
    assert (opened.arrivals, opened.most_in_flight, opened.model) == (Constant(rate_per_s=50), 7, "open")


@pytest.mark.parametrize("wrong", [{"rate": float("nan")}, {"concurrency": 0}, {"duration": float("inf")}])
def test_option_that_is_no_number_to_run_with_is_one_sentence(wrong: dict[str, float]) -> None:
    nothing = {"concurrency": None, "duration": None, "ramp_up": None, "rate": None}
    with pytest.raises(UsageError):
        with_options(SHAPES["HEAVY"], **nothing | wrong, thresholds=[])  # type: ignore[arg-type]  # one of each


def test_rate_that_is_asked_of_a_scenario_goes_with_its_users() -> None:
    nothing = {"concurrency": None, "duration": None, "ramp_up": None, "rate": None}
    base = find("BASELINE")
    assert base is not None

    def limits(**options: float) -> list[str]:
        made = with_options(base.config, **nothing | options, thresholds=["ops_per_s>=3"])  # type: ignore[arg-type]  # one of each
        return [found.name for found in made.thresholds if found.metric == "ops_per_s"]

    assert limits() == ["ops_per_s>=9", "ops_per_s>=3"]
    assert limits(concurrency=2) == ["ops_per_s>=1.8", "ops_per_s>=3"]
    assert limits(rate=5) == ["ops_per_s>=3"]  # an open run is held against its plan


def started(target: str, *options: str, folder: Path | None = None) -> subprocess.Popen[bytes]:
    """A run in a process of its own, in which the first operation has begun."""
    command = [sys.executable, "-m", "slotzero", "load", "mine", "--target", target, *options]
    folders = os.pathsep.join([*([str(folder)] if folder else []), *(path for path in sys.path if path)])
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": folders}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"first operation\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_run_with_what_it_has_and_is_no_pass(number: signal.Signals, tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    process = started("cluster_target:announce", "--json", str(file))
    process.send_signal(number)
    process.send_signal(number)  # `timeout` sends it twice: once to the process, once to its group
    output, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output.startswith(b"mine: INTERRUPTED, generator ")
    assert b"ending with what was measured so far" in complaint
    [outcome] = load_outcomes(read_result_file(file), str(file))
    assert isinstance(outcome, LoadResult)
    assert outcome.stopped == "interrupted"
    assert read_result_file(file).stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_a_run_whose_callable_holds_up_the_loop(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "blocking_target.py").write_text(BLOCKING)
    process = started("blocking_target:sleep", folder=tmp_path)
    for wait_s in (1, 20, 20):  # a machine that stands still may deliver two as one
        process.send_signal(number)
        try:
            process.communicate(timeout=wait_s)
            break
        except subprocess.TimeoutExpired:
            continue
    assert process.poll() == 130


def test_interrupted_run_ends_even_if_a_task_of_the_target_does_not_obey(tmp_path: Path) -> None:
    (tmp_path / "deaf_target.py").write_text(DEAF)
    file = tmp_path / "out.json"
    process = started("deaf_target:spawn", "--json", str(file), folder=tmp_path)
    process.send_signal(signal.SIGTERM)
    try:
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert output.startswith(b"mine: INTERRUPTED, ")
    assert read_result_file(file).stopped


@pytest.mark.parametrize("word", ["Example", "exit code", "--cluster-address", "window abort", "30 s", *SHAPES])
def test_help_has_what_a_run_needs(word: str) -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "80"}).stdout
    assert word in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


def test_help_names_every_figure_that_can_be_limited() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "80"}).stdout
    with pytest.raises(ValueError, match="no figure is called") as refused:
        parse_threshold("nonsense<=1")
    figures = str(refused.value).partition("one of ")[2].split(", ")
    named = [name for name in figures if not name.startswith(("service_", "errors."))]
    assert "p95_ms" in named
    assert [name for name in named if name not in shown] == []
