"""The JSON document behind a token's uri: fetched on explicit request only, never by the bot itself.

The uri was written by a stranger who would like to see us: to learn our address, to have us ask hosts that only we can
reach (the cloud's metadata service, a router, our own ports), to keep us busy. So

* only https is spoken, to port 443 and without credentials;
* the host's addresses are looked up here and each must be public; the connection goes to exactly those addresses, so
  that a second look-up cannot give another answer. An address written into the uri is judged likewise;
* a redirect is followed to the same host only, at most `MAX_HOPS` times;
* the whole takes at most `timeout_ms`, the body at most `max_bytes`, and it is not decompressed;
* what comes back is JSON with a few known texts, cut to a length and cleaned for a terminal.

The image and the links in it are shown as text and never fetched.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct

from slotzero.errors import MalformedError, TransportError
from slotzero.market.text import shown

__all__ = ["MAX_HOPS", "OffchainDocument", "OffchainLimits", "fetch_offchain", "is_public"]

MAX_HOPS: Final = 3
"""Redirects followed, all to the same host."""

_HTTPS_PORT: Final = 443
_HTTP_OK: Final = 200
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_URI_CHARS: Final = 2_048
_MS_PER_S: Final = 1_000
_NAME_CHARS: Final = 80
_TEXT_CHARS: Final = 400
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "slotzero"}

Look = Callable[[str, int], Awaitable[Sequence[str]]]
"""Looks up the addresses of a host and a port. Raises OSError."""


class OffchainLimits(Struct, frozen=True, kw_only=True):
    """How far a request may go.

    Attributes:
        timeout_ms: For everything together: looking up, connecting, redirects, reading.
        max_bytes: Of the body.
        may_reach_private: Whether loopback, private and link-local addresses and other ports than 443 may be asked.
            For a gateway of one's own, and for tests; never for the uris of strangers.
    """

    timeout_ms: int = 3_000
    max_bytes: int = 65_536
    may_reach_private: bool = False


class OffchainDocument(Struct, frozen=True, kw_only=True):
    """What such a document says, fit for a terminal; None where it says nothing or something else than a text."""

    name: str | None
    symbol: str | None
    description: str | None
    image: str | None
    website: str | None
    twitter: str | None
    telegram: str | None


async def fetch_offchain(
    uri: str,
    limits: OffchainLimits = OffchainLimits(),  # noqa: B008 a frozen record
    *,
    look: Look | None = None,
    tls: ssl.SSLContext | None = None,
) -> OffchainDocument:
    """Fetch and read the document at `uri`. *Does I/O* with a host that a stranger chose. *Cancellation: safe.*

    Args:
        uri: As the token says it.
        limits: How far to go.
        look: Who looks hosts up; None = the system.
        tls: Whom to trust; None = the system's authorities.

    Raises:
        MalformedError: The uri is none that is asked, or what came back is no such document.
        TransportError: Nothing came back in time.
    """
    parts = _checked(uri, limits)
    host = f"https://{parts.hostname}"
    resolver = _Resolver(look or _system_look, limits)
    connector = aiohttp.TCPConnector(resolver=resolver, ssl=tls or True, use_dns_cache=False, limit=1)
    fault = "did not answer in time"
    try:
        async with (
            asyncio.timeout(limits.timeout_ms / _MS_PER_S),
            aiohttp.ClientSession(connector=connector, headers=_HEADERS, auto_decompress=False) as session,
        ):
            return _document(await _body(session, parts, limits))
    except (_RefusedError, MalformedError) as error:
        raise MalformedError(str(error)) from None
    except TimeoutError:
        pass
    except (aiohttp.ClientError, OSError, UnicodeError) as error:  # UnicodeError: a label no look-up takes
        if isinstance(cause := error.__cause__, _RefusedError):
            raise MalformedError(str(cause)) from None
        fault = f"cannot be asked ({type(error).__name__})"
    raise TransportError(host, fault)


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, seen through every way to write another in it. *Pure.*

    Refused: loopback, private, link-local, shared, multicast, reserved, unspecified; and IPv6 addresses that stand for
    one of those (mapped, 6to4, Teredo, NAT64). What is no address at all is refused, too.
    """
    try:
        ip = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None and not is_public(str(inner)):
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class _RefusedError(OSError):
    """A host that is not asked. An OSError, because that is what a resolver may raise."""


class _Resolver(AbstractResolver):
    """Looks a host up and gives out its addresses when all of them may be asked."""

    def __init__(self, look: Look, limits: OffchainLimits) -> None:
        self._look = look
        self._limits = limits

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return where `host` is to be connected to."""
        del family  # the connector asks for both kinds
        addresses = await self._look(host, port)
        for address in addresses:
            if not (self._limits.may_reach_private or is_public(address)):
                raise _RefusedError(f"{host} is at {address}, which is no address of the public internet")
        return [_result(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Nothing to close."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


async def _system_look(host: str, port: int) -> Sequence[str]:
    rows = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in rows))


def _checked(uri: str, limits: OffchainLimits) -> SplitResult:
    """Return the parts of a uri that may be asked."""
    label = shown(uri, _NAME_CHARS)
    if len(uri) > _MAX_URI_CHARS or not uri.isascii() or not uri.isprintable() or set(uri) & set(" \\"):
        raise MalformedError(f"the uri {label!r} is not asked: it is too long or holds what no uri holds")
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise MalformedError(f"the uri {label!r} cannot be read: {error}") from error
    if parts.scheme != "https" or not host:
        raise MalformedError(f"the uri {label!r} is not asked: only https is")
    if parts.username is not None or parts.password is not None:
        raise MalformedError(f"the uri of {host} is not asked: it carries credentials")
    if limits.may_reach_private:
        return parts
    if port not in (None, _HTTPS_PORT):
        raise MalformedError(f"the uri of {host} is not asked: its port is {port}, not {_HTTPS_PORT}")
    if _is_address(host) and not is_public(host):
        # The connector looks no address up, so it would not come by the resolver.
        raise MalformedError(f"the uri is not asked: {host} is no address of the public internet")
    return parts


def _is_address(host: str) -> bool:
    """Tell whether a host is an address, in whatever notation: `127.1` and `2130706433` are 127.0.0.1 to a socket."""
    return ":" in host or host.replace(".", "").isdigit()


async def _body(session: aiohttp.ClientSession, parts: SplitResult, limits: OffchainLimits) -> bytes:
    for _ in range(MAX_HOPS + 1):
        async with session.get(parts.geturl(), allow_redirects=False) as response:
            if response.status not in _REDIRECTS:
                return await _read(response, limits)
            target = urljoin(parts.geturl(), response.headers.get("Location", ""))
        following = _checked(target, limits)
        if (following.hostname, following.port) != (parts.hostname, parts.port):
            raise MalformedError(f"{parts.hostname} redirects to {following.hostname}, another host")
        parts = following
    raise MalformedError(f"{parts.hostname} redirects more than {MAX_HOPS} times")


async def _read(response: aiohttp.ClientResponse, limits: OffchainLimits) -> bytes:
    host = response.url.host
    if response.status != _HTTP_OK:
        raise TransportError(f"https://{host}", f"answered with HTTP {response.status}")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise MalformedError(f"{host} answered with a compressed body, which was not asked for")
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limits.max_bytes:
            raise MalformedError(f"{host} answered with more than {limits.max_bytes} bytes")
    return bytes(body)


def _document(body: bytes) -> OffchainDocument:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError("what came back is no JSON") from error
    if not isinstance(found, dict):
        raise MalformedError(f"what came back is no JSON object but {type(found).__name__}")

    def text(key: str, most: int = _TEXT_CHARS) -> str | None:
        value = found.get(key)
        return (shown(value, most) or None) if isinstance(value, str) else None

    return OffchainDocument(
        name=text("name", _NAME_CHARS),
        symbol=text("symbol", _NAME_CHARS),
        description=text("description"),
        image=text("image"),
        website=text("website"),
        twitter=text("twitter"),
        telegram=text("telegram"),
    )
