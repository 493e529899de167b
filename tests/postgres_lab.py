"""A throw-away PostgreSQL server for tests, on a socket in a folder of its own.

python postgres_lab.py        # start one, print its address, stop it at the end of stdin
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

__all__ = ["fresh_database", "postgres_binaries", "running_postgres"]

OWNER = "slotzero"
GUARDED = "locked"
"""A role that has to give a password; every other one is trusted."""
_START_WITHIN_S = 30


def postgres_binaries() -> Path | None:
    """The folder of `postgres` and `initdb`, or None: Debian keeps them out of PATH."""
    found = [Path(which).parent] if (which := shutil.which("initdb")) else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return next((folder for folder in found if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


def _account() -> dict[str, object]:
    """Who runs the server: it refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise AssertionError("no user that could run the server")


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server; gives the URL of its database `postgres`, as a superuser. Everything is gone afterwards."""
    binaries, account = postgres_binaries(), _account()
    assert binaries is not None, "PostgreSQL is not installed"
    folder = Path(tempfile.mkdtemp(prefix="slotzero-pg-"))
    with_parent = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
    try:
        if account:
            os.chown(folder, int(str(account["user"])), int(str(account["group"])))
        data, log = folder / "data", folder / "log"
        initdb = [binaries / "initdb", "-D", data, "-U", OWNER, "--auth=trust", "-E", "UTF8", "--no-locale", "-N"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **account)  # type: ignore[call-overload] # one dictionary of keywords
        hba = data / "pg_hba.conf"
        hba.write_text(f"local all {GUARDED} scram-sha-256\n" + hba.read_text())
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "max_connections=50"]
        command = [*with_parent, binaries / "postgres", "-D", data, *options]
        with log.open("wb") as output:
            server = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, **account)  # type: ignore[call-overload] # as above
        url = f"postgresql://{OWNER}@/postgres?host={folder}"
        try:
            _wait_for(url, server, log)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE ROLE {GUARDED} LOGIN SUPERUSER PASSWORD 'correct horse'")
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's "fast": whoever is connected is thrown out
            server.wait(timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_WITHIN_S  # noqa: TID251 a test waits for another process
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()  # noqa: TID251
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """Make an empty database on a server; gives its URL and drops it afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def main() -> None:
    with running_postgres() as url:
        sys.stdout.write(url + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
