"""The page's server as a process, as a user runs it."""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "slotzero")


class PageServer:
    """`slotzero serve`, ended with its stdin."""

    def __init__(self, state: Path, *, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [*COMMAND, "serve", "--port", str(port), "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "XDG_STATE_HOME": str(state)},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.stderr.read().decode() if self._process.stderr else ""
        started = json.loads(line)
        self.url = str(started["url"])
        self.token_file = Path(started["token_file"])

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def get(self, path: str) -> Any:
        """Ask the API."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def end(self) -> str:
        """End it; return what it said on stderr."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            said = self._process.stderr.read().decode() if self._process.stderr else ""
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()
        return said
