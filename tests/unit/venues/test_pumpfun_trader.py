"""A market that fits its curve: when creator, rate or receivers change, the next trade lands and pays its quote."""

from collections.abc import Sequence

import msgspec
import pytest
from solders.pubkey import Pubkey

from pump_world import LAUNCH, Coin, World, curve_data, events, key
from slotzero.errors import MalformedError
from slotzero.localnet import genesis
from slotzero.units import Lamports, TokenAmount
from slotzero.venues.market import PoolState
from slotzero.venues.pumpfun import CreateEvent, TradeEvent, create_v2, creator_vault_address, curve_address
from slotzero.venues.pumpfun.addresses import FEE_CONFIG, GLOBAL
from slotzero.venues.pumpfun.trader import PumpfunMarket, PumpfunTrader
from slotzero.venues.records import PoolTerms, Reserves
from trading_lab import moved, pump_pool

USER, MINT, CREATOR, NEXT_CREATOR = key(101), key(201), key(202), key(203)
CURVE = curve_address(MINT)
NOBODY = Pubkey.default()
CREATOR_AT, CREATOR_FEE_AT = 49, 115
FEE_RECIPIENT_AT, FEE_RECIPIENTS_AT, RESERVED_AT, RESERVED_MORE_AT, BUYBACKS_AT = 41, 162, 483, 516, 741
CONSTRAINT_SEEDS, NOT_AUTHORIZED, TOO_LITTLE_RECEIVED = 2006, 6000, 6003
TRANSACTION_FEE = 5_000
BUDGET = Lamports(10**9)
STATE = PoolState(reserves=LAUNCH, is_complete=False, terms=PoolTerms(creator=pump_pool().creator, creator_fee_bps=0))


class Held:
    """A coin the program has created, and what the market of its creation has bought of it."""

    def __init__(self) -> None:
        self.world = World()
        self.world.fund(USER, 10**12)
        for creator in (CREATOR, NEXT_CREATOR, NOBODY):
            self.world.fund(creator_vault_address(creator), 10**7)  # a small fee into an empty one fails the trade
        self.trader = PumpfunTrader(USER)
        self.configure()
        born = events(
            self.world.run(USER, create_v2(user=USER, mint=MINT, creator=CREATOR, name="A", symbol="A", uri="u"))
        )[0]
        assert isinstance(born, CreateEvent)
        self.pool = pump_pool(mint=MINT, pool=CURVE, creator=born.creator, reserves=born.reserves)
        self.market = self.trader.market(self.pool)
        self.tokens = self.market.tokens_for_budget(born.reserves, BUDGET)
        self.world.run(USER, *self.market.buy(self.tokens, BUDGET))

    def configure(self) -> None:
        self.trader.configure([self.world.data(account) for account in self.trader.config_accounts])

    def rewrite(self, account: Pubkey, *changes: tuple[int, bytes]) -> None:
        """Write bytes into an account of the venue's, as a transaction of the venue's would."""
        found = self.world.svm.get_account(account)
        assert found is not None
        data = bytearray(found.data)
        for at, some in changes:
            data[at : at + len(some)] = some
        spare = found.lamports - self.world.svm.rent_exempt_minimum(len(data))
        self.world.put(account, bytes(data), found.owner, more_lamports=spare)

    def change(self, creator: Pubkey = CREATOR, creator_fee_bps: int = 0) -> None:
        self.rewrite(CURVE, (CREATOR_AT, bytes(creator)), (CREATOR_FEE_AT, creator_fee_bps.to_bytes(8, "little")))

    @property
    def state(self) -> PoolState:
        return self.market.decode_state(self.world.data(CURVE))

    def attempt(self, market: PumpfunMarket, min_out: int = 0) -> object:
        """Simulate the sell of everything by a market."""
        return self.world.attempt(USER, *market.sell(self.tokens, Lamports(min_out), closes_account=False))

    def sold(self, market: PumpfunMarket) -> TradeEvent:
        """Sell everything for what the market quotes, which must be what the wallet gets to the lamport."""
        quote = market.quote_sell(self.state.reserves, self.tokens)
        assert quote is not None
        assert self.attempt(market, quote.net + 1) == TOO_LITTLE_RECEIVED
        before = self.world.lamports(USER)
        made = self.world.run(USER, *market.sell(self.tokens, quote.net, closes_account=False))
        assert self.world.lamports(USER) - before == quote.net - TRANSACTION_FEE
        event = events(made)[0]
        assert isinstance(event, TradeEvent)
        return event


@pytest.mark.parametrize(
    ("creator", "creator_fee_bps", "charged_bps"),
    [(NEXT_CREATOR, 0, 30), (CREATOR, 250, 250), (NEXT_CREATOR, 250, 250), (NOBODY, 0, 0), (NOBODY, 250, 0)],
)
def test_sell_after_a_change_of_terms_lands_with_the_market_that_fits_them(
    creator: Pubkey, creator_fee_bps: int, charged_bps: int
) -> None:
    held = Held()
    held.change(creator, creator_fee_bps)
    fitting = held.market.fitting(held.state)
    vault = creator_vault_address(creator)
    before = held.world.lamports(vault)
    if creator != CREATOR:
        assert held.attempt(held.market) == CONSTRAINT_SEEDS
        assert held.market.explain({"InstructionError": [0, {"Custom": CONSTRAINT_SEEDS}]}) == "ConstraintSeeds"
    event = held.sold(fitting)
    assert (event.creator or NOBODY, event.creator_bps) == (creator, charged_bps)
    assert held.world.lamports(vault) - before == event.creator_fee


def test_quote_of_the_terms_that_were_is_not_what_a_changed_rate_pays() -> None:
    held = Held()
    was = held.market.quote_sell(held.state.reserves, held.tokens)
    held.change(creator_fee_bps=300)
    assert was is not None
    assert held.attempt(held.market, was.net) == TOO_LITTLE_RECEIVED
    held.sold(held.market.fitting(held.state))


def test_market_of_a_pool_bought_long_ago_is_made_to_fit_its_curve() -> None:
    held = Held()
    held.change(NEXT_CREATOR)
    rebuilt = held.trader.market(held.pool)
    assert held.attempt(rebuilt) == CONSTRAINT_SEEDS
    fitting = rebuilt.fitting(held.state)
    assert fitting.pool == held.pool
    held.world.run(USER, *fitting.buy(TokenAmount(10**6), BUDGET))
    held.sold(fitting)


def test_creator_that_comes_back_fits_again() -> None:
    held = Held()
    first = held.state
    held.change(NEXT_CREATOR)
    there = held.market.fitting(held.state)
    held.change(CREATOR)
    back = there.fitting(first)
    assert held.attempt(there) == CONSTRAINT_SEEDS
    assert held.attempt(back) is None
    assert back.topped_up == held.market.topped_up


def test_market_of_another_wallet_keeps_what_it_was_fitted_to() -> None:
    held, other = Held(), key(102)
    held.change(NEXT_CREATOR, 250)
    held.world.fund(other, 10**12)
    theirs = held.market.fitting(held.state).for_wallet(other)
    assert theirs.fitting(held.state) is theirs
    assert theirs.topped_up == (creator_vault_address(NEXT_CREATOR),)
    quote = theirs.quote_buy(held.state.reserves, TokenAmount(10**9))
    assert quote is not None
    made = held.world.run(other, *theirs.buy(TokenAmount(10**9), quote.total))
    event = events(made)[0]
    assert isinstance(event, TradeEvent)
    assert (event.creator, event.creator_fee) == (NEXT_CREATOR, quote.creator_fee)


# ---- the venue's settings ----


def test_receivers_that_were_exchanged_are_paid_by_the_market_that_fits() -> None:
    held = Held()
    fees, buybacks = [key(700 + place) for place in range(8)], [key(800 + place) for place in range(8)]
    for receiver in (*fees, *buybacks):
        held.world.fund(receiver, 10**7)
    held.rewrite(
        GLOBAL,
        (FEE_RECIPIENT_AT, bytes(fees[0])),
        (FEE_RECIPIENTS_AT, b"".join(map(bytes, fees[1:]))),
        (BUYBACKS_AT, b"".join(map(bytes, buybacks))),
    )
    assert held.market.fitting(held.state) is held.market  # nobody has told the trader yet
    held.configure()
    fitting = held.market.fitting(held.state)
    assert held.attempt(held.market) == NOT_AUTHORIZED
    assert held.sold(fitting).fee_recipient in fees


def test_fee_schedule_that_has_changed_is_quoted_by_the_market_that_fits() -> None:
    held = Held()
    schedule = bytearray(held.world.data(FEE_CONFIG))
    tier_protocol_at = 69 + 24
    schedule[tier_protocol_at : tier_protocol_at + 8] = (400).to_bytes(8, "little")
    held.rewrite(FEE_CONFIG, (0, bytes(schedule)))
    held.configure()
    assert held.sold(held.market.fitting(held.state)).protocol_bps == 400


def test_settings_and_terms_that_change_together_are_both_fitted() -> None:
    held = Held()
    held.change(NEXT_CREATOR, 100)
    held.rewrite(GLOBAL, (FEE_RECIPIENT_AT, bytes(key(700))), (FEE_RECIPIENTS_AT, bytes(7 * 32)))
    held.world.fund(key(700), 10**7)
    held.configure()
    event = held.sold(held.market.fitting(held.state))
    assert (event.creator, event.creator_bps, event.fee_recipient) == (NEXT_CREATOR, 100, key(700))


def configured(data: Sequence[bytes] | None = None) -> PumpfunTrader:
    trader, born = PumpfunTrader(USER), genesis.derive(1)
    trader.configure(data or [genesis.global_data(born), genesis.fee_config_data(born)])
    return trader


def written(data: bytes, *changes: tuple[int, bytes]) -> bytes:
    made = bytearray(data)
    for at, some in changes:
        made[at : at + len(some)] = some
    return bytes(made)


def test_market_is_the_same_object_while_only_the_reserves_change() -> None:
    market = configured().market(pump_pool())
    assert market.fitting(STATE) is market
    changed = msgspec.structs.replace(STATE, reserves=moved(LAUNCH, 10**9), is_complete=True)
    assert market.fitting(changed) is market
    assert market.fitting(msgspec.structs.replace(STATE, terms=None)) is market


def test_state_that_was_not_read_takes_nothing_back() -> None:
    terms = PoolTerms(creator=NEXT_CREATOR, creator_fee_bps=7)
    fitting = configured().market(pump_pool()).fitting(msgspec.structs.replace(STATE, terms=terms))
    assert fitting.topped_up == (creator_vault_address(NEXT_CREATOR),)
    assert fitting.fitting(msgspec.structs.replace(STATE, terms=None)) is fitting


def test_same_settings_once_more_leave_a_market_as_it_is() -> None:
    born, trader = genesis.derive(1), configured()
    market = trader.market(pump_pool())
    trader.configure([genesis.global_data(born), genesis.fee_config_data(born)])
    assert market.fitting(STATE) is market


def test_global_that_names_no_receiver_is_malformed_and_changes_nothing() -> None:
    born, trader = genesis.derive(1), configured()
    market, fees = trader.market(pump_pool()), genesis.fee_config_data(born)
    for empty in (
        [(FEE_RECIPIENT_AT, bytes(32)), (FEE_RECIPIENTS_AT, bytes(7 * 32))],
        [(BUYBACKS_AT, bytes(8 * 32))],
    ):
        with pytest.raises(MalformedError, match="no receiver"):
            trader.configure([written(genesis.global_data(born), *empty), fees])
    assert market.fitting(STATE) is market


def test_mayhem_coin_takes_its_own_receivers_and_keeps_them_where_none_are_named_any_more() -> None:
    born, trader = genesis.derive(1), configured()
    market = trader.market(pump_pool(is_mayhem=True))

    def receiver(of: PumpfunMarket) -> Pubkey:
        return of.sell(TokenAmount(1), Lamports(0), closes_account=False)[0].accounts[1].pubkey

    def fitted(*reserved: Pubkey) -> PumpfunMarket:
        keys = b"".join(map(bytes, reserved)).ljust(8 * 32, b"\0")
        data = written(genesis.global_data(born), (RESERVED_AT, keys[:32]), (RESERVED_MORE_AT, keys[32:]))
        trader.configure([data, genesis.fee_config_data(born)])
        return market.fitting(STATE)

    assert receiver(market) in born.reserved_fee_recipients
    assert receiver(fitted(key(700))) == key(700)
    assert receiver(fitted()) == receiver(market)


# ---- the state ----


@pytest.mark.parametrize("creator", [CREATOR, NOBODY])
def test_state_carries_what_the_curve_says_of_its_terms(creator: Pubkey) -> None:
    reserves = Reserves(virtual_token=4, virtual_quote=3, real_token=2, real_quote=1)
    coin = Coin(mint=MINT, creator=creator, reserves=reserves, creator_fee_bps=250, is_complete=True)
    assert configured().market(pump_pool()).decode_state(curve_data(coin)) == PoolState(
        reserves=reserves,
        is_complete=True,
        terms=PoolTerms(creator=None if creator == NOBODY else creator, creator_fee_bps=250),
    )


def test_curve_of_2024_has_neither_creator_nor_rate() -> None:
    data = curve_data(Coin(mint=MINT, creator=CREATOR))[:CREATOR_AT]
    state = configured().market(pump_pool()).decode_state(data)
    assert state.terms == PoolTerms(creator=None, creator_fee_bps=0)
