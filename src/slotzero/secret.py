"""A value that cannot be printed, logged, pickled or encoded by accident, and URLs without what is secret in them."""

from typing import Generic, NoReturn, TypeVar
from urllib.parse import urlsplit

__all__ = ["Secret", "redacted_url"]

T = TypeVar("T")
_REDACTED = "<redacted>"


class Secret(Generic[T]):
    """Hold a secret; only `reveal` gives it back.

    `repr`, `str` and formatting show a placeholder; pickling, copying and JSON encoding fail. The class guards
    against accidents, not against code that wants the value.
    """

    __slots__ = ("__value",)

    def __init__(self, value: T) -> None:
        self.__value = value

    def reveal(self) -> T:
        """Return the value. Call it where the value is used and keep no other reference."""
        return self.__value

    def __repr__(self) -> str:
        """Return a placeholder."""
        return f"Secret({_REDACTED})"

    def __str__(self) -> str:
        """Return a placeholder."""
        return _REDACTED

    def __format__(self, format_spec: str) -> str:
        """Return a placeholder, whatever the format."""
        return _REDACTED

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse pickling and copying."""
        raise TypeError("a Secret cannot be pickled or copied")


def redacted_url(url: str) -> str:
    """Return `url` without credentials, query string and fragment, for logs and errors.

    Providers put API keys into the path as well, so a path segment of 16 characters or more is shortened. What is no
    absolute URL, or one in which an `@` or a backslash leaves open where the credentials end, is not shown at all.
    *Pure.*
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return _REDACTED
    is_clear = url.isprintable() and not set(parts.path + parts.query + parts.fragment) & set("@\\")
    if not (is_clear and parts.scheme and host and "\\" not in parts.netloc):
        return _REDACTED
    if ":" in host:
        host = f"[{host}]"
    path = "/".join(segment if len(segment) < 16 else segment[:4] + "…" for segment in parts.path.split("/"))  # noqa: PLR2004 shortest API key seen in a path is 20 characters
    return f"{parts.scheme}://{host}{port}{path}"
