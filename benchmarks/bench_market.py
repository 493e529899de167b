"""What the market and safety parts take on the embedded chain: prices, metadata, verdicts; cold and warm.

* **frame -> price published** (component PRICE_FEED): from the instant the frame of a pool's account was read to the
  first line of a subscriber. Real frames of a lively chain, through a real connection; own time, nothing is waited for.
* **metadata** (METADATA): *cold* = the mint's and the Metaplex account in one call, decoded; *warm* = out of the cache.
* **verdict** (HONEYPOT): *cold* = every layer named, the simulation included; *warm* = out of the cache. Cold includes
  the chain's own work (about half of it) and loopback; the chain is a process of its own on the same cores.

    python benchmarks/bench_market.py
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Iterable
from typing import Final

import uvloop
from solders.pubkey import Pubkey

from environment import print_environment, print_row
from slotzero.clock import SystemClock, elapsed_ns, mono_ns
from slotzero.config import Settings
from slotzero.detection.detector import Detector
from slotzero.localnet.process import running_localnet
from slotzero.market.metadata import MetadataStore
from slotzero.market.price_board import Price
from slotzero.market.price_feed import PriceFeed
from slotzero.safety import (
    LAYER_NAMES,
    SNIPE_LAYERS,
    HoneypotChecker,
    LayerName,
    RoundTripProbe,
    RpcReader,
    VerdictCache,
    build_layers,
)
from slotzero.solana.pubsub import FrameHandler, PubSub
from slotzero.solana.rpc import RpcClient
from slotzero.trading.filters import Refusal
from slotzero.trading.plan import plan_buy
from slotzero.trading.probe import RentFacts, round_trip_probe
from slotzero.units import LAMPORTS_PER_SOL, Lamports, MonoNs
from slotzero.venues.market import Trader
from slotzero.venues.records import NewPool
from slotzero.venues.registry import PUMPFUN

WARM_UP: Final = 100
PRICES: Final = 3_000
COLD: Final = 600
WARM: Final = 20_000
COINS: Final = 10
PAYER: Final = Pubkey.from_bytes(bytes([7]) * 32)


async def main() -> None:
    """Measure and print."""
    prices = await measure_prices()
    async with (
        running_localnet(slot_ms=200, seed=7, arguments=("--launches-per-s", "10")) as chain,
        RpcClient(chain.rpc) as rpc,
        asyncio.TaskGroup() as group,
    ):
        pubsub = PubSub(chain.ws, clock=SystemClock())
        service = group.create_task(pubsub.run())
        pools = await first_pools(pubsub)
        service.cancel()
        rows = await measure_metadata(rpc, group, pools) + await measure_verdicts(rpc, group, pools)

    print_environment("market and safety parts on the embedded chain (200 ms slots, chain in a process of its own)")
    print_row("frame -> price published (own)", prices)
    for name, samples in rows:
        print_row(name, samples)
    sys.stdout.flush()


async def measure_prices() -> list[int]:
    """Follow every coin of a lively chain and time each price."""
    samples: list[int] = []
    enough = asyncio.Event()

    def on_price(price: Price) -> None:
        now = mono_ns()
        if price.slot > created.get(price.pool, price.slot):  # not the creation's own
            samples.append(elapsed_ns(price.mono, now))
            if len(samples) >= WARM_UP + PRICES:
                enough.set()

    created: dict[Pubkey, int] = {}
    arguments = ("--launches-per-s", "40", "--trap-percent", "0")
    async with (
        running_localnet(slot_ms=200, seed=11, arguments=arguments) as chain,
        RpcClient(chain.rpc) as rpc,
        asyncio.TaskGroup() as group,
    ):
        clock = SystemClock()
        pubsub = PubSub(chain.ws, clock=clock)
        trader, detector = await configured(rpc), Detector([PUMPFUN])
        feed = PriceFeed(pubsub, clock=clock)
        feed.listen(on_price)
        everything = feed.subscribe()

        def on_frame(frame: bytes, now: MonoNs) -> None:
            for pool in detector.on_frame(frame, now):
                created[pool.pool] = pool.slot
                feed.follow(trader.market(pool))

        subscribe_to_coins(pubsub, on_frame)
        gc.freeze()
        service = group.create_task(pubsub.run())
        async with asyncio.timeout(120):
            await enough.wait()
        service.cancel()
        assert everything.stats().conflated
    return samples[WARM_UP:]


def subscribe_to_coins(pubsub: PubSub, on_frame: FrameHandler) -> None:
    """Listen to the venue's creations."""
    mentions = {"mentions": [str(PUMPFUN.program)]}
    pubsub.subscribe("logsSubscribe", [mentions, {"commitment": "processed"}], on_frame)


async def first_pools(pubsub: PubSub) -> list[NewPool]:
    """Wait for the first coins."""
    found: list[NewPool] = []
    enough, detector = asyncio.Event(), Detector([PUMPFUN])

    def on_frame(frame: bytes, now: MonoNs) -> None:
        found.extend(detector.on_frame(frame, now))
        if len(found) >= COINS:
            enough.set()

    subscribe_to_coins(pubsub, on_frame)
    async with asyncio.timeout(60):
        await enough.wait()
    return found[:COINS]


async def configured(rpc: RpcClient) -> Trader:
    """Return the venue's trader, configured from the chain."""
    trader = PUMPFUN.trader(PAYER)
    accounts = await rpc.get_multiple_accounts(trader.config_accounts, "processed")
    trader.configure([None if account is None else account.data for account in accounts])
    return trader


async def measure_metadata(
    rpc: RpcClient, group: asyncio.TaskGroup, pools: list[NewPool]
) -> list[tuple[str, list[int]]]:
    """Read the coins' metadata again and again."""
    store = MetadataStore(rpc.get_multiple_accounts, clock=SystemClock(), tasks=group)
    cold: list[int] = []
    for index in range(WARM_UP + COLD):
        store.clear()
        start = mono_ns()
        assert await store.get(pools[index % COINS].mint) is not None
        cold.append(mono_ns() - start)
    for pool in pools:
        await store.get(pool.mint)
    warm = timed(lambda index: store.peek(pools[index % COINS].mint))
    return [("metadata cold (1 RPC call)", cold[WARM_UP:]), ("metadata warm", warm)]


async def measure_verdicts(
    rpc: RpcClient, group: asyncio.TaskGroup, pools: list[NewPool]
) -> list[tuple[str, list[int]]]:
    """Judge the coins again and again."""
    trader, rent = await configured(rpc), await rent_of(rpc)
    await rpc.request_airdrop(PAYER, Lamports(100 * LAMPORTS_PER_SOL))
    probes = [probe_of(trader, pool, rent) for pool in pools]
    rows: list[tuple[str, list[int]]] = []
    for name, layers, calls in (
        ("verdict cold, a snipe's layers", SNIPE_LAYERS, 2),
        ("verdict cold, every layer", LAYER_NAMES, 5),
    ):
        samples, made = await cold_verdicts(rpc, layers, pools, probes)
        assert made == calls, made
        rows.append((f"{name} ({calls} RPC calls)", samples))
    cache = VerdictCache(checker_of(rpc, SNIPE_LAYERS), tasks=group, clock=SystemClock(), max_unguarded_age_ms=600_000)
    verdicts = [await cache.check(pool, probe) for pool, probe in zip(pools, probes, strict=True)]
    await asyncio.sleep(0)
    known = [index for index, verdict in enumerate(verdicts) if verdict.decision != "UNSURE"]

    def lookup(index: int) -> object:
        at = known[index % len(known)]
        return cache.lookup(pools[at].mint, probes[at].quoted_total)

    assert lookup(0) is not None
    rows.append(("verdict warm", timed(lookup)))
    return rows


async def cold_verdicts(
    rpc: RpcClient, layers: Iterable[LayerName], pools: list[NewPool], probes: list[RoundTripProbe]
) -> tuple[list[int], int]:
    """Return what each check took, and how many RPC calls one makes."""
    checker, samples = checker_of(rpc, layers), []
    before = sum(rpc.calls.values())
    for index in range(WARM_UP + COLD):
        start = mono_ns()
        await checker.check(pools[index % COINS], probes[index % COINS])
        samples.append(mono_ns() - start)
    return samples[WARM_UP:], (sum(rpc.calls.values()) - before) // (WARM_UP + COLD)


def checker_of(rpc: RpcClient, layers: Iterable[LayerName]) -> HoneypotChecker:
    """Return a checker with these layers."""
    return HoneypotChecker(RpcReader(rpc), build_layers(layers, max_round_trip_loss_bps=600), budget_ms=5_000)


def probe_of(trader: Trader, pool: NewPool, rent: RentFacts) -> RoundTripProbe:
    """Return the round trip of a default buy."""
    market = trader.market(pool)
    plan = plan_buy(market, pool.reserves, Settings().trade)
    assert not isinstance(plan, Refusal)
    return round_trip_probe(market, PAYER, plan, rent=rent)


async def rent_of(rpc: RpcClient) -> RentFacts:
    """Return what the chain asks for new accounts."""
    empty, first = await rpc.get_minimum_balance(0), await rpc.get_minimum_balance(400)
    return RentFacts(empty_account_lamports=empty, first_trade_lamports=first)


def timed(look: Callable[[int], object]) -> list[int]:
    """Time single calls; the clock's own 50 ns are in each."""
    samples = []
    for index in range(WARM):
        start = mono_ns()
        look(index)
        samples.append(mono_ns() - start)
    return samples


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
