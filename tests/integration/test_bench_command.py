"""`slotzero bench` as a person runs it: a process, its exit code, its document."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot_process import attached_config, localnet
from slotzero.perf.result_file import read_result_file
from slotzero.perf.types import BenchmarkResult


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slotzero", "bench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=folder,
        env={**os.environ, "XDG_STATE_HOME": str(folder / "state"), "NO_COLOR": "1"},
    )


def test_two_components_make_a_table_a_file_and_a_baseline(tmp_path: Path) -> None:
    ended = bench(
        *("privacy", "price-feed", "--samples", "30", "--slot-ms", "50", "--loop", "both"),
        *("--json", "out.json", "--save-baseline", "main"),
        folder=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    assert "slots of 50 ms, network profile none, uvloop and asyncio" in ended.stdout
    assert "PRICE_FEED" in ended.stdout
    document = read_result_file(tmp_path / "out.json")
    assert [result.name for result in document.results] == ["PRIVACY", "PRICE_FEED", "PRIVACY", "PRICE_FEED"]
    assert document.environment.extra == {"cluster": "localnet", "slot_ms": "50", "network": "none", "seed": "7"}
    assert "asyncio" in document.environment.event_loop
    assert "uvloop" in document.environment.event_loop
    assert read_result_file(tmp_path / "state" / "slotzero" / "baselines" / "main.json") == document
    assert "\x1b" not in ended.stdout + ended.stderr


def test_own_endpoints_are_read_and_what_strangers_do_there_is_measured(tmp_path: Path) -> None:
    with localnet("--launches-per-s", "8") as endpoints:
        config = attached_config(tmp_path, endpoints)
        ended = bench(
            *("--cluster", "paper", "--config", str(config), "--samples", "4", "--warmup", "1", "--json", "out.json"),
            folder=tmp_path,
        )
    assert ended.returncode in (0, 1), ended.stderr  # on a busy machine a target may be missed
    document = read_result_file(tmp_path / "out.json")
    assert [result.name for result in document.results] == [
        *("DETECTION", "HONEYPOT", "FILTERS", "PRIVACY", "WALLET_ROTATION", "FEE_OPTIMIZATION", "METADATA"),
        "PRICE_FEED",
    ]
    for result in document.results:
        assert isinstance(result, BenchmarkResult), result
        assert result.throughput.success_rate_percent > 99, result.errors
    assert document.environment.extra == {"cluster": "paper", "endpoint": endpoints["rpc"], "seed": "7"}
    assert f"4 samples on {endpoints['rpc']}, nothing is sent there" in ended.stdout


def test_floor_of_the_day_stands_in_the_certificate(tmp_path: Path) -> None:
    assert bench("WALLET_ROTATION", "--samples", "10", "--json", "a.json", folder=tmp_path).returncode == 0
    here = read_result_file(tmp_path / "a.json").environment
    kept = {"fingerprint": here.fingerprint, "ts_ms": here.ts_ms, "percent": 1.25}
    (tmp_path / "state" / "slotzero").mkdir(parents=True)
    (tmp_path / "state" / "slotzero" / "own_floor.json").write_text(json.dumps(kept))
    assert bench("WALLET_ROTATION", "--samples", "10", "--json", "b.json", folder=tmp_path).returncode == 0
    for name, floor in (("a.json", None), ("b.json", 1.25)):
        (result,) = read_result_file(tmp_path / name).results
        assert isinstance(result, BenchmarkResult)
        assert result.noise is not None
        assert result.noise.aa_floor_percent == floor


def test_json_on_stdout_is_one_document_and_nothing_else(tmp_path: Path) -> None:
    ended = bench("WALLET_ROTATION", "--samples", "10", "--json", "-", folder=tmp_path)
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["results"][0]["component"] == "WALLET_ROTATION"
    assert "WALLET_ROTATION" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["SPEED"], "there is no component 'SPEED'"),
        (["--cluster", "paper"], "name a file that has them with --config FILE"),
        (["--cluster", "paper", "--config", "absent.toml"], "absent.toml does not exist"),
        (["--cluster", "paper", "--config", "empty.toml"], "set [cluster] rpc_url and ws_url"),
        (["--cluster", "paper", "EXIT", "privacy"], "EXIT would trade; with --cluster paper there are DETECTION"),
        (["--config", "empty.toml"], "--config belongs to --cluster paper"),
        (["PRIVACY", "--save-baseline", "../x"], "a baseline's name"),
        (["--json", "absent/out.json"], "absent/out.json cannot be written: there is no folder absent"),
        (["--json", "."], ". cannot be written: it is a folder"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_2(arguments: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "empty.toml").touch()
    ended = bench(*arguments, folder=tmp_path)
    assert ended.returncode == 2
    assert told in ended.stderr
    assert len(ended.stderr.strip().splitlines()[-1]) < 400
    assert "Traceback" not in ended.stderr


def test_a_missed_target_is_exit_1(tmp_path: Path) -> None:
    """The target is moved, not the component: in this one process no plan can be as fast."""
    code = (
        "import sys, slotzero.workloads.targets as t; from slotzero.trace import Component;"
        "t._MUST_AND_AIM[Component.PRIVACY] = (1e-7, 1e-8);"
        "sys.argv = ['slotzero', 'bench', 'PRIVACY', '--samples', '10'];"
        "from slotzero.cli.main import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100, cwd=tmp_path
    )
    assert ended.returncode == 1, ended.stderr
    assert "FAIL p95_ms" in ended.stdout


def test_ctrl_c_ends_with_what_there_is(tmp_path: Path) -> None:
    terminal, stderr = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "slotzero", "bench", "METADATA", "--samples", "1000000", "--json", "out.json"],
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm"},  # a dumb terminal is shown no progress, which this waits for
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    os.close(stderr)
    said = ""
    try:
        while "measuring" not in said:
            said += os.read(terminal, 65_536).decode()
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the other end of a terminal says its end like this
            while more := os.read(terminal, 65_536).decode():
                said += more
        stdout, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert process.returncode == 130, said
    assert "ending with the samples taken so far" in said
    assert "stopped before all samples were taken" in stdout
    document = read_result_file(tmp_path / "out.json")
    assert document.stopped
    (result,) = document.results
    assert result.name == "METADATA"
