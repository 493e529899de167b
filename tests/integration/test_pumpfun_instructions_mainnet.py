"""Our account lists against the published IDL and against real transactions.

Addresses and their order are compared exactly. A message does not keep an instruction's own flags: an account is
writable or signing in it when any instruction asked for that. So each of our flags must be granted by the message, and
where no other instruction names the account the two must be equal.
"""

import base64
import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from mainnet_documents import CREATE, TRADE, Call, Created, Document
from slotzero.venues.pumpfun import (
    Global,
    TradeAccounts,
    buy,
    buy_exact_sol_in,
    create_v2,
    creator_vault_address,
    curve_v2_address,
    decode_global,
    decode_trade,
    error_name,
    sell,
    trade_accounts,
    wallet_accounts,
)
from slotzero.venues.pumpfun.addresses import FEE_CONFIG, FEE_PROGRAM, GLOBAL_VOLUME_ACCUMULATOR, MAYHEM_PROGRAM

pytestmark = pytest.mark.fixtures

BUY, BUY_EXACT_IN, CREATE_V2 = "66063d1201daebea", "38fc74089edfcd5f", "d6904cec5f8b31b4"
FULL = [
    ("pumpfun/create_v2_4_2J2sAxyT.json", BUY),
    ("pumpfun/create_v2_and_buy_completes_curve_2026-10-06_43xbmthG.json", BUY),
    ("pumpfun/raw_create_tx_from_blocksubscribe_2026-07.json", BUY),
    ("pumpfun/raw_create_tx_from_gettransaction_2026-07.json", BUY_EXACT_IN),
    ("pumpfun/v1_format_buy_2026-09-23_5EpHwV2y.json", BUY),
]
GENEROUS_SENDER = {
    "pumpfun/raw_create_tx_from_blocksubscribe_2026-07.json",
    "pumpfun/raw_create_tx_from_gettransaction_2026-07.json",
}
GENEROUS = {GLOBAL_VOLUME_ACCUMULATOR, FEE_CONFIG, FEE_PROGRAM}
CREATIONS = [
    "pumpfun/create_v2_0_4zGWmZL3.json",
    "pumpfun/create_v2_3_3Mqiigwn.json",
    "pumpfun/create_v2_4_2J2sAxyT.json",
    "pumpfun/create_v2_and_buy_completes_curve_2026-10-06_43xbmthG.json",
    "pumpfun/raw_create_tx_from_blocksubscribe_2026-07.json",
]
KEYS = [Pubkey.from_bytes(bytes([n]) * 32) for n in range(1, 7)]


def idl(fixtures: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads((fixtures / "idl/pumpfun/pump.npm-pump-sdk-2.0.0.json").read_text())
    return document


def settings(fixtures: Path) -> Global:
    stored = json.loads((fixtures / "accounts/pumpfun/global.2026-10-10.json").read_text())
    return decode_global(base64.b64decode(stored["account"]["data"][0]))


def some_accounts(*, is_cashback: bool = False) -> TradeAccounts:
    return trade_accounts(
        wallet_accounts(KEYS[0]),
        mint=KEYS[1],
        creator=KEYS[2],
        fee_recipient=KEYS[3],
        buyback_recipient=KEYS[4],
        is_cashback=is_cashback,
    )


def flags(metas: list[AccountMeta]) -> list[tuple[bool, bool]]:
    return [(meta.is_writable, meta.is_signer) for meta in metas]


@pytest.mark.parametrize("name", ["buy", "buy_exact_sol_in", "sell", "create_v2"])
def test_flags_and_fixed_addresses_equal_the_idl(mainnet_fixtures: Path, name: str) -> None:
    published = idl(mainnet_fixtures)["instructions"]
    assert isinstance(published, list)
    (declared,) = [row["accounts"] for row in published if row["name"] == name]
    built = {
        "buy": buy(some_accounts(), 1, 1),
        "buy_exact_sol_in": buy_exact_sol_in(some_accounts(), 1, 1),
        "sell": sell(some_accounts(), 1, 1),
        "create_v2": create_v2(user=KEYS[0], mint=KEYS[1], creator=KEYS[2], name="n", symbol="s", uri="u"),
    }[name]
    metas = built.accounts
    undeclared = [] if name == "create_v2" else [(False, False), (True, False)]
    assert flags(metas) == [(bool(a.get("writable")), bool(a.get("signer"))) for a in declared] + undeclared
    for meta, account in zip(metas, declared, strict=False):
        if "address" in account:
            assert str(meta.pubkey) == account["address"], account["name"]
        elif all(seed["kind"] == "const" for seed in account.get("pda", {"seeds": [{"kind": ""}]})["seeds"]):
            program = account["pda"].get("program", {"value": None})
            owner = Pubkey.from_bytes(bytes(program["value"])) if program.get("value") else built.program_id
            if program.get("kind") == "account":  # the fee config, of the fee program
                owner = metas[[a["name"] for a in declared].index(program["path"])].pubkey
            seeds = [bytes(seed["value"]) for seed in account["pda"]["seeds"]]
            assert meta.pubkey == Pubkey.find_program_address(seeds, owner)[0], account["name"]


def test_undeclared_accounts_stand_behind_the_declared_ones() -> None:
    accounts = some_accounts(is_cashback=True)
    tail = [accounts.curve_v2, accounts.buyback_recipient]
    assert [meta.pubkey for meta in buy(accounts, 1, 1).accounts[16:]] == tail
    assert [meta.pubkey for meta in sell(accounts, 1, 1).accounts[14:]] == [accounts.volume_accumulator, *tail]


def test_discriminators_equal_the_idl(mainnet_fixtures: Path) -> None:
    published = idl(mainnet_fixtures)["instructions"]
    assert isinstance(published, list)
    for built, name in (
        (buy(some_accounts(), 1, 1), "buy"),
        (buy_exact_sol_in(some_accounts(), 1, 1), "buy_exact_sol_in"),
        (sell(some_accounts(), 1, 1), "sell"),
    ):
        (row,) = [row for row in published if row["name"] == name]
        assert bytes(built.data)[:8] == bytes(row["discriminator"])


def test_error_names_equal_the_idl(mainnet_fixtures: Path) -> None:
    published = idl(mainnet_fixtures)["errors"]
    assert isinstance(published, list)
    assert len(published) == 94
    assert all(error_name(row["code"]) == row["name"] for row in published)


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_captured_lists_equal_ours(mainnet_fixtures: Path, side: str) -> None:
    stored = json.loads((mainnet_fixtures / "transactions/pumpfun/pumpscope_trade_instructions.json").read_text())
    rows = stored[side]
    assert len(rows) == 8
    known = settings(mainnet_fixtures)
    agents = other_token_accounts = 0
    for row in rows:
        keys = [Pubkey.from_string(key) for key in row["accounts"]]
        is_cashback = side == "sell" and len(keys) == 17
        token_program, vault = (keys[8], keys[9]) if side == "buy" else (keys[9], keys[8])
        assert keys[1] in known.fee_recipients + known.reserved_fee_recipients
        assert keys[-1] in known.buyback_fee_recipients
        ours = trade_accounts(
            wallet_accounts(keys[6]),
            mint=keys[2],
            creator=keys[6],
            fee_recipient=keys[1],
            buyback_recipient=keys[-1],
            token_program=token_program,
            is_cashback=is_cashback,
        )
        ours = replace(ours, creator_vault=vault)  # who created the coin does not follow from the list
        if row["fee_payer"] != row["accounts"][6]:  # the mayhem agent, with its own program's derivation
            agents += 1
            assert keys[1] in known.reserved_fee_recipients
            ours = replace(ours, curve_v2=curve_v2_address(keys[2], MAYHEM_PROGRAM))
        if ours.user_tokens != keys[5]:  # a seller may keep his tokens elsewhere
            other_token_accounts += 1
            ours = replace(ours, user_tokens=keys[5])
        data = bytes.fromhex(row["data_hex"])
        first, second = (int.from_bytes(data[at : at + 8], "little") for at in (8, 16))
        is_tracked = data[24:] == b"\1"
        built = buy(ours, first, second, is_volume_tracked=is_tracked) if side == "buy" else sell(ours, first, second)
        assert [meta.pubkey for meta in built.accounts] == keys
        assert bytes(built.data)[: len(data)] == data  # an option may be left off the end
        assert len(bytes(built.data)) - len(data) in {0, 1}
        assert [str(meta.pubkey) for meta in built.accounts if meta.is_signer] == [row["accounts"][6]]
        assert row["accounts"][6] in {*row["signers"], str(keys[6])}
    assert (agents, other_token_accounts) == ((1, 0) if side == "buy" else (3, 1))


def assert_granted(document: Document, call: Call, built: Instruction) -> set[str]:
    """Check our flags against the message's; return the accounts it makes writable and nothing we know asks for."""
    excess = set()
    for meta in built.accounts:
        key = str(meta.pubkey)
        assert not meta.is_writable or key in document.writable, key
        assert not meta.is_signer or key in document.signers, key
        if key not in call.others:
            assert meta.is_signer == (key in document.signers), key
            if not meta.is_writable and key in document.writable:
                excess.add(key)
    return excess


@pytest.mark.parametrize(("file", "discriminator"), FULL)
def test_real_buys_equal_ours(mainnet_fixtures: Path, file: str, discriminator: str) -> None:
    document = Document(mainnet_fixtures / "transactions" / file)
    (call,) = document.trades(discriminator)
    keys = [Pubkey.from_string(key) for key in call.accounts]
    event = decode_trade(document.events(TRADE)[0])
    assert event.creator is not None
    assert event.fee_recipient is not None
    accounts = trade_accounts(
        wallet_accounts(event.user),
        mint=event.mint,
        creator=event.creator,
        fee_recipient=event.fee_recipient,
        buyback_recipient=keys[17],
    )
    first, second = (int.from_bytes(call.data[at : at + 8], "little") for at in (8, 16))
    build = buy if discriminator == BUY else buy_exact_sol_in
    built = build(accounts, first, second, is_volume_tracked=call.data[24:] == b"\1")
    assert [meta.pubkey for meta in built.accounts] == keys
    assert accounts.creator_vault == creator_vault_address(event.creator)
    assert bytes(built.data)[:24] == call.data[:24]
    assert bytes(built.data)[24:] == (call.data[24:] or b"\0")
    known = settings(mainnet_fixtures)
    assert accounts.buyback_recipient in known.buyback_fee_recipients
    assert event.fee_recipient in (known.reserved_fee_recipients if event.is_mayhem else known.fee_recipients)
    excess = assert_granted(document, call, built)
    # One sender asks for more than the IDL does; flags it does not need cost it nothing but parallelism.
    assert excess <= ({str(key) for key in GENEROUS} if file in GENEROUS_SENDER else set())
    # Of a router's call nothing can be said here: its own instruction names every account once more.
    alone = [meta for meta in built.accounts if str(meta.pubkey) not in call.others]
    assert len(alone) >= (0 if "v1_format" in file else 4)


@pytest.mark.parametrize("file", CREATIONS)
def test_real_creations_equal_ours(mainnet_fixtures: Path, file: str) -> None:
    document = Document(mainnet_fixtures / "transactions" / file)
    (call,) = document.trades(CREATE_V2)
    created = Created(document.events(CREATE)[0])
    built = create_v2(
        user=Pubkey.from_string(created.user),
        mint=Pubkey.from_string(created.mint),
        creator=Pubkey.from_string(created.creator),
        name=created.name,
        symbol=created.symbol,
        uri=created.uri,
    )
    assert [str(meta.pubkey) for meta in built.accounts] == call.accounts[:16]
    head = len(bytes(built.data)) - 2
    assert call.data[:head] == bytes(built.data)[:head]  # the two flags behind it are each coin's own
    assert assert_granted(document, call, built) == set()
