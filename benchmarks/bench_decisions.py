"""What the trading decisions take: fees, privacy, exits, rug watch, limits. Own time: no network, no await.

Each machine is warm and as full as after hours of running (price windows at their bound, 20,000 amounts in the hour),
and is asked what the hot path asks. The inputs are synthetic and vary from call to call.

    python benchmarks/bench_decisions.py
"""

import gc
import sys
from collections.abc import Callable
from random import Random

from solders.pubkey import Pubkey

from environment import print_environment, print_row
from slotzero.clock import mono_ns
from slotzero.detection.records import PoolTrade
from slotzero.localnet.chain import Chain, ChainConfig
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.solana.token import AccountState, Mint, TokenAccount
from slotzero.trading.exit_rules import ExitMachine, ExitRules, Rung, Sell, rug_signal
from slotzero.trading.fee_policy import Expectation, FeeChoice, FeePolicy, FeeRequest, FeeRules, TipFloor
from slotzero.trading.journal import IntentLanded, IntentSigned
from slotzero.trading.limits import Limits, LimitsRules, SpendRequest
from slotzero.trading.privacy import Privacy, PrivacyRules
from slotzero.trading.rug_rules import MintObserved, PoolObserved, RugRules, RugWatch, TokenAccountObserved
from slotzero.units import BlockHeight, ComputeUnits, Lamports, LamportsDelta, MonoNs, Slot, TokenAmount, WallNs
from slotzero.venues.market import Market, PoolState
from slotzero.venues.pumpfun.addresses import FEE_CONFIG, GLOBAL
from slotzero.venues.pumpfun.trader import PumpfunTrader
from slotzero.venues.records import NewPool, Reserves

WARM_UP = 500
SAMPLES = 20_000
SOL = 10**9
HELD = TokenAmount(3_000_000_000_000)
LAUNCH = Reserves(
    virtual_token=1_073_000_000_000_000, virtual_quote=30 * SOL, real_token=793_100_000_000_000, real_quote=0
)
rng = Random(7)  # noqa: S311 a benchmark is repeated


def main() -> None:
    """Measure and print."""
    rows = {
        "FEE_OPTIMIZATION: limit, price, tip, caps, value": fee_choice(),
        "PRIVACY: delay, size, fees, wallet of 16": privacy_plan(),
        "exits: state -> valued, all rules, none fires": exit_state(),
        "exits: rug signal -> emergency sell commanded": exit_rug(),
        "rug watch: pool state, no alert": rug_pool(),
        "rug watch: drain -> alert": rug_drain(),
        "rug watch: creator's trade, no alert": rug_trade(),
        "rug watch: our token account, no alert": rug_account(),
        "rug watch: mint, unchanged": rug_mint(),
        "limits: check with 20,000 amounts in the hour": limits_check(),
        "limits: record a signed buy": limits_record(),
        "limits: mark a position": limits_mark(),
    }
    print_environment("decisions (own time, warm, garbage collection off, one call each)")
    for name, samples in rows.items():
        print_row(name, samples)
    sys.stdout.flush()


def timed(call: Callable[[int], object], samples: int = SAMPLES) -> list[int]:
    """Time `call` for each of `samples` numbers, after a warm-up."""
    for number in range(WARM_UP):
        call(number)
    taken: list[int] = []
    gc.collect()
    gc.disable()
    for number in range(WARM_UP, WARM_UP + samples):
        start = mono_ns()
        call(number)
        taken.append(mono_ns() - start)
    gc.enable()
    return taken


def key(number: int) -> Pubkey:
    """Return the same address for the same number."""
    return Pubkey.from_bytes(number.to_bytes(32, "big"))


def fee_choice() -> list[int]:
    """Choose for an entry on four hot accounts, each with a full window of prices."""
    policy = FeePolicy(FeeRules(), {("pumpfun", "first_buy"): ComputeUnits(160_000)})
    accounts = tuple(key(number) for number in range(4))
    for index in range(4_096):
        policy.market.on_landed(accounts[index % 4], index // 50, int(rng.lognormvariate(11.5, 1)))
        policy.units.observe(("pumpfun", "first_buy"), int(rng.gauss(95_000, 4_000)))
        policy.on_outcome(rng.choice(("landed", "landed", "failed", "expired")))
    policy.market.on_floors((slot, 500) for slot in range(150))
    tips = [Lamports(lamports) for lamports in (5_000, 20_000, 60_000, 400_000, 2_000_000)]
    policy.on_tip_floor(TipFloor(at=MonoNs(0), p25=tips[0], p50=tips[1], p75=tips[2], p95=tips[3], p99=tips[4]))
    for index in range(20_000):
        policy.charge(1_000, MonoNs(index))
    requests = [
        FeeRequest(
            venue="pumpfun",
            kind="first_buy",
            purpose="entry",
            hot_accounts=accounts,
            stake_lamports=Lamports(100_000_000 + index),
            takes_tip=True,
            min_tip_lamports=Lamports(1_000),
            expectation=Expectation(
                gain_lamports=Lamports(25_000_000), chance_bps=3_000, exit_fee_lamports=Lamports(20_000)
            ),
        )
        for index in range(64)
    ]

    def call(number: int) -> None:
        assert isinstance(policy.choose(requests[number % 64], MonoNs(20_000 + number)), FeeChoice)

    return timed(call)


def privacy_plan() -> list[int]:
    """Vary an entry."""
    privacy = Privacy(PrivacyRules(entry_jitter_ms=20), rng)
    wallets = [key(number) for number in range(16)]
    return timed(lambda number: privacy.plan("entry", Lamports(100_000_000 + number), wallets))


def market() -> Market:
    """Return a market of the real venue's formulas, with its fee schedule."""
    chain = Chain(ChainConfig(seed=7, slot_ms=0))
    trader = PumpfunTrader(key(1))
    accounts = [chain.account(address) for address in (GLOBAL, FEE_CONFIG)]
    trader.configure([None if account is None else account.data for account in accounts])
    pool = NewPool(
        venue="pumpfun",
        mint=key(9),
        pool=key(10),
        creator=key(2),
        user=key(2),
        name="",
        symbol="",
        uri="",
        token_program=TOKEN_2022_PROGRAM,
        quote_mint=None,
        reserves=LAUNCH,
        token_supply=TokenAmount(10**15),
        creator_bought=TokenAmount(0),
        creator_fee_bps=0,
        is_mayhem=False,
        is_cashback=False,
        is_holder_reward=False,
        signature="",
        slot=Slot(1),
        mono_cause=None,
        mono_frame=MonoNs(0),
        starts_at="frame",
    )
    return trader.market(pool)


def states(count: int = 1_000) -> list[PoolState]:
    """Return states of a curve around 10 SOL."""
    made = []
    for _ in range(count):
        real = 10 * SOL + rng.randrange(-(10**7), 10**7)
        token = LAUNCH.virtual_token * 30 * SOL // (30 * SOL + real)
        reserves = Reserves(
            virtual_token=token,
            virtual_quote=30 * SOL + real,
            real_token=LAUNCH.real_token - (LAUNCH.virtual_token - token),
            real_quote=real,
        )
        made.append(PoolState(reserves=reserves, is_complete=False))
    return made


def position(pricer: Market, quoted: Lamports) -> ExitMachine:
    """Return a position under every rule there is."""
    rules = ExitRules(
        ladder=(Rung(gain_bps=2_500, share_bps=5_000), Rung(gain_bps=10_000, share_bps=5_000)),
        trail_arm_bps=500,
        trail_bps=3_000,
        break_even_at_bps=2_000,
        max_hold_ms=3_600_000,
        decay_from_ms=0,
        decay_to_ms=3_600_000,
        decay_stop_bps=1_500,
    )
    return ExitMachine(pricer, tokens=HELD, quoted_lamports=quoted, opened_at=MonoNs(0), rules=rules)


def exit_state() -> list[int]:
    """Re-value on each state and ask for the next deadline, as the keeper does."""
    pricer, seen = market(), states()
    quote = pricer.quote_sell(seen[0].reserves, HELD)
    assert quote is not None
    machine = position(pricer, quote.net)

    def call(number: int) -> None:
        assert not machine.on_state(seen[number % 1_000], MonoNs(number))
        machine.next_deadline()

    return timed(call)


def exit_rug() -> list[int]:
    """Command an emergency sell, each time on a new position."""
    pricer, seen = market(), states(1)
    made = [position(pricer, Lamports(100_000_000)) for _ in range(WARM_UP + 5_000)]
    watch = watching()
    watch.on_pool(PoolObserved(slot=Slot(2), state=seen[0]))
    empty = PoolState(
        reserves=Reserves(virtual_token=1, virtual_quote=1, real_token=1, real_quote=0), is_complete=False
    )
    alert = watch.on_pool(PoolObserved(slot=Slot(3), state=empty))[0]

    def call(number: int) -> None:
        (sell,) = made[number].on_signal(rug_signal(alert), MonoNs(number))
        assert isinstance(sell, Sell)

    return timed(call, 5_000)


def watching() -> RugWatch:
    """Return a watch with two insiders."""
    return RugWatch(
        RugRules(),
        wallet=key(1),
        creator=key(2),
        insiders={key(3), key(4)},
        mint=MINT,
        tokens=HELD,
        opened_slot=Slot(1),
    )


MINT = Mint(
    token_program=TOKEN_2022_PROGRAM,
    mint_authority=None,
    supply=TokenAmount(10**15),
    decimals=6,
    freeze_authority=None,
    extensions=(),
)


def rug_pool() -> list[int]:
    """Observe states that differ by little, three to a slot."""
    watch, seen = watching(), states()
    observed = [PoolObserved(slot=Slot(2 + n // 3), state=seen[n % 1_000]) for n in range(WARM_UP + SAMPLES)]

    def call(number: int) -> None:
        assert not watch.on_pool(observed[number])

    return timed(call)


def rug_drain() -> list[int]:
    """Observe full and empty in turn and time the empty one."""
    watch, full = watching(), states(1)[0]
    empty = PoolState(
        reserves=Reserves(virtual_token=1, virtual_quote=1, real_token=1, real_quote=0), is_complete=False
    )
    taken: list[int] = []
    for number in range(10_000):
        watch.on_pool(PoolObserved(slot=Slot(100 * number + 1), state=full))
        seen = PoolObserved(slot=Slot(100 * number + 2), state=empty)
        start = mono_ns()
        alerts = watch.on_pool(seen)
        taken.append(mono_ns() - start)
        assert len(alerts) == 3
    return taken[WARM_UP:]


def rug_trade() -> list[int]:
    """Observe small sells of the creator."""
    watch, seen = watching(), states()
    trades = [
        PoolTrade(
            venue="pumpfun",
            mint=key(9),
            user=key(2),
            is_buy=False,
            tokens=TokenAmount(5),
            quote_amount=Lamports(1_000_000),
            reserves=seen[n % 1_000].reserves,
            signature="",
            slot=Slot(2 + n // 3),
            mono_cause=None,
            mono_frame=MonoNs(0),
        )
        for n in range(WARM_UP + SAMPLES)
    ]

    def call(number: int) -> None:
        assert not watch.on_trade(trades[number])

    return timed(call)


def rug_account() -> list[int]:
    """Observe our token account as it should be."""
    watch = watching()
    account = TokenAccount(
        token_program=TOKEN_2022_PROGRAM,
        mint=key(9),
        owner=key(1),
        amount=HELD,
        delegate=None,
        state=AccountState.INITIALIZED,
        native_reserve=None,
        delegated_amount=TokenAmount(0),
        close_authority=None,
        extensions=(),
    )
    observed = [TokenAccountObserved(slot=Slot(2 + n), account=account) for n in range(WARM_UP + SAMPLES)]
    return timed(lambda number: watch.on_token_account(observed[number]))


def rug_mint() -> list[int]:
    """Observe the mint as it was."""
    watch = watching()
    observed = [MintObserved(slot=Slot(2 + n), mint=MINT) for n in range(WARM_UP + SAMPLES)]
    return timed(lambda number: watch.on_mint(observed[number]))


def busy_limits(amounts: int) -> Limits:
    """Return limits that count `amounts` buys of the last hour by 16 wallets."""
    rules = LimitsRules(
        trade_lamports=Lamports(SOL),
        hour_lamports=Lamports(10**15),
        day_lamports=Lamports(10**15),
        wallet_day_lamports=Lamports(10**15),
        open_positions=10**6,
        drawdown_lamports=Lamports(10**15),
    )
    limits = Limits(rules, overhead_lamports=Lamports(4_000_000))
    for number in range(amounts):
        limits.record(signed(number), WallNs(number))
    return limits


def signed(number: int) -> IntentSigned:
    """Return a signed buy."""
    return IntentSigned(
        intent=str(number),
        side="buy",
        signature="",
        raw=b"",
        last_valid_block_height=BlockHeight(1),
        mint=key(9),
        wallet=key(number % 16),
        tokens=HELD,
        quoted_lamports=Lamports(100_000_000),
        limit_lamports=Lamports(100_000_000),
        reason="new_pool",
    )


def limits_check() -> list[int]:
    """Check a buy that is allowed."""
    limits = busy_limits(20_000)
    requests = [SpendRequest(wallet=key(number), lamports=Lamports(100_000_000)) for number in range(16)]

    def call(number: int) -> None:
        assert limits.check(requests[number % 16], WallNs(20_000 + number)) is None

    return timed(call)


def limits_record() -> list[int]:
    """Record signed buys."""
    limits = busy_limits(0)
    events = [signed(number) for number in range(WARM_UP + SAMPLES)]
    return timed(lambda number: limits.record(events[number], WallNs(number)))


def limits_mark() -> list[int]:
    """Mark the value of one position."""
    limits = busy_limits(1)
    landed = IntentLanded(intent="0", slot=Slot(1), lamports_delta=LamportsDelta(-1), tokens_held=HELD)
    limits.record(landed, WallNs(1))
    return timed(lambda number: limits.mark("0", Lamports(number)))


if __name__ == "__main__":
    main()
