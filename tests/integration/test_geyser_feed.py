"""The Geyser feed on the embedded chain: what it tells, what it survives, and that it sees what the log feed sees."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import structs
from solders.keypair import Keypair

from chain_world import SOL
from scripted_node import eventually
from slotzero.clock import SystemClock
from slotzero.detection import Detector
from slotzero.detection.landed_prices import read_landed_price
from slotzero.detection.updates import read_update
from slotzero.errors import SubscriptionError, TransportError
from slotzero.localnet import geyser_port
from slotzero.localnet.geyser_render import ping_update, pong_update
from slotzero.localnet.launcher import Launcher, LauncherConfig, Mix, plan_coin, script_coin
from slotzero.secret import Secret
from slotzero.solana.geyser import GeyserEndpoint, GeyserFeed, grpc_target
from slotzero.solana.pubsub import Connection, Gap, PubSub
from slotzero.units import MonoNs
from slotzero.venues.pumpfun import PUMP_PROGRAM
from slotzero.venues.records import NewPool
from slotzero.venues.registry import PUMPFUN
from wire_lab import GRPC_LOOP, wire_lab

pytestmark = GRPC_LOOP


class Ear:
    """A feed over the geyser ports of labs, and what it was told."""

    def __init__(self, *endpoints: GeyserEndpoint, silent_after_ms: int | None = None) -> None:
        self.updates: list[bytes] = []
        self.events: list[str] = []
        self.gaps: list[Gap] = []
        self.feed = GeyserFeed(
            endpoints,
            accounts=[PUMP_PROGRAM, KEY],
            handler=lambda update, _now: self.updates.append(update),
            clock=SystemClock(),
            on_connection=self._on_connection,
            on_gap=self._on_gap,
            silent_after_ms=silent_after_ms,
        )

    def _on_connection(self, connection: Connection) -> None:
        self.events.append(connection)

    def _on_gap(self, gap: Gap) -> None:
        self.events.append("gap")
        self.gaps.append(gap)


KEY = Keypair.from_seed(bytes([8]) * 32).pubkey()


@asynccontextmanager
async def running(run: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run())
        yield
        task.cancel()


def without_reading(pool: NewPool) -> NewPool:
    """A pool without the one thing two feeds must differ in: when its frame was read."""
    return structs.replace(pool, mono_frame=MonoNs(0))


async def test_same_creations_give_equal_pools_through_logs_and_geyser() -> None:
    mix = Mix(trap_percent=40)
    async with wire_lab() as lab:
        by_log, by_update = Detector([PUMPFUN]), Detector([PUMPFUN])
        heard: dict[str, list[NewPool]] = {"log": [], "update": []}
        pubsub = PubSub(lab.localnet.endpoints.ws, clock=SystemClock())
        feed = GeyserFeed(
            [lab.geyser],
            accounts=[PUMP_PROGRAM],
            handler=lambda update, now: heard["update"].extend(by_update.on_update(update, now, read_update)),
            clock=SystemClock(),
        )
        async with running(pubsub.run), running(feed.run):
            wanted = [{"mentions": [str(PUMP_PROGRAM)]}, {"commitment": "processed"}]
            await pubsub.subscribe(
                "logsSubscribe", wanted, lambda frame, now: heard["log"].extend(by_log.on_frame(frame, now))
            ).active
            await feed.live.wait()
            launcher = Launcher(lab.chain, LauncherConfig(mix=mix))
            mints = [launcher.launch(script_coin(7, index, plan_coin(mix, 7, index))) for index in range(60)]
            await eventually(lambda: len(heard["log"]) == len(heard["update"]) == len(mints))
    assert [pool.mint for pool in heard["log"]] == mints
    assert [without_reading(pool) for pool in heard["update"]] == [without_reading(pool) for pool in heard["log"]]
    assert {pool.starts_at for pool in heard["update"]} == {"chain"}
    assert any(pool.creator_bought for pool in heard["update"])
    assert by_update.stats.dropped == by_log.stats.dropped == {}
    assert by_update.stats.pools == len(mints)


async def test_update_tells_what_a_launch_paid_and_that_it_wrote_to_its_curve() -> None:
    mix = Mix()
    async with wire_lab() as lab:
        ear = Ear(lab.geyser)
        async with running(ear.feed.run):
            await ear.feed.live.wait()
            launcher = Launcher(lab.chain, LauncherConfig(mix=mix))
            mint = launcher.launch(script_coin(7, 0, plan_coin(mix, 7, 0)))
            await eventually(lambda: ear.updates)
    landed = read_landed_price(ear.updates[0])
    assert landed is not None
    assert mint is not None
    assert bytes(PUMPFUN.pool_address(mint)) in landed.written
    assert bytes(PUMP_PROGRAM) in set(landed.accounts) - set(landed.written)
    assert landed.payer == landed.accounts[0]


async def test_lost_stream_comes_back_and_the_gap_is_told() -> None:
    async with wire_lab() as lab:
        ear = Ear(lab.geyser)
        async with running(ear.feed.run):
            await ear.feed.live.wait()
            lab.pay(SOL, KEY)
            await eventually(lambda: len(ear.updates) == 1)
            await lab.call("slotzero_stopPort", "geyser")
            await eventually(lambda: not ear.feed.live.is_set())
            lab.pay(SOL + 1, KEY)
            await lab.call("slotzero_startPort", "geyser")
            await ear.feed.live.wait()
            lab.pay(SOL + 2, KEY)
            await eventually(lambda: len(ear.updates) == 2)
    assert ear.events[:4] == ["up", "down", "up", "gap"]
    assert ear.gaps[0].since < ear.gaps[0].until
    assert (ear.feed.stats().connects, ear.feed.stats().gaps, ear.feed.stats().updates) == (2, 1, 2)


async def test_dead_endpoint_hands_over_to_the_next() -> None:
    async with wire_lab() as first, wire_lab() as second:
        ear = Ear(first.geyser, second.geyser)
        async with running(ear.feed.run):
            await ear.feed.live.wait()
            await first.call("slotzero_faults", "geyser", {"refuseConnections": True})
            await eventually(lambda: ear.gaps)
            second.pay(SOL, KEY)
            await eventually(lambda: ear.updates)
            assert ear.feed.stats().endpoint == second.geyser.url.reveal()
            counts = await first.injected("geyser")
    assert (counts["cutConnections"], counts["cutRequests"]) == (1, 1)


async def test_stream_without_slots_is_given_up_as_silent() -> None:
    async with wire_lab() as lab:
        ear = Ear(lab.geyser, silent_after_ms=50)
        async with running(ear.feed.run):
            await eventually(lambda: ear.feed.stats().silences >= 2)
    assert ear.events[:2] == ["up", "down"]


async def test_slots_keep_a_stream_alive_and_are_known() -> None:
    async with wire_lab() as lab:
        ear = Ear(lab.geyser, silent_after_ms=60_000)
        async with running(ear.feed.run):
            await ear.feed.live.wait()
            lab.chain.advance(3)
            await eventually(lambda: ear.feed.stats().slot == lab.chain.slot - 1)
    assert ear.feed.stats().silences == 0


async def test_server_pings_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geyser_port, "PING_MS", 5)
    async with wire_lab() as lab:
        ear = Ear(lab.geyser)
        async with running(ear.feed.run):
            await ear.feed.live.wait()
            before = ear.feed.stats().bytes
            await eventually(lambda: ear.feed.stats().bytes > before + 3 * (len(ping_update()) + len(pong_update(1))))
    assert ear.events[0] == "up"


async def test_wrong_address_and_refusal_are_told_at_once() -> None:
    dead = GeyserEndpoint(url=Secret("http://127.0.0.1:1"))
    with pytest.raises(TransportError, match="no stream"):
        await Ear(dead).feed.run()
    async with wire_lab(geyser_token="sesame") as lab:  # noqa: S106 a test's
        with pytest.raises(SubscriptionError, match="UNAUTHENTICATED"):
            await Ear(lab.geyser).feed.run()
        ear = Ear(structs.replace(lab.geyser, token=Secret("sesame")))
        async with running(ear.feed.run):
            await ear.feed.live.wait()


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:10000", "127.0.0.1:10000"),
        ("https://key@feed.example/path", "feed.example:443"),
        ("http://[::1]:43543", "[::1]:43543"),
        ("https://[2001:db8::1]", "[2001:db8::1]:443"),
    ],
)
async def test_target_is_host_and_port_with_ipv6_in_brackets(url: str, target: str) -> None:
    assert grpc_target(url) == target


async def test_handler_that_raises_ends_the_feed_with_its_error() -> None:
    async with wire_lab() as lab:

        def broken(_update: bytes, _now: MonoNs) -> None:
            raise KeyError("a bug")

        feed = GeyserFeed([lab.geyser], accounts=[KEY], handler=broken, clock=SystemClock())

        async def listen() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(feed.run())
                await feed.live.wait()
                lab.pay(SOL, KEY)
                await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as caught:
            await listen()
        assert caught.group_contains(KeyError)
