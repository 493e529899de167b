"""The page's own files, read once at the start: no request ever names a path on the disk."""

import hashlib
from importlib.resources import files
from typing import Final

from msgspec import Struct

__all__ = ["VIEWS", "Asset", "assets"]

VIEWS: Final = ("/", "/live", "/positions", "/snipes", "/runs", "/compare", "/load", "/logs")
"""Addresses of views; `/snipes/MINT`, `/runs/RUN` and `/load/RUN` beside them."""
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_TAG: Final = 16


class Asset(Struct, frozen=True, kw_only=True):
    """One file of the page."""

    body: bytes
    kind: str
    tag: str


def assets() -> dict[str, Asset]:
    """Return the files by name. *Does I/O.*"""
    found = {}
    for file in (files(__package__) / "static").iterdir():
        kind = next((kind for end, kind in _KINDS.items() if file.name.endswith(end)), None)
        if kind is not None:
            body = file.read_bytes()
            tag = hashlib.sha256(body).hexdigest()[:_TAG]
            found[file.name] = Asset(body=body, kind=kind, tag=f'"{tag}"')
    return found
