"""FILTERS, PRIVACY, WALLET_ROTATION, FEE_OPTIMIZATION: decisions that ask nobody, by machines as full as after hours.

They are synchronous in the sniper, and so they are here: one call is one sample, on pools of real creations where the
decision is about a pool.
"""

import itertools
from collections.abc import AsyncIterator
from random import Random
from typing import Final

from solders.pubkey import Pubkey

from slotzero.clock import SystemClock, as_ms
from slotzero.config import Settings
from slotzero.perf.workload import Workload, workload
from slotzero.trading.fee_policy import Expectation, FeeChoice, FeePolicy, FeeRequest, FeeRules, TipFloor
from slotzero.trading.filters import Filters
from slotzero.trading.privacy import Privacy, PrivacyRules
from slotzero.trading.wallets import Reservation, WalletBook, WalletCaps
from slotzero.units import ComputeUnits, Lamports, MonoNs
from slotzero.workloads.components.world import DEFAULT_SEED, DEFAULT_SLOTS, open_stage

__all__ = ["fee_optimization", "filters", "privacy", "wallet_rotation"]

_SOL: Final = 10**9
_POOLS: Final = 64
_WALLETS: Final = 16
_BUYS_BEFORE: Final = 500
"""Buys each wallet has made within the hour before the first sample."""
_HOUR_ENTRIES: Final = 20_000
_LANDED_PRICES: Final = 4_096
_BUY: Final = Lamports(100_000_000)
_ENTRY_JITTER_MS: Final = 20


@workload
async def filters(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Decide about pools of real creations by the default filters and deny lists of a thousand entries."""
    async with open_stage(slot_ms, seed) as stage:
        pools = []
        for _ in range(_POOLS):
            await stage.world.refresh()
            pools.append(await stage.launched(stage.world.coin(creator_buys=_BUY)))
    section = Settings().filters
    rng = Random(seed)  # noqa: S311 a workload is repeated
    deny = type(section)(
        deny_creators=tuple(str(_key(rng)) for _ in range(1_000)),
        deny_symbols=tuple(f"SYM{number}" for number in range(1_000)),
    )
    decide, turn = Filters(deny).decide, itertools.cycle(pools)

    def run() -> object:
        return decide(next(turn))

    yield Workload(run=run, check=lambda refusal: None if refusal is None else "refused")


@workload
async def privacy(seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Vary an entry: delay, size, fees, and the wallet out of 16."""
    rng = Random(seed)  # noqa: S311 a workload is repeated
    machine = Privacy(PrivacyRules(entry_jitter_ms=_ENTRY_JITTER_MS), rng)
    wallets = [_key(rng) for _ in range(_WALLETS)]

    def run() -> object:
        return machine.plan("entry", _BUY, wallets)

    def report() -> tuple[str, ...]:
        cost = next(cost for cost in machine.costs() if cost.purpose == "entry")
        mean, longest = as_ms(cost.total_ns) / max(cost.count, 1), as_ms(cost.longest_ns)
        told = f"{mean:.1f} ms in the mean, {longest:.1f} ms at most"
        return (
            f"the delays chosen (up to {_ENTRY_JITTER_MS} ms here, 0 by default) are no part of the latency: {told}",
        )

    yield Workload(run=run, report=report)


@workload
async def wallet_rotation(seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Choose and reserve one of 16 wallets that have bought for an hour, under every cap there is."""
    rng = Random(seed)  # noqa: S311 a workload is repeated
    clock = SystemClock()
    caps = WalletCaps(
        max_spend_per_hour_lamports=Lamports(1_000 * _SOL),
        max_spend_per_day_lamports=Lamports(10_000 * _SOL),
        max_open_positions=50,
        max_at_risk_lamports=Lamports(100 * _SOL),
    )
    book = WalletBook("least_used", caps)
    now = clock.mono_ns()
    for _ in range(_WALLETS):
        wallet = _key(rng)
        book.add(wallet, balance=Lamports(1_000 * _SOL), kept=Lamports(10**7))
        for _ in range(_BUYS_BEFORE):
            book.recall(wallet, spent=_BUY, at=now)
    chosen: list[Reservation] = []

    def run() -> object:
        return book.choose(_BUY, clock.mono_ns())

    def check(found: object) -> str | None:
        if not isinstance(found, Reservation):
            return "refused"
        chosen.append(found)
        return None

    def teardown() -> None:
        while chosen:
            book.release(chosen.pop())

    yield Workload(run=run, check=check, teardown=teardown)


@workload
async def fee_optimization(seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Choose limit, price and tip of an entry on four hot accounts, each with a full window of prices, and weigh it."""
    rng = Random(seed)  # noqa: S311 a workload is repeated
    clock = SystemClock()
    policy = FeePolicy(FeeRules(max_hour_lamports=Lamports(10_000 * _SOL)), {("pumpfun", "first_buy"): _units(160_000)})
    accounts = tuple(_key(rng) for _ in range(4))
    for index in range(_LANDED_PRICES):
        policy.market.on_landed(accounts[index % 4], index // 50, int(rng.lognormvariate(11.5, 1)))
        policy.units.observe(("pumpfun", "first_buy"), int(rng.gauss(95_000, 4_000)))
        policy.on_outcome(rng.choice(("landed", "landed", "failed", "expired")))
    policy.market.on_floors((slot, 500) for slot in range(150))
    now = clock.mono_ns()
    tips = [Lamports(lamports) for lamports in (5_000, 20_000, 60_000, 400_000, 2_000_000)]
    policy.on_tip_floor(TipFloor(at=now, p25=tips[0], p50=tips[1], p75=tips[2], p95=tips[3], p99=tips[4]))
    for index in range(_HOUR_ENTRIES):
        policy.charge(1_000, MonoNs(now + index))
    requests = itertools.cycle(
        FeeRequest(
            venue="pumpfun",
            kind="first_buy",
            purpose="entry",
            hot_accounts=accounts,
            stake_lamports=Lamports(_BUY + index),
            takes_tip=True,
            min_tip_lamports=Lamports(1_000),
            expectation=Expectation(
                gain_lamports=Lamports(25_000_000), chance_bps=3_000, exit_fee_lamports=Lamports(20_000)
            ),
        )
        for index in range(_POOLS)
    )

    def run() -> object:
        return policy.choose(next(requests), clock.mono_ns())

    yield Workload(run=run, check=lambda found: None if isinstance(found, FeeChoice) else "refused")


def _key(rng: Random) -> Pubkey:
    return Pubkey.from_bytes(rng.randbytes(32))


def _units(number: int) -> ComputeUnits:
    return ComputeUnits(number)
