"""The desk: orders carried out against a paper node, the time moved by hand."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slotzero.clock import ms
from slotzero.errors import MalformedError, RateLimitedError, RpcError, TransportError
from slotzero.solana.rpc import CrowdedError
from slotzero.solana.transaction import SignedTransaction
from slotzero.trading.order import Confirmed, Expired, Failed, Outcome
from slotzero.units import MonoNs, Slot
from trading_lab import Lab, signed_transaction, trading_lab, until

TX = signed_transaction()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with trading_lab(tmp_path / "journal") as lab:
        yield lab


def execute(lab: Lab, signed: SignedTransaction = TX, *, may_send: bool = True) -> asyncio.Task[Outcome]:
    return lab.tasks.create_task(lab.context.desk.execute(signed, may_send=may_send))


async def pass_limit(lab: Lab, height: int = 151) -> None:
    lab.node.height = height
    await lab.context.blockhashes.refresh()


async def tick(lab: Lab, method: str = "getSignatureStatuses") -> None:
    """Move time until the desk has asked once more."""
    asked = len(lab.node.asked(method))
    await lab.clock.advance(ms(20))
    await until(lambda: len(lab.node.asked(method)) > asked)
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_confirmation_is_subscribed_to_before_the_bytes_are_sent(lab: Lab) -> None:
    order = execute(lab)
    await until(lambda: lab.node.sent)
    assert [method for method, _ in lab.node.log if method != "getLatestBlockhash"] == [
        "signatureSubscribe",
        "sendTransaction",
    ]
    lab.node.confirm(TX.signature)
    assert await order == Confirmed(Slot(100))


async def test_bytes_go_out_without_preflight_and_without_the_nodes_own_retries(lab: Lab) -> None:
    execute(lab)
    await until(lambda: lab.node.sent)
    ((_, options),) = lab.node.asked("sendTransaction")
    assert options == {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
    assert lab.node.sent == [TX.raw]


async def test_instant_of_sending_is_told_once(lab: Lab) -> None:
    told: list[MonoNs] = []
    order = lab.tasks.create_task(lab.context.desk.execute(TX, on_sent=told.append))
    for _ in range(3):
        await tick(lab, "sendTransaction")
    lab.node.confirm(TX.signature)
    await order
    assert told == [1_000_000_000]


async def test_same_bytes_are_sent_again_until_confirmed_and_not_after(lab: Lab) -> None:
    order = execute(lab)
    for _ in range(3):
        await tick(lab, "sendTransaction")
    lab.node.confirm(TX.signature)
    await order
    sent = len(lab.node.sent)
    assert sent >= 3
    assert set(lab.node.sent) == {TX.raw}
    await lab.clock.advance(ms(1_000))
    await asyncio.sleep(0.03)  # longer than the desk's own timer: it would have sent by now
    assert len(lab.node.sent) == sent
    assert lab.context.desk.open_count == 0


async def test_failure_is_told_with_its_error(lab: Lab) -> None:
    order = execute(lab)
    await until(lambda: lab.node.sent)
    lab.node.confirm(TX.signature, {"InstructionError": [2, {"Custom": 6002}]})
    assert await order == Failed(Slot(100), {"InstructionError": [2, {"Custom": 6002}]})


async def test_status_is_enough_where_the_notification_never_comes(lab: Lab) -> None:
    order = execute(lab)
    await until(lambda: lab.node.sent)
    lab.node.statuses[TX.signature] = {"slot": 5, "confirmationStatus": "confirmed", "err": None}
    await tick(lab)
    assert await order == Confirmed(Slot(5))


async def test_subscription_ends_with_the_order(lab: Lab) -> None:
    order = execute(lab)
    await until(lambda: lab.node.sent)
    assert ("signatureSubscribe", TX.signature) in lab.transport.numbers
    lab.node.statuses[TX.signature] = {"slot": 5, "confirmationStatus": "finalized", "err": None}
    await tick(lab)
    await order
    assert lab.transport.numbers == {}


@pytest.mark.parametrize(
    "fault",
    [
        TransportError("node", "reset"),
        RateLimitedError("node", 1_000),
        RpcError("node", -32002, "preflight failure"),
        MalformedError("node: not JSON"),
    ],
)
async def test_send_that_failed_is_no_failed_order(
    lab: Lab, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lab.node.faults["sendTransaction"] = [fault]
    order = execute(lab)
    await tick(lab, "sendTransaction")
    await until(lambda: lab.node.sent)
    assert not order.done()
    assert TX.signature in caplog.text
    lab.node.confirm(TX.signature)
    assert await order == Confirmed(Slot(100))


async def test_order_expires_after_two_answers_not_known_past_its_limit(lab: Lab) -> None:
    order = execute(lab)
    await until(lambda: lab.node.sent)
    await pass_limit(lab)
    await tick(lab)
    await tick(lab)
    assert await order == Expired()
    assert [params[1] for params in lab.node.asked("getSignatureStatuses")][-2:] == [
        {"searchTransactionHistory": True}
    ] * 2


async def expire(lab: Lab) -> None:
    await pass_limit(lab)
    await tick(lab)
    await tick(lab)


@pytest.mark.parametrize("fault", [RateLimitedError("node", 30_000), CrowdedError("node", "no place", has_left=False)])
async def test_order_whose_every_send_was_put_off_expires_as_never_sent(lab: Lab, fault: Exception) -> None:
    lab.node.faults["sendTransaction"] = [fault] * 1_000
    order = execute(lab)
    for _ in range(3):
        await tick(lab, "sendTransaction")
    await expire(lab)
    assert await order == Expired(was_sent=False)
    assert lab.node.sent == []


@pytest.mark.parametrize(
    "fault",
    [
        TransportError("node", "reset"),
        CrowdedError("node", "too late", has_left=True),
        RpcError("node", -32002, "no"),
        MalformedError("node: not JSON"),
    ],
)
async def test_order_of_which_a_node_may_have_one_send_expires_as_sent(lab: Lab, fault: Exception) -> None:
    lab.node.faults["sendTransaction"] = [fault, *[RateLimitedError("node", 30_000)] * 1_000]
    order = execute(lab)
    for _ in range(3):
        await tick(lab, "sendTransaction")
    await expire(lab)
    assert await order == Expired(was_sent=True)


class SlowPath:
    """A path whose sends are answered when the test says so."""

    def __init__(self) -> None:
        self.sends: list[asyncio.Future[str]] = []

    async def __call__(self, _: bytes) -> str:
        self.sends.append(asyncio.get_running_loop().create_future())
        return await self.sends[-1]


async def begin(lab: Lab) -> tuple[SlowPath, asyncio.Task[Outcome]]:
    """Begin an order whose first send is under way."""
    path = SlowPath()
    order = lab.tasks.create_task(lab.context.desk.execute(TX, send=path))
    await until(lambda: path.sends)
    return path, order


async def test_bytes_are_not_sent_again_while_their_last_send_has_no_answer(lab: Lab) -> None:
    path, _ = await begin(lab)
    for _ in range(5):
        await tick(lab)
    assert len(path.sends) == 1
    path.sends[0].set_result("sig")
    await tick(lab)
    await until(lambda: len(path.sends) == 2)


@pytest.mark.parametrize("error", [TransportError("node", "timed out"), RateLimitedError("node", 1_000)])
async def test_send_that_failed_holds_the_next_one_back_no_longer(lab: Lab, error: Exception) -> None:
    path, _ = await begin(lab)
    await tick(lab)
    path.sends[0].set_exception(error)
    await tick(lab)
    await until(lambda: len(path.sends) == 2)


async def test_send_without_an_answer_holds_the_next_one_back_for_two_seconds(lab: Lab) -> None:
    path, _ = await begin(lab)
    await lab.clock.advance(ms(1_960))
    await tick(lab)
    assert len(path.sends) == 1
    await tick(lab)
    await until(lambda: len(path.sends) == 2)
    await lab.clock.advance(ms(1_000))
    await tick(lab)
    path.sends[0].set_result("late")  # the second one is still to be answered
    await tick(lab)
    assert len(path.sends) == 2


async def test_send_that_was_held_back_does_not_count_as_sent(lab: Lab) -> None:
    path, order = await begin(lab)
    for _ in range(3):
        await tick(lab)
    path.sends[0].set_exception(RateLimitedError("node", 30_000))
    await expire(lab)
    assert len(path.sends) == 1
    assert await order == Expired(was_sent=False)


async def test_order_does_not_hold_the_sends_of_another_back(lab: Lab) -> None:
    path, _ = await begin(lab)
    execute(lab, signed_transaction(2))
    for _ in range(2):
        await tick(lab, "sendTransaction")
    assert len(path.sends) == 1


async def test_sell_is_sent_as_an_exit_and_everything_else_as_a_send(lab: Lab) -> None:
    before = lab.rpc.calls.copy()
    lab.tasks.create_task(lab.context.desk.execute(TX, is_exit=True))
    execute(lab, signed_transaction(2))
    await until(lambda: len(lab.node.sent) == 2)
    assert lab.rpc.calls - before == {"exit": 1, "send": 1}


async def test_unanswered_questions_past_the_limit_expire_nothing(lab: Lab) -> None:
    order = execute(lab)
    await until(lambda: lab.node.sent)
    await pass_limit(lab)
    lab.node.faults["getSignatureStatuses"] = [TransportError("node", "timed out")] * 5
    for _ in range(5):
        await tick(lab)
    assert not order.done()
    await tick(lab)
    assert not order.done()  # the first answer is one look, not six
    lab.node.statuses[TX.signature] = {"slot": 5, "confirmationStatus": "confirmed", "err": None}
    await tick(lab)
    assert await order == Confirmed(Slot(5))


async def test_order_to_settle_is_never_sent(lab: Lab) -> None:
    order = execute(lab, may_send=False)
    for _ in range(5):
        await tick(lab)
    await pass_limit(lab)
    await tick(lab)
    await tick(lab)
    assert await order == Expired()
    assert lab.node.sent == []


async def test_order_to_settle_that_has_landed_is_found_at_once(lab: Lab) -> None:
    lab.node.statuses[TX.signature] = {"slot": 5, "confirmationStatus": "finalized", "err": None}
    assert await execute(lab, may_send=False) == Confirmed(Slot(5))
    assert lab.node.asked("getSignatureStatuses") == [[[TX.signature], {"searchTransactionHistory": True}]]


async def test_cancelled_order_is_not_sent_again(lab: Lab) -> None:
    order = execute(lab)
    await until(lambda: lab.node.sent)
    order.cancel()
    await asyncio.wait([order])
    sent = len(lab.node.sent)
    await lab.clock.advance(ms(1_000))
    await asyncio.sleep(0.03)  # longer than the desk's own timer
    assert len(lab.node.sent) == sent
    assert (lab.context.desk.open_count, lab.transport.numbers) == (0, {})


async def test_statuses_of_many_orders_are_asked_for_in_batches_of_256(lab: Lab) -> None:
    transactions = [signed_transaction(number) for number in range(300)]
    orders = [execute(lab, transaction) for transaction in transactions]
    await until(lambda: len(lab.node.sent) == 300)
    before = len(lab.node.asked("getSignatureStatuses"))
    for transaction in transactions:
        lab.node.statuses[transaction.signature] = {"slot": 5, "confirmationStatus": "confirmed", "err": None}
    await lab.clock.advance(ms(10))
    await asyncio.wait(orders)
    asked = [len(params[0]) for params in lab.node.asked("getSignatureStatuses")[before:]]
    assert asked == [256, 44]
    assert {order.result() for order in orders} == {Confirmed(Slot(5))}


async def test_each_order_gets_its_own_answer(lab: Lab) -> None:
    first, second = signed_transaction(1), signed_transaction(2)
    orders = [execute(lab, first), execute(lab, second)]
    await until(lambda: len(lab.node.sent) == 2)
    lab.node.statuses[second.signature] = {"slot": 5, "confirmationStatus": "confirmed", "err": "AccountInUse"}
    await tick(lab)
    await until(orders[1].done)
    assert orders[1].result() == Failed(Slot(5), "AccountInUse")
    assert not orders[0].done()


@pytest.mark.parametrize("value", ["receivedSignature", {"err": [1]}, 7, None, [[[[]]]]])
async def test_notification_that_says_nothing_of_landing_is_left_to_the_status(lab: Lab, value: object) -> None:
    order = execute(lab)
    await until(lambda: ("signatureSubscribe", TX.signature) in lab.transport.numbers)
    await asyncio.sleep(0)
    lab.transport.notify("signatureSubscribe", TX.signature, value)
    if isinstance(value, dict):
        assert await order == Failed(Slot(100), [1])
        return
    assert not order.done()
    lab.node.statuses[TX.signature] = {"slot": 5, "confirmationStatus": "confirmed", "err": None}
    await tick(lab)
    assert await order == Confirmed(Slot(5))


async def test_desk_asks_nothing_while_nothing_is_open(lab: Lab) -> None:
    await lab.clock.advance(ms(100_000))
    await asyncio.sleep(0.03)  # longer than the desk's own timer
    assert lab.node.asked("getSignatureStatuses") == []
