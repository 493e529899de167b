"""Mints and token accounts of SPL Token and Token-2022, parsed from their raw bytes. *Pure.*

Both programs share the 82-byte mint and the 165-byte account, so the owner program is looked at first: what follows
the base is an extension under Token-2022 and nonsense under SPL Token. A Token-2022 account with extensions is padded
to 165 bytes; byte 165 says what it is (1 mint, 2 account) and from byte 166 on come the extensions, each a type
(u16 LE), a length (u16 LE) and a value. The list ends at type 0 or at the end of the data.

A parser here never guesses: an overlong length, a type that stands twice, a known type with a foreign length and a
multisig (355 bytes, owned by the same programs) are malformed. A type without a record of its own is kept:
`OpaqueExtension` when it has a name, `UnknownExtension` when this module has never heard of it, which a judge must
treat as hostile.

Source: spl-token 4, spl-token-2022 (program 11.0.0, as bundled with solders 0.29), spl-token-metadata-interface.
"""

import enum
import struct
from collections.abc import Callable
from typing import ClassVar, Final, TypeVar

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.units import BPS, TokenAmount

__all__ = [
    "ACCOUNT_LENGTH",
    "CONFIDENTIAL_FAMILY",
    "EXTENSIONS_AT",
    "MINT_LENGTH",
    "MULTISIG_LENGTH",
    "AccountKind",
    "AccountState",
    "DefaultAccountState",
    "Extension",
    "ExtensionType",
    "MetadataPointer",
    "Mint",
    "MintCloseAuthority",
    "NonTransferable",
    "OpaqueExtension",
    "Pausable",
    "PermanentDelegate",
    "TokenAccount",
    "TokenMetadata",
    "TransferFee",
    "TransferFeeAmount",
    "TransferFeeConfig",
    "TransferHook",
    "UnknownExtension",
    "extension_name",
    "extensions_end",
    "parse_mint",
    "parse_token_account",
]

MINT_LENGTH: Final = 82
ACCOUNT_LENGTH: Final = 165
MULTISIG_LENGTH: Final = 355
EXTENSIONS_AT: Final = ACCOUNT_LENGTH + 1
"""Where the first extension begins; the byte before it is the `AccountKind`."""

_MINT: Final = struct.Struct("<I32sQBBI32s")
_ACCOUNT: Final = struct.Struct("<32s32sQI32sBIQQI32s")
_HEADER: Final = struct.Struct("<HH")
_U16: Final = struct.Struct("<H")
_U32: Final = struct.Struct("<I")
_TRANSFER_FEE_CONFIG: Final = struct.Struct("<32s32sQQQHQQH")
_U64: Final = struct.Struct("<Q")
_NONE: Final = bytes(32)
_KEY: Final = 32


class AccountKind(enum.IntEnum):
    """Byte 165 of a Token-2022 account that has extensions."""

    MINT = 1
    ACCOUNT = 2


class AccountState(enum.IntEnum):
    """Whether a token account can move its tokens."""

    INITIALIZED = 1
    FROZEN = 2


class ExtensionType(enum.IntEnum):
    """The extension types of Token-2022 by their numbers. A number that is not here is unknown."""

    TRANSFER_FEE_CONFIG = 1
    TRANSFER_FEE_AMOUNT = 2
    MINT_CLOSE_AUTHORITY = 3
    CONFIDENTIAL_TRANSFER_MINT = 4
    CONFIDENTIAL_TRANSFER_ACCOUNT = 5
    DEFAULT_ACCOUNT_STATE = 6
    IMMUTABLE_OWNER = 7
    MEMO_TRANSFER = 8
    NON_TRANSFERABLE = 9
    INTEREST_BEARING_CONFIG = 10
    CPI_GUARD = 11
    PERMANENT_DELEGATE = 12
    NON_TRANSFERABLE_ACCOUNT = 13
    TRANSFER_HOOK = 14
    TRANSFER_HOOK_ACCOUNT = 15
    CONFIDENTIAL_TRANSFER_FEE_CONFIG = 16
    CONFIDENTIAL_TRANSFER_FEE_AMOUNT = 17
    METADATA_POINTER = 18
    TOKEN_METADATA = 19
    GROUP_POINTER = 20
    TOKEN_GROUP = 21
    GROUP_MEMBER_POINTER = 22
    TOKEN_GROUP_MEMBER = 23
    CONFIDENTIAL_MINT_BURN = 24
    SCALED_UI_AMOUNT = 25
    PAUSABLE = 26
    PAUSABLE_ACCOUNT = 27
    PERMISSIONED_BURN = 28


CONFIDENTIAL_FAMILY: Final = frozenset(
    {
        ExtensionType.CONFIDENTIAL_TRANSFER_MINT,
        ExtensionType.CONFIDENTIAL_TRANSFER_ACCOUNT,
        ExtensionType.CONFIDENTIAL_TRANSFER_FEE_CONFIG,
        ExtensionType.CONFIDENTIAL_TRANSFER_FEE_AMOUNT,
        ExtensionType.CONFIDENTIAL_MINT_BURN,
    }
)
"""The types that hide balances or the supply."""


class TransferFee(Struct, frozen=True, kw_only=True):
    """A transfer fee as it applies from `epoch` on: `bps` of the amount, at most `maximum`."""

    epoch: int
    maximum: TokenAmount
    bps: int

    def of(self, amount: int) -> TokenAmount:
        """Return what is withheld of a transfer of `amount`: rounded up, bounded by `maximum`. *Pure.*"""
        return TokenAmount(min(-(-amount * self.bps // BPS), self.maximum))


class TransferFeeConfig(Struct, frozen=True, kw_only=True):
    """A fee on every transfer, withheld on the receiving account.

    Attributes:
        config_authority: Who may set another fee (from two epochs later on); None means nobody.
        withdraw_authority: Who may collect what was withheld.
        withheld: Collected in the mint and not yet withdrawn.
        older: The fee until `newer.epoch`.
        newer: The fee from its epoch on.
    """

    kind: ClassVar[int] = ExtensionType.TRANSFER_FEE_CONFIG

    config_authority: Pubkey | None
    withdraw_authority: Pubkey | None
    withheld: TokenAmount
    older: TransferFee
    newer: TransferFee

    def at(self, epoch: int) -> TransferFee:
        """Return the fee that applies in `epoch`. *Pure.*"""
        return self.newer if epoch >= self.newer.epoch else self.older


class TransferFeeAmount(Struct, frozen=True, kw_only=True):
    """What a token account has withheld of the transfers it received; it cannot be closed while this is not 0."""

    kind: ClassVar[int] = ExtensionType.TRANSFER_FEE_AMOUNT

    withheld: TokenAmount


class MintCloseAuthority(Struct, frozen=True, kw_only=True):
    """Who may close the mint at a supply of zero (and then create another one at the same address)."""

    kind: ClassVar[int] = ExtensionType.MINT_CLOSE_AUTHORITY

    authority: Pubkey | None


class DefaultAccountState(Struct, frozen=True, kw_only=True):
    """The state a new token account starts in."""

    kind: ClassVar[int] = ExtensionType.DEFAULT_ACCOUNT_STATE

    state: AccountState


class NonTransferable(Struct, frozen=True, kw_only=True):
    """Tokens cannot be moved to another account."""

    kind: ClassVar[int] = ExtensionType.NON_TRANSFERABLE


class PermanentDelegate(Struct, frozen=True, kw_only=True):
    """Who may move or burn anyone's tokens without a signature of the owner."""

    kind: ClassVar[int] = ExtensionType.PERMANENT_DELEGATE

    delegate: Pubkey | None


class TransferHook(Struct, frozen=True, kw_only=True):
    """A program that every transfer calls, and who may exchange it."""

    kind: ClassVar[int] = ExtensionType.TRANSFER_HOOK

    authority: Pubkey | None
    program: Pubkey | None


class Pausable(Struct, frozen=True, kw_only=True):
    """Whether all transfers are stopped, and who may stop them."""

    kind: ClassVar[int] = ExtensionType.PAUSABLE

    authority: Pubkey | None
    is_paused: bool


class MetadataPointer(Struct, frozen=True, kw_only=True):
    """Where the metadata lies (the mint itself, as a rule), and who may point elsewhere."""

    kind: ClassVar[int] = ExtensionType.METADATA_POINTER

    authority: Pubkey | None
    address: Pubkey | None


class TokenMetadata(Struct, frozen=True, kw_only=True):
    """The names a coin gives itself: text written by a stranger, of any content and up to the account's length.

    Attributes:
        update_authority: Who may change them; None means nobody.
        mint: The mint they claim to belong to.
        additional: Further pairs of key and value, in order.
    """

    kind: ClassVar[int] = ExtensionType.TOKEN_METADATA

    update_authority: Pubkey | None
    mint: Pubkey
    name: str
    symbol: str
    uri: str
    additional: tuple[tuple[str, str], ...]


class OpaqueExtension(Struct, frozen=True, kw_only=True):
    """An extension known by name whose value nobody here reads, for example the confidential family."""

    kind: ExtensionType
    length: int


class UnknownExtension(Struct, frozen=True, kw_only=True):
    """An extension of a type this module does not know."""

    kind: int
    length: int


Extension = (
    TransferFeeConfig
    | TransferFeeAmount
    | MintCloseAuthority
    | DefaultAccountState
    | NonTransferable
    | PermanentDelegate
    | TransferHook
    | Pausable
    | MetadataPointer
    | TokenMetadata
    | OpaqueExtension
    | UnknownExtension
)
E = TypeVar("E", bound=Struct)


class Mint(Struct, frozen=True, kw_only=True):
    """A token's mint.

    Attributes:
        token_program: SPL Token or Token-2022.
        mint_authority: Who may create more; None means nobody, ever.
        freeze_authority: Who may freeze any holder's account; None means nobody, ever.
        extensions: In the order of the account's bytes; empty on SPL Token.
    """

    token_program: Pubkey
    mint_authority: Pubkey | None
    supply: TokenAmount
    decimals: int
    freeze_authority: Pubkey | None
    extensions: tuple[Extension, ...]

    def extension(self, wanted: type[E]) -> E | None:
        """Return the extension of the class `wanted`, or None. *Pure.*"""
        return _find(self.extensions, wanted)


class TokenAccount(Struct, frozen=True, kw_only=True):
    """Somebody's balance of one token.

    Attributes:
        delegate: Who may move up to `delegated_amount` of it.
        native_reserve: Of wrapped SOL: the lamports that are rent and no balance; None for every other token.
        close_authority: Who may close it instead of `owner`.
    """

    token_program: Pubkey
    mint: Pubkey
    owner: Pubkey
    amount: TokenAmount
    delegate: Pubkey | None
    state: AccountState
    native_reserve: int | None
    delegated_amount: TokenAmount
    close_authority: Pubkey | None
    extensions: tuple[Extension, ...]

    def extension(self, wanted: type[E]) -> E | None:
        """Return the extension of the class `wanted`, or None. *Pure.*"""
        return _find(self.extensions, wanted)


def extension_name(kind: int) -> str:
    """Return the name of an extension type for a person: `transfer hook`, or `type 99`. *Pure.*"""
    return _NAMES.get(kind) or f"type {kind}"


def parse_mint(data: bytes, owner: Pubkey) -> Mint:
    """Parse a mint. *Pure.* About 10 us with the two extensions of a pump.fun coin.

    Args:
        data: The account's bytes.
        owner: The program that owns the account.

    Raises:
        MalformedError: It is not an initialized mint of one of the two token programs.
    """
    _require_length(data, owner, MINT_LENGTH, "a mint")
    mint_tag, mint_authority, supply, decimals, initialized, freeze_tag, freeze_authority = _MINT.unpack_from(data)
    if initialized != 1:
        raise MalformedError(f"a mint must be initialized (1), its byte 45 was {initialized}")
    return Mint(
        token_program=owner,
        mint_authority=_option(mint_tag, mint_authority, "mint authority"),
        supply=supply,
        decimals=decimals,
        freeze_authority=_option(freeze_tag, freeze_authority, "freeze authority"),
        extensions=_extensions(data, MINT_LENGTH, AccountKind.MINT),
    )


def parse_token_account(data: bytes, owner: Pubkey) -> TokenAccount:
    """Parse a token account. *Pure.*

    Args:
        data: The account's bytes.
        owner: The program that owns the account (not the wallet that holds the tokens).

    Raises:
        MalformedError: It is not an initialized token account of one of the two token programs.
    """
    _require_length(data, owner, ACCOUNT_LENGTH, "a token account")
    mint, holder, amount, delegate_tag, delegate, state, native_tag, native, delegated, close_tag, close = (
        _ACCOUNT.unpack_from(data)
    )
    return TokenAccount(
        token_program=owner,
        mint=Pubkey.from_bytes(mint),
        owner=Pubkey.from_bytes(holder),
        amount=amount,
        delegate=_option(delegate_tag, delegate, "delegate"),
        state=_state(state),
        native_reserve=native if _is_some(native_tag, "native reserve") else None,
        delegated_amount=delegated,
        close_authority=_option(close_tag, close, "close authority"),
        extensions=_extensions(data, ACCOUNT_LENGTH, AccountKind.ACCOUNT),
    )


def extensions_end(data: bytes) -> int:
    """Return where the next extension of a Token-2022 mint or account would be written. *Pure.*

    Args:
        data: At least `EXTENSIONS_AT` bytes, that is, an account which already has its kind byte.

    Raises:
        MalformedError: The extensions before it are broken.
    """
    return _walk(data)[1]


# ---- the base ------------------------------------------------------------------------------------------------------


def _require_length(data: bytes, owner: Pubkey, base: int, name: str) -> None:
    """Look at the owner program first, then at the length; both are checked before any byte is trusted."""
    size = len(data)
    if owner == TOKEN_PROGRAM:
        if size != base:
            raise MalformedError(f"{name} of SPL Token must have {base} bytes, it had {size}")
    elif owner == TOKEN_2022_PROGRAM:
        if size != base and (size < EXTENSIONS_AT or size == MULTISIG_LENGTH):
            raise MalformedError(
                f"{name} of Token-2022 must have {base} bytes, or {EXTENSIONS_AT} and more but not"
                f" {MULTISIG_LENGTH} (a multisig), it had {size}"
            )
    else:
        raise MalformedError(f"{name} must be owned by SPL Token or Token-2022, its owner was {owner}")


def _is_some(tag: int, name: str) -> bool:
    if tag > 1:
        raise MalformedError(f"the tag of an optional {name} must be 0 or 1, it was {tag}")
    return tag == 1


def _option(tag: int, key: bytes, name: str) -> Pubkey | None:
    return Pubkey.from_bytes(key) if _is_some(tag, name) else None


def _state(value: int) -> AccountState:
    if value not in (AccountState.INITIALIZED, AccountState.FROZEN):
        raise MalformedError(f"a token account's state must be 1 (initialized) or 2 (frozen), it was {value}")
    return AccountState(value)


# ---- the extensions ------------------------------------------------------------------------------------------------


def _find(extensions: tuple[Extension, ...], wanted: type[E]) -> E | None:
    for extension in extensions:
        if isinstance(extension, wanted):
            return extension
    return None


def _extensions(data: bytes, base: int, kind: AccountKind) -> tuple[Extension, ...]:
    if len(data) == base:
        return ()
    if data.count(0, base, ACCOUNT_LENGTH) != ACCOUNT_LENGTH - base:
        raise MalformedError(f"bytes {base} to {ACCOUNT_LENGTH} must be zero padding, they were not")
    if data[ACCOUNT_LENGTH] != kind:
        raise MalformedError(f"byte {ACCOUNT_LENGTH} must be {kind.value} ({kind.name}), it was {data[ACCOUNT_LENGTH]}")
    found = _walk(data)[0]
    if len({number for number, _ in found}) != len(found):
        raise MalformedError(f"each extension may stand once, the types were {[number for number, _ in found]}")
    return tuple(_read_extension(number, value) for number, value in found)


def _walk(data: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Return the raw extensions and where the next one would begin, by the token program's own rules.

    A last single byte, or a type of 0 with whatever follows, is the end: the program leaves such a rest where it
    avoids the length of a multisig.
    """
    found: list[tuple[int, bytes]] = []
    at, size = EXTENSIONS_AT, len(data)
    while at + _U16.size <= size:
        if not data[at] and not data[at + 1]:
            break
        if at + _HEADER.size > size:
            raise MalformedError(f"an extension's header must have 4 bytes, {size - at} were left at byte {at}")
        number, length = _HEADER.unpack_from(data, at)
        start = at + _HEADER.size
        if start + length > size:
            raise MalformedError(
                f"the value of {extension_name(number)} must lie inside the account, it claimed {length} bytes"
                f" where {size - start} were left"
            )
        at = start + length
        found.append((number, data[start:at]))
    return found, at


def _read_extension(number: int, value: bytes) -> Extension:
    reader = _READERS.get(number)
    if reader is not None:
        length, read = reader
        if length is not None and len(value) != length:
            raise MalformedError(f"{extension_name(number)} must have {length} bytes, it had {len(value)}")
        return read(value)
    if number in _NAMES:
        return OpaqueExtension(kind=ExtensionType(number), length=len(value))
    return UnknownExtension(kind=number, length=len(value))


def _key(value: bytes, at: int = 0) -> Pubkey | None:
    """Read an optional key: 32 zero bytes mean none."""
    raw = value[at : at + _KEY]
    return None if raw == _NONE else Pubkey.from_bytes(raw)


def _transfer_fee_config(value: bytes) -> TransferFeeConfig:
    (_, _, withheld, old_epoch, old_maximum, old_bps, new_epoch, new_maximum, new_bps) = _TRANSFER_FEE_CONFIG.unpack(
        value
    )
    return TransferFeeConfig(
        config_authority=_key(value),
        withdraw_authority=_key(value, _KEY),
        withheld=withheld,
        older=TransferFee(epoch=old_epoch, maximum=old_maximum, bps=old_bps),
        newer=TransferFee(epoch=new_epoch, maximum=new_maximum, bps=new_bps),
    )


def _default_account_state(value: bytes) -> DefaultAccountState:
    return DefaultAccountState(state=_state(value[0]))


def _pausable(value: bytes) -> Pausable:
    return Pausable(authority=_key(value), is_paused=value[_KEY] != 0)


def _token_metadata(value: bytes) -> TokenMetadata:
    """Read the one extension of variable length (Borsh); bytes after its last field are ignored, as on chain."""
    at = 2 * _KEY
    if len(value) < at:
        raise MalformedError(f"token metadata must have two keys (64 bytes), it had {len(value)} bytes")
    name, at = _text(value, at)
    symbol, at = _text(value, at)
    uri, at = _text(value, at)
    count, at = _count(value, at)
    pairs: list[tuple[str, str]] = []
    # Each pair takes at least 8 bytes, so a huge count runs into the end of the value, not into memory.
    for _ in range(count):
        key, at = _text(value, at)
        entry, at = _text(value, at)
        pairs.append((key, entry))
    return TokenMetadata(
        update_authority=_key(value),
        mint=Pubkey.from_bytes(value[_KEY : 2 * _KEY]),
        name=name,
        symbol=symbol,
        uri=uri,
        additional=tuple(pairs),
    )


def _count(value: bytes, at: int) -> tuple[int, int]:
    if at + _U32.size > len(value):
        raise MalformedError(f"token metadata must not end inside a length, it ended at byte {len(value)}")
    (count,) = _U32.unpack_from(value, at)
    return count, at + _U32.size


def _text(value: bytes, at: int) -> tuple[str, int]:
    length, start = _count(value, at)
    end = start + length
    if end > len(value):
        raise MalformedError(
            f"a text of token metadata must lie inside it, {length} bytes were claimed and {len(value) - start} left"
        )
    try:
        return value[start:end].decode(), end
    except UnicodeDecodeError as error:
        raise MalformedError(f"a text of token metadata must be UTF-8, it was not at byte {error.start}") from error


_NAMES: Final = {int(kind): kind.name.lower().replace("_", " ") for kind in ExtensionType}
_READERS: Final[dict[int, tuple[int | None, Callable[[bytes], Extension]]]] = {
    TransferFeeConfig.kind: (_TRANSFER_FEE_CONFIG.size, _transfer_fee_config),
    TransferFeeAmount.kind: (8, lambda value: TransferFeeAmount(withheld=_U64.unpack(value)[0])),
    MintCloseAuthority.kind: (32, lambda value: MintCloseAuthority(authority=_key(value))),
    DefaultAccountState.kind: (1, _default_account_state),
    NonTransferable.kind: (0, lambda _: NonTransferable()),
    PermanentDelegate.kind: (32, lambda value: PermanentDelegate(delegate=_key(value))),
    TransferHook.kind: (64, lambda value: TransferHook(authority=_key(value), program=_key(value, _KEY))),
    Pausable.kind: (33, _pausable),
    MetadataPointer.kind: (64, lambda value: MetadataPointer(authority=_key(value), address=_key(value, _KEY))),
    TokenMetadata.kind: (None, _token_metadata),
}
