"""What the pump program refuses, and with which code."""

import struct

import pytest
from msgspec import structs
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from pump_trades import (
    CREATOR,
    MINT,
    TRADES,
    USER,
    Stage,
    creation,
    empty_world,
    placed_stage,
    stage,
    with_arguments,
)
from pump_world import EVENT_TAG, LAUNCH, Coin, key, shortened, swapped
from slotzero.solana.addresses import SYSTEM_PROGRAM, WSOL_MINT
from slotzero.venues.pumpfun import (
    EVENT_AUTHORITY,
    FEE_CONFIG,
    FEE_PROGRAM,
    GLOBAL,
    PUMP_PROGRAM,
    curve_v2_address,
    quote_buy,
    quote_buy_exact_in,
    quote_sell,
)
from slotzero.venues.pumpfun.addresses import MAYHEM_PROGRAM
from slotzero.venues.pumpfun.quote import USDC_MINT
from slotzero.venues.records import FeeRates, Reserves

RATES = FeeRates(protocol_bps=95, creator_bps=30)
ORDINARY = Coin(mint=MINT, creator=CREATOR)


@pytest.fixture(scope="module")
def traded() -> Stage:
    return stage()


def reserves(of: Stage) -> Reserves:
    return of.world.curve(MINT).reserves


# ---- price limits ----


@pytest.mark.parametrize("name", ["buy", "buy_v2"])
def test_buy_one_lamport_under_its_cost_is_refused(traded: Stage, name: str) -> None:
    quote = quote_buy(reserves(traded), 10**12, RATES)
    assert quote is not None
    assert traded.attempt(traded.trade(name, 10**12, quote.total)) is None
    assert traded.attempt(traded.trade(name, 10**12, quote.total - 1)) == 6002


@pytest.mark.parametrize("name", ["buy_exact_sol_in", "buy_exact_quote_in_v2"])
def test_spend_for_one_token_more_than_it_buys_is_refused(traded: Stage, name: str) -> None:
    quote = quote_buy_exact_in(reserves(traded), 10**9, RATES)
    assert quote is not None
    assert traded.attempt(traded.trade(name, 10**9, quote.tokens)) is None
    assert traded.attempt(traded.trade(name, 10**9, quote.tokens + 1)) == 6042


@pytest.mark.parametrize("name", ["sell", "sell_v2"])
def test_sell_for_one_lamport_more_than_it_brings_is_refused(traded: Stage, name: str) -> None:
    quote = quote_sell(reserves(traded), 10**12, RATES)
    assert quote is not None
    assert traded.attempt(traded.trade(name, 10**12, quote.net)) is None
    assert traded.attempt(traded.trade(name, 10**12, quote.net + 1)) == 6003


def test_refusal_by_price_names_itself_in_the_log(traded: Stage) -> None:
    transaction = traded.world._transaction(USER, [traded.trade("buy", 10**12, 1)], 0)
    log = "\n".join(traded.world.svm.simulate(transaction).logs())
    assert "Error Code: TooMuchSolRequired. Error Number: 6002. Error Message: slippage: Too much SOL" in log


# ---- amounts ----


@pytest.mark.parametrize(
    ("name", "amount", "limit", "code"),
    [
        ("buy", 0, 2**63, 6020),
        ("buy_v2", 0, 2**63, 6020),
        ("buy_exact_sol_in", 0, 0, 6020),
        ("buy_exact_sol_in", 1, 0, 6020),
        ("buy_exact_quote_in_v2", 2, 0, 6020),
        ("sell", 0, 0, 6022),
        ("sell_v2", 0, 0, 6022),
        ("buy", 793_100_000_000_000, 2**63, 6021),
        ("buy", 2**64 - 1, 2**64 - 1, 6021),
        ("buy_exact_sol_in", 2**64 - 1, 0, 6024),
        ("buy_exact_sol_in", 2**50, 0, 6024),
        ("sell", 10**13 + 1, 0, 6023),
        ("sell_v2", 2**64 - 1, 0, 6023),
        ("sell", 1, 1, 6003),
    ],
)
def test_amount_that_cannot_be_traded_is_refused(traded: Stage, name: str, amount: int, limit: int, code: int) -> None:
    assert traded.attempt(traded.trade(name, amount, limit)) == code


def test_sell_whose_fees_exceed_what_it_brings_is_refused() -> None:
    cheap = Reserves(virtual_token=10**15, virtual_quote=10**9, real_token=10**14, real_quote=10**8)
    placed = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=cheap))
    assert placed.attempt(placed.trade("sell", 10**6, 0)) is None  # brings nothing, so there is no fee
    assert placed.attempt(placed.trade("sell", 10**6 + 10, 0)) == 6003  # brings one lamport, which costs two


def test_sell_of_more_than_the_curve_has_in_sol_is_refused() -> None:
    placed = placed_stage(ORDINARY)
    assert placed.attempt(placed.trade("sell", 10**12, 0)) == 6024


@pytest.mark.parametrize(
    ("state", "name", "amount", "limit", "code"),
    [
        # More tokens left than the price knows of.
        ((10**9, 10**9, 10**12, 0), "buy", 10**9, 2**63, 6024),
        ((10**9, 10**9, 10**12, 0), "buy", 10**9 + 1, 2**63, 6024),
        # A cost beyond 64 bits, and one beyond what fees can be taken of.
        ((10**12, 2**63, 10**12, 0), "buy", 10**12 - 1, 2**64 - 1, 6024),
        ((10**12, 2**50, 10**12, 0), "buy", 10**12 // 2, 2**64 - 1, 6024),
        # So dear that a budget buys no token.
        ((10**9, 10**12, 10**8, 0), "buy_exact_sol_in", 4, 0, 6020),
    ],
)
def test_trade_on_a_curve_of_impossible_state_is_refused(
    state: tuple[int, int, int, int], name: str, amount: int, limit: int, code: int
) -> None:
    virtual_token, virtual_quote, real_token, real_quote = state
    placed = placed_stage(
        Coin(
            mint=MINT,
            creator=CREATOR,
            reserves=Reserves(
                virtual_token=virtual_token, virtual_quote=virtual_quote, real_token=real_token, real_quote=real_quote
            ),
        )
    )
    assert placed.attempt(placed.trade(name, amount, limit)) == code


# ---- a finished curve ----


@pytest.mark.parametrize("name", TRADES)
def test_trade_on_a_complete_curve_is_refused_before_its_price_is_looked_at(name: str) -> None:
    end = Reserves(
        virtual_token=279_900_000_000_000, virtual_quote=115_005_359_057, real_token=0, real_quote=85_005_359_057
    )
    complete = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=end, is_complete=True))
    hopeless = complete.trade(name, 10**9, 0 if name in ("buy", "buy_v2") else 2**63)
    assert complete.attempt(hopeless) == 6005


# ---- the undeclared tail ----


@pytest.mark.parametrize(
    ("name", "count", "code"),
    [
        ("buy", 17, 6062),
        ("buy", 16, 6062),
        ("buy", 15, 3005),
        ("buy_exact_sol_in", 16, 6062),
        ("sell", 15, 6062),
        ("sell", 14, 6062),
        ("sell", 13, 3005),
        ("buy_v2", 26, 3005),
        ("sell_v2", 25, 3005),
    ],
)
def test_trade_with_too_few_accounts_is_refused(traded: Stage, name: str, count: int, code: int) -> None:
    assert traded.attempt(shortened(traded.good(name), count)) == code


@pytest.mark.parametrize(("name", "index"), [("buy", 16), ("sell", 14)])
def test_tail_with_a_wrong_second_address_is_refused(traded: Stage, name: str, index: int) -> None:
    assert traded.attempt(swapped(traded.good(name), index, key(77))) == 6074
    under_mayhem = curve_v2_address(MINT, MAYHEM_PROGRAM)
    assert traded.attempt(swapped(traded.good(name), index, under_mayhem)) == 6074  # for mayhem coins only


@pytest.mark.parametrize(("count", "code"), [(16, 6072), (15, 6062), (14, 6062)])
def test_cashback_sell_without_its_accumulator_is_refused(count: int, code: int) -> None:
    bought = structs.replace(LAUNCH, virtual_quote=80 * 10**9, real_quote=50 * 10**9)
    cashback = placed_stage(Coin(mint=MINT, creator=CREATOR, is_cashback=True, reserves=bought))
    assert cashback.attempt(cashback.good("sell")) == 6073  # there is none before the first buy
    cashback.world.run(USER, cashback.good("buy"))
    assert cashback.attempt(cashback.good("sell")) is None
    assert cashback.attempt(shortened(cashback.good("sell"), count)) == code


# ---- recipients ----


@pytest.mark.parametrize(("name", "index"), [("buy", 1), ("sell", 1)])
def test_fee_recipient_of_the_other_kind_of_coin_is_refused(traded: Stage, name: str, index: int) -> None:
    genesis = traded.world.genesis
    assert traded.attempt(swapped(traded.good(name), index, genesis.reserved_fee_recipients[0])) == 6000
    mayhem = placed_stage(Coin(mint=MINT, creator=CREATOR, is_mayhem=True))
    assert mayhem.attempt(swapped(mayhem.good("buy"), 1, genesis.fee_recipients[0])) == 6000


def test_every_listed_recipient_is_accepted_and_no_other(traded: Stage) -> None:
    genesis = traded.world.genesis
    for recipient, buyback in zip(genesis.fee_recipients, genesis.buyback_recipients, strict=True):
        assert traded.attempt(swapped(swapped(traded.good("buy"), 1, recipient), 17, buyback)) is None
    assert traded.attempt(swapped(traded.good("buy"), 1, genesis.buyback_recipients[0])) == 6000
    assert traded.attempt(swapped(traded.good("buy"), 17, genesis.fee_recipients[0])) == 6057


# ---- settings and state of others ----


def test_curve_priced_in_another_mint_is_refused() -> None:
    usdc = placed_stage(Coin(mint=MINT, creator=CREATOR, quote_mint=USDC_MINT))
    assert usdc.attempt(usdc.good("buy")) == 6063


def test_curve_account_that_is_too_short_or_of_another_kind_is_refused() -> None:
    short = placed_stage(ORDINARY)
    assert short.attempt(short.good("buy")) is None
    data = short.world.data(ORDINARY.curve)
    short.world.put(ORDINARY.curve, data[:124], PUMP_PROGRAM)
    assert short.attempt(short.good("buy")) == 3012
    short.world.put(ORDINARY.curve, b"\0" * 8 + data[8:], PUMP_PROGRAM)
    assert short.attempt(short.good("buy")) == 3002
    short.world.put(ORDINARY.curve, data, FEE_PROGRAM)
    assert short.attempt(short.good("buy")) == 3007


@pytest.mark.parametrize(("address", "owner"), [(GLOBAL, PUMP_PROGRAM), (FEE_CONFIG, FEE_PROGRAM)])
def test_settings_account_of_another_owner_or_kind_is_refused(address: Pubkey, owner: Pubkey) -> None:
    made = stage()
    data = made.world.data(address)
    made.world.put(address, data, key(77))
    assert made.attempt(made.good("buy")) == 3007
    made.world.put(address, bytes(8) + data[8:], owner)
    assert made.attempt(made.good("buy")) == 3002
    made.world.put(address, data[:60], owner)
    assert made.attempt(made.good("buy")) == 3012


def test_fee_rate_beyond_half_is_refused() -> None:
    made = stage()
    data = bytearray(made.world.data(FEE_CONFIG))
    struct.pack_into("<Q", data, 69 + 24, 5_001)
    made.world.put(FEE_CONFIG, bytes(data), FEE_PROGRAM)
    assert made.attempt(made.good("buy")) == 6024


# ---- instructions ----


def call(data: bytes, *accounts: AccountMeta) -> Instruction:
    return Instruction(PUMP_PROGRAM, data, accounts or [AccountMeta(USER, is_signer=True, is_writable=True)])


def test_event_told_by_anyone_but_the_program_is_refused() -> None:
    world = empty_world()
    told = EVENT_TAG + bytes.fromhex("bddb7fd34ee661ee") + bytes(300)
    assert world.attempt(USER, call(told)) == 3010
    assert world.attempt(USER, call(told, AccountMeta(EVENT_AUTHORITY, is_signer=False, is_writable=False))) == 3010


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", 101), (b"\x66\x06\x3d\x12\x01\xda\xeb", 101), (bytes(8), 101), (bytes.fromhex("66063d1201daebea"), 102)],
)
def test_instruction_that_is_none_is_refused(data: bytes, code: int) -> None:
    assert empty_world().attempt(USER, call(data)) == code


def test_instruction_without_accounts_or_with_too_many_is_refused() -> None:
    world = empty_world()
    buy_data = bytes.fromhex("66063d1201daebea") + bytes(17)
    assert world.attempt(USER, Instruction(PUMP_PROGRAM, buy_data, [])) == 3005
    many = [AccountMeta(USER, is_signer=True, is_writable=True)] * 65
    assert world.attempt(USER, Instruction(PUMP_PROGRAM, buy_data, many)) == 3005


@pytest.mark.parametrize("name", TRADES)
def test_trade_with_cut_arguments_is_refused(traded: Stage, name: str) -> None:
    assert traded.attempt(with_arguments(traded.good(name), bytes(15))) == 102


# ---- creation ----


def string(text: bytes) -> bytes:
    return struct.pack("<I", len(text)) + text


NAMES = string(b"N") + string(b"S") + string(b"u")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 102),
        (b"\xff\xff\xff\xff", 6043),
        (string(b"N") + b"\xff\xff\xff\xff", 6044),
        (string(b"N") + string(b"S") + b"\xff\xff\xff\xff", 6045),
        (struct.pack("<I", 20) + b"N", 102),
        (string(b"n" * 33) + string(b"S") + string(b"u") + bytes(34), 6043),
        (string(b"N") + string(b"s" * 14) + string(b"u") + bytes(34), 6044),
        (string(b"N") + string(b"S") + string(b"u" * 201) + bytes(34), 6045),
        (NAMES + bytes(32), 102),
        (NAMES + bytes(32) + b"\1\0", 6048),
        (NAMES + bytes(32) + b"\0\1", 6082),
    ],
)
def test_creation_with_bad_arguments_is_refused(data: bytes, code: int) -> None:
    assert empty_world().attempt(USER, with_arguments(creation(), data)) == code


def test_creation_with_the_longest_names_is_accepted() -> None:
    assert empty_world().attempt(USER, creation(name="n" * 32, symbol="s" * 13, uri="u" * 200)) is None


def test_creation_of_the_same_mint_twice_is_refused() -> None:
    world = empty_world()
    world.run(USER, creation())
    assert world.attempt(USER, creation()) is not None


@pytest.mark.parametrize(("quote", "code"), [(WSOL_MINT, None), (USDC_MINT, 6063), (SYSTEM_PROGRAM, 6063)])
def test_creation_priced_in_another_mint_is_refused(quote: Pubkey, code: int | None) -> None:
    create = creation()
    metas = [*create.accounts, AccountMeta(quote, is_signer=False, is_writable=False)]
    assert empty_world().attempt(USER, Instruction(create.program_id, create.data, metas)) == code


@pytest.mark.parametrize(("offset", "tail", "code"), [(450, b"", 6046), (1086, bytes(8) + b"\1", 6084)])
def test_creation_that_global_has_switched_off_is_refused(offset: int, tail: bytes, code: int) -> None:
    world = empty_world()
    instruction = with_arguments(creation(), NAMES + bytes(CREATOR) + b"\0\0" + tail)
    assert world.attempt(USER, instruction) is None
    data = bytearray(world.data(GLOBAL))
    data[offset] = 0
    world.put(GLOBAL, bytes(data), PUMP_PROGRAM)
    assert world.attempt(USER, instruction) == code


def test_creation_without_lamports_leaves_nothing_behind() -> None:
    world = empty_world()
    world.fund(USER, 1_000_000)
    assert world.attempt(USER, creation()) is not None
    assert world.svm.get_account(MINT) is None
