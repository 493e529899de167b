"""Prometheus and Alertmanager as child processes on loopback, each in a folder of its own."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

__all__ = ["Api", "free_port", "needs_service", "running_alertmanager", "running_prometheus", "wait_for"]

_START_WITHIN_S = 20


def needs_service(program: str) -> None:
    """Skip a test on a machine without the program; fail where CI requires it."""
    if shutil.which(program) is None:
        reason = f"{program} is not on this machine (apt install prometheus prometheus-alertmanager)"
        if os.environ.get("SLOTZERO_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(
    look: Callable[[], Any], what: str, within_s: float = _START_WITHIN_S, last: Callable[[], Any] = lambda: ""
) -> Any:
    """Return the first true answer of `look`; another process decides when, so this waits on the wall clock.

    Args:
        look: Asked again and again.
        what: What is waited for.
        within_s: When to give up.
        last: Says how things stand then.
    """
    deadline = time.monotonic() + within_s  # noqa: TID251 a test waits for another process
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if found := look():
                return found
        assert time.monotonic() < deadline, f"{within_s} s in vain for {what}: {last()}"  # noqa: TID251 as above
        time.sleep(0.1)


class Api:
    """A Prometheus or an Alertmanager."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(f"{self.url}{path}{query}", timeout=10) as answer:
            return msgspec.json.decode(answer.read())

    def ready(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)

    def query(self, expr: str, at: float | None = None) -> list[Any]:
        """Return an instant query's samples. A query that is not understood raises HTTPError."""
        more = {} if at is None else {"time": f"{at:.3f}"}
        return list(self.get("/api/v1/query", query=expr, **more)["data"]["result"])


@contextlib.contextmanager
def _running(command: list[str], url: str, folder: Path, name: str) -> Iterator[Api]:
    needs_service(command[0])
    with_parent = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen([*with_parent, *command], stdout=output, stderr=output, cwd=folder)
    try:
        api = Api(url)
        wait_for(lambda: api.ready() or process.poll() is not None, f"{name}: {log.read_text()[-2_000:]}")
        assert process.poll() is None, log.read_text()[-4_000:]
        yield api
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextlib.contextmanager
def running_prometheus(config: Path, data: Path, *, port: int | None = None) -> Iterator[Api]:
    """Start Prometheus with a configuration, on `data`."""
    port = port or free_port()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=30d",
        f"--web.listen-address=127.0.0.1:{port}",
        # An alert that fires before Alertmanager is found is sent again after this; the default is a minute.
        "--rules.alert.resend-delay=1s",
        "--log.level=warn",
    ]
    with _running(command, f"http://127.0.0.1:{port}", config.parent, "prometheus") as api:
        yield api


@contextlib.contextmanager
def running_alertmanager(config: Path, data: Path, *, port: int | None = None) -> Iterator[Api]:
    """Start an Alertmanager that talks to no other."""
    port = port or free_port()
    command = [
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with _running(command, f"http://127.0.0.1:{port}", config.parent, "alertmanager") as api:
        yield api
