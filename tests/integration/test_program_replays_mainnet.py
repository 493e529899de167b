"""The truth of the pump program is mainnet: real trades run on it give the real events, to the byte.

Every captured trade of 2026 is run twice where that is possible: its instruction alone, from the reserves before it,
and its whole transaction with its own keys from an empty coin. Events grow at the end, so an older capture may be
shorter than ours; what ours has more must be zeros.
"""

import json
import struct
from pathlib import Path

import pytest
from solders.account import Account
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.rent import Rent

from pump_captures import TRADE_INSTRUCTIONS, Capture, account_document
from pump_world import SUPPLY, Coin, World, events_in_calls, events_in_logs, key, token_account_data
from slotzero.solana.addresses import (
    ATA_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
)
from slotzero.units import Slot
from slotzero.venues.pumpfun import (
    FEE_CONFIG,
    FEE_PROGRAM,
    GLOBAL,
    PUMP_PROGRAM,
    TradeEvent,
    creator_vault_address,
    decode_fee_config,
    decode_global,
    decode_trade,
    fee_rates,
    quote_buy,
    quote_buy_exact_in,
    reserves_after_buy,
    user_volume_accumulator_address,
)
from slotzero.venues.pumpfun.quote import USDC_MINT
from slotzero.venues.records import FeeRates, Reserves

TRADES = {
    "create_v2_0_4zGWmZL3": "buy_v2",
    "create_v2_3_3Mqiigwn": "buy_v2",
    "create_v2_4_2J2sAxyT": "buy",
    "create_v2_and_buy_completes_curve_2026-10-06_43xbmthG": "buy",
    "raw_create_tx_from_blocksubscribe_2026-07": "buy",
    "raw_create_tx_from_gettransaction_2026-07": "buy_exact_sol_in",
    "v1_format_buy_2026-09-23_5EpHwV2y": "buy",
}
"""Captures of 2026 with one trade each, and its instruction."""

UNPREDICTABLE = "raw_buy_tx_from_gettransaction_2026-07"
"""The mayhem agent's own trade, on a curve priced in USDC: it follows no published formula."""

# Whole transactions from an empty coin, with the rent of their day in lamports for each byte and the size a curve was
# created with. The others cannot be: one creates a mayhem coin and one a cashback coin, which the program refuses
# today, and one trades through a program nobody has here.
CREATIONS = {
    "create_v2_3_3Mqiigwn": (6_960, 115),
    "create_v2_4_2J2sAxyT": (6_960, 115),
    "raw_create_tx_from_blocksubscribe_2026-07": (6_960, 115),
    "create_v2_and_buy_completes_curve_2026-10-06_43xbmthG": (5_080, 141),
}
CURVE_SIZE = 141
HALFWAY = Reserves(
    virtual_token=402_375_000_000_000,
    virtual_quote=80_000_000_000,
    real_token=122_475_000_000_000,
    real_quote=50_000_000_000,
)
JANUARY_2026 = 1_767_225_600
USER_TOKENS = {"buy": 5, "buy_exact_sol_in": 5, "sell": 5, "buy_v2": 14, "buy_exact_quote_in_v2": 14, "sell_v2": 14}
IN_THE_VM = {SYSTEM_PROGRAM, TOKEN_PROGRAM, TOKEN_2022_PROGRAM, ATA_PROGRAM, COMPUTE_BUDGET_PROGRAM, PUMP_PROGRAM}


def capture(fixtures: Path, name: str) -> Capture:
    return Capture(fixtures / "transactions" / "pumpfun" / f"{name}.json")


def mainnet_world(fixtures: Path, timestamp: int) -> World:
    """A VM with mainnet's own settings accounts, at the time of a capture."""
    world = World()
    world.put(GLOBAL, account_document(fixtures / "accounts/pumpfun/global.2026-10-10.json"), PUMP_PROGRAM)
    world.put(
        FEE_CONFIG, account_document(fixtures / "accounts/pump_fees/fee_config_pump.2026-10-10.json"), FEE_PROGRAM
    )
    world.svm.set_clock(Slot(1), timestamp, timestamp)
    return world


def coin_before(event: TradeEvent, instruction: Instruction) -> Coin:
    """The coin as it was before a trade."""
    sign = -1 if event.is_buy else 1
    assert event.creator is not None
    coin = Coin(
        mint=event.mint,
        creator=event.creator,
        reserves=reserves_after_buy(event.reserves, sign * event.tokens, sign * event.quote_amount),
        is_mayhem=event.is_mayhem,
        is_cashback=event.cashback_bps > 0,
        quote_mint=event.quote_mint,
    )
    assert coin.curve in {meta.pubkey for meta in instruction.accounts}
    return coin


def volume_accumulator_data(user: Pubkey) -> bytes:
    """The account that counts a user's volume, still at zero."""
    return (bytes.fromhex("56ff700e66359afa") + bytes(user)).ljust(137, b"\0")


def assert_told(ours: bytes, theirs: bytes) -> None:
    """Our event begins with theirs; what was added since is zeros."""
    assert ours[: len(theirs)].hex() == theirs.hex()
    assert not any(ours[len(theirs) :])


@pytest.mark.fixtures
def test_every_captured_trade_of_2026_is_run_here(mainnet_fixtures: Path) -> None:
    found = set()
    for path in (mainnet_fixtures / "transactions" / "pumpfun").glob("*.json"):
        document = json.loads(path.read_text())
        if "meta" not in document.get("result", document):
            continue
        landed = Capture(path)
        if any(decode_trade(event).timestamp >= JANUARY_2026 for event in landed.trade_events):
            found.add(landed.name)
    assert found == {*TRADES, UNPREDICTABLE}


@pytest.mark.fixtures
@pytest.mark.parametrize("name", TRADES)
def test_instruction_from_the_reserves_before_tells_the_real_event(mainnet_fixtures: Path, name: str) -> None:
    landed = capture(mainnet_fixtures, name)
    (instruction,), (told,) = landed.trades(), landed.trade_events
    event = decode_trade(told)
    assert TRADE_INSTRUCTIONS[instruction.data[:8]] == TRADES[name]
    world = mainnet_world(mainnet_fixtures, event.timestamp)
    coin = coin_before(event, instruction)
    user_tokens = instruction.accounts[USER_TOKENS[TRADES[name]]].pubkey
    world.place(coin, {event.user: 0 if event.is_buy else event.tokens})
    world.put(user_tokens, token_account_data(coin.mint, event.user, 0), coin.token_program)
    for meta in instruction.accounts:  # recipients that are there
        if (
            not world.lamports(meta.pubkey)
            and meta.is_writable
            and meta.pubkey != user_volume_accumulator_address(event.user)
        ):
            world.fund(meta.pubkey, 10**9)
    world.fund(event.user, 10**13)

    execution = world.run(event.user, instruction)

    ours = events_in_calls(execution.metadata)
    assert events_in_logs(execution.logs()) == ours
    assert_told(ours[0], told)
    assert world.curve(coin.mint).reserves == event.reserves
    assert world.tokens(user_tokens) == event.tokens
    assert len(ours) == (2 if event.reserves.real_token == 0 else 1)  # CompleteEvent


@pytest.mark.fixtures
@pytest.mark.parametrize("name", TRADES)
def test_quote_from_the_reserves_before_gives_the_real_amounts(mainnet_fixtures: Path, name: str) -> None:
    landed = capture(mainnet_fixtures, name)
    (instruction,), (told,) = landed.trades(), landed.trade_events
    event = decode_trade(told)
    coin = coin_before(event, instruction)
    config = decode_fee_config(
        account_document(mainnet_fixtures / "accounts/pump_fees/fee_config_pump.2026-10-10.json")
    )
    rates = fee_rates(config, coin.reserves, SUPPLY)
    amount = int.from_bytes(instruction.data[8:16], "little")
    quote = (quote_buy_exact_in if "exact" in TRADES[name] else quote_buy)(coin.reserves, amount, rates)
    assert quote is not None
    creator_fee = event.cashback if coin.is_cashback else event.creator_fee
    assert (quote.tokens, quote.cost) == (event.tokens, event.quote_amount)
    assert (quote.protocol_fee, quote.creator_fee) == (event.protocol_fee, creator_fee)
    assert quote.total == event.quote_amount + event.protocol_fee + creator_fee


@pytest.mark.fixtures
def test_mayhem_agents_usdc_trade_follows_no_formula_and_is_refused(mainnet_fixtures: Path) -> None:
    landed = capture(mainnet_fixtures, UNPREDICTABLE)
    row = next(line for line in (mainnet_fixtures / "MANIFEST.md").read_text().splitlines() if UNPREDICTABLE in line)
    assert "n/a[cost_formula" in row
    (instruction,), (told,) = landed.trades(), landed.trade_events
    event = decode_trade(told)
    assert (event.is_mayhem, event.quote_mint) == (True, USDC_MINT)
    coin = coin_before(event, instruction)
    formula = quote_buy(coin.reserves, event.tokens, FeeRates(protocol_bps=0, creator_bps=0))
    assert formula is not None
    assert (event.quote_amount, formula.cost) == (3_517_192, 4_085_920)
    world = mainnet_world(mainnet_fixtures, event.timestamp)
    world.place(coin, {event.user: 0})
    world.fund(event.user, 10**13)
    assert world.attempt(event.user, instruction) == 6063


def place_everything_before(world: World, landed: Capture, fixtures: Path) -> None:
    """Give every account of a transaction the lamports and tokens it had before it."""
    payer = landed.keys[0]
    rows = {row["accountIndex"]: row for row in landed.meta["preTokenBalances"]}
    for index, (address, lamports) in enumerate(zip(landed.keys, landed.before, strict=True)):
        if address in IN_THE_VM or not lamports:
            continue
        account = Account(lamports, b"", SYSTEM_PROGRAM)
        if address == user_volume_accumulator_address(payer):
            account = Account(lamports, volume_accumulator_data(payer), PUMP_PROGRAM)
        elif address == GLOBAL:
            data = account_document(fixtures / "accounts/pumpfun/global.2026-10-10.json")
            account = Account(lamports, data, PUMP_PROGRAM)
        elif address == FEE_CONFIG:
            data = account_document(fixtures / "accounts/pump_fees/fee_config_pump.2026-10-10.json")
            account = Account(lamports, data, FEE_PROGRAM)
        elif index in rows:
            row = rows[index]
            mint, owner = Pubkey.from_string(row["mint"]), Pubkey.from_string(row["owner"])
            data = token_account_data(mint, owner, int(row["uiTokenAmount"]["amount"]))
            account = Account(lamports, data, Pubkey.from_string(row["programId"]))
        world.svm.set_account(address, account)
    for address, data in landed.lookup_tables():
        world.put(address, data, Pubkey.from_string("AddressLookupTab1e1111111111111111111111111"))


def log_lines(logs: list[str]) -> list[str]:
    """The log without what may differ: compute units, the bytes of events, and the fee program, which is not called."""
    lines: list[str] = []
    is_fee_program = False
    for line in logs:
        if line.startswith(f"Program {FEE_PROGRAM} "):
            is_fee_program = line.endswith("invoke [2]")
        elif (
            not is_fee_program
            and " consumed " not in line
            and not line.startswith(("Program data: ", "Program return: "))
        ):
            lines.append(line)
    return lines


@pytest.mark.fixtures
@pytest.mark.parametrize("name", CREATIONS)
def test_whole_transaction_with_its_own_keys_does_what_it_did(mainnet_fixtures: Path, name: str) -> None:
    landed = capture(mainnet_fixtures, name)
    lamports_per_byte, curve_size = CREATIONS[name]
    event = decode_trade(landed.trade_events[0])
    world = mainnet_world(mainnet_fixtures, event.timestamp)
    world.svm._svm.set_rent(Rent.with_lamports_per_byte(lamports_per_byte))
    world.svm.set_slot_hashes([(0, Hash.default())])
    place_everything_before(world, landed, mainnet_fixtures)

    execution = world.svm.execute(landed.rebuilt())

    assert execution.err is None, "\n".join(execution.logs())
    ours = events_in_calls(execution.metadata)
    assert events_in_logs(execution.logs()) == ours
    for mine, theirs in zip(ours, landed.events, strict=True):
        assert_told(mine, theirs)
        assert len(mine) == len(theirs) or curve_size < CURVE_SIZE  # today's events have today's length

    assert log_lines(execution.logs()) == log_lines(landed.meta["logMessages"])

    # Accounts: all equal, but for what the curve has grown by since.
    grown = (CURVE_SIZE - curve_size) * lamports_per_byte
    curve = Coin(mint=event.mint, creator=event.user).curve
    expected = {curve: grown, event.user: -grown} if grown else {}
    differences = {
        address: world.lamports(address) - after
        for address, after in zip(landed.keys, landed.after, strict=True)
        if address not in IN_THE_VM and world.lamports(address) != after
    }
    assert differences == expected
    for row in landed.meta["postTokenBalances"]:
        assert world.tokens(landed.keys[row["accountIndex"]]) == int(row["uiTokenAmount"]["amount"])

    # Inner instructions: program, accounts and data of each, in order. Mainnet asks the fee program in one of them, we
    # read its account. Trailing zeros are what our events have grown by.
    ours_inner = [
        (landed.keys[i.program_id_index], [landed.keys[a] for a in bytes(i.accounts)], bytes(i.data))
        for group in execution.metadata.inner_instructions()
        for i in (inner.instruction() for inner in group)
    ]
    theirs_inner = [call for call in landed.inner if call[0] != FEE_PROGRAM]
    assert [call[:2] for call in ours_inner] == [call[:2] for call in theirs_inner]
    unlike = [
        (our_call, their_call)
        for our_call, their_call in zip(ours_inner, theirs_inner, strict=True)
        if our_call[2].rstrip(b"\0") != their_call[2].rstrip(b"\0")
    ]
    # The system program's create_account of the curve, whose data has the size at byte 12.
    sizes = [(our_call[1][1], our_call[2][12:20], their_call[2][12:20]) for our_call, their_call in unlike]
    assert sizes == ([(curve, struct.pack("<Q", CURVE_SIZE), struct.pack("<Q", curve_size))] if grown else [])


@pytest.mark.fixtures
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_captured_account_lists_are_accepted(mainnet_fixtures: Path, side: str) -> None:
    """The lists of 16 more trades of August 2026, whose events nobody kept.

    Their users, coins and recipients are the real ones. The creator is ours, because the list shows the vault and not
    whose it is, and the price limit is open, because the reserves before them are not known.
    """
    rows = json.loads((mainnet_fixtures / "transactions/pumpfun/pumpscope_trade_instructions.json").read_text())[side]
    settings = decode_global(account_document(mainnet_fixtures / "accounts/pumpfun/global.2026-10-10.json"))
    vault_at, token_program_at, limit = (9, 8, 2**60) if side == "buy" else (8, 9, 0)
    for number, row in enumerate(rows):
        keys = [Pubkey.from_string(text) for text in row["accounts"]]
        fee_recipient, user_tokens, user = keys[1], keys[5], keys[6]
        coin = Coin(
            mint=keys[2],
            creator=key(1_000 + number),
            reserves=HALFWAY,
            token_program=keys[token_program_at],
            is_mayhem=fee_recipient in settings.reserved_fee_recipients,
            is_cashback=len(keys) == 17,
        )
        keys[vault_at] = creator_vault_address(coin.creator)
        world = mainnet_world(mainnet_fixtures, JANUARY_2026)
        world.place(coin)
        world.put(user_tokens, token_account_data(coin.mint, user, 10**14), coin.token_program)
        volume = user_volume_accumulator_address(user)
        world.put(volume, volume_accumulator_data(user), PUMP_PROGRAM)
        for recipient in (fee_recipient, keys[-1], keys[vault_at]):
            world.fund(recipient, 10**9)
        world.fund(user, 10**13)
        data = bytes.fromhex(row["data_hex"])
        data = data[:16] + limit.to_bytes(8, "little") + data[24:]
        metas = [AccountMeta(address, is_signer=address == user, is_writable=True) for address in keys]
        (event,) = events_in_calls(world.run(user, Instruction(PUMP_PROGRAM, data, metas)).metadata)
        assert decode_trade(event).is_buy == (side == "buy")
