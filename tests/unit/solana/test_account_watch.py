"""One account's changes, decoded; what cannot be read is passed over."""

from base64 import b64encode

import pytest

from slotzero.clock import TestClock
from slotzero.solana.account_watch import AccountUpdate, watch_account
from slotzero.solana.pubsub import PubSub, Subscription
from slotzero.units import Lamports, MonoNs, Slot
from trading_lab import PaperNode, PaperTransport, key, paper_pubsub, until

ACCOUNT = key(1)


class Watched:
    """An account on a paper node, and what was told of it."""

    def __init__(self) -> None:
        self.node = PaperNode()
        self.pubsub: PubSub = paper_pubsub(self.node, TestClock())
        self.told: list[tuple[AccountUpdate, int]] = []

    async def begin(self) -> Subscription:
        def on_update(update: AccountUpdate, now: MonoNs) -> None:
            self.told.append((update, now))

        subscription = watch_account(self.pubsub, ACCOUNT, "processed", on_update)
        await until(subscription.active.done)
        return subscription

    @property
    def transport(self) -> PaperTransport:
        assert self.node.transport is not None
        return self.node.transport

    def tells(self, value: object) -> bool:
        return self.transport.notify("accountSubscribe", str(ACCOUNT), value, now=42)


async def test_subscription_asks_for_base64_at_its_commitment() -> None:
    watched = Watched()
    await watched.begin()
    assert watched.node.asked("accountSubscribe") == [[str(ACCOUNT), {"encoding": "base64", "commitment": "processed"}]]


async def test_change_is_told_with_its_slot_and_the_instant_it_was_read() -> None:
    watched = Watched()
    await watched.begin()
    data = b"\x00\xffsome data"
    assert watched.transport.account(ACCOUNT, data, lamports=7, now=42)
    expected = AccountUpdate(slot=Slot(100), lamports=Lamports(7), data=data)
    assert watched.told == [(expected, 42)]


async def test_account_that_was_closed_is_told_as_empty() -> None:
    watched = Watched()
    await watched.begin()
    watched.tells({"lamports": 0, "data": ["", "base64"], "owner": "1" * 32, "executable": False})
    ((update, _),) = watched.told
    assert (update.lamports, update.data) == (0, b"")


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        {},
        {"lamports": "7", "data": ["", "base64"]},
        {"lamports": 7, "data": ["*", "base64"]},
        {"lamports": 7, "data": ["abc", "base64"]},
        {"lamports": 7, "data": ["\u00e9", "base64"]},
        {"lamports": 7, "data": {"parsed": {}}},
        {"lamports": 7, "data": ["", "base64"], "x": [[]]},
    ],
)
async def test_state_that_cannot_be_read_is_passed_over_and_the_next_one_is_told(value: object) -> None:
    watched = Watched()
    await watched.begin()
    is_readable = isinstance(value, dict) and "x" in value
    assert watched.tells(value)
    assert len(watched.told) == is_readable
    watched.tells({"lamports": 8, "data": [b64encode(b"next").decode(), "base64"]})
    assert watched.told[-1][0].data == b"next"


async def test_notification_nested_beyond_reason_is_passed_over() -> None:
    watched = Watched()
    subscription = await watched.begin()
    ending = f'],"subscription":{subscription.number}}}}}'.encode()
    watched.pubsub._frame(b'{"params":{"x":' + b"[" * 100_000 + ending, MonoNs(1))
    assert watched.told == []


async def test_cancelled_watch_is_told_nothing_more() -> None:
    watched = Watched()
    subscription = await watched.begin()
    subscription.cancel()
    assert not watched.tells({"lamports": 8, "data": ["", "base64"]})
