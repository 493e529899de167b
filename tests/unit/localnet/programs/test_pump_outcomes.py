"""What the pump program does: creation, first trades, the end of a curve, kinds of coins of the past, fees."""

import struct

import pytest
from msgspec import structs
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from pump_trades import CREATOR, MINT, TRADES, USER, Stage, accounts_in, creation, empty_world, placed_stage, stage
from pump_world import LAUNCH, SUPPLY, UNIX_TIMESTAMP, Coin, World, events, key, swapped
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.token import MetadataPointer, TokenMetadata, parse_mint
from slotzero.venues.pumpfun import (
    FEE_CONFIG,
    FEE_PROGRAM,
    PUMP_PROGRAM,
    CompleteEvent,
    CreateEvent,
    TradeEvent,
    buy,
    create_associated_token_account,
    creator_vault_address,
    curve_address,
    curve_v2_address,
    quote_buy,
    quote_buy_exact_in,
    reserves_after_sell,
    sell,
    user_volume_accumulator_address,
)
from slotzero.venues.pumpfun.addresses import MAYHEM_PROGRAM
from slotzero.venues.records import FeeRates, Reserves

HALFWAY = Reserves(
    virtual_token=402_375_000_000_000,
    virtual_quote=80_000_000_000,
    real_token=122_475_000_000_000,
    real_quote=50_000_000_000,
)
CASHBACK_EARNED = 74


def trade_event(made: Stage, name: str) -> TradeEvent:
    (event,) = events(made.world.run(USER, made.good(name)))
    assert isinstance(event, TradeEvent)
    return event


# ---- creation ----


def test_creation_makes_a_mint_nobody_has_power_over() -> None:
    world = empty_world()
    world.run(USER, creation(name="A coin", symbol="COIN", uri="https://example/coin.json"))
    mint = parse_mint(world.data(MINT), TOKEN_2022_PROGRAM)
    assert (mint.mint_authority, mint.freeze_authority, mint.decimals, mint.supply) == (None, None, 6, SUPPLY)
    assert mint.extension(MetadataPointer) == MetadataPointer(authority=None, address=MINT)
    assert mint.extension(TokenMetadata) == TokenMetadata(
        update_authority=None, mint=MINT, name="A coin", symbol="COIN", uri="https://example/coin.json", additional=()
    )
    assert len(mint.extensions) == 2
    account = world.svm.get_account(MINT)
    assert account is not None
    assert account.lamports == world.svm.rent_exempt_minimum(len(account.data))


@pytest.mark.parametrize("letters", range(30, 45))
def test_creation_pays_the_rent_of_any_length_even_where_the_token_program_pads(letters: int) -> None:
    """37 letters would make a mint of 355 bytes, the length of a multisig."""
    world = empty_world()
    world.run(USER, creation(name="A", symbol="B", uri="u" * (letters - 2)))
    account = world.svm.get_account(MINT)
    assert account is not None
    assert len(account.data) == (357 if letters == 37 else 318 + letters)
    assert account.lamports == world.svm.rent_exempt_minimum(len(account.data))


def test_coin_whose_curve_has_an_unlikely_bump_is_traded() -> None:
    """The first sixteen bumps are tried by their hash alone; this one is the seventeenth."""
    mint = Keypair.from_seed((91_131).to_bytes(32, "little")).pubkey()
    assert Pubkey.find_program_address([b"bonding-curve", bytes(mint)], PUMP_PROGRAM)[1] == 239
    world = empty_world()
    accounts = accounts_in(world, mint, USER)
    world.run(USER, creation(mint), create_associated_token_account(accounts))
    for trade in (buy(accounts, 10**12, 10**12), sell(accounts, 10**12, 0)):
        (event,) = events(world.run(USER, trade))
        assert isinstance(event, TradeEvent)
        assert event.tokens == 10**12


def test_creation_makes_a_fresh_curve_that_holds_the_whole_supply() -> None:
    world = empty_world()
    (event,) = events(world.run(USER, creation()))
    curve = world.curve(MINT)
    assert (curve.reserves, curve.token_supply, curve.is_complete, curve.creator) == (LAUNCH, SUPPLY, False, CREATOR)
    assert len(world.data(curve_address(MINT))) == 141
    assert world.tokens(Coin(mint=MINT, creator=CREATOR).curve_tokens) == SUPPLY
    assert isinstance(event, CreateEvent)
    assert (event.mint, event.user, event.creator) == (MINT, USER, CREATOR)
    assert (event.name, event.symbol, event.uri) == ("Name", "SYM", "https://example/x")
    assert (event.reserves, event.token_supply, event.timestamp) == (LAUNCH, SUPPLY, UNIX_TIMESTAMP)
    assert (event.token_program, event.quote_mint) == (TOKEN_2022_PROGRAM, None)
    assert (event.is_mayhem, event.is_cashback, event.creator_fee_bps, event.is_holder_reward) == (
        False,
        False,
        0,
        False,
    )


def with_tail(tail: bytes) -> Instruction:
    create = creation()
    return Instruction(create.program_id, bytes(create.data) + tail, create.accounts)


def test_creators_own_rate_is_ignored_on_a_curve_priced_in_sol() -> None:
    world = empty_world()
    (event,) = events(world.run(USER, with_tail(struct.pack("<Q", 300))))
    assert isinstance(event, CreateEvent)
    assert (event.creator_fee_bps, world.curve(MINT).creator_fee_bps) == (0, 0)


def test_holder_reward_coin_pays_its_creator_fee_to_an_address_of_the_mint() -> None:
    world = empty_world()
    (event,) = events(world.run(USER, with_tail(struct.pack("<Q?", 0, 1))))
    holders = Pubkey.find_program_address([b"holder-rewards", bytes(MINT)], PUMP_PROGRAM)[0]
    assert isinstance(event, CreateEvent)
    assert (event.creator, event.is_holder_reward) == (holders, True)
    accounts = accounts_in(world, MINT, USER, holders)
    world.run(USER, create_associated_token_account(accounts), buy(accounts, 10**12, 10**12))
    assert world.lamports(creator_vault_address(holders)) > world.svm.rent_exempt_minimum(0)


def test_coin_whose_addresses_were_sent_lamports_before_can_still_be_created() -> None:
    world = empty_world()
    world.fund(MINT, 1)
    world.fund(curve_address(MINT), 10**9)
    world.run(USER, creation())
    assert world.curve(MINT).reserves == LAUNCH
    assert world.lamports(curve_address(MINT)) == 10**9
    assert parse_mint(world.data(MINT), TOKEN_2022_PROGRAM).supply == SUPPLY


# ---- first trades ----


def test_first_buy_makes_the_accumulator_and_fills_the_vault_outside_the_price_limit() -> None:
    world = empty_world()
    accounts = accounts_in(world, MINT, USER)
    world.run(USER, creation(), create_associated_token_account(accounts))
    before = world.lamports(USER)
    quote = quote_buy(LAUNCH, 10**12, FeeRates(protocol_bps=95, creator_bps=30))
    assert quote is not None
    world.run(USER, buy(accounts, 10**12, quote.total))
    rent = world.svm.rent_exempt_minimum
    assert before - world.lamports(USER) == 5_000 + quote.total + rent(0) + rent(137)
    assert world.lamports(accounts.creator_vault) == rent(0) + quote.creator_fee
    data = world.data(accounts.volume_accumulator)
    assert (len(data), data[:8].hex(), data[8:40]) == (137, "56ff700e66359afa", bytes(USER))


def test_accumulator_that_was_sent_lamports_before_is_still_made() -> None:
    world = empty_world()
    accounts = accounts_in(world, MINT, USER)
    world.run(USER, creation(), create_associated_token_account(accounts))
    world.fund(accounts.volume_accumulator, 1)
    world.run(USER, buy(accounts, 10**12, 10**12))
    account = world.svm.get_account(accounts.volume_accumulator)
    assert account is not None
    assert (account.owner, account.lamports) == (PUMP_PROGRAM, world.svm.rent_exempt_minimum(137))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("buy", "buy"),
        ("buy_exact_sol_in", "buy_exact_sol_in"),
        ("sell", "sell"),
        ("buy_v2", "buy"),
        ("buy_exact_quote_in_v2", "buy_exact_quote_in"),
        ("sell_v2", "sell"),
    ],
)
def test_trade_event_names_its_instruction(name: str, told: str) -> None:
    event = trade_event(stage(), name)
    assert (event.instruction, event.is_buy, event.timestamp) == (told, told != "sell", UNIX_TIMESTAMP)
    assert (event.is_volume_tracked, event.is_mayhem, event.quote_mint) == (False, False, None)
    assert (event.buyback_bps, event.buyback_fee) == (5_000, event.protocol_fee // 2)
    assert (event.holder_rewards_bps, event.holder_rewards, event.creator_fee_unclaimed) == (0, 0, 0)


@pytest.mark.parametrize("name", ["sell", "sell_v2"])
def test_sell_gives_the_tokens_back_and_the_curve_counts_them(name: str) -> None:
    made = stage()
    before, held = made.world.curve(MINT).reserves, made.world.tokens(made.accounts.user_tokens)
    event = trade_event(made, name)
    after = made.world.curve(MINT).reserves
    assert event.reserves == after == reserves_after_sell(before, 10**12, event.quote_amount)
    assert made.world.tokens(made.accounts.user_tokens) == held - 10**12
    assert made.world.tokens(made.accounts.curve_tokens) == SUPPLY - held + 10**12


def test_volume_is_tracked_when_asked_for() -> None:
    made = stage()
    (event,) = events(made.world.run(USER, buy(made.accounts, 10**12, 10**12, is_volume_tracked=True)))
    assert isinstance(event, TradeEvent)
    assert event.is_volume_tracked


def test_arguments_may_end_before_the_volume_flag() -> None:
    made = stage()
    instruction = made.good("buy")
    made.world.run(USER, Instruction(instruction.program_id, bytes(instruction.data[:24]), instruction.accounts))


def test_program_names_its_instructions_in_the_log() -> None:
    made = stage()
    assert "Program log: Instruction: Buy" in made.world.run(USER, made.good("buy")).logs()
    assert "Program log: Instruction: Sell" in made.world.run(USER, made.good("sell")).logs()
    assert "Program log: Instruction: CreateV2" in empty_world().run(USER, creation()).logs()


@pytest.mark.parametrize("name", TRADES)
def test_version_1_transaction_trades_too(name: str) -> None:
    made = stage()
    made.world.run(USER, made.good(name), version=1)


# ---- the end ----


@pytest.mark.parametrize("name", ["buy", "buy_v2"])
def test_buy_of_the_last_token_completes_the_curve(name: str) -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY))
    told = events(made.world.run(USER, made.trade(name, HALFWAY.real_token, 2**62)))
    assert isinstance(told[0], TradeEvent)
    assert told[1:] == [
        CompleteEvent(user=USER, mint=MINT, curve=curve_address(MINT), timestamp=UNIX_TIMESTAMP, quote_mint=None)
    ]
    curve = made.world.curve(MINT)
    assert (curve.is_complete, curve.reserves.real_token) == (True, 0)


def test_buy_of_all_but_one_token_completes_nothing() -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY))
    assert len(events(made.world.run(USER, made.trade("buy", HALFWAY.real_token - 1, 2**62)))) == 1
    assert not made.world.curve(MINT).is_complete


@pytest.mark.parametrize("name", ["buy_exact_sol_in", "buy_exact_quote_in_v2"])
def test_budget_beyond_the_end_buys_what_is_left_at_its_price(name: str) -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY))
    told = events(made.world.run(USER, made.trade(name, 10**12, HALFWAY.real_token)))
    assert isinstance(told[0], TradeEvent)
    cost = HALFWAY.virtual_quote * HALFWAY.real_token // (HALFWAY.virtual_token - HALFWAY.real_token) + 1
    assert (told[0].tokens, told[0].quote_amount) == (HALFWAY.real_token, cost)
    assert isinstance(told[1], CompleteEvent)


def test_budget_that_buys_exactly_what_is_left_is_spent_whole() -> None:
    dear = Reserves(
        virtual_token=1_000, virtual_quote=10**6, real_token=100, real_quote=0
    )  # one token costs many lamports
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=dear))
    quote = quote_buy_exact_in(dear, 113_400, FeeRates(protocol_bps=95, creator_bps=30))
    assert quote is not None
    told = events(made.world.run(USER, made.trade("buy_exact_sol_in", 113_400, 100)))
    assert isinstance(told[0], TradeEvent)
    assert (told[0].tokens, told[0].quote_amount) == (quote.tokens, quote.cost) == (100, 112_000)


# ---- kinds of coins that can be placed from outside only ----


@pytest.mark.parametrize("name", TRADES)
def test_classic_token_trades(name: str) -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY, token_program=TOKEN_PROGRAM))
    assert trade_event(made, name).tokens > 0


@pytest.mark.parametrize("name", TRADES)
def test_mayhem_coin_pays_its_own_recipient_and_no_buyback(name: str) -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY, is_mayhem=True))
    world = made.world
    before = world.lamports(made.accounts.fee_recipient), world.lamports(made.accounts.buyback_recipient)
    event = trade_event(made, name)
    assert (event.is_mayhem, event.buyback_bps, event.buyback_fee) == (True, 0, 0)
    after = world.lamports(made.accounts.fee_recipient), world.lamports(made.accounts.buyback_recipient)
    assert (after[0] - before[0], after[1] - before[1]) == (event.protocol_fee, 0)


def test_mayhem_coin_accepts_the_mayhem_programs_second_address() -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY, is_mayhem=True))
    under_mayhem = curve_v2_address(MINT, MAYHEM_PROGRAM)
    assert made.attempt(swapped(made.good("buy"), 16, under_mayhem)) is None
    assert made.attempt(swapped(made.good("sell"), 14, under_mayhem)) is None


@pytest.mark.parametrize("name", TRADES)
def test_cashback_coin_pays_the_creators_share_to_the_trader(name: str) -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY, is_cashback=True))
    world, accumulator = made.world, user_volume_accumulator_address(USER)
    world.put(accumulator, (bytes.fromhex("56ff700e66359afa") + bytes(USER)).ljust(137, b"\0"), PUMP_PROGRAM)
    before = world.lamports(accumulator)
    event = trade_event(made, name)
    assert (event.creator_bps, event.creator_fee, event.cashback_bps) == (0, 0, 30)
    assert event.cashback == -(-event.quote_amount * 30 // 10_000)
    assert world.lamports(accumulator) - before == event.cashback
    assert world.lamports(made.accounts.creator_vault) == 0
    earned = world.data(accumulator)[CASHBACK_EARNED : CASHBACK_EARNED + 8]
    assert int.from_bytes(earned, "little") == event.cashback


@pytest.mark.parametrize("size", [125, 141, 151])
def test_curve_account_may_be_longer_than_its_fields(size: int) -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY, size=size))
    assert trade_event(made, "buy").tokens > 0


# ---- fees ----


def fee_config(*tiers: tuple[int, int, int]) -> bytes:
    """A FeeConfig whose tiers are (market capitalisation, protocol, creator); its flat row is never right."""
    rows = b"".join(struct.pack("<QQ3Q", cap, 0, 0, protocol, creator) for cap, protocol, creator in tiers)
    return bytes.fromhex("8f3492bbdb7b4c9b") + bytes(33) + struct.pack("<3QI", 0, 77, 88, len(tiers)) + rows


def rates(world: World, made: Stage) -> tuple[int, int]:
    (event,) = events(world.run(USER, made.good("buy")))
    assert isinstance(event, TradeEvent)
    return event.protocol_bps, event.creator_bps


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        (((0, 95, 30),), (95, 30)),
        (((0, 95, 30), (198_819_509_164, 50, 20)), (50, 20)),
        (((0, 95, 30), (198_819_509_165, 50, 20)), (95, 30)),
        (((0, 95, 30), (1, 60, 10), (2, 50, 20), (10**15, 1, 1)), (50, 20)),
        (((10**15, 95, 30),), (95, 30)),
        ((), (77, 88)),
    ],
)
def test_fee_tier_is_the_last_one_the_market_cap_reaches(
    tiers: tuple[tuple[int, int, int], ...], expected: tuple[int, int]
) -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY))  # worth 198,819,509,164 lamports
    made.world.put(FEE_CONFIG, fee_config(*tiers), FEE_PROGRAM)
    assert rates(made.world, made) == expected


def test_fee_tiers_that_lie_about_their_number_are_read_to_the_end_of_the_account() -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY))
    data = bytearray(fee_config((0, 95, 30)))
    struct.pack_into("<I", data, 65, 2**32 - 1)
    made.world.put(FEE_CONFIG, bytes(data), FEE_PROGRAM)
    assert rates(made.world, made) == (95, 30)


def test_without_a_fee_config_globals_own_rates_hold() -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY))
    made.world.svm.set_account(FEE_CONFIG, None)
    assert rates(made.world, made) == (95, 5)


def test_rate_of_the_curve_replaces_the_schedules() -> None:
    made = placed_stage(Coin(mint=MINT, creator=CREATOR, reserves=HALFWAY, creator_fee_bps=200))
    assert rates(made.world, made) == (95, 200)


def test_coin_without_a_creator_pays_none() -> None:
    made = placed_stage(Coin(mint=MINT, creator=key(0), reserves=HALFWAY))
    assert rates(made.world, made) == (95, 0)


def test_curve_keeps_exactly_its_real_reserves_above_its_rent() -> None:
    made = stage()
    for name in TRADES:
        made.world.run(USER, made.good(name))
    rent = made.world.svm.rent_exempt_minimum(141)
    curve = made.world.curve(MINT)
    assert made.world.lamports(curve_address(MINT)) - rent == curve.reserves.real_quote
    assert structs.asdict(curve.reserves)["virtual_quote"] - curve.reserves.real_quote == 30_000_000_000
