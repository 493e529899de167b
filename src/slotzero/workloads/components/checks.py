"""HONEYPOT and METADATA: what reads accounts of the chain. Cold: each sample asks about a coin of its own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from slotzero.clock import as_ms, elapsed_ns, mono_ns
from slotzero.config import Settings
from slotzero.market.metadata import MetadataStore
from slotzero.perf.stats import nearest_rank
from slotzero.perf.workload import Workload, workload
from slotzero.safety import (
    LAYER_NAMES,
    SNIPE_LAYERS,
    CheckPolicy,
    HoneypotChecker,
    RoundTripProbe,
    RpcReader,
    Verdict,
    VerdictCache,
    build_layers,
)
from slotzero.solana.rpc import Rpc
from slotzero.trading.filters import Refusal
from slotzero.trading.plan import plan_buy
from slotzero.trading.probe import RentFacts, round_trip_probe
from slotzero.units import Lamports
from slotzero.venues.market import Trader
from slotzero.venues.records import NewPool
from slotzero.workloads.components.world import DEFAULT_SEED, DEFAULT_SLOTS, Stage, open_stage
from slotzero.workloads.targets import WARM_VERDICT_MS

__all__ = ["deep_checker", "honeypot", "metadata"]

_BUY: Final = Lamports(100_000_000)
_BUDGET_MS: Final = 5_000
_WARM_LOOKS: Final = 1_000
_LONG_MS: Final = 600_000


@workload
async def honeypot(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Judge a new coin by every layer, the simulated round trip included."""
    async with open_stage(slot_ms, seed) as stage:
        world = stage.world
        trader, rent = await world.configured(world.rival.pubkey), await world.rent()
        checker = deep_checker(world.rpc, Settings())
        judged: list[tuple[NewPool, RoundTripProbe]] = []

        async def setup() -> None:
            judged[:] = [await _probed(stage, trader, rent)]

        async def run() -> Verdict:
            pool, probe = judged[0]
            return await checker.check(pool, probe)

        def check(verdict: object) -> str | None:
            assert isinstance(verdict, Verdict)
            return None if verdict.decision == "ALLOW" else f"{verdict.decision}: {', '.join(verdict.reasons)}"

        warm = await _warm_note(stage, checker, await _probed(stage, trader, rent))
        yield Workload(run=run, setup=setup, check=check, notes=(warm,))


def deep_checker(rpc: Rpc, settings: Settings) -> HoneypotChecker:
    """Return a checker of all layers; of those a snipe does not wait for only what they find counts."""
    advisory = [name for name in LAYER_NAMES if name not in SNIPE_LAYERS]
    return HoneypotChecker(
        RpcReader(rpc),
        build_layers(LAYER_NAMES, max_round_trip_loss_bps=settings.safety.max_round_trip_loss_bps),
        budget_ms=_BUDGET_MS,
        policy=CheckPolicy(roles=dict.fromkeys(advisory, "advisory")),
    )


async def _probed(stage: Stage, trader: Trader, rent: RentFacts) -> tuple[NewPool, RoundTripProbe]:
    await stage.world.refresh()
    pool = await stage.launched(stage.world.coin(creator_buys=_BUY))
    market = trader.market(pool)
    plan = plan_buy(market, pool.reserves, Settings().trade)
    assert not isinstance(plan, Refusal)
    return pool, round_trip_probe(market, stage.world.rival.pubkey, plan, rent=rent)


async def _warm_note(stage: Stage, checker: HoneypotChecker, probed: tuple[NewPool, RoundTripProbe]) -> str:
    """Measure the same verdict out of the cache: it has an aim of its own, and no place in the cold distribution."""
    pool, probe = probed
    cache = VerdictCache(checker, tasks=stage.group, clock=stage.world.clock, max_unguarded_age_ms=_LONG_MS)
    await cache.check(pool, probe)
    await asyncio.sleep(0)
    taken: list[int] = []
    for _ in range(_WARM_LOOKS):
        start = mono_ns()
        found = cache.lookup(pool.mint, probe.quoted_total)
        taken.append(elapsed_ns(start, mono_ns()))
        assert found is not None
    p95 = as_ms(int(nearest_rank(sorted(taken), 95)))
    aim = 1_000 * WARM_VERDICT_MS
    told = f"p95 {1_000 * p95:.1f} us of {_WARM_LOOKS} look-ups, the aim is {aim:.0f} us"
    return f"the same verdict out of the cache: {told}"


@workload
async def metadata(slot_ms: str = DEFAULT_SLOTS, seed: str = DEFAULT_SEED) -> AsyncIterator[Workload]:
    """Read what a new coin says of itself: one call for both accounts, decoded."""
    async with open_stage(slot_ms, seed) as stage:
        world = stage.world
        store = MetadataStore(world.rpc.get_multiple_accounts, clock=world.clock, tasks=stage.group)
        pools: list[NewPool] = []

        async def setup() -> None:
            await world.refresh()
            pools[:] = [await stage.launched(world.coin())]

        async def run() -> object:
            return await store.get(pools[0].mint)

        def check(profile: object) -> str | None:
            return None if profile is not None and getattr(profile, "name", "") == pools[0].name else "wrong_profile"

        yield Workload(run=run, setup=setup, check=check)
