"""The pure layer on bytes; the same kinds made by the real program are judged in tests/integration."""

import base64
import json
import struct
from pathlib import Path

import msgspec
import pytest
from solders.account import Account
from solders.pubkey import Pubkey

from slotzero.safety import STRICT_POLICY, Evidence
from slotzero.safety.mint_facts import judge_mint
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.token import ExtensionType
from token_lab import SUPPLY, key, new_pool

MINT, VENUE, STRANGER = key(50), key(51), key(52)
NOBODY = bytes(32)
POOL_ACCOUNT = Account(1, b"", SYSTEM_PROGRAM)


def mint_account(
    *extensions: tuple[int, bytes],
    authority: Pubkey | None = None,
    freeze: Pubkey | None = None,
    supply: int = SUPPLY,
    program: Pubkey = TOKEN_2022_PROGRAM,
) -> Account:
    def option(at: Pubkey | None) -> bytes:
        return struct.pack("<I32s", 0 if at is None else 1, bytes(at or NOBODY))

    data = option(authority) + struct.pack("<QBB", supply, 6, 1) + option(freeze)
    if extensions:
        tail = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in extensions)
        data = data.ljust(165, b"\0") + b"\1" + tail
        data += bytes(2) if len(data) == 355 else b""  # as the program does: never as long as a multisig
    return Account(1, data, program)


def metadata(authority: bytes = NOBODY) -> tuple[int, bytes]:
    return 19, authority + bytes(MINT) + bytes(16)


def pointer(address: Pubkey = MINT, authority: bytes = NOBODY) -> tuple[int, bytes]:
    return 18, authority + bytes(address)


def fee(older: int, newer: int, authority: bytes = NOBODY) -> tuple[int, bytes]:
    return 1, authority + bytes(STRANGER) + struct.pack("<QQQHQQH", 0, 0, 10, older, 900, 10, newer)


def judge(mint: Account | None, *, program: Pubkey = TOKEN_2022_PROGRAM) -> tuple[Evidence, ...]:
    return judge_mint(mint, new_pool(MINT, program=program), POOL_ACCOUNT, STRICT_POLICY)


def only(mint: Account | None) -> tuple[str, str]:
    (evidence,) = judge(mint)
    assert evidence.layer == "mint_facts"
    assert evidence.detail
    return evidence.decision, evidence.reason


def test_venues_own_kind_of_coin_passes() -> None:
    assert only(mint_account(pointer(), metadata())) == ("ALLOW", "passed")


@pytest.mark.parametrize("program", [TOKEN_PROGRAM, TOKEN_2022_PROGRAM])
def test_plain_mint_without_authorities_passes(program: Pubkey) -> None:
    (evidence,) = judge(mint_account(program=program), program=program)
    assert evidence.decision == "ALLOW"


def test_missing_mint_or_pool_is_unsure_for_the_node_may_lag() -> None:
    assert only(None) == ("UNSURE", "mint_missing")
    (evidence,) = judge_mint(mint_account(), new_pool(MINT), None, STRICT_POLICY)
    assert (evidence.decision, evidence.reason) == ("UNSURE", "pool_missing")


def test_mint_of_another_program_than_announced_is_denied() -> None:
    assert only(mint_account(program=TOKEN_PROGRAM)) == ("DENY", "mint_owner")


def test_account_that_is_no_mint_is_denied() -> None:
    assert only(Account(1, b"no mint", TOKEN_2022_PROGRAM)) == ("DENY", "mint_malformed")


def test_token_program_the_venue_does_not_use_is_denied() -> None:
    policy = msgspec.structs.replace(STRICT_POLICY, token_programs=frozenset({TOKEN_PROGRAM}))
    (evidence,) = judge_mint(mint_account(), new_pool(MINT), POOL_ACCOUNT, policy)
    assert (evidence.decision, evidence.reason) == ("DENY", "token_program")


def test_authorities_are_denied_unless_they_are_the_venues_own() -> None:
    policy = msgspec.structs.replace(
        STRICT_POLICY, mint_authorities=frozenset({VENUE}), freeze_authorities=frozenset({VENUE})
    )
    pool = new_pool(MINT)
    of_venue = judge_mint(mint_account(authority=VENUE, freeze=VENUE), pool, POOL_ACCOUNT, policy)
    assert [item.decision for item in of_venue] == ["ALLOW"]
    strangers = judge_mint(mint_account(authority=STRANGER, freeze=STRANGER), pool, POOL_ACCOUNT, policy)
    assert [item.reason for item in strangers] == ["mint_authority", "freeze_authority"]
    assert {item.decision for item in strangers} == {"DENY"}
    assert str(STRANGER) in strangers[0].detail


def test_supply_above_the_announced_one_is_denied_and_one_below_is_not() -> None:
    assert only(mint_account(supply=SUPPLY + 1)) == ("DENY", "supply")
    assert only(mint_account(supply=SUPPLY - 1)) == ("ALLOW", "passed")


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        (fee(9000, 9000), "transfer_fee"),
        (fee(0, 1), "transfer_fee"),
        (fee(1, 0), "transfer_fee"),
        (fee(0, 0, bytes(STRANGER)), "transfer_fee"),
        (fee(0, 0), "extension_not_allowed"),
        ((3, bytes(STRANGER)), "mint_close_authority"),
        ((3, NOBODY), "extension_not_allowed"),
        ((4, bytes(65)), "confidential"),
        ((16, bytes(129)), "confidential"),
        ((24, bytes(196)), "confidential"),
        ((6, b"\2"), "default_frozen"),
        ((6, b"\1"), "extension_not_allowed"),
        ((9, b""), "non_transferable"),
        ((10, bytes(52)), "extension_not_allowed"),
        ((12, bytes(STRANGER)), "permanent_delegate"),
        ((12, NOBODY), "extension_not_allowed"),
        ((14, NOBODY + bytes(STRANGER)), "transfer_hook"),
        ((14, bytes(STRANGER) + NOBODY), "transfer_hook"),
        ((14, NOBODY + NOBODY), "extension_not_allowed"),
        ((25, bytes(56)), "extension_not_allowed"),
        ((26, bytes(STRANGER) + b"\0"), "pausable"),
        ((26, NOBODY + b"\1"), "pausable"),
        ((28, bytes(32)), "extension_not_allowed"),
        ((29, b""), "extension_unknown"),
        ((60_000, b"?"), "extension_unknown"),
    ],
)
def test_extension_beyond_the_allow_list_is_denied_with_its_own_reason(
    extension: tuple[int, bytes], reason: str
) -> None:
    assert only(mint_account(pointer(), metadata(), extension)) == ("DENY", reason)


def test_extension_on_the_allow_list_is_still_judged_by_its_values() -> None:
    policy = msgspec.structs.replace(STRICT_POLICY, extensions=frozenset(range(60_001)))
    pool = new_pool(MINT)
    harmless = judge_mint(mint_account(fee(0, 0), (6, b"\1")), pool, POOL_ACCOUNT, policy)
    assert [item.decision for item in harmless] == ["ALLOW"]
    live = judge_mint(mint_account(fee(5, 0), (60_000, b"")), pool, POOL_ACCOUNT, policy)
    assert [item.reason for item in live] == ["transfer_fee", "extension_unknown"]


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        ((pointer(), metadata(bytes(STRANGER))), "metadata_mutable"),
        ((pointer(authority=bytes(STRANGER)), metadata()), "metadata_mutable"),
        ((pointer(address=STRANGER), metadata()), "metadata_elsewhere"),
    ],
)
def test_metadata_that_can_change_is_a_note_not_an_objection(
    extensions: tuple[tuple[int, bytes], ...], reason: str
) -> None:
    assert only(mint_account(*extensions)) == ("ALLOW", reason)


def test_every_named_type_but_the_two_for_names_is_denied() -> None:
    lengths = {1: 108, 3: 32, 6: 1, 12: 32, 14: 64, 26: 33, 2: 8}
    for kind in set(ExtensionType) - {ExtensionType.METADATA_POINTER, ExtensionType.TOKEN_METADATA}:
        value = b"\1" * lengths.get(kind, 0)
        assert [item.decision for item in judge(mint_account((kind, value)))] == ["DENY"], kind


@pytest.mark.fixtures
def test_captured_mint_with_a_live_hook_is_denied_for_it(mainnet_fixtures: Path) -> None:
    document = json.loads((mainnet_fixtures / "accounts/token2022/crime_mint_transfer_hook.json").read_text())
    account = Account(1, base64.b64decode(document["account"]["data"][0]), TOKEN_2022_PROGRAM)
    pool = new_pool(Pubkey.from_string(document["pubkey"]))
    denied = [item for item in judge_mint(account, pool, POOL_ACCOUNT, STRICT_POLICY) if item.decision == "DENY"]
    assert [item.reason for item in denied] == ["transfer_hook"]
