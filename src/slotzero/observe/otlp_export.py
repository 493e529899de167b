"""Traces to an OpenTelemetry collector over HTTP, from a thread of its own.

Full: the oldest traces are dropped and counted.

Only to where the user said. A collector that is busy (429, 502, 503, 504) is asked again with growing pauses; what it
refuses otherwise is counted as lost.
"""

import http.client
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


class OtlpExporter:
    """Sends traces while it is entered; on leaving it tries once to send the rest.

    Args:
        url: The collector's address; "/v1/traces" is added where it has no path.

    Raises:
        UsageError: It is no http or https address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"--otlp takes an address such as http://127.0.0.1:4318, got {redacted_url(url)}")
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path if parts.path not in {"", "/"} else "/v1/traces"
        self._waiting: deque[SnipeTrace] = deque(maxlen=_MOST_WAITING)
        self._wake = threading.Event()
        self._is_ending = False
        self._thread = threading.Thread(target=self._work, name="otlp", daemon=True)
        self.sent = self.dropped = self.refused = 0

    def put(self, trace: SnipeTrace) -> None:
        """Take a trace to send. Does not wait."""
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
            status = self._post(otlp_request(batch, version=__version__))
            if status in _OK:
                self.sent += len(batch)
            elif status is None or status in _AGAIN:
                room = _MOST_WAITING - len(self._waiting)
                self.dropped += max(0, len(batch) - room)
                self._waiting.extendleft(reversed(batch[-room:] if room else []))
                return False
            else:
                self.refused += len(batch)
        return True

    def _post(self, body: bytes) -> int | None:
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return answer.status
