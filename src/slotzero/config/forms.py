"""The forms a text in the settings can have, each with what it is called in an error."""

import functools
import ipaddress
import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

__all__ = ["FORMS", "Form", "is_loopback"]

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ADDRESS_BYTES = 32


def _is_address(text: str) -> bool:
    if not _ADDRESS_BYTES <= len(text) <= 44 or set(text) - set(_BASE58):  # noqa: PLR2004 32 bytes are 32 to 44 digits
        return False
    number = functools.reduce(lambda sum_, digit: sum_ * 58 + _BASE58.index(digit), text, 0)
    zeros = len(text) - len(text.lstrip("1"))
    return zeros + (number.bit_length() + 7) // 8 == _ADDRESS_BYTES


def is_loopback(url: str) -> bool:
    """Tell whether an address is on this machine. *Pure.*"""
    parts = _parts(url)
    return parts is not None and _is_loopback_host(parts.hostname or "")


def _is_endpoint(text: str, plain: str) -> bool:
    """Tell whether `text` is "" or an address: over TLS anywhere, without it on this machine alone.

    Credentials before an "@" and what parsers read apart are refused.
    """
    if not text:
        return True
    parts = _parts(text)
    if parts is None or parts.port == 0 or not parts.hostname:
        return False
    return parts.scheme == f"{plain}s" or (parts.scheme == plain and _is_loopback_host(parts.hostname))


def _parts(text: str) -> SplitResult | None:
    if not text.isascii() or not text.isprintable() or set(text) & set(" @\\"):
        return None
    try:
        parts = urlsplit(text)
        _ = parts.port  # read here, where it is looked for in vain in a text that is no address
    except ValueError:
        return None
    return parts


def _is_loopback_host(host: str) -> bool:
    return host == "localhost" or _is_loopback_ip(host)


def _is_loopback_ip(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_postgresql(text: str) -> bool:
    """Tell whether `text` is "" or an address of a database; a password in it is refused, wherever it stands."""
    if not text:
        return True
    if not text.isascii() or not text.isprintable() or set(text) & set(" \\"):
        return False
    try:
        parts = urlsplit(text)
        has_password, port = parts.password is not None, parts.port
        names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))}
    except ValueError:
        return False
    is_place = bool(parts.hostname or "host" in names) and port != 0 and parts.netloc.count("@") <= 1
    return parts.scheme in ("postgresql", "postgres") and is_place and not (has_password or names & _SECRET_PARAMETERS)


_SECRET_PARAMETERS: Final = frozenset({"password", "sslpassword"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


_CALLABLE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_MAX_PATTERN: Final = 200


def _is_pattern(text: str) -> bool:
    if not 1 <= len(text) <= _MAX_PATTERN:
        return False
    try:
        re.compile(text)
    except re.error:
        return False
    return True


class Form(NamedTuple):
    """One form: what an error calls it, and how it is told."""

    expected: str
    fits: Callable[[str], bool]
    is_url: bool = False


FORMS: Final = {
    "address": Form("an address of 32 bytes in base58", _is_address),
    "http": Form(
        'an address such as "http://127.0.0.1:8899" on this machine or "https://..." elsewhere, or "" for none',
        lambda text: _is_endpoint(text, "http"),
        is_url=True,
    ),
    "ws": Form(
        'an address such as "ws://127.0.0.1:8899" on this machine or "wss://..." elsewhere, or "" for none',
        lambda text: _is_endpoint(text, "ws"),
        is_url=True,
    ),
    "path": Form('a file\'s path, or ""', lambda text: "\0" not in text),
    "postgresql": Form(
        'an address such as "postgresql://user@host:5432/database" without a password, or "" for none',
        _is_postgresql,
        is_url=True,
    ),
    "pattern": Form("a regular expression of 1 to 200 characters", _is_pattern),
    "quote": Form('"SOL" or an address of 32 bytes in base58', lambda text: text == "SOL" or _is_address(text)),
    "callable": Form(
        'a function such as "my_package.my_module:my_function", or "" for none',
        lambda text: not text or bool(_CALLABLE.fullmatch(text)),
    ),
    "name": Form(
        "a name of 1 to 64 letters, digits, dots, hyphens and underscores", lambda t: bool(_NAME.fullmatch(t))
    ),
}
