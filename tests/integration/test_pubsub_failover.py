"""Subscriptions over several addresses: whose turn it is, what silence is, and that a gap is never silent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from scripted_node import ScriptedNode, eventually, scripted_nodes
from slotzero.clock import SystemClock
from slotzero.errors import SubscriptionError, TransportError
from slotzero.solana.pubsub import Connection, Gap, PubSub


class Listener:
    """A client over nodes, and what it was told."""

    def __init__(self, nodes: Sequence[ScriptedNode], *, silent_after_ms: int | None = None) -> None:
        self.events: list[str] = []
        self.gaps: list[Gap] = []
        self.frames: list[bytes] = []
        self.pubsub = PubSub(
            [node.ws for node in nodes],
            clock=SystemClock(),
            on_connection=self._on_connection,
            on_gap=self._on_gap,
            follows_slots=True,
            silent_after_ms=silent_after_ms,
        )

    def subscribe(self, *firsts: str) -> None:
        for first in firsts:
            self.pubsub.subscribe("accountSubscribe", [first], lambda frame, _now: self.frames.append(frame))

    def _on_connection(self, connection: Connection) -> None:
        self.events.append(connection)

    def _on_gap(self, gap: Gap) -> None:
        self.events.append("gap")
        self.gaps.append(gap)


@asynccontextmanager
async def running(listener: Listener) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(listener.pubsub.run())
        yield
        run.cancel()


async def test_lost_connection_goes_to_the_next_address_and_subscribes_to_everything_anew() -> None:
    async with scripted_nodes(2) as nodes:
        listener = Listener(nodes)
        listener.subscribe("a", "b")
        async with running(listener):
            await eventually(lambda: nodes[0].subscribed.count("accountSubscribe") == 2)
            await nodes[0].stop()
            await eventually(lambda: listener.gaps)
            assert nodes[1].subscribed.count("accountSubscribe") == 2
            assert listener.events == ["up", "down", "up", "gap"]
            assert listener.gaps[0].endpoint == nodes[1].ws
            assert listener.gaps[0].since < listener.gaps[0].until
            assert await nodes[1].notify("accountSubscribe", "b", 1) == 1
            await eventually(lambda: len(listener.frames) == 1)
    assert listener.pubsub.stats().gaps == 1


async def test_gap_is_over_when_the_last_subscription_is_accepted_and_not_before() -> None:
    async with scripted_nodes(2) as nodes:
        listener = Listener(nodes)
        listener.subscribe("a")
        accepted: list[int] = []
        listener.pubsub.watch_gaps(lambda _gap: accepted.append(nodes[1].subscribed.count("accountSubscribe")))
        async with running(listener):
            await eventually(lambda: nodes[0].subscriptions)
            listener.subscribe("b", "c")
            await nodes[0].stop()
            await eventually(lambda: accepted)
    assert accepted == [3]


async def test_first_connection_is_no_gap() -> None:
    async with scripted_nodes(1) as nodes:
        listener = Listener(nodes)
        listener.subscribe("a")
        async with running(listener):
            await eventually(lambda: nodes[0].subscribed == ["accountSubscribe", "slotSubscribe"])
            await nodes[0].open_slot()
            await eventually(lambda: listener.pubsub.slot == 101)
    assert listener.events[:1] == ["up"]
    assert listener.gaps == []


async def test_connection_that_tells_no_slot_is_given_up_though_it_answers() -> None:
    # Waits for a real timer (100 ms): that it fires is what is tested.
    async with scripted_nodes(2) as nodes:
        nodes[0].is_mute = True
        listener = Listener(nodes, silent_after_ms=100)
        listener.subscribe("a")
        async with running(listener), asyncio.TaskGroup() as tasks:
            slots = tasks.create_task(_open_slots(nodes[1]))
            await eventually(lambda: listener.pubsub.slot is not None)
            assert listener.pubsub.endpoint == nodes[1].ws
            assert listener.pubsub.stats().silences == 1
            before = nodes[1].slot
            await eventually(lambda: (listener.pubsub.slot or 0) > before + 20)  # slots keep it alive
            assert listener.pubsub.stats().silences == 1
            slots.cancel()
    assert listener.events[:4] == ["up", "down", "up", "gap"]


async def _open_slots(node: ScriptedNode) -> None:
    while True:
        await node.open_slot()
        await asyncio.sleep(0.01)


async def test_server_without_slots_is_judged_by_its_socket_alone() -> None:
    async with scripted_nodes(1) as nodes:
        nodes[0].refuses = {"slotSubscribe"}
        listener = Listener(nodes, silent_after_ms=50)
        listener.subscribe("a")
        async with running(listener):
            await eventually(lambda: nodes[0].subscriptions)
            await asyncio.sleep(0.2)  # four times the silence
            assert listener.events == ["up"]


async def test_address_that_refuses_a_subscription_it_should_take_over_is_passed_by() -> None:
    async with scripted_nodes(3) as nodes:
        nodes[1].refuses = {"accountSubscribe"}
        listener = Listener(nodes)
        listener.subscribe("a")
        async with running(listener):
            await eventually(lambda: nodes[0].subscriptions)
            await nodes[0].stop()
            await eventually(lambda: listener.gaps)
            assert listener.gaps[0].endpoint == nodes[2].ws


async def test_subscription_that_every_address_refuses_ends_the_run() -> None:
    async with scripted_nodes(2) as nodes:
        listener = Listener(nodes)
        listener.subscribe("a")

        async def refuse() -> None:
            await eventually(lambda: nodes[0].subscriptions)
            nodes[0].refuses = nodes[1].refuses = {"accountSubscribe"}
            await nodes[0].cut()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(refuse())
            with pytest.raises(SubscriptionError, match="accountSubscribe was refused: not here"):
                await listener.pubsub.run()


async def test_first_address_may_be_dead_but_not_all() -> None:
    async with scripted_nodes(2) as nodes:
        await nodes[0].stop()
        listener = Listener(nodes)
        async with running(listener):
            await eventually(lambda: listener.events == ["up"])
        await nodes[1].stop()
        with pytest.raises(TransportError, match="cannot connect"):
            await Listener(nodes).pubsub.run()


async def test_subscription_cancelled_during_a_gap_does_not_keep_it_open() -> None:
    async with scripted_nodes(2) as nodes:
        listener = Listener(nodes)
        subscription = listener.pubsub.subscribe("accountSubscribe", ["a"], lambda _frame, _now: None)
        async with running(listener):
            await eventually(lambda: nodes[0].subscriptions)
            await nodes[0].stop()
            await eventually(lambda: not listener.pubsub.is_connected)
            subscription.cancel()
            await eventually(lambda: listener.gaps)
