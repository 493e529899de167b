"""What kind of failure an exception is: one of six classes, a sub-code and whose fault it was. *Pure.*

Knows httpx, aiohttp, websockets, grpc, asyncio and the operating system, and our own error tree. None of the
libraries is imported: an exception is recognised by the names of its class and that class's ancestors, so a library
costs nothing where it is not used. Every row of the table below was provoked on loopback with the real library.

The classes:

* timeout: a deadline passed, the client's or a gateway's.
* rate_limit: the target asked us to slow down.
* network: the path failed before a session existed, for another reason than the peer's port: name, route, trust,
  proxy.
* connection: a peer refused, reset, closed early or spoke garbage.
* server: the peer answered and admitted a fault.
* unknown: everything else: a client's mistakes (4xx), failed assertions, faults of the generator itself.

Weaknesses: httpx hides the cause of a failed connection (its pool raises anew `from None`), so the suppressed context
is walked too, for name and trust errors only. gRPC folds name and trust errors into UNAVAILABLE: they are told apart
by its text. A policy close (1008) of a WebSocket stays unknown, though several exchanges mean "slow down" by it.
"""

import enum
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from slotzero.errors import RateLimitedError, RpcError, SlotzeroError, TransportError

__all__ = ["ErrorClass", "Fault", "Origin", "classify", "classify_result", "message_of", "of_status"]


class ErrorClass(enum.StrEnum):
    """What kind of failure it is; the order is that of every report."""

    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    NETWORK = "network"
    CONNECTION = "connection"
    SERVER = "server"
    UNKNOWN = "unknown"


Origin: TypeAlias = Literal["target", "generator", "check"]
"""Whose fault it was: the target's, the load generator's own, or a check of the operation's result."""


class Fault(Struct, frozen=True):
    """A classified failure.

    Attributes:
        kind: Its class.
        code: What exactly, of low cardinality: "dns", "refused", "status:503", "grpc:UNAVAILABLE", "ws:1013".
        origin: Whose fault it was.
    """

    kind: ErrorClass
    code: str
    origin: Origin = "target"


_T, _R, _N = ErrorClass.TIMEOUT, ErrorClass.RATE_LIMIT, ErrorClass.NETWORK
_C, _S, _U = ErrorClass.CONNECTION, ErrorClass.SERVER, ErrorClass.UNKNOWN

_BY_NAME: Final[dict[str, Fault]] = {
    "httpx.PoolTimeout": Fault(_T, "pool", "generator"),
    "httpx.ConnectTimeout": Fault(_T, "connect"),
    "httpx.ReadTimeout": Fault(_T, "read"),
    "httpx.WriteTimeout": Fault(_T, "write"),
    "httpx.TimeoutException": Fault(_T, "timeout"),
    "httpx.ProxyError": Fault(_N, "proxy"),
    "httpx.ConnectError": Fault(_C, "connect"),
    "httpx.ReadError": Fault(_C, "read"),
    "httpx.WriteError": Fault(_C, "write"),
    "httpx.CloseError": Fault(_C, "close"),
    "httpx.RemoteProtocolError": Fault(_C, "protocol"),
    "httpx.DecodingError": Fault(_C, "garbage"),
    "aiohttp.ConnectionTimeoutError": Fault(_T, "connect"),
    "aiohttp.SocketTimeoutError": Fault(_T, "read"),
    "aiohttp.ServerTimeoutError": Fault(_T, "timeout"),
    "aiohttp.ClientConnectorDNSError": Fault(_N, "dns"),
    "aiohttp.ClientConnectorSSLError": Fault(_N, "tls"),
    "aiohttp.ClientConnectorCertificateError": Fault(_N, "tls"),
    "aiohttp.ClientSSLError": Fault(_N, "tls"),
    "aiohttp.ServerFingerprintMismatch": Fault(_N, "tls"),
    "aiohttp.ClientHttpProxyError": Fault(_N, "proxy"),
    "aiohttp.ClientProxyConnectionError": Fault(_N, "proxy"),
    "aiohttp.ClientConnectorError": Fault(_C, "connect"),
    "aiohttp.ClientOSError": Fault(_C, "os"),
    "aiohttp.ServerDisconnectedError": Fault(_C, "eof"),
    "aiohttp.ClientPayloadError": Fault(_C, "payload"),
    "aiohttp.WSMessageTypeError": Fault(_C, "eof"),
    "websockets.InvalidMessage": Fault(_C, "handshake"),
    "websockets.InvalidProxyMessage": Fault(_N, "proxy"),
    "websockets.ProxyError": Fault(_N, "proxy"),
    "websockets.InvalidUpgrade": Fault(_C, "handshake"),
    "websockets.InvalidHeader": Fault(_C, "handshake"),
    "asyncio.IncompleteReadError": Fault(_C, "eof"),
    "builtins.AssertionError": Fault(_U, "assertion", "check"),
}
"""By the root package of a class and its name; `_names` walks the ancestors, the nearest one first."""

_ROOTS: Final = {"httpx2": "httpx"}

_ERRNO: Final[dict[int, Fault]] = {
    errno.ETIMEDOUT: Fault(_T, "os"),
    errno.ENETUNREACH: Fault(_N, "unreachable"),
    errno.EHOSTUNREACH: Fault(_N, "unreachable"),
    errno.ENETDOWN: Fault(_N, "unreachable"),
    errno.EHOSTDOWN: Fault(_N, "unreachable"),
    errno.ECONNREFUSED: Fault(_C, "refused"),
    errno.ECONNRESET: Fault(_C, "reset"),
    errno.ECONNABORTED: Fault(_C, "aborted"),
    errno.EPIPE: Fault(_C, "broken_pipe"),
    errno.EMFILE: Fault(_U, "files", "generator"),
    errno.ENFILE: Fault(_U, "files", "generator"),
    errno.EADDRNOTAVAIL: Fault(_U, "ports", "generator"),
    errno.ENOBUFS: Fault(_U, "buffers", "generator"),
    errno.ENOMEM: Fault(_U, "memory", "generator"),
}
_OS_CLASSES: Final[tuple[tuple[type[OSError], Fault], ...]] = (
    (ConnectionRefusedError, _ERRNO[errno.ECONNREFUSED]),
    (ConnectionResetError, _ERRNO[errno.ECONNRESET]),
    (ConnectionAbortedError, _ERRNO[errno.ECONNABORTED]),
    (BrokenPipeError, _ERRNO[errno.EPIPE]),
)
"""Raised without a number by some event loops."""

_GRPC: Final[dict[str, ErrorClass]] = {
    "DEADLINE_EXCEEDED": _T,
    "RESOURCE_EXHAUSTED": _R,
    "UNAVAILABLE": _C,
    "INTERNAL": _S,
    "UNKNOWN": _S,
    "DATA_LOSS": _S,
    "UNIMPLEMENTED": _S,
    "ABORTED": _S,
}
_GRPC_DNS: Final = ("dns resolution", "hostname lookup error", "name resolution", "name or service not known")
_GRPC_TLS: Final = ("handshake", "ssl_error", "certificate", "tls")

_CLOSES: Final[dict[int, ErrorClass]] = {
    1000: _C,
    1001: _C,
    1005: _C,
    1006: _C,
    1002: _S,
    1011: _S,
    1012: _S,
    1014: _S,
    1013: _R,
    1015: _N,
}
_ABNORMAL: Final = 1006

_RPC_RATE_LIMITED: Final = frozenset({429, -32429})
_RPC_SERVER: Final = frozenset({-32603, -32004, -32005, -32014, -32016})
"""Internal error; block not available, node behind, status not available yet, minimum context slot not reached."""

_DEEPEST: Final = 16
_UNKNOWN_STATUS: Final = 0


def classify(error: BaseException) -> Fault:
    """Return what kind of failure `error` is. *Pure.* Of a group, its first leaf.

    Never raises: an exception whose attributes do (or hold what nobody expects there) is unknown, by its class's name.
    """
    try:
        return _classified(error)
    except BaseException:  # noqa: BLE001 somebody else's properties; a panic in one is no `Exception`
        return Fault(_U, type(error).__name__)


def message_of(error: BaseException) -> str:
    """Return an exception's text. Never raises: one that cannot make its own has none."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 somebody else's `__str__`
        return "(its text could not be made)"


def _classified(error: BaseException) -> Fault:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, SlotzeroError):
        return _ours(error)
    names = list(_names(error))
    if (fault := _by_answer(error, names)) is not None:
        return fault
    known = next((_BY_NAME[name] for name in names if name in _BY_NAME), None)
    if known is not None and known.kind is not _C:
        return known
    if known is not None or isinstance(error, OSError):
        # A library says "could not connect"; why is in the chain.
        return _root_cause(error) or known or Fault(_U, _code(error))
    return Fault(_U, _code(error))


def classify_result(value: object) -> Fault | None:
    """Return the failure that a returned value is, or None when it is none. *Pure.*

    httpx and aiohttp return a response for 4xx and 5xx instead of raising; whoever forgets to look counts a 429 as a
    success. Looks at `status_code` and `status` when they are whole numbers.
    """
    for name in ("status_code", "status"):
        status = getattr(value, name, None)
        if type(status) is int or isinstance(status, enum.IntEnum):
            return of_status(int(status)) if status >= 400 else None  # noqa: PLR2004 the first status that is an error
    return None


def of_status(status: int) -> Fault:
    """Return the failure that an HTTP status is. *Pure.*"""
    code = f"status:{status}"
    match status:
        case 408 | 504:
            return Fault(_T, code)
        case 420 | 429:
            return Fault(_R, code)
        case _ if 500 <= status <= 599:  # noqa: PLR2004 the server's errors
            return Fault(_S, code)
        case _:
            return Fault(_U, code)


def _by_answer(error: BaseException, names: list[str]) -> Fault | None:
    """Return the failure where the peer answered, by its answer."""
    for name in names:
        match name:
            case "httpx.HTTPStatusError" | "websockets.InvalidStatus":
                return of_status(int(getattr(getattr(error, "response", None), "status_code", _UNKNOWN_STATUS)))
            case "websockets.InvalidStatusCode":  # the legacy client
                return of_status(int(getattr(error, "status_code", _UNKNOWN_STATUS)))
            case "aiohttp.ClientHttpProxyError":
                return None
            case "aiohttp.ClientResponseError":
                return _aiohttp_response(error)
            case "websockets.ConnectionClosed":
                return _closed(error)
            case "grpc.RpcError":
                return _grpc(error)
            case _:
                pass
    return None


def _aiohttp_response(error: BaseException) -> Fault:
    # Bytes that are no HTTP come as a response of status 400, caused by the parser's error.
    if any("aiohttp.HttpProcessingError" in _names(cause) for cause in _chain(error)):
        return Fault(_C, "garbage")
    return of_status(int(getattr(error, "status", _UNKNOWN_STATUS)))


def _closed(error: BaseException) -> Fault:
    # Not the `code` property: it is deprecated, and warns.
    code = int(getattr(getattr(error, "rcvd", None), "code", _ABNORMAL))
    return Fault(_CLOSES.get(code, _U), f"ws:{code}")


def _grpc(error: BaseException) -> Fault | None:
    status = getattr(error, "code", None)
    name = getattr(status() if callable(status) else None, "name", None)
    if name is None:
        return None
    if name == "UNAVAILABLE":
        details = getattr(error, "details", None)
        text = str(details() if callable(details) else "").lower()
        if any(words in text for words in _GRPC_DNS):
            return Fault(_N, "dns")
        if any(words in text for words in _GRPC_TLS):
            return Fault(_N, "tls")
    return Fault(_GRPC.get(name, _U), f"grpc:{name}")


def _ours(error: SlotzeroError) -> Fault:
    match error:
        case RateLimitedError():
            return of_status(429)
        case RpcError(code=code):
            kind = _R if code in _RPC_RATE_LIMITED else _S if code in _RPC_SERVER else _U
            return Fault(kind, f"rpc:{code}")
        case TransportError():
            found = (classify(cause) for cause in _chain(error) if cause is not error)
            return next((fault for fault in found if fault.kind is not _U or fault.origin != "target"), _TRANSPORT)
        case _:
            return Fault(_U, _code(error))


_TRANSPORT: Final = Fault(_C, "transport")


def _root_cause(error: BaseException) -> Fault | None:
    """Return what an error of the system, a name or trust is behind `error`; None when there is none."""
    for cause in _chain(error):
        if isinstance(cause, socket.gaierror):
            return Fault(_N, "dns")
        if isinstance(cause, ssl.SSLError):
            return Fault(_N, "tls")
        if isinstance(cause, OSError) and (fault := _of_system(cause)) is not None:
            return fault
    return None


def _of_system(error: OSError) -> Fault | None:
    if error.errno is not None and (fault := _ERRNO.get(error.errno)) is not None:
        return fault
    found = next((fault for kind, fault in _OS_CLASSES if isinstance(error, kind)), None)
    if found is None and isinstance(error, TimeoutError):
        return Fault(_T, "timeout")
    return found


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what caused it, hidden causes too, a group's first leaf in its place."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < _DEEPEST:
        seen.add(id(current))
        yield current
        inner = getattr(current, "os_error", None)  # aiohttp's connector errors carry it
        if isinstance(inner, BaseException) and id(inner) not in seen:
            seen.add(id(inner))
            yield inner
        if isinstance(current, BaseExceptionGroup):
            current = current.exceptions[0]
        else:
            current = current.__cause__ or current.__context__


def _names(error: BaseException) -> Iterator[str]:
    for kind in type(error).__mro__:
        root = kind.__module__.partition(".")[0]
        yield f"{_ROOTS.get(root, root)}.{kind.__name__}"


def _code(error: BaseException) -> str:
    """Return the class's name as a sub-code; with the number of an error of the system."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"os:{errno.errorcode.get(error.errno, str(error.errno))}"
    return type(error).__name__
