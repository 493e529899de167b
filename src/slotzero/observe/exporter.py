"""`/metrics` on a thread of its own, so that a scrape is not the event loop's work.

The text of a full registry takes about 0.1 ms to make, and the thread holds the interpreter only that long. Loopback
unless told otherwise: metrics tell a stranger what is traded.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

from slotzero.errors import UsageError
from slotzero.observe.metrics import CONTENT_TYPE, OPENMETRICS_TYPE, Registry

__all__ = ["MetricsServer", "negotiated"]

_LOOPBACK: Final = "127.0.0.1"
_SCRAPE_WITHIN_S: Final = 5


def negotiated(registry: Registry, accept: str) -> tuple[bytes, str]:
    """Return the scrape and its content type, in the format an `Accept` header asks for. *Pure.*"""
    openmetrics = "application/openmetrics-text" in accept
    return registry.render(openmetrics=openmetrics), OPENMETRICS_TYPE if openmetrics else CONTENT_TYPE


class MetricsServer:
    """Serves one registry while it is entered.

    Args:
        registry: What is served.
        port: 0 = any free one.
        host: Where it listens.

    Raises:
        UsageError: (on entering) The port is taken or not allowed.
    """

    def __init__(self, registry: Registry, *, port: int = 0, host: str = _LOOPBACK) -> None:
        self._registry = registry
        self._address = (host, port)
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it is scraped."""
        assert self._server is not None, "the server is not running"
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/metrics"

    def __enter__(self) -> Self:
        """Listen."""
        registry = self._registry

        class Handler(BaseHTTPRequestHandler):
            timeout = _SCRAPE_WITHIN_S
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.split("?", 1)[0] != "/metrics":
                    self.send_error(404)
                    return
                body, content_type = negotiated(registry, self.headers.get("Accept", ""))
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its name in the standard library
                """Say nothing: a scrape each few seconds is no news."""

        host, port = self._address
        try:
            self._server = ThreadingHTTPServer(self._address, Handler)
        except OSError as error:
            raise UsageError(
                f"metrics cannot be served on {host}:{port} ({error.strerror}); name another port"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
