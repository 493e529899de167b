"""The subscription client against a small WebSocket server on loopback that does what the test says."""

import asyncio
import logging
import socket
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from slotzero.clock import TestClock
from slotzero.errors import Retry, SubscriptionError, TransportError
from slotzero.solana import pubsub
from slotzero.solana.pubsub import Connection, PubSub, Subscription
from slotzero.units import MonoNs
from trading_lab import until

KEY = "k3yThatNobodyMaySeeAnywhere"


class Node(WSListener):
    """A node: keeps what it was asked, and answers each subscription unless it is told to be silent."""

    def __init__(self) -> None:
        self.port = 0
        self.connections: list[WSTransport] = []
        self.requests: list[dict[str, Any]] = []
        self.refuses: set[str] = set()
        self.code = -32602
        self.is_silent = False
        self.first_number = 100

    @property
    def wire(self) -> WSTransport:
        """The newest connection."""
        return self.connections[-1]

    def asked(self, method: str) -> list[Any]:
        return [request["params"] for request in self.requests if request["method"] == method]

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.connections.append(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        request = msgspec.json.decode(frame.get_payload_as_bytes())
        self.requests.append(request)
        if self.is_silent:
            return
        if request["method"] in self.refuses:
            self.text({"jsonrpc": "2.0", "error": {"code": self.code, "message": "no such thing"}, "id": request["id"]})
        else:
            self.accept(request)

    def accept(self, request: dict[str, Any], number: int | None = None) -> int:
        """Answer a subscription: with a number of its own, which follows from its request's id."""
        number = self.first_number + request["id"] if number is None else number
        self.text({"jsonrpc": "2.0", "result": number, "id": request["id"]})
        return number

    def text(self, message: object) -> None:
        self.raw(msgspec.json.encode(message))

    def raw(self, payload: bytes, kind: WSMsgType = WSMsgType.TEXT, *, fin: bool = True) -> None:
        self.wire.send(kind, payload, fin)


@asynccontextmanager
async def serving() -> AsyncIterator[Node]:
    node = Node()

    def listener(_: WSUpgradeRequest) -> Node:
        return node

    server = await ws_create_server(listener, "127.0.0.1", 0)
    node.port = server.sockets[0].getsockname()[1]
    try:
        async with server:
            await server.start_serving()
            yield node
    finally:
        for connection in node.connections:
            connection.disconnect(graceful=False)


class Client:
    """A client at work, and what it was told."""

    def __init__(self, port: int) -> None:
        self.clock = TestClock()
        self.connection: list[Connection] = []
        self.pubsub = PubSub(f"ws://127.0.0.1:{port}/", clock=self.clock, on_connection=self.connection.append)
        self.frames: dict[str, list[bytes]] = {}
        self.stamps: list[MonoNs] = []

    def wants(
        self, name: str, method: str = "logsSubscribe", *, is_once: bool = False, is_vital: bool = True
    ) -> Subscription:
        frames = self.frames.setdefault(name, [])

        def on_frame(frame: bytes, now: MonoNs) -> None:
            frames.append(frame)
            self.stamps.append(now)

        params = [name, {"commitment": "processed"}]
        return self.pubsub.subscribe(method, params, on_frame, is_once=is_once, is_vital=is_vital)

    async def comes_back(self) -> None:
        """The delay before the next attempt to connect passes."""
        await until(lambda: self.clock._sleepers)
        await self.clock.jump()


@asynccontextmanager
async def at_work(node: Node) -> AsyncIterator[Client]:
    client = Client(node.port)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(client.pubsub.run())
        await until(lambda: client.pubsub.is_connected)
        try:
            yield client
        finally:
            running.cancel()


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with serving() as node:
        yield node


def notification(number: object, result: object = "R", **more: object) -> dict[str, object]:
    """A notification as servers write it: the subscription's number comes last."""
    params = {"result": result, "subscription": number, **more}
    return {"jsonrpc": "2.0", "method": "logsNotification", "params": params}


def of(subscription: Subscription) -> int:
    assert subscription.number is not None
    return subscription.number


# ---- subscribing ---------------------------------------------------------------------------------------------------


async def test_subscription_from_before_the_connection_goes_out_with_it(node: Node) -> None:
    client = Client(node.port)
    wanted = client.wants("a")
    assert not client.pubsub.is_connected
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(client.pubsub.run())
        await wanted.active
        assert node.asked("logsSubscribe") == [["a", {"commitment": "processed"}]]
        running.cancel()


async def test_each_answer_finds_its_subscription_in_whatever_order_they_come(node: Node) -> None:
    async with at_work(node) as client:
        node.is_silent = True
        first, second = client.wants("a"), client.wants("b")
        await until(lambda: len(node.requests) == 2)
        node.accept(node.requests[1], 7)
        await second.active
        assert not first.active.done()
        node.accept(node.requests[0], 8)
        await first.active
        assert (first.number, second.number) == (8, 7)


@pytest.mark.parametrize(
    "shape",
    [
        '{"jsonrpc":"2.0","method":"n","params":{"result":"R","subscription":%d}}',
        '{"jsonrpc": "2.0", "method": "n", "params": {"result": "R", "subscription": %d}}\n',
        '{"params":{"result":"R","subscription":%d},"method":"n","jsonrpc":"2.0"}',
        '{"params":{"subscription":%d,"result":"R"},"method":"n"}',
        '{"jsonrpc":"2.0","params":{"subscription":%d,"result":{"value":"' + "x" * 500 + '"}}}',
    ],
    ids=["tail", "spaces", "tail of params", "short front", "long front"],
)
async def test_notification_finds_its_handler_wherever_its_number_stands(node: Node, shape: str) -> None:
    async with at_work(node) as client:
        first, second = client.wants("a"), client.wants("b")
        await first.active
        await second.active
        payload = (shape % of(first)).encode()
        node.raw(payload)
        await until(lambda: client.frames["a"])
        assert client.frames == {"a": [payload], "b": []}
        assert client.stamps[0] > 0


async def test_text_of_a_stranger_that_looks_like_a_number_changes_nothing(node: Node) -> None:
    async with at_work(node) as client:
        first, second = client.wants("a"), client.wants("b")
        await first.active
        await second.active
        logs = [f'"subscription":{of(second)}}}', f'{{"subscription":{of(second)}}}']
        for message in (
            notification(of(first), {"logs": logs}),
            {"params": {"subscription": of(first), "result": {"logs": logs}}},
        ):
            node.text(message)
        await until(lambda: len(client.frames["a"]) == 2)
        assert client.frames["b"] == []


async def test_subscription_that_fires_once_is_over_after_it(node: Node) -> None:
    async with at_work(node) as client:
        once, always = client.wants("sig", "signatureSubscribe", is_once=True), client.wants("a")
        await once.active
        await always.active
        for _ in range(2):
            node.text(notification(of(once)))
        node.text(notification(of(always)))
        await until(lambda: client.frames["a"])
        assert len(client.frames["sig"]) == 1
        assert client.pubsub.stats().unclaimed == 1
        once.cancel()
        await asyncio.sleep(0.01)
        assert node.asked("signatureUnsubscribe") == []  # the server has ended it itself


async def test_cancelled_subscription_is_ended_and_its_handler_not_called_again(node: Node) -> None:
    async with at_work(node) as client:
        wanted, other = client.wants("a", "accountSubscribe"), client.wants("b")
        await wanted.active
        await other.active
        number = of(wanted)
        wanted.cancel()
        wanted.cancel()
        node.text(notification(number))
        node.text(notification(of(other)))
        await until(lambda: client.frames["b"])
        assert client.frames["a"] == []
        await until(lambda: node.asked("accountUnsubscribe"))
        assert node.asked("accountUnsubscribe") == [[number]]


async def test_subscription_cancelled_before_its_answer_is_ended_when_the_answer_comes(node: Node) -> None:
    async with at_work(node) as client:
        node.is_silent = True
        wanted = client.wants("a", "accountSubscribe")
        await until(lambda: node.requests)
        wanted.cancel()
        assert wanted.active.cancelled()
        await asyncio.sleep(0.01)
        assert node.asked("accountUnsubscribe") == []
        node.accept(node.requests[0], 55)
        await until(lambda: node.asked("accountUnsubscribe"))
        assert node.asked("accountUnsubscribe") == [[55]]
        node.text(notification(55))
        await until(lambda: client.pubsub.stats().unclaimed)
        assert client.frames["a"] == []


async def test_handler_may_subscribe_and_cancel(node: Node) -> None:
    async with at_work(node) as client:
        made: list[Subscription] = []

        def on_frame(_frame: bytes, _now: MonoNs) -> None:
            wanted.cancel()
            made.append(client.wants("b"))

        wanted = client.pubsub.subscribe("logsSubscribe", ["a"], on_frame)
        await wanted.active
        node.text(notification(of(wanted)))
        await until(lambda: made)
        await made[0].active
        node.text(notification(of(made[0])))
        await until(lambda: client.frames["b"])


# ---- refusals ------------------------------------------------------------------------------------------------------


async def test_refused_subscription_is_told_once_and_not_asked_for_again(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.refuses.add("blockSubscribe")
    async with at_work(node) as client:
        refused, other = client.wants("x", "blockSubscribe"), client.wants("a")
        with pytest.raises(SubscriptionError, match=r"blockSubscribe was refused: no such thing") as caught:
            await refused.active
        assert caught.value.retry is Retry.DO_NOT_RETRY
        await other.active
        node.wire.disconnect(graceful=False)
        await client.comes_back()
        await until(lambda: len(node.asked("logsSubscribe")) == 2)
        assert len(node.asked("blockSubscribe")) == 1
        refused.cancel()
    assert "blockSubscribe was refused" in caplog.text


async def test_refusal_that_nobody_waits_for_is_logged_and_no_error(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.refuses.add("blockSubscribe")
    async with at_work(node) as client:
        client.wants("x", "blockSubscribe")
        await until(lambda: caplog.records)
    assert [record.levelno for record in caplog.records if record.name.startswith("slotzero")] == [logging.WARNING]


@pytest.mark.parametrize("result", [None, "7", True, {"subscription": 7}, -0.5])
async def test_answer_without_a_number_is_a_refusal(node: Node, result: object) -> None:
    async with at_work(node) as client:
        node.is_silent = True
        wanted = client.wants("a")
        await until(lambda: node.requests)
        node.text({"jsonrpc": "2.0", "result": result, "id": node.requests[0]["id"]})
        with pytest.raises(SubscriptionError):
            await wanted.active


async def test_subscription_refused_after_a_reconnect_ends_the_client_instead_of_leaving_it_blind(node: Node) -> None:
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 the group ends it
        async with at_work(node) as client:
            await client.wants("a").active
            node.refuses.add("logsSubscribe")
            node.wire.disconnect(graceful=False)
            await client.comes_back()
            await asyncio.sleep(10)
    assert caught.value.subgroup(SubscriptionError)
    assert len(node.asked("logsSubscribe")) == 2


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes milliseconds."""
    monkeypatch.setattr(pubsub, "_ASK_AGAIN_S", (0.01, 0.04))
    monkeypatch.setattr(pubsub, "_ANSWERED_WITHIN_S", 0.2)
    monkeypatch.setattr(pubsub, "_CONNECTED_WITHIN_S", 0.2)


@pytest.mark.usefixtures("in_a_hurry")
async def test_node_that_is_busy_is_asked_again(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.refuses.add("logsSubscribe")
    node.code = -32005
    async with at_work(node) as client:
        wanted = client.wants("a")
        await until(lambda: len(node.asked("logsSubscribe")) == 4)
        assert not wanted.active.done()
        assert wanted.refusals >= 3
        node.refuses.clear()
        await wanted.active
        assert wanted.refusals == 0
        node.text(notification(of(wanted)))
        await until(lambda: client.frames["a"])
        asked = len(node.asked("logsSubscribe"))
        await asyncio.sleep(0.1)
        assert len(node.asked("logsSubscribe")) == asked
    assert "logsSubscribe was refused: no such thing" in caplog.text


@pytest.mark.usefixtures("in_a_hurry")
async def test_subscription_that_is_cancelled_is_not_asked_again(node: Node) -> None:
    node.refuses.add("logsSubscribe")
    node.code = -32005
    async with at_work(node) as client:
        wanted = client.wants("a")
        await until(lambda: node.asked("logsSubscribe"))
        await until(lambda: wanted.refusals)
        wanted.cancel()
        asked = len(node.asked("logsSubscribe"))
        await asyncio.sleep(0.1)
        assert len(node.asked("logsSubscribe")) == asked
        assert client.pubsub._cancelled == {}, "nothing is remembered of what was answered"


@pytest.mark.usefixtures("in_a_hurry")
async def test_only_node_that_is_busy_after_a_reconnect_is_asked_again_and_up_when_it_has_accepted(node: Node) -> None:
    async with at_work(node) as client:
        wanted = client.wants("a")
        await wanted.active
        node.refuses.add("logsSubscribe")
        node.code = -32005
        node.wire.disconnect(graceful=False)
        await client.comes_back()
        await until(lambda: len(node.asked("logsSubscribe")) >= 4)
        assert client.connection == ["up", "down"]
        assert client.pubsub.stats().connects == 2
        node.refuses.clear()
        await until(lambda: wanted.number is not None)
        assert client.connection == ["up", "down", "up"]
        assert client.pubsub.stats().gaps == 1


async def test_what_is_not_vital_is_not_asked_again_after_a_refusal_for_good_and_ends_nothing(node: Node) -> None:
    async with at_work(node) as client:
        vital = client.wants("a")
        other = client.wants("b", "accountSubscribe", is_vital=False)
        await vital.active
        await other.active
        node.refuses.add("accountSubscribe")
        node.wire.disconnect(graceful=False)
        await client.comes_back()
        await until(lambda: client.connection == ["up", "down", "up"])
        assert other.number is None
        node.refuses.clear()
        node.wire.disconnect(graceful=False)  # the next connection may be to another node
        await client.comes_back()
        await until(lambda: other.number is not None)
        assert len(node.asked("accountSubscribe")) == 3


@pytest.mark.usefixtures("in_a_hurry")
async def test_connection_that_leaves_a_subscription_unanswered_is_given_up(node: Node) -> None:
    async with at_work(node) as client:
        wanted = client.wants("a")
        await wanted.active
        node.is_silent = True
        node.wire.disconnect(graceful=False)
        await client.comes_back()
        await until(lambda: len(node.connections) == 2)
        await until(lambda: not client.pubsub.is_connected)
        assert client.connection == ["up", "down"]
        node.is_silent = False
        await client.comes_back()
        await until(lambda: client.connection == ["up", "down", "up"])
        assert client.pubsub.stats().gaps == 1


@pytest.mark.usefixtures("in_a_hurry")
async def test_address_that_takes_the_connection_and_says_nothing_is_passed_by(node: Node) -> None:
    ended = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        writer.close()
        ended.set()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    both = PubSub([f"ws://127.0.0.1:{port}/", f"ws://127.0.0.1:{node.port}/"], clock=TestClock())
    async with server, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(both.run())
        await until(lambda: both.is_connected)
        await ended.wait()
        running.cancel()


async def test_addresses_that_hang_up_at_once_are_not_stormed(node: Node) -> None:
    clock = TestClock()
    address = f"ws://127.0.0.1:{node.port}/"
    both = PubSub([address, address], clock=clock)

    async def opened(number: int) -> None:
        await until(lambda: len(node.connections) == number)

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(both.run())
        for rounds in range(1, 6):
            for number in (2 * rounds - 1, 2 * rounds):
                await opened(number)
                node.text({"error": {"code": -32005, "message": "too many connections"}, "id": None})
                node.wire.disconnect(graceful=False)
            await until(lambda: clock._sleepers)
            await clock.jump()
        assert clock.mono_ns() - TestClock().mono_ns() == (100 + 200 + 400 + 800 + 1_600) * 1_000_000
        running.cancel()


# ---- frames --------------------------------------------------------------------------------------------------------


GARBAGE = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"7",
    b"{",
    b'"subscription":',
    b'"subscription":100}',
    b'{"subscription":99999999999999999999999999999999}',
    b'{"params":{"subscription":-1}}',
    b'{"params":{"subscription":"100"}}',
    b'{"params":{"subscription":999}}',
    b'{"id":999,"result":5}',
    b'{"id":"x","result":5}',
    b'{"id":999,"error":{"code":1,"message":"\xff"}}',
    b'{"error":{"code":-32700,"message":"parse error"},"id":null}',
    b"[" * 100_000,
    b'{"x":' * 100_000,
    bytes(range(256)) * 40,
]


@pytest.mark.parametrize("kind", [WSMsgType.TEXT, WSMsgType.BINARY])
async def test_garbage_is_counted_and_hurts_nobody(node: Node, kind: WSMsgType) -> None:
    async with at_work(node) as client:
        wanted = client.wants("a")
        await wanted.active
        before = client.pubsub.stats()
        for payload in GARBAGE:
            node.raw(payload, kind)
        node.text(notification(of(wanted)))
        await until(lambda: client.frames["a"])
        stats = client.pubsub.stats()
        assert stats.frames - before.frames == len(GARBAGE) + 1
        assert stats.unclaimed - before.unclaimed >= len(GARBAGE) - 2  # answers to nobody are no riddle
        assert stats.bytes - before.bytes > sum(map(len, GARBAGE))
        assert stats.connects == 1


async def test_binary_notification_is_as_good_as_text(node: Node) -> None:
    async with at_work(node) as client:
        wanted = client.wants("a")
        await wanted.active
        node.raw(msgspec.json.encode(notification(of(wanted))), WSMsgType.BINARY)
        await until(lambda: client.frames["a"])


@pytest.mark.parametrize("pieces", [2, 3, 50])
async def test_fragmented_message_is_joined(node: Node, pieces: int) -> None:
    async with at_work(node) as client:
        wanted = client.wants("a")
        await wanted.active
        payload = msgspec.json.encode(notification(of(wanted), "y" * 5_000))
        size = len(payload) // pieces + 1
        parts = [payload[at : at + size] for at in range(0, len(payload), size)]
        for turn in range(2):  # the second shows that nothing of the first is left over
            for index, part in enumerate(parts):
                kind = WSMsgType.CONTINUATION if index else WSMsgType.TEXT
                node.raw(part, kind, fin=index == len(parts) - 1)
                if turn:
                    node.raw(b"ping", WSMsgType.PING)  # control frames may stand between fragments
        await until(lambda: len(client.frames["a"]) == 2)
        assert client.frames["a"] == [payload, payload]


async def test_fragments_of_a_lost_connection_are_not_joined_to_the_next(node: Node) -> None:
    async with at_work(node) as client:
        wanted = client.wants("a")
        await wanted.active
        node.raw(b'{"params":', fin=False)
        await asyncio.sleep(0.01)
        node.wire.disconnect(graceful=False)
        node.first_number = 500
        await client.comes_back()
        await until(lambda: (wanted.number or 0) >= 500)
        node.text(notification(of(wanted)))
        await until(lambda: client.frames["a"])
        assert client.frames["a"] == [msgspec.json.encode(notification(of(wanted)))]


async def test_frame_of_10_mb_is_handed_on_whole(node: Node) -> None:
    async with at_work(node) as client:
        wanted = client.wants("a")
        await wanted.active
        payload = msgspec.json.encode(notification(of(wanted), "z" * 10_000_000))
        node.raw(payload)
        await until(lambda: client.frames["a"])
        assert client.frames["a"] == [payload]
        assert client.pubsub.stats().connects == 1


# ---- the connection ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "closed"])
async def test_lost_connection_is_made_again_and_every_handler_goes_on_under_its_new_number(
    node: Node, how: str
) -> None:
    async with at_work(node) as client:
        first, second = client.wants("a"), client.wants("b")
        once, gone = client.wants("s", "signatureSubscribe", is_once=True), client.wants("g")
        for wanted in (first, second, once, gone):
            await wanted.active
        node.text(notification(of(once)))
        await until(lambda: client.frames["s"])
        gone.cancel()
        await until(lambda: node.asked("logsUnsubscribe"))
        node.requests.clear()
        node.first_number = 500
        old = of(first)
        if how == "closed":
            node.wire.send_close(WSCloseCode.GOING_AWAY)
        node.wire.disconnect(graceful=False)
        await until(lambda: not client.pubsub.is_connected)
        assert client.connection == ["up", "down"]
        await client.comes_back()
        await until(lambda: (first.number or 0) >= 500 and (second.number or 0) >= 500)
        assert sorted(params[0] for params in node.asked("logsSubscribe")) == ["a", "b"]
        assert node.asked("signatureSubscribe") == []
        assert client.connection == ["up", "down", "up"]
        node.text(notification(old))  # a number of the old connection means nothing on the new one
        node.text(notification(of(second)))
        node.text(notification(of(first)))
        await until(lambda: client.frames["a"])
        assert (len(client.frames["a"]), len(client.frames["b"])) == (1, 1)
        assert client.pubsub.stats().connects == 2


async def test_subscribing_and_cancelling_without_a_connection_is_made_good_with_the_next(node: Node) -> None:
    async with at_work(node) as client:
        kept, dropped = client.wants("kept"), client.wants("dropped")
        await kept.active
        await dropped.active
        node.wire.disconnect(graceful=False)
        await until(lambda: not client.pubsub.is_connected)
        dropped.cancel()
        node.requests.clear()
        added, changed = client.wants("added"), client.wants("changed my mind")
        changed.cancel()
        await client.comes_back()
        await added.active
        assert sorted(params[0] for params in node.asked("logsSubscribe")) == ["added", "kept"]
        assert node.asked("logsUnsubscribe") == []


async def test_delay_between_attempts_grows_and_starts_anew_after_a_connection(node: Node) -> None:
    async with at_work(node) as client:
        await client.wants("a").active
        listening, node.port = node.port, 0
        assert listening
        client.pubsub._urls = (f"ws://127.0.0.1:{_dead_port()}/",)
        node.wire.disconnect(graceful=False)
        delays = []
        for _ in range(8):
            await until(lambda: client.clock._sleepers)
            before = client.clock.mono_ns()
            await client.clock.jump()
            delays.append((client.clock.mono_ns() - before) // 1_000_000)
        assert delays == sorted(delays)
        assert delays[0] == 100
        assert 1_000 < delays[-1] <= 5_000


def _dead_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def failure_of(url: str) -> TransportError:
    """What `run` ends with, without a second attempt."""
    clock = TestClock()
    with pytest.raises(TransportError) as caught:
        async with asyncio.timeout(10):
            await PubSub(url, clock=clock).run()
    assert not clock._sleepers
    assert KEY not in "".join(traceback.format_exception(caught.value))
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in f"{error!r} {error.args}"
        error = error.__cause__ or error.__context__
    return caught.value


async def test_refused_first_connection_is_told_at_once() -> None:
    error = await failure_of(f"ws://{KEY}:{KEY}@127.0.0.1:{_dead_port()}/{KEY}?api-key={KEY}")
    assert "cannot connect (ConnectionRefusedError)" in str(error)


async def answer_once(reply: bytes) -> tuple[asyncio.Server, int]:
    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reply:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(on_client, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    ],
    ids=["hangs up", "404", "401", "a web page", "ssh"],
)
async def test_first_connection_to_something_else_is_told_at_once(reply: bytes) -> None:
    server, port = await answer_once(reply)
    async with server:
        assert "cannot connect" in str(await failure_of(f"ws://127.0.0.1:{port}/{KEY}"))


async def test_redirect_is_not_followed_to_a_host_nobody_has_configured(node: Node) -> None:
    location = f"Location: ws://127.0.0.1:{node.port}/\r\n".encode()
    server, port = await answer_once(b"HTTP/1.1 302 Found\r\n" + location + b"Content-Length: 0\r\n\r\n")
    async with server:
        await failure_of(f"ws://127.0.0.1:{port}/")
    assert node.connections == []


async def test_cancelled_client_closes_its_connection(node: Node) -> None:
    async with at_work(node) as client:
        await client.wants("a").active
    await until(lambda: node.wire.is_disconnected)
    assert not client.pubsub.is_connected
    assert client.connection == ["up", "down"]


# ---- bugs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bug", [ZeroDivisionError("a bug"), OSError("not the socket's"), TimeoutError("not the wire's")]
)
async def test_handler_that_raises_ends_the_client_with_its_error(node: Node, bug: Exception) -> None:
    def on_frame(_frame: bytes, _now: MonoNs) -> None:
        raise bug

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 the group ends it
        async with at_work(node) as client:
            wanted = client.pubsub.subscribe("logsSubscribe", ["a"], on_frame)
            await wanted.active
            node.text(notification(of(wanted)))
            await asyncio.sleep(10)
    assert bug in caught.value.exceptions
    assert len(node.connections) == 1


async def test_listener_to_the_connection_that_raises_ends_the_client_with_its_error(node: Node) -> None:
    def on_connection(_: Connection) -> None:
        raise ZeroDivisionError

    pubsub = PubSub(f"ws://127.0.0.1:{node.port}/", clock=TestClock(), on_connection=on_connection)
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(10):
            await pubsub.run()


def test_client_needs_no_loop_to_be_made() -> None:
    make: Callable[[], PubSub] = lambda: PubSub("ws://127.0.0.1:1/", clock=TestClock())  # noqa: E731 typed
    assert make().endpoint == "ws://127.0.0.1:1/"
