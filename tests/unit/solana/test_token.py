import base64
import json
import struct
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM, WSOL_MINT
from slotzero.solana.token import (
    AccountState,
    DefaultAccountState,
    ExtensionType,
    MetadataPointer,
    NonTransferable,
    OpaqueExtension,
    Pausable,
    PermanentDelegate,
    TokenMetadata,
    TransferFee,
    TransferFeeAmount,
    TransferFeeConfig,
    TransferHook,
    UnknownExtension,
    extension_name,
    extensions_end,
    parse_mint,
    parse_token_account,
)
from slotzero.units import TokenAmount
from token_lab import key

A, B = key(1), key(2)
NOBODY = bytes(32)


def base_mint(*, authority: Pubkey | None = None, freeze: Pubkey | None = None, initialized: int = 1) -> bytes:
    def option(at: Pubkey | None) -> bytes:
        return struct.pack("<I32s", 0 if at is None else 1, bytes(at or NOBODY))

    return option(authority) + struct.pack("<QBB", 10**15, 6, initialized) + option(freeze)


def base_account(*, state: int = 1, amount: int = 7) -> bytes:
    return struct.pack("<32s32sQI32sBIQQI32s", bytes(A), bytes(B), amount, 0, NOBODY, state, 0, 0, 0, 0, NOBODY)


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(value)) + value


def extended(*extensions: bytes) -> bytes:
    return base_mint().ljust(165, b"\0") + b"\1" + b"".join(extensions)


def fixture(folder: Path, name: str) -> tuple[bytes, Pubkey]:
    account = json.loads((folder / "accounts" / name).read_text())["account"]
    return base64.b64decode(account["data"][0]), Pubkey.from_string(account["owner"])


# ---- the base ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [TOKEN_PROGRAM, TOKEN_2022_PROGRAM])
def test_plain_mint_is_parsed_under_both_programs(program: Pubkey) -> None:
    mint = parse_mint(base_mint(authority=A, freeze=B), program)
    assert (mint.token_program, mint.mint_authority, mint.freeze_authority) == (program, A, B)
    assert (mint.supply, mint.decimals, mint.extensions) == (10**15, 6, ())


def test_mint_without_authorities_ignores_key_bytes_left_behind_the_tag() -> None:
    data = bytearray(base_mint(freeze=B))
    data[46] = 0
    assert parse_mint(bytes(data), TOKEN_PROGRAM).freeze_authority is None


@pytest.mark.parametrize("program", [TOKEN_PROGRAM, TOKEN_2022_PROGRAM])
def test_plain_token_account_is_parsed_under_both_programs(program: Pubkey) -> None:
    account = parse_token_account(base_account(), program)
    assert (account.mint, account.owner, account.amount) == (A, B, 7)
    assert (account.delegate, account.close_authority, account.native_reserve) == (None, None, None)
    assert account.state is AccountState.INITIALIZED


def test_frozen_token_account_says_so() -> None:
    assert parse_token_account(base_account(state=2), TOKEN_PROGRAM).state is AccountState.FROZEN


@pytest.mark.parametrize(
    ("data", "owner", "told"),
    [
        (base_mint(), SYSTEM_PROGRAM, "must be owned by"),
        (b"", TOKEN_PROGRAM, "must have 82 bytes"),
        (base_mint()[:-1], TOKEN_PROGRAM, "must have 82 bytes"),
        (extended(tlv(9, b"")), TOKEN_PROGRAM, "must have 82 bytes"),
        (base_account(), TOKEN_PROGRAM, "must have 82 bytes"),
        (base_mint().ljust(165, b"\0"), TOKEN_2022_PROGRAM, "166 and more"),
        (extended().ljust(355, b"\0"), TOKEN_2022_PROGRAM, "a multisig"),
        (base_mint(initialized=0), TOKEN_PROGRAM, "must be initialized"),
        (bytes(82), TOKEN_2022_PROGRAM, "must be initialized"),
        (b"\2" + base_mint()[1:], TOKEN_PROGRAM, "mint authority must be 0 or 1"),
        (base_mint().ljust(100, b"\0").ljust(165, b"\1") + b"\1", TOKEN_2022_PROGRAM, "zero padding"),
        (base_mint().ljust(165, b"\0") + b"\2", TOKEN_2022_PROGRAM, "must be 1 \\(MINT\\)"),
    ],
)
def test_what_is_no_mint_is_malformed(data: bytes, owner: Pubkey, told: str) -> None:
    with pytest.raises(MalformedError, match=told):
        parse_mint(data, owner)


@pytest.mark.parametrize(
    ("data", "owner", "told"),
    [
        (base_account(), SYSTEM_PROGRAM, "must be owned by"),
        (base_mint(), TOKEN_PROGRAM, "must have 165 bytes"),
        (base_account() + b"\2", TOKEN_PROGRAM, "must have 165 bytes"),
        (base_account() + b"\1", TOKEN_2022_PROGRAM, "must be 2 \\(ACCOUNT\\)"),
        ((base_account() + b"\2").ljust(355, b"\0"), TOKEN_2022_PROGRAM, "a multisig"),
        (bytes(165), TOKEN_PROGRAM, "state must be 1"),
        (base_account(state=3), TOKEN_PROGRAM, "it was 3"),
    ],
)
def test_what_is_no_token_account_is_malformed(data: bytes, owner: Pubkey, told: str) -> None:
    with pytest.raises(MalformedError, match=told):
        parse_token_account(data, owner)


# ---- the extensions ------------------------------------------------------------------------------------------------


def parse_extension(kind: int, value: bytes) -> object:
    (extension,) = parse_mint(extended(tlv(kind, value)), TOKEN_2022_PROGRAM).extensions
    return extension


def test_transfer_fee_config_tells_the_older_from_the_newer_fee_by_epoch() -> None:
    value = bytes(A) + NOBODY + struct.pack("<QQQHQQH", 5, 1, 1000, 50, 10, 2000, 9000)
    config = parse_extension(1, value)
    assert isinstance(config, TransferFeeConfig)
    assert (config.config_authority, config.withdraw_authority, config.withheld) == (A, None, 5)
    assert config.at(9) == TransferFee(epoch=1, maximum=TokenAmount(1000), bps=50)
    assert config.at(10) == TransferFee(epoch=10, maximum=TokenAmount(2000), bps=9000)


@pytest.mark.parametrize(("amount", "withheld"), [(0, 0), (1, 1), (10_000, 50), (10_001, 51), (10**9, 1000)])
def test_transfer_fee_is_rounded_up_and_bounded(amount: int, withheld: int) -> None:
    assert TransferFee(epoch=0, maximum=TokenAmount(1000), bps=50).of(amount) == withheld


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (12, bytes(A), PermanentDelegate(delegate=A)),
        (12, NOBODY, PermanentDelegate(delegate=None)),
        (14, bytes(A) + NOBODY, TransferHook(authority=A, program=None)),
        (14, NOBODY + bytes(B), TransferHook(authority=None, program=B)),
        (6, b"\2", DefaultAccountState(state=AccountState.FROZEN)),
        (9, b"", NonTransferable()),
        (26, bytes(A) + b"\1", Pausable(authority=A, is_paused=True)),
        (18, NOBODY + bytes(B), MetadataPointer(authority=None, address=B)),
        (24, bytes(196), OpaqueExtension(kind=ExtensionType.CONFIDENTIAL_MINT_BURN, length=196)),
        (99, b"???", UnknownExtension(kind=99, length=3)),
    ],
)
def test_extension_is_read_into_its_record(kind: int, value: bytes, expected: object) -> None:
    assert parse_extension(kind, value) == expected


def test_transfer_fee_amount_of_an_account_is_read() -> None:
    data = base_account() + b"\2" + tlv(7, b"") + tlv(2, struct.pack("<Q", 42))
    assert parse_token_account(data, TOKEN_2022_PROGRAM).extension(TransferFeeAmount) == TransferFeeAmount(
        withheld=TokenAmount(42)
    )


def text(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value


def test_token_metadata_is_read_with_its_additional_fields() -> None:
    value = NOBODY + bytes(A) + text("Cöin".encode()) + text(b"C") + text(b"u") + struct.pack("<I", 1)
    value += text(b"k") + text(b"v")
    expected = TokenMetadata(update_authority=None, mint=A, name="Cöin", symbol="C", uri="u", additional=(("k", "v"),))
    assert parse_extension(19, value) == expected


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        (b"", "ended at byte 64"),
        (struct.pack("<I", 5) + b"abc", "5 bytes were claimed and 3 left"),
        (text(b"\xff") + text(b"") + text(b""), "must be UTF-8"),
        (text(b"") * 3 + struct.pack("<I", 2**32 - 1), "ended at byte"),
    ],
)
def test_broken_token_metadata_is_malformed(rest: bytes, told: str) -> None:
    with pytest.raises(MalformedError, match=told):
        parse_extension(19, bytes(64) + rest)


@pytest.mark.parametrize(
    ("tail", "count", "told"),
    [
        (b"", 0, None),
        (tlv(9, b"") + bytes(2), 1, None),
        (tlv(9, b"") + b"\7", 1, None),
        (tlv(9, b"") + b"\0\0\xff\xff\xff", 1, None),
        (tlv(9, b"") + b"\7\0\1", 0, "header must have 4 bytes"),
        (struct.pack("<HH", 12, 33) + bytes(32), 0, "claimed 33 bytes where 32 were left"),
        (tlv(9, b"") * 2, 0, "each extension may stand once"),
        (tlv(99, b"") + tlv(99, b"1"), 0, "each extension may stand once"),
        (tlv(12, bytes(31)), 0, "permanent delegate must have 32 bytes, it had 31"),
        (tlv(6, b"\0"), 0, "state must be 1"),
    ],
)
def test_extension_list_ends_where_the_program_would_end_it(tail: bytes, count: int, told: str | None) -> None:
    if told is None:
        assert len(parse_mint(extended(tail), TOKEN_2022_PROGRAM).extensions) == count
        assert extensions_end(extended(tail)) == 166 + 4 * count
    else:
        with pytest.raises(MalformedError, match=told):
            parse_mint(extended(tail), TOKEN_2022_PROGRAM)


def test_extension_names_are_words() -> None:
    assert (extension_name(14), extension_name(99)) == ("transfer hook", "type 99")


# ---- captured accounts ---------------------------------------------------------------------------------------------


@pytest.mark.fixtures
def test_captured_token_2022_mint_with_a_live_hook_is_parsed(mainnet_fixtures: Path) -> None:
    data, owner = fixture(mainnet_fixtures, "token2022/crime_mint_transfer_hook.json")
    mint = parse_mint(data, owner)
    assert (mint.decimals, mint.mint_authority, mint.freeze_authority) == (6, None, None)
    hook, pointer, metadata = mint.extensions
    assert isinstance(hook, TransferHook)
    assert isinstance(pointer, MetadataPointer)
    assert isinstance(metadata, TokenMetadata)
    assert hook.program is not None
    assert pointer.address == Pubkey.from_string("cRiMEhAxoDhcEuh3Yf7Z2QkXUXUMKbakhcVqmDsqPXc") == metadata.mint
    assert (metadata.name, metadata.symbol) == ("CRIME", "CRIME")
    assert extensions_end(data) == len(data)


@pytest.mark.fixtures
def test_captured_classic_accounts_are_parsed(mainnet_fixtures: Path) -> None:
    usdc = parse_mint(*fixture(mainnet_fixtures, "spl/usdc_mint.json"))
    assert usdc.decimals == 6
    assert usdc.freeze_authority is not None
    vault = parse_token_account(*fixture(mainnet_fixtures, "raydium_cpmm/sol_vault.json"))
    assert vault.mint == WSOL_MINT
    assert vault.native_reserve is not None
