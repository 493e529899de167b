"""The bot and the chain as processes, as a user runs them, and a look into the journal from outside."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "slotzero")
_LOOK_EVERY_S = 0.002
_BATCH = """
import contextlib, io, json, sys, traceback
from slotzero.cli.main import main
def call(arguments):
    sys.argv = ["slotzero", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
    return [code, out.getvalue(), err.getvalue()]
calls = json.load(sys.stdin)
sys.stdin = open("/dev/null")
print(json.dumps([call(arguments) for arguments in calls]))
"""


@contextlib.contextmanager
def localnet(*arguments: str) -> Iterator[dict[str, Any]]:
    """A running chain; gives its endpoints. Ends with the block."""
    process = subprocess.Popen(
        [*COMMAND, "localnet", "--port", "0", "--until-stdin-closes", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(timeout=20)
        process.stdout.close()


def attached_config(folder: Path, endpoints: dict[str, Any], extra: str = "") -> Path:
    """A configuration that joins a running chain and keeps its journal in `folder`."""
    path = folder / "slotzero.toml"
    path.write_text(
        f'[cluster]\nrpc_url = "{endpoints["rpc"]}"\nws_url = "{endpoints["ws"]}"\n'
        f'[journal]\npath = "{folder / "journal.sqlite3"}"\n{extra}'
    )
    return path


def start_bot(*arguments: str, state: Path) -> subprocess.Popen[bytes]:
    """Start `slotzero run`; its journal goes below `state` unless the configuration says otherwise."""
    return subprocess.Popen(
        [*COMMAND, "run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "XDG_STATE_HOME": str(state), "NO_COLOR": "1"},
    )


def run_commands(calls: list[list[str]], *, state: Path | None = None) -> list[tuple[int, str, str]]:
    """Run `slotzero` once for each list of arguments, all in one process, since starting one takes a second.

    Returns the exit code, stdout and stderr of each.
    """
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "1000"}
    if state is not None:
        environment["XDG_STATE_HOME"] = str(state)
    done = subprocess.run(
        [sys.executable, "-c", _BATCH],
        input=json.dumps(calls),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


def finish(process: subprocess.Popen[bytes], timeout_s: float = 90) -> tuple[int, str, str]:
    """Wait for a process; return its exit code, stdout and stderr."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out.decode(), err.decode()


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9, and nothing else."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)


def journal_events(path: Path) -> list[dict[str, Any]]:
    """Read the journal's events as another program would."""
    if not path.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        try:
            rows: Sequence[tuple[str, bytes]] = connection.execute(
                "SELECT kind, body FROM events ORDER BY seq"
            ).fetchall()
        except sqlite3.OperationalError:  # not created yet
            return []
    return [{"event": kind, **json.loads(body)} for kind, body in rows]


def wait_for_event(process: subprocess.Popen[bytes], path: Path, event: str, side: str, timeout_s: float) -> str:
    """Look at the journal until it shows a new `event` of a `side` intent; return the intent's id."""
    known = {(e["event"], e.get("intent")) for e in journal_events(path)}
    deadline = time.monotonic() + timeout_s  # noqa: TID251 a test waits for another process
    while time.monotonic() < deadline:  # noqa: TID251
        events = journal_events(path)
        sides = {e["intent"]: e["side"] for e in events if e["event"] == "IntentSigned"}
        for found in events:
            key = (found["event"], found.get("intent"))
            if key not in known and found["event"] == event and sides[found["intent"]] == side:
                return str(found["intent"])
        assert process.poll() is None, f"the bot ended (exit {process.returncode}) before {event} of a {side}"
        time.sleep(_LOOK_EVERY_S)
    raise AssertionError(f"no {event} of a {side} within {timeout_s} s")
