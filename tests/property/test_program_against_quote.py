"""The pump program and the Python quote agree on thousands of random trades, to the unit.

Each example is one coin in a random state under a random fee schedule, and 150 trades on it one after the other. For
every trade both say whether it can be made; if so, the program refuses it one unit past its price limit and makes it
at the limit, and everything it moved is compared: event, curve, lamports of all six parties, tokens of both.
"""

import struct
from collections import Counter
from collections.abc import Callable

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from pump_v2 import buy_exact_quote_in_v2, buy_v2, sell_v2
from pump_world import LAUNCH, SUPPLY, Coin, World, events, key
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.venues.pumpfun import (
    FEE_CONFIG,
    FEE_PROGRAM,
    GLOBAL,
    FeeConfig,
    TradeAccounts,
    TradeEvent,
    buy,
    buy_exact_sol_in,
    buyback_share,
    curve_v2_address,
    decode_fee_config,
    decode_global,
    fee_rates,
    fee_recipients,
    quote_buy,
    quote_buy_exact_in,
    quote_sell,
    reserves_after_buy,
    reserves_after_sell,
    sell,
    trade_accounts,
    wallet_accounts,
)
from slotzero.venues.pumpfun.addresses import MAYHEM_PROGRAM
from slotzero.venues.records import BuyQuote, FeeRates, Reserves, SellQuote

EXAMPLES = 125
TRADES = 150
BUYBACK_BPS = 5_000
TRANSACTION_FEE = 5_000
VOLUME_ACCUMULATOR_SIZE = 137
WALLETS = tuple(key(number) for number in (101, 102, 103))
WALLET_LAMPORTS = 10**17
MOST_SPENT = 2**36  # 69 SOL: most of a whole curve
BUILDERS: dict[tuple[str, bool], Callable[[TradeAccounts, int, int], Instruction]] = {
    ("buy", False): buy,
    ("buy", True): buy_v2,
    ("spend", False): buy_exact_sol_in,
    ("spend", True): buy_exact_quote_in_v2,
    ("sell", False): sell,
    ("sell", True): sell_v2,
}
REFUSALS = {"buy": (6021, 6024), "spend": (6020,), "sell": (6003, 6023, 6024)}
"""What the program answers where the quote says that a trade cannot be made."""
MINT = key(201)
CREATOR = key(202)

# A buy or a sell of so many units, by a wallet, through one of the two instruction shapes.
_amounts = st.tuples(st.integers(0, 49), st.integers(0, 2**49 - 1)).map(
    lambda drawn: (1 << drawn[0]) + (drawn[1] >> (49 - drawn[0]))
)
_moves = st.tuples(st.sampled_from(("buy", "spend", "sell", "sell all")), st.booleans(), st.integers(0, 2), _amounts)
_bps = st.integers(0, 500)
_rows = st.tuples(_bps, _bps)


class Trade(Struct, frozen=True, kw_only=True):
    """One trade both sides have to agree on.

    Attributes:
        code_past_limit: What the program answers one unit past the price limit.
    """

    side: str
    accounts: TradeAccounts
    amount: int
    limit: int
    past_limit: int
    is_v2: bool
    quote: BuyQuote | SellQuote | None
    code_past_limit: int

    def at(self, limit: int) -> Instruction:
        """The instruction with a price limit."""
        build = BUILDERS[self.side, self.is_v2]
        return build(self.accounts, self.amount, limit)


def fee_config_account(flat: tuple[int, int], tiers: list[tuple[int, tuple[int, int]]]) -> bytes:
    """A FeeConfig with these tiers for SOL."""

    def fees(row: tuple[int, int]) -> bytes:
        return struct.pack("<3Q", 0, *row)

    rows = b"".join(threshold.to_bytes(16, "little") + fees(row) for threshold, row in tiers)
    head = bytes.fromhex("8f3492bbdb7b4c9b") + b"\xfd" + bytes(32) + fees(flat)
    return head + struct.pack("<I", len(tiers)) + rows + struct.pack("<I", 0) + fees(flat)


@st.composite
def fee_configs(draw: st.DrawFn) -> bytes:
    thresholds = draw(st.lists(st.integers(1, 10**12), max_size=4, unique=True).map(sorted))
    tiers = [(threshold, draw(_rows)) for threshold in (0, *thresholds)]
    return fee_config_account(draw(_rows), tiers)


@st.composite
def reserves(draw: st.DrawFn) -> Reserves:
    """Mostly what a coin is launched with and some trades later; sometimes anything a curve could hold."""
    if draw(st.booleans()):
        return LAUNCH
    real_token = draw(st.integers(1, 793_100_000_000_000))
    real_quote = draw(st.integers(0, 10**12))
    return Reserves(
        virtual_token=real_token + draw(st.integers(1, 279_900_000_000_000)),
        virtual_quote=real_quote + draw(st.integers(1, 30_000_000_000)),
        real_token=real_token,
        real_quote=real_quote,
    )


@st.composite
def coins(draw: st.DrawFn) -> Coin:
    kind = draw(st.sampled_from(("ordinary", "ordinary", "classic token", "mayhem", "cashback", "own rate")))
    return Coin(
        mint=MINT,
        creator=CREATOR,
        reserves=draw(reserves()),
        token_program=TOKEN_PROGRAM if kind == "classic token" else TOKEN_2022_PROGRAM,
        is_mayhem=kind == "mayhem",
        is_cashback=kind == "cashback",
        creator_fee_bps=draw(st.integers(1, 300)) if kind == "own rate" else 0,
    )


def accounts_of(world: World, coin: Coin, wallet: Pubkey, choice: int) -> TradeAccounts:
    fee_recipient, buyback_recipient = fee_recipients(
        decode_global(world.data(GLOBAL)), is_mayhem=coin.is_mayhem, choice=choice
    )
    return trade_accounts(
        wallet_accounts(wallet),
        mint=coin.mint,
        creator=coin.creator,
        fee_recipient=fee_recipient,
        buyback_recipient=buyback_recipient,
        token_program=coin.token_program,
        is_cashback=coin.is_cashback,
    )


def planned(
    move: tuple[str, bool, int, int], accounts: TradeAccounts, state: Reserves, rates: FeeRates, held: int
) -> Trade:
    """Ask the quote about one move."""
    side, is_v2, _wallet, amount = move
    available = {"buy": state.real_token, "spend": MOST_SPENT, "sell": held, "sell all": held}[side]
    if side == "sell all":
        side, amount = "sell", max(held, 1)
    if amount > available > 0 and amount % 16:  # one in sixteen stays out of reach
        amount = amount % available + 1
    quote: BuyQuote | SellQuote | None
    match side:
        case "buy":
            quote = quote_buy(state, amount, rates)
            limit, past_limit, code = (quote.total if quote else 2**63), -1, 6002
        case "spend":
            quote = quote_buy_exact_in(state, amount, rates)
            limit, past_limit, code = (quote.tokens if quote else 0), 1, 6042
        case _:
            quote = quote_sell(state, amount, rates) if amount <= held else None
            limit, past_limit, code = (quote.net if quote else 0), 1, 6003
    return Trade(
        side=side,
        accounts=accounts,
        amount=amount,
        limit=limit,
        past_limit=limit + past_limit,
        is_v2=is_v2,
        quote=quote,
        code_past_limit=code,
    )


def expected_lamports(world: World, coin: Coin, trade: Trade, share: int, before: dict[Pubkey, int]) -> Counter[Pubkey]:
    """What a trade moves, by account. Recipients may be the same account, so changes add up."""
    accounts, quote = trade.accounts, trade.quote
    moved: Counter[Pubkey] = Counter()
    assert quote is not None
    creator_fee_to = accounts.volume_accumulator if coin.is_cashback else accounts.creator_vault
    moved[accounts.user] -= TRANSACTION_FEE
    moved[creator_fee_to] += quote.creator_fee
    moved[accounts.fee_recipient] += quote.protocol_fee - share
    moved[accounts.buyback_recipient] += share
    match quote:
        case BuyQuote():
            top_up = (
                0 if coin.is_cashback else max(0, world.svm.rent_exempt_minimum(0) - before[accounts.creator_vault])
            )
            is_first = before[accounts.volume_accumulator] == 0
            volume_rent = world.svm.rent_exempt_minimum(VOLUME_ACCUMULATOR_SIZE) if is_first else 0
            moved[accounts.user] -= quote.total + top_up + volume_rent
            moved[accounts.curve] += quote.cost
            moved[accounts.creator_vault] += top_up
            moved[accounts.volume_accumulator] += volume_rent
        case SellQuote():
            moved[accounts.user] += quote.net
            moved[accounts.curve] -= quote.out
    return moved


def check_event(event: TradeEvent, coin: Coin, trade: Trade, rates: FeeRates, after: Reserves, share: int) -> None:
    quote = trade.quote
    assert quote is not None
    amount = quote.cost if isinstance(quote, BuyQuote) else quote.out
    assert (event.is_buy, event.tokens, event.quote_amount) == (trade.side != "sell", quote.tokens, amount)
    assert event.reserves == after
    assert (event.protocol_bps, event.protocol_fee) == (rates.protocol_bps, quote.protocol_fee)
    creator, cashback = (event.creator_bps, event.creator_fee), (event.cashback_bps, event.cashback)
    charged = (rates.creator_bps, quote.creator_fee)
    assert (creator, cashback) == (((0, 0), charged) if coin.is_cashback else (charged, (0, 0)))
    assert (event.buyback_bps, event.buyback_fee) == (0 if coin.is_mayhem else BUYBACK_BPS, share)
    assert (event.mint, event.user, event.creator) == (coin.mint, trade.accounts.user, coin.creator)
    assert event.fee_recipient == trade.accounts.fee_recipient


def trade_once(world: World, coin: Coin, config: FeeConfig, move: tuple[str, bool, int, int], choice: int) -> str:
    """Let both sides make one trade and compare them; return what became of it."""
    accounts = accounts_of(world, coin, WALLETS[move[2]], choice)
    if coin.is_mayhem and choice % 2 and not move[1]:
        # The other derivation that occurs on mayhem coins.
        accounts = msgspec.structs.replace(accounts, curve_v2=curve_v2_address(coin.mint, MAYHEM_PROGRAM))
    state = world.curve(coin.mint).reserves
    rates = fee_rates(config, state, 10**15, creator_fee_bps=coin.creator_fee_bps)
    held = world.tokens(accounts.user_tokens)
    trade = planned(move, accounts, state, rates, held)
    quote = trade.quote
    if world.curve(coin.mint).is_complete:
        assert world.attempt(accounts.user, trade.at(trade.limit)) == 6005
        return "complete"
    if quote is None:
        assert world.attempt(accounts.user, trade.at(trade.limit)) in REFUSALS[trade.side]
        return "refused"
    creates_volume = world.lamports(accounts.volume_accumulator) == 0
    if coin.is_cashback and trade.side == "sell" and creates_volume:
        assert world.attempt(accounts.user, trade.at(trade.limit)) == 6073  # nothing to hold the cashback yet
        return "refused"
    vault = world.lamports(accounts.creator_vault)
    if (
        trade.side == "sell"
        and not coin.is_cashback
        and 0 < vault + quote.creator_fee < world.svm.rent_exempt_minimum(0)
    ):
        # A small fee into an empty vault: the runtime's rule, after everything else went well.
        err = world.attempt(accounts.user, trade.at(trade.limit))
        assert isinstance(err, dict)
        assert "InsufficientFundsForRent" in err
        return "refused"
    assert world.attempt(accounts.user, trade.at(trade.past_limit)) == trade.code_past_limit

    share = buyback_share(quote.protocol_fee, BUYBACK_BPS, is_mayhem=coin.is_mayhem)
    parties = {
        accounts.user, accounts.curve, accounts.creator_vault, accounts.fee_recipient,
        accounts.buyback_recipient, accounts.volume_accumulator,
    }  # fmt: skip
    before = {party: world.lamports(party) for party in parties}
    curve_held = world.tokens(accounts.curve_tokens)
    event = events(world.run(accounts.user, trade.at(trade.limit)))[0]

    if isinstance(quote, BuyQuote):
        after, gained = reserves_after_buy(state, quote.tokens, quote.cost), +quote.tokens
    else:
        after, gained = reserves_after_sell(state, quote.tokens, quote.out), -quote.tokens
    assert isinstance(event, TradeEvent)
    check_event(event, coin, trade, rates, after, share)
    assert world.curve(coin.mint).reserves == after
    assert world.tokens(accounts.user_tokens) == held + gained
    assert world.tokens(accounts.curve_tokens) == curve_held - gained
    moved = expected_lamports(world, coin, trade, share, before)
    assert {party: world.lamports(party) - before[party] for party in parties} == {p: moved[p] for p in parties}
    return trade.side + (" v2" if trade.is_v2 else "")


def test_program_and_quote_agree_over_ten_thousand_random_trades() -> None:
    made: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(
        coin=coins(),
        config=fee_configs(),
        moves=st.lists(_moves, min_size=TRADES, max_size=TRADES),
        choice=st.integers(0, 99),
    )
    def agree(coin: Coin, config: bytes, moves: list[tuple[str, bool, int, int]], choice: int) -> None:
        world = World()
        world.put(FEE_CONFIG, config, FEE_PROGRAM)
        holding = (SUPPLY - coin.reserves.real_token) // 4
        world.place(coin, dict.fromkeys(WALLETS, holding))
        for wallet in WALLETS:
            world.fund(wallet, WALLET_LAMPORTS)
        for number, move in enumerate(moves):
            outcome = trade_once(world, coin, decode_fee_config(config), move, choice + number)
            if outcome == "complete":
                world.place(coin, dict.fromkeys(WALLETS, holding))
            made[outcome] += 1

    agree()
    landed = sum(count for outcome, count in made.items() if outcome not in ("refused", "complete"))
    assert landed >= 10_000, made
    assert all(made[f"{side}{shape}"] > 500 for side in ("buy", "spend", "sell") for shape in ("", " v2")), made
