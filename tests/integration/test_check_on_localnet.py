"""`slotzero check`, metadata, prices and the verdict cache on a real embedded chain with a launcher."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from functools import partial

import msgspec
import pytest
import pytest_asyncio
from solders.pubkey import Pubkey

from market_lab import curve_bytes, metaplex_bytes, mint_bytes
from slotzero.clock import SystemClock
from slotzero.config import Settings
from slotzero.errors import SlotzeroError, UsageError
from slotzero.localnet.endpoints import LocalnetEndpoints
from slotzero.localnet.launcher.actors import mint_signer
from slotzero.localnet.launcher.mix import CoinKind, Mix, plan_coin
from slotzero.localnet.process import running_localnet
from slotzero.market.metadata import MetadataStore
from slotzero.market.metaplex import METAPLEX_PROGRAM, metadata_address
from slotzero.market.price_feed import PriceFeed
from slotzero.safety import HoneypotChecker, PubSubGuard, RpcReader, VerdictCache, build_layers
from slotzero.solana.account_watch import watch_account
from slotzero.solana.addresses import TOKEN_PROGRAM
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import RpcClient
from slotzero.venues.pumpfun import PUMP_PROGRAM, curve_address
from slotzero.venues.registry import PUMPFUN
from slotzero.workloads.check import CheckReport, check_token

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEED = 7
COINS = 8
WITHIN_S = 20


def mint_of(index: int) -> Pubkey:
    return mint_signer(SEED, index).pubkey


def index_of(kind: CoinKind) -> int:
    return next(index for index in range(COINS) if plan_coin(Mix(), SEED, index).kind is kind)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain() -> AsyncIterator[LocalnetEndpoints]:
    """A chain on which the first coins have been launched."""
    arguments = ("--launches-per-s", "10", "--trap-percent", "40")
    async with (
        running_localnet(slot_ms=50, seed=SEED, arguments=arguments) as endpoints,
        RpcClient(endpoints.rpc) as rpc,
    ):

        async def has_all() -> bool:
            accounts = await rpc.get_multiple_accounts([mint_of(index) for index in range(COINS)], "confirmed")
            return all(account is not None for account in accounts)

        await until(has_all)
        yield endpoints


@pytest_asyncio.fixture(loop_scope="module")
async def rpc(chain: LocalnetEndpoints) -> AsyncIterator[RpcClient]:
    async with RpcClient(chain.rpc) as client:
        yield client


async def until(holds: Callable[[], object]) -> None:
    """Wait for the chain to have come so far: there is no event to wait for."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = holds()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


async def checked(chain: LocalnetEndpoints, mint: Pubkey) -> CheckReport:
    return await check_token(Settings(), mint=str(mint), rpc_url=chain.rpc)


async def write(rpc: RpcClient, at: Pubkey, data: bytes, owner: Pubkey) -> None:
    fields = {"lamports": 10**12, "owner": str(owner), "data": b64encode(data).decode()}
    await rpc._call("slotzero_setAccount", [str(at), fields], int, "account")


# ---- the command's work --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "decision", "reason"),
    [
        (CoinKind.HONEST, "ALLOW", None),
        (CoinKind.TRAP_FREEZE, "DENY", "freeze_authority"),
        (CoinKind.TRAP_FEE, "DENY", "transfer_fee"),
    ],
)
async def test_coin_of_each_kind_is_judged_right(
    chain: LocalnetEndpoints, kind: CoinKind, decision: str, reason: str | None
) -> None:
    report = await checked(chain, mint_of(index_of(kind)))
    assert report.verdict.decision == decision, report.verdict.evidence
    assert reason is None or report.verdict.reasons[0] == reason
    layers = {item.layer: item for item in report.verdict.evidence}
    assert set(layers) == {"mint_facts", "liquidity", "holders", "creator_history", "round_trip"}
    assert all(layers[name].decision == "ALLOW" for name in ("liquidity", "holders", "creator_history"))
    assert report.profile is not None
    assert report.profile.source == "token_2022"
    assert report.profile.uri.startswith("https://ipfs.example/")
    assert (report.pool.slot > 0, len(report.pool.signature) > 60, report.is_complete) == (True, True, False)


async def test_pool_address_leads_to_the_same_token(chain: LocalnetEndpoints) -> None:
    mint = mint_of(index_of(CoinKind.HONEST))
    report = await check_token(Settings(), pool=str(curve_address(mint)), rpc_url=chain.rpc)
    assert (report.pool.mint, report.verdict.decision) == (mint, "ALLOW")


async def test_newest_pool_is_found_without_an_address(chain: LocalnetEndpoints) -> None:
    known = [(await checked(chain, mint_of(index))).pool for index in (0, COINS - 1)]
    newest = (await check_token(Settings(), is_newest=True, rpc_url=chain.rpc)).pool
    assert newest.slot >= known[1].slot > known[0].slot


async def test_chain_without_pools_has_no_newest_one() -> None:
    async with running_localnet(slot_ms=50, seed=SEED) as endpoints:
        with pytest.raises(SlotzeroError, match="knows no pool that was created of late; start a chain with"):
            await check_token(Settings(), is_newest=True, rpc_url=endpoints.rpc)


async def test_complete_curve_is_reported(chain: LocalnetEndpoints, rpc: RpcClient) -> None:
    index = next(i for i in range(COINS) if plan_coin(Mix(), SEED, i).kind is CoinKind.HONEST and i >= 3)
    mint = mint_of(index)
    before = (await checked(chain, mint)).pool
    sold_out = msgspec.structs.replace(before.reserves, real_token=0)
    await write(rpc, before.pool, curve_bytes(before, sold_out, is_complete=True).ljust(151, b"\0"), PUMP_PROGRAM)
    report = await checked(chain, mint)
    assert report.is_complete
    assert report.verdict.decision == "DENY"
    assert report.verdict.reasons[0] == "complete"
    assert "no_probe" in report.verdict.reasons


async def test_what_is_not_there_is_one_sentence(chain: LocalnetEndpoints, rpc: RpcClient) -> None:
    stranger = Pubkey.from_bytes(bytes(range(32)))
    with pytest.raises(SlotzeroError, match="knows no token"):
        await checked(chain, stranger)
    with pytest.raises(SlotzeroError, match="knows no account"):
        await check_token(Settings(), pool=str(stranger), rpc_url=chain.rpc)
    with pytest.raises(SlotzeroError, match="is no pool"):
        await check_token(Settings(), pool=str(mint_of(0)), rpc_url=chain.rpc)
    await write(rpc, stranger, mint_bytes(), TOKEN_PROGRAM)
    with pytest.raises(SlotzeroError, match="has no pool at pumpfun") as caught:
        await checked(chain, stranger)
    assert not isinstance(caught.value, UsageError)


# ---- metadata, prices, verdicts ------------------------------------------------------------------------------------


async def test_metadata_costs_one_call_and_ends_with_a_change(chain: LocalnetEndpoints, rpc: RpcClient) -> None:
    clock = SystemClock()
    classic = Pubkey.from_bytes(bytes(range(1, 33)))
    await write(rpc, classic, mint_bytes(), TOKEN_PROGRAM)
    await write(rpc, metadata_address(classic), metaplex_bytes(classic), METAPLEX_PROGRAM)
    pubsub = PubSub(chain.ws, clock=clock)
    async with asyncio.TaskGroup() as group:
        service = group.create_task(pubsub.run())
        store = MetadataStore(rpc.get_multiple_accounts, clock=clock, tasks=group, watch=partial(watch_account, pubsub))
        calls = sum(rpc.calls.values())
        found, again = await asyncio.gather(store.get(classic), store.get(classic))
        assert found is not None
        assert (found.source, found.symbol) == ("metaplex", "COIN")
        assert found is again
        assert sum(rpc.calls.values()) == calls + 1
        modern = await store.get(mint_of(0))
        assert modern is not None
        assert modern.source == "token_2022"
        await until(lambda: all(subscription.number for subscription in pubsub._wanted.values()))
        await write(rpc, metadata_address(classic), metaplex_bytes(classic, ("N", "NEW", "")), METAPLEX_PROGRAM)
        await until(lambda: store.peek(classic) is None)
        renamed = await store.get(classic)
        assert renamed is not None
        assert renamed.symbol == "NEW"
        service.cancel()


async def test_prices_follow_the_trades_of_others(chain: LocalnetEndpoints, rpc: RpcClient) -> None:
    clock = SystemClock()
    pubsub = PubSub(chain.ws, clock=clock)
    trader = PUMPFUN.trader(mint_of(0))
    accounts = await rpc.get_multiple_accounts(trader.config_accounts, "confirmed")
    trader.configure([None if account is None else account.data for account in accounts])
    async with asyncio.TaskGroup() as group:
        service = group.create_task(pubsub.run())
        feed = PriceFeed(pubsub, clock=clock)
        queue = feed.subscribe()
        later = COINS
        while (await rpc.get_multiple_accounts([mint_of(later)], "processed"))[0] is not None:
            later += 1
        await until(lambda: pubsub.is_connected)
        report = await _first_look(chain, rpc, mint_of(later))
        market = trader.market(report.pool)
        following = feed.follow(market)
        assert following is not None
        async with asyncio.timeout(WITHIN_S):
            told = await queue.get()
            assert told.mono == report.pool.mono_frame  # that of the creation; the next one is the stream's
            told = await queue.get()
        assert (told.pool, told.mint) == (market.state_account, report.pool.mint)
        assert told.slot >= report.pool.slot
        newest = feed.newest(market.state_account, 10_000)
        assert newest is not None
        read = await feed.refresh(rpc, market.state_account)
        assert read is None or read.slot >= newest.slot
        following.cancel()
        service.cancel()


async def _first_look(chain: LocalnetEndpoints, rpc: RpcClient, mint: Pubkey) -> CheckReport:
    async def exists() -> bool:
        return (await rpc.get_multiple_accounts([curve_address(mint)], "processed"))[0] is not None

    await until(exists)
    return await checked(chain, mint)


async def test_verdict_is_kept_until_an_account_changes(chain: LocalnetEndpoints, rpc: RpcClient) -> None:
    clock = SystemClock()
    pubsub = PubSub(chain.ws, clock=clock)
    pool = (await checked(chain, mint_of(index_of(CoinKind.TRAP_FREEZE)))).pool
    layers = build_layers(["mint_facts"], max_round_trip_loss_bps=600)
    async with asyncio.TaskGroup() as group:
        service = group.create_task(pubsub.run())
        await until(lambda: pubsub.is_connected)
        checker = HoneypotChecker(RpcReader(rpc), layers, budget_ms=5_000)
        cache = VerdictCache(
            checker, tasks=group, clock=clock, guard=PubSubGuard(pubsub), max_age_ms=60_000, max_unguarded_age_ms=60_000
        )
        calls = sum(rpc.calls.values())
        first, second = await asyncio.gather(cache.check(pool, None), cache.check(pool, None))
        assert first == second
        assert sum(rpc.calls.values()) == calls + 1
        await until(lambda: cache._mints[pool.mint].guards)
        await until(lambda: all(guard.is_live for guard in cache._mints[pool.mint].guards.values()))
        (account,) = await rpc.get_multiple_accounts([pool.mint], "processed")
        assert account is not None
        changed = cache.stats().changed
        await cache.check(pool, None)
        await write(rpc, pool.mint, account.data + b"\0", account.owner)
        await until(lambda: cache.stats().changed > changed)
        assert cache.lookup(pool.mint, None) is None
        cache.clear()
        service.cancel()
