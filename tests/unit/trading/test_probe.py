"""The probe: a transaction of a stranger's round trip that a node can read and that says where to look."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.transaction import VersionedTransaction

from slotzero.config import TradeSettings
from slotzero.safety.reader import RoundTripProbe
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM, associated_token_address
from slotzero.solana.transaction import MAX_TRANSACTION_BYTES
from slotzero.trading.plan import BuyPlan, plan_buy
from slotzero.trading.probe import RentFacts, round_trip_probe
from slotzero.units import Lamports, TokenAmount
from slotzero.venues.pumpfun import PUMP_PROGRAM
from slotzero.venues.pumpfun.trader import PumpfunMarket
from slotzero.venues.records import NewPool
from trading_lab import LAUNCH, SIGNER, pump_pool, pump_trader

RENT = RentFacts(empty_account_lamports=Lamports(890_880), first_trade_lamports=Lamports(5_000_000))


def market(pool: NewPool | None = None) -> PumpfunMarket:
    return pump_trader().market(pool or pump_pool())


def plan() -> BuyPlan:
    made = plan_buy(market(), LAUNCH, TradeSettings())
    assert isinstance(made, BuyPlan)
    return made


def message_of(probe: RoundTripProbe) -> MessageV0:
    message = VersionedTransaction.from_bytes(probe.raw).message
    assert isinstance(message, MessageV0)
    return message


def paid(message: MessageV0) -> dict[Pubkey, int]:
    """What the system program's transfers move, by receiver."""
    found = {}
    for instruction in message.instructions:
        if message.account_keys[instruction.program_id_index] == SYSTEM:
            kind, lamports = struct.unpack("<IQ", bytes(instruction.data))
            assert kind == 2
            giver, taker = bytes(instruction.accounts)
            assert message.account_keys[giver] == SIGNER.pubkey
            found[message.account_keys[taker]] = lamports
    return found


def test_probe_buys_and_sells_the_plan_where_its_indices_say() -> None:
    probe, the_plan = round_trip_probe(market(), SIGNER.pubkey, plan(), rent=RENT), plan()
    message = message_of(probe)
    buy, sell = message.instructions[probe.buy_index], message.instructions[probe.sell_index]
    assert {message.account_keys[ix.program_id_index] for ix in (buy, sell)} == {PUMP_PROGRAM}
    bought = struct.unpack("<8sQQ", bytes(buy.data)[:24])
    sold = struct.unpack("<8sQQ", bytes(sell.data)[:24])
    assert bought[1:] == (the_plan.tokens, 2 * the_plan.limit_lamports)
    assert sold[1:] == (the_plan.tokens, 0)
    assert len(message.instructions) == probe.sell_index + 1
    assert (probe.tokens, probe.quoted_total) == (the_plan.tokens, the_plan.quoted_lamports)


def test_trader_is_funded_by_us_and_signs_beside_us() -> None:
    probe = round_trip_probe(market(), SIGNER.pubkey, plan(), rent=RENT)
    message = message_of(probe)
    assert message.account_keys[0] == SIGNER.pubkey
    assert message.header.num_required_signatures == 2
    assert probe.trader in message.account_keys[:2]
    assert paid(message)[probe.trader] == probe.trader_lamports == 2 * plan().limit_lamports + RENT.first_trade_lamports


def test_creators_vault_is_filled_by_us_so_that_it_is_no_loss_of_the_trader() -> None:
    probe = round_trip_probe(market(), SIGNER.pubkey, plan(), rent=RENT)
    (vault,) = market().topped_up
    assert paid(message_of(probe))[vault] == RENT.empty_account_lamports


def test_watched_accounts_are_the_traders_own() -> None:
    probe = round_trip_probe(market(), SIGNER.pubkey, plan(), rent=RENT)
    assert probe.token_account == associated_token_address(probe.trader, market().pool.mint, TOKEN_2022_PROGRAM)
    assert probe.watch[:2] == (probe.trader, probe.token_account)
    assert set(probe.watch) <= set(message_of(probe).account_keys)
    assert set(probe.watch).isdisjoint({SIGNER.pubkey, market().user_tokens, *market().deposits})


def test_each_probe_has_a_trader_of_its_own_that_nobody_can_have_prepared_for() -> None:
    traders = {round_trip_probe(market(), SIGNER.pubkey, plan(), rent=RENT).trader for _ in range(50)}
    assert len(traders) == 50


def test_probe_is_unsigned() -> None:
    probe = round_trip_probe(market(), SIGNER.pubkey, plan(), rent=RENT)
    assert {bytes(signature) for signature in VersionedTransaction.from_bytes(probe.raw).signatures} == {bytes(64)}


@pytest.mark.parametrize("token_program", [TOKEN_PROGRAM, TOKEN_2022_PROGRAM])
@pytest.mark.parametrize("is_cashback", [False, True])
@pytest.mark.parametrize("is_mayhem", [False, True])
def test_probe_of_any_kind_of_coin_fits_with_room_for_our_own_trade(
    token_program: Pubkey,
    is_cashback: bool,  # noqa: FBT001 parameters
    is_mayhem: bool,  # noqa: FBT001
) -> None:
    pool = pump_pool(token_program=token_program, is_cashback=is_cashback, is_mayhem=is_mayhem)
    probe = round_trip_probe(market(pool), SIGNER.pubkey, plan(), rent=RENT)
    assert len(probe.raw) <= MAX_TRANSACTION_BYTES


@settings(max_examples=30)
@given(st.integers(1, 2**63 - 1), st.integers(1, 2**62))
def test_probe_fits_whatever_the_amounts(tokens: int, limit: int) -> None:
    big = BuyPlan(tokens=TokenAmount(tokens), quoted_lamports=Lamports(1), limit_lamports=Lamports(limit))
    probe = round_trip_probe(market(), SIGNER.pubkey, big, rent=RENT)
    assert len(probe.raw) <= MAX_TRANSACTION_BYTES
