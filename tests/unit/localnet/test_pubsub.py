"""Subscriptions as a dialogue with one connection's outbox."""

import msgspec
import pytest
from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from slotzero.clock import TestClock
from slotzero.localnet import pubsub as pubsub_module
from slotzero.localnet.chain import Chain, ChainConfig, Landed
from slotzero.localnet.params import INVALID_REQUEST, PARSE_ERROR
from slotzero.localnet.pubsub import Outbox, Pubsub
from slotzero.localnet.rpc import MAX_BATCH
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.units import Lamports, MonoNs

KEY = Keypair.from_seed(bytes(32)).pubkey()
Frame = dict[str, object]


class Connection:
    """A client of a chain whose slots only open when told."""

    def __init__(self, *, max_frames: int = 1000) -> None:
        self.chain = Chain(ChainConfig(slot_ms=200), clock=TestClock())
        self.chain.advance(40)
        self.pubsub = Pubsub(self.chain)
        self.overflows = 0
        self.outbox = Outbox(self._overflowed, max_frames=max_frames)
        self.pubsub.connect(self.outbox)

    def _overflowed(self) -> None:
        self.overflows += 1

    def frames(self) -> list[Frame]:
        taken = []
        while (frame := self.outbox.take()) is not None:
            taken.append(msgspec.json.decode(frame, type=dict[str, object]))
        return taken

    def request(self, method: str, *params: object) -> list[Frame]:
        request = {"jsonrpc": "2.0", "id": 5, "method": method, "params": params}
        self.pubsub.handle(self.outbox, msgspec.json.encode(request))
        return self.frames()

    def subscribe(self, method: str, *params: object) -> int:
        (answer,) = self.request(method, *params)
        number = answer["result"]
        assert isinstance(number, int)
        return number

    def airdrop(self, to: Pubkey = KEY, lamports: int = 10**9) -> Signature:
        outcome = self.chain.airdrop(to, Lamports(lamports))
        assert isinstance(outcome, Landed)
        return outcome.record.signature


def told(frames: list[Frame]) -> list[tuple[object, object]]:
    rows = []
    for frame in frames:
        params = frame["params"]
        assert isinstance(params, dict)
        rows.append((frame["method"], params["subscription"]))
    return rows


def value_of(frame: Frame) -> dict[str, object]:
    params = frame["params"]
    assert isinstance(params, dict)
    value = params["result"]["value"]
    assert isinstance(value, dict)
    return value


def test_outbox_gives_what_is_due_at_once_and_no_more_than_is_wanted() -> None:
    instants = iter([MonoNs(0), MonoNs(0), MonoNs(0), MonoNs(50)])
    outbox = Outbox(lambda: None, due=lambda: next(instants))
    for frame in (b"aaaa", b"bbbb", b"cccc", b"late"):
        outbox.put(frame)
    assert outbox.take_due(MonoNs(10), most_bytes=5) == [b"aaaa", b"bbbb"]
    assert outbox.take_due(MonoNs(10), most_bytes=1) == [b"cccc"]
    assert outbox.take_due(MonoNs(49), most_bytes=99) == []
    assert outbox.take_due(MonoNs(50), most_bytes=99) == [b"late"]


@pytest.mark.parametrize(("commitment", "slots"), [("processed", 0), ("confirmed", 1), ("finalized", 32)])
def test_logs_are_told_at_their_commitment(commitment: str, slots: int) -> None:
    connection = Connection()
    number = connection.subscribe("logsSubscribe", {"mentions": [str(KEY)]}, {"commitment": commitment})
    connection.airdrop()
    connection.airdrop(to=Keypair().pubkey())
    if slots:
        connection.chain.advance(slots - 1)
        assert connection.frames() == []
        connection.chain.advance()
    (frame,) = connection.frames()
    assert told([frame]) == [("logsNotification", number)]
    assert value_of(frame)["err"] is None
    connection.chain.advance(40)
    assert connection.frames() == []


def test_finalized_is_the_default() -> None:
    connection = Connection()
    connection.subscribe("logsSubscribe", "all", {"commitment": None})
    connection.airdrop()
    connection.chain.advance(31)
    assert connection.frames() == []
    connection.chain.advance()
    assert len(connection.frames()) == 1


def test_account_below_processed_is_told_once_a_slot_with_its_last_state() -> None:
    connection = Connection()
    config = {"commitment": "confirmed", "encoding": "base64"}
    connection.subscribe("accountSubscribe", str(KEY), config)
    every = connection.subscribe("accountSubscribe", str(KEY), config | {"commitment": "processed"})
    connection.airdrop()
    connection.airdrop()
    assert told(connection.frames()) == [("accountNotification", every)] * 2
    connection.chain.advance()
    (frame,) = connection.frames()
    assert value_of(frame)["lamports"] == 2 * 10**9
    connection.chain.set_account(KEY, None)
    (frame,) = connection.frames()
    assert value_of(frame)["lamports"] == 0


def test_account_grown_past_base58_is_told_without_its_data() -> None:
    connection = Connection()
    connection.subscribe("accountSubscribe", str(KEY), {"commitment": "processed"})
    connection.chain.set_account(KEY, Account(10**9, bytes(129), SYSTEM_PROGRAM))
    (frame,) = connection.frames()
    assert value_of(frame)["data"] == "error: data too large for bs58 encoding"


def test_signature_is_told_once_before_or_after_it_landed() -> None:
    connection = Connection()
    signature = connection.airdrop()
    answer, notification = connection.request("signatureSubscribe", str(signature), {"commitment": "processed"})
    assert told([notification]) == [("signatureNotification", answer["result"])]
    waiting = connection.subscribe("signatureSubscribe", str(signature), {"commitment": "confirmed"})
    connection.chain.advance()
    assert told(connection.frames()) == [("signatureNotification", waiting)]
    answer, notification = connection.request("signatureSubscribe", str(signature), {"commitment": "confirmed"})
    assert value_of(notification) == {"err": None}
    assert connection.pubsub.stats().subscriptions == 0
    connection.chain.advance(40)
    assert connection.frames() == []


def test_late_finalized_subscription_keeps_the_order_of_slots() -> None:
    connection = Connection()
    old = connection.airdrop()
    connection.chain.advance(3)
    connection.subscribe("logsSubscribe", "all", {"commitment": "finalized"})
    connection.airdrop()
    late = connection.subscribe("signatureSubscribe", str(old), {"commitment": "finalized"})
    connection.chain.advance(29)
    assert told(connection.frames()) == [("signatureNotification", late)]
    connection.chain.advance(3)
    assert [method for method, _ in told(connection.frames())] == ["logsNotification"]


def test_unsubscribed_and_disconnected_are_told_nothing() -> None:
    connection = Connection()
    number = connection.subscribe("logsSubscribe", "all", {"commitment": "confirmed"})
    connection.airdrop()
    (answer,) = connection.request("logsUnsubscribe", number)
    assert answer["result"] is True
    connection.subscribe("slotSubscribe")
    connection.subscribe("accountSubscribe", str(KEY), {"commitment": "processed"})
    connection.pubsub.disconnect(connection.outbox)
    connection.airdrop()
    connection.chain.advance()
    assert connection.frames() == []
    stats = connection.pubsub.stats()
    assert (stats.connections, stats.subscriptions, stats.waiting) == (0, 0, 0)


def test_full_outbox_overflows_once_and_takes_no_more() -> None:
    connection = Connection(max_frames=3)
    connection.subscribe("slotSubscribe")
    connection.chain.advance(10)
    assert connection.overflows == 1
    assert connection.frames() == []
    connection.pubsub.disconnect(connection.outbox)
    assert connection.pubsub.stats().slow_closed == 1


def test_waiting_notifications_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pubsub_module, "MAX_WAITING", 2)
    connection = Connection()
    connection.subscribe("logsSubscribe", "all", {"commitment": "confirmed"})
    for _ in range(5):
        connection.airdrop()
    stats = connection.pubsub.stats()
    assert (stats.waiting, stats.dropped) == (2, 3)
    connection.chain.advance()
    assert len(connection.frames()) == 2
    assert connection.pubsub.stats().waiting == 0


def test_subscriptions_of_a_connection_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pubsub_module, "MAX_SUBSCRIPTIONS", 1)
    connection = Connection()
    connection.subscribe("slotSubscribe")
    (answer,) = connection.request("slotSubscribe")
    assert "error" in answer


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1, 500_000])
def test_batch_of_none_or_too_many_is_refused_with_one_frame(count: int) -> None:
    connection = Connection()
    connection.pubsub.handle(connection.outbox, b"[" + b",".join([b"1"] * count) + b"]")
    (answer,) = connection.frames()
    message = f"Invalid request: a batch holds 1 to {MAX_BATCH} requests, got {count}"
    assert (answer["id"], answer["error"]) == (None, {"code": INVALID_REQUEST, "message": message})


def test_each_of_the_largest_batch_is_answered() -> None:
    connection = Connection()
    request = {"jsonrpc": "2.0", "id": 5, "method": "slotSubscribe"}
    connection.pubsub.handle(connection.outbox, msgspec.json.encode([request] * MAX_BATCH))
    assert [frame["result"] for frame in connection.frames()] == list(range(1, MAX_BATCH + 1))


@pytest.mark.parametrize("text", ["no json", b'"\xff"', b'{"method":"\xed\xa0\x80"}', b"[" * 100_000])
def test_frame_that_cannot_be_read_is_a_parse_error_and_costs_no_subscription(text: bytes | str) -> None:
    connection = Connection()
    number = connection.subscribe("slotSubscribe")
    connection.pubsub.handle(connection.outbox, text)
    (answer,) = connection.frames()
    error = answer["error"]
    assert isinstance(error, dict)
    assert (answer["id"], error["code"]) == (None, PARSE_ERROR)
    connection.chain.advance()
    assert told(connection.frames()) == [("slotNotification", number)]
