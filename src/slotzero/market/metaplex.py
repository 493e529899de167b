"""The metadata account of the Metaplex Token Metadata program, read from its bytes. *Pure.*

What is read: key, update authority, mint, name, symbol, uri, seller fee, creators, whether the first sale is done, and
whether it can be changed. What follows (edition nonce, token standard, collection, uses, programmable configuration)
is left alone: it says nothing a buyer needs, and on accounts from before 2022 it is not always well-formed. Texts are
padded with zero bytes to 32, 10 and 200, by the program itself.

Source: Metaplex Token Metadata 1.13 (`state/metadata.rs`), Borsh; account key 4 = MetadataV1. An account has 679 bytes,
607 since the resizing of 2024-10.
"""

import struct
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError

__all__ = ["METAPLEX_PROGRAM", "MetaplexMetadata", "metadata_address", "parse_metaplex"]

METAPLEX_PROGRAM: Final = Pubkey.from_string("metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s")

_METADATA_V1: Final = 4
_KEY: Final = 32
_U32: Final = struct.Struct("<I")
_FEE_BYTES: Final = 2
_CREATOR_BYTES: Final = _KEY + 1 + 1
_MAX_CREATORS: Final = 5


class MetaplexMetadata(Struct, frozen=True, kw_only=True):
    """What a Metaplex metadata account says, its texts without their padding.

    Attributes:
        update_authority: Who may change it while it `is_mutable`.
        mint: The mint it was made for.
    """

    update_authority: Pubkey
    mint: Pubkey
    name: str
    symbol: str
    uri: str
    is_mutable: bool


def metadata_address(mint: Pubkey) -> Pubkey:
    """Return the metadata account of `mint`. *Pure.* About 8 us."""
    return Pubkey.find_program_address([b"metadata", bytes(METAPLEX_PROGRAM), bytes(mint)], METAPLEX_PROGRAM)[0]


def parse_metaplex(data: bytes, owner: Pubkey) -> MetaplexMetadata:
    """Parse a metadata account. *Pure.* About 3 us.

    Args:
        data: The account's bytes.
        owner: The program that owns the account: anybody can write these bytes into an account of their own.

    Raises:
        MalformedError: It is no metadata account of the program, or ends inside a field.
    """
    if owner != METAPLEX_PROGRAM:
        raise MalformedError(f"token metadata must be owned by {METAPLEX_PROGRAM}, its owner was {owner}")
    at = 1 + 2 * _KEY
    if len(data) < at or data[0] != _METADATA_V1:
        raise MalformedError(f"token metadata must begin with {_METADATA_V1} and two keys, it began {data[:1].hex()!r}")
    name, at = _text(data, at, "name")
    symbol, at = _text(data, at, "symbol")
    uri, at = _text(data, at, "uri")
    at = _after_creators(data, at + _FEE_BYTES)
    _flag(data, at, "the first sale")
    return MetaplexMetadata(
        update_authority=Pubkey.from_bytes(data[1 : 1 + _KEY]),
        mint=Pubkey.from_bytes(data[1 + _KEY : 1 + 2 * _KEY]),
        name=name,
        symbol=symbol,
        uri=uri,
        is_mutable=_flag(data, at + 1, "mutability"),
    )


def _text(data: bytes, at: int, name: str) -> tuple[str, int]:
    length, start = _count(data, at), at + _U32.size
    end = start + length
    if end > len(data):
        raise MalformedError(f"the {name} must lie inside the account, it claimed {length} bytes at byte {at}")
    try:
        return data[start:end].rstrip(b"\0").decode(), end
    except UnicodeDecodeError as error:
        raise MalformedError(f"the {name} must be UTF-8, it was not at its byte {error.start}") from error


def _count(data: bytes, at: int) -> int:
    if at + _U32.size > len(data):
        raise MalformedError(f"token metadata must not end inside a length, it ended at byte {len(data)}")
    count: int = _U32.unpack_from(data, at)[0]
    return count


def _after_creators(data: bytes, at: int) -> int:
    """Return where the optional list of creators ends."""
    if not _flag(data, at, "the list of creators"):
        return at + 1
    count = _count(data, at + 1)
    if count > _MAX_CREATORS:
        raise MalformedError(f"token metadata has at most {_MAX_CREATORS} creators, it claimed {count}")
    return at + 1 + _U32.size + count * _CREATOR_BYTES


def _flag(data: bytes, at: int, name: str) -> bool:
    if at >= len(data) or data[at] > 1:
        found = "nothing" if at >= len(data) else str(data[at])
        raise MalformedError(f"the byte for {name} must be 0 or 1, at byte {at} was {found}")
    return data[at] == 1
