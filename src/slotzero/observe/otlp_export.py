"""Traces to an OpenTelemetry collector over HTTP, from a thread of its own.

Full: the oldest traces are dropped and counted.

Only to where the user said. A collector that is busy (429, 502, 503, 504) is asked again with growing pauses; what it
refuses otherwise is counted as lost. The first failure is logged, and the sum is there when it has ended.
"""

import http.client
import logging
import threading
from collections import deque
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from slotzero import __version__
from slotzero.errors import UsageError
from slotzero.secret import redacted_url
from slotzero.tracing import SnipeTrace, otlp_request

__all__ = ["OtlpExporter"]

_MOST_WAITING: Final = 2_048
_BATCH: Final = 256
_EVERY_S: Final = 1.0
_TIMEOUT_S: Final = 5.0
_AGAIN: Final = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE_S: Final = 30.0
_OK: Final = range(200, 300)
_log = logging.getLogger(__name__)


class OtlpExporter:
    """Sends traces while it is entered; on leaving it tries once to send the rest.

    Args:
        url: The collector's address; "/v1/traces" is added where it has no path.

    Raises:
        UsageError: It is no http or https address.
    """

    def __init__(self, url: str) -> None:
        if not _is_address(url):
            raise UsageError(f"--otlp takes an address such as http://127.0.0.1:4318, got {redacted_url(url)}")
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._is_tls = parts.scheme == "https"
        self._path = parts.path if parts.path not in {"", "/"} else "/v1/traces"
        self._path += f"?{parts.query}" if parts.query else ""
        self._waiting: deque[SnipeTrace] = deque(maxlen=_MOST_WAITING)
        self._wake = threading.Event()
        self._is_ending = False
        self._thread = threading.Thread(target=self._work, name="otlp", daemon=True)
        self._shown = redacted_url(url)
        self._has_warned = False
        self._taken = 0
        self.sent = self.dropped = self.refused = 0

    @property
    def summary(self) -> str:
        """One line: what became of the traces. Once it has ended, what was not sent is lost."""
        return f"traces: sent {self.sent}, lost {self._taken - self.sent}"

    def put(self, trace: SnipeTrace) -> None:
        """Take a trace to send. Does not wait."""
        self._taken += 1
        if len(self._waiting) == _MOST_WAITING:
            self.dropped += 1
        self._waiting.append(trace)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the rest, and stop."""
        self._is_ending = True
        self._wake.set()
        self._thread.join(_TIMEOUT_S * 2)

    def _work(self) -> None:
        pause = _EVERY_S
        while not self._is_ending:
            self._wake.wait(pause)
            pause = _EVERY_S if self._send_waiting() else min(pause * 2, _LONGEST_PAUSE_S)
        self._send_waiting()

    def _send_waiting(self) -> bool:
        """Send what waits; return whether the collector took it or never will."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            answer = self._post(otlp_request(batch, version=__version__))
            if answer in _OK:
                self.sent += len(batch)
                continue
            self._warn_once(answer)
            if isinstance(answer, str) or answer in _AGAIN:
                room = _MOST_WAITING - len(self._waiting)
                self.dropped += max(0, len(batch) - room)
                self._waiting.extendleft(reversed(batch[-room:] if room else []))
                return False
            self.refused += len(batch)
        return True

    def _warn_once(self, answer: int | str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        if isinstance(answer, str) or answer in _AGAIN:
            then = f"it is asked again, and the newest {_MOST_WAITING:,} are kept until then"
        else:
            then = "what it refuses is lost"
        what = answer if isinstance(answer, str) else f"it answers {answer}"
        _log.warning("--otlp: the collector at %s does not take traces (%s); %s", self._shown, what, then)

    def _post(self, body: bytes) -> int | str:
        """Return the status the collector answers with, or why it does not answer."""
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        except OSError as error:
            return error.strerror or str(error)
        except http.client.HTTPException as error:
            return f"{type(error).__name__} in place of an answer"
        finally:
            connection.close()
        return answer.status


def _is_address(url: str) -> bool:
    """Tell whether requests can be sent there. *Pure.*"""
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:  # no port, no IPv6 address, or a name that can be none
        return False
    line = parts.path + parts.query
    return (
        bool(host) and parts.scheme in {"http", "https"} and line.isascii() and line.isprintable() and " " not in line
    )
