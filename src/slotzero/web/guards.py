"""What stands before every request: who may ask, how much, and the headers of every answer. Pure ASGI, no I/O.

The server listens on loopback, which keeps other machines out but not other web pages in the user's own browser. So:
the `Host` must be a loopback name (a page that has its name rebound to 127.0.0.1 cannot know it), any `Origin` must be
our own, and what acts needs a token besides.
"""

import asyncio
import hmac
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slotzero.secret import Secret
from slotzero.web.records import Problem

__all__ = ["Guard", "has_token", "problem_bytes"]

MOST_BODY: Final = 4_096
BODY_WITHIN_S: Final = 10
MOST_QUERY: Final = 1_024
MOST_PATH: Final = 512
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def problem_bytes(sentence: str) -> bytes:
    """Return a refusal's body. *Pure.*"""
    return msgspec.json.encode(Problem(error=sentence))


def has_token(headers: Headers, token: Secret[str]) -> bool:
    """Tell whether a request carries the token, in a time that does not tell how much of it was right. *Pure.*"""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.reveal().encode())


class Guard:
    """Wraps an application.

    Args:
        app: What is guarded.
        body_within_s: How long a request's body may take.
    """

    def __init__(self, app: ASGIApp, *, body_within_s: float = BODY_WITHIN_S) -> None:
        self._app = app
        self._body_within_s = body_within_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                # The one-file report brings a stricter policy of its own, by the hashes of what is in it.
                headers.setdefault("Content-Security-Policy", _POLICY)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = _refusal(scope)
        if refusal is not None:
            await _refuse(send_guarded, *refusal)
            return
        try:
            async with asyncio.timeout(self._body_within_s):
                body, is_too_large = await _body(receive)
        except TimeoutError:
            await _refuse(send_guarded, 408, f"a request's body must come within {self._body_within_s:g} seconds")
            return
        if is_too_large:
            await _refuse(send_guarded, 413, f"a request's body has at most {MOST_BODY} bytes")
            return
        is_given = False

        async def receive_body() -> Message:
            nonlocal is_given
            if is_given:
                return await receive()
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receive_body, send_guarded)


def _refusal(scope: Scope) -> tuple[int, str] | None:
    headers = Headers(scope=scope)
    hosts = headers.getlist("host")
    if len(hosts) != 1 or _name_of(f"//{hosts[0]}") not in _LOOPBACK:
        return 421, "this server answers only under a loopback name, such as http://127.0.0.1"
    for origin in headers.getlist("origin"):
        if origin.lower() != f"http://{hosts[0]}".lower():
            return 403, "requests of other web pages are not answered"
    if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
        return 403, "requests of other web pages are not answered"
    if len(scope["path"]) > MOST_PATH or len(scope.get("raw_path", b"")) > MOST_PATH:
        return 414, f"a path has at most {MOST_PATH} bytes"
    if len(scope["query_string"]) > MOST_QUERY:
        return 414, f"a query has at most {MOST_QUERY} bytes"
    return None


def _name_of(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for what is no port
    except ValueError:
        return None
    is_plain = not (parts.username or parts.password or parts.path or parts.query or parts.fragment)
    return parts.hostname if is_plain else None


async def _body(receive: Receive) -> tuple[bytes, bool]:
    """Return the whole body, and whether it is larger than allowed."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body), False
        body += message.get("body", b"")
        if len(body) > MOST_BODY:
            return b"", True
        if not message.get("more_body", False):
            return bytes(body), False


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = problem_bytes(sentence)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
